/**
 * Walks over hash types in compiled programs do what the operation does, whatever happens to the table between two
 * elements: two hosts that are the same to the byte stay so, one by the operation, one by generated code.
 */

import { describe, expect, test } from "vitest";
import { createKernel } from "../../src/kern/create.ts";
import type { Kernel } from "../../src/kern/kernel.ts";
import { allocMap } from "../../src/kern/map.ts";
import { mapEntry } from "../../src/maps/registry.ts";
import { alloc } from "../../src/mem/alloc.ts";
import type { Memory } from "../../src/mem/memory.ts";
import { BUCKET_LOCK } from "../../src/struct/hash_nodes.ts";
import { S_COUNT, S_NODES, WALK_SIZE } from "../../src/struct/hash_walk.ts";
import { BUCKET_SIZE, bucketOf, HT_BUCKETS, HT_COUNTED, HT_KEY, hashOf } from "../../src/struct/hashtab.ts";
import { MAP_LOCK, mapField } from "../../src/struct/map.ts";
import * as u from "../../src/uapi/index.ts";
import { PLAIN_MAP } from "../plain_map.ts";
import { randomOf } from "../random.ts";
import { generated } from "./generated.ts";
import { DEAD } from "./map_code.ts";

const MAX = 40;
/** All keys fall into these of the 64 buckets: chains are longer than what a walk notes at once. */
const BUCKETS = [0, 1, 5, 63];
const KEYS = 56;
const VALUE = 12;
const WALKS = 16;

const types = [
  ["hash", u.BPF_MAP_TYPE_HASH],
  ["percpu_hash", u.BPF_MAP_TYPE_PERCPU_HASH],
  ["lru_hash", u.BPF_MAP_TYPE_LRU_HASH],
  ["lru_percpu_hash", u.BPF_MAP_TYPE_LRU_PERCPU_HASH],
] as const;

/** Numbers of a key's first word that fall into BUCKETS. */
function keysOf({ mem }: Kernel, map: number, key: number): number[] {
  const keys: number[] = [];
  for (let i = 0; keys.length < KEYS; i++) {
    mem.u32[key >>> 2] = i;
    const index = (bucketOf(mem, map, hashOf(mem, map, key)) - mapField(mem, map, HT_BUCKETS)) / BUCKET_SIZE;
    if (BUCKETS.includes(index)) keys.push(i);
  }
  return keys;
}

function newMap(kernel: Kernel, type: number, keySize: number, max: number): number {
  return allocMap(kernel, mapEntry(type)!, {
    map_type: type,
    key_size: keySize,
    value_size: VALUE,
    max_entries: max,
    map_flags: 0,
    ...PLAIN_MAP,
  });
}

/** Where the lock of the bucket's chain is. */
function lockAt(mem: Memory, map: number, bucket: number): number {
  return mapField(mem, map, HT_COUNTED) === 0 ? map + MAP_LOCK : bucket + BUCKET_LOCK;
}

