/**
 * The ring of RINGBUF: programs produce, user space consumes from the mapping. Kernel counterpart: ringbuf.c.
 *
 * The map's descriptor holds the true positions; the producer page shows a copy. What user space can write (all of the
 * mapping, on a host whose views cannot be read-only) is believed for arithmetic within this ring only. Producers hold
 * the ring's lock to reserve; commits and consumers take none.
 *
 * Generated code of a shared host has two instructions that order memory, and that others wait for: it takes the lock,
 * and it exchanges the header of a record when that is complete. Each costs as much as all plain stores together, so the
 * rest is plain stores, which others may see in any order. What makes that good:
 *
 * - Where the next record will begin, a word stands that is busy: the mark. Each record's producer puts down the mark behind
 *   it. A consumer comes to a place only through the complete record before it, and so sees the mark there or what came
 *   after it, whenever it sees the producer position. Complete records come from an exchange, behind their bytes.
 * - That exchange is also behind the producer position, an output's too: so it is seen before its producer looks where
 *   the consumer is, and a consumer that stores where it is and then sees no record is woken.
 * - An owner drops the lock by a store of 8 bytes: nobody, and beside it the position. Who takes it next waits until it
 *   sees the rest of what it is going to change itself: true position, published position and mark (`awaitPublished`). One
 *   that sleeps on the lock in the moment of the plain store is forgotten, and looks again by itself (`locks.ts`).
 */
import { PAGE_SIZE } from "../mem/layout.ts";
import { lock, unlock } from "../mem/locks.ts";
import type { Memory } from "../mem/memory.ts";
import {
  BPF_RB_AVAIL_DATA,
  BPF_RB_CONS_POS,
  BPF_RB_FORCE_WAKEUP,
  BPF_RB_NO_WAKEUP,
  BPF_RB_PROD_POS,
  BPF_RB_RING_SIZE,
  BPF_RINGBUF_BUSY_BIT,
  BPF_RINGBUF_DISCARD_BIT,
  BPF_RINGBUF_HDR_SZ,
  EAGAIN,
  EINVAL,
  EPERM,
} from "../uapi/index.ts";
import type { MapEnv } from "./env.ts";
import { MAP_MAX_ENTRIES } from "./map.ts";
import { high, low, mmapRing, RING_BASE, RING_DATA, RING_PRIVATE, RING_PROD_PAGE } from "./ring_map.ts";

/** u32: wake-ups so far. Who waits is told through `MapEnv.wake`. */
export const RING_WAKEUPS: number = RING_PRIVATE;
/** u64: end of the last record that was reserved. */
export const RING_PROD: number = RING_PRIVATE + 4;
/** u32: low half of the position up to which all records are known to be committed. */
export const RING_PENDING: number = RING_PRIVATE + 12;
/** u32 that nobody reads: the mark of records that nobody answers for. */
const RING_UNMARKED: number = RING_PRIVATE + 16;
/** u32: the lock, a multiple of 8. Beside it, u32: low half of the producer position when it was dropped. */
export const RING_LOCK: number = RING_PRIVATE + 20;
export const RING_LEFT: number = RING_LOCK + 4;
/** In the mapping: u64 pending position, beside the producer's as in the kernel's struct. */
export const RING_PENDING_POS: number = RING_PROD_PAGE + 8;

export const LENGTH_MASK: number = BPF_RINGBUF_DISCARD_BIT - 1;
export const WAKEUP_FLAGS: number = BPF_RB_NO_WAKEUP | BPF_RB_FORCE_WAKEUP;
/** Pages of the kernel's struct in front of the data: a record's header counts its page from there. */
export const KERNEL_PAGES = 3;
export const PAGE_SHIFT = 12;
/** Positions are multiples of 8. */
export const MARK_SHIFT = 3;

/** A store that was made is seen after some nanoseconds; so many looks take a hundred thousand. */
const LOOKS = 10_000;

/** EPOLLIN | EPOLLRDNORM */
const POLL_IN = 0x41;

/** The word where the next record will begin, at this position (its low half): busy, and another one in each lap. */
export function markOf(position: number): number {
  return (BPF_RINGBUF_BUSY_BIT | (position >>> MARK_SHIFT)) >>> 0;
}

function putMark(mem: Memory, map: number, position: number): void {
  mem.u32[recordAt(mem, map, position) >>> 2] = markOf(position);
}

/** Where the record at the position (its low half) begins. */
function recordAt({ u32 }: Memory, map: number, position: number): number {
  const mask = u32[(map + MAP_MAX_ENTRIES) >>> 2]! - 1;
  return u32[(map + RING_BASE) >>> 2]! + RING_DATA + (position & mask);
}

