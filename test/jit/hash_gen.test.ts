/**
 * What the hash types emit for compiled programs does what their operations do: on two hosts that are the same to the
 * byte, one goes by the operations and the other by generated code, and they must stay so.
 */

import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { describe, expect, test } from "vitest";
import { mapHelpers } from "../../src/helpers/map.ts";
import { createKernel } from "../../src/kern/create.ts";
import type { Kernel } from "../../src/kern/kernel.ts";
import { allocMap } from "../../src/kern/map.ts";
import type { MapTypeEntry } from "../../src/maps/ops.ts";
import { mapEntry } from "../../src/maps/registry.ts";
import { alloc, free } from "../../src/mem/alloc.ts";
import type { MapCreateAttr } from "../../src/struct/env.ts";
import { BUCKET_LOCK } from "../../src/struct/hash_nodes.ts";
import {
  BUCKET_SIZE,
  bucketOf,
  findNode,
  HT_BUCKETS,
  HT_COUNT,
  HT_KEY,
  HT_LOCK,
  HT_MASK,
  hashOf,
  isNode,
  NODE_VALUE,
} from "../../src/struct/hashtab.ts";
import { mapField } from "../../src/struct/map.ts";
import * as u from "../../src/uapi/index.ts";
import { PLAIN_MAP } from "../plain_map.ts";
import { randomOf } from "../random.ts";
import { generated } from "./generated.ts";
import { DEAD } from "./map_code.ts";

const CPUS = 3;
const MEMORY = 16 << 20;
const KEY_SIZES = [...Array.from({ length: 40 }, (_, i) => i + 1), 49, 64, 100];
const VALUE_SIZES = [1, 4, 8, 12, 16, 20, 24, 64, 72, 200, 350];
/** Buckets are 16: chains are long, and the table is full. */
const MAX = 13;
/** Different keys; more than fit. */
const KEYS = 24;
const ROUNDS = 100;
const HELPERS = [
  u.BPF_FUNC_map_lookup_elem,
  u.BPF_FUNC_map_update_elem,
  u.BPF_FUNC_map_delete_elem,
  u.BPF_FUNC_map_lookup_percpu_elem,
];

type Call = (...args: readonly number[]) => number;

/** One of the two hosts, with calls of the helpers by their number. */
interface Twin {
  readonly kernel: Kernel;
  readonly map: number;
  readonly calls: ReadonlyMap<number, Call>;
}

/** By the helpers' own functions, or by what is generated where the type has that. */
function twin(kernel: Kernel, entry: MapTypeEntry, attr: MapCreateAttr, compiled: boolean): Twin {
  const map = allocMap(kernel, entry, attr);
  expect(map).toBeGreaterThan(0);
  const calls = new Map<number, Call>();
  for (const id of HELPERS) {
    const fn = mapHelpers[id]!.fn as (kernel: Kernel, ...args: readonly number[]) => number;
    const plain: Call = (...args) => fn(kernel, map, ...args);
    const gen = compiled && entry.ops.map_gen(kernel, map, id) !== undefined ? generated(kernel, map, id) : undefined;
    calls.set(id, gen === undefined ? plain : (...args) => gen(kernel.cpu, ...args));
  }
  return { kernel, map, calls };
}

function attrOf(type: number, keySize: number, valueSize: number, flags: number): MapCreateAttr {
  return {
    map_type: type,
    key_size: keySize,
    value_size: valueSize,
    max_entries: MAX,
    map_flags: flags,
    ...PLAIN_MAP,
  };
}

const types = [
  ["hash", u.BPF_MAP_TYPE_HASH],
  ["percpu_hash", u.BPF_MAP_TYPE_PERCPU_HASH],
  ["lru_hash", u.BPF_MAP_TYPE_LRU_HASH],
  ["lru_percpu_hash", u.BPF_MAP_TYPE_LRU_PERCPU_HASH],
] as const;

