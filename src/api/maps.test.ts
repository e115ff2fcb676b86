/** Every map type through its class, the same on every host. */
import { expect, test } from "vitest";
import { onEachHost } from "../../test/hosts.ts";
import {
  CodecError,
  type HashMap,
  ipv4,
  ipv6,
  lpmKey,
  type PerCpu,
  perCpu,
  struct,
  u8,
  u16,
  u32,
  u64,
} from "../index.ts";

const FlowKey = struct({ saddr: ipv4, daddr: ipv4, sport: u16.be, dport: u16.be });
const Flow = struct({ packets: u64, bytes: u64 });
const key = { saddr: "10.0.0.1", daddr: "10.0.0.2", sport: 1234, dport: 80 };
const flow = { packets: 1n, bytes: 60n };

onEachHost((host) => {
  for (const type of ["hash", "lru_hash"] as const) {
    test(`${type}: habits of Map`, () => {
      const flows = host.createMap({ type, name: "flows", key: FlowKey, value: Flow, maxEntries: 64 });
      expect(flows.type).toBe(type);
      expect([flows.get(key), flows.has(key), flows.delete(key), flows.take(key)]).toEqual([
        undefined,
        false,
        false,
        undefined,
      ]);
      expect(flows.set(key, flow)).toBe(flows);
      expect(flows.get(key)).toEqual(flow);
      expect(flows.has(key)).toBe(true);
      expect(flows.count()).toBe(1);
      expect([...flows]).toEqual([[key, flow]]);
      expect([...flows.keys()]).toEqual([key]);
      expect([...flows.values()]).toEqual([flow]);
      const seen: unknown[] = [];
      flows.forEach((v, k, map) => {
        seen.push([k, v, map === flows]);
      });
      expect(seen).toEqual([[key, flow, true]]);
      expect(flows.take(key)).toEqual(flow);
      expect(flows.has(key)).toBe(false);
      flows.set(key, flow).set({ ...key, sport: 5 }, flow);
      expect(flows.delete(key)).toBe(true);
      expect(flows.clear()).toBe(1);
      expect(flows.count()).toBe(0);
      flows.close();
    });
  }

  test("hash: what set does about elements that are there, or are not", () => {
    const map = host.createMap({ type: "hash", key: u32, value: u8, maxEntries: 4 });
    expect(() => map.set(1, 1, { ifMissing: "fail" })).toThrow(expect.objectContaining({ code: "ENOENT" }));
    map.set(1, 1, { ifExists: "fail" });
    expect(() => map.set(1, 2, { ifExists: "fail" })).toThrow(expect.objectContaining({ code: "EEXIST" }));
    map.set(1, 3, { ifMissing: "fail", ifExists: "replace" });
    expect(map.get(1)).toBe(3);
    expect(() => map.set(1, 2, { ifMissing: "fail", ifExists: "fail" })).toThrow(/never succeed/);
    // The flags of one call must not stay for the next.
    map.set(2, 1, { ifExists: "fail" }).set(2, 2).set(3, 1);
    expect(map.count()).toBe(3);
    map.close();
  });

  test("values that do not fit say where", () => {
    const map = host.createMap({ type: "hash", key: FlowKey, value: Flow, maxEntries: 4 });
    expect(() => map.get({ ...key, sport: 70_000 })).toThrow(CodecError);
    expect(() => map.get({ ...key, sport: 70_000 })).toThrow(/^key\.sport: 70000/);
    expect(() => map.set(key, { packets: -1n, bytes: 0n })).toThrow(/^value\.packets: -1n/);
    expect(map.count()).toBe(0);
    const queue = host.createMap({ type: "queue", value: u8, maxEntries: 4 });
    expect(() => queue.push(256)).toThrow(/^value: 256/);
    const array = host.createMap({ type: "array", value: u8, maxEntries: 4 });
    expect(() => array.get(-1)).toThrow(/^index: -1/);
    expect(() => array.set(1.5, 1)).toThrow(/^index: 1.5/);
    expect(() => array.set(1, 1000)).toThrow(/^value: 1000/);
    for (const each of [map, queue, array]) each.close();
  });

  test("what comes out is a private copy", () => {
    const map = host.createMap({ type: "percpu_hash", key: u32, value: u64, maxEntries: 4 });
    const values = Array.from({ length: host.possibleCpus }, (_, cpu) => BigInt(cpu));
    map.set(1, perCpu(...values));
    const got = map.get(1)!;
    map.set(1, perCpu({ cpus: host.possibleCpus, all: 9n }));
    expect(got.toArray()).toEqual(values);
    map.close();
    expect(got.toArray()).toEqual(values);
  });

  test("lru_percpu_hash: as percpu_hash, but never full", () => {
    const map = host.createMap({ type: "lru_percpu_hash", key: u32, value: u64, maxEntries: 4 });
    const all = perCpu({ cpus: host.possibleCpus, all: 3n });
    for (let key = 0; key < 1000; key++) map.set(key, all);
    expect(map.get(999)!.sum()).toBe(BigInt(3 * host.possibleCpus));
    const again = host.openMap({ id: map.id }, { type: "lru_percpu_hash", key: u32, value: u64 });
    expect([again.type, again.take(999)!.toArray()]).toEqual(["lru_percpu_hash", all.toArray()]);
    const entries = [...map.drain()];
    expect(entries.every(([key, value]) => key < 1000 && value.length === host.possibleCpus)).toBe(true);
    expect(map.count()).toBe(0);
    for (const each of [map, again]) each.close();
  });

  test("percpu_hash and percpu_array: one shape", () => {
    const hash = host.createMap({ type: "percpu_hash", key: u16, value: Flow, maxEntries: 8 });
    const array = host.createMap({ type: "percpu_array", value: u32, maxEntries: 3 });
    const cpus = host.possibleCpus;
    const numbers = Array.from({ length: cpus }, (_, cpu) => cpu + 1);
    hash.set(7, perCpu(...numbers.map((n) => ({ packets: BigInt(n), bytes: 0n }))));
    array.set(2, perCpu(...numbers));
    const total = numbers.reduce((a, b) => a + b, 0);
    expect(hash.get(7)!.sum()).toEqual({ packets: BigInt(total), bytes: 0n });
    expect(array.get(2)!.toArray()).toEqual(numbers);
    expect(array.get(3)).toBe(undefined);
    expect([...array].map(([i, v]) => [i, v.sum()])).toEqual([
      [0, 0],
      [1, 0],
      [2, total],
    ]);
    const entries: [number, PerCpu<{ packets: bigint; bytes: bigint }>][] = [...hash];
    expect(entries.map(([k, v]) => [k, v.get(0)])).toEqual([[7, { packets: 1n, bytes: 0n }]]);
    expect(hash.take(7)!.get(cpus - 1).packets).toBe(BigInt(cpus));
    expect(() => array.set(0, perCpu(...numbers, 1))).toThrow(CodecError);
    for (const each of [hash, array]) each.close();
  });

  test("array: all elements, by index", () => {
    const array = host.createMap({ type: "array", name: "stats", value: Flow, maxEntries: 3 });
    expect(array.length).toBe(3);
    expect(array.get(1)).toEqual({ packets: 0n, bytes: 0n });
    expect(array.set(1, flow).get(1)).toEqual(flow);
    expect(array.get(3)).toBe(undefined);
    expect([...array.keys()]).toEqual([0, 1, 2]);
    expect([...array.entries()][1]).toEqual([1, flow]);
    expect([...array.values()].map((v) => v.packets)).toEqual([0n, 1n, 0n]);
    array.close();
  });

  test("array: mapped", () => {
    const array = host.createMap({ type: "array", value: u32, maxEntries: 600, mmapable: true });
    const live = array.mmap();
    expect([live.length, live.stride, live.bytes.length]).toEqual([600, 8, 4800]);
    live.set(599, 77);
    expect(array.get(599)).toBe(77);
    array.set(0, 5);
    expect(live.get(0)).toBe(5);
    expect(live.get(600)).toBe(undefined);
    expect(() => live.set(600, 1)).toThrow(RangeError);
    const reading = array.mmap({ access: "ro" });
    expect(reading.get(599)).toBe(77);
    expect(() => reading.set(0, 1)).toThrow(/read-only/);
    live.close();
    live.close();
    expect(() => live.set(0, 1)).toThrow(/closed/);
    expect(() => live.get(0)).toThrow(/closed/);
    array.set(1, 9);
    expect(reading.get(1)).toBe(9);
    reading.close();
    array.close();
  });

  test("lpm_trie: prefixes, and addresses", () => {
    const routes = host.createMap({ type: "lpm_trie", name: "routes", key: lpmKey(ipv4), value: u32, maxEntries: 8 });
    routes.set({ prefixLen: 8, data: "10.0.0.0" }, 1).set({ prefixLen: 24, data: "10.1.2.0" }, 2);
    expect(routes.lookup("10.1.2.3")).toBe(2);
    expect(routes.lookup("10.9.9.9")).toBe(1);
    expect(routes.lookup("11.0.0.1")).toBe(undefined);
    expect(routes.get({ prefixLen: 20, data: "10.1.2.3" })).toBe(1);
    expect([...routes]).toEqual([
      [{ prefixLen: 24, data: "10.1.2.0" }, 2],
      [{ prefixLen: 8, data: "10.0.0.0" }, 1],
    ]);
    expect(routes.count()).toBe(2);
    expect(routes.delete({ prefixLen: 20, data: "10.1.2.0" })).toBe(false);
    expect(routes.delete({ prefixLen: 24, data: "10.1.2.0" })).toBe(true);
    expect(routes.lookup("10.1.2.3")).toBe(1);
    expect(routes.clear()).toBe(1);
    routes.close();
    const six = host.createMap({ type: "lpm_trie", key: lpmKey(ipv6), value: u8, maxEntries: 8 });
    expect(six.set({ prefixLen: 32, data: "2001:db8::" }, 1).lookup("2001:db8::1")).toBe(1);
    six.close();
  });

  test("queue and stack", () => {
    const queue = host.createMap({ type: "queue", name: "q", value: u32, maxEntries: 2 });
    const stack = host.createMap({ type: "stack", name: "s", value: u32, maxEntries: 2 });
    for (const map of [queue, stack]) {
      expect([map.pop(), map.peek()]).toEqual([undefined, undefined]);
      expect(() => map.push(1).push(2).push(3)).toThrow(expect.objectContaining({ code: "E2BIG" }));
    }
    expect([queue.peek(), stack.peek()]).toEqual([1, 2]);
    queue.push(4, { whenFull: "evict" });
    stack.push(4, { whenFull: "evict" });
    expect([...queue.drain()]).toEqual([2, 4]);
    expect([stack.pop(), stack.pop(), stack.pop()]).toEqual([4, 2, undefined]);
    queue.close();
    stack.close();
  });

  test("bloom_filter", () => {
    const seen = host.createMap({ type: "bloom_filter", value: u64, maxEntries: 1000, hashes: 3, zeroSeed: true });
    for (let i = 0n; i < 1000n; i++) seen.add(i);
    let wrong = 0;
    for (let i = 0n; i < 1000n; i++) expect(seen.has(i)).toBe(true);
    for (let i = 1000n; i < 2000n; i++) if (seen.has(i)) wrong++;
    expect(wrong).toBeGreaterThan(0);
    expect(wrong).toBeLessThan(200);
    expect(seen.info.mapExtra).toBe(3n);
    seen.close();
  });

  test("options become flags and the name, and the map tells them", () => {
    const lru = host.createMap({ type: "lru_hash", key: u32, value: u32, maxEntries: 128, commonLru: false });
    const hash = host.createMap({ type: "hash", key: u32, value: u32, maxEntries: 3, prealloc: false, zeroSeed: true });
    const array = host.createMap({ type: "array", value: u32, maxEntries: 1, progAccess: "ro", mmapable: true });
    expect([lru.info.flags, hash.info.flags, array.info.flags]).toEqual([0x2, 0x41, 0x480]);
    expect(host.maps().find((map) => map.id === hash.id)).toEqual(hash.info);
    const named = host.createMap({
      type: "array",
      name: "fifteen_letters",
      value: u32,
      maxEntries: 1,
      rawFlags: 0x400,
    });
    expect([named.name, named.info.flags]).toEqual(["fifteen_letters", 0x400]);
    for (const each of [lru, hash, array, named]) each.close();
  });

  test("a map is closed once, and everything after says so", () => {
    const map = host.createMap({ type: "hash", name: "gone", key: u32, value: u32, maxEntries: 4 });
    const { fd } = map;
    const walk = map.set(1, 1).set(2, 2).entries();
    walk.next();
    expect(fd).toBeGreaterThanOrEqual(3);
    map.close();
    map.close();
    expect([map.fd, map.closed]).toEqual([-1, true]);
    const closed = expect.objectContaining({
      code: "EBADF",
      message: expect.stringContaining("hash map `gone` is closed"),
    });
    expect(() => map.get(1)).toThrow(closed);
    expect(() => map.set(1, 1)).toThrow(closed);
    expect(() => map.delete(1)).toThrow(closed);
    expect(() => map.entries().next()).toThrow(closed);
    expect(() => map.freeze()).toThrow(closed);
    expect(() => [...walk]).not.toThrow(TypeError);
  });

  test("frozen: no more changes from user space", () => {
    const map = host.createMap({ type: "array", name: "fixed", value: u32, maxEntries: 4, mmapable: true });
    const live = map.mmap();
    expect(() => map.freeze()).toThrow(expect.objectContaining({ code: "EBUSY", hint: "close its mappings first" }));
    live.close();
    map.set(0, 3).freeze();
    expect(() => map.set(0, 4)).toThrow(/array map `fixed` is frozen: user space cannot change it any more/);
    expect(map.get(0)).toBe(3);
    expect(() => map.mmap()).toThrow(/frozen: it can be mapped for reading only/);
    map.close();
  });

  test("opened for reading, or for writing", () => {
    const map: HashMap<number, number> = host.createMap({ type: "hash", key: u32, value: u32, maxEntries: 4 });
    map.set(1, 10);
    const reader = host.openMap({ id: map.id, access: "ro" }, { type: "hash", key: u32, value: u32 });
    expect(reader.get(1)).toBe(10);
    expect(() => reader.set(1, 1)).toThrow(/was opened read-only/);
    const writer = host.openMap({ id: map.id, access: "wo" }, { type: "hash", key: u32, value: u32 });
    writer.set(2, 20);
    expect(() => writer.get(2)).toThrow(/was opened write-only/);
    expect(() => writer.count()).toThrow(/write-only/);
    expect([...reader].length).toBe(2);
    for (const each of [map, reader, writer]) each.close();
  });
});