/** mmap of whole pages: the consumer page alone may be written; everything may be read. */
export function mmap(env: MapEnv, map: number, offset: number, length: number, writable: boolean): number {
  return writable && (offset !== 0 || length !== PAGE_SIZE) ? -EPERM : mmapRing(env, map, offset, length);
}

/** Ready when the consumer is not where the producers are; records that are still being filled count. */
export function poll(env: MapEnv, map: number): number {
  const { mem } = env;
  const cons = mem.u32[(map + RING_BASE) >>> 2]!;
  return sameU64(mem, map + RING_PROD, cons) ? 0 : POLL_IN;
}

function sameU64(mem: Memory, a: number, b: number): boolean {
  return low(mem, a) === low(mem, b) && high(mem, a) === high(mem, b);
}

/** A word that is stored in the moment that a record is there, or is not busy any more: one does not come without the other. */
export interface Mark {
  readonly at: number;
  readonly word: number;
}

/**
 * A record for `size` bytes of payload: the payload's address, or 0 when it is too large, the ring too full, or nobody
 * can answer for it. The record stays busy, and stops the consumer, until `ringCommit`. `answers` is given the payload's
 * address before the record is there, and returns what says afterwards that somebody has to commit it.
 */
export function ringReserve(
  env: MapEnv,
  map: number,
  size: number,
  answers?: (sample: number) => Mark | undefined,
): number {
  const { mem } = env;
  const total = recordSize(size);
  if (size > LENGTH_MASK || total > mem.u32[(map + MAP_MAX_ENTRIES) >>> 2]!) return 0;
  lockRing(mem, map);
  const header = claim(mem, map, total);
  const sample = header === 0 ? 0 : header + BPF_RINGBUF_HDR_SZ;
  const mark = sample === 0 ? undefined : answers?.(sample);
  const isTaken = sample !== 0 && (answers === undefined || mark !== undefined);
  if (isTaken) {
    mem.u32[header >>> 2] = size | BPF_RINGBUF_BUSY_BIT;
    publish(mem, map, total, mark);
  }
  unlockRing(mem, map);
  return isTaken ? sample : 0;
}

/** Bytes that a record with so much payload takes: header and payload in whole 8-byte words. */
function recordSize(size: number): number {
  return (size + BPF_RINGBUF_HDR_SZ + 7) & ~7;
}

/** Takes the lock; what a dead owner had moved on but not published yet is shown now. */
function lockRing(mem: Memory, map: number): void {
  if (lock(mem, map + RING_LOCK)) show(mem, map);
  else if (mem.shared) awaitPublished(mem, map);
}

function unlockRing(mem: Memory, map: number): void {
  if (!mem.shared) return;
  mem.u32[(map + RING_LEFT) >>> 2] = low(mem, map + RING_PROD);
  unlock(mem, map + RING_LOCK);
}

/** Sees what the lock's last owner changed that this one will change too. Called under the lock. */
function awaitPublished(mem: Memory, map: number): void {
  const { atomics } = mem;
  const page = low(mem, map + RING_BASE) + RING_PROD_PAGE;
  const left = mem.u32[(map + RING_LEFT) >>> 2]!;
  // User space finds a new ring all zero, as in the kernel: its first producer puts down the first mark.
  if ((left | low(mem, map + RING_PROD) | high(mem, map + RING_PROD)) === 0) {
    show(mem, map);
    return;
  }
  const next = recordAt(mem, map, left);
  for (let look = 0; look < LOOKS; look++) {
    const differs = (atomics.load32(map + RING_PROD) ^ left) | (atomics.load32(page) ^ left);
    if ((differs | (atomics.load32(next) ^ markOf(left))) === 0) return;
  }
  // It has come by now, and user space has spoiled what it can write.
  show(mem, map);
}

/**
 * Finds room for `total` bytes: the address of the record's header, its page filled in and the mark behind it put down; or
 * 0. Called under the lock.
 */
