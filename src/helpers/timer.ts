/**
 * Timers and workqueue items of values. The field in the value is the program's to write over; the timer itself is found
 * by the field's address (`struct/anchors.ts`). Kernel counterpart: struct bpf_async_cb in helpers.c.
 */
import { FIELD_TIMER, FIELD_WORKQUEUE } from "../btf/special_fields.ts";
import { FAULT_OTHER_MAP } from "../kern/fault_kinds.ts";
import { holdLive } from "../kern/ids.ts";
import type { Kernel } from "../kern/kernel.ts";
import { faultHelper } from "../kern/reach.ts";
import { RUN_CURRENT, RUN_TIMER } from "../kern/run_record.ts";
import { AREA_BASE, AREA_MAP, AREA_STRIDE, areaOf } from "../mem/alloc.ts";
import { OBJ_USERS } from "../mem/layout.ts";
import { findAnchor, lockAnchors, makeAnchor, unlockAnchors } from "../struct/anchors.ts";
import {
  isRunning,
  lockTimers,
  newTimerId,
  startTimer,
  stopTimer,
  TIMER_CALLBACK,
  TIMER_CLOCK,
  TIMER_ID,
  TIMER_PROG,
  TIMER_VALUE,
  unlockTimers,
} from "../struct/timer_queue.ts";
import {
  BPF_F_TIMER_ABS,
  BPF_F_TIMER_CPU_PIN,
  BPF_FUNC_timer_cancel,
  BPF_FUNC_timer_init,
  BPF_FUNC_timer_set_callback,
  BPF_FUNC_timer_start,
  EBUSY,
  EDEADLK,
  EINVAL,
  ENOENT,
  ENOMEM,
  EPERM,
} from "../uapi/index.ts";
import type { Helper, Kfunc } from "./types.ts";

const CLOCK_REALTIME = 0;
const CLOCK_MONOTONIC = 1;
const CLOCK_BOOTTIME = 7;
const clocks: readonly number[] = [CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME];
/** The kernel's times are signed. */
const LATEST = 2n ** 63n - 1n;

function mapOfField(kernel: Kernel, field: number): number {
  return kernel.mem.u32[(areaOf(kernel.mem, field) + AREA_MAP) >>> 2]!;
}

function initTimer(kernel: Kernel, field: number, map: number, low: number, high: number): number {
  if (high !== 0 || !clocks.includes(low)) return -EINVAL;
  return init(kernel, field >>> 0, map >>> 0, FIELD_TIMER, low);
}

function init(kernel: Kernel, field: number, map: number, kind: number, clock: number): number {
  const { mem } = kernel;
  if (mapOfField(kernel, field) !== map) {
    faultHelper(kernel, FAULT_OTHER_MAP, map, 0, 2);
    return 0;
  }
  const table = lockAnchors(mem, map);
  if (table === 0) return -ENOMEM;
  let ret = 0;
  if (findAnchor(mem, table, field) !== 0) ret = -EBUSY;
  // Whoever drops the last fd takes this lock afterwards, and then all timers away.
  else if (mem.atomics.load32(map + OBJ_USERS) === 0) ret = -EPERM;
  else ret = makeTimer(kernel, table, map, field, kind, clock);
  unlockAnchors(mem, table);
  return ret;
}

function makeTimer(kernel: Kernel, table: number, map: number, field: number, kind: number, clock: number): number {
  const { mem } = kernel;
  const { u32 } = mem;
  const queue = lockTimers(mem);
  const id = queue === 0 ? 0 : newTimerId(mem, queue);
  if (queue !== 0) unlockTimers(mem, queue);
  const timer = id === 0 ? 0 : makeAnchor(mem, map, table, field, kind);
  if (timer === 0) return -ENOMEM;
  const area = areaOf(mem, field);
  const inside = (field - u32[(area + AREA_BASE) >>> 2]!) % u32[(area + AREA_STRIDE) >>> 2]!;
  u32[(timer + TIMER_CLOCK) >>> 2] = clock;
  u32[(timer + TIMER_VALUE) >>> 2] = field - inside;
  u32[(timer + TIMER_ID) >>> 2] = id;
  return 0;
}

/** Works on the timer of a field under its map's lock; -EINVAL: there is none. */
function withTimer(kernel: Kernel, field: number, work: (timer: number, map: number) => number): number {
  const { mem } = kernel;
  const map = mapOfField(kernel, field);
  const table = lockAnchors(mem, map);
  if (table === 0) return -ENOMEM;
  const timer = findAnchor(mem, table, field);
  const ret = timer === 0 ? -EINVAL : work(timer, map);
  unlockAnchors(mem, table);
  return ret;
}

/** The timer holds the program from now on. */
function setCallback(kernel: Kernel, field: number, callback: number): number {
  const { mem } = kernel;
  const { u32 } = mem;
  let before = 0;
  const ret = withTimer(kernel, field >>> 0, (timer, map) => {
    if (mem.atomics.load32(map + OBJ_USERS) === 0) return -EPERM;
    const prog = u32[(kernel.run + RUN_CURRENT) >>> 2]!;
    // The run may have borrowed it, and its last reference is just being dropped.
    if (!holdLive(mem, prog)) return -ENOENT;
    before = exchangeProg(kernel, timer, prog, callback);
    return 0;
  });
  if (before !== 0) kernel.put(before);
  return ret;
}

