/**
 * Which pages of an arena are there. A page is free, taken (allocated or set aside), and, of those taken, present: what is
 * not present reads as zeros and keeps nothing. Bits say so; the list of free ranges follows from them, in the order in
 * which ranges came to be, for the kernel takes the smallest that fits and of several the newest. Kernel counterpart:
 * arena.c, range_tree.c.
 *
 * User space does not tell when it touches a page, as a page fault does in the kernel: a page that is not zero was touched,
 * and counts as allocated from when that is seen. All that changes pages is done under the map's lock.
 */
import { alloc, free } from "../mem/alloc.ts";
import { PAGE_SIZE } from "../mem/layout.ts";
import { lock, unlock } from "../mem/locks.ts";
import type { Memory } from "../mem/memory.ts";
import { BPF_F_SEGV_ON_FAULT, EBUSY, ENOMEM } from "../uapi/index.ts";
import { MAP_FLAGS, MAP_LOCK, MAP_MAX_ENTRIES, MAP_PRIVATE } from "./map.ts";

/** Address of page 0. */
export const ARENA_BASE: number = MAP_PRIVATE;
/** u32: pages of user space's range; 0: nothing is fixed yet. */
export const ARENA_USER_PAGES: number = MAP_PRIVATE + 4;
/** u64: where user space's range begins. */
export const ARENA_USER_START: number = MAP_PRIVATE + 8;
/** Two bits a page: addresses of the words of each. */
const ARENA_TAKEN: number = MAP_PRIVATE + 16;
const ARENA_PRESENT: number = MAP_PRIVATE + 20;
/** Free ranges, oldest first: address of the list, how many, room. */
const ARENA_FREE: number = MAP_PRIVATE + 24;
const ARENA_FREE_COUNT: number = MAP_PRIVATE + 28;
const ARENA_FREE_ROOM: number = MAP_PRIVATE + 32;

/** u32, 1: user space has had a view, and may have touched pages. */
const ARENA_SEEN: number = MAP_PRIVATE + 36;

/** A free range: its first page, and how many. */
const RANGE_SIZE = 8;
const FIRST_ROOM = 8;
const NONE = -1;

/** All pages free. False: out of memory, nothing was taken. */
export function initPages(mem: Memory, map: number): boolean {
  const { u32 } = mem;
  const pages = u32[(map + MAP_MAX_ENTRIES) >>> 2]!;
  const bits = alloc(mem, 2 * bytesOfBits(pages));
  const list = bits === 0 ? 0 : alloc(mem, FIRST_ROOM * RANGE_SIZE);
  if (list === 0) {
    if (bits !== 0) free(mem, bits, 2 * bytesOfBits(pages));
    return false;
  }
  u32[(map + ARENA_TAKEN) >>> 2] = bits;
  u32[(map + ARENA_PRESENT) >>> 2] = bits + bytesOfBits(pages);
  u32[(map + ARENA_FREE) >>> 2] = list;
  u32[(map + ARENA_FREE_ROOM) >>> 2] = FIRST_ROOM;
  u32[(map + ARENA_FREE_COUNT) >>> 2] = 1;
  u32[(list >>> 2) + 1] = pages;
  return true;
}

export function freePages(mem: Memory, map: number): void {
  const { u32 } = mem;
  free(mem, u32[(map + ARENA_TAKEN) >>> 2]!, 2 * bytesOfBits(u32[(map + MAP_MAX_ENTRIES) >>> 2]!));
  free(mem, u32[(map + ARENA_FREE) >>> 2]!, u32[(map + ARENA_FREE_ROOM) >>> 2]! * RANGE_SIZE);
}

function bytesOfBits(pages: number): number {
  return ((pages + 31) >>> 5) * 4;
}

/**
 * Where `size` bytes at `at` of the arena lie in memory; 0: there is a page among them that is not present. Called by
 * programs at each access, without the lock.
 */
export function arenaBytes(mem: Memory, map: number, at: number, size: number): number {
  const { u32 } = mem;
  if (at < 0 || at + size > u32[(map + MAP_MAX_ENTRIES) >>> 2]! * PAGE_SIZE) return 0;
  const first = Math.floor(at / PAGE_SIZE);
  const last = Math.floor((at + size - 1) / PAGE_SIZE);
  if (!isThere(mem, map, first) || (last !== first && !isThere(mem, map, last))) return 0;
  return u32[(map + ARENA_BASE) >>> 2]! + at;
}

function isThere(mem: Memory, map: number, page: number): boolean {
  return bit(mem, map, ARENA_PRESENT, page) || touched(mem, map, page);
}

function bit({ u32 }: Memory, map: number, which: number, page: number): boolean {
  return (u32[(u32[(map + which) >>> 2]! >>> 2) + (page >>> 5)]! & (1 << (page & 31))) !== 0;
}