function claim(mem: Memory, map: number, total: number): number {
  const { u32 } = mem;
  const d = map >>> 2;
  const base = u32[d + (RING_BASE >>> 2)]!;
  const mask = u32[d + (MAP_MAX_ENTRIES >>> 2)]! - 1;
  const prod = u32[d + (RING_PROD >>> 2)]!;
  const next = (prod + total) >>> 0;
  const nextHigh = u32[d + (RING_PROD >>> 2) + 1]! + (next < prod ? 1 : 0);
  // Neither may the newest record reach the consumer, nor the oldest that is still busy.
  const pending = pendingBytes(mem, map, base, mask, prod);
  // Nobody reads it there; the kernel's struct has it beside the producer position, so that user space sees it.
  const shown = (base + RING_PENDING_POS) >>> 2;
  u32[shown] = prod - pending;
  u32[shown + 1] = u32[d + (RING_PROD >>> 2) + 1]! - (prod < pending ? 1 : 0);
  if (pending + total > mask) return 0;
  if (!fits(mem, base, next, nextHigh, mask)) return 0;
  const at = prod & mask;
  const header = base + RING_DATA + at;
  u32[(header >>> 2) + 1] = KERNEL_PAGES + (at >>> PAGE_SHIFT);
  // There are 8 bytes: with them the ring would be full.
  if (mem.shared) putMark(mem, map, next);
  return header;
}

/** Moves the pending position over all records that were committed since. Returns how far the producer is ahead of it. */
function pendingBytes(mem: Memory, map: number, base: number, mask: number, prod: number): number {
  const { u32 } = mem;
  const at = (map + RING_PENDING) >>> 2;
  let pending = u32[at]!;
  let left = (prod - pending) >>> 0;
  while (left > 0) {
    const length = u32[(base + RING_DATA + (pending & mask)) >>> 2]!;
    if (length >= BPF_RINGBUF_BUSY_BIT) break;
    // A length that user space spoiled must not lead past the producer.
    const step = Math.min(recordSize(length & LENGTH_MASK), left);
    pending = (pending + step) >>> 0;
    left -= step;
  }
  u32[at] = pending;
  return left;
}

/**
 * Whether a producer at this position stays less than the ring's size ahead of the consumer, in the arithmetic of u64.
 * A consumer on another thread may store between our two reads; half of each looks too full, so only that is asked
 * twice.
 */
function fits(mem: Memory, cons: number, next: number, nextHigh: number, mask: number): boolean {
  for (;;) {
    const consLow = low(mem, cons);
    const consHigh = high(mem, cons);
    const ahead = (next - consLow) >>> 0;
    const aheadHigh = (nextHigh - consHigh - (next < consLow ? 1 : 0)) | 0;
    if (aheadHigh === 0 && ahead <= mask) return true;
    if (!mem.shared || (low(mem, cons) === consLow && high(mem, cons) === consHigh)) return false;
  }
}

/**
 * Moves the producer position over a claimed record of `total` bytes: the truth first, then what user space sees. Where
 * others look on, each changes by one store.
 */
function publish(mem: Memory, map: number, total: number, mark?: Mark): void {
  const { u32 } = mem;
  const at = (map + RING_PROD) >>> 2;
  const low = u32[at]!;
  const next = (low + total) >>> 0;
  const nextHigh = u32[at + 1]! + (next < low ? 1 : 0);
  if (mem.shared) {
    const page = u32[(map + RING_BASE) >>> 2]! + RING_PROD_PAGE;
    mem.atomics.moveOn(map + RING_PROD, next, nextHigh, page, mark?.at ?? map + RING_UNMARKED, mark?.word ?? 0);
    return;
  }
  u32[at] = next;
  u32[at + 1] = nextHigh;
  show(mem, map);
  if (mark !== undefined) u32[mark.at >>> 2] = mark.word;
}

/** Shows what is true; no record begins at the producer position, whatever stands there. */
function show(mem: Memory, map: number): void {
  const { u32 } = mem;
  const page = u32[(map + RING_BASE) >>> 2]! + RING_PROD_PAGE;
  if (mem.shared) {
    putMark(mem, map, u32[(map + RING_PROD) >>> 2]!);
    // The other side: a consumer that reads the position, then the records before it.
    mem.atomics.copy64(page, map + RING_PROD);
    return;
  }
  u32[page >>> 2] = u32[(map + RING_PROD) >>> 2]!;
  u32[(page >>> 2) + 1] = u32[(map + RING_PROD + 4) >>> 2]!;
}

/**
 * bpf_ringbuf_submit and _discard: the record at `sample` (what `ringReserve` gave) is complete, or to be skipped.
 * `flags`: the low half of the helper's u64; bits other than those for wake-ups are ignored, as in the kernel. `mark`
 * says afterwards that nobody has to answer for it any more.
 */
