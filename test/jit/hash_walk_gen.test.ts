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
import { BUCKET_LOCK } from "../../src/struct/hash_nodes.ts";
import { WALK_SIZE } from "../../src/struct/hash_walk.ts";
import { BUCKET_SIZE, bucketOf, HT_BUCKETS, HT_COUNTED, hashOf } from "../../src/struct/hashtab.ts";
import { MAP_LOCK, mapField } from "../../src/struct/map.ts";
import * as u from "../../src/uapi/index.ts";
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
      const map = allocMap(kernel, mapEntry(type)!, {
        map_type: type,
        key_size: keySize,
        value_size: VALUE,
        max_entries: MAX,
        map_flags: 0,
        numa_node: 0,
        map_extra_lo: 0,
        map_extra_hi: 0,
        inner_map_fd: 0,
        btf_key_type_id: 0,
        btf_value_type_id: 0,
      });
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
          const lock = mapField(mem, map, HT_COUNTED) === 0 ? map + MAP_LOCK : bucket + BUCKET_LOCK;
          mem.u32[lock >>> 2] = DEAD;
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
});
