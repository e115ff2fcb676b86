/**
 * The ring of USER_RINGBUF: user space produces through the mapping, programs drain it. Kernel counterpart: ringbuf.c.
 * What lies in the mapping is user space's word, and may change at any time: every word is read once, and what it leads
 * to stays within this ring's data.
 */
import type { Memory } from "../mem/memory.ts";
import {
  BPF_RINGBUF_BUSY_BIT,
  BPF_RINGBUF_DISCARD_BIT,
  BPF_RINGBUF_HDR_SZ,
  E2BIG,
  EAGAIN,
  EBUSY,
  EINVAL,
  ENODATA,
  EPERM,
} from "../uapi/index.ts";
import type { MapEnv } from "./env.ts";
import { MAP_MAX_ENTRIES } from "./map.ts";
import { high, low, mmapRing, RING_BASE, RING_DATA, RING_PRIVATE, RING_PROD_PAGE } from "./ring_map.ts";

/** u32: 1 while a program drains the ring. */
const USER_BUSY: number = RING_PRIVATE;

const LENGTH_MASK: number = BPF_RINGBUF_DISCARD_BIT - 1;
/** A dynptr is no longer than this. */
const SAMPLE_MAX = 0xff_ffff;

/** EPOLLOUT | EPOLLWRNORM */
const POLL_OUT = 0x104;

/** mmap of whole pages: all but the consumer page may be written; everything may be read. */
export function mmap(env: MapEnv, map: number, offset: number, length: number, writable: boolean): number {
  return writable && offset === 0 ? -EPERM : mmapRing(env, map, offset, length);
}

/** Ready while the producer is less than the ring's size ahead of the consumer, in the arithmetic of u64. */
export function poll(env: MapEnv, map: number): number {
  const { mem } = env;
  const cons = mem.u32[(map + RING_BASE) >>> 2]!;
  const prod = cons + RING_PROD_PAGE;
  for (;;) {
    const consHigh = high(mem, cons);
    const prodHigh = high(mem, prod);
    const consLow = low(mem, cons);
    const prodLow = low(mem, prod);
    // The other side: a producer or consumer on another thread, which stores all 8 bytes at once between our reads.
    if (high(mem, cons) !== consHigh || high(mem, prod) !== prodHigh) continue;
    const aheadHigh = (prodHigh - consHigh - (prodLow < consLow ? 1 : 0)) | 0;
    const room = aheadHigh === 0 && (prodLow - consLow) >>> 0 < mem.u32[(map + MAP_MAX_ENTRIES) >>> 2]!;
    return room ? POLL_OUT : 0;
  }
}

/** One drain at a time: 0, or -EBUSY. */
export function beginDrain(mem: Memory, map: number): number {
  return mem.atomics.cas32(map + USER_BUSY, 0, 1) === 0 ? 0 : -EBUSY;
}

export function endDrain(mem: Memory, map: number): void {
  mem.atomics.store32(map + USER_BUSY, 0);
}

/**
 * The next sample: its address, and its size at `sizeAt`, a u32. -ENODATA: there is none, or it is still being written;
 * -EAGAIN: it was discarded, and is passed over now; -EINVAL, -E2BIG: the ring is not in order. Called by who drains.
 */
export function nextSample(env: MapEnv, map: number, sizeAt: number): number {
  const { mem } = env;
  const cons = mem.u32[(map + RING_BASE) >>> 2]!;
  const max = mem.u32[(map + MAP_MAX_ENTRIES) >>> 2]!;
  const available = bytesAhead(mem, cons);
  if (available <= 0) return available;
  const at = low(mem, cons) & (max - 1);
  const header = cons + RING_DATA + (at & ~7);
  // The other side: a producer that writes the payload, then the length.
  const length = mem.shared ? mem.atomics.load32(header) : mem.i32[header >>> 2]!;
  const size = length & LENGTH_MASK;
  const total = totalOf(size);
  if (total > available) return -EINVAL;
  if (total > max || size > SAMPLE_MAX) return -E2BIG;
  if (length & BPF_RINGBUF_DISCARD_BIT) {
    moveConsumer(mem, cons, total);
    return -EAGAIN;
  }
  if (length & BPF_RINGBUF_BUSY_BIT) return -ENODATA;
  mem.u32[sizeAt >>> 2] = size;
  // As libbpf's producers have it: a record whose header is the last of the ring goes on at the beginning.
  return cons + RING_DATA + (((at & ~7) + BPF_RINGBUF_HDR_SZ) & (max - 1));
}

/** The sample of this size was read: its place is the producer's again. */
export function releaseSample(env: MapEnv, map: number, size: number): void {
  moveConsumer(env.mem, env.mem.u32[(map + RING_BASE) >>> 2]!, totalOf(size));
}

function totalOf(size: number): number {
  return (size + BPF_RINGBUF_HDR_SZ + 7) & ~7;
}

/** How far the producer is ahead; 2^32 and more are one. -ENODATA: it is not; -EINVAL: it is nowhere. */
function bytesAhead(mem: Memory, cons: number): number {
  const prod = cons + RING_PROD_PAGE;
  for (;;) {
    const prodHigh = high(mem, prod);
    const prodLow = low(mem, prod);
    // The other side: a producer on another thread, which stores all 8 bytes at once between our reads.
    if (high(mem, prod) !== prodHigh) continue;
    if (prodLow & 7) return -EINVAL;
    const consHigh = high(mem, cons);
    const consLow = low(mem, cons);
    if (consHigh > prodHigh || (consHigh === prodHigh && consLow >= prodLow)) return -ENODATA;
    return (prodHigh - consHigh) * 0x1_0000_0000 + prodLow - consLow;
  }
}

/** The other side: a producer that looks for room. */
function moveConsumer(mem: Memory, cons: number, by: number): void {
  Atomics.add(mem.u64, cons >>> 3, BigInt(by));
}
