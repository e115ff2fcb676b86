/** Many elements a call, with batches and without, on every host. */
import { beforeAll, describe, expect, test } from "vitest";
import { onEachHost } from "../../test/hosts.ts";
import { withoutBatches } from "../../test/without_batches.ts";
import {
  BPF_MAP_TYPE_ARRAY,
  BPF_MAP_TYPE_HASH,
  BPF_MAP_TYPE_LPM_TRIE,
  BPF_MAP_TYPE_PERCPU_ARRAY,
  BPF_MAP_TYPE_PERCPU_HASH,
  type BpfHost,
  BulkError,
  bytes,
  CodecError,
  InputError,
  ipv4,
  lpmKey,
  perCpu,
  struct,
  u8,
  u16,
  u32,
  u64,
} from "../index.ts";
import type { HostContext } from "./context.ts";

const numbers = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

function bulkErrorOf(fn: () => unknown): BulkError {
  try {
    fn();
  } catch (error) {
    if (error instanceof BulkError) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
}

const types = [
  BPF_MAP_TYPE_HASH,
  BPF_MAP_TYPE_PERCPU_HASH,
  BPF_MAP_TYPE_ARRAY,
  BPF_MAP_TYPE_PERCPU_ARRAY,
  BPF_MAP_TYPE_LPM_TRIE,
];

/** The hosts have batches; older kernels have not. */
function onEachWay(tests: (host: BpfHost, way: string) => void): void {
  onEachHost((host) => {
    describe.each(["batches", "one by one"])("%s", (way) => {
      const { batches } = (host as unknown as { context: HostContext }).context;
      beforeAll(() => {
        batches.clear();
        if (way !== "batches") withoutBatches(batches, types);
      });
      tests(host, way);
    });
  });
}

onEachWay((host, way) => {
  test("hash: set, get and delete many, more than a chunk", () => {
    const map = host.createMap({ type: "hash", key: u32, value: u64, maxEntries: 12_000 });
    const keys = numbers(12_000);
    expect(map.setMany(new Map(keys.map((key) => [key, BigInt(key)])))).toBe(12_000);
    expect(map.getMany([11_999, 30_000, 0])).toEqual([11_999n, undefined, 0n]);
    // Every third is not there; keys from a generator, whose length nobody knows.
    const all = function* (): Generator<number> {
      for (const key of keys) yield key % 3 === 0 ? key + 100_000 : key;
    };
    const there = keys.filter((key) => key % 3 !== 0).length;
    expect(map.deleteMany(all())).toBe(there);
    expect(map.deleteMany([])).toBe(0);
    expect(map.setMany([])).toBe(0);
    expect(map.count()).toBe(12_000 - there);
    expect(map.clear()).toBe(12_000 - there);
    map.close();
  });

  test("a map that is full: what was done, what was not", () => {
    const map = host.createMap({ type: "hash", name: "small", key: u32, value: u8, maxEntries: 100 });
    const given = numbers(150)
      .map((key) => [key, 1] as const)
      [Symbol.iterator]();
    const error = bulkErrorOf(() => map.setMany(given));
    expect([error.code, error.done, error.index, error.key]).toEqual(["E2BIG", 100, 100, 100]);
    expect(error.map?.name).toBe("small");
    expect(error.message).toMatch(/^hash map `small` is full: 100 of 100\n/);
    expect(error.message).toContain("done: 100; number 100 of those given failed, with key 100");
    // Whatever had been asked for is in `rest` or still to come: nothing is lost.
    const left = [...error.rest, ...given] as [number, number][];
    expect(left.map(([key]) => key)).toEqual(numbers(150).slice(100));
    expect(map.count()).toBe(100);
    map.close();
  });

  test("options that no batch can express", () => {
    const map = host.createMap({ type: "hash", key: u32, value: u8, maxEntries: 100 });
    map.setMany(
      numbers(10).map((key) => [key, 1] as const),
      { ifExists: "fail" },
    );
    const error = bulkErrorOf(() =>
      map.setMany(
        [
          [50, 1],
          [3, 2],
          [51, 1],
        ],
        { ifExists: "fail" },
      ),
    );
    expect([error.code, error.done, error.index, error.key, error.rest]).toEqual(["EEXIST", 1, 1, 3, [[3, 2]]]);
    expect(map.getMany([50, 3, 51])).toEqual([1, 1, undefined]);
    const missing = bulkErrorOf(() =>
      map.setMany(
        [
          [1, 9],
          [77, 9],
        ],
        { ifMissing: "fail" },
      ),
    );
    expect([missing.code, missing.done, missing.key]).toEqual(["ENOENT", 1, 77]);
    expect(map.get(1)).toBe(9);
    map.close();
  });

  test("a value that its codec refuses: everything before it is done, nothing behind it", () => {
    const map = host.createMap({ type: "hash", key: struct({ port: u16 }), value: u8, maxEntries: 100 });
    const key = (port: number): { port: number } => ({ port });
    const error = (fn: () => unknown): unknown => {
      try {
        return fn();
      } catch (thrown) {
        return thrown;
      }
    };
    const refused = error(() =>
      map.setMany([
        [key(1), 1],
        [key(2), 2],
        [key(3), 256],
        [key(4), 4],
      ]),
    );
    expect(refused).toBeInstanceOf(CodecError);
    expect(refused).toBeInstanceOf(InputError);
    expect((refused as CodecError).path).toBe("[2].value");
    expect(map.count()).toBe(2);
    expect((error(() => map.deleteMany([key(1), key(70_000)])) as CodecError).path).toBe("[1].key.port");
    expect(map.count()).toBe(1);
    expect((error(() => map.getMany([key(1), key(-1)])) as CodecError).path).toBe("[1].key.port");
    // The same when it is the caller's own iterable that throws.
    const broken = function* (): Generator<[{ port: number }, number]> {
      yield [key(9), 9];
      throw new TypeError("mine");
    };
    expect(() => map.setMany(broken())).toThrow(TypeError);
    expect(map.get(key(9))).toBe(9);
    map.close();
  });

  test("per-CPU maps", () => {
    const cpus = host.possibleCpus;
    const all = (value: bigint): ReturnType<typeof perCpu<bigint>> => perCpu({ cpus, all: value });
    const hash = host.createMap({ type: "percpu_hash", key: u16, value: u64, maxEntries: 8 });
    const array = host.createMap({ type: "percpu_array", value: u64, maxEntries: 8 });
    expect(
      hash.setMany([
        [1, all(1n)],
        [2, all(2n)],
      ]),
    ).toBe(2);
    expect(array.setMany(numbers(8).map((i) => [i, all(BigInt(i))] as const))).toBe(8);
    expect(hash.getMany([2, 3]).map((v) => v?.sum())).toEqual([BigInt(2 * cpus), undefined]);
    expect(array.getMany([7, 8]).map((v) => v?.max())).toEqual([7n, undefined]);
    expect(hash.deleteMany([1, 5, 2])).toBe(2);
    for (const map of [hash, array]) map.close();
  });

  test("an array, and an index outside it", () => {
    const map = host.createMap({ type: "array", value: u8, maxEntries: 4 });
    expect(map.setMany([10, 11, 12, 13].entries())).toBe(4);
    expect(map.getMany([3, 0, 4])).toEqual([13, 10, undefined]);
    const error = bulkErrorOf(() =>
      map.setMany([
        [0, 1],
        [4, 2],
      ]),
    );
    expect([error.code, error.done, error.index, error.key]).toEqual(["E2BIG", 1, 1, 4]);
    expect(error.message).toMatch(/^index 4 is outside array map/);
    expect(() =>
      map.setMany([
        [0, 1],
        [-1, 1],
      ]),
    ).toThrow(/^\[1\]\.index: -1/);
    map.close();
  });

  test("a trie", () => {
    const routes = host.createMap({ type: "lpm_trie", key: lpmKey(ipv4), value: u32, maxEntries: 3000 });
    const nets = numbers(3000).map((i) => ({ prefixLen: 32, data: `10.0.${i >> 8}.${i & 255}` }));
    expect(routes.setMany(nets.map((net, i) => [net, i] as const))).toBe(3000);
    expect(routes.getMany([nets[7]!, { prefixLen: 32, data: "11.0.0.0" }])).toEqual([7, undefined]);
    expect(routes.deleteMany([nets[0]!, nets[0]!, nets[1]!])).toBe(2);
    expect(
      routes.setMany([
        [nets[0]!, 1],
        [nets[1]!, 1],
      ]),
    ).toBe(2);
    const full = bulkErrorOf(() =>
      routes.setMany([
        [nets[0]!, 9],
        [{ prefixLen: 8, data: "11.0.0.0" }, 1],
      ]),
    );
    expect([full.code, full.done, full.hint]).toEqual(["ENOSPC", 1, "raise maxEntries"]);
    expect(() => routes.deleteMany([{ prefixLen: 33, data: "1.1.1.1" }])).toThrow();
    expect([routes.clear(), routes.count()]).toEqual([3000, 0]);
    routes.close();
  });

  test("a map that may not be written, or is closed", () => {
    const map = host.createMap({ type: "hash", key: u32, value: u8, maxEntries: 4 });
    map.set(1, 1);
    map.freeze();
    const frozen = bulkErrorOf(() =>
      map.setMany([
        [2, 2],
        [3, 3],
      ]),
    );
    expect([frozen.code, frozen.done, frozen.index, frozen.rest.length]).toEqual([
      "EPERM",
      0,
      0,
      way === "batches" ? 2 : 1,
    ]);
    expect(frozen.message).toMatch(/is frozen/);
    expect(bulkErrorOf(() => map.deleteMany([1])).code).toBe("EPERM");
    map.close();
    const closed = bulkErrorOf(() => map.setMany([[2, 2]]));
    expect([closed.code, closed.done]).toEqual(["EBADF", 0]);
    expect(closed.message).toMatch(/is closed/);
  });

  test("the iterable closes the map", () => {
    const map = host.createMap({ type: "hash", key: u32, value: u8, maxEntries: 4 });
    const closing = function* (): Generator<[number, number]> {
      yield [1, 1];
      map.close();
      yield [2, 2];
    };
    const error = bulkErrorOf(() => map.setMany(closing()));
    expect([error.code, error.done]).toEqual(["EBADF", way === "batches" ? 0 : 1]);
  });

  test("a map filled from a drain of another", () => {
    const [from, to] = [0, 1].map(() => host.createMap({ type: "hash", key: u32, value: u8, maxEntries: 64 }));
    from!.setMany(numbers(32).map((key) => [key, key] as const));
    expect(to!.setMany(from!.drain())).toBe(32);
    expect([from!.count(), ...to!.getMany([0, 31])]).toEqual([0, 0, 31]);
    for (const map of [from!, to!]) map.close();
  });

  test("a drain that is broken off keeps what is out of the map", () => {
    const map = host.createMap({ type: "hash", key: u32, value: bytes(64), maxEntries: 2500 });
    map.setMany(numbers(2500).map((key) => [key, new Uint8Array(64).fill(key)] as const));
    const drained = map.drain();
    const seen: number[] = [];
    for (const [key] of drained) {
      seen.push(key);
      if (seen.length === 10) break;
    }
    const rest = drained.rest();
    expect(rest.filter(([key, value]) => value[63] !== (key & 255))).toEqual([]);
    expect(new Set([...seen, ...rest.map(([key]) => key), ...map.keys()])).toEqual(new Set(numbers(2500)));
    expect(seen.length + rest.length + map.count()).toBe(2500);
    expect(drained.rest().map(([key]) => key)).toEqual(rest.map(([key]) => key));
    // Also when the map is closed in the middle.
    const cut = map.drain();
    cut.next();
    const left = map.count();
    map.close();
    expect(cut.return().done).toBe(true);
    expect(1 + cut.rest().length + left).toBe(2500 - seen.length - rest.length);
  });

  test("a drain that meets a value which its codec refuses", () => {
    const map = host.createMap({ type: "hash", key: u32, value: u64, maxEntries: 8 });
    map.setMany([
      [1, 1n],
      [2, 2n ** 60n],
      [3, 3n],
    ]);
    const strict = host.openMap({ id: map.id }, { type: "hash", key: u32, value: u64.asNumber });
    const drained = strict.drain();
    const seen: number[] = [];
    expect(() => {
      for (const [key] of drained) seen.push(key);
    }).toThrow(CodecError);
    expect(() => drained.rest()).toThrow(CodecError);
    expect(seen.length + map.count()).toBeLessThan(3);
    for (const each of [map, strict]) each.close();
  });
});
