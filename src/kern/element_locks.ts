/**
 * Locks that programs take: bpf_spin_lock and bpf_res_spin_lock in values and objects. The field is the program's to
 * write over; the lock is a word of the record of special fields, which several elements share. It is the same word that
 * commands with BPF_F_LOCK take. Unlike other locks these count on exclusive hosts too: a run can stand still while it
 * holds one.
 */
import { AREA_BASE, AREA_KIND, AREA_MAP, AREA_STRIDE, AREA_VALUES, areaOf } from "../mem/alloc.ts";
import { holdsLock, lock, lockWithin, unlock } from "../mem/locks.ts";
import type { Memory } from "../mem/memory.ts";
import { elementLock } from "../struct/fields.ts";
import { MAP_FIELDS } from "../struct/map.ts";
import { objectAround, POOL_RECORD, poolOf } from "../struct/objects.ts";
import type { Kernel } from "./kernel.ts";
import { findHeld, HELD_ADDRESS, HELD_LOCK, HELD_OBJECT, heldLock, hold, letGo } from "./run_record.ts";

export const LOCK_TAKEN = 0;
/** This run holds it, or another run of this thread, which cannot go on meanwhile. */
export const LOCK_OWN = 1;
/** It was not to be had in time. */
export const LOCK_LATE = 2;
export const LOCK_NO_MEMORY = 3;

/** The word of the lock in the value or object that holds the field. */
function wordOf(mem: Memory, field: number): number {
  const { u32 } = mem;
  const area = areaOf(mem, field);
  if (u32[(area + AREA_KIND) >>> 2] !== AREA_VALUES) {
    const object = objectAround(mem, area, field);
    return elementLock(mem, u32[(poolOf(mem, object) + POOL_RECORD) >>> 2]!, object);
  }
  const inside = (field - u32[(area + AREA_BASE) >>> 2]!) % u32[(area + AREA_STRIDE) >>> 2]!;
  return elementLock(mem, u32[(u32[(area + AREA_MAP) >>> 2]! + MAP_FIELDS) >>> 2]!, field - inside);
}

/**
 * Takes the lock at `field` for the run under way, which holds it until it drops it or ends. `ms`: how long to wait for
 * another thread; 0: for as long as that lives.
 */
export function takeElementLock(kernel: Kernel, field: number, ms: number): number {
  const { mem, run } = kernel;
  if (findHeld(mem, run, HELD_LOCK, field) !== 0) return LOCK_OWN;
  const word = wordOf(mem, field);
  // Two elements with one word: the first one's entry keeps it.
  const shared = heldLock(mem, run, word) !== 0;
  if (!shared) {
    const taken = take(mem, word, ms);
    if (taken !== LOCK_TAKEN) return taken;
  }
  if (hold(mem, run, HELD_LOCK, shared ? 0 : word, field, 0)) return LOCK_TAKEN;
  if (!shared) dropWord(mem, word);
  return LOCK_NO_MEMORY;
}

function take(mem: Memory, word: number, ms: number): number {
  if (holdsLock(mem, word)) return LOCK_OWN;
  if (!mem.shared) mem.u32[word >>> 2] = mem.owner;
  else if (ms === 0) lock(mem, word);
  else if (!lockWithin(mem, word, ms)) return LOCK_LATE;
  return LOCK_TAKEN;
}

function dropWord(mem: Memory, word: number): void {
  if (mem.shared) unlock(mem, word);
  else mem.u32[word >>> 2] = 0;
}

/** False: the run does not hold the lock at `field`. */
export function dropElementLock({ mem, run }: Kernel, field: number): boolean {
  const entry = findHeld(mem, run, HELD_LOCK, field);
  if (entry === 0) return false;
  const word = mem.u32[(entry + HELD_OBJECT) >>> 2]!;
  letGo(mem, run, entry);
  if (word === 0) return true;
  const other = otherOf(mem, run, word);
  if (other === 0) dropWord(mem, word);
  else mem.u32[(other + HELD_OBJECT) >>> 2] = word;
  return true;
}

/** The oldest other lock of the run with the same word, or 0: all that have none are newer than the one that has it. */
function otherOf(mem: Memory, run: number, word: number): number {
  let entry = heldLock(mem, run, 0);
  while (entry !== 0 && wordOf(mem, mem.u32[(entry + HELD_ADDRESS) >>> 2]!) !== word) {
    entry = heldLock(mem, run, 0, entry);
  }
  return entry;
}
