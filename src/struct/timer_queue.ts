/**
 * Timers that are running, of all maps of a host: a heap by expiry, then by the order in which they were started. A timer
 * is the anchor of its field (`anchors.ts`); a workqueue item is a timer that expires at once. Kernel counterpart:
 * struct bpf_async_kern, hrtimer.
 */
import { alloc, free } from "../mem/alloc.ts";
import { SB_TIMERS } from "../mem/layout.ts";
import { lock, unlock } from "../mem/locks.ts";
import type { Memory } from "../mem/memory.ts";
import { ANCHOR_STATE } from "./anchors.ts";

/** The program whose function is called, and its first instruction; program 0: no function is set. */
export const TIMER_PROG: number = ANCHOR_STATE;
export const TIMER_CALLBACK: number = ANCHOR_STATE + 4;
/** u64: when it expires, on the host's clock. */
export const TIMER_EXPIRY: number = ANCHOR_STATE + 8;
/** u64: counts starts. */
const TIMER_ORDER: number = ANCHOR_STATE + 16;
/** Its place in the heap, counted from 1; 0: it is not running. */
const TIMER_PLACE: number = ANCHOR_STATE + 24;
/** CLOCK_* */
export const TIMER_CLOCK: number = ANCHOR_STATE + 28;
/** The element's value. */
export const TIMER_VALUE: number = ANCHOR_STATE + 32;
/** Tells a timer from another one that had the same memory before. */
export const TIMER_ID: number = ANCHOR_STATE + 36;

/** The queue: lock, timers, room for so many, the heap (addresses of anchors), starts so far (u64), ids so far. */
const Q_COUNT = 4;
const Q_ROOM = 8;
const Q_HEAP = 12;
const Q_STARTS = 16;
const Q_IDS = 24;
const Q_SIZE = 32;
const FIRST_ROOM = 64;

/** Takes the queue's lock; the queue is made if there is none. 0: out of memory, and no lock is taken. */
export function lockTimers(mem: Memory): number {
  let queue = mem.atomics.load32(SB_TIMERS) >>> 0;
  if (queue === 0) {
    const made = alloc(mem, Q_SIZE);
    if (made === 0) return 0;
    queue = mem.atomics.cas32(SB_TIMERS, 0, made) >>> 0;
    if (queue === 0) queue = made;
    else free(mem, made, Q_SIZE);
  }
  if (lock(mem, queue)) repair(mem, queue);
  return queue;
}

export function unlockTimers(mem: Memory, queue: number): void {
  unlock(mem, queue);
}

/** A client died moving timers: some may stand in two places, none is lost. Every timer is put in again. */
function repair(mem: Memory, queue: number): void {
  const { u32 } = mem;
  const heap = u32[(queue + Q_HEAP) >>> 2]! >>> 2;
  const count = u32[(queue + Q_COUNT) >>> 2]!;
  const timers = new Set(u32.subarray(heap, heap + count));
  timers.delete(0);
  u32[(queue + Q_COUNT) >>> 2] = 0;
  for (const timer of timers) put(mem, queue, timer);
}

export function newTimerId(mem: Memory, queue: number): number {
  return ++mem.u32[(queue + Q_IDS) >>> 2]!;
}

export function isRunning(mem: Memory, timer: number): boolean {
  return mem.u32[(timer + TIMER_PLACE) >>> 2] !== 0;
}

/** Starts the timer, or starts it again, to expire at `expiry` (TIMER_EXPIRY is set). False: out of memory. With the lock. */
export function startTimer(mem: Memory, queue: number, timer: number, expiry: bigint): boolean {
  const { u32, u64 } = mem;
  stopTimer(mem, queue, timer);
  const count = u32[(queue + Q_COUNT) >>> 2]!;
  if (count === u32[(queue + Q_ROOM) >>> 2]! && !grow(mem, queue, count)) return false;
  u64[(timer + TIMER_EXPIRY) >>> 3] = expiry;
  const starts = mem.readU64(queue + Q_STARTS) + 1;
  mem.writeU64(queue + Q_STARTS, starts);
  mem.writeU64(timer + TIMER_ORDER, starts);
  put(mem, queue, timer);
  return true;
}

