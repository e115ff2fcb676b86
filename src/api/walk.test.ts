/** Walks while the map changes under them, with batches (kernel) and without. */
import { beforeAll, describe, expect, test } from "vitest";
import { onEachHost } from "../../test/hosts.ts";
import { withoutBatches } from "../../test/without_batches.ts";
import {
  BPF_MAP_TYPE_HASH,
  BPF_MAP_TYPE_LPM_TRIE,
  type BpfHost,
  bytes,
  type HashMap,
  ipv4,
  lpmKey,
  u32,
  u64,
} from "../index.ts";
import type { Memory } from "../mem/memory.ts";
import { jhash } from "../struct/jhash.ts";
import type { HostContext } from "./context.ts";

const filled = (host: BpfHost, count: number, maxEntries: number = count): HashMap<number, bigint> => {
  const map = host.createMap({ type: "hash", name: "walked", key: u32, value: u64, maxEntries, zeroSeed: true });
  for (let i = 0; i < count; i++) map.set(i, BigInt(i));
  return map;
};

/** Keys that fall into this bucket of a map with so many. */
function colliding(count: number, bucket: number, buckets: number): number[] {
  const i32 = new Int32Array(1);
  const mem = { i32 } as unknown as Memory;
  const keys: number[] = [];
  for (let key = 0; keys.length < count; key++) {
    i32[0] = key;
    if ((jhash(mem, 0, 4, 0) & (buckets - 1)) === bucket) keys.push(key);
  }
  return keys;
}

/** The hosts have batches of hash types; older kernels have not. */
function onEachWay(tests: (host: BpfHost, batched: boolean) => void): void {
  onEachHost((host) => {
    describe.each(["batches", "key by key"])("%s", (way) => {
      const { batches } = (host as unknown as { context: HostContext }).context;
      beforeAll(() => {
        batches.clear();
        if (way !== "batches") withoutBatches(batches, [BPF_MAP_TYPE_HASH, BPF_MAP_TYPE_LPM_TRIE]);
      });
      tests(host, way === "batches");
    });
  });
}

