/**
 * The allocator: granules (64 KiB) by first fit, and size classes for what is smaller. A granule belongs to one area:
 * metadata, user memory, stacks, or one kind of thing of one map. The granule table tells for any address which area
 * it lies in, so that a program's access can be judged from the address alone.
 */
import {
  GRANULE,
  GRANULE_SHIFT,
  SB,
  SB_ALLOC_LOCK,
  SB_AREAS,
  SB_FIRST_FREE,
  SB_GRANULES,
  SB_SLAB_BYTES,
  SB_SLABS,
  SB_STATES,
  SB_TABLE,
  SB_USED,
  SLAB_CLASSES,
} from "./layout.ts";
import { lock, unlock } from "./locks.ts";
import type { Memory } from "./memory.ts";

/** Area descriptor, 32 bytes. */
export const AREA_KIND = 0;
export const AREA_BASE = 4;
/** Bytes that may be used, from the base on. */
export const AREA_SIZE = 8;
/** The map that owns the area, or 0. */
export const AREA_MAP = 12;
export const AREA_STRIDE = 16;
/** Bytes of each stride that a program may touch. */
export const AREA_VALUE_SIZE = 20;
/** AREA_PROG_READ | AREA_PROG_WRITE */
export const AREA_RIGHTS = 24;
/** Mappings of this area into user space: see `kern/mappings.ts`. */
export const AREA_MAPPED = 28;
/** Views that user space may still hold of the area, mapped or not: while there are any, its granules are not reused. */
const AREA_VIEWS = 32;
/** Granules of an area that was freed while there were views; 0: it lives. */
const AREA_ZOMBIE = 36;
/** Those of the mappings that may be written, and how far from the base on the widest of each kind reaches. */
export const AREA_MAPPED_RW = 40;
export const AREA_READ_END = 44;
export const AREA_WRITE_END = 48;
const AREA_DESC_SIZE = 64;

export const AREA_METADATA = 1;
export const AREA_USER = 2;
/** Stacks, contexts and packets of runs: what a program may touch of them is in its run record. */
export const AREA_RUN = 3;
/** Values of a map: the only areas that a program reaches through pointers that came out of memory. */
export const AREA_VALUES = 4;
/** Keys, links, counters: never reached by programs. */
export const AREA_NODES = 5;
/** A ring's mapping: consumer page, producer page, data. Programs reach only the records that their run has reserved. */
export const AREA_RING = 6;
/** Pages of an arena: not for the pointers that reach values. */
export const AREA_ARENA = 7;
/** Objects that programs allocated, each behind a head that they do not reach; AREA_MAP is their pool. */
export const AREA_OBJECTS = 8;

export const AREA_PROG_READ = 1;
export const AREA_PROG_WRITE = 2;

/** What may be asked of the slabs: two pools that never share a granule. */
export const POOL_METADATA = 0;
export const POOL_USER = 1;
export type Pool = typeof POOL_METADATA | typeof POOL_USER;

/** States of a granule. 0: never touched, so it reads zero and needs no clearing. */
const USED_FREE = 1;
const IN_USE = 2;

/** Bytes that every area keeps unused at its end, so that word-wise readers may look past the last value. */
const AREA_TAIL = 8;
const MIN_SLAB_SHIFT = 4;
const MAX_SLAB: number = 1 << (MIN_SLAB_SHIFT + SLAB_CLASSES - 1);

const META_AREA = SB_AREAS;
/** The one descriptor of all user memory. */
export const USER_AREA: number = SB_AREAS + AREA_DESC_SIZE;

const TABLE_ROWS = 65536;

/** Lays out an empty memory: superblock, granule table and granule states. Called once, by who made the memory. */
export function initAlloc(mem: Memory, granules: number): void {
  const { u32, u8 } = mem;
  const table = 2 * GRANULE;
  // The table has a row for every u32 address, also beyond this memory: a look-up needs no bound.
  const states = table + TABLE_ROWS * 4;
  const firstFree = Math.ceil((states + granules) / GRANULE);
  u32[SB_GRANULES >>> 2] = granules;
  u32[SB_TABLE >>> 2] = table;
  u32[SB_STATES >>> 2] = states;
  u32[SB_FIRST_FREE >>> 2] = firstFree;
  u32[SB_USED >>> 2] = firstFree;
  u32[(META_AREA + AREA_KIND) >>> 2] = AREA_METADATA;
  u32[(USER_AREA + AREA_KIND) >>> 2] = AREA_USER;
  for (let g = 0; g < firstFree; g++) u8[states + g] = IN_USE;
  for (let g = SB >>> GRANULE_SHIFT; g < firstFree; g++) u32[(table >>> 2) + g] = META_AREA;
}