/** Whether user space has written to a page that was not there, which makes it present. */
function touched(mem: Memory, map: number, page: number): boolean {
  if (!wasWritten(mem, map, page)) return false;
  lockPages(mem, map);
  const taken = take(mem, map, page, 1);
  if (taken) mark(mem, map, ARENA_PRESENT, page, 1, true);
  unlock(mem, map + MAP_LOCK);
  return taken;
}

/** User space gets a view. */
export function showPages({ u32 }: Memory, map: number): void {
  u32[(map + ARENA_SEEN) >>> 2] = 1;
}

function wasWritten({ u32 }: Memory, map: number, page: number): boolean {
  if (u32[(map + ARENA_SEEN) >>> 2] === 0 || segvOnFault(u32, map)) return false;
  const start = (u32[(map + ARENA_BASE) >>> 2]! + page * PAGE_SIZE) >>> 2;
  for (let i = start; i < start + PAGE_SIZE / 4; i++) if (u32[i] !== 0) return true;
  return false;
}

/** bpf_arena_alloc_pages: the first of `count` pages, from page `first` on or (-1) where there are so many; or -1. */
export function allocPages(mem: Memory, map: number, first: number, count: number): number {
  lockPages(mem, map);
  const at = place(mem, map, first, count);
  if (at !== NONE) {
    // Where user space cannot make pages its own by touching them, it may have left something.
    if (segvOnFault(mem.u32, map)) clear(mem, map, at, count);
    mark(mem, map, ARENA_PRESENT, at, count, true);
  }
  unlock(mem, map + MAP_LOCK);
  return at;
}

function segvOnFault(u32: Uint32Array, map: number): boolean {
  return (u32[(map + MAP_FLAGS) >>> 2]! & BPF_F_SEGV_ON_FAULT) !== 0;
}

function clear(mem: Memory, map: number, first: number, count: number): void {
  mem.zero(mem.u32[(map + ARENA_BASE) >>> 2]! + first * PAGE_SIZE, count * PAGE_SIZE);
}

/** Takes free pages that user space has not touched. */
function place(mem: Memory, map: number, first: number, count: number): number {
  for (;;) {
    const at = first === NONE ? smallestRange(mem, map, count) : first;
    if (at === NONE || !isFree(mem, map, at, count)) return NONE;
    const theirs = firstWritten(mem, map, at, count);
    if (!take(mem, map, theirs === NONE ? at : theirs, theirs === NONE ? count : 1)) return NONE;
    if (theirs === NONE) return at;
    mark(mem, map, ARENA_PRESENT, theirs, 1, true);
  }
}

function firstWritten(mem: Memory, map: number, first: number, count: number): number {
  for (let page = first; page < first + count; page++) if (wasWritten(mem, map, page)) return page;
  return NONE;
}

/** bpf_arena_free_pages: they read as zeros from now on, and can be taken again. */
export function givePages(mem: Memory, map: number, first: number, count: number): void {
  const end = Math.min(first + count, mem.u32[(map + MAP_MAX_ENTRIES) >>> 2]!);
  if (first >= end) return;
  lockPages(mem, map);
  mark(mem, map, ARENA_PRESENT, first, end - first, false);
  clear(mem, map, first, end - first);
  if (!isFree(mem, map, first, end - first)) give(mem, map, first, end - first);
  unlock(mem, map + MAP_LOCK);
}

/** bpf_arena_reserve_pages: nobody is given them. 0, or -EBUSY: they are not all free; -ENOMEM. */
export function reservePages(mem: Memory, map: number, first: number, count: number): number {
  lockPages(mem, map);
  let ret = -EBUSY;
  if (isFree(mem, map, first, count) && firstWritten(mem, map, first, count) === NONE) {
    ret = take(mem, map, first, count) ? 0 : -ENOMEM;
  }
  unlock(mem, map + MAP_LOCK);
  return ret;
}

/** The list of a client that died may be half changed: the bits are right. */
function lockPages(mem: Memory, map: number): void {
  if (lock(mem, map + MAP_LOCK)) rebuild(mem, map);
}

function rebuild(mem: Memory, map: number): void {
  const { u32 } = mem;
  const pages = u32[(map + MAP_MAX_ENTRIES) >>> 2]!;
  u32[(map + ARENA_FREE_COUNT) >>> 2] = 0;
  let start = NONE;
  for (let page = 0; page <= pages; page++) {
    const taken = page === pages || bit(mem, map, ARENA_TAKEN, page);
    if (!taken && start === NONE) start = page;
    if (!taken || start === NONE) continue;
    // The list had room for all ranges: there cannot be more of them than when the client died, but one.
    if (makeRoom(mem, map, 1)) append(mem, map, start, page - start);
    start = NONE;
  }
}

