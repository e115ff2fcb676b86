/**
 * The lists of an LRU map: elements in use lie in an active and an inactive list, newest first; each has a reference bit,
 * and who has it set gets a second chance. Here is how lists turn and which elements they give up; `lru.ts` says when.
 *
 * All choices are those of Linux 6.18 (bpf_lru_list.c), so that the same calls evict the same keys. What is free is one
 * as good as another, so free elements are only chained or, when they were never used, counted.
 */

import type { Memory } from "../mem/memory.ts";
import type { MapEnv } from "./env.ts";
import { emptyNode, takeUnused, unlinkNode } from "./hash_nodes.ts";
import { bucketOf, NODE_HASH, NODE_HEAD } from "./hashtab.ts";
import { countUp, MAP_EVICTIONS } from "./map.ts";

/**
 * A node's links, behind its head: previous, next; then bytes for the list it is in, the reference bit and the CPU that
 * took it. A "link" is the address of these; list heads are links too.
 */
export const PREV = 0;
export const NEXT = 4;
export const IN = 8;
export const REF = 9;
export const CPU = 10;
/** With a key of four bytes a node has 32: two in a line of the cache. */
export const LRU_LINKS = 12;

export const ACTIVE = 0;
export const INACTIVE = 1;
export const FREE = 2;
export const PENDING = 3;

/** Lists of a map, or of a CPU: free elements and a number of unused ones; active, inactive; where rotation goes on. */
export const FREE_HEAD = 0;
export const UNUSED = 4;
export const HEADS = 8;
export const COUNTS = 24;
export const ROTATE = 32;
/** A CPU's share beside common lists: free and unused as above, pending elements, CPU to look at first for spoils. */
export const PENDING_HEAD = 8;
const STEAL = 16;
/** Bytes that lists or a share get, each. */
export const LISTS_SIZE = 64;

export function initLists(u32: Uint32Array, lists: number, unused: number): void {
  u32[(lists + FREE_HEAD) >>> 2] = 0;
  u32[(lists + UNUSED) >>> 2] = unused;
  initHead(u32, lists + HEADS + ACTIVE * 8);
  initHead(u32, lists + HEADS + INACTIVE * 8);
  u32[(lists + COUNTS + ACTIVE * 4) >>> 2] = 0;
  u32[(lists + COUNTS + INACTIVE * 4) >>> 2] = 0;
  u32[(lists + ROTATE) >>> 2] = lists + HEADS + INACTIVE * 8;
}

export function initShare(u32: Uint32Array, share: number, cpu: number): void {
  u32[(share + FREE_HEAD) >>> 2] = 0;
  u32[(share + UNUSED) >>> 2] = 0;
  initHead(u32, share + PENDING_HEAD);
  u32[(share + STEAL) >>> 2] = cpu;
}

function initHead(u32: Uint32Array, head: number): void {
  u32[(head + PREV) >>> 2] = head;
  u32[(head + NEXT) >>> 2] = head;
}

function attach(u32: Uint32Array, head: number, link: number): void {
  const first = u32[(head + NEXT) >>> 2]!;
  u32[(link + PREV) >>> 2] = head;
  u32[(link + NEXT) >>> 2] = first;
  u32[(first + PREV) >>> 2] = link;
  u32[(head + NEXT) >>> 2] = link;
}

function detach(u32: Uint32Array, link: number): void {
  const prev = u32[(link + PREV) >>> 2]!;
  const next = u32[(link + NEXT) >>> 2]!;
  u32[(prev + NEXT) >>> 2] = next;
  u32[(next + PREV) >>> 2] = prev;
}

/** Puts an element that is in no list at the head of the active or the inactive one. */
export function enter(mem: Memory, lists: number, link: number, list: number): void {
  const { u32, u8 } = mem;
  const count = (lists + COUNTS + list * 4) >>> 2;
  u32[count] = u32[count]! + 1;
  u8[link + IN] = list;
  u8[link + REF] = 0;
  attach(u32, lists + HEADS + list * 8, link);
}

/** Takes an element out of the active or the inactive list. */
export function leave(mem: Memory, lists: number, link: number): void {
  const { u32, u8 } = mem;
  // Rotation goes on from the next newer place.
  if (u32[(lists + ROTATE) >>> 2] === link) u32[(lists + ROTATE) >>> 2] = u32[(link + PREV) >>> 2]!;
  const count = (lists + COUNTS + u8[link + IN]! * 4) >>> 2;
  u32[count] = u32[count]! - 1;
  detach(u32, link);
}

function move(mem: Memory, lists: number, link: number, list: number): void {
  leave(mem, lists, link);
  enter(mem, lists, link, list);
}

