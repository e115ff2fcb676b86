/**
 * BPF_MAP_TYPE_ARENA: memory that programs and user space share, with the same pointers on both sides. User space's
 * addresses are given by map_extra or fixed by the first mmap; here they are numbers of which nothing but the range
 * matters, for a view knows no address. User space sees all pages, zero until they are used; programs those that are
 * there (struct/arena_pages.ts). Kernel counterpart: arena.c.
 */
import { AREA_ARENA, AREA_MAPPED, allocAreas, areaOf, freeAreas } from "../mem/alloc.ts";
import { OBJ_ID, PAGE_SIZE } from "../mem/layout.ts";
import { lock, unlock } from "../mem/locks.ts";
import {
  ARENA_BASE,
  ARENA_USER_PAGES,
  ARENA_USER_START,
  freePages,
  initPages,
  showPages,
} from "../struct/arena_pages.ts";
import type { MapCreateAttr, MapEnv } from "../struct/env.ts";
import { MAP_LOCK, MAP_MAX_ENTRIES, MAP_WRITERS } from "../struct/map.ts";
import { arenaUsage } from "../struct/mem_usage.ts";
import {
  BPF_F_MMAPABLE,
  BPF_F_NO_USER_CONV,
  BPF_F_SEGV_ON_FAULT,
  E2BIG,
  EBUSY,
  EINVAL,
  ENOMEM,
  EOPNOTSUPP,
  ERANGE,
} from "../uapi/index.ts";
import type { MapTypeEntry } from "./ops.ts";
import { unsupportedOps } from "./ops.ts";

const FLAGS: number = BPF_F_MMAPABLE | BPF_F_SEGV_ON_FAULT | BPF_F_NO_USER_CONV;
/** Pointers are told apart by their low halves: neither an arena nor a mapping of one crosses a multiple of this. */
const SPAN = 2 ** 32;
const SPAN_SHIFT = 32n;
const PAGE_MASK = BigInt(PAGE_SIZE - 1);
/** Upper halves of made-up addresses: they look like user space's, and arenas that live at a time differ. */
const UPPER_MIN = 0x1000;
const UPPER_COUNT = 0x6000;

function allocCheck(_env: MapEnv, attr: MapCreateAttr): number {
  const { key_size, value_size, max_entries, map_flags, map_extra_lo } = attr;
  if (key_size !== 0 || value_size !== 0 || max_entries === 0) return -EINVAL;
  if (map_flags & ~FLAGS || (map_flags & BPF_F_MMAPABLE) === 0) return -EINVAL;
  if (map_extra_lo % PAGE_SIZE !== 0) return -EINVAL;
  const bytes = max_entries * PAGE_SIZE;
  if (bytes > SPAN) return -E2BIG;
  return map_extra_lo + bytes > SPAN ? -ERANGE : 0;
}

function alloc(env: MapEnv, map: number, attr: MapCreateAttr): number {
  const { mem } = env;
  const base = allocAreas(mem, attr.max_entries * PAGE_SIZE, 1, { kind: AREA_ARENA, map });
  if (base === 0) return -ENOMEM;
  if (!initPages(mem, map)) {
    freeAreas(mem, base, attr.max_entries * PAGE_SIZE, 1);
    return -ENOMEM;
  }
  mem.u32[(map + ARENA_BASE) >>> 2] = base;
  const extra = (BigInt(attr.map_extra_hi) << SPAN_SHIFT) | BigInt(attr.map_extra_lo);
  if (extra !== 0n) fixRange(env, map, extra, attr.max_entries);
  return 0;
}

function free(env: MapEnv, map: number): void {
  const { u32 } = env.mem;
  freePages(env.mem, map);
  freeAreas(env.mem, u32[(map + ARENA_BASE) >>> 2]!, u32[(map + MAP_MAX_ENTRIES) >>> 2]! * PAGE_SIZE, 1);
}

