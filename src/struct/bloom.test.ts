import { expect, test } from "vitest";
import { PLAIN_MAP } from "../../test/plain_map.ts";
import { createKernel } from "../kern/create.ts";
import { allocMap, destroyMap } from "../kern/map.ts";
import { bloomFilterMap } from "../maps/bloom_filter.ts";
import { alloc, memoryUse } from "../mem/alloc.ts";
import { BPF_F_ZERO_SEED, BPF_MAP_TYPE_BLOOM_FILTER, E2BIG, EINVAL, ENOENT, ENOMEM } from "../uapi/index.ts";
import type { MapCreateAttr } from "./env.ts";
import { jhash } from "./jhash.ts";

const { ops } = bloomFilterMap;
const hosts = [false, true].map((shared) =>
  createKernel({ memory: 64 << 20, cpus: 2, shared, seed: 1, virtualClock: true }),
);

function attr(over: Partial<MapCreateAttr>): MapCreateAttr {
  return {
    map_type: BPF_MAP_TYPE_BLOOM_FILTER,
    key_size: 0,
    value_size: 8,
    max_entries: 16,
    map_flags: BPF_F_ZERO_SEED,
    ...PLAIN_MAP,
    ...over,
  };
}

/** [value_size, max_entries, map_extra, bits] */
const shapes: readonly (readonly [number, number, number, number])[] = [
  [8, 16, 0, 128],
  [4, 100, 3, 512],
  [5, 100, 1, 256],
  [16, 1000, 15, 32768],
  [3, 7, 2, 64],
  [12, 50, 5, 512],
  [1, 1, 1, 64],
  [8, 49, 1, 64],
];

test.each(shapes)(
  "value_size %i, max_entries %i, map_extra %i: a set of %i bits",
  (value_size, max_entries, extra, bits) => {
    for (const k of hosts) {
      const { mem } = k;
      const at = alloc(mem, 64);
      const map = allocMap(k, bloomFilterMap, attr({ value_size, max_entries, map_extra_lo: extra }));
      const set = new Set<number>();
      const bitsOf = (): number[] =>
        Array.from({ length: extra || 5 }, (_, i) => ((jhash(mem, at, value_size, i) >>> 0) % bits) >>> 0);
      const put = (n: number): void => {
        for (let i = 0; i < value_size; i++) mem.u8[at + i] = (n * 31 + i * (n >> 3)) & 255;
      };
      const pushed = new Set<number>();
      for (let n = 0; n < 2 * max_entries; n++) {
        put(n);
        pushed.add(ops.map_update_value(k, map, 0, at, 0));
        for (const bit of bitsOf()) set.add(bit);
      }
      expect([...pushed]).toEqual([0]);
      let positives = 0;
      for (let n = 0; n < 2000; n++) {
        put(n * 3);
        const expected = bitsOf().every((bit) => set.has(bit));
        if (expected) positives++;
        const found = ops.map_peek_elem(k, map, at);
        if (found !== (expected ? 0 : -ENOENT))
          expect.fail(`value ${n}: ${found}, of its bits all are set: ${expected}`);
      }
      expect(positives).toBeGreaterThan(0);
      destroyMap(k, map);
    }
  },
);

test("without BPF_F_ZERO_SEED two filters set different bits", () => {
  const k = hosts[0]!;
  const at = alloc(k.mem, 64);
  const shape = attr({ value_size: 4, max_entries: 1000, map_extra_lo: 1, map_flags: 0 });
  const maps = [allocMap(k, bloomFilterMap, shape), allocMap(k, bloomFilterMap, shape)];
  k.mem.u32[at >>> 2] = 7;
  for (const map of maps) ops.map_push_elem(k, map, at, 0);
  let differ = 0;
  for (let n = 0; n < 20_000; n++) {
    k.mem.u32[at >>> 2] = n;
    if (ops.map_peek_elem(k, maps[0]!, at) !== ops.map_peek_elem(k, maps[1]!, at)) differ++;
  }
  expect(differ).toBeGreaterThan(0);
  for (const map of maps) destroyMap(k, map);
});

test("what it may be created with; the value's size is judged first", () => {
  const k = hosts[0]!;
  const check = (over: Partial<MapCreateAttr>): number => {
    const early = ops.map_alloc_check(k, attr(over));
    const map = early === 0 ? allocMap(k, bloomFilterMap, attr(over)) : early;
    if (map < 0) return map;
    destroyMap(k, map);
    return 0;
  };
  expect(check({ map_extra_lo: 15, map_flags: 0x40 | 0x4 | 0x100 })).toBe(0);
  for (const bad of [
    { key_size: 1 },
    { value_size: 0 },
    { max_entries: 0 },
    { map_flags: 1 },
    { map_flags: 0x180 },
    { map_extra_lo: 16 },
    { map_extra_hi: 1 },
  ]) {
    expect(check(bad)).toBe(-EINVAL);
  }
  expect(check({ value_size: (4 << 20) + 1, max_entries: 0, map_flags: 1 })).toBe(-E2BIG);
});

test("the largest set has 2^32 bits, also where the product overflows", () => {
  const k = hosts[0]!;
  const before = memoryUse(k.mem).used;
  for (const max_entries of [0xffff_ffff, 858_993_460, 306_783_400]) {
    expect(allocMap(k, bloomFilterMap, attr({ max_entries }))).toBe(-ENOMEM);
  }
  expect(memoryUse(k.mem).used).toBe(before);
});

test("only the flags 0", () => {
  const k = hosts[0]!;
  const at = alloc(k.mem, 64);
  const map = allocMap(k, bloomFilterMap, attr({}));
  for (const flags of [1, 2, 4, 2 ** 32, 2 ** 63]) expect(ops.map_push_elem(k, map, at, flags)).toBe(-EINVAL);
  destroyMap(k, map);
});
