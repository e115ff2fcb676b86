/**
 * Ids of maps, programs, BTF and links: unique, never 0, allocated upwards and round again as the kernel does, so that an id is
 * not used again soon. One table a kind of object: a vector of (id, object) sorted by id, in linear memory.
 */
import { alloc, free } from "../mem/alloc.ts";
import { OBJ_ID, OBJ_REFS, SB_IDS } from "../mem/layout.ts";
import { lock, unlock } from "../mem/locks.ts";
import type { Memory } from "../mem/memory.ts";
import { ENOENT, ENOMEM } from "../uapi/index.ts";

const TABLE_SIZE = 32;
const T_LOCK = 0;
const T_VECTOR = 4;
const T_LENGTH = 8;
const T_CAPACITY = 12;
/** The id that was given out last. */
const T_LAST = 16;
const ENTRY = 8;
const FIRST_CAPACITY = 16;
const ID_MAX = 0x7fff_ffff;

function tableOf(kind: number): number {
  return SB_IDS + kind * TABLE_SIZE;
}

/** Index of the first entry whose id is >= `id`. */
function lowerBound(u32: Uint32Array, table: number, id: number): number {
  const vector = u32[(table + T_VECTOR) >>> 2]! >>> 2;
  let low = 0;
  let high = u32[(table + T_LENGTH) >>> 2]!;
  while (low < high) {
    const mid = (low + high) >>> 1;
    if (u32[vector + mid * 2]! < id) low = mid + 1;
    else high = mid;
  }
  return low;
}

/** Gives the object the next free id and makes it findable. 0, or -ENOMEM. */
export function addId(mem: Memory, kind: number, object: number): number {
  const table = tableOf(kind);
  lock(mem, table + T_LOCK);
  const ret = insert(mem, table, object);
  unlock(mem, table + T_LOCK);
  return ret;
}

function insert(mem: Memory, table: number, object: number): number {
  const { u32 } = mem;
  const length = u32[(table + T_LENGTH) >>> 2]!;
  if (length === u32[(table + T_CAPACITY) >>> 2] && !grow(mem, table)) return -ENOMEM;
  const vector = u32[(table + T_VECTOR) >>> 2]!;
  let id = u32[(table + T_LAST) >>> 2]! + 1;
  let at = lowerBound(u32, table, id);
  while (at < length && u32[(vector >>> 2) + at * 2] === id) {
    id++;
    at++;
  }
  if (id > ID_MAX) {
    for (id = 1, at = 0; at < length && u32[(vector >>> 2) + at * 2] === id; at++) id++;
  }
  const entry = vector + at * ENTRY;
  mem.u8.copyWithin(entry + ENTRY, entry, vector + length * ENTRY);
  u32[entry >>> 2] = id;
  u32[(entry >>> 2) + 1] = object;
  u32[(object + OBJ_ID) >>> 2] = id;
  u32[(table + T_LENGTH) >>> 2] = length + 1;
  u32[(table + T_LAST) >>> 2] = id;
  return 0;
}

function grow(mem: Memory, table: number): boolean {
  const { u32 } = mem;
  const old = u32[(table + T_VECTOR) >>> 2]!;
  const capacity = u32[(table + T_CAPACITY) >>> 2]!;
  const larger = capacity === 0 ? FIRST_CAPACITY : capacity * 2;
  const vector = alloc(mem, larger * ENTRY);
  if (vector === 0) return false;
  if (old !== 0) {
    mem.u8.copyWithin(vector, old, old + capacity * ENTRY);
  }
  u32[(table + T_VECTOR) >>> 2] = vector;
  u32[(table + T_CAPACITY) >>> 2] = larger;
  if (old !== 0) free(mem, old, capacity * ENTRY);
  return true;
}

/** Makes the object unfindable; its id is not given out again until all others were. */
export function removeId(mem: Memory, kind: number, object: number): void {
  const { u32 } = mem;
  const table = tableOf(kind);
  lock(mem, table + T_LOCK);
  const vector = u32[(table + T_VECTOR) >>> 2]!;
  const length = u32[(table + T_LENGTH) >>> 2]!;
  const entry = vector + lowerBound(u32, table, u32[(object + OBJ_ID) >>> 2]!) * ENTRY;
  mem.u8.copyWithin(entry, entry + ENTRY, vector + length * ENTRY);
  u32[(table + T_LENGTH) >>> 2] = length - 1;
  unlock(mem, table + T_LOCK);
}

/** One more reference to an object that may have none left. False: it has none. */
export function holdLive({ atomics }: Memory, object: number): boolean {
  for (;;) {
    const refs = atomics.load32(object + OBJ_REFS);
    if (refs === 0) return false;
    if (atomics.cas32(object + OBJ_REFS, refs, refs + 1) === refs) return true;
  }
}

/** The object with this id with one more reference, or -ENOENT. An object whose last reference is going is not found. */
export function getById(mem: Memory, kind: number, id: number): number {
  const { u32 } = mem;
  const table = tableOf(kind);
  lock(mem, table + T_LOCK);
  const entry = (u32[(table + T_VECTOR) >>> 2]! >>> 2) + lowerBound(u32, table, id) * 2;
  const inside = lowerBound(u32, table, id) < u32[(table + T_LENGTH) >>> 2]!;
  let object = inside && u32[entry] === id ? u32[entry + 1]! : -ENOENT;
  if (object > 0 && !holdLive(mem, object)) object = -ENOENT;
  unlock(mem, table + T_LOCK);
  return object;
}

/** The smallest id above `start`, or -ENOENT. */
export function nextId(mem: Memory, kind: number, start: number): number {
  const { u32 } = mem;
  const table = tableOf(kind);
  lock(mem, table + T_LOCK);
  const at = lowerBound(u32, table, start + 1);
  const found = at < u32[(table + T_LENGTH) >>> 2]!;
  const id = found ? u32[(u32[(table + T_VECTOR) >>> 2]! >>> 2) + at * 2]! : -ENOENT;
  unlock(mem, table + T_LOCK);
  return id;
}
