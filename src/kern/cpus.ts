/**
 * Virtual CPUs. A CPU is held for one run, never between runs; a run inside a run uses the same CPU one level deeper.
 * Each level has a run record, and an area of its own for stack, context and packet.
 */
import { AREA_RUN, alloc, allocAreas, free } from "../mem/alloc.ts";
import { OBJ_REFS, SB_CPU_TABLE } from "../mem/layout.ts";
import { holdsLock, lock, OWNER_MASK, ownerOf, unlock } from "../mem/locks.ts";
import type { Memory } from "../mem/memory.ts";
import { EBUSY, ENOMEM } from "../uapi/index.ts";
import type { ClientSlot } from "./clients.ts";
import type { Kernel } from "./kernel.ts";
import {
  endRun,
  RUN_CPU,
  RUN_CTX,
  RUN_HOME_CPU,
  RUN_OUTER,
  RUN_PACKET,
  RUN_PACKET_END,
  RUN_PROG,
  RUN_SIZE,
  RUN_STACK_TOP,
  resetRun,
  STACK_SIZE,
} from "./run_record.ts";

/** A CPU's entry: lock, levels in use, its run records (one behind the other), its area. */
export const CPU_LOCK = 0;
export const CPU_LEVELS = 4;
const CPU_RUNS = 8;
const CPU_AREA = 12;
/**
 * On a shared host, while the lock is taken: the program that the outermost run borrows, which has no reference for it
 * then; 0: that run has one. It stays behind the run, so that the next run of the same program announces it by taking
 * the lock.
 */
export const CPU_BORROWED = 16;
/** A program whose last reference was dropped while it was borrowed: who finds it with the lock free drops it again. */
export const CPU_OWED = 20;
const CPU_SIZE = 24;

const MAX_LEVELS = 4;
/** A packet's buffer: what a page holds in front of the kernel's own data at its end. */
export const PACKET_ROOM: number = 4096 - 320;
/** Contexts up to this size have a place of their own; it does not go when what a run holds is dropped. */
export const CONTEXT_ROOM = 256;
/** Where things lie in a level's part of the area, with gaps: who runs off the end of one does not land in the next. */
const LEVEL_CTX: number = STACK_SIZE + 512;
const LEVEL_PACKET: number = LEVEL_CTX + 512;
const LEVEL_SIZE = 12_288;

/** The table of CPUs, made when the first program runs. 0: out of memory. */
function cpuTable(kernel: Kernel): number {
  const { mem, cpus } = kernel;
  const table = mem.atomics.load32(SB_CPU_TABLE) >>> 0;
  if (table !== 0) return table;
  const made = alloc(mem, cpus * CPU_SIZE);
  if (made === 0) return 0;
  // The other side: another client that runs its first program at the same time.
  const other = mem.atomics.cas32(SB_CPU_TABLE, 0, made) >>> 0;
  if (other === 0) return made;
  free(mem, made, cpus * CPU_SIZE);
  return other;
}

/**
 * Takes a CPU, waiting for it where another client runs on it, and gives a run record on it that is ready but for
 * program and packet. -EBUSY: four runs are nested already; -ENOMEM. Pair with `releaseRun`.
 */
export function acquireRun(kernel: Kernel, cpu: number): number {
  const { mem } = kernel;
  if (kernel.ending !== 0 || kernel.leaving !== 0) endLeftOpen(kernel);
  const table = cpuTable(kernel);
  if (table === 0) return -ENOMEM;
  const nested = kernel.run !== 0;
  const entry = table + (nested ? kernel.cpu : cpu) * CPU_SIZE;
  if (!nested) {
    kernel.leaving = entry;
    if (lock(mem, entry + CPU_LOCK)) endRuns(kernel, entry);
    mem.u32[(entry + CPU_BORROWED) >>> 2] = 0;
  }
  const run = takeLevel(mem, entry);
  if (run < 0) {
    if (!nested) leaveCpu(kernel, entry);
    return run;
  }
  kernel.leaving = 0;
  mem.u32[(run + RUN_OUTER) >>> 2] = kernel.run;
  mem.u32[(run + RUN_HOME_CPU) >>> 2] = kernel.cpu;
  kernel.run = run;
  if (!nested) kernel.cpu = cpu;
  mem.u32[(run + RUN_CPU) >>> 2] = kernel.cpu;
  return run;
}

function takeLevel(mem: Memory, entry: number): number {
  const { u32 } = mem;
  const level = u32[(entry + CPU_LEVELS) >>> 2]!;
  if (level === MAX_LEVELS) return -EBUSY;
  if (u32[(entry + CPU_AREA) >>> 2] === 0 && !furnish(mem, entry)) return -ENOMEM;
  const run = u32[(entry + CPU_RUNS) >>> 2]! + level * RUN_SIZE;
  const area = u32[(entry + CPU_AREA) >>> 2]! + level * LEVEL_SIZE;
  // Before the level counts: whoever takes over from a dead client ends the runs that count, not what was here before.
  resetRun(mem, run);
  u32[(entry + CPU_LEVELS) >>> 2] = level + 1;
  u32[(run + RUN_STACK_TOP) >>> 2] = area + STACK_SIZE;
  u32[(run + RUN_CTX) >>> 2] = area + LEVEL_CTX;
  u32[(run + RUN_PACKET) >>> 2] = area + LEVEL_PACKET;
  u32[(run + RUN_PACKET_END) >>> 2] = area + LEVEL_PACKET + PACKET_ROOM;
  return run;
}

