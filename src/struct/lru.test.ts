import { afterAll, expect, test } from "vitest";
import { PLAIN_MAP } from "../../test/plain_map.ts";
import { attachKernel, createKernel } from "../kern/create.ts";
import type { Kernel } from "../kern/kernel.ts";
import { reap } from "../kern/leave.ts";
import { allocMap, destroyMap } from "../kern/map.ts";
import { lruHashMap } from "../maps/lru_hash.ts";
import { AREA_MAP, AREA_SIZE, alloc, areaOf, memoryUse } from "../mem/alloc.ts";
import { GRANULE } from "../mem/layout.ts";
import { lock } from "../mem/locks.ts";
import {
  BPF_EXIST,
  BPF_F_NO_COMMON_LRU,
  BPF_F_ZERO_SEED,
  BPF_MAP_TYPE_LRU_HASH,
  BPF_NOEXIST,
  EINVAL,
  ENOENT,
  ENOMEM,
} from "../uapi/index.ts";
import type { MapCreateAttr } from "./env.ts";
import { countLru } from "./hash_count.ts";
import { linkHead, setKey } from "./hash_nodes.ts";
import { bucketOf, HT_PRIVATE, hashOf, NODE_SEQ, NODE_VALUE, SEQ_LINKED } from "./hashtab.ts";
import { takeLruNode } from "./lru.ts";
import { LISTS_SIZE } from "./lru_list.ts";
import { MAP_LOCK, MAP_MAX_ENTRIES } from "./map.ts";

const { ops } = lruHashMap;
const hosts = [false, true].map((shared) =>
  createKernel({ memory: 64 << 20, cpus: 2, shared, seed: 1, virtualClock: true }),
);
const buffers = new Map(hosts.map((k) => [k, alloc(k.mem, 256)]));

function attr(max_entries: number, map_flags = 0): MapCreateAttr {
  return {
    map_type: BPF_MAP_TYPE_LRU_HASH,
    key_size: 4,
    value_size: 8,
    max_entries,
    map_flags: map_flags | BPF_F_ZERO_SEED,
    ...PLAIN_MAP,
  };
}

for (const k of hosts) destroyMap(k, allocMap(k, lruHashMap, attr(4)));
const usedBefore = hosts.map((k) => memoryUse(k.mem).used);
afterAll(() => {
  expect(hosts.map((k) => memoryUse(k.mem).used)).toEqual(usedBefore);
});

class Lru {
  readonly k: Kernel;
  readonly map: number;
  readonly #at: number;

  constructor(k: Kernel, max: number, flags = 0) {
    this.k = k;
    this.map = allocMap(k, lruHashMap, attr(max, flags));
    expect(this.map).toBeGreaterThan(0);
    this.#at = buffers.get(k)!;
    k.cpu = 0;
  }

