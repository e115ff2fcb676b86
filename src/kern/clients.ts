/**
 * Clients: the threads that work on a host. Each has a slot in the superblock, so that others can tell whether the owner
 * of a lock still lives. A worker is announced by the thread that made it, then attaches, and is reaped when it ends.
 * A slot's generation tells one client from the next in the same slot.
 */
import { POOL_METADATA, POOL_USER, type Pool } from "../mem/alloc.ts";
import { CLIENT_SLOT_SIZE, CLIENT_SLOTS, SB_CLIENTS, SB_DEATHS } from "../mem/layout.ts";
import {
  CLIENT_ALIVE,
  CLIENT_ANNOUNCED,
  CLIENT_FREE,
  CLIENT_GENERATIONS,
  CLIENT_STATE_BITS,
  CLIENT_THREAD,
  ownerOf,
} from "../mem/locks.ts";
import type { Memory } from "../mem/memory.ts";
import { threadId } from "../mem/threads.ts";
import { PROCESS_CLIENTS } from "./fds.ts";

const C_PROCESS = 4;
/** Blocks that the client has for itself: address and size of each. Who reaps it gives them back. */
const C_BLOCKS = 8;
/** The map that a command of this client works on, with what it does there; 0: none. See `use.ts`. */
const C_USE = 48;
export const ATTR_BLOCK = 0;
export const SCRATCH_BLOCK = 1;
/** User memory, in which the host stages what its caller gives. */
export const STAGE_BLOCK = 2;
/** What runs leave: see `jit/whole_run.ts`. */
export const RESULTS_BLOCK = 3;
/** Of `ElementCode`, while it compiles. */
export const ELEMENT_BLOCK = 4;
const BLOCKS = 5;
const STATE_MASK: number = (1 << CLIENT_STATE_BITS) - 1;

export interface ClientSlot {
  readonly slot: number;
  readonly generation: number;
}

function addressOf(slot: number): number {
  return SB_CLIENTS + slot * CLIENT_SLOT_SIZE;
}

function word(generation: number, state: number): number {
  return (generation << CLIENT_STATE_BITS) | state;
}

/** Takes a free slot for a thread of this process that will attach. Undefined: all are taken. */
export function announceClient(mem: Memory, process: number): ClientSlot | undefined {
  for (let slot = 0; slot < CLIENT_SLOTS; slot++) {
    const at = addressOf(slot);
    const old = mem.atomics.load32(at);
    if ((old & STATE_MASK) !== CLIENT_FREE) continue;
    const generation = ((old >>> CLIENT_STATE_BITS) + 1) % CLIENT_GENERATIONS;
    if (mem.atomics.cas32(at, old, word(generation, CLIENT_ANNOUNCED)) !== old) continue;
    mem.u32[(at + C_PROCESS) >>> 2] = process;
    mem.zero(at + C_BLOCKS, BLOCKS * 8);
    mem.u32[(at + C_USE) >>> 2] = 0;
    mem.atomics.add32(process + PROCESS_CLIENTS, 1);
    return { slot, generation };
  }
  return undefined;
}

/** The announced thread is here. Returns its process, or 0: the slot was not announced, or somebody attached already. */
export function attachClient(mem: Memory, client: ClientSlot): number {
  const { slot, generation } = client;
  const announced = word(generation, CLIENT_ANNOUNCED);
  if (!(slot >= 0 && slot < CLIENT_SLOTS)) return 0;
  if (mem.shared) mem.u32[(addressOf(slot) + CLIENT_THREAD) >>> 2] = threadId();
  if (mem.atomics.cas32(addressOf(slot), announced, word(generation, CLIENT_ALIVE)) !== announced) return 0;
  mem.owner = ownerOf(slot, generation);
  return mem.u32[(addressOf(slot) + C_PROCESS) >>> 2]!;
}

/**
 * A thread is gone: its slot is free, and its locks can be taken over. Returns its process when that was its last
 * thread, 0 when others are left, -1 when it had left already.
 */
export function releaseClient(mem: Memory, client: ClientSlot): number {
  const { slot, generation } = client;
  const at = addressOf(slot);
  const state = mem.atomics.load32(at);
  if (!isClient(mem, client)) return -1;
  const process = mem.u32[(at + C_PROCESS) >>> 2]!;
  if (mem.atomics.cas32(at, state, word(generation, CLIENT_FREE)) !== state) return -1;
  mem.atomics.add32(SB_DEATHS, 1);
  return mem.atomics.add32(process + PROCESS_CLIENTS, -1) === 1 ? process : 0;
}

/** The client has not left yet. */
export function isClient(mem: Memory, client: ClientSlot): boolean {
  const state = mem.atomics.load32(addressOf(client.slot));
  return state === word(client.generation, CLIENT_ALIVE) || state === word(client.generation, CLIENT_ANNOUNCED);
}

export function rememberBlock(mem: Memory, client: ClientSlot, which: number, address: number, size: number): void {
  const at = (addressOf(client.slot) + C_BLOCKS + which * 8) >>> 2;
  mem.u32[at + 1] = size;
  mem.u32[at] = address;
}

export interface ClientBlock {
  readonly address: number;
  readonly size: number;
  readonly pool: Pool;
}

export function blocksOf(mem: Memory, client: ClientSlot): ClientBlock[] {
  const at = (addressOf(client.slot) + C_BLOCKS) >>> 2;
  const blocks: ClientBlock[] = [];
  for (let i = 0; i < BLOCKS; i++) {
    const pool = i === STAGE_BLOCK ? POOL_USER : POOL_METADATA;
    blocks.push({ address: mem.u32[at + i * 2]!, size: mem.u32[at + i * 2 + 1]!, pool });
  }
  return blocks.filter(({ address }) => address !== 0);
}

/** Address of the word that names the map in use by the client in this slot. */
export function useOf(slot: number): number {
  return addressOf(slot) + C_USE;
}
