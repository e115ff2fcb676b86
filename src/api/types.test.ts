/** What compiles, and as what. `npm run types` is what judges; running it only shows that nothing here throws. */
import { expectTypeOf, test } from "vitest";
import {
  type AnyMap,
  type Arena,
  ArrayMap,
  type ArrayOfMaps,
  type BloomFilterMap,
  type BpfHost,
  createEmbedded,
  type Drain,
  estimateMemory,
  type HashMap,
  type Infer,
  ipv4,
  type LpmTrieMap,
  lpmKey,
  type MapOf,
  type PerCpu,
  type PerCpuArrayMap,
  type PerCpuHashMap,
  type ProgArray,
  type QueueMap,
  type RedirectMap,
  type RingBuf,
  type StackMap,
  struct,
  type UserRingBuf,
  u16,
  u32,
  u64,
  union,
} from "../index.ts";

const FlowKey = struct({ saddr: ipv4, sport: u16.be });
const Flow = struct({ packets: u64, bytes: u64 });
const Either = union({ a: u32, b: u64 });
type FlowKey = Infer<typeof FlowKey>;
type Flow = Infer<typeof Flow>;

/** Compiled, never called. */
function shapes(host: BpfHost): void {
  const hash = host.createMap({ type: "hash", key: FlowKey, value: Flow, maxEntries: 1 });
  expectTypeOf(hash).toExtend<HashMap<FlowKey, Flow, Readonly<FlowKey>, Readonly<Flow>>>();
  expectTypeOf(hash.get).returns.toEqualTypeOf<Flow | undefined>();
  expectTypeOf(hash.get).parameter(0).toEqualTypeOf<{ readonly saddr: string; readonly sport: number }>();
  expectTypeOf(hash.take).returns.toEqualTypeOf<Flow | undefined>();
  expectTypeOf(hash.getMany).returns.toEqualTypeOf<(Flow | undefined)[]>();
  expectTypeOf(hash.setMany).parameter(0).toExtend<Iterable<readonly [{ readonly saddr: string }, Readonly<Flow>]>>();
  expectTypeOf(
    hash.setMany(
      new Map([
        [
          { saddr: "10.0.0.1", sport: 1 },
          { packets: 1n, bytes: 1n },
        ],
      ]),
    ),
  ).toBeNumber();
  expectTypeOf(hash.drain()).toEqualTypeOf<Drain<[FlowKey, Flow]>>();
  expectTypeOf(hash.drain().rest()).toEqualTypeOf<[FlowKey, Flow][]>();
  expectTypeOf(hash.stats().entries).toBeNumber();
  expectTypeOf(hash.stats().evictions).toEqualTypeOf<number | undefined>();
  for (const [key, value] of hash) {
    expectTypeOf(key).toEqualTypeOf<FlowKey>();
    expectTypeOf(value).toEqualTypeOf<Flow>();
  }
  expectTypeOf(
    host.createMap({ type: "lru_hash", key: u32, value: u64, maxEntries: 1, commonLru: false }),
  ).toEqualTypeOf<HashMap<number, bigint, number, bigint>>();
  const perCpu = host.createMap({ type: "percpu_hash", key: u32, value: Flow, maxEntries: 1, prealloc: false });
  expectTypeOf(perCpu).toExtend<PerCpuHashMap<number, Flow, number, Readonly<Flow>>>();
  expectTypeOf(perCpu.get(1)!).toEqualTypeOf<PerCpu<Flow>>();
  expectTypeOf(perCpu.get(1)!.sum()).toEqualTypeOf<{ packets: bigint; bytes: bigint }>();
  const lruPerCpu = host.createMap({ type: "lru_percpu_hash", key: u32, value: u64, maxEntries: 1, commonLru: false });
  expectTypeOf(lruPerCpu).toEqualTypeOf<PerCpuHashMap<number, bigint, number, bigint>>();
  const array = host.createMap({ type: "array", value: u32, maxEntries: 1, mmapable: true });
  expectTypeOf(array).toEqualTypeOf<ArrayMap<number, number>>();
  expectTypeOf(array.getMany([1])).toEqualTypeOf<(number | undefined)[]>();
  expectTypeOf(array.setMany([5, 6].entries())).toBeNumber();
  expectTypeOf(array.stats().entries).toBeNumber();
  expectTypeOf(array.mmap().get(0)).toEqualTypeOf<number | undefined>();
  expectTypeOf(host.createMap({ type: "percpu_array", value: u32, maxEntries: 1 })).toEqualTypeOf<
    PerCpuArrayMap<number, number>
  >();
  const inner = { type: "hash", key: u32, value: u64, maxEntries: 1 } as const;
  const outer = host.createMap({ type: "array_of_maps", inner, maxEntries: 2 });
  expectTypeOf(outer).toEqualTypeOf<ArrayOfMaps<HashMap<number, bigint, number, bigint>>>();
  expectTypeOf(outer.get(0)).toEqualTypeOf<HashMap<number, bigint, number, bigint> | undefined>();
  expectTypeOf(outer.getId(0)).toEqualTypeOf<number | undefined>();
  outer.set(0, host.createMap(inner));
  // @ts-expect-error values of another type
  outer.set(0, host.createMap({ type: "hash", key: u32, value: u32, maxEntries: 1 }));
  // @ts-expect-error keys of another type
  outer.set(0, host.createMap({ type: "hash", key: u64, value: u64, maxEntries: 1 }));
  // @ts-expect-error another kind of map
  outer.set(0, host.createMap({ type: "array", value: u64, maxEntries: 1 }));
  // @ts-expect-error an outer map holds maps by index
  outer.set("0", host.createMap(inner));
  // @ts-expect-error maps in maps go one level deep
  host.createMap({ type: "array_of_maps", inner: { type: "array_of_maps", inner, maxEntries: 1 }, maxEntries: 1 });
  // @ts-expect-error the template is missing
  host.createMap({ type: "hash_of_maps", key: u32, maxEntries: 1 });
  const byKey = host.createMap({
    type: "hash_of_maps",
    key: FlowKey,
    inner: { type: "queue", value: u32, maxEntries: 1 },
    maxEntries: 2,
  });
  expectTypeOf(byKey.get({ saddr: "10.0.0.1", sport: 1 })).toEqualTypeOf<QueueMap<number, number> | undefined>();
  for (const [key, id] of byKey) {
    expectTypeOf(key).toEqualTypeOf<FlowKey>();
    expectTypeOf(id).toEqualTypeOf<number>();
  }
  const progs = host.createMap({ type: "prog_array", maxEntries: 2 });
  expectTypeOf(progs).toEqualTypeOf<ProgArray>();
  // @ts-expect-error a map is no program
  progs.set(0, outer);
  const ports = host.createMap({ type: "devmap", maxEntries: 2 });
  expectTypeOf(ports).toEqualTypeOf<RedirectMap<"devmap">>();
  const opened = host.openMap({ id: 1 }, { type: "hash_of_maps", key: u32, inner: { type: "array", value: u32 } });
  expectTypeOf(opened.get(1)).toEqualTypeOf<ArrayMap<number, number> | undefined>();
  const trie = host.createMap({ type: "lpm_trie", key: lpmKey(ipv4), value: u32, maxEntries: 1 });
  expectTypeOf(trie).toEqualTypeOf<LpmTrieMap<string, number, string, number>>();
  expectTypeOf(trie.lookup).parameter(0).toBeString();
  expectTypeOf(trie.set).parameter(0).toEqualTypeOf<{ readonly prefixLen: number; readonly data: string }>();
  const queue = host.createMap({ type: "queue", value: Either, maxEntries: 1 });
  expectTypeOf(queue.stats().entries).toEqualTypeOf<number | undefined>();
  // What decoding gives and what encoding takes differ.
  expectTypeOf(queue).toEqualTypeOf<QueueMap<Infer<typeof Either>, Parameters<typeof Either.encode>[0]>>();
  expectTypeOf(host.createMap({ type: "stack", value: u64, maxEntries: 1 })).toEqualTypeOf<StackMap<bigint, bigint>>();
  expectTypeOf(host.createMap({ type: "bloom_filter", value: u32, maxEntries: 1, hashes: 3 })).toEqualTypeOf<
    BloomFilterMap<number>
  >();
  expectTypeOf(host.createMap({ type: "ringbuf", maxEntries: 4096 })).toEqualTypeOf<RingBuf<Uint8Array>>();
  expectTypeOf(host.createMap({ type: "ringbuf", maxEntries: 4096, record: Flow })).toEqualTypeOf<RingBuf<Flow>>();
  const own = host.createMap({ type: "ringbuf", maxEntries: 4096, record: (bytes) => bytes.length });
  expectTypeOf(own).toEqualTypeOf<RingBuf<number>>();
  const orders = host.createMap({ type: "user_ringbuf", maxEntries: 4096, record: Flow });
  expectTypeOf(orders.output).parameter(0).toEqualTypeOf<Readonly<Flow>>();
  expectTypeOf(host.createMap({ type: "user_ringbuf", maxEntries: 4096 })).toEqualTypeOf<UserRingBuf<Uint8Array>>();
  const texts = host.createMap({ type: "user_ringbuf", maxEntries: 4096, record: (_: string) => new Uint8Array() });
  expectTypeOf(texts).toEqualTypeOf<UserRingBuf<string>>();
  expectTypeOf(host.createMap({ type: "arena", maxEntries: 1, address: 0n })).toEqualTypeOf<Arena>();
  expectTypeOf(own.batches()).toEqualTypeOf<AsyncGenerator<number[], void, undefined>>();
}

