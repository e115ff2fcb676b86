/**
 * Runs the functions of timers that are due, each as a run of its own with a budget of its own. A fault of one goes to its
 * program's stderr stream, and the next one runs. Kernel counterpart: bpf_timer_cb, bpf_wq_work.
 */
import { acquireRun, releaseRun } from "../kern/cpus.ts";
import { holdLive } from "../kern/ids.ts";
import type { Kernel } from "../kern/kernel.ts";
import { entryOfMap } from "../kern/map.ts";
import { progStream } from "../kern/prog.ts";
import { HELD_KEY, hold, RUN_CTX, RUN_EXITED, RUN_PROG, RUN_TIMER } from "../kern/run_record.ts";
import { writeStream } from "../kern/stream.ts";
import { alloc, free } from "../mem/alloc.ts";
import { OBJ_REFS, rup8 } from "../mem/layout.ts";
import { ANCHOR_MAP } from "../struct/anchors.ts";
import { MAP_KEY_SIZE } from "../struct/map.ts";
import {
  dueTimer,
  firstTimer,
  lockTimers,
  stopTimer,
  TIMER_CALLBACK,
  TIMER_EXPIRY,
  TIMER_ID,
  TIMER_PROG,
  TIMER_VALUE,
  timerCount,
  unlockTimers,
} from "../struct/timer_queue.ts";
import { BPF_STDERR } from "../uapi/index.ts";
import { describeFault } from "../vm/fault.ts";
import { begin, Machine } from "../vm/machine.ts";
import { run as execute } from "./run.ts";

/** A timer that was taken out of the queue to run it. Program and map are held. */
interface Due {
  readonly prog: number;
  readonly callback: number;
  readonly map: number;
  readonly value: number;
  readonly id: number;
}

/** When the next timer of the host expires; undefined: none is running. */
export function nextExpiry({ mem }: Kernel): bigint | undefined {
  const queue = lockTimers(mem);
  if (queue === 0) return undefined;
  const timer = firstTimer(mem, queue);
  const expiry = timer === 0 ? undefined : mem.u64[(timer + TIMER_EXPIRY) >>> 3]!;
  unlockTimers(mem, queue);
  return expiry;
}

/** How many timers of the host are running. */
export function runningTimers({ mem }: Kernel): number {
  const queue = lockTimers(mem);
  if (queue === 0) return 0;
  const count = timerCount(mem, queue);
  unlockTimers(mem, queue);
  return count;
}

/** Runs the timer that expires first, if it does so until `now`. False: there is none. */
export function runTimer(kernel: Kernel, now: bigint): boolean {
  const due = takeDue(kernel, now);
  if (due === undefined) return false;
  const run = acquireRun(kernel, kernel.cpu);
  // Without memory for a run there is nothing to run it with. The program may know the map only through another one.
  const kept = run > 0 && kernel.keep(due.map) !== 0;
  kernel.put(due.map);
  if (run > 0) {
    try {
      if (kept) runDue(kernel, run, due);
    } finally {
      kernel.ending = run;
      releaseRun(kernel, run);
    }
  }
  kernel.put(due.prog);
  return true;
}

function takeDue({ mem }: Kernel, now: bigint): Due | undefined {
  const queue = lockTimers(mem);
  if (queue === 0) return undefined;
  const { u32 } = mem;
  for (;;) {
    const timer = dueTimer(mem, queue, now);
    if (timer === 0) break;
    stopTimer(mem, queue, timer);
    const map = u32[(timer + ANCHOR_MAP) >>> 2]!;
    const prog = u32[(timer + TIMER_PROG) >>> 2]!;
    // The map may be about to end; the timer goes with it. It holds its program.
    if (!holdLive(mem, map)) continue;
    mem.atomics.add32(prog + OBJ_REFS, 1);
    const due = {
      prog,
      map,
      callback: u32[(timer + TIMER_CALLBACK) >>> 2]!,
      value: u32[(timer + TIMER_VALUE) >>> 2]!,
      id: u32[(timer + TIMER_ID) >>> 2]!,
    };
    unlockTimers(mem, queue);
    return due;
  }
  unlockTimers(mem, queue);
  return undefined;
}

function runDue(kernel: Kernel, run: number, { prog, callback, map, value, id }: Due): void {
  const { mem } = kernel;
  const { u32 } = mem;
  u32[(run + RUN_PROG) >>> 2] = prog;
  // It has none: what lies where contexts do is of the run that was there before.
  u32[(run + RUN_CTX) >>> 2] = 0;
  u32[(run + RUN_TIMER) >>> 2] = id;
  const keySize = u32[(map + MAP_KEY_SIZE) >>> 2]!;
  const key = alloc(mem, rup8(keySize));
  if (key === 0) return;
  if (!hold(mem, run, HELD_KEY, key, key, keySize)) {
    free(mem, key, rup8(keySize));
    return;
  }
  entryOfMap(kernel, map).ops.map_key_of(kernel, map, value, key);
  const m = new Machine(kernel, run);
  begin(m, kernel.runBudget);
  m.pc = callback;
  u32[m.regs + 2] = map;
  u32[m.regs + 4] = key;
  u32[m.regs + 6] = value;
  if (execute(m) !== RUN_EXITED) {
    writeStream(mem, progStream(prog, BPF_STDERR), new TextEncoder().encode(describeFault(kernel, run).text));
  }
}
