/** A thread that ends in the middle of a reservation, or of giving a record back, leaves no record that stays busy. */

import { expect, test } from "vitest";
import { PLAIN_MAP } from "../../test/plain_map.ts";
import { acquireRun, releaseRun } from "../kern/cpus.ts";
import { createKernel } from "../kern/create.ts";
import type { Kernel } from "../kern/kernel.ts";
import { allocMap } from "../kern/map.ts";
import { findHeld, HELD_RING, RUN_HELD_COUNT } from "../kern/run_record.ts";
import { ringbufMap } from "../maps/ringbuf.ts";
import type { AtomicOps } from "../mem/atomics.ts";
import { unlock } from "../mem/locks.ts";
import { RING_LOCK } from "../struct/ring.ts";
import { RING_BASE, RING_DATA, RING_PROD_PAGE } from "../struct/ring_map.ts";
import { BPF_MAP_TYPE_RINGBUF } from "../uapi/index.ts";
import { commitRecord, reserveRecord } from "./ring_records.ts";

const SIZE = 4096;
const BUSY = 0x8000_0000;
const DISCARD = 0x4000_0000;
const PAYLOAD = 24;
/** More operations than any of these takes. */
const POINTS = 30;

const attr = { map_type: BPF_MAP_TYPE_RINGBUF, key_size: 0, value_size: 0, max_entries: SIZE, map_flags: 0 };
const THE_END = new Error("the thread ends");

/** Runs `work`, which ends in front of the n-th atomic operation from now on, or behind it. True: it came so far. */
function endsAt(kernel: Kernel, n: number, behind: boolean, work: () => void): boolean {
  const { mem } = kernel;
  const whole = mem.atomics;
  let left = n;
  const counted = Object.entries(whole as unknown as Record<string, (...args: number[]) => number>).map(
    ([name, call]) => {
      const watched = (...args: number[]): number => {
        if (left-- !== 0) return call(...args);
        if (behind) call(...args);
        throw THE_END;
      };
      return [name, watched] as const;
    },
  );
  const setAtomics = (atomics: unknown): void => {
    Object.assign(mem, { atomics });
  };
  setAtomics(Object.fromEntries(counted));
  try {
    work();
    return false;
  } catch (error) {
    if (error !== THE_END) throw error;
    return true;
  } finally {
    setAtomics(whole as AtomicOps);
  }
}

/** Headers of all records up to the producer position. */
function headers({ mem }: Kernel, ring: number): number[] {
  const base = mem.u32[(ring + RING_BASE) >>> 2]!;
  const end = mem.u32[(base + RING_PROD_PAGE) >>> 2]!;
  const found: number[] = [];
  for (let at = 0; at < end; at += ((found.at(-1)! & (DISCARD - 1)) + 8 + 7) & ~7) {
    found.push(mem.u32[(base + RING_DATA + (at & (SIZE - 1))) >>> 2]!);
  }
  return found;
}

const works: Readonly<Record<string, (kernel: Kernel, ring: number, entry: number) => void>> = {
  reserve: (kernel, ring) => reserveRecord(kernel, ring, PAYLOAD, HELD_RING),
  submit: (kernel, _, entry) => commitRecord(kernel, entry, 0, false),
  discard: (kernel, _, entry) => commitRecord(kernel, entry, 0, true),
};

test.each(Object.entries(works))("in the middle of %s", (_name, work) => {
  for (const behind of [false, true]) {
    let points = 0;
    for (let n = 0; n < POINTS; n++) {
      const kernel = createKernel({ memory: 4 << 20, cpus: 1, shared: true, seed: 1, virtualClock: true });
      const { mem } = kernel;
      const ring = allocMap(kernel, ringbufMap, { ...attr, ...PLAIN_MAP });
      const run = acquireRun(kernel, 0);
      const other = reserveRecord(kernel, ring, PAYLOAD, HELD_RING);
      const sample = reserveRecord(kernel, ring, PAYLOAD, HELD_RING);
      const entry = findHeld(mem, run, HELD_RING, other);
      if (!endsAt(kernel, n, behind, () => work(kernel, ring, entry))) break;
      points++;
      // What who comes next does: the lock is taken over, the run is ended.
      if (mem.u32[(ring + RING_LOCK) >>> 2] !== 0) unlock(mem, ring + RING_LOCK);
      releaseRun(kernel, run);
      expect(headers(kernel, ring).filter((header) => header >= BUSY)).toEqual([]);
      expect([sample - other, mem.u32[(run + RUN_HELD_COUNT) >>> 2]]).toEqual([PAYLOAD + 8, 0]);
      acquireRun(kernel, 0);
      expect(reserveRecord(kernel, ring, PAYLOAD, HELD_RING)).toBeGreaterThan(sample);
      expect(headers(kernel, ring).at(-1)).toBe((PAYLOAD | BUSY) >>> 0);
    }
    expect(points).toBeGreaterThan(0);
    expect(points).toBeLessThan(POINTS);
  }
});