function refused(host: BpfHost): void {
  const common = { key: u32, value: u32, maxEntries: 1 } as const;
  // @ts-expect-error no such type
  host.createMap({ type: "hush", ...common });
  // @ts-expect-error a hash cannot be mapped
  host.createMap({ type: "hash", key: u32, value: u32, maxEntries: 1, mmapable: true });
  // @ts-expect-error an LRU map is always preallocated
  host.createMap({ type: "lru_hash", key: u32, value: u32, maxEntries: 1, prealloc: false });
  // @ts-expect-error per-CPU memory has no node of its own
  host.createMap({ type: "percpu_hash", key: u32, value: u32, maxEntries: 1, numaNode: 0 });
  // @ts-expect-error so has that of an LRU map, which is always preallocated besides
  host.createMap({ type: "lru_percpu_hash", key: u32, value: u32, maxEntries: 1, prealloc: false });
  // @ts-expect-error an array has indexes for keys
  host.createMap({ type: "array", key: u32, value: u32, maxEntries: 1 });
  // @ts-expect-error a queue has no keys
  host.createMap({ type: "queue", key: u32, value: u32, maxEntries: 1 });
  // @ts-expect-error a trie wants lpmKey(...)
  host.createMap({ type: "lpm_trie", key: ipv4, value: u32, maxEntries: 1 });
  // @ts-expect-error a ring has records, not values
  host.createMap({ type: "ringbuf", value: u32, maxEntries: 4096 });
  // @ts-expect-error an encoder gives bytes
  host.createMap({ type: "user_ringbuf", maxEntries: 4096, record: (text: string) => text });
  // @ts-expect-error an arena has pages, not values
  host.createMap({ type: "arena", maxEntries: 1, value: u32 });
  // @ts-expect-error and is always mapped
  host.createMap({ type: "arena", maxEntries: 1, mmapable: true });
  // @ts-expect-error a hash needs a value
  host.createMap({ type: "hash", key: u32, maxEntries: 1 });
  // @ts-expect-error a hash needs a size
  host.createMap({ type: "hash", key: u32, value: u32 });
  // @ts-expect-error rights are words
  host.createMap({ type: "hash", key: u32, value: u32, maxEntries: 1, access: "r" });

  const hash = host.createMap({ type: "hash", key: FlowKey, value: Flow, maxEntries: 1 });
  // @ts-expect-error a field is missing
  hash.get({ saddr: "10.0.0.1" });
  // @ts-expect-error 64 bits are bigints
  hash.set({ saddr: "10.0.0.1", sport: 1 }, { packets: 1, bytes: 1n });
  // @ts-expect-error no such word
  hash.set({ saddr: "10.0.0.1", sport: 1 }, { packets: 1n, bytes: 1n }, { ifExists: "throw" });
  // @ts-expect-error entries are pairs
  hash.setMany([{ saddr: "10.0.0.1", sport: 1 }]);
  // @ts-expect-error a field is missing in one of many
  hash.deleteMany([{ saddr: "10.0.0.1" }]);
  // @ts-expect-error a hash has no push
  hash.push;
  const array = host.createMap({ type: "array", value: u32, maxEntries: 1 });
  // @ts-expect-error elements of an array stay
  array.deleteMany;
  // @ts-expect-error an estimate is for a host
  estimateMemory({ type: "array", value: u32, maxEntries: 1 }, { cpus: 1 });
  // @ts-expect-error and for a spec as createMap takes it
  estimateMemory({ type: "array", key: u32, value: u32, maxEntries: 1 }, { host: "kernel", cpus: 1 });
  const queue = host.createMap({ type: "queue", value: u32, maxEntries: 1 });
  // @ts-expect-error a queue has no getMany
  queue.getMany;
  // @ts-expect-error a queue has no get
  queue.get;
  // @ts-expect-error nor can it be walked
  for (const _ of queue) break;
  const perCpu = host.createMap({ type: "percpu_array", value: u32, maxEntries: 1 });
  // @ts-expect-error all CPUs, or perCpu({ all })
  perCpu.set(0, 1);
  // @ts-expect-error only plain arrays can be mapped
  perCpu.mmap;
}