describe.each(types)("%s", (name, type) => {
  const entry = mapEntry(type)!;
  const growing = name === "hash" || name === "percpu_hash";

  test.each(["exclusive", "shared"])("%s", (host) => {
    const kernels = [0, 1].map(() =>
      createKernel({ memory: MEMORY, cpus: CPUS, shared: host === "shared", seed: 5, virtualClock: true }),
    );
    const random = randomOf(type);
    const [plain, other] = kernels as [Kernel, Kernel];
    const same = (): boolean => Buffer.compare(plain.mem.u8, other.mem.u8) === 0;
    for (const keySize of KEY_SIZES) {
      const valueSize = VALUE_SIZES[random(VALUE_SIZES.length)]!;
      const flags = (random(2) && u.BPF_F_ZERO_SEED) | (growing && random(2) ? u.BPF_F_NO_PREALLOC : 0);
      const attr = attrOf(type, keySize, valueSize, flags);
      const twins = kernels.map((kernel, i) => twin(kernel, entry, attr, i === 1));
      const buffers = kernels.map(({ mem }) => alloc(mem, 1024));
      expect(buffers[1]).toBe(buffers[0]);
      const bytes = Array.from({ length: KEYS }, () => Uint8Array.from({ length: keySize }, () => random(3) * 77));
      const both = (helper: number, ...args: readonly number[]): number => {
        const [a, b] = twins.map(({ calls }) => calls.get(helper)!(...args));
        if (a !== b) expect(b, `helper ${helper}, key of ${keySize}`).toBe(a);
        return a!;
      };
      let found = 0;
      for (let round = 0; round < ROUNDS; round++) {
        // Often aligned, as programs have them, and anywhere.
        const key = buffers[0]! + (random(2) ? random(8) : 0);
        // Sometimes what an element has, or had.
        const value = found !== 0 && random(8) === 0 ? found : buffers[0]! + 512 + (random(2) ? random(8) : 0);
        const cpu = random(CPUS);
        const content = Uint8Array.from({ length: valueSize }, () => random(256));
        const chosen = bytes[random(KEYS)]!;
        for (const kernel of kernels) {
          kernel.cpu = cpu;
          kernel.mem.u8.set(chosen, key);
          kernel.mem.u8.set(content, value);
        }
        const what = random(8);
        if (what < 3)
          both(u.BPF_FUNC_map_update_elem, key, value, [0, 0, 0, 1, 2, 3, 4, 5][random(8)]!, random(16) === 0 ? 1 : 0);
        else if (what === 3) both(u.BPF_FUNC_map_delete_elem, key);
        else if (what === 4) both(u.BPF_FUNC_map_lookup_percpu_elem, key, random(CPUS + 1) - (random(10) ? 0 : 1));
        else {
          const at = both(u.BPF_FUNC_map_lookup_elem, key);
          // Programs write to values too.
          if (at !== 0) for (const { mem } of kernels) mem.u8[at + random(1)] = round;
          if (at !== 0) found = at;
        }
      }
      judgeEveryByte(twins, buffers[0]!, bytes[0]!, both);
      for (const [i, { map }] of twins.entries()) {
        free(kernels[i]!.mem, buffers[i]!, 1024);
        entry.ops.map_free(kernels[i]!, map);
      }
      if (keySize % 8 === 0) expect(same(), `after keys of ${keySize}`).toBe(true);
    }
    expect(same()).toBe(true);
  });
});

test("a reader who ends at another bucket's marker starts again", async () => {
  const kernel = createKernel({ memory: MEMORY, cpus: CPUS, shared: true, seed: 5, virtualClock: true });
  const { mem } = kernel;
  const attr = attrOf(u.BPF_MAP_TYPE_HASH, 4, 4, 0);
  const { map, calls } = twin(kernel, mapEntry(u.BPF_MAP_TYPE_HASH)!, attr, true);
  const key = alloc(mem, 16);
  for (let n = 0; n < MAX; n++) {
    mem.u32[key >>> 2] = n;
    calls.get(u.BPF_FUNC_map_update_elem)!(key, key, 0, 0);
  }
  // A chain of two: the first one, as a node that has moved to another bucket's end, hides the second.
  const buckets = mapField(mem, map, HT_BUCKETS);
  const bucket = Array.from({ length: mapField(mem, map, HT_MASK) + 1 }, (_, i) => buckets + i * BUCKET_SIZE).find(
    (at) => isNode(mem.u32[at >>> 2]!) && isNode(mem.u32[mem.u32[at >>> 2]! >>> 2]!),
  )!;
  const first = mem.u32[bucket >>> 2]!;
  const second = mem.u32[first >>> 2]!;
  mem.u32[key >>> 2] = mem.u32[(second + mapField(mem, map, HT_KEY)) >>> 2]!;
  const worker = new Worker(
    `const { words, at, right } = require("node:worker_threads").workerData;
    while (Atomics.load(words, at) === right) Atomics.wait(words, at, right, 1);
    Atomics.wait(words, at, Atomics.load(words, at), 20);
    Atomics.store(words, at, right);`,
    { eval: true, workerData: { words: mem.i32, at: first >>> 2, right: second } },
  );
  const gone = once(worker, "exit");
  mem.u32[first >>> 2] = (((bucket - buckets) >>> 2) ^ 2) | 1;
  expect(calls.get(u.BPF_FUNC_map_lookup_elem)!(key)).toBe(mem.u32[(second + NODE_VALUE) >>> 2]);
  await gone;
});

