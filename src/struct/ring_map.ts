/**
 * What both ring types are made of: one mapping of consumer page, producer page and data of 2 x max_entries. A record
 * lies contiguous from `position & mask` on, also past max_entries. Positions are u64, count bytes and never wrap.
 * Kernel counterpart: ringbuf.c.
 */
import { AREA_RING, allocAreas, freeAreas } from "../mem/alloc.ts";
import { PAGE_SIZE } from "../mem/layout.ts";
import type { Memory } from "../mem/memory.ts";
import { BPF_F_NUMA_NODE, EINVAL, ENOMEM } from "../uapi/index.ts";
import type { MapCreateAttr, MapEnv } from "./env.ts";
import { MAP_MAX_ENTRIES, MAP_PRIVATE } from "./map.ts";

/** Address of the mapping: the consumer page. A ring type's own fields begin behind it. */
export const RING_BASE: number = MAP_PRIVATE;
export const RING_PRIVATE: number = MAP_PRIVATE + 4;

/** Offsets in the mapping: u64 consumer position, u64 producer position, records. */
export const RING_PROD_PAGE: number = PAGE_SIZE;
export const RING_DATA: number = 2 * PAGE_SIZE;

export function allocCheck(_env: MapEnv, attr: MapCreateAttr): number {
  const { max_entries } = attr;
  if (attr.map_flags & ~BPF_F_NUMA_NODE || attr.key_size !== 0 || attr.value_size !== 0) return -EINVAL;
  return max_entries < PAGE_SIZE || (max_entries & (max_entries - 1)) !== 0 ? -EINVAL : 0;
}

export function mappingSize(maxEntries: number): number {
  return RING_DATA + 2 * maxEntries;
}

export function alloc(env: MapEnv, map: number, attr: MapCreateAttr): number {
  const base = allocAreas(env.mem, mappingSize(attr.max_entries), 1, { kind: AREA_RING, map });
  if (base === 0) return -ENOMEM;
  env.mem.u32[(map + RING_BASE) >>> 2] = base;
  return 0;
}

export function free(env: MapEnv, map: number): void {
  const { u32 } = env.mem;
  freeAreas(env.mem, u32[(map + RING_BASE) >>> 2]!, mappingSize(u32[(map + MAP_MAX_ENTRIES) >>> 2]!), 1);
}

/** mmap of whole pages; which of them may be written is for the type to say before. */
export function mmapRing(env: MapEnv, map: number, offset: number, length: number): number {
  const { u32 } = env.mem;
  if (offset + length > mappingSize(u32[(map + MAP_MAX_ENTRIES) >>> 2]!)) return -EINVAL;
  return u32[(map + RING_BASE) >>> 2]! + offset;
}

/** The halves of a u64. */
export function low(mem: Memory, address: number): number {
  return mem.u32[address >>> 2]!;
}

export function high(mem: Memory, address: number): number {
  return mem.u32[(address >>> 2) + 1]!;
}
