/** The host object: plain calls beside the typed ones, ids, what is open, closing. */
import { afterEach, expect, test, vi } from "vitest";
import { onEachHost } from "../../test/hosts.ts";
import {
  attachEmbedded,
  BPF_MAP_CREATE,
  BPF_MAP_LOOKUP_ELEM,
  BPF_MAP_TYPE_ARRAY,
  BPF_MAP_UPDATE_ELEM,
  BpfError,
  type BpfHost,
  bytes,
  createEmbedded,
  EmbeddedBpfHost,
  HostUnavailable,
  InputError,
  ipv4,
  lpmKey,
  type MapSpec,
  openKernel,
  struct,
  u8,
  u32,
  u64,
} from "../index.ts";

const MEMORY = 16 * 1024 * 1024;
const specs: readonly MapSpec[] = [
  { type: "hash", key: u32, value: u64, maxEntries: 4 },
  { type: "lru_hash", key: u32, value: u64, maxEntries: 4 },
  { type: "percpu_hash", key: u32, value: u64, maxEntries: 4 },
  { type: "lru_percpu_hash", key: u32, value: u64, maxEntries: 4 },
  { type: "array", value: u64, maxEntries: 4 },
  { type: "percpu_array", value: u64, maxEntries: 4 },
  { type: "lpm_trie", key: lpmKey(ipv4), value: u64, maxEntries: 4 },
  { type: "bloom_filter", value: u64, maxEntries: 4 },
  { type: "queue", value: u64, maxEntries: 4 },
  { type: "stack", value: u64, maxEntries: 4 },
  { type: "ringbuf", maxEntries: 4096 },
];

onEachHost((host) => {
  test("bpf() works by itself, and its maps can be opened", () => {
    const { bpf } = host;
    const fd = bpf(BPF_MAP_CREATE, {
      map_type: BPF_MAP_TYPE_ARRAY,
      key_size: 4,
      value_size: 4,
      max_entries: 256,
      map_name: "example_array",
    });
    expect(fd).toBeGreaterThanOrEqual(3);
    const key = Uint32Array.of(7);
    expect(bpf(BPF_MAP_UPDATE_ELEM, { map_fd: fd, key, value: Uint32Array.of(42), flags: 0 })).toBe(0);
    const value = new Uint32Array(1);
    expect(bpf(BPF_MAP_LOOKUP_ELEM, { map_fd: fd, key, value })).toBe(0);
    expect(value[0]).toBe(42);
    const map = host.openMap({ fd }, { type: "array", value: u32 });
    expect([map.get(7), map.name, map.fd]).toEqual([42, "example_array", fd]);
    // The fd was lent, not given.
    map.close();
    expect(bpf(BPF_MAP_LOOKUP_ELEM, { map_fd: fd, key, value })).toBe(0);
    const owner = host.openMap({ fd, own: true });
    owner.close();
    expect(bpf(BPF_MAP_LOOKUP_ELEM, { map_fd: fd, key, value })).toBeLessThan(0);
  });

  test("maps() lists every map, and openMap() gives each its class", () => {
    const made = specs.map((spec) => host.createMap(spec));
    const listed = host.maps();
    for (const map of made) {
      expect(listed).toContainEqual(map.info);
      for (const ref of [{ id: map.id }, { fd: map.fd }]) {
        const again = host.openMap(ref);
        expect([again.type, again.constructor, again.id]).toEqual([map.type, map.constructor, map.id]);
        again.close();
      }
    }
    for (const map of made) map.close();
    expect(host.maps().filter(({ id }) => made.some((map) => map.id === id))).toEqual([]);
  });

  test("keys and values of a map that others made are what its BTF says", () => {
    const Key = struct({ id: u32, kind: u8 });
    const made = host.createMap({ type: "hash", name: "known", key: Key, value: struct({ n: u64 }), maxEntries: 4 });
    const trie = host.createMap({ type: "lpm_trie", key: lpmKey(bytes(4)), value: u32, maxEntries: 4 });
    made.set({ id: 1, kind: 2 }, { n: 3n });
    trie.set({ prefixLen: 8, data: Uint8Array.of(10, 0, 0, 0) }, 5);
    const found = host.openMap({ id: made.id });
    const foundTrie = host.openMap({ id: trie.id });
    if (found.type !== "hash" || foundTrie.type !== "lpm_trie") throw new Error(found.type);
    expect([...found]).toEqual([[{ id: 1, kind: 2 }, { n: 3n }]]);
    expect(found.set({ id: 5, kind: 6 }, { n: 7n }).get({ id: 5, kind: 6 })).toEqual({ n: 7n });
    expect([...foundTrie]).toEqual([[{ prefixLen: 8, data: Uint8Array.of(10, 0, 0, 0) }, 5]]);
    expect(foundTrie.lookup(Uint8Array.of(10, 1, 1, 1))).toBe(5);
    const bare = host.createMap({ type: "hash", key: Key, value: u32, maxEntries: 4, btf: false });
    bare.set({ id: 1, kind: 2 }, 3);
    const raw = host.openMap({ id: bare.id });
    if (raw.type !== "hash") throw new Error(raw.type);
    expect([...raw]).toEqual([[Uint8Array.of(1, 0, 0, 0, 2, 0, 0, 0), Uint8Array.of(3, 0, 0, 0)]]);
    for (const map of [made, trie, found, foundTrie, bare, raw]) map.close();
  });

  test("leaks() tells what is open, memory() what it takes", () => {
    expect(host.leaks()).toEqual([]);
    const map = host.createMap({ type: "array", name: "held", value: bytes(4096), maxEntries: 64 });
    expect(host.leaks()).toEqual([{ kind: "map", name: "held", id: map.id, fd: map.fd }]);
    const held = host.memory().maps.find(({ id }) => id === map.id);
    expect(held).toMatchObject({ name: "held", type: "array" });
    expect(held!.bytes).toBeGreaterThanOrEqual(64 * 4096);
    map.close();
    expect(host.leaks()).toEqual([]);
    expect(host.memory().maps).toEqual([]);
  });

  test("close(fd) is the plain call", () => {
    const { bpf } = host;
    const fd = bpf(BPF_MAP_CREATE, { map_type: BPF_MAP_TYPE_ARRAY, key_size: 4, value_size: 4, max_entries: 1 });
    expect([host.close(fd), host.close(fd)]).toEqual([0, -9]);
  });
});

