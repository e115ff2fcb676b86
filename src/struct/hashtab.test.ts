/** What a client that died in the middle of an update leaves behind, step by step. The rest is in test/conformance. */

import { beforeEach, expect, test } from "vitest";
import { PLAIN_MAP } from "../../test/plain_map.ts";
import { attachKernel, createKernel } from "../kern/create.ts";
import type { Kernel } from "../kern/kernel.ts";
import { reap } from "../kern/leave.ts";
import { allocMap } from "../kern/map.ts";
import { hashMap } from "../maps/hash.ts";
import { alloc } from "../mem/alloc.ts";
import { BPF_MAP_TYPE_HASH, E2BIG } from "../uapi/index.ts";
import { countHash } from "./hash_count.ts";
import { linkHead, lockBucket, takeNode, unlockBucket } from "./hash_nodes.ts";
import { deleteHash, lookupHash, updateHash } from "./hash_ops.ts";
import { bucketOf, HT_COUNT, hashOf, NODE_VALUE } from "./hashtab.ts";

const MAX = 4;
let a: Kernel;
let b: Kernel;
let map: number;
let key: number;

beforeEach(() => {
  a = createKernel({ memory: 16 << 20, cpus: 2, shared: true, seed: 1, virtualClock: true });
  b = attachKernel(a.mem.wasm, a.announce()!);
  key = alloc(a.mem, 16);
  map = allocMap(a, hashMap, {
    map_type: BPF_MAP_TYPE_HASH,
    key_size: 4,
    value_size: 8,
    max_entries: MAX,
    map_flags: 0,
    ...PLAIN_MAP,
  });
});

function put(kernel: Kernel, k: number): number {
  kernel.mem.u32[key >>> 2] = k;
  return updateHash(kernel, map, key, key, 0);
}

/** Client b begins an update of `k` as `updateHash` does, and gets as far as `steps` says. */
function begin(k: number, steps: "locked" | "taken" | "linked", more: boolean): void {
  const { mem } = b;
  mem.u32[key >>> 2] = k;
  const hash = hashOf(mem, map, key);
  const bucket = bucketOf(mem, map, hash);
  lockBucket(mem, map, bucket);
  if (steps === "locked") return;
  const node = takeNode(mem, map, key, hash, more);
  mem.u32[mem.u32[(node + NODE_VALUE) >>> 2]! >>> 2] = 99;
  if (steps === "linked") linkHead(mem, map, bucket, node);
}

function fill(): number {
  let n = 0;
  for (let k = 100; put(a, k) === 0; k++) n++;
  expect(put(a, 999)).toBe(-E2BIG);
  return n;
}

for (const steps of ["locked", "taken", "linked"] as const) {
  test(`a new element, ${steps}: the next one at the bucket repairs, and the map holds all that it can`, () => {
    begin(1, steps, true);
    reap(a, b.client);
    expect(put(a, 1)).toBe(0);
    expect(a.mem.u32[(map + HT_COUNT) >>> 2]).toBe(1);
    expect(fill()).toBe(MAX - 1);
  });

  test(`a replacement, ${steps}: the key is there once`, () => {
    put(a, 1);
    begin(1, steps, false);
    reap(a, b.client);
    expect(put(a, 1)).toBe(0);
    expect(deleteHash(a, map, key)).toBe(0);
    expect(lookupHash(a, map, key)).toBe(0);
    expect(a.mem.u32[(map + HT_COUNT) >>> 2]).toBe(0);
    expect(fill()).toBe(MAX);
  });

  test(`an element, ${steps}: counting repairs as well`, () => {
    put(a, 1);
    begin(2, steps, true);
    reap(a, b.client);
    const there = steps === "linked" ? 2 : 1;
    expect(countHash(a, map)).toBe(there);
    b = attachKernel(a.mem.wasm, a.announce()!);
    // A replacement whose old node is in the chain still is one element.
    begin(1, steps, false);
    reap(a, b.client);
    expect(countHash(a, map)).toBe(there);
  });
}

test("what a client that lives has taken stays its own", () => {
  const c = attachKernel(a.mem.wasm, a.announce()!);
  const other = alloc(a.mem, 16);
  // Two keys of different buckets: b dies at the first, c is in the middle of the second.
  const buckets = [1, 2, 3, 4, 5, 6, 7].map((k) => {
    a.mem.u32[other >>> 2] = k;
    return [k, bucketOf(a.mem, map, hashOf(a.mem, map, other))] as const;
  });
  const [first] = buckets;
  const second = buckets.find(([, bucket]) => bucket !== first![1]);
  begin(first![0], "taken", true);
  c.mem.u32[other >>> 2] = second![0];
  const hash = hashOf(c.mem, map, other);
  lockBucket(c.mem, map, second![1]);
  const node = takeNode(c.mem, map, other, hash, true);
  reap(a, b.client);
  expect(put(a, first![0])).toBe(0);
  expect(a.mem.u32[(map + HT_COUNT) >>> 2]).toBe(2);
  linkHead(c.mem, map, second![1], node);
  unlockBucket(c.mem, second![1]);
  expect(lookupHash(a, map, other)).toBe(a.mem.u32[(node + NODE_VALUE) >>> 2]);
});