/** What the timer calls, as one to who takes it to run it. Returns the program that it held, or 0. */
function exchangeProg({ mem }: Kernel, timer: number, prog: number, callback: number): number {
  const queue = lockTimers(mem);
  const before = mem.u32[(timer + TIMER_PROG) >>> 2]!;
  mem.u32[(timer + TIMER_PROG) >>> 2] = prog;
  mem.u32[(timer + TIMER_CALLBACK) >>> 2] = callback;
  unlockTimers(mem, queue);
  return before;
}

function start(
  kernel: Kernel,
  field: number,
  nsLow: number,
  nsHigh: number,
  flagsLow: number,
  flagsHigh: number,
): number {
  if (flagsHigh !== 0 || flagsLow & ~(BPF_F_TIMER_ABS | BPF_F_TIMER_CPU_PIN)) return -EINVAL;
  const { u32 } = kernel.mem;
  return withTimer(kernel, field >>> 0, (timer) => {
    if (u32[(timer + TIMER_PROG) >>> 2] === 0) return -EINVAL;
    const ns = BigInt.asIntN(64, (BigInt(nsHigh >>> 0) << 32n) | BigInt(nsLow >>> 0));
    const now = kernel.now();
    const realtime = u32[(timer + TIMER_CLOCK) >>> 2] === CLOCK_REALTIME;
    const at = (flagsLow & BPF_F_TIMER_ABS) === 0 ? now + ns : realtime ? ns - (kernel.realtime() - now) : ns;
    return startAt(kernel, timer, at < 0n ? 0n : at > LATEST ? LATEST : at);
  });
}

function startAt(kernel: Kernel, timer: number, expiry: bigint): number {
  const { mem } = kernel;
  const queue = lockTimers(mem);
  const started = startTimer(mem, queue, timer, expiry);
  unlockTimers(mem, queue);
  if (started) kernel.onTimer?.(expiry);
  return started ? 0 : -ENOMEM;
}

/** 1: it was running. It forgets its function. A timer's own function cannot wait for itself to end. */
function cancel(kernel: Kernel, field: number): number {
  const { mem } = kernel;
  const { u32 } = mem;
  let before = 0;
  const ret = withTimer(kernel, field >>> 0, (timer) => {
    if (u32[(timer + TIMER_ID) >>> 2] === u32[(kernel.run + RUN_TIMER) >>> 2]) return -EDEADLK;
    before = exchangeProg(kernel, timer, 0, 0);
    const queue = lockTimers(mem);
    const running = stopTimer(mem, queue, timer);
    unlockTimers(mem, queue);
    return running ? 1 : 0;
  });
  if (before !== 0) kernel.put(before);
  return ret;
}

function timer(name: string, args: Helper["args"], fn: NonNullable<Helper["fn"]>): Helper {
  return { name, since: "5.15", gplOnly: false, args, result: "errno", fn };
}

export const timerHelpers: Readonly<Record<number, Helper>> = {
  [BPF_FUNC_timer_init]: timer("bpf_timer_init", [{ field: FIELD_TIMER }, "map", "u64"], initTimer),
  [BPF_FUNC_timer_set_callback]: timer("bpf_timer_set_callback", [{ field: FIELD_TIMER }, "callback"], setCallback),
  [BPF_FUNC_timer_start]: timer("bpf_timer_start", [{ field: FIELD_TIMER }, "u64", "u64"], start),
  [BPF_FUNC_timer_cancel]: timer("bpf_timer_cancel", [{ field: FIELD_TIMER }], cancel),
};

function initWork(kernel: Kernel, field: number, map: number, flags: number): number {
  return flags !== 0 ? -EINVAL : init(kernel, field >>> 0, map >>> 0, FIELD_WORKQUEUE, CLOCK_MONOTONIC);
}

function setWork(kernel: Kernel, field: number, callback: number, flags: number): number {
  return flags !== 0 ? -EINVAL : setCallback(kernel, field, callback);
}

/** An item that waits to run already stays where it is. */
function startWork(kernel: Kernel, field: number, flags: number): number {
  if (flags !== 0) return -EINVAL;
  const { mem } = kernel;
  return withTimer(kernel, field >>> 0, (item) => {
    if (mem.u32[(item + TIMER_PROG) >>> 2] === 0) return -EINVAL;
    return isRunning(mem, item) ? 0 : startAt(kernel, item, kernel.now());
  });
}

function work(name: string, args: Kfunc["args"], fn: NonNullable<Kfunc["fn"]>): Kfunc {
  return { name, since: "6.10", args, result: "errno", fn };
}

export const workKfuncs: readonly Kfunc[] = [
  work("bpf_wq_init", [{ field: FIELD_WORKQUEUE }, "map", "u32"], initWork),
  work("bpf_wq_set_callback_impl", [{ field: FIELD_WORKQUEUE }, "callback", "u32", "u64"], setWork),
  work("bpf_wq_start", [{ field: FIELD_WORKQUEUE }, "u32"], startWork),
];