test("closing a host closes what is open on it, once", () => {
  const host = createEmbedded({ memory: MEMORY });
  const map = host.createMap({ type: "hash", key: u32, value: u32, maxEntries: 4 });
  const ring = host.createMap({ type: "ringbuf", maxEntries: 4096 });
  ring.pending();
  host.close();
  host.close();
  expect([map.closed, ring.closed]).toEqual([true, true]);
  expect(() => map.get(1)).toThrow(expect.objectContaining({ code: "EBADF" }));
  expect(() => host.createMap({ type: "queue", value: u32, maxEntries: 4 })).toThrow(/this host is closed/);
});

const openers: readonly (readonly [kind: string, open: () => BpfHost | undefined])[] = [
  ["embedded", () => createEmbedded({ memory: MEMORY, shared: true, clock: "virtual" })],
  ["kernel", anotherKernel],
];

function anotherKernel(): BpfHost | undefined {
  try {
    return openKernel();
  } catch (error) {
    if (error instanceof BpfError && error.cause instanceof HostUnavailable) return undefined;
    throw error;
  }
}

test.each(openers)("%s: a closed host refuses every call, in the same words", async (_, open) => {
  const host = open();
  if (host === undefined) return;
  const map = host.createMap({ type: "array", value: u32, maxEntries: 4, mmapable: true });
  const live = map.mmap();
  const { fd } = map;
  host.close();
  const calls: readonly (() => unknown)[] = [
    () => host.bpf(BPF_MAP_CREATE, { map_type: BPF_MAP_TYPE_ARRAY, key_size: 4, value_size: 4, max_entries: 1 }),
    () => host.close(fd),
    () => host.mmap(fd, { offset: 0, length: 4, prot: 1 }),
    () => host.poll([fd], 0),
    () => host.createMap({ type: "queue", value: u32, maxEntries: 4 }),
    () => host.openMap({ fd }),
    () => host.maps(),
    () => host.loadProgram({ type: "xdp", insns: new Uint8Array(16) }),
    () => host.loadObject(new Uint8Array()),
    () => host.memory(),
    () => host.leaks(),
    ...(host instanceof EmbeddedBpfHost ? [() => host.advance(1n), () => host.share()] : []),
  ];
  for (const call of calls) {
    expect(call).toThrow(InputError);
    expect(call).toThrow(/^this host is closed$/);
  }
  await expect(host.wait([fd])).rejects.toThrow(/^this host is closed$/);
  // What is to be closed can be closed later.
  live.close();
  map.close();
  host.close();
});

