/**
 * What the LRU types emit for compiled programs: all that turns lists and evicts does what the types' own functions do,
 * to the byte; and whoever dies in it, wherever that is, leaves a map that the next one makes good.
 */

import { describe, expect, test, vi } from "vitest";
import { mapHelpers } from "../../src/helpers/map.ts";
import { createKernel } from "../../src/kern/create.ts";
import type { Kernel } from "../../src/kern/kernel.ts";
import { allocMap } from "../../src/kern/map.ts";
import { mapEntry } from "../../src/maps/registry.ts";
import { alloc } from "../../src/mem/alloc.ts";
import { countLru } from "../../src/struct/hash_count.ts";
import {
  BUCKET_SIZE,
  HT_BUCKETS,
  HT_CPUS,
  HT_KEY,
  HT_MASK,
  isNode,
  NODE_SEQ,
  NODE_VALUE,
  SEQ_LINKED,
} from "../../src/struct/hashtab.ts";
import { LRU_LISTS } from "../../src/struct/lru.ts";
import {
  ACTIVE,
  COUNTS,
  FREE_HEAD,
  HEADS,
  INACTIVE,
  LISTS_SIZE,
  NEXT,
  PENDING_HEAD,
  PREV,
  UNUSED,
} from "../../src/struct/lru_list.ts";
import { MAP_FLAGS, MAP_LOCK, MAP_MAX_ENTRIES, mapField } from "../../src/struct/map.ts";
import * as u from "../../src/uapi/index.ts";
import { PLAIN_MAP } from "../plain_map.ts";
import { randomOf } from "../random.ts";
import { type Generated, generated } from "./generated.ts";
import { DEAD } from "./map_code.ts";

const CPUS = 2;
const HELPERS = [u.BPF_FUNC_map_lookup_elem, u.BPF_FUNC_map_update_elem, u.BPF_FUNC_map_delete_elem];
const LOOKUP = 0;
const UPDATE = 1;
const DELETE = 2;
const types = [
  ["LRU_HASH", u.BPF_MAP_TYPE_LRU_HASH, 0],
  ["LRU_HASH, lists by CPU", u.BPF_MAP_TYPE_LRU_HASH, u.BPF_F_NO_COMMON_LRU],
  ["LRU_PERCPU_HASH", u.BPF_MAP_TYPE_LRU_PERCPU_HASH, 0],
  ["LRU_PERCPU_HASH, lists by CPU", u.BPF_MAP_TYPE_LRU_PERCPU_HASH, u.BPF_F_NO_COMMON_LRU],
] as const;

interface Side {
  readonly kernel: Kernel;
  readonly map: number;
  /** An aligned place for a key, with the value eight bytes behind it. */
  readonly key: number;
  readonly calls: readonly Generated[];
}

function side(shared: boolean, type: number, flags: number, max: number, callsOf: (side: Side) => Generated[]): Side {
  const kernel = createKernel({ memory: 2 << 20, cpus: CPUS, shared, seed: 1, virtualClock: true });
  const sizes = { map_type: type, key_size: 4, value_size: 8, max_entries: max, map_flags: flags | u.BPF_F_ZERO_SEED };
  const map = allocMap(kernel, mapEntry(type)!, { ...sizes, ...PLAIN_MAP });
  expect(map).toBeGreaterThan(0);
  const made = { kernel, map, key: alloc(kernel.mem, 64), calls: [] };
  return { ...made, calls: callsOf(made) };
}

/** Says that this key is so and so: the value tells it twice. */
function put({ kernel: { mem }, key }: Side, n: number): void {
  mem.u32[key >>> 2] = n;
  mem.u32[(key >>> 2) + 2] = n;
  mem.u32[(key >>> 2) + 3] = ~n;
}

