/**
 * Clients: the threads that work on a host. Each has a slot in the superblock, so that others can tell whether the owner
 * of a lock still lives. A worker is announced by the thread that made it, then attaches, and is reaped when it ends.
 */
import { CLIENT_SLOT_SIZE, CLIENT_SLOTS, SB_CLIENTS } from "../mem/layout.ts";
import { CLIENT_ALIVE, CLIENT_ANNOUNCED, CLIENT_DEAD, CLIENT_FREE, clientState } from "../mem/locks.ts";
import type { Memory } from "../mem/memory.ts";
import { PROCESS_CLIENTS } from "./fds.ts";

const C_PROCESS = 4;

export function slotAddress(slot: number): number {
  return SB_CLIENTS + slot * CLIENT_SLOT_SIZE;
}

/** Takes a free slot for a thread of this process that will attach. -1: all are taken. */
export function announceClient(mem: Memory, process: number): number {
  for (let slot = 0; slot < CLIENT_SLOTS; slot++) {
    if (mem.atomics.cas32(slotAddress(slot), CLIENT_FREE, CLIENT_ANNOUNCED) !== CLIENT_FREE) continue;
    mem.u32[(slotAddress(slot) + C_PROCESS) >>> 2] = process;
    mem.atomics.add32(process + PROCESS_CLIENTS, 1);
    return slot;
  }
  return -1;
}

/** The announced thread is here. Returns its process, or 0: the slot was not announced, or is in use already. */
export function attachClient(mem: Memory, slot: number): number {
  if (slot < 0 || slot >= CLIENT_SLOTS) return 0;
  if (mem.atomics.cas32(slotAddress(slot), CLIENT_ANNOUNCED, CLIENT_ALIVE) !== CLIENT_ANNOUNCED) return 0;
  mem.owner = slot + 1;
  return mem.u32[(slotAddress(slot) + C_PROCESS) >>> 2]!;
}

/** Marks a thread as gone, so that its locks can be taken over. False: it had left, or was reaped, already. */
export function markDead(mem: Memory, slot: number): boolean {
  const at = slotAddress(slot);
  for (;;) {
    const state = clientState(mem, slot);
    if (state !== CLIENT_ALIVE && state !== CLIENT_ANNOUNCED) return false;
    if (mem.atomics.cas32(at, state, CLIENT_DEAD) === state) return true;
  }
}

/** Makes the slot of a thread that is gone free again. Returns its process when that was its last thread, or 0. */
export function releaseSlot(mem: Memory, slot: number): number {
  const process = mem.u32[(slotAddress(slot) + C_PROCESS) >>> 2]!;
  const last = mem.atomics.add32(process + PROCESS_CLIENTS, -1) === 1;
  mem.atomics.store32(slotAddress(slot), CLIENT_FREE);
  return last ? process : 0;
}
