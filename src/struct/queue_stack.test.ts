import fc from "fast-check";
import { afterAll, expect, test } from "vitest";
import { PLAIN_MAP } from "../../test/plain_map.ts";
import { createKernel } from "../kern/create.ts";
import type { Kernel } from "../kern/kernel.ts";
import { allocMap, destroyMap } from "../kern/map.ts";
import type { MapOps, MapTypeEntry } from "../maps/ops.ts";
import { queueMap } from "../maps/queue.ts";
import { stackMap } from "../maps/stack.ts";
import { AREA_KIND, AREA_NODES, alloc, areaOf, memoryUse } from "../mem/alloc.ts";
import { BPF_EXIST, BPF_MAP_TYPE_QUEUE, BPF_MAP_TYPE_STACK, E2BIG, EINVAL, ENOENT, ENOMEM } from "../uapi/index.ts";
import type { MapCreateAttr } from "./env.ts";
import { MAP_PRIVATE } from "./map.ts";

const hosts = [false, true].map((shared) =>
  createKernel({ memory: 16 << 20, cpus: 2, shared, seed: 1, virtualClock: true }),
);
const buffers = new Map(hosts.map((k) => [k, alloc(k.mem, 4096)]));
for (const k of hosts) destroyMap(k, allocMap(k, queueMap, attr(BPF_MAP_TYPE_QUEUE, {})));
const usedBefore = hosts.map((k) => memoryUse(k.mem).used);

function attr(type: number, over: Partial<MapCreateAttr>): MapCreateAttr {
  return {
    map_type: type,
    key_size: 0,
    value_size: 4,
    max_entries: 3,
    map_flags: 0,
    ...PLAIN_MAP,
    ...over,
  };
}

type Op = "push" | "force" | "pop" | "peek" | "progPop" | "progPeek";

/** What a plain array does: oldest first. */
function model(list: number[][], max: number, op: Op, value: number[], lifo: boolean): [number, number[] | null] {
  if (op === "push" || op === "force") {
    if (list.length === max) {
      if (op === "push") return [-E2BIG, null];
      list.shift();
    }
    list.push(value);
    return [0, null];
  }
  const found = lifo ? list.at(-1) : list[0];
  if (found === undefined) return [-ENOENT, op.startsWith("prog") ? value.map(() => 0) : null];
  if (op === "pop" || op === "progPop") {
    if (lifo) list.pop();
    else list.shift();
  }
  return [0, found];
}

function run(k: Kernel, ops: MapOps, map: number, op: Op, at: number): number {
  switch (op) {
    case "push":
      return ops.map_push_elem(k, map, at, 0);
    case "force":
      return ops.map_update_value(k, map, 0, at, BPF_EXIST);
    case "pop":
      return ops.map_lookup_and_delete_elem(k, map, 0, at, 0);
    case "peek":
      return ops.map_copy_value(k, map, 0, at, 0);
    case "progPop":
      return ops.map_pop_elem(k, map, at);
    case "progPeek":
      return ops.map_peek_elem(k, map, at);
  }
}

const types: readonly (readonly [string, number, MapTypeEntry])[] = [
  ["queue", BPF_MAP_TYPE_QUEUE, queueMap],
  ["stack", BPF_MAP_TYPE_STACK, stackMap],
];

for (const [name, type, entry] of types) {
  const { ops } = entry;
  test(`${name} does what an array does, on both kinds of hosts`, () => {
    const step = fc.tuple(
      fc.constantFrom<Op>("push", "push", "force", "pop", "peek", "progPop", "progPeek"),
      fc.integer({ min: 0, max: 255 }),
    );
    fc.assert(
      fc.property(
        fc.nat(1),
        fc.constantFrom(1, 2, 3, 4, 5, 7, 8, 12, 16, 24, 200),
        fc.integer({ min: 1, max: 6 }),
        fc.array(step, { minLength: 1, maxLength: 60 }),
        (host, value_size, max_entries, steps) => {
          const k = hosts[host]!;
          const map = allocMap(k, entry, attr(type, { value_size, max_entries }));
          const list: number[][] = [];
          // Every fourth buffer is unaligned.
          steps.forEach(([op, seed], i) => {
            const at = buffers.get(k)! + (i % 4 === 3 ? 1 : 0);
            const given = Array.from({ length: value_size }, (_, b) => (seed + b * 7) & 255);
            k.mem.u8.set(given, at);
            const [ret, after] = model(list, max_entries, op, given, type === BPF_MAP_TYPE_STACK);
            expect([run(k, ops, map, op, at), ...k.mem.u8.subarray(at, at + value_size)]).toEqual([
              ret,
              ...(after ?? given),
            ]);
          });
          destroyMap(k, map);
        },
      ),
      { numRuns: 300 },
    );
  });

  test(`${name} takes the flags 0 and EXIST only, and knows no keys`, () => {
    const k = hosts[0]!;
    const at = buffers.get(k)!;
    const map = allocMap(k, entry, attr(type, {}));
    for (const flags of [1, 3, 4, 8, 2 ** 32, 2 ** 32 + 2, 2 ** 63]) {
      expect(ops.map_push_elem(k, map, at, flags)).toBe(-EINVAL);
      expect(ops.map_update_value(k, map, 0, at, flags)).toBe(-EINVAL);
    }
    expect(ops.map_delete_value(k, map, 0)).toBe(-EINVAL);
    expect(ops.map_get_next_key(k, map, 0, at)).toBe(-EINVAL);
    expect(ops.map_copy_value(k, map, 0, at, 0)).toBe(-ENOENT);
    destroyMap(k, map);
  });

  test(`${name}: what it may be created with`, () => {
    const k = hosts[0]!;
    const check = (over: Partial<MapCreateAttr>): number => ops.map_alloc_check(k, attr(type, over));
    expect(check({})).toBe(0);
    expect(check({ value_size: 4 << 20, map_flags: 0x4 | 0x8 | 0x80 })).toBe(0);
    for (const bad of [
      { key_size: 4 },
      { value_size: 0 },
      { max_entries: 0 },
      { map_flags: 1 },
      { map_flags: 0x180 },
    ]) {
      expect(check(bad)).toBe(-EINVAL);
    }
    expect(check({ value_size: (4 << 20) + 1 })).toBe(-E2BIG);
    expect(check({ value_size: (4 << 20) + 1, map_flags: 1 })).toBe(-EINVAL);
    expect(allocMap(k, entry, attr(type, { value_size: 4 << 20, max_entries: 0xffff_ffff }))).toBe(-ENOMEM);
  });

  test(`${name}: no pointer of a program reaches the elements`, () => {
    const k = hosts[0]!;
    const map = allocMap(k, entry, attr(type, {}));
    const desc = areaOf(k.mem, k.mem.u32[(map + MAP_PRIVATE) >>> 2]!);
    expect(k.mem.u32[(desc + AREA_KIND) >>> 2]).toBe(AREA_NODES);
    destroyMap(k, map);
  });
}

afterAll(() => {
  expect(hosts.map((k) => memoryUse(k.mem).used)).toEqual(usedBefore);
});
