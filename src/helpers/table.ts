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
import { taskHelpers } from "./task.ts";
import { textHelpers } from "./text.ts";
import { timerHelpers } from "./timer.ts";
import type { Helper } from "./types.ts";
import { userRingHelpers } from "./user_ring.ts";
import { xdpHelpers } from "./xdp.ts";

export const helperTable: Readonly<Record<number, Helper>> = {
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
  ...rawProbeHelpers,
  ...attachedHelpers,
  ...spinLockHelpers,
  ...kptrHelpers,
  ...perCpuHelpers,
  ...seqHelpers,
  ...stackHelpers,
  ...skMsgFunctions,
  ...sockOpsFunctions,
  ...csumHelpers,
  ...xdpHelpers,
  ...redirectHelpers,
  ...fibHelpers,
  ...socketHelpers,
  ...skbHelpers,
  ...skbCsumHelpers,
  ...skbRoomHelpers,
  ...redirectMapHelpers,
};

/** What programs of every kind may call. */
export const baseHelpers: readonly number[] = [
  ...Object.keys(mapHelpers),
  ...Object.keys(ringbufHelpers),
  ...Object.keys(machineHelpers),
  ...Object.keys(loopHelpers),
  ...Object.keys(forEachHelpers),
  ...Object.keys(timerHelpers),
  ...Object.keys(dynptrHelpers),
  ...Object.keys(userRingHelpers),
  ...Object.keys(taskHelpers),
  ...Object.keys(probeHelpers),
  ...Object.keys(textHelpers),
  ...Object.keys(spinLockHelpers),
  ...Object.keys(kptrHelpers),
  ...Object.keys(perCpuHelpers),
].map(Number);
