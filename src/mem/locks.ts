/**
 * Locks of a shared host. A lock is one u32: 0, or the owner (client slot + 1) with a bit that says somebody sleeps.
 * On an exclusive host both calls return at once.
 */
import { Bug } from "../errors.ts";
import { CLIENT_SLOT_SIZE, SB_CLIENTS } from "./layout.ts";
import type { Memory } from "./memory.ts";
import { threadGone } from "./threads.ts";

const WAITERS = 0x8000_0000 | 0;
/** The owner in a lock word. */
export const OWNER_MASK = 0x7fff_ffff;
/** An owner is (generation << SLOT_BITS | slot) + 1: a slot that is used again does not look like its dead client. */
const SLOT_BITS = 6;
const SLOT_MASK: number = (1 << SLOT_BITS) - 1;
const SPINS = 200;
/** Who waits longer than this looks whether the owner still lives. */
const WAIT_MS = 10;

/** Low bits of the first word of a client's slot; above them stands the slot's generation. */
export const CLIENT_FREE = 0;
export const CLIENT_ANNOUNCED = 1;
export const CLIENT_ALIVE = 2;
export const CLIENT_STATE_BITS = 2;
/** The system's number of the client's thread, 0 where there is none: see `threads.ts`. */
export const CLIENT_THREAD = 52;
/** Generations that a slot counts before it starts again. */
export const CLIENT_GENERATIONS: number = 1 << 24;

/**
 * Takes the lock. True: it was taken over from a client that died holding it, and what it protects may be half
 * changed: the caller repairs it from what is the truth (for hash tables, the chains) before it goes on.
 */
export function lock(mem: Memory, address: number): boolean {
  if (!mem.shared) return false;
  if (mem.atomics.cas32(address, 0, mem.owner) === 0) return false;
  return lockSlow(mem, address);
}

/** Drops the lock and wakes one who sleeps on it. */
export function unlock(mem: Memory, address: number): void {
  if (!mem.shared) return;
  if (mem.atomics.xchg32(address, 0) < 0) Atomics.notify(mem.i32, address >>> 2, 1);
}

/** Whether this client holds the lock. */
export function holdsLock(mem: Memory, address: number): boolean {
  return (mem.atomics.load32(address) & OWNER_MASK) === mem.owner;
}

/** Takes the lock as `lock` does, but waits for so long only. False: its owner lives and keeps it. */
export function lockWithin(mem: Memory, address: number, ms: number): boolean {
  const { atomics } = mem;
  const end = performance.now() + ms;
  for (;;) {
    const word = atomics.load32(address);
    if (word === 0) {
      if (atomics.cas32(address, 0, mem.owner | WAITERS) === 0) return true;
      continue;
    }
    const owner = word & OWNER_MASK;
    if (!ownerLives(mem, owner)) {
      if (atomics.cas32(address, word, mem.owner | WAITERS) === word) return true;
      continue;
    }
    if (owner === mem.owner || performance.now() >= end) return false;
    if (word > 0 && atomics.cas32(address, word, word | WAITERS) !== word) continue;
    wait(mem, address, word | WAITERS);
  }
}

function lockSlow(mem: Memory, address: number): boolean {
  const { atomics } = mem;
  for (let spin = 0; spin < SPINS; spin++) {
    if (atomics.load32(address) === 0 && atomics.cas32(address, 0, mem.owner) === 0) return false;
  }
  for (;;) {
    const word = atomics.load32(address);
    if (word === 0) {
      // Others may sleep here still, so the bit stays set: one wake-up too many costs less than one too few.
      if (atomics.cas32(address, 0, mem.owner | WAITERS) === 0) return false;
      continue;
    }
    const owner = word & OWNER_MASK;
    if (owner === mem.owner) throw new Bug(`client ${slotOf(owner)} takes the lock at ${address} twice`);
    if (word > 0 && atomics.cas32(address, word, word | WAITERS) !== word) continue;
    wait(mem, address, word | WAITERS);
    if (!ownerLives(mem, owner)) {
      if (atomics.cas32(address, owner | WAITERS, mem.owner | WAITERS) === (owner | WAITERS)) return true;
    }
  }
}

function wait(mem: Memory, address: number, expected: number): void {
  try {
    Atomics.wait(mem.i32, address >>> 2, expected, WAIT_MS);
  } catch {
    // A page's main thread may not sleep: it goes round again.
  }
}

/** What a client writes into lock words. */
export function ownerOf(slot: number, generation: number): number {
  return ((generation << SLOT_BITS) | slot) + 1;
}

/** The slot of an owner, for records that have no room for its generation. */
export function slotOf(owner: number): number {
  return (owner - 1) & SLOT_MASK;
}

/** The client that wrote this into a lock word lives: it has not been reaped, and its thread is there. */
export function ownerLives(mem: Memory, owner: number): boolean {
  const slot = SB_CLIENTS + slotOf(owner) * CLIENT_SLOT_SIZE;
  const alive = (((owner - 1) >>> SLOT_BITS) << CLIENT_STATE_BITS) | CLIENT_ALIVE;
  return mem.atomics.load32(slot) === alive && !threadGone(mem.u32[(slot + CLIENT_THREAD) >>> 2]!);
}
