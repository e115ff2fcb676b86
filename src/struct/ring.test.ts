import { afterAll, expect, test } from "vitest";
import { PLAIN_MAP } from "../../test/plain_map.ts";
import { createKernel } from "../kern/create.ts";
import type { Kernel } from "../kern/kernel.ts";
import { allocMap, destroyMap } from "../kern/map.ts";
import { ringbufMap } from "../maps/ringbuf.ts";
import { AREA_KIND, AREA_RING, alloc, areaOf, memoryUse } from "../mem/alloc.ts";
import { BPF_MAP_TYPE_RINGBUF, EAGAIN, EINVAL, ENOMEM, EPERM } from "../uapi/index.ts";
import type { MapCreateAttr, MapEnv } from "./env.ts";

import { markOf, RING_LOCK, RING_PROD, RING_WAKEUPS, ringCommit, ringOutput, ringQuery, ringReserve } from "./ring.ts";
import { RING_BASE, RING_DATA, RING_PROD_PAGE } from "./ring_map.ts";

const { ops } = ringbufMap;
const BUSY = 0x8000_0000;
const DISCARD = 0x4000_0000;

const hosts = [false, true].map((shared) =>
  createKernel({ memory: 16 << 20, cpus: 2, shared, seed: 1, virtualClock: true }),
);
const buffers = new Map(hosts.map((k) => [k, alloc(k.mem, 1 << 16)]));
for (const k of hosts) destroyMap(k, newRing(k));
const usedBefore = hosts.map((k) => memoryUse(k.mem).used);
const [one] = hosts as [Kernel, Kernel];

function attr(over: Partial<MapCreateAttr>): MapCreateAttr {
  return {
    map_type: BPF_MAP_TYPE_RINGBUF,
    key_size: 0,
    value_size: 0,
    max_entries: 4096,
    map_flags: 0,
    ...PLAIN_MAP,
    ...over,
  };
}

function newRing(k: Kernel, max_entries = 4096): number {
  return allocMap(k, ringbufMap, attr({ max_entries }));
}

const base = (k: Kernel, map: number): number => k.mem.u32[(map + RING_BASE) >>> 2]!;
const cons = (k: Kernel, map: number): bigint => k.mem.u64[base(k, map) >>> 3]!;
const prod = (k: Kernel, map: number): bigint => k.mem.u64[(base(k, map) + RING_PROD_PAGE) >>> 3]!;
const setCons = (k: Kernel, map: number, to: bigint): void => {
  k.mem.u64[base(k, map) >>> 3] = to;
};
const total = (size: number): number => Math.ceil((size + 8) / 8) * 8;

/** libbpf's rule: up to `limit` records, discarded ones skipped; stops at one that is busy. Returns their payloads. */
function consume(k: Kernel, map: number, ringSize: number, limit: number): Uint8Array[] {
  const { mem } = k;
  const out: Uint8Array[] = [];
  let at = cons(k, map);
  while (at < prod(k, map) && out.length < limit) {
    const header = base(k, map) + RING_DATA + (Number(at) & (ringSize - 1));
    const word = mem.u32[header >>> 2]!;
    if (word >= BUSY) break;
    const size = word & ~DISCARD;
    if ((word & DISCARD) === 0) out.push(mem.u8.slice(header + 8, header + 8 + size));
    at += BigInt(total(size));
    setCons(k, map, at);
  }
  return out;
}

interface Held {
  readonly sample: number;
  readonly at: number;
  readonly data: Uint8Array;
  state: "busy" | "done" | "dropped";
}

/** Numbers 0 .. n - 1 that a seed repeats. */
function random(seed: number): (n: number) => number {
  let state = seed;
  return (n) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * n);
  };
}