export function ringCommit(
  env: MapEnv,
  map: number,
  sample: number,
  flags: number,
  discard: boolean,
  mark?: Mark,
): number {
  const { mem } = env;
  const { u32 } = mem;
  const header = sample - BPF_RINGBUF_HDR_SZ;
  const length = (u32[header >>> 2]! & LENGTH_MASK) | (discard ? BPF_RINGBUF_DISCARD_BIT : 0);
  // The other side: a consumer that reads the length, then the payload.
  if (mem.shared) {
    if (mark === undefined) mem.atomics.xchg32(header, length);
    else mem.atomics.xchgAnd(header, length, mark.at, mark.word);
  } else {
    u32[header >>> 2] = length;
    if (mark !== undefined) u32[mark.at >>> 2] = mark.word;
  }
  wakeConsumer(env, map, header, flags);
  return 0;
}

/** bpf_ringbuf_output: copies `size` bytes into a record of their own. */
export function ringOutput(env: MapEnv, map: number, data: number, size: number, flags: number): number {
  if (flags > WAKEUP_FLAGS) return -EINVAL;
  const { mem } = env;
  const total = recordSize(size);
  if (size > LENGTH_MASK || total > mem.u32[(map + MAP_MAX_ENTRIES) >>> 2]!) return -EAGAIN;
  lockRing(mem, map);
  const header = claim(mem, map, total);
  if (header !== 0) {
    // Complete before anybody sees it: unlike a reservation it cannot be left busy by a client that dies.
    mem.copy(header + BPF_RINGBUF_HDR_SZ, data, size);
    if (mem.shared) mem.atomics.store32(header, size);
    else mem.u32[header >>> 2] = size;
    publish(mem, map, total);
  }
  unlockRing(mem, map);
  if (header === 0) return -EAGAIN;
  wakeConsumer(env, map, header, flags);
  return 0;
}

/** By default a wake-up is due only when the consumer had read everything before this record: it may sleep then. */
function wakeConsumer(env: MapEnv, map: number, header: number, flags: number): void {
  if ((flags & BPF_RB_FORCE_WAKEUP) === 0) {
    if (flags & BPF_RB_NO_WAKEUP) return;
    const { mem } = env;
    const base = mem.u32[(map + RING_BASE) >>> 2]!;
    const mask = mem.u32[(map + MAP_MAX_ENTRIES) >>> 2]! - 1;
    // The other side: a consumer that stores its position, then looks for the next record before it goes to sleep.
    const cons = mem.shared ? mem.atomics.load32(base) : mem.i32[base >>> 2]!;
    if ((cons & mask) !== header - base - RING_DATA) return;
  }
  ringWake(env, map);
}

/** Tells who waits for records of this ring. */
export function ringWake(env: MapEnv, map: number): void {
  if (env.mem.shared) env.mem.atomics.add32(map + RING_WAKEUPS, 1);
  else env.mem.u32[(map + RING_WAKEUPS) >>> 2]!++;
  env.wake?.(map);
}

/**
 * bpf_ringbuf_query: a u64, its low half as the (signed) result, its high half stored at the address `highAt`. What is
 * available wraps when user space stored nonsense.
 */
export function ringQuery(env: MapEnv, map: number, what: number, highAt: number): number {
  const { mem } = env;
  const cons = mem.u32[(map + RING_BASE) >>> 2]!;
  switch (what) {
    case BPF_RB_AVAIL_DATA:
      return difference(mem, map + RING_PROD, cons, highAt);
    case BPF_RB_CONS_POS:
      return position(mem, cons, highAt);
    case BPF_RB_PROD_POS:
      return position(mem, map + RING_PROD, highAt);
    default:
      mem.u32[highAt >>> 2] = 0;
      return what === BPF_RB_RING_SIZE ? mem.i32[(map + MAP_MAX_ENTRIES) >>> 2]! : 0;
  }
}

/** A u64 that others may be moving on: halves of one moment. */
function position(mem: Memory, at: number, highAt: number): number {
  for (;;) {
    const top = high(mem, at);
    const bottom = low(mem, at);
    if (high(mem, at) !== top) continue;
    mem.u32[highAt >>> 2] = top;
    return bottom | 0;
  }
}

function difference(mem: Memory, prod: number, cons: number, highAt: number): number {
  for (;;) {
    const consHigh = high(mem, cons);
    const prodHigh = high(mem, prod);
    const consLow = low(mem, cons);
    const prodLow = low(mem, prod);
    if (high(mem, cons) !== consHigh || high(mem, prod) !== prodHigh) continue;
    mem.u32[highAt >>> 2] = prodHigh - consHigh - (prodLow < consLow ? 1 : 0);
    return (prodLow - consLow) | 0;
  }
}