function fixRange(env: MapEnv, map: number, start: bigint, pages: number): void {
  env.mem.u64[(map + ARENA_USER_START) >>> 3] = start;
  env.mem.u32[(map + ARENA_USER_PAGES) >>> 2] = pages;
}

/** The first mapping may be anywhere; every later one is where that one was, and as long. */
function getUnmappedArea(env: MapEnv, map: number, hint: bigint, offset: number, length: number): number {
  if (offset !== 0) return -EINVAL;
  if (length > SPAN) return -E2BIG;
  const range = env.mem.u32[(map + ARENA_USER_PAGES) >>> 2]! * PAGE_SIZE;
  if (range === 0) return 0;
  if (length > range) return -E2BIG;
  return length === range && (hint & ~PAGE_MASK) === env.mem.u64[(map + ARENA_USER_START) >>> 3]! ? 0 : -EINVAL;
}

/** One mapping at a time. What is mapped may be longer than the arena: nobody can touch the rest. */
function mmap(env: MapEnv, map: number, _offset: number, length: number, writable: boolean, hint: bigint): number {
  const { mem } = env;
  const base = mem.u32[(map + ARENA_BASE) >>> 2]!;
  lock(mem, map + MAP_LOCK);
  const busy = mem.u32[(areaOf(mem, base) + AREA_MAPPED) >>> 2] !== 0;
  if (!busy && mem.u32[(map + ARENA_USER_PAGES) >>> 2] === 0) {
    fixRange(env, map, firstStart(env, map, hint, length), length / PAGE_SIZE);
  }
  unlock(mem, map + MAP_LOCK);
  if (busy) return -EBUSY;
  showPages(mem, map);
  // Once more than munmap takes back: an arena that was ever writable can never be frozen, as in the kernel.
  if (writable) mem.atomics.add32(map + MAP_WRITERS, 1);
  return base;
}

/** The caller's wish, or an address of which the low half is that in the linear memory. */
function firstStart(env: MapEnv, map: number, hint: bigint, length: number): bigint {
  const { u32 } = env.mem;
  const upper = UPPER_MIN + (u32[(map + OBJ_ID) >>> 2]! % UPPER_COUNT);
  const madeUp = (BigInt(upper) << SPAN_SHIFT) | BigInt(u32[(map + ARENA_BASE) >>> 2]!);
  const start = hint === 0n ? madeUp : hint & ~PAGE_MASK;
  const last = start + BigInt(length - 1);
  return start >> SPAN_SHIFT === last >> SPAN_SHIFT ? start : (last >> SPAN_SHIFT) << SPAN_SHIFT;
}

/** User space's address of byte `offset`, the end of its range included. */
function directValue(env: MapEnv, map: number, offset: number, to: number): number {
  const { mem } = env;
  const pages = mem.u32[(map + ARENA_USER_PAGES) >>> 2]!;
  if (pages === 0) return -EINVAL;
  if (offset > pages * PAGE_SIZE) return -ERANGE;
  mem.u64[to >>> 3] = mem.u64[(map + ARENA_USER_START) >>> 3]! + BigInt(offset);
  return 0;
}

export const arenaMap: MapTypeEntry = {
  since: "6.9",
  traits: {
    mapExtra: true,
    mmap: true,
    userAddresses: true,
    checkedEarly: false,
    helpers: [],
  },
  minimalAttr: { key_size: 0, value_size: 0, max_entries: 1, map_flags: BPF_F_MMAPABLE },
  memUsage: arenaUsage,
  ops: {
    ...unsupportedOps,
    map_alloc_check: allocCheck,
    map_alloc: alloc,
    map_free: free,
    map_check_btf: () => 0,
    map_direct_value_addr: directValue,
    map_copy_value: () => -EINVAL,
    map_update_value: () => -EOPNOTSUPP,
    map_delete_value: () => -EOPNOTSUPP,
    map_get_next_key: () => -EOPNOTSUPP,
    map_get_unmapped_area: getUnmappedArea,
    map_mmap: mmap,
  },
};