/** Records and area of a CPU, made when it runs its first program; they stay. */
function furnish(mem: Memory, entry: number): boolean {
  const runs = alloc(mem, RUN_SIZE * MAX_LEVELS);
  if (runs === 0) return false;
  const area = allocAreas(mem, LEVEL_SIZE * MAX_LEVELS, 1, { kind: AREA_RUN, map: 0 });
  if (area === 0) {
    free(mem, runs, RUN_SIZE * MAX_LEVELS);
    return false;
  }
  mem.u32[(entry + CPU_RUNS) >>> 2] = runs;
  mem.u32[(entry + CPU_AREA) >>> 2] = area;
  return true;
}

/** Of a CPU that a program has run on. */
export function cpuEntry({ u32 }: Memory, cpu: number): number {
  return u32[SB_CPU_TABLE >>> 2]! + cpu * CPU_SIZE;
}

/**
 * Ends this client's runs up to this one, the newest first: undoes what they hold and gives the CPU back with the last
 * level. Who calls it says so in `kernel.ending` before: should the stack have no room for what is done here, the
 * client's next run does it.
 */
export function releaseRun(kernel: Kernel, run: number): void {
  const { mem } = kernel;
  const { u32 } = mem;
  const entry = cpuEntry(mem, kernel.cpu);
  for (;;) {
    const ended = kernel.run;
    endRun(kernel, ended);
    // No call from here on, which might have no room: all of it is done, or nothing.
    u32[(entry + CPU_LEVELS) >>> 2]!--;
    kernel.run = u32[(ended + RUN_OUTER) >>> 2]!;
    kernel.cpu = u32[(ended + RUN_HOME_CPU) >>> 2]!;
    if (ended !== run) continue;
    kernel.ending = 0;
    if (kernel.run !== 0) return;
    kernel.leaving = entry;
    break;
  }
  leaveCpu(kernel, entry);
}

/** What there was no room on the stack for when it was due. */
function endLeftOpen(kernel: Kernel): void {
  if (kernel.ending !== 0) releaseRun(kernel, kernel.ending);
  const { mem, leaving } = kernel;
  if (leaving === 0) return;
  if (mem.shared && !holdsLock(mem, leaving + CPU_LOCK)) {
    kernel.leaving = 0;
    return;
  }
  endRuns(kernel, leaving);
  leaveCpu(kernel, leaving);
}

function leaveCpu(kernel: Kernel, entry: number): void {
  const { mem } = kernel;
  unlock(mem, entry + CPU_LOCK);
  kernel.leaving = 0;
  // As `oweToBorrower` does it, in the other order.
  if (mem.atomics.load32(entry + CPU_OWED) !== 0) dropOwed(kernel, entry);
}

/** Drops what is owed on a CPU whose lock was dropped. */
export function dropOwed(kernel: Kernel, entry: number): void {
  const prog = kernel.mem.atomics.xchg32(entry + CPU_OWED, 0) >>> 0;
  if (prog !== 0) kernel.put(prog);
}

/**
 * The last reference to the program was dropped. True: a run borrows it, and it has a reference again. Who borrows takes
 * the lock before it looks whether the program is still there, so that one of the two sees the other.
 */
export function oweToBorrower(kernel: Kernel, prog: number): boolean {
  const { mem, cpus } = kernel;
  const { atomics } = mem;
  const table = mem.u32[SB_CPU_TABLE >>> 2]!;
  if (table === 0) return false;
  for (let entry = table; entry < table + cpus * CPU_SIZE; entry += CPU_SIZE) {
    if (atomics.load32(entry + CPU_LOCK) === 0 || atomics.load32(entry + CPU_BORROWED) !== prog) continue;
    atomics.store32(prog + OBJ_REFS, 1);
    // Another program is there when the run that has borrowed it is over: if it is borrowed again, it comes back here.
    const other = atomics.xchg32(entry + CPU_OWED, prog) >>> 0;
    if (other !== 0) kernel.put(other);
    if (atomics.load32(entry + CPU_LOCK) === 0) dropOwed(kernel, entry);
    return true;
  }
  return false;
}

/**
 * Ends the runs that a client was in when it died, as they would have ended; each held a reference to its program, but
 * for one that has borrowed it.
 */
function endRuns(kernel: Kernel, entry: number): void {
  const { u32 } = kernel.mem;
  for (let level = u32[(entry + CPU_LEVELS) >>> 2]! - 1; level >= 0; level--) {
    const run = u32[(entry + CPU_RUNS) >>> 2]! + level * RUN_SIZE;
    endRun(kernel, run);
    u32[(entry + CPU_LEVELS) >>> 2] = level;
    const prog = u32[(run + RUN_PROG) >>> 2]!;
    const borrowed = level === 0 && u32[(entry + CPU_BORROWED) >>> 2] !== 0;
    if (prog !== 0 && !borrowed) kernel.put(prog);
  }
}

/** A client is gone: its runs end, so that consumers of rings do not wait for it. */
export function endRunsOf(kernel: Kernel, client: ClientSlot): void {
  const { mem, cpus } = kernel;
  if (kernel.ending !== 0 || kernel.leaving !== 0) endLeftOpen(kernel);
  const table = mem.u32[SB_CPU_TABLE >>> 2]!;
  if (table === 0) return;
  const owner = ownerOf(client.slot, client.generation);
  for (let entry = table; entry < table + cpus * CPU_SIZE; entry += CPU_SIZE) {
    const word = mem.atomics.load32(entry + CPU_LOCK);
    if ((word & OWNER_MASK) === owner) {
      // Another client that waits for this CPU may take it over first, and does the same.
      if (lock(mem, entry + CPU_LOCK)) endRuns(kernel, entry);
      unlock(mem, entry + CPU_LOCK);
    } else if (word !== 0) {
      continue;
    }
    // It may have died between the end of its run and this.
    if (mem.atomics.load32(entry + CPU_OWED) !== 0) dropOwed(kernel, entry);
  }
}