test("embedded: all memory comes back (that of mappings when their views are collected)", () => {
  const host = createEmbedded({ memory: MEMORY });
  const use = (): void => {
    for (const spec of specs) {
      const map = host.createMap(spec);
      map.close();
    }
    const value = bytes(8192);
    const hash = host.createMap({ type: "hash", key: u32, value, maxEntries: 4 });
    for (let i = 0; i < 4; i++) hash.set(i, new Uint8Array(8192));
    for (const [key] of hash) if (hash.count() < key) break;
    hash.entries().next();
    hash.close();
  };
  use();
  const { used } = host.memory();
  for (let i = 0; i < 50; i++) use();
  expect(host.memory().used).toBe(used);
  expect(host.memory().free).toBe(MEMORY - used);
  const map = host.createMap({ type: "hash", key: u32, value: bytes(8192), maxEntries: 4 });
  map.set(1, new Uint8Array(8192));
  const walk = (): void => {
    for (const _ of map) break;
    map.count();
  };
  walk();
  const before = host.memory().used;
  for (let i = 0; i < 50; i++) walk();
  expect(host.memory().used).toBe(before);
  host.close();
});

test("embedded: the same run twice from one seed, and a clock that stands still", () => {
  const order = (): unknown[] => {
    const host = createEmbedded({ memory: MEMORY, seed: 42, clock: "virtual" });
    host.advance(1_000n);
    const map = host.createMap({ type: "hash", key: u32, value: u32, maxEntries: 100 });
    for (let i = 0; i < 100; i++) map.set(i, i);
    const keys = [...map.keys()];
    host.close();
    return keys;
  };
  expect(order()).toEqual(order());
});

test("embedded: a host that is shared with another thread of it", () => {
  const host = createEmbedded({ memory: MEMORY, shared: true });
  const map = host.createMap({ type: "hash", name: "both", key: u32, value: u64, maxEntries: 4 });
  const ticket = host.share();
  // In the same thread here; test/workers has real ones.
  const other = attachEmbedded(ticket);
  const theirs = other.openMap({ fd: map.fd }, { type: "hash", key: u32, value: u64 });
  theirs.set(1, 2n);
  expect(map.get(1)).toBe(2n);
  theirs.close();
  other.close();
  host.reap(ticket);
  expect(map.get(1)).toBe(2n);
  expect(() => createEmbedded({ memory: MEMORY }).share()).toThrow(/shared: true/);
  host.close();
});

afterEach(() => void vi.unstubAllGlobals());

test("openKernel() where there is none says why, and what to do", () => {
  vi.stubGlobal("process", { platform: "darwin", arch: "arm64" });
  let error: unknown;
  try {
    openKernel();
  } catch (thrown) {
    error = thrown;
  }
  vi.unstubAllGlobals();
  expect(error).toBeInstanceOf(BpfError);
  const { code, message, cause } = error as BpfError;
  expect([code, (cause as HostUnavailable).reason]).toEqual(["ENOSYS", "not-linux"]);
  expect(cause).toBeInstanceOf(HostUnavailable);
  expect(message).toMatch(/darwin arm64.*Linux.*createEmbedded\(\) runs anywhere/);
});
