/**
 * The oracle must be able to fail: bugs are planted in the embedded host's map types, one at a time, and each must be
 * found by the random sequences and shortened to a few calls. Without the kernel the recorded digests must find it.
 */
import { afterAll, expect, test } from "vitest";
import { createEmbeddedHost } from "../../../src/host/embedded.ts";
import type { MapOps } from "../../../src/maps/ops.ts";
import { mapRegistry } from "../../../src/maps/registry.ts";
import { lookupHash } from "../../../src/struct/hash_ops.ts";
import { MAP_VALUE_SIZE, mapField } from "../../../src/struct/map.ts";
import type { BpfMapType } from "../../../src/uapi/index.ts";
import { EEXIST, ENOENT } from "../../../src/uapi/index.ts";
import { closeHosts, EMBEDDED, openHosts } from "../hosts.ts";
import recording from "../recorded/random.json" with { type: "json" };
import { compare, type Sides, shrink } from "./compare.ts";
import { generate } from "./generate.ts";
import { planOf } from "./plans.ts";
import { CHUNK, differsAt, digestsOf, recordedDigests } from "./recording.ts";
import { showDifference } from "./show.ts";
import { Side } from "./side.ts";

const hosts = openHosts();
afterAll(() => closeHosts(hosts));

interface Mutation {
  readonly what: string;
  readonly type: string;
  /** Most calls that may be left when it was made short. */
  readonly calls: number;
  readonly plant: (ops: MapOps) => Partial<MapOps>;
}

const mutations: readonly Mutation[] = [
  {
    what: "EEXIST for ENOENT",
    type: "HASH",
    calls: 2,
    plant: (ops) => ({
      map_delete_value: (env, map, key) => {
        const ret = ops.map_delete_value(env, map, key);
        return ret === -ENOENT ? -EEXIST : ret;
      },
    }),
  },
  {
    what: "one too few in a batch's count",
    type: "PERCPU_ARRAY",
    calls: 2,
    plant: (ops) => ({
      map_lookup_batch: (env, map, batch) =>
        ops.map_lookup_batch(env, map, {
          inBatch: batch.inBatch,
          outBatch: batch.outBatch,
          keys: batch.keys,
          values: batch.values,
          room: batch.room,
          elemFlags: batch.elemFlags,
          flags: batch.flags,
          userOk: (address, length, write) => batch.userOk(address, length, write),
          write: (to, from, length) => batch.write(to, from, length),
          putCount: (count) => batch.putCount(count > 2 ? count - 1 : count),
        }),
    }),
  },
  {
    what: "the first two keys in each other's place",
    type: "LPM_TRIE",
    calls: 4,
    plant: (ops) => ({
      map_get_next_key: (env, map, key, next) => {
        const ret = ops.map_get_next_key(env, map, key, next);
        return key !== 0 || ret !== 0 || ops.map_get_next_key(env, map, next, next) === 0
          ? ret
          : ops.map_get_next_key(env, map, key, next);
      },
    }),
  },
  {
    what: "a stale byte at the end of a value",
    type: "HASH",
    calls: 3,
    plant: (ops) => ({
      map_copy_value: (env, map, key, value, flags) => {
        const last = value + mapField(env.mem, map, MAP_VALUE_SIZE) - 1;
        const before = env.mem.u8[last]!;
        const ret = ops.map_copy_value(env, map, key, value, flags);
        env.mem.u8[last] = before;
        return ret;
      },
    }),
  },
  {
    what: "programs' lookups do not count as uses, so that the wrong key is evicted",
    type: "LRU_HASH",
    calls: 12,
    // Compiled programs have code of their own for it.
    plant: () => ({ map_lookup_elem: lookupHash, map_gen: () => undefined }),
  },
  {
    what: "a pop that leaves the element where it is",
    type: "QUEUE",
    calls: 8,
    plant: (ops) => ({
      map_lookup_and_delete_elem: (env, map, key, value, flags) =>
        flags === 0 ? ops.map_copy_value(env, map, key, value, flags) : -ENOENT,
    }),
  },
];

const MOST_CHUNKS = 10;

test.each(mutations)("$type: $what", { timeout: 120_000 }, ({ type, calls, plant }) => {
  const plan = planOf(type)!;
  const ops = mapRegistry[plan.type as BpfMapType]!.ops;
  const good = { ...ops };
  const host = createEmbeddedHost({ ...EMBEDDED, cpus: hosts.kernel?.possibleCpus ?? recording.possibleCpus });
  const side = new Side("embedded", host);
  Object.assign(ops, plant(good));
  try {
    if (recording.possibleCpus === host.possibleCpus) {
      const found = digestsOf(plan, side, recording.seed, 0, MOST_CHUNKS);
      expect(differsAt(found, recordedDigests(recording, plan, 0, MOST_CHUNKS))).toBeDefined();
    }
    if (hosts.kernel === undefined) return;
    const kernel = new Side("kernel", hosts.kernel, hosts.mount?.path);
    const sides: Sides = [side, kernel];
    let short: string | undefined;
    for (let chunk = 0; chunk < MOST_CHUNKS && short === undefined; chunk++) {
      const sequence = generate(plan, 1, chunk, CHUNK);
      const found = compare(plan, sides, sequence);
      if (found === undefined) continue;
      const kept = shrink(plan, sides, sequence, found.at);
      short = showDifference(plan, sides, kept);
      expect(kept.length, short).toBeLessThanOrEqual(calls);
      // Both answers are told.
      expect(short).toMatch(/embedded: .*\n.*kernel: /);
    }
    expect(short).toBeDefined();
    kernel.dispose();
  } finally {
    Object.assign(ops, good);
    side.dispose();
    host.dispose();
  }
});