describe.each(types)("%s", (_, type, flags) => {
  test.each([false, true])("lists turn and evict as by the type's own functions (shared: %s)", (shared) => {
    const random = randomOf(type + flags);
    // One element a CPU; so few that all are looked at in one go; shares of a few; more than is looked at in one go.
    for (const [max, keys, rounds] of [
      [2, 6, 200],
      [8, 12, 500],
      [40, 60, 1000],
      [600, 800, 2000],
    ] as const) {
      let helped = 0;
      const sides = [false, true].map((compiled) =>
        side(shared, type, flags, max, ({ kernel, map }) =>
          HELPERS.map((id): Generated => {
            const fn = mapHelpers[id]!.fn as (kernel: Kernel, ...args: readonly number[]) => number;
            if (compiled) return generated(kernel, map, id, { helper: () => helped++ });
            return (_cpu, ...args) => fn(kernel, map, ...args);
          }),
        ),
      );
      const both = (call: number, n: number, flag: number): number => {
        const cpu = random(8) === 0 ? 1 : 0;
        const [a, b] = sides.map((one) => {
          one.kernel.cpu = cpu;
          put(one, n);
          return one.calls[call]!(cpu, one.key, ...(call === UPDATE ? [one.key + 8, flag, 0] : []));
        });
        if (a !== b) expect(b, `call ${call}, key ${n}`).toBe(a);
        return a!;
      };
      const [plain, other] = sides.map(({ kernel }) => kernel.mem.u8) as [Uint8Array, Uint8Array];
      // Without look-ups elements are evicted from the inactive list only; the more, the more turns the active one.
      for (const lookups of [0, 1, 4]) {
        helped = 0;
        for (let round = 0; round < rounds; round++) {
          const n = random(keys);
          both(UPDATE, n, random(10) === 0 ? random(4) : u.BPF_ANY);
          for (let i = 0; i < lookups; i++) both(LOOKUP, random(keys), 0);
          if (random(20) === 0) both(DELETE, random(keys), 0);
        }
        expect(Buffer.compare(plain, other), `${max} elements, ${lookups} look-ups`).toBe(0);
        // What is new, flags that do not fit, and elements of other CPUs.
        if (max === 600 && lookups > 0) expect(helped).toBeLessThan(rounds / 4);
      }
    }
  });

  test("a client that dies before any of its writes leaves nothing that the next one cannot make good", () => {
    const max = 24;
    const random = randomOf(type + flags);
    // Writes until death.
    let writes = 0;
    const death = new Error("death");
    const write = (): void => {
      if (--writes === 0) throw death;
    };
    const one = side(true, type, flags, max, ({ kernel, map }) =>
      HELPERS.map((id) => generated(kernel, map, id, { write })),
    );
    const { kernel, map, key, calls } = one;
    const { mem } = kernel;
    // Whoever waits for a lock does so in vain: its owner is dead.
    const waits = vi.spyOn(Atomics, "wait").mockReturnValue("timed-out");
    const deaths = new Set<number>();
    for (let round = 0; round < 1000; round++) {
      const had = keysOf(one);
      const n = random(40);
      const call = random(4) === 0 ? DELETE : random(3) === 0 ? LOOKUP : UPDATE;
      const cpu = random(CPUS);
      kernel.cpu = cpu;
      put(one, n);
      const dies = 1 + random(60);
      writes = call === LOOKUP || round < 60 ? 0 : dies;
      try {
        calls[call]!(cpu, key, ...(call === UPDATE ? [key + 8, 0, 0] : []));
      } catch (error) {
        if (error !== death) throw error;
        deaths.add(dies);
        if (mem.u32[(map + MAP_LOCK) >>> 2] === mem.owner) mem.u32[(map + MAP_LOCK) >>> 2] = DEAD;
        // The lock is taken over.
        const count = countLru(kernel, map);
        const has = keysOf(one);
        expect(has.length).toBe(count);
        expect(has.filter((k) => k !== n && !had.includes(k))).toEqual([]);
        census(one, `death before write ${dies} of call ${call} with ${n}`);
      }
    }
    waits.mockRestore();
    expect(Math.max(...deaths)).toBeGreaterThan(40);
  });
});

/** The keys in all chains, each once, and in LRU_HASH with its own value. */
function keysOf({ kernel: { mem }, map }: Side): number[] {
  const { u32 } = mem;
  const keys: number[] = [];
  const first = mapField(mem, map, HT_BUCKETS);
  const percpu = mapField(mem, map, HT_CPUS) > 1;
  const wrong: string[] = [];
  for (let index = 0; index <= mapField(mem, map, HT_MASK); index++) {
    let node = u32[(first + index * BUCKET_SIZE) >>> 2]!;
    for (; isNode(node); node = u32[node >>> 2]!) {
      const n = u32[(node + mapField(mem, map, HT_KEY)) >>> 2]!;
      const value = u32[(node + NODE_VALUE) >>> 2]! >>> 2;
      if (!percpu && (u32[value] !== n || u32[value + 1] !== ~n >>> 0)) wrong.push(`value of ${n}`);
      if (!(u32[(node + NODE_SEQ) >>> 2]! & SEQ_LINKED)) wrong.push(`sequence number of ${n}`);
      keys.push(n);
    }
    if (node !== 0 && node !== ((index << 1) | 1)) wrong.push(`end of chain ${index}`);
  }
  expect(wrong).toEqual([]);
  expect(new Set(keys).size).toBe(keys.length);
  return keys;
}

/** Each element is in one list, or free, or was never used. */
function census({ kernel: { mem }, map }: Side, what: string): void {
  const { u32 } = mem;
  const own = (mapField(mem, map, MAP_FLAGS) & u.BPF_F_NO_COMMON_LRU) !== 0;
  const max = mapField(mem, map, MAP_MAX_ENTRIES);
  const links = new Set<number>();
  let sum = 0;
  const add = (link: number): void => {
    links.add(link);
    if (++sum > max) expect.fail(`${what}: elements in several lists`);
  };
  const ring = (head: number): number => {
    const before = sum;
    for (let link = u32[(head + NEXT) >>> 2]!; link !== head; link = u32[(link + NEXT) >>> 2]!) {
      add(link);
      if (u32[(u32[(link + NEXT) >>> 2]! + PREV) >>> 2] !== link) expect.fail(`${what}: links do not go together`);
    }
    return sum - before;
  };
  let unused = 0;
  for (let i = 0; i <= CPUS; i++) {
    const lists = mapField(mem, map, LRU_LISTS) + i * LISTS_SIZE;
    unused += u32[(lists + UNUSED) >>> 2]!;
    for (let link = u32[(lists + FREE_HEAD) >>> 2]!; link !== 0; link = u32[(link + NEXT) >>> 2]!) add(link);
    if (i > 0 && !own) {
      ring(lists + PENDING_HEAD);
      continue;
    }
    for (const list of [ACTIVE, INACTIVE]) {
      const count = u32[(lists + COUNTS + 4 * list) >>> 2];
      if (ring(lists + HEADS + 8 * list) !== count)
        expect.fail(`${what}: list ${list} does not have ${count} elements`);
    }
  }
  expect(links.size + unused, what).toBe(max);
  expect(sum, what).toBe(links.size);
}