/** The whole ring as a list: what fits, who is woken, what the consumer gets. Returns the records and turns made. */
function playAgainstModel(k: Kernel, ringSize: number, seed: number, steps: number): [records: number, turns: number] {
  const { mem } = k;
  const next = random(seed);
  const map = newRing(k, ringSize);
  const buffer = buffers.get(k)!;
  const mask = ringSize - 1;
  /** Not read yet, oldest first. */
  const list: Held[] = [];
  const pattern = Uint8Array.from({ length: 8192 + 251 }, (_, b) => next(256) ^ b);
  let records = 0;
  let position = 0;
  let wakeups = 0;
  const place = (at: number): number => base(k, map) + RING_DATA + (at & mask);
  const wakes = (at: number, flags: number): boolean =>
    (flags & 2) !== 0 || ((flags & 1) === 0 && (Number(cons(k, map)) & mask) === (at & mask));
  const room = (size: number): boolean => {
    const oldest = list.find((r) => r.state === "busy")?.at ?? position;
    const end = position + total(size);
    return total(size) <= ringSize && end - Number(cons(k, map)) <= mask && end - oldest <= mask;
  };
  const add = (record: Held): void => {
    list.push(record);
    records++;
    position += total(record.data.length);
  };
  for (let step = 0; step < steps; step++) {
    const size = [next(40), next(40), next(1500), 4080 * next(3)][next(4)]!;
    const flags = [0, 0, 0, 1, 2, 3][next(6)]!;
    const what = next(8);
    /** expect() takes 20 us: it is called for what is wrong only. */
    const same = (found: unknown, expected: unknown): void => {
      if (found === expected) return;
      expect(found, `host shared ${mem.shared}, ring ${ringSize}, seed ${seed}, step ${step}`).toBe(expected);
    };
    const data = pattern.slice(step % 251, (step % 251) + size);
    if (what < 3) {
      const fits = room(size);
      // Unaligned sources too.
      mem.u8.set(data, buffer + (step & 7));
      same(ringOutput(k, map, buffer + (step & 7), size, flags), fits ? 0 : -EAGAIN);
      if (fits && wakes(position, flags)) wakeups++;
      if (fits) add({ sample: 0, at: position, data, state: "done" });
    } else if (what < 5) {
      const sample = ringReserve(k, map, size);
      same(sample, room(size) ? place(position) + 8 : 0);
      if (sample === 0) continue;
      same(mem.u32[(sample - 8) >>> 2], (BUSY | size) >>> 0);
      same(mem.u32[(sample - 4) >>> 2], 3 + ((position & mask) >>> 12));
      mem.u8.set(data, sample);
      add({ sample, at: position, data, state: "busy" });
    } else if (what < 7) {
      const busy = list.filter((r) => r.state === "busy");
      const record = busy[next(busy.length)];
      if (record === undefined) continue;
      if (wakes(record.at, flags)) wakeups++;
      record.state = next(4) === 0 ? "dropped" : "done";
      ringCommit(k, map, record.sample, flags, record.state === "dropped");
    } else {
      const got = consume(k, map, ringSize, 1 + next(20));
      const expected: Uint8Array[] = [];
      while (list[0] !== undefined && list[0].at < Number(cons(k, map))) {
        const record = list.shift()!;
        same(record.state === "busy", false);
        if (record.state === "done") expected.push(record.data);
      }
      same(got.length, expected.length);
      same(
        got.every((r, i) => Buffer.compare(r, expected[i]!) === 0),
        true,
      );
      const first = list[0];
      if (got.length === 0 && first !== undefined) same(first.state, "busy");
    }
    same(Number(prod(k, map)), position);
    same(mem.u32[(map + RING_WAKEUPS) >>> 2], wakeups);
    same(ops.map_poll(k, map), position === Number(cons(k, map)) ? 0 : 0x41);
  }
  destroyMap(k, map);
  return [records, Math.floor(position / ringSize)];
}

test("12,000 records of random sizes through rings that wrap, as a list would have it, on both kinds of hosts", () => {
  let records = 0;
  let turns = 0;
  for (const k of hosts) {
    for (const [ringSize, seed] of [
      [4096, 1],
      [8192, 2],
      [65536, 3],
    ] as const) {
      const [r, t] = playAgainstModel(k, ringSize, seed, 6000);
      records += r;
      turns += t;
    }
  }
  expect(records).toBeGreaterThan(12_000);
  expect(turns).toBeGreaterThan(500);
});

test("a ring is never quite full: 4080 bytes are the largest record of 4096, 4088 bytes the largest filling", () => {
  const map = newRing(one);
  expect(ringReserve(one, map, 4081)).toBe(0);
  for (const size of [4088, 4089, 4096, 0x3fff_ffff, 0x4000_0000, 2 ** 32, 2 ** 32 + 8, 2 ** 53]) {
    expect(ringReserve(one, map, size)).toBe(0);
    expect(ringOutput(one, map, 0, size, 0)).toBe(-EAGAIN);
  }
  expect(prod(one, map)).toBe(0n);
  expect(ringReserve(one, map, 4080)).toBe(base(one, map) + RING_DATA + 8);
  expect(ringReserve(one, map, 0)).toBe(0);
  const other = newRing(one);
  let n = 0;
  while (ringOutput(one, other, 0, 0, 0) === 0) n++;
  expect(n).toBe(511);
  destroyMap(one, map);
  destroyMap(one, other);
});

