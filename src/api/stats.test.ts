/** What is known of a map's contents, on every host. */
import { expect, test } from "vitest";
import { onEachEngine } from "../../test/hosts.ts";
import { BPF_FUNC_map_update_elem, ipv4, lpmKey, perCpu, u8, u32, u64 } from "../index.ts";
import * as asm from "../insn/index.ts";

const one = (key: number): [number, number] => [key, 1];
const numbers = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

onEachEngine((host) => {
  const counts = host.kind === "embedded";

  test("hash: entries, and updates that were refused", () => {
    const map = host.createMap({ type: "hash", key: u32, value: u8, maxEntries: 100 });
    const stats = (entries: number, failedUpdates: number): unknown => ({
      entries,
      exact: counts,
      maxEntries: 100,
      evictions: counts ? 0 : undefined,
      failedUpdates: counts ? failedUpdates : undefined,
    });
    expect(map.stats()).toEqual(stats(0, 0));
    map.setMany(numbers(100).map(one));
    map.set(1, 2);
    expect(map.stats()).toEqual(stats(100, 0));
    expect(() => map.set(1, 1, { ifExists: "fail" })).toThrow();
    expect(() => map.set(100, 1)).toThrow();
    expect(() => map.setMany(numbers(110).map(one))).toThrow();
    expect(map.stats()).toEqual(stats(100, 3));
    map.deleteMany(numbers(60));
    map.take(99);
    expect(map.delete(0)).toBe(false);
    expect(map.stats()).toEqual(stats(39, 3));
    expect(map.count()).toBe(39);
    // Another handle sees the same.
    const again = host.openMap({ id: map.id });
    expect(again.stats()).toEqual(stats(39, 3));
    expect([map.clear(), map.count()]).toEqual([39, 0]);
    for (const each of [map, again]) each.close();
    expect(() => map.stats()).toThrow(expect.objectContaining({ code: "EBADF" }));
  });

  test("what a program tried counts too", () => {
    const map = host.createMap({ type: "hash", key: u32, value: u64, maxEntries: 4 });
    const program = host.loadProgram({
      type: "xdp",
      license: "GPL",
      insns: [
        asm.st("u32", asm.R10, -4, 7),
        asm.st("u64", asm.R10, -16, 1),
        ...asm.ldMapFd(asm.R1, map.fd),
        asm.mov64(asm.R2, asm.R10),
        asm.alu64Imm("add", asm.R2, -4),
        asm.mov64(asm.R3, asm.R10),
        asm.alu64Imm("add", asm.R3, -16),
        // BPF_NOEXIST
        asm.mov64Imm(asm.R4, 1),
        asm.call(BPF_FUNC_map_update_elem),
        asm.mov64Imm(asm.R0, 2),
        asm.exit(),
      ],
    });
    program.run({ data: new Uint8Array(64), repeat: 3 });
    expect(map.stats()).toMatchObject({ entries: 1, failedUpdates: counts ? 2 : undefined });
    for (const each of [program, map]) each.close();
  });

  test("LRU maps: entries and evictions", () => {
    for (const type of ["lru_hash", "lru_percpu_hash"] as const) {
      for (const commonLru of [true, false]) {
        const common = { key: u32, maxEntries: 64, commonLru };
        const map =
          type === "lru_hash"
            ? host.createMap({ type, value: u8, ...common })
            : host.createMap({ type, value: u8, ...common });
        const value = type === "lru_hash" ? 1 : perCpu({ cpus: host.possibleCpus, all: 1 });
        for (let key = 0; key < 1000; key++) map.set(key, value as never);
        const { entries, evictions, exact } = map.stats();
        expect([entries, exact]).toEqual([[...map.keys()].length, counts]);
        // What is not there any more was evicted.
        expect(evictions).toBe(counts ? 1000 - entries : undefined);
        map.clear();
        expect(map.count()).toBe(0);
        expect(map.stats().evictions).toBe(evictions);
        map.close();
      }
    }
  });

  test("arrays are always full", () => {
    const map = host.createMap({ type: "percpu_array", value: u64, maxEntries: 7 });
    expect(map.stats()).toMatchObject({ entries: 7, exact: true, maxEntries: 7 });
    map.close();
  });

  test("a trie", () => {
    const routes = host.createMap({ type: "lpm_trie", key: lpmKey(ipv4), value: u8, maxEntries: 64 });
    routes.setMany([8, 16, 24, 32].map((prefixLen) => [{ prefixLen, data: "10.0.0.0" }, 1] as const));
    routes.delete({ prefixLen: 16, data: "10.0.0.0" });
    expect(routes.stats()).toMatchObject({ entries: 3, exact: counts });
    expect(routes.count()).toBe(3);
    routes.close();
  });

  test("queues and stacks", () => {
    for (const map of [
      host.createMap({ type: "queue", value: u32, maxEntries: 3 }),
      host.createMap({ type: "stack", value: u32, maxEntries: 3 }),
    ]) {
      for (let i = 0; i < 3; i++) map.push(i);
      map.pop();
      expect(map.stats().entries).toBe(counts ? 2 : undefined);
      // Over the end of the ring of slots.
      for (let i = 0; i < 3; i++) map.push(i, { whenFull: "evict" });
      expect(() => map.push(9)).toThrow();
      expect(map.stats()).toEqual({
        entries: counts ? 3 : undefined,
        exact: counts,
        maxEntries: 3,
        evictions: counts ? 2 : undefined,
        failedUpdates: counts ? 1 : undefined,
      });
      map.close();
    }
  });

  test("where nobody knows", () => {
    const seen = host.createMap({ type: "bloom_filter", value: u32, maxEntries: 10 });
    seen.add(1);
    const ring = host.createMap({ type: "ringbuf", maxEntries: 4096 });
    for (const map of [seen, ring]) {
      expect(map.stats()).toMatchObject({ entries: undefined, exact: false });
      map.close();
    }
  });
});