  keyAt(key: number): number {
    this.k.mem.u32[this.#at >>> 2] = key;
    return this.#at;
  }

  update(key: number, flags = 0): number {
    this.k.mem.u32[(this.#at + 8) >>> 2] = key * 3;
    return ops.map_update_elem(this.k, this.map, this.keyAt(key), this.#at + 8, flags);
  }

  /** The first word of the value, or the errno. */
  copy(key: number): number {
    const ret = ops.map_copy_value(this.k, this.map, this.keyAt(key), this.#at + 16, 0);
    return ret === 0 ? this.k.mem.u32[(this.#at + 16) >>> 2]! : ret;
  }

  lookup(key: number): number {
    return ops.map_lookup_elem(this.k, this.map, this.keyAt(key));
  }

  delete(key: number): number {
    return ops.map_delete_elem(this.k, this.map, this.keyAt(key));
  }

  keys(): number[] {
    const found: number[] = [];
    const next = this.#at + 32;
    for (let key = 0; ops.map_get_next_key(this.k, this.map, key, next) === 0; key = next) {
      found.push(this.k.mem.u32[next >>> 2]!);
    }
    return found.sort((a, b) => a - b);
  }

  free(): void {
    destroyMap(this.k, this.map);
  }
}

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, i) => from + i);
}

test.each(hosts)("new keys push the oldest out, a share at a time, before the map is full (host %#)", (k) => {
  const lru = new Lru(k, 1000);
  for (const key of range(0, 896)) expect(lru.update(key)).toBe(0);
  expect(lru.keys()).toEqual(range(0, 896));
  // Seven shares of 128 are gone; 104 are left, so the next share costs 24 of the oldest.
  expect(lru.update(896)).toBe(0);
  expect(lru.keys()).toEqual(range(24, 897));
  lru.free();
});

test.each(hosts)("what programs looked up stays, what commands looked up does not (host %#)", (k) => {
  const lru = new Lru(k, 128);
  for (const key of range(0, 128)) lru.update(key);
  for (const key of range(0, 16)) expect(lru.lookup(key)).not.toBe(0);
  for (const key of range(16, 32)) expect(lru.copy(key)).toBe(key * 3);
  for (const key of range(1000, 1064)) lru.update(key);
  const left = lru.keys();
  expect(left).toHaveLength(128);
  expect(left.filter((key) => key < 16)).toEqual(range(0, 16));
  expect(left.filter((key) => key >= 16 && key < 32)).toEqual([]);
  lru.free();
});

test.each(hosts)("an update takes a node before it looks for the key (host %#)", (k) => {
  const lru = new Lru(k, 1);
  expect(lru.update(1, BPF_EXIST)).toBe(-ENOENT);
  expect(lru.update(1)).toBe(0);
  expect(lru.update(1, BPF_NOEXIST)).toBe(0);
  expect(lru.update(1, BPF_EXIST)).toBe(-ENOENT);
  expect(lru.keys()).toEqual([]);
  expect(lru.update(1, 3)).toBe(-EINVAL);
  expect(lru.delete(1)).toBe(-ENOENT);
  expect(lru.lookup(1)).toBe(0);
  lru.free();
});

test.each(hosts)("with lists by CPU each CPU keeps its own part of max_entries, rounded up (host %#)", (k) => {
  const odd = new Lru(k, 3, BPF_F_NO_COMMON_LRU);
  expect(k.mem.u32[(odd.map + MAP_MAX_ENTRIES) >>> 2]).toBe(4);
  odd.free();
  const lru = new Lru(k, 64, BPF_F_NO_COMMON_LRU);
  for (const key of range(0, 100)) expect(lru.update(key)).toBe(0);
  expect(lru.keys()).toEqual(range(68, 100));
  k.cpu = 1;
  for (const key of range(200, 232)) expect(lru.update(key)).toBe(0);
  expect(lru.keys()).toEqual([...range(68, 100), ...range(200, 232)]);
  // A CPU deletes what is another's; the element goes back there.
  for (const key of range(68, 100)) expect(lru.delete(key)).toBe(0);
  for (const key of range(300, 400)) expect(lru.update(key)).toBe(0);
  expect(lru.keys()).toEqual(range(368, 400));
  lru.free();
});

test("a big map touches no element when it is created", () => {
  const k = createKernel({ memory: 64 << 20, cpus: 2, shared: false, seed: 1, virtualClock: true });
  const map = allocMap(k, lruHashMap, attr(500_000));
  expect(map).toBeGreaterThan(0);
  let bytes = 0;
  for (let g = 2; g < k.mem.byteLength / GRANULE; g++) {
    const area = areaOf(k.mem, g * GRANULE);
    if (area === 0 || k.mem.u32[(area + AREA_MAP) >>> 2] !== map) continue;
    bytes += GRANULE;
    expect(k.mem.u32[(area + AREA_SIZE) >>> 2]).toBeGreaterThan(0);
    expect(k.mem.u32.subarray((g * GRANULE) >>> 2, ((g + 1) * GRANULE) >>> 2).every((word) => word === 0)).toBe(true);
  }
  expect(bytes).toBeGreaterThan(500_000 * 40);
});

test("what does not fit is -ENOMEM, with nothing taken", () => {
  for (const k of hosts) {
    const before = memoryUse(k.mem);
    expect(allocMap(k, lruHashMap, attr(10_000_000))).toBe(-ENOMEM);
    expect(memoryUse(k.mem)).toEqual(before);
  }
});

test.each([0, BPF_F_NO_COMMON_LRU])("lists are made again after a client died changing them (flags %i)", (flags) => {
  const k = hosts[1]!;
  const lru = new Lru(k, 16, flags);
  const ticket = k.announce();
  if (ticket === undefined) throw new Error("no slot");
  const victim = attachKernel(k.mem.wasm, ticket);
  for (const key of range(0, 5)) lru.update(key);
  victim.cpu = 0;
  // It takes nodes: one that it never links, one that it is about to link, and one that it has put in the place of
  // another, which is in its chain still. It dies with the lists in pieces.
  lock(victim.mem, lru.map + MAP_LOCK);
  const taken = [1, 2, 3].map(() => takeLruNode(victim, lru.map));
  expect(taken).not.toContain(0);
  k.mem.u32[(taken[1]! + NODE_SEQ) >>> 2]! |= SEQ_LINKED;
  const key = lru.keyAt(3);
  const hash = hashOf(k.mem, lru.map, key);
  setKey(victim.mem, lru.map, taken[2]!, key, hash);
  k.mem.u32[k.mem.u32[(taken[2]! + NODE_VALUE) >>> 2]! >>> 2] = 9;
  linkHead(victim.mem, lru.map, bucketOf(k.mem, lru.map, hash), taken[2]!);
  const lists = k.mem.u32[(lru.map + HT_PRIVATE) >>> 2]!;
  k.mem.u8.fill(0x5a, lists, lists + 3 * LISTS_SIZE);
  reap(k, ticket);
  expect(countLru(k, lru.map)).toBe(5);
  const cpus = flags === 0 ? [0] : [0, 1];
  const each = 16 / cpus.length;
  for (const [round, many] of [100, each].entries()) {
    for (const key of lru.keys()) expect(lru.copy(key)).toBe(key * 3);
    for (const key of lru.keys()) expect(lru.delete(key)).toBe(0);
    for (const cpu of cpus) {
      k.cpu = cpu;
      for (const key of range(0, many)) expect(lru.update(1000 * round + 100 * cpu + key)).toBe(0);
    }
  }
  // No element got lost.
  expect(lru.keys()).toEqual(cpus.flatMap((cpu) => range(1000 + 100 * cpu, 1000 + 100 * cpu + each)));
  lru.free();
});