test("output knows the flags 0 to 3 only; commit ignores others", () => {
  const map = newRing(one);
  for (const flags of [4, 8, 2 ** 32, 2 ** 63]) expect(ringOutput(one, map, 0, 8, flags)).toBe(-EINVAL);
  expect(ringOutput(one, map, 0, 8, 3)).toBe(0);
  const sample = ringReserve(one, map, 8);
  expect(ringCommit(one, map, sample, 0xffff_fffc, false)).toBe(0);
  expect(one.mem.u32[(sample - 8) >>> 2]).toBe(8);
  destroyMap(one, map);
});

test("a record that starts below max_entries lies in one piece beyond it", () => {
  const map = newRing(one);
  for (let i = 0; i < 3; i++) ringOutput(one, map, 0, 1328, 0);
  setCons(one, map, prod(one, map));
  const sample = ringReserve(one, map, 2000);
  expect(sample).toBe(base(one, map) + RING_DATA + 3 * 1336 + 8);
  expect(sample + 2000).toBeGreaterThan(base(one, map) + RING_DATA + 4096);
  expect(one.mem.u32[(sample - 4) >>> 2]).toBe(3);
  destroyMap(one, map);
});

test("the oldest record that is busy limits the ring too, wherever the consumer claims to be", () => {
  const map = newRing(one);
  // The consumer claims to be inside the record that is being reserved.
  setCons(one, map, 2000n);
  const busy = ringReserve(one, map, 2000);
  const second = ringReserve(one, map, 2064);
  expect(second).not.toBe(0);
  expect(ringReserve(one, map, 8)).toBe(0);
  ringCommit(one, map, second, 0, false);
  expect(ringReserve(one, map, 8)).toBe(0);
  ringCommit(one, map, busy, 0, true);
  expect(ringReserve(one, map, 8)).not.toBe(0);
  destroyMap(one, map);
});

test("a record that was discarded moves the pending position by its own length", () => {
  const map = newRing(one);
  const first = ringReserve(one, map, 1000);
  ringReserve(one, map, 1000);
  setCons(one, map, prod(one, map));
  ringCommit(one, map, first, 0, true);
  // 4088 bytes from the second record on; by the consumer's position more would go.
  expect(ringReserve(one, map, 3072)).not.toBe(0);
  expect(ringReserve(one, map, 0)).toBe(0);
  destroyMap(one, map);
});

test("a length that user space spoils does not lead past the producer: the ring goes on", () => {
  const map = newRing(one);
  one.mem.u8.fill(0xff, base(one, map) + RING_DATA, base(one, map) + RING_DATA + 8192);
  const sample = ringReserve(one, map, 8);
  one.mem.u32[(sample - 8) >>> 2] = 0x3fff_ff00;
  for (let i = 0; i < 10; i++) {
    const next = ringReserve(one, map, 8);
    expect(next).not.toBe(0);
    ringCommit(one, map, next, 0, false);
  }
  setCons(one, map, prod(one, map));
  expect(ringReserve(one, map, 4080)).not.toBe(0);
  destroyMap(one, map);
});

test.each([
  [0n, true],
  [8n, true],
  [24n, true],
  [25n, false],
  [32n, false],
  [1n << 31n, false],
  [1n << 32n, false],
  [(1n << 32n) + 16n, false],
  [1n << 53n, false],
  [1n << 63n, false],
  [(1n << 64n) - 1n, true],
  [(1n << 64n) - 4071n, true],
  [(1n << 64n) - 4072n, false],
])("a consumer position of %d is believed for arithmetic in u64 only", (position, fits) => {
  for (const k of hosts) {
    const map = newRing(k);
    ringOutput(k, map, 0, 8, 0);
    setCons(k, map, position);
    expect(ringOutput(k, map, 0, 0, 0)).toBe(fits ? 0 : -EAGAIN);
    expect(prod(k, map)).toBe(fits ? 24n : 16n);
    destroyMap(k, map);
  }
});