/** Takes `count` granules in a row for the area `desc`; zeroed. Returns the address, or 0 when there is no room. */
function takeGranules(mem: Memory, count: number, desc: number): number {
  const { u8, u32 } = mem;
  const total = u32[SB_GRANULES >>> 2]!;
  const states = u32[SB_STATES >>> 2]!;
  const table = u32[SB_TABLE >>> 2]! >>> 2;
  let start = u32[SB_FIRST_FREE >>> 2]!;
  while (start < total && u8[states + start] === IN_USE) start++;
  u32[SB_FIRST_FREE >>> 2] = start;
  for (let g = start; ; g++) {
    if (start + count > total) return 0;
    if (g === start + count) break;
    if (u8[states + g] === IN_USE) start = g + 1;
  }
  for (let g = start; g < start + count; g++) {
    if (u8[states + g] === USED_FREE) mem.zero(g * GRANULE, GRANULE);
    u8[states + g] = IN_USE;
    u32[table + g] = desc;
  }
  u32[SB_USED >>> 2] = u32[SB_USED >>> 2]! + count;
  return start * GRANULE;
}

function giveGranules(mem: Memory, address: number, count: number): void {
  const { u8, u32 } = mem;
  const first = address >>> GRANULE_SHIFT;
  const states = u32[SB_STATES >>> 2]!;
  const table = u32[SB_TABLE >>> 2]! >>> 2;
  for (let g = first; g < first + count; g++) {
    u8[states + g] = USED_FREE;
    u32[table + g] = 0;
  }
  if (first < u32[SB_FIRST_FREE >>> 2]!) u32[SB_FIRST_FREE >>> 2] = first;
  u32[SB_USED >>> 2] = u32[SB_USED >>> 2]! - count;
}

function granulesFor(bytes: number): number {
  return Math.ceil((bytes + AREA_TAIL) / GRANULE);
}

function slabClass(size: number): number {
  return size <= 1 << MIN_SLAB_SHIFT ? 0 : 32 - Math.clz32(size - 1) - MIN_SLAB_SHIFT;
}

/** A zeroed block of `size` bytes, aligned to its size class (a power of two), or 0 when memory is out. */
export function alloc(mem: Memory, size: number, pool: Pool = POOL_METADATA): number {
  lock(mem, SB_ALLOC_LOCK);
  const address = size > MAX_SLAB ? allocLarge(mem, size, pool) : allocSlab(mem, size, pool);
  if (address !== 0) countBytes(mem, pool, size);
  unlock(mem, SB_ALLOC_LOCK);
  return address;
}

/** Gives back what `alloc` gave; `size` and `pool` are the same as then. */
export function free(mem: Memory, address: number, size: number, pool: Pool = POOL_METADATA): void {
  lock(mem, SB_ALLOC_LOCK);
  if (size > MAX_SLAB) {
    giveGranules(mem, address, granulesFor(size));
  } else {
    const head = (SB_SLABS >>> 2) + pool * SLAB_CLASSES + slabClass(size);
    mem.u32[address >>> 2] = mem.u32[head]!;
    mem.u32[head] = address;
  }
  countBytes(mem, pool, -size);
  unlock(mem, SB_ALLOC_LOCK);
}

function allocLarge(mem: Memory, size: number, pool: Pool): number {
  if (size > mem.byteLength) return 0;
  return takeGranules(mem, granulesFor(size), pool === POOL_USER ? USER_AREA : META_AREA);
}

function allocSlab(mem: Memory, size: number, pool: Pool): number {
  const { u32 } = mem;
  const cls = slabClass(size);
  const head = (SB_SLABS >>> 2) + pool * SLAB_CLASSES + cls;
  const bytes = 1 << (cls + MIN_SLAB_SHIFT);
  let block = u32[head]!;
  // The links of free user memory lie in it, where user space can write: one that leads elsewhere ends the list.
  const astray = pool === POOL_USER && block !== 0 && (areaOf(mem, block) !== USER_AREA || (block & (bytes - 1)) !== 0);
  if (block === 0 || astray) {
    block = 0;
    const granule = takeGranules(mem, 1, pool === POOL_USER ? USER_AREA : META_AREA);
    if (granule === 0) return 0;
    for (let at = granule + GRANULE - bytes; at >= granule; at -= bytes) {
      u32[at >>> 2] = block;
      block = at;
    }
  }
  u32[head] = u32[block >>> 2]!;
  mem.zero(block, bytes);
  return block;
}

function countBytes(mem: Memory, pool: Pool, by: number): void {
  const at = SB_SLAB_BYTES + pool * 8;
  mem.writeU64(at, mem.readU64(at) + by);
}

export interface AreaSpec {
  readonly kind: number;
  readonly map: number;
  /** Values: element i lies at base + i * stride; programs may touch the first valueSize bytes of each stride. */
  readonly stride?: number;
  readonly valueSize?: number;
  readonly rights?: number;
}

/**
 * Areas of one map: `count` (one, or one a CPU) areas of `bytes` each, one behind the other, every one in granules of
 * its own. Returns the address of the first, or 0: out of memory, and nothing was taken. The distance from one to the
 * next is `areaSpan(bytes)`.
 */