export function enterPending(mem: Memory, share: number, link: number): void {
  mem.u8[link + IN] = PENDING;
  mem.u8[link + REF] = 0;
  attach(mem.u32, share + PENDING_HEAD, link);
}

export function leavePending(mem: Memory, link: number): void {
  detach(mem.u32, link);
}

/** Puts an element that is in no list among the free ones of lists or of a share. */
export function putFree(mem: Memory, at: number, link: number): void {
  const { u32, u8 } = mem;
  u8[link + IN] = FREE;
  u32[(link + NEXT) >>> 2] = u32[(at + FREE_HEAD) >>> 2]!;
  u32[(at + FREE_HEAD) >>> 2] = link;
}

/** A free element of lists or of a share, or 0. */
export function takeFree(mem: Memory, map: number, at: number): number {
  const { u32 } = mem;
  const link = u32[(at + FREE_HEAD) >>> 2]!;
  if (link !== 0) {
    u32[(at + FREE_HEAD) >>> 2] = u32[(link + NEXT) >>> 2]!;
    return link;
  }
  const unused = u32[(at + UNUSED) >>> 2]!;
  if (unused === 0) return 0;
  u32[(at + UNUSED) >>> 2] = unused - 1;
  const node = takeUnused(mem, map);
  return node === 0 ? 0 : node + NODE_HEAD;
}

/** Up to `want` free elements from lists go to a share. Returns how many are missing. */
export function moveFree(mem: Memory, lists: number, share: number, want: number): number {
  const { u32 } = mem;
  let missing = want;
  for (let link = u32[(lists + FREE_HEAD) >>> 2]!; missing > 0 && link !== 0; missing--) {
    const next = u32[(link + NEXT) >>> 2]!;
    u32[(lists + FREE_HEAD) >>> 2] = next;
    putFree(mem, share, link);
    link = next;
  }
  const unused = Math.min(missing, u32[(lists + UNUSED) >>> 2]!);
  u32[(lists + UNUSED) >>> 2] = u32[(lists + UNUSED) >>> 2]! - unused;
  u32[(share + UNUSED) >>> 2] = u32[(share + UNUSED) >>> 2]! + unused;
  return missing - unused;
}

/**
 * All that a share has pending goes into the lists, as if one by one, oldest first: referenced elements become active,
 * the others, in one piece, the head of the inactive list.
 */
export function flushPending(mem: Memory, lists: number, share: number): void {
  const { u32, u8 } = mem;
  const head = share + PENDING_HEAD;
  let rest = 0;
  for (let link = u32[(head + PREV) >>> 2]!; link !== head; ) {
    const newer = u32[(link + PREV) >>> 2]!;
    if (u8[link + REF] === 0) {
      u8[link + IN] = INACTIVE;
      rest++;
    } else {
      detach(u32, link);
      enter(mem, lists, link, ACTIVE);
    }
    link = newer;
  }
  if (rest === 0) return;
  const inactive = lists + HEADS + INACTIVE * 8;
  const newest = u32[(head + NEXT) >>> 2]!;
  const oldest = u32[(head + PREV) >>> 2]!;
  const after = u32[(inactive + NEXT) >>> 2]!;
  u32[(inactive + NEXT) >>> 2] = newest;
  u32[(newest + PREV) >>> 2] = inactive;
  u32[(oldest + NEXT) >>> 2] = after;
  u32[(after + PREV) >>> 2] = oldest;
  const count = (lists + COUNTS + INACTIVE * 4) >>> 2;
  u32[count] = u32[count]! + rest;
  initHead(u32, head);
}

/** Takes the element out of the map. */
function evict(env: MapEnv, map: number, link: number): void {
  const { mem } = env;
  const node = link - NODE_HEAD;
  unlinkNode(mem, bucketOf(mem, map, mem.i32[(node + NODE_HASH) >>> 2]!), node);
  emptyNode(env, map, node);
}

/** From the old end of the active list: referenced elements go round to its head, others become inactive. */
function rotateActive(mem: Memory, lists: number, scans: number): void {
  const { u32, u8 } = mem;
  const head = lists + HEADS + ACTIVE * 8;
  const last = u32[(head + NEXT) >>> 2]!;
  let link = u32[(head + PREV) >>> 2]!;
  for (let i = 0; i < scans && link !== head; i++) {
    const newer = u32[(link + PREV) >>> 2]!;
    move(mem, lists, link, u8[link + REF] === 0 ? INACTIVE : ACTIVE);
    if (link === last) return;
    link = newer;
  }
}

