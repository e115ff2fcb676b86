/** Every helper that programs of this host may call, by number. Which kinds of programs may: see `contexts/table.ts`. */
import { attachedHelpers } from "./attached.ts";
import { csumHelpers } from "./csum.ts";
import { dynptrHelpers } from "./dynptr.ts";
import { fibHelpers } from "./fib.ts";
import { forEachHelpers } from "./for_each.ts";
import { kptrHelpers } from "./kptr.ts";
import { loopHelpers } from "./loop.ts";
import { machineHelpers } from "./machine.ts";
import { mapHelpers } from "./map.ts";
import { perCpuHelpers } from "./objects.ts";
import { classHelpers, ownerHelpers } from "./owner.ts";
import { perfHelpers, perfReadHelpers } from "./perf.ts";
import { probeHelpers, rawProbeHelpers } from "./probe.ts";
import { redirectHelpers } from "./redirect.ts";
import { redirectMapHelpers } from "./redirect_map.ts";
import { ringbufHelpers } from "./ringbuf.ts";
import { seqHelpers } from "./seq.ts";
import { skMsgFunctions } from "./sk_msg.ts";
import { skbHelpers } from "./skb.ts";
import { skbCsumHelpers } from "./skb_csum.ts";
import { skbRoomHelpers } from "./skb_room.ts";
import { sockOpsFunctions } from "./sock_ops.ts";
import { socketHelpers } from "./socket.ts";
import { spinLockHelpers } from "./spin_lock.ts";
import { stackHelpers } from "./stack.ts";
import { sysctlFunctions } from "./sysctl.ts";
import { taskHelpers } from "./task.ts";
import { textHelpers } from "./text.ts";
import { timerHelpers } from "./timer.ts";
import { tunnelHelpers } from "./tunnel.ts";
import type { Helper } from "./types.ts";
import { userRingHelpers } from "./user_ring.ts";
import { xdpHelpers } from "./xdp.ts";

/** Those that programs of every kind may call. */
const base: Readonly<Record<number, Helper>> = {
  ...mapHelpers,
  ...ringbufHelpers,
  ...machineHelpers,
  ...loopHelpers,
  ...forEachHelpers,
  ...timerHelpers,
  ...dynptrHelpers,
  ...userRingHelpers,
  ...taskHelpers,
  ...probeHelpers,
  ...textHelpers,
  ...spinLockHelpers,
  ...kptrHelpers,
  ...perCpuHelpers,
  ...classHelpers,
  ...perfReadHelpers,
};

export const helperTable: Readonly<Record<number, Helper>> = {
  ...base,
  ...rawProbeHelpers,
  ...attachedHelpers,
  ...seqHelpers,
  ...stackHelpers,
  ...perfHelpers,
  ...skMsgFunctions,
  ...sockOpsFunctions,
  ...sysctlFunctions,
  ...csumHelpers,
  ...xdpHelpers,
  ...redirectHelpers,
  ...fibHelpers,
  ...socketHelpers,
  ...skbHelpers,
  ...skbCsumHelpers,
  ...skbRoomHelpers,
  ...redirectMapHelpers,
  ...tunnelHelpers,
  ...ownerHelpers,
};

export const baseHelpers: readonly number[] = Object.keys(base).map(Number);