function opened(host: BpfHost): void {
  const any = host.openMap({ id: 1 });
  expectTypeOf(any).toEqualTypeOf<AnyMap>();
  if (any.type === "queue") expectTypeOf(any).toEqualTypeOf<QueueMap<unknown>>();
  if (any.type === "hash" || any.type === "lru_hash") expectTypeOf(any).toEqualTypeOf<HashMap<unknown, unknown>>();
  if (any.type === "percpu_hash" || any.type === "lru_percpu_hash") {
    expectTypeOf(any).toEqualTypeOf<PerCpuHashMap<unknown, unknown>>();
  }
  if (any instanceof ArrayMap) expectTypeOf(any.get(1)).toBeUnknown();
  expectTypeOf(host.openMap({ fd: 3, own: true }, { type: "hash", key: u32, value: u64 })).toEqualTypeOf<
    HashMap<number, bigint, number, bigint>
  >();
  expectTypeOf(host.openMap({ id: 3 }, { type: "hash", value: u64 })).toEqualTypeOf<
    HashMap<unknown, bigint, unknown, bigint>
  >();
  // @ts-expect-error a ring has no keys
  host.openMap({ id: 3 }, { type: "ringbuf", key: u32 });
  // @ts-expect-error by id or by fd
  host.openMap({});
  const object = host.loadObject("x.o", { shapes: { flows: { type: "hash", key: u32, value: Flow } } });
  expectTypeOf(object.map("flows")).toEqualTypeOf<MapOf<{ type: "hash"; key: typeof u32; value: typeof Flow }>>();
  expectTypeOf(object.maps.get("flows").get(1)).toEqualTypeOf<Flow | undefined>();
  expectTypeOf(object.map("other")).toEqualTypeOf<AnyMap>();
  expectTypeOf(object.maps.get("other")).toEqualTypeOf<AnyMap | undefined>();
  const plain = host.loadObject(new Uint8Array());
  expectTypeOf(plain.map("flows")).toEqualTypeOf<AnyMap>();
}

test("a map of any kind is a BpfMap, and disposable", () => {
  const host = createEmbedded({ memory: 16 * 1024 * 1024 });
  const map: AnyMap = host.createMap({ type: "hash", key: u32, value: u32, maxEntries: 1 });
  expectTypeOf(map).toExtend<Disposable>();
  expectTypeOf(host).toExtend<Disposable>();
  map[Symbol.dispose]();
  host[Symbol.dispose]();
  for (const compiled of [shapes, refused, opened]) expectTypeOf(compiled).toBeFunction();
});