/** Referenced elements of the inactive list become active. Goes on where it stopped the last time, at most once round. */
function rotateInactive(mem: Memory, lists: number, scans: number): void {
  const { u32, u8 } = mem;
  const head = lists + HEADS + INACTIVE * 8;
  if (u32[(head + NEXT) >>> 2] === head) return;
  let link = u32[(lists + ROTATE) >>> 2]!;
  let last = u32[(link + NEXT) >>> 2]!;
  if (last === head) last = u32[(last + NEXT) >>> 2]!;
  let newer = link;
  for (let i = 0; i < scans; ) {
    if (link === head) {
      link = u32[(link + PREV) >>> 2]!;
      continue;
    }
    newer = u32[(link + PREV) >>> 2]!;
    if (u8[link + REF] !== 0) move(mem, lists, link, ACTIVE);
    if (link === last) break;
    link = newer;
    i++;
  }
  u32[(lists + ROTATE) >>> 2] = newer;
}

/** Looks at up to `scans` elements: of the active list if it is the longer one, and of the inactive list. */
export function rotate(mem: Memory, lists: number, scans: number): void {
  const { u32 } = mem;
  if (u32[(lists + COUNTS + INACTIVE * 4) >>> 2]! < u32[(lists + COUNTS + ACTIVE * 4) >>> 2]!) {
    rotateActive(mem, lists, scans);
  }
  rotateInactive(mem, lists, scans);
}

/**
 * Evicts up to `want` elements, which become free at `to`: unreferenced inactive ones from the old end, of at most
 * `scans`; when there is none, the oldest inactive or else active element, referenced or not.
 */
export function shrink(env: MapEnv, map: number, lists: number, want: number, scans: number, to: number): void {
  const { mem } = env;
  const { u32, u8 } = mem;
  const inactive = lists + HEADS + INACTIVE * 8;
  const rotated = u32[(lists + ROTATE) >>> 2]!;
  let evicted = 0;
  let left = 0;
  let passed = false;
  let link = u32[(inactive + PREV) >>> 2]!;
  for (; left < scans && link !== inactive && evicted < want; left++) {
    const newer = u32[(link + PREV) >>> 2]!;
    if (link === rotated) passed = true;
    if (u8[link + REF] !== 0) {
      enter(mem, lists, link, ACTIVE);
    } else {
      evict(env, map, link);
      putFree(mem, to, link);
      evicted++;
    }
    link = newer;
  }
  // All that was looked at has left the inactive list, as if one by one.
  u32[(inactive + PREV) >>> 2] = link;
  u32[(link + NEXT) >>> 2] = inactive;
  u32[(lists + COUNTS + INACTIVE * 4) >>> 2] = u32[(lists + COUNTS + INACTIVE * 4) >>> 2]! - left;
  if (passed) u32[(lists + ROTATE) >>> 2] = link;
  if (evicted === 0) evicted = evictOldest(env, map, lists, to);
  if (evicted !== 0) countUp(mem, map, MAP_EVICTIONS, evicted);
}

/** The oldest inactive or else active element becomes free at `to`. How many that were: 1, or 0 when there is none. */
function evictOldest(env: MapEnv, map: number, lists: number, to: number): number {
  const { mem } = env;
  const { u32 } = mem;
  const inactive = lists + HEADS + INACTIVE * 8;
  const head = u32[(inactive + NEXT) >>> 2] !== inactive ? inactive : lists + HEADS + ACTIVE * 8;
  const link = u32[(head + PREV) >>> 2]!;
  if (link === head) return 0;
  evict(env, map, link);
  leave(mem, lists, link);
  putFree(mem, to, link);
  return 1;
}

/** The oldest pending element of a share, an unreferenced one if there is one, evicted; or 0. */
function takePending(env: MapEnv, map: number, share: number): number {
  const { mem } = env;
  const { u32, u8 } = mem;
  const head = share + PENDING_HEAD;
  let link = u32[(head + PREV) >>> 2]!;
  while (link !== head && u8[link + REF] !== 0) link = u32[(link + PREV) >>> 2]!;
  if (link === head) link = u32[(head + PREV) >>> 2]!;
  if (link === head) return 0;
  evict(env, map, link);
  detach(u32, link);
  countUp(mem, map, MAP_EVICTIONS, 1);
  return link;
}

/** An element that some CPU has free or pending, or 0. Shares lie in a row; `own` goes on where it stopped. */
export function steal(env: MapEnv, map: number, shares: number, own: number): number {
  const { mem, cpus } = env;
  const { u32 } = mem;
  const first = u32[(own + STEAL) >>> 2]!;
  let link = 0;
  let cpu = first;
  do {
    const share = shares + cpu * LISTS_SIZE;
    link = takeFree(mem, map, share);
    if (link === 0) link = takePending(env, map, share);
    cpu = cpu + 1 < cpus ? cpu + 1 : 0;
  } while (link === 0 && cpu !== first);
  u32[(own + STEAL) >>> 2] = cpu;
  return link;
}
