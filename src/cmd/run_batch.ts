/**
 * Batches of packets for compiled programs that run on one: what BPF_PROG_TEST_RUN of each of them would give, without a
 * command for each. For other kinds, and for what is interpreted, there is the command.
 */
import { runBatch } from "../jit/batch.ts";
import { COPY_STEP } from "../jit/packet_copy.ts";
import { startOf } from "../jit/run.ts";
import { acquireRun, PACKET_ROOM, releaseRun } from "../kern/cpus.ts";
import type { Kernel } from "../kern/kernel.ts";
import { PROG_TYPE } from "../kern/prog.ts";
import { RUN_BATCH_AT, RUN_EXITED, RUN_PROG } from "../kern/run_record.ts";
import { NO_EVENTS, type RunEvent } from "../kern/scene.ts";
import { OBJ_PROG } from "../mem/layout.ts";
import { EFAULT, EINVAL, ENOMEM, EOPNOTSUPP } from "../uapi/index.ts";
import { begin, Machine } from "../vm/machine.ts";
import { type PlainPacket, plainKind } from "./plain_kinds.ts";
import { stopRun } from "./prog_test_data.ts";

/** Packets in user memory, and where the results go. All are addresses. */
export interface PacketBatch {
  /** The packets, one behind the other, and how many bytes they are; `BATCH_SLACK` more are behind them. */
  readonly data: number;
  readonly bytes: number;
  /** u32 of each: where it ends; the first one begins at `base`, which is where `data` is. */
  readonly ends: number;
  readonly base: number;
  readonly count: number;
  /** The packet to begin with. */
  readonly first: number;
  /** u32 of each: what the program returned. */
  readonly retvals: number;
  /** Where the packets from `first` on go as the program left them, and how much room there is; 0: they are not wanted. */
  readonly out: number;
  readonly outRoom: number;
  /** u32 of each: where it ends, counted from `out`. */
  readonly outEnds: number;
}

export interface BatchResult {
  /** All packets before this one were run to their end. */
  readonly next: number;
  /**
   * How that one ended: -EFAULT, -ETIMEDOUT; it may have changed maps. 0 without `last`: it was not begun. It is shorter
   * than a packet can be or longer than a batch takes, the command refuses it, or less than `BATCH_SLACK` bytes are left
   * for it in `out`.
   */
  readonly errno: number;
  /** It was run to its end, and this came of it: there may be no room in `out` for what has become of it. */
  readonly last: { readonly retval: number; readonly data: Uint8Array } | undefined;
  /** What the program did to the outside, and at which packet. */
  readonly events: readonly RunEvent[];
  readonly eventPackets: readonly number[];
}

/** Room for one packet of any length, and for copies by steps. */
export const BATCH_SLACK: number = PACKET_ROOM + COPY_STEP;
const U32 = 4;
const ENDS_MAX = 0xffff_ffff;

/** Or an errno: -EOPNOTSUPP: the program is of a kind that has no batches, or it is interpreted; -EINVAL, -EFAULT. */
export function runPackets(kernel: Kernel, fd: number, batch: PacketBatch): BatchResult | number {
  const prog = kernel.get(fd, OBJ_PROG);
  if (prog < 0) return prog;
  try {
    const kind = plainKind(kernel, prog);
    if (kind === undefined || kind === null) return -EOPNOTSUPP;
    return refusal(kernel, batch) || runOn(kernel, prog, kind, batch);
  } finally {
    kernel.done(prog);
  }
}

function refusal(kernel: Kernel, batch: PacketBatch): number {
  const { data, bytes, base, ends, count, first, retvals, out, outRoom, outEnds } = batch;
  if (!(first <= count) || base + bytes > ENDS_MAX) return -EINVAL;
  const columns = [ends, retvals, ...(out === 0 ? [] : [outEnds])];
  if (columns.some((column) => column % U32 !== 0 || !kernel.userOk(column, count * U32, true))) return -EFAULT;
  if (!kernel.userOk(data, bytes + BATCH_SLACK, false)) return -EFAULT;
  if (out === 0) return 0;
  return outRoom >= BATCH_SLACK && kernel.userOk(out, outRoom, true) ? 0 : -EFAULT;
}

/** Where the first packet begins, from where on no end leads out of the bytes; -EINVAL: not in there. */
function beginsAt(u32: Uint32Array, { base, bytes, ends, first }: PacketBatch): number {
  if (first === 0) return base;
  const from = u32[(ends >>> 2) + first - 1]!;
  return from >= base && from <= base + bytes ? from : -EINVAL;
}

function runOn(kernel: Kernel, prog: number, kind: PlainPacket, batch: PacketBatch): BatchResult | number {
  const { mem, scene } = kernel;
  const { u32 } = mem;
  const from = beginsAt(u32, batch);
  if (from < 0) return from;
  const run = acquireRun(kernel, kernel.cpu);
  if (run < 0) return run;
  try {
    u32[(run + RUN_PROG) >>> 2] = prog;
    const m = new Machine(kernel, run);
    begin(m, kernel.runBudget);
    const start = startOf(kernel, prog);
    if (start === undefined) return -EOPNOTSUPP;
    if (!kind.prepare(kernel, run)) return -ENOMEM;
    const eventPackets: number[] = [];
    scene.events = NO_EVENTS;
    scene.stopped = undefined;
    const { data, bytes, base, ends, count, first, retvals, out, outRoom, outEnds } = batch;
    scene.batch = { packet: () => (u32[(run + RUN_BATCH_AT) >>> 2]! - ends) / U32, packets: eventPackets };
    const { next, status, open } = runBatch(m, start, u32[(prog + PROG_TYPE) >>> 2]!, kind, {
      data: (data - base) | 0,
      bytes: base + bytes,
      ends,
      count,
      first,
      from,
      retvals,
      out,
      outEnds,
      outLast: outRoom - BATCH_SLACK,
    });
    const after = open ? kind.after(kernel, run) : undefined;
    const errno = status === RUN_EXITED ? 0 : stopRun(kernel, run, status);
    const { events } = scene;
    if (typeof after === "number") return { next, errno: after, last: undefined, events, eventPackets };
    const last = after === undefined ? undefined : { retval: u32[m.regs]!, data: after };
    return { next, errno, last, events, eventPackets };
  } finally {
    scene.batch = undefined;
    kernel.ending = run;
    releaseRun(kernel, run);
  }
}