test("positions go beyond 2^32", () => {
  for (const k of hosts) {
    const ringSize = 1 << 20;
    const map = newRing(k, ringSize);
    const size = ringSize - 16 - 8;
    for (let i = 0; i < 4200; i++) {
      const sample = ringReserve(k, map, size);
      expect(sample).not.toBe(0);
      ringCommit(k, map, sample, 1, (i & 1) === 0);
      if (i > 4000) expect(ops.map_poll(k, map)).toBe(0x41);
      setCons(k, map, prod(k, map));
    }
    setCons(k, map, prod(k, map) - (1n << 32n));
    expect(ops.map_poll(k, map)).toBe(0x41);
    setCons(k, map, prod(k, map));
    expect(prod(k, map)).toBe(4200n * BigInt(size + 8));
    expect(prod(k, map)).toBeGreaterThan(1n << 32n);
    expect(ops.map_poll(k, map)).toBe(0);
    expect(ringReserve(k, map, ringSize - 16)).not.toBe(0);
    destroyMap(k, map);
  }
});

test("headers that user space spoils cost this ring's data only", () => {
  const { mem } = one;
  const map = newRing(one);
  const start = base(one, map) + RING_DATA;
  let seed = 1;
  for (let i = 0; i < 5000; i++) {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
    const sample = ringReserve(one, map, seed % 300);
    if (sample !== 0) {
      expect(sample).toBeGreaterThanOrEqual(start + 8);
      expect(sample + (seed % 300)).toBeLessThanOrEqual(start + 2 * 4096);
      if (seed & 0x1000) ringCommit(one, map, sample, 0, false);
    }
    mem.u32[(start >>> 2) + ((seed >>> 8) % 1024)] = (seed & 0x2000 ? 0 : seed) >>> 0;
    if (seed & 0x4000) setCons(one, map, prod(one, map));
  }
  destroyMap(one, map);
});

test("wake-ups: by default only when the consumer had caught up; NO_WAKEUP never, FORCE always", () => {
  for (const k of hosts) {
    const woken: number[] = [];
    const env: MapEnv = Object.create(k, { wake: { value: (map: number) => woken.push(map) } });
    const map = newRing(k);
    const counts = [0, 1, 2, 3, 0, 0].map((flags, i) => {
      if (i < 5) setCons(k, map, prod(k, map));
      ringOutput(env, map, 0, 8, flags);
      return k.mem.u32[(map + RING_WAKEUPS) >>> 2];
    });
    expect(counts).toEqual([1, 1, 2, 3, 4, 4]);
    expect(woken).toEqual([map, map, map, map]);
    const discarded = ringReserve(env, map, 8);
    ringCommit(env, map, discarded, 2, true);
    expect(woken.length).toBe(5);
    destroyMap(k, map);
  }
});

test("query gives all 64 bits", () => {
  for (const k of hosts) {
    const map = newRing(k);
    const highAt = buffers.get(k)!;
    const query = (what: number): bigint => {
      const lo = BigInt(ringQuery(k, map, what, highAt) >>> 0);
      return (BigInt(k.mem.u32[highAt >>> 2]!) << 32n) | lo;
    };
    for (let i = 0; i < 7; i++) ringOutput(k, map, 0, 0, 0);
    setCons(k, map, 16n);
    expect([0, 1, 2, 3, 4, 5, 2 ** 32].map(query)).toEqual([40n, 4096n, 16n, 56n, 0n, 0n, 0n]);
    for (const position of [57n, 1n << 32n, (1n << 63n) + 57n, (1n << 64n) - 1n]) {
      setCons(k, map, position);
      expect(query(2)).toBe(position);
      expect(query(0)).toBe(BigInt.asUintN(64, 56n - position));
    }
    destroyMap(k, map);
  }
});

test("mmap: the consumer page for writing, all of it for reading", () => {
  const map = newRing(one);
  const at = (offset: number, length: number, writable: boolean): number =>
    ops.map_mmap(one, map, offset, length, writable, 0n) - base(one, map);
  const whole = 8192 + 2 * 4096;
  expect(at(0, 4096, true)).toBe(0);
  expect(at(4096, whole - 4096, false)).toBe(4096);
  expect(at(0, whole, false)).toBe(0);
  const bad = (offset: number, length: number, writable: boolean): number =>
    ops.map_mmap(one, map, offset, length, writable, 0n);
  expect(bad(0, 8192, true)).toBe(-EPERM);
  expect(bad(4096, 4096, true)).toBe(-EPERM);
  expect(bad(2 ** 40, 4096, true)).toBe(-EPERM);
  expect(bad(4096, whole, false)).toBe(-EINVAL);
  expect(bad(0, whole + 4096, false)).toBe(-EINVAL);
  expect(bad(2 ** 40, 4096, false)).toBe(-EINVAL);
  const desc = areaOf(one.mem, base(one, map));
  expect(one.mem.u32[(desc + AREA_KIND) >>> 2]).toBe(AREA_RING);
  expect(base(one, map) % 4096).toBe(0);
  destroyMap(one, map);
});

