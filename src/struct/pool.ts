/**
 * Blocks of one size for one map, taken and given back one by one. Memory comes in chunks and stays with the map until
 * the map goes. What is given back waits in a queue, so that who still looks at a block (a program that holds a pointer
 * to a value which was replaced) sees the old bytes for a while. The caller holds the map's lock.
 */
import { AREA_VALUES, alloc, allocAreas, free, freeAreas } from "../mem/alloc.ts";
import type { Memory } from "../mem/memory.ts";
import { MAP_FLAGS, MAP_VALUE_SIZE } from "./map.ts";
import { programRights } from "./values.ts";

/**
 * A pool lies in its map's descriptor; "pool" below is its offset there. Each operation is such that a client which dies
 * in it loses a block at most: numbers go down before their blocks are touched, and up after.
 */
export const POOL_SIZE = 32;
const FIRST = 0;
const LAST = 4;
/** Blocks in the queue, and how many of them stay there as long as other memory is to be had. */
const WAITING = 8;
const KEEP = 12;
/** The next block of the newest chunk that was never used, and how many there are. */
const NEXT = 16;
const REST = 20;
/** The newest chunk. */
const CHUNKS = 24;
/** Size of a block. The queue has its links in the last four bytes of what is in it. */
const STRIDE = 28;

/** Chunk record: next chunk, address, bytes. */
const CHUNK_SIZE = 16;
const CHUNK_BYTES = 0x1_0000 - 8;

/** An empty pool of blocks of `stride` bytes, a multiple of 8; `keep` of them rest before they are used again. */
export function initPool(mem: Memory, map: number, pool: number, stride: number, keep: number): void {
  const { u32 } = mem;
  const p = (map + pool) >>> 2;
  u32.fill(0, p, p + (POOL_SIZE >>> 2));
  u32[p + (STRIDE >>> 2)] = stride;
  u32[p + (KEEP >>> 2)] = keep;
}

/** A block with any content, or 0 when memory is out. `kind`, the same each time: AREA_VALUES or AREA_NODES. */
export function takeBlock(mem: Memory, map: number, pool: number, kind: number): number {
  const { u32 } = mem;
  const p = (map + pool) >>> 2;
  const waiting = u32[p + (WAITING >>> 2)]!;
  if (waiting > u32[p + (KEEP >>> 2)]!) return takeWaiting(u32, p);
  if (u32[p + (REST >>> 2)] === 0 && !addChunk(mem, map, p, kind)) return waiting === 0 ? 0 : takeWaiting(u32, p);
  u32[p + (REST >>> 2)] = u32[p + (REST >>> 2)]! - 1;
  const block = u32[p + (NEXT >>> 2)]!;
  u32[p + (NEXT >>> 2)] = block + u32[p + (STRIDE >>> 2)]!;
  return block;
}

function takeWaiting(u32: Uint32Array, p: number): number {
  const block = u32[p + (FIRST >>> 2)]!;
  u32[p + (WAITING >>> 2)] = u32[p + (WAITING >>> 2)]! - 1;
  u32[p + (FIRST >>> 2)] = u32[(block + u32[p + (STRIDE >>> 2)]! - 4) >>> 2]!;
  return block;
}

export function giveBlock(mem: Memory, map: number, pool: number, block: number): void {
  const { u32 } = mem;
  const p = (map + pool) >>> 2;
  const link = u32[p + (STRIDE >>> 2)]! - 4;
  const waiting = u32[p + (WAITING >>> 2)]!;
  if (waiting === 0) u32[p + (FIRST >>> 2)] = block;
  else u32[(u32[p + (LAST >>> 2)]! + link) >>> 2] = block;
  u32[p + (LAST >>> 2)] = block;
  u32[p + (WAITING >>> 2)] = waiting + 1;
}

/** How many blocks of so many bytes are taken at once. */
export function blocksPerChunk(stride: number): number {
  return Math.max(1, Math.floor(CHUNK_BYTES / stride));
}

function addChunk(mem: Memory, map: number, p: number, kind: number): boolean {
  const { u32 } = mem;
  const stride = u32[p + (STRIDE >>> 2)]!;
  const count = blocksPerChunk(stride);
  const bytes = count * stride;
  const chunk = alloc(mem, CHUNK_SIZE);
  if (chunk === 0) return false;
  const valueSize = kind === AREA_VALUES ? u32[(map + MAP_VALUE_SIZE) >>> 2]! : 0;
  const rights = programRights(u32[(map + MAP_FLAGS) >>> 2]!);
  const base = allocAreas(mem, bytes, 1, { kind, map, stride, valueSize, rights });
  if (base === 0) {
    free(mem, chunk, CHUNK_SIZE);
    return false;
  }
  const c = chunk >>> 2;
  u32[c] = u32[p + (CHUNKS >>> 2)]!;
  u32[c + 1] = base;
  u32[c + 2] = bytes;
  u32[p + (CHUNKS >>> 2)] = chunk;
  u32[p + (NEXT >>> 2)] = base;
  u32[p + (REST >>> 2)] = count;
  return true;
}

/** Gives all chunks back. */
export function freePool(mem: Memory, map: number, pool: number): void {
  const { u32 } = mem;
  for (let chunk = u32[(map + pool + CHUNKS) >>> 2]!; chunk !== 0; ) {
    const c = chunk >>> 2;
    const next = u32[c]!;
    freeAreas(mem, u32[c + 1]!, u32[c + 2]!, 1);
    free(mem, chunk, CHUNK_SIZE);
    chunk = next;
  }
}
