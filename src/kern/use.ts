/**
 * What keeps a map alive while a command of a shared host works on it: the client names it in its slot, which costs one
 * atomic exchange at each end; a reference would cost the lock of the fd table and two additions. Who drops the last
 * reference looks whether a client has the object in use, and if so hands that reference over: the client drops it when
 * its command ends, or who reaps the client. A client has one map in use at a time; what else a command needs it holds.
 */
import { CLIENT_SLOTS, OBJ_REFS } from "../mem/layout.ts";
import type { Memory } from "../mem/memory.ts";
import { useOf } from "./clients.ts";
import { entryObject, entryOf, FMODE_WRITE, PROCESS_TABLE, peekEntry } from "./fds.ts";
import type { Kernel } from "./kernel.ts";

/** Beside the map's address: the last reference is the client's to drop. */
const OWNS = 1;
/** The command writes: the map cannot be frozen now. */
const WRITES: number = FMODE_WRITE;
const BITS: number = OWNS | WRITES;

/** The entry of an fd, with its object in use. 0: the fd is not open, and nothing is in use. */
export function beginUse(kernel: Kernel, fd: number, mode: number): number {
  const { mem, process } = kernel;
  for (;;) {
    // Without the lock the table may move while it is read: what was found counts if it stands there afterwards.
    const entry = entryOf(mem, process, fd) || peekEntry(mem, process, fd);
    if (entry === 0) return 0;
    const word = entryObject(entry) | (mode & WRITES);
    if (mem.atomics.announce(kernel.use, word, process + PROCESS_TABLE, fd) === (entry | 0)) return entry;
    endUse(kernel);
  }
}

export function endUse(kernel: Kernel): void {
  const { atomics } = kernel.mem;
  const word = atomics.xchg32(kernel.use, 0);
  if (word & OWNS) kernel.put(objectIn(word));
}

/** What a client that died had in use is so no more. Returns the object if its last reference has to be dropped, or 0. */
export function abandonUse(mem: Memory, slot: number): number {
  const word = mem.atomics.xchg32(useOf(slot), 0);
  return word & OWNS ? objectIn(word) : 0;
}

/** The last reference to the object was dropped. True: a client has it in use, and a reference again. */
export function handOver(mem: Memory, object: number): boolean {
  const { atomics } = mem;
  for (let slot = 0; slot < CLIENT_SLOTS; slot++) {
    const word = atomics.load32(useOf(slot));
    if (objectIn(word) !== object) continue;
    // The reference comes first: the client may drop it at once.
    atomics.store32(object + OBJ_REFS, 1);
    if (atomics.cas32(useOf(slot), word, word | OWNS) === word) return true;
    // It has ended, and perhaps begun again. Nobody found the object meanwhile but by its id.
    if (atomics.add32(object + OBJ_REFS, -1) !== 1) return true;
    slot = -1;
  }
  return false;
}

/** A writing command works on the map. */
export function hasWriter(mem: Memory, map: number): boolean {
  for (let slot = 0; slot < CLIENT_SLOTS; slot++) {
    const word = mem.atomics.load32(useOf(slot));
    if (word & WRITES && objectIn(word) === map) return true;
  }
  return false;
}

function objectIn(word: number): number {
  return (word & ~BITS) >>> 0;
}