describe.each(types.slice(0, 2))("%s: a client died", (_name, type) => {
  const entry = mapEntry(type)!;
  const calls = [
    ["update", u.BPF_FUNC_map_update_elem, 3, 0],
    ["insertion", u.BPF_FUNC_map_update_elem, 9, 0],
    ["deletion", u.BPF_FUNC_map_delete_elem, 3, 0],
    ["failure", u.BPF_FUNC_map_update_elem, 3, u.BPF_NOEXIST],
  ] as const;

  test.each(["bucket", "table"])("with the lock of the %s", (which) => {
    for (const [what, helper, n, flags] of calls) {
      const twins = [false, true].map((compiled) => {
        const kernel = createKernel({ memory: MEMORY, cpus: CPUS, shared: true, seed: 5, virtualClock: true });
        return twin(kernel, entry, attrOf(type, 4, 8, 0), compiled);
      });
      const results = twins.map(({ kernel: { mem }, map, calls: by }) => {
        const key = alloc(mem, 16);
        for (let i = 0; i < 6; i++) {
          mem.u32[key >>> 2] = i;
          by.get(u.BPF_FUNC_map_update_elem)!(key, key, 0, 0);
        }
        mem.u32[key >>> 2] = n;
        const lock = which === "table" ? map + HT_LOCK : bucketOf(mem, map, hashOf(mem, map, key)) + BUCKET_LOCK;
        mem.u32[lock >>> 2] = DEAD;
        // Who takes it over counts again.
        mem.u32[(map + HT_COUNT) >>> 2]! += 3;
        const ret = by.get(helper)!(key, key, flags, 0);
        return `${ret} ${mem.u32[lock >>> 2]} ${mapField(mem, map, HT_COUNT)}`;
      });
      expect(results[1], what).toBe(results[0]);
      expect(Buffer.compare(twins[0]!.kernel.mem.u8, twins[1]!.kernel.mem.u8), what).toBe(0);
    }
  });
});

/** A key that differs in one byte is another, also where its hash is the same. */
function judgeEveryByte(
  twins: readonly Twin[],
  key: number,
  bytes: Uint8Array,
  both: (helper: number, ...args: readonly number[]) => number,
): void {
  for (const { kernel } of twins) kernel.mem.u8.set(bytes, key);
  both(u.BPF_FUNC_map_update_elem, key, key + 512, 0, 0);
  if (both(u.BPF_FUNC_map_lookup_elem, key) === 0) return;
  const stored = twins.map(({ kernel: { mem }, map }) => {
    return findNode(mem, map, key, hashOf(mem, map, key)) + mapField(mem, map, HT_KEY);
  });
  for (let i = 0; i < bytes.length; i++) {
    for (const [n, { kernel }] of twins.entries()) kernel.mem.u8[stored[n]! + i]! ^= 0x10;
    if (both(u.BPF_FUNC_map_lookup_elem, key) !== 0) expect.fail(`byte ${i} of ${bytes.length} is not compared`);
    for (const [n, { kernel }] of twins.entries()) kernel.mem.u8[stored[n]! + i]! ^= 0x10;
  }
  expect(both(u.BPF_FUNC_map_lookup_elem, key)).not.toBe(0);
}