test("what it may be created with", () => {
  const check = (over: Partial<MapCreateAttr>): number => ops.map_alloc_check(one, attr(over));
  expect(check({ map_flags: 0x4 })).toBe(0);
  expect(check({ max_entries: 2 ** 31 })).toBe(0);
  for (const max_entries of [0, 1, 1024, 4097, 12288]) expect(check({ max_entries })).toBe(-EINVAL);
  for (const bad of [{ key_size: 4 }, { value_size: 4 }, { map_flags: 0x8 }, { map_flags: 0x80 }]) {
    expect(check(bad)).toBe(-EINVAL);
  }
  expect(newRing(one, 2 ** 31)).toBe(-ENOMEM);
  expect(newRing(one, 2 ** 30)).toBe(-ENOMEM);
});

test("a lock taken over from a dead client: the position that it had not shown yet is shown", () => {
  const [, k] = hosts as [Kernel, Kernel];
  const map = newRing(k);
  ringOutput(k, map, 0, 8, 0);
  k.mem.u64[(base(k, map) + RING_PROD_PAGE) >>> 3] = 0n;
  // No client has slot 40.
  k.mem.u32[(map + RING_LOCK) >>> 2] = 41;
  expect(ringReserve(k, map, 4080)).toBe(0);
  expect(prod(k, map)).toBe(16n);
  destroyMap(k, map);
});

test("a producer position that user space has spoiled is not waited for for ever, and is shown again", () => {
  for (const k of hosts) {
    const map = newRing(k);
    const spoil = (): void => {
      k.mem.u64[(base(k, map) + RING_PROD_PAGE) >>> 3] = 1n << 40n;
    };
    spoil();
    expect(ringReserve(k, map, 4080)).not.toBe(0);
    expect(prod(k, map)).toBe(4088n);
    spoil();
    expect(ringOutput(k, map, 0, 8, 0)).toBe(-EAGAIN);
    // Elsewhere nobody waits, and the next one that finds room shows it.
    if (k.mem.shared) expect(prod(k, map)).toBe(4088n);
    destroyMap(k, map);
  }
});

test("on a shared host a busy word stands where the next record will begin, another one in each lap", () => {
  const [, k] = hosts as [Kernel, Kernel];
  const map = newRing(k);
  const place = (): number => (base(k, map) + RING_DATA + (Number(prod(k, map)) & 4095)) >>> 2;
  const seen = new Set<number>();
  const look = (): void => {
    const word = k.mem.u32[place()]!;
    expect(word).toBe(markOf(Number(prod(k, map))));
    expect(word).toBeGreaterThanOrEqual(BUSY);
    seen.add(word);
  };
  // A new ring is all zero, as in the kernel.
  expect(k.mem.u32[place()]).toBe(0);
  for (let i = 0; i < 20; i++) {
    const sample = ringReserve(k, map, 1000);
    look();
    ringCommit(k, map, sample, 0, i % 2 === 0);
    expect(ringOutput(k, map, 0, 1000, 0)).toBe(0);
    look();
    setCons(k, map, prod(k, map));
  }
  expect(seen.size).toBe(40);
  // A dead owner may have completed a record that it had not published; user space may have stored anything.
  for (const owner of [41, 0]) {
    k.mem.u32[place()] = 8;
    k.mem.u32[(map + RING_LOCK) >>> 2] = owner;
    expect(ringOutput(k, map, 0, 4080, 0)).toBe(0);
    look();
    setCons(k, map, prod(k, map));
    k.mem.u32[place()] = 8;
    k.mem.u32[(map + RING_LOCK) >>> 2] = owner;
    setCons(k, map, prod(k, map) - 4088n);
    expect(ringReserve(k, map, 0)).toBe(0);
    look();
    setCons(k, map, prod(k, map));
  }
  expect(k.mem.u64[(map + RING_PROD) >>> 3]).toBe(prod(k, map));
  destroyMap(k, map);
});

afterAll(() => {
  expect(hosts.map((k) => memoryUse(k.mem).used)).toEqual(usedBefore);
});