function grow(mem: Memory, queue: number, count: number): boolean {
  const { u32 } = mem;
  const room = Math.max(FIRST_ROOM, count * 2);
  const heap = alloc(mem, room * 4);
  if (heap === 0) return false;
  const old = u32[(queue + Q_HEAP) >>> 2]!;
  mem.copy(heap, old, count * 4);
  u32[(queue + Q_HEAP) >>> 2] = heap;
  u32[(queue + Q_ROOM) >>> 2] = room;
  if (old !== 0) free(mem, old, count * 4);
  return true;
}

/** True: it was running. With the lock. */
export function stopTimer(mem: Memory, queue: number, timer: number): boolean {
  const { u32 } = mem;
  const place = u32[(timer + TIMER_PLACE) >>> 2]!;
  if (place === 0) return false;
  const count = u32[(queue + Q_COUNT) >>> 2]!;
  const last = u32[at(mem, queue, count)]!;
  u32[(timer + TIMER_PLACE) >>> 2] = 0;
  u32[(queue + Q_COUNT) >>> 2] = count - 1;
  if (last !== timer) {
    set(mem, queue, place, last);
    sift(mem, queue, last);
  }
  return true;
}

/** How many are running. With the lock. */
export function timerCount(mem: Memory, queue: number): number {
  return mem.u32[(queue + Q_COUNT) >>> 2]!;
}

/** The timer that expires first, if it does so until `now`; else 0. With the lock. */
export function dueTimer(mem: Memory, queue: number, now: bigint): number {
  const first = firstTimer(mem, queue);
  return first !== 0 && mem.u64[(first + TIMER_EXPIRY) >>> 3]! <= now ? first : 0;
}

/** The timer that expires first, or 0. With the lock. */
export function firstTimer(mem: Memory, queue: number): number {
  return mem.u32[(queue + Q_COUNT) >>> 2] === 0 ? 0 : mem.u32[at(mem, queue, 1)]!;
}

/** Index in u32 of a place. */
function at(mem: Memory, queue: number, place: number): number {
  return (mem.u32[(queue + Q_HEAP) >>> 2]! >>> 2) + place - 1;
}

function set(mem: Memory, queue: number, place: number, timer: number): void {
  mem.u32[at(mem, queue, place)] = timer;
  mem.u32[(timer + TIMER_PLACE) >>> 2] = place;
}

function put(mem: Memory, queue: number, timer: number): void {
  const place = ++mem.u32[(queue + Q_COUNT) >>> 2]!;
  set(mem, queue, place, timer);
  sift(mem, queue, timer);
}

/** Moves a timer up or down until all above it expire before it, and all below after it. */
function sift(mem: Memory, queue: number, timer: number): void {
  const { u32 } = mem;
  const count = u32[(queue + Q_COUNT) >>> 2]!;
  let place = u32[(timer + TIMER_PLACE) >>> 2]!;
  while (place > 1) {
    const above = u32[at(mem, queue, place >>> 1)]!;
    if (!before(u32, timer, above)) break;
    set(mem, queue, place, above);
    place >>>= 1;
  }
  for (;;) {
    let below = place * 2;
    if (below > count) break;
    if (below < count && before(u32, u32[at(mem, queue, below + 1)]!, u32[at(mem, queue, below)]!)) below++;
    const other = u32[at(mem, queue, below)]!;
    if (!before(u32, other, timer)) break;
    set(mem, queue, place, other);
    place = below;
  }
  set(mem, queue, place, timer);
}

/** Two u64 each, the upper half first. */
function before(u32: Uint32Array, a: number, b: number): boolean {
  const x = (a + TIMER_EXPIRY) >>> 2;
  const y = (b + TIMER_EXPIRY) >>> 2;
  for (let i = 0; i < 4; i++) {
    const word = i ^ 1;
    if (u32[x + word] !== u32[y + word]) return u32[x + word]! < u32[y + word]!;
  }
  return false;
}
