/** What `estimateMemory` says is what `host.memory()` tells of the map once it is full. */
import { expect, test } from "vitest";
import { onEachHost } from "../../test/hosts.ts";
import {
  type BpfMap,
  bytes,
  estimateMemory,
  InputError,
  ipv4,
  lpmKey,
  type MapSpec,
  perCpu,
  u8,
  u32,
  u64,
} from "../index.ts";

const numbers = (count: number): number[] => Array.from({ length: count }, (_, i) => i);
const value = bytes(100);

const specs: readonly MapSpec[] = [
  { type: "hash", key: u32, value: u64, maxEntries: 5000 },
  { type: "hash", key: u32, value, maxEntries: 3000, prealloc: false },
  { type: "percpu_hash", key: u32, value: u64, maxEntries: 3000, prealloc: false },
  { type: "percpu_hash", key: bytes(13), value: bytes(9), maxEntries: 20_000 },
  { type: "lru_hash", key: u32, value, maxEntries: 3001 },
  { type: "lru_hash", key: u32, value, maxEntries: 3001, commonLru: false },
  { type: "lru_percpu_hash", key: u64, value: bytes(3), maxEntries: 30_000 },
  { type: "array", value: u8, maxEntries: 8191 },
  { type: "array", value: u8, maxEntries: 8192, mmapable: true },
  { type: "percpu_array", value: u64, maxEntries: 10_000 },
  { type: "queue", value: bytes(7), maxEntries: 20_000 },
  { type: "stack", value: bytes(7), maxEntries: 1 },
  { type: "bloom_filter", value: u32, maxEntries: 200_000, hashes: 7 },
  { type: "ringbuf", maxEntries: 65_536 },
  { type: "user_ringbuf", maxEntries: 65_536 },
  { type: "arena", maxEntries: 33 },
];

onEachHost((host) => {
  const { possibleCpus: cpus } = host;
  const bytesOf = (map: BpfMap): number | undefined => host.memory().maps.find(({ id }) => id === map.id)?.bytes;

  test.each(specs.map((spec) => [spec.type, spec] as const))("%s", (_, spec) => {
    const map = host.createMap(spec as never) as unknown as BpfMap;
    if ("prealloc" in spec) {
      const filled = map as unknown as { setMany(entries: Iterable<readonly [number, unknown]>): number };
      const each = spec.type === "percpu_hash" ? perCpu({ cpus, all: 1n }) : new Uint8Array(100);
      for (const entries of [0, 700, 3000]) {
        filled.setMany(numbers(entries).map((key) => [key, each] as const));
        expect(bytesOf(map)).toBe(estimateMemory(spec as never, { host: host.kind, cpus, entries }));
      }
    }
    expect(bytesOf(map)).toBe(estimateMemory(spec as never, { host: host.kind, cpus }));
    map.close();
  });

  test("a trie: exact in the kernel, at most here", () => {
    const spec = { type: "lpm_trie", key: lpmKey(ipv4), value: u64, maxEntries: 10_000 } as const;
    const routes = host.createMap(spec);
    routes.setMany(
      numbers(10_000).map((i) => [{ prefixLen: 32, data: `10.${i & 3}.${(i >> 2) & 255}.${i >> 10}` }, 1n]),
    );
    const estimated = estimateMemory(spec, { host: host.kind, cpus });
    const found = bytesOf(routes)!;
    if (host.kind === "kernel") {
      expect(found).toBe(estimated);
    } else {
      expect(found).toBeLessThanOrEqual(estimated);
      expect(found).toBeGreaterThan(estimated * 0.6);
    }
    expect(estimateMemory(spec, { host: host.kind, cpus, entries: 0 })).toBe(0);
    routes.close();
  });
});

test("what is asked must make sense", () => {
  const spec = { type: "hash", key: u32, value: u64, maxEntries: 10 } as const;
  const example = { type: "lru_hash", key: bytes(12), value: bytes(16), maxEntries: 1_000_000 } as const;
  expect(estimateMemory(example, { host: "kernel", cpus: 8 })).toBe(96_778_112);
  expect(() => estimateMemory(spec, { host: "kernel", cpus: 0 })).toThrow(InputError);
  expect(() => estimateMemory(spec, { host: "kernel", cpus: 1, entries: -1 })).toThrow(/entries is -1/);
  // More than fit are not going to be there.
  const lazy = { ...spec, prealloc: false } as const;
  const most = estimateMemory(lazy, { host: "kernel", cpus: 1 });
  expect(estimateMemory(lazy, { host: "kernel", cpus: 1, entries: 99 })).toBe(most);
});