function mark(mem: Memory, map: number, which: number, first: number, count: number, value: boolean): void {
  const { u32 } = mem;
  const words = u32[(map + which) >>> 2]!;
  for (let page = first; page < first + count; page++) {
    const word = (words >>> 2) + (page >>> 5);
    if (value) u32[word]! |= 1 << (page & 31);
    else u32[word]! &= ~(1 << (page & 31));
  }
}

/** First page of the newest of the smallest free ranges with so many pages, or -1. */
function smallestRange({ u32 }: Memory, map: number, count: number): number {
  let best = NONE;
  let least = Number.POSITIVE_INFINITY;
  let at = u32[(map + ARENA_FREE) >>> 2]! >>> 2;
  for (let left = u32[(map + ARENA_FREE_COUNT) >>> 2]!; left > 0; left--, at += 2) {
    const size = u32[at + 1]!;
    if (size < count || size > least) continue;
    least = size;
    best = u32[at]!;
  }
  return best;
}

/** Whether one free range holds them all. */
function isFree({ u32 }: Memory, map: number, first: number, count: number): boolean {
  let at = u32[(map + ARENA_FREE) >>> 2]! >>> 2;
  for (let left = u32[(map + ARENA_FREE_COUNT) >>> 2]!; left > 0; left--, at += 2) {
    if (u32[at]! <= first && first + count <= u32[at]! + u32[at + 1]!) return true;
  }
  return false;
}

/** Takes pages out of the free ranges, wherever they are in them. False: out of memory, nothing was taken. */
function take(mem: Memory, map: number, first: number, count: number): boolean {
  const { u32 } = mem;
  if (!makeRoom(mem, map, 2)) return false;
  const list = u32[(map + ARENA_FREE) >>> 2]! >>> 2;
  const end = first + count;
  mark(mem, map, ARENA_TAKEN, first, count, true);
  for (let i = 0; i < u32[(map + ARENA_FREE_COUNT) >>> 2]!; ) {
    const start = u32[list + i * 2]!;
    const last = start + u32[list + i * 2 + 1]!;
    if (last <= first || start >= end) {
      i++;
      continue;
    }
    remove(mem, map, i);
    // What is left of a range is a new range.
    if (start < first) append(mem, map, start, first - start);
    if (last > end) append(mem, map, end, last - end);
  }
  return true;
}

/** Adds pages to the free ranges; neighbours become one. */
function give(mem: Memory, map: number, first: number, count: number): void {
  const { u32 } = mem;
  if (!take(mem, map, first, count)) return;
  mark(mem, map, ARENA_TAKEN, first, count, false);
  let start = first;
  let end = first + count;
  const list = u32[(map + ARENA_FREE) >>> 2]! >>> 2;
  for (let i = u32[(map + ARENA_FREE_COUNT) >>> 2]! - 1; i >= 0; i--) {
    const from = u32[list + i * 2]!;
    const to = from + u32[list + i * 2 + 1]!;
    if (to !== start && from !== end) continue;
    start = Math.min(start, from);
    end = Math.max(end, to);
    remove(mem, map, i);
  }
  append(mem, map, start, end - start);
}

function remove({ u32 }: Memory, map: number, index: number): void {
  const list = u32[(map + ARENA_FREE) >>> 2]! >>> 2;
  const count = u32[(map + ARENA_FREE_COUNT) >>> 2]! - 1;
  u32.copyWithin(list + index * 2, list + index * 2 + 2, list + (count + 1) * 2);
  u32[(map + ARENA_FREE_COUNT) >>> 2] = count;
}

/** There is room. */
function append({ u32 }: Memory, map: number, first: number, count: number): void {
  const n = u32[(map + ARENA_FREE_COUNT) >>> 2]!;
  const at = (u32[(map + ARENA_FREE) >>> 2]! >>> 2) + n * 2;
  u32[at] = first;
  u32[at + 1] = count;
  u32[(map + ARENA_FREE_COUNT) >>> 2] = n + 1;
}

/** Room for so many ranges more. */
function makeRoom(mem: Memory, map: number, ranges: number): boolean {
  const { u32 } = mem;
  const count = u32[(map + ARENA_FREE_COUNT) >>> 2]!;
  const room = u32[(map + ARENA_FREE_ROOM) >>> 2]!;
  if (count + ranges <= room) return true;
  const list = alloc(mem, room * 2 * RANGE_SIZE);
  if (list === 0) return false;
  const old = u32[(map + ARENA_FREE) >>> 2]!;
  mem.copy(list, old, count * RANGE_SIZE);
  u32[(map + ARENA_FREE) >>> 2] = list;
  u32[(map + ARENA_FREE_ROOM) >>> 2] = room * 2;
  free(mem, old, room * RANGE_SIZE);
  return true;
}