export function allocAreas(mem: Memory, bytes: number, count: number, spec: AreaSpec): number {
  const granules = granulesFor(bytes);
  if (granules * count * GRANULE > mem.byteLength) return 0;
  const descs = alloc(mem, AREA_DESC_SIZE * count);
  if (descs === 0) return 0;
  lock(mem, SB_ALLOC_LOCK);
  const base = takeGranules(mem, granules * count, descs);
  if (base !== 0) {
    const { u32 } = mem;
    const table = u32[SB_TABLE >>> 2]! >>> 2;
    for (let i = 0; i < count; i++) {
      const desc = descs + i * AREA_DESC_SIZE;
      const areaBase = base + i * granules * GRANULE;
      u32[(desc + AREA_KIND) >>> 2] = spec.kind;
      u32[(desc + AREA_BASE) >>> 2] = areaBase;
      u32[(desc + AREA_SIZE) >>> 2] = bytes;
      u32[(desc + AREA_MAP) >>> 2] = spec.map;
      u32[(desc + AREA_STRIDE) >>> 2] = spec.stride ?? 0;
      u32[(desc + AREA_VALUE_SIZE) >>> 2] = spec.valueSize ?? 0;
      u32[(desc + AREA_RIGHTS) >>> 2] = spec.rights ?? 0;
      const first = areaBase >>> GRANULE_SHIFT;
      u32.fill(desc, table + first, table + first + granules);
    }
  }
  unlock(mem, SB_ALLOC_LOCK);
  if (base === 0) free(mem, descs, AREA_DESC_SIZE * count);
  return base;
}

/** Distance between the areas that one `allocAreas` call with this many bytes gave. */
export function areaSpan(bytes: number): number {
  return granulesFor(bytes) * GRANULE;
}

/** Gives back what `allocAreas` gave; `bytes` and `count` as then. */
export function freeAreas(mem: Memory, base: number, bytes: number, count: number): void {
  const { u32 } = mem;
  const descs = areaOf(mem, base);
  const granules = granulesFor(bytes) * count;
  lock(mem, SB_ALLOC_LOCK);
  const viewed = u32[(descs + AREA_VIEWS) >>> 2] !== 0;
  if (viewed) {
    u32[(descs + AREA_ZOMBIE) >>> 2] = granules;
    const table = (u32[SB_TABLE >>> 2]! >>> 2) + (base >>> GRANULE_SHIFT);
    u32.fill(0, table, table + granules);
  } else {
    giveGranules(mem, base, granules);
  }
  unlock(mem, SB_ALLOC_LOCK);
  if (!viewed) free(mem, descs, AREA_DESC_SIZE * count);
}

/** User space is given a view of the area `desc` (areas that can be viewed come one by one, not one a CPU). */
export function addView(mem: Memory, desc: number): void {
  mem.atomics.add32(desc + AREA_VIEWS, 1);
}

/** A view is known to be gone. The last one lets go of an area that was freed meanwhile. */
export function dropView(mem: Memory, desc: number): void {
  const { u32 } = mem;
  lock(mem, SB_ALLOC_LOCK);
  const last = mem.atomics.add32(desc + AREA_VIEWS, -1) === 1;
  const zombie = last ? u32[(desc + AREA_ZOMBIE) >>> 2]! : 0;
  if (zombie !== 0) giveGranules(mem, u32[(desc + AREA_BASE) >>> 2]!, zombie);
  unlock(mem, SB_ALLOC_LOCK);
  if (zombie !== 0) free(mem, desc, AREA_DESC_SIZE);
}

/** Address of the descriptor of the area in which this address lies, or 0. */
export function areaOf(mem: Memory, address: number): number {
  const { u32 } = mem;
  return u32[(u32[SB_TABLE >>> 2]! >>> 2) + (address >>> GRANULE_SHIFT)]!;
}

export interface MemoryUse {
  /** Size of the whole memory, in bytes. */
  readonly size: number;
  /** Bytes in granules that are handed out. */
  readonly used: number;
  readonly free: number;
  /** Bytes of small blocks handed out as metadata and as user memory. */
  readonly metadata: number;
  readonly user: number;
}

export function memoryUse(mem: Memory): MemoryUse {
  const used = mem.u32[SB_USED >>> 2]! * GRANULE;
  return {
    size: mem.byteLength,
    used,
    free: mem.byteLength - used,
    metadata: mem.readU64(SB_SLAB_BYTES),
    user: mem.readU64(SB_SLAB_BYTES + 8),
  };
}

/** Bytes of the areas of a map, in whole granules: all that is its own but its descriptor and elements of the slabs. */
export function bytesOfMap(mem: Memory, map: number): number {
  const { u32 } = mem;
  const table = u32[SB_TABLE >>> 2]! >>> 2;
  const granules = u32[SB_GRANULES >>> 2]!;
  let count = 0;
  for (let g = 1; g < granules; g++) {
    const area = u32[table + g]!;
    if (area !== 0 && u32[(area + AREA_MAP) >>> 2] === map) count++;
  }
  return count * GRANULE;
}