describe.each(types)("%s", (_, type) => {
  const { ops } = mapEntry(type)!;

  test.each([
    ["exclusive", 4],
    ["shared", 4],
    ["exclusive", 20],
    ["shared", 20],
  ] as const)("%s, keys of %i bytes", (host, keySize) => {
    const shared = host === "shared";
    const twins = [0, 1].map((i) => {
      const kernel = createKernel({ memory: 2 << 20, cpus: 3, shared, seed: 5, virtualClock: true });
      const map = newMap(kernel, type, keySize, MAX);
      const gen = generated(kernel, map, u.BPF_FUNC_for_each_map_elem);
      const next = (state: number, key: number): number =>
        i === 0 ? ops.map_for_each(kernel, map, state, key) : gen(kernel.cpu, state, key) >>> 0;
      return { kernel, map, next, block: alloc(kernel.mem, 1024) };
    });
    const [first, second] = twins as [(typeof twins)[0], (typeof twins)[0]];
    const { block, map } = first;
    expect([second.block, second.map]).toEqual([block, map]);
    const [state, key, other] = [block, block + WALK_SIZE, block + 512];
    const random = randomOf(type + keySize);
    const keys = twins.map(({ kernel }) => keysOf(kernel, map, other))[0]!;
    const onBoth = (work: (kernel: Kernel) => void): void => {
      for (const { kernel } of twins) work(kernel);
    };
    const remove = (at: number): void => onBoth((kernel) => void ops.map_delete_elem(kernel, map, at));
    const insert = (n: number): void =>
      onBoth((kernel) => {
        kernel.mem.u32[other >>> 2] = n;
        ops.map_update_elem(kernel, map, other, other, 0);
      });
    const removeKey = (n: number): void => {
      onBoth(({ mem }) => {
        mem.u32[other >>> 2] = n;
      });
      remove(other);
    };
    const one = (): number => keys[random(KEYS)]!;
    const turns: readonly (() => void)[] = [
      () => {},
      () => remove(key),
      () => removeKey(one()),
      () => insert(one()),
      // One goes and comes back, as another node or at another place.
      () => {
        remove(key);
        insert(first.kernel.mem.u32[key >>> 2]!);
      },
      () => {
        for (let i = 0; i < 8; i++) removeKey(one());
      },
      () => {
        if (random(8) === 0) for (const each of keys) removeKey(each);
      },
      () => {
        if (!shared || random(8) !== 0) return;
        const turn = random(BUCKETS.length);
        onBoth(({ mem }) => {
          const bucket = mapField(mem, map, HT_BUCKETS) + BUCKETS[turn]! * BUCKET_SIZE;
          mem.u32[lockAt(mem, map, bucket) >>> 2] = DEAD;
        });
      },
    ];
    let visited = 0;
    for (let walk = 0; walk < WALKS; walk++) {
      for (let i = 0; i < MAX; i++) insert(one());
      onBoth((kernel) => {
        kernel.mem.zero(state, WALK_SIZE);
        kernel.cpu = walk % 3;
      });
      // Some change the table often, some hardly.
      const quiet = random(3) * 8;
      for (;;) {
        const [a, b] = twins.map(({ next }) => next(state, key));
        expect(b, `walk ${walk}, element ${visited}`).toBe(a);
        if (Buffer.compare(first.kernel.mem.u8, second.kernel.mem.u8) !== 0)
          expect.fail(`memory differs in walk ${walk}`);
        if (a === 0 || visited > WALKS * MAX * 8) break;
        visited++;
        turns[Math.max(0, random(turns.length + quiet) - quiet)]!();
      }
    }
    expect(visited).toBeGreaterThan(WALKS * 10);
  });

  test.each(["operation", "generated code"])("keys are whole, whatever others do between two writes: %s", (how) => {
    const kernel = createKernel({ memory: 2 << 20, cpus: 1, shared: true, seed: 5, virtualClock: true });
    const { mem } = kernel;
    // A few buckets: nodes go from one to the other.
    const map = newMap(kernel, type, 20, 8);
    const block = alloc(mem, 1024);
    const [state, key, other] = [block, block + WALK_SIZE, block + 512];
    const fill = (n: number): void => void mem.u8.fill(n, other, other + 20);
    const bucket = (): number => bucketOf(mem, map, hashOf(mem, map, other));
    const isFree = (): boolean => mem.u32[lockAt(mem, map, bucket()) >>> 2] === 0;
    const remove = (n: number): void => {
      fill(n);
      if (isFree()) ops.map_delete_elem(kernel, map, other);
    };
    const insert = (n: number): void => {
      fill(n);
      if (isFree()) ops.map_update_elem(kernel, map, other, other, 0);
    };
    const KEYS = Array.from({ length: 12 }, (_, i) => i + 1);
    // After so many writes and halves of copies others come, whom locks keep out.
    let [left, busy] = [0, true];
    const others = (): void => {
      if (busy || --left !== 0) return;
      busy = true;
      for (const n of KEYS) remove(n);
      for (const n of KEYS.slice(6)) insert(n);
      busy = false;
    };
    const { copy } = mem;
    mem.copy = (to, from, size) => {
      if (busy) return copy.call(mem, to, from, size);
      copy.call(mem, to, from, 8);
      others();
      copy.call(mem, to + 8, from + 8, size - 8);
    };
    const gen = generated(kernel, map, u.BPF_FUNC_for_each_map_elem, { write: others });
    for (const removed of [false, true]) {
      for (let after = 1; after < 64; after++) {
        for (const n of KEYS) remove(n);
        for (const n of KEYS.slice(0, 6)) insert(n);
        mem.zero(state, WALK_SIZE);
        [left, busy] = [after, false];
        for (;;) {
          const value = how === "operation" ? ops.map_for_each(kernel, map, state, key) : gen(0, state, key);
          if (value === 0) break;
          const bytes = mem.u8.slice(key, key + 20);
          expect(new Set(bytes).size, `${bytes} after ${after} writes`).toBe(1);
          busy = true;
          // What comes next leaves the chain.
          const next = mem.u32[(state + S_COUNT) >>> 2] === 0 ? 0 : mem.u32[(state + S_NODES) >>> 2]!;
          if (removed && next !== 0) remove(mem.u8[next + mapField(mem, map, HT_KEY)]!);
          busy = false;
        }
        busy = true;
      }
    }
  });

  // LRU types fill nodes under the lock of all chains.
  const fillsAlone = type === u.BPF_MAP_TYPE_HASH || type === u.BPF_MAP_TYPE_PERCPU_HASH;
  test.each(fillsAlone ? ["operation", "generated code"] : [])(
    "a node that another is filling is left out: %s",
    (how) => {
      const kernel = createKernel({ memory: 2 << 20, cpus: 1, shared: true, seed: 5, virtualClock: true });
      const { mem } = kernel;
      const map = newMap(kernel, type, 20, 8);
      const block = alloc(mem, 1024);
      const [state, key, other] = [block, block + WALK_SIZE, block + 512];
      const gen = generated(kernel, map, u.BPF_FUNC_for_each_map_elem);
      const next = (): number =>
        how === "operation" ? ops.map_for_each(kernel, map, state, key) : gen(0, state, key) >>> 0;
      const fill = (n: number): number => {
        mem.u8.fill(n, other, other + 20);
        return bucketOf(mem, map, hashOf(mem, map, other));
      };
      const insert = (n: number): void => {
        fill(n);
        expect(ops.map_update_elem(kernel, map, other, other, 0)).toBe(0);
      };
      const numbers = Array.from({ length: 40 }, (_, i) => i + 1);
      const last = fill(1);
      const [, second] = numbers.filter((n) => fill(n) === last);
      const before = numbers.find((n) => fill(n) < last)!;
      insert(second!);
      insert(1);
      mem.zero(state, WALK_SIZE);
      next();
      expect(mem.u8[key]).toBe(1);
      fill(second!);
      expect(ops.map_delete_elem(kernel, map, other)).toBe(0);
      const { copy } = mem;
      let found: number | undefined;
      mem.copy = (to, from, size) => {
        mem.copy = copy;
        copy.call(mem, to, from, 8);
        found = next();
        copy.call(mem, to + 8, from + 8, size - 8);
      };
      insert(before);
      expect(found).toBe(0);
    },
  );
});