onEachWay((host, batched) => {
  test("every element once, however many", () => {
    for (const count of [0, 1, 15, 16, 17, 5000]) {
      const map = filled(host, count, Math.max(1, count));
      const walk = map.entries();
      const keys = new Set<number>();
      for (const [key, value] of walk) {
        expect(value).toBe(BigInt(key));
        keys.add(key);
      }
      expect([keys.size, walk.complete, walk.restarts, walk.skipped]).toEqual([count, true, 0, 0]);
      expect(map.count()).toBe(count);
      expect([...walk]).toEqual([]);
      map.close();
    }
  });

  test("the element in hand can be deleted or replaced", () => {
    const map = filled(host, 300);
    const keys: number[] = [];
    for (const [key] of map) {
      keys.push(key);
      if (key % 2 === 0) map.delete(key);
      else map.set(key, 0n);
    }
    expect(keys.sort((a, b) => a - b)).toEqual(Array.from({ length: 300 }, (_, i) => i));
    expect(map.count()).toBe(150);
    map.close();
  });

  test("other calls on the map inside the loop do not disturb it", () => {
    const map = filled(host, 50);
    const keys: number[] = [];
    for (const [key, value] of map) {
      expect([map.get((key + 7) % 50), map.count(), value]).toEqual([BigInt((key + 7) % 50), 50, BigInt(key)]);
      keys.push(key);
    }
    expect(new Set(keys).size).toBe(50);
    map.close();
  });

  test("elements that are deleted ahead of the walk", () => {
    const map = filled(host, 200);
    const walk = map.entries();
    const [first] = walk.next().value as [number, bigint];
    // All but the one in hand and one more.
    const kept = (first + 100) % 200;
    for (let key = 0; key < 200; key++) if (key !== first && key !== kept) map.delete(key);
    const rest = [...walk].map(([key]) => key);
    expect(rest).toContain(kept);
    // The one in hand is there still, so the walk went on from it.
    expect(rest).not.toContain(first);
    expect([walk.complete, walk.restarts]).toEqual([true, 0]);
    expect(walk.skipped).toBeLessThanOrEqual(1);
    map.close();
  });

  test("ends on a map that never stops changing", () => {
    const map = filled(host, 8, 64);
    let fresh = 1000;
    let visits = 0;
    for (const [key] of map) {
      visits++;
      map.delete(key);
      map.set(fresh++, 0n);
      // The next one too: a walk by keys loses its place each time.
      for (const next of map.keys()) {
        map.delete(next);
        map.set(fresh++, 0n);
        break;
      }
    }
    expect(visits).toBeLessThanOrEqual(64 * 4);
    map.close();
  });

  test("broken off, a walk gives its memory back and is not complete", () => {
    const map = filled(host, 100);
    const walk = map.entries();
    for (const [key] of walk) if (key >= 0) break;
    expect(walk.complete).toBe(false);
    expect([...walk]).toEqual([]);
    // Left hanging, it does when the map is closed.
    map.entries().next();
    map.close();
  });

  test("a bucket larger than a batch", () => {
    const value = bytes(16_384);
    const keys = [...colliding(3, 2, 64), ...colliding(40, 9, 64)].sort((a, b) => a - b);
    const map = host.createMap({ type: "hash", key: u32, value, maxEntries: 64, zeroSeed: true, prealloc: false });
    for (const key of keys) map.set(key, value.encode(new Uint8Array(16_384).fill(key & 0xff)));
    const walk = map.entries();
    const all = [...walk];
    expect(all.length).toBe(43);
    const found = new Map(all);
    expect([...found.keys()].sort((a, b) => a - b)).toEqual(keys);
    for (const key of keys) expect(found.get(key)![16_383]).toBe(key & 0xff);
    expect(walk.complete).toBe(true);
    expect(map.clear()).toBe(43);
    expect(map.count()).toBe(0);
    map.close();
  });

  test("drain reads and empties", () => {
    const map = filled(host, 1000);
    const walk = map.drain();
    const sum = [...walk].reduce((total, [, value]) => total + value, 0n);
    expect(sum).toBe(499_500n);
    expect([walk.complete, map.count()]).toEqual([true, 0]);
    map.close();
  });

  test("a trie: the element in hand deleted, and all others", () => {
    const routes = host.createMap({ type: "lpm_trie", key: lpmKey(ipv4), value: u32, maxEntries: 64 });
    for (let i = 1; i <= 32; i++) routes.set({ prefixLen: i, data: "255.255.255.255" }, i);
    const lengths: number[] = [];
    for (const [key, value] of routes) {
      expect(value).toBe(key.prefixLen);
      lengths.push(key.prefixLen);
      routes.delete(key);
    }
    expect(lengths).toEqual(Array.from({ length: 32 }, (_, i) => 32 - i));
    expect(routes.count()).toBe(0);
    for (let i = 1; i <= 32; i++) routes.set({ prefixLen: i, data: "255.255.255.255" }, i);
    const walk = routes.entries();
    walk.next();
    for (let i = 2; i <= 32; i++) routes.delete({ prefixLen: i, data: "255.255.255.255" });
    // Never the value of a prefix that covers one which is gone. A batch has what was there when it was fetched.
    const rest = batched ? Array.from({ length: 31 }, (_, i) => 31 - i) : [1];
    expect([...walk]).toEqual(rest.map((prefixLen) => [{ prefixLen, data: "255.255.255.255" }, prefixLen]));
    expect([walk.complete, walk.restarts, walk.skipped]).toEqual(batched ? [true, 0, 0] : [true, 1, 1]);
    for (let i = 1; i <= 32; i++) routes.set({ prefixLen: i, data: "255.255.255.255" }, i);
    const staying = routes.values();
    expect(staying.next().value).toBe(32);
    for (let i = 2; i <= 31; i++) routes.delete({ prefixLen: i, data: "255.255.255.255" });
    expect([...staying]).toEqual(rest);
    expect([staying.complete, staying.restarts, staying.skipped]).toEqual([true, 0, batched ? 0 : 1]);
    routes.close();
  });

  test("a trie of several batches: the element in hand deleted, and others", () => {
    // 20,000 bytes a value: 16 elements a batch.
    const value = bytes(20_000);
    const routes = host.createMap({ type: "lpm_trie", key: lpmKey(u32.be), value, maxEntries: 100 });
    const fill = (): void => {
      for (let i = 0; i < 100; i++) routes.set({ prefixLen: 32, data: i }, new Uint8Array(20_000).fill(i));
    };
    fill();
    const seen: number[] = [];
    const walk = routes.entries();
    for (const [key, [first]] of walk) {
      expect(first).toBe(key.data);
      seen.push(key.data);
      routes.delete(key);
    }
    expect(seen).toEqual(Array.from({ length: 100 }, (_, i) => i));
    expect([walk.complete, walk.restarts, routes.count()]).toEqual([true, 0, 0]);
    fill();
    // Everything up to the middle goes but the first two: the place where the walk stands with it.
    const after: number[] = [];
    const broken = routes.keys();
    for (const { data } of broken) {
      after.push(data);
      if (after.length === 8) for (let i = 2; i < 50; i++) routes.delete({ prefixLen: 32, data: i });
      if (after.length > 200) break;
    }
    expect(new Set(after)).toEqual(
      new Set([...after.filter((data) => data < 50), ...Array.from({ length: 50 }, (_, i) => i + 50)]),
    );
    expect(new Set(after).size + (broken.restarts > 0 ? 2 : 0)).toBeLessThanOrEqual(after.length);
    expect([broken.complete, broken.restarts]).toEqual([true, 1]);
    expect(routes.clear()).toBe(52);
    routes.close();
  });

  test("a trie that grows as fast as it is walked", () => {
    const routes = host.createMap({ type: "lpm_trie", key: lpmKey(u32.be), value: u32, maxEntries: 8 });
    const add = (data: number): unknown => routes.set({ prefixLen: 32, data }, data);
    for (let i = 0; i < 4; i++) add(i);
    let visits = 0;
    const walk = routes.keys();
    for (const key of walk) {
      routes.delete(key);
      add(key.data + 4);
      if (++visits > 1000) break;
    }
    // With batches it ends with those that were there.
    expect([visits, walk.complete]).toEqual(batched ? [4, true] : [4 * 8, false]);
    routes.close();
  });

  test("pages leave time for others, and stop when they are told to", async () => {
    const map = filled(host, 100);
    const sizes: number[] = [];
    let turns = 0;
    const timer = setInterval(() => turns++, 0);
    for await (const page of map.pages({ size: 30 })) sizes.push(page.length);
    clearInterval(timer);
    expect(sizes).toEqual([30, 30, 30, 10]);
    expect(turns).toBeGreaterThan(0);
    const stop = new AbortController();
    const read = async (): Promise<void> => {
      for await (const page of map.pages({ size: 30, signal: stop.signal })) if (page.length > 0) stop.abort();
    };
    await expect(read()).rejects.toThrow(expect.objectContaining({ name: "AbortError" }));
    map.close();
  });
});
