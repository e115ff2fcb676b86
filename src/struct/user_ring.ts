/**
 * The ring of USER_RINGBUF: user space produces through the mapping. Kernel counterpart: ringbuf.c. What lies in the
 * mapping is user space's word: here it decides no more than whether somebody is told to come and write.
 */
import { EPERM } from "../uapi/index.ts";
import type { MapEnv } from "./env.ts";
import { MAP_MAX_ENTRIES } from "./map.ts";
import { high, low, mmapRing, RING_BASE, RING_PROD_PAGE } from "./ring_map.ts";

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
