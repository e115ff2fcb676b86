/** Maps whose values are other objects: ARRAY_OF_MAPS, HASH_OF_MAPS and PROG_ARRAY. */
import { BPF_ANY, BPF_MAP_DELETE_ELEM, BPF_MAP_LOOKUP_ELEM, BPF_MAP_UPDATE_ELEM, EINVAL } from "../uapi/index.ts";
import { arraySource, hashSource } from "./batch_walk.ts";
import { BpfMap, type MapStats } from "./bpf_map.ts";
import { deleteMany, deleteWalked, setMany } from "./bulk.ts";
import { nested } from "./codec/error.ts";
import { type CodecBuffer, u32 } from "./codec/index.ts";
import { flagsOf, type Io, type SetOptions } from "./keyed_map.ts";
import type { MapHandle } from "./map_handle.ts";
import type { Program } from "./program.ts";
import { countOf, Walk, type WalkSource } from "./walk.ts";

/** What maps of objects have in common. The kernel takes objects by fd and gives their ids. */
abstract class ObjectMap<K, KIn, O extends { readonly fd: number }> extends BpfMap implements Iterable<[K, number]> {
  readonly #key: Io<K, KIn>;

  /** @internal */
  constructor(handle: MapHandle, key: Io<K, KIn>) {
    super(handle);
    this.#key = key;
  }

  /** @internal */
  protected abstract source(): WalkSource;

  #putKey(key: KIn): void {
    try {
      this.#key.write(this.handle.key, 0, key);
    } catch (error) {
      throw nested(error, "key");
    }
  }

  /** @internal Puts what an fd stands for at `key`. `misfit` says what is wrong with it when it is refused as such. */
  protected put(key: KIn, fd: number, flags: number, misfit: () => string): void {
    const { handle } = this;
    this.#putKey(key);
    u32.write(handle.value, 0, fd >>> 0);
    const result = handle.update(flags);
    if (result === 0) return;
    handle.fail(BPF_MAP_UPDATE_ELEM, result, result === -EINVAL ? { key, misfit: misfit() } : { key });
  }

  /** The id of the object at `key`; undefined where there is none. */
  getId(key: KIn): number | undefined {
    const { handle } = this;
    this.#putKey(key);
    return handle.found(BPF_MAP_LOOKUP_ELEM, handle.lookup(), { key }) ? u32.read(handle.value, 0) : undefined;
  }

  has(key: KIn): boolean {
    return this.getId(key) !== undefined;
  }

  /** Whether there was an object. Outside an array: `BpfError` E2BIG. */
  delete(key: KIn): boolean {
    const { handle } = this;
    this.#putKey(key);
    return handle.found(BPF_MAP_DELETE_ELEM, handle.delete(), { key });
  }

  /** @internal */
  protected putMany(entries: Iterable<readonly [KIn, O]>, flags: number): number {
    const writers = {
      keyName: "key",
      key: this.#key.write,
      value: (to: CodecBuffer, offset: number, object: O) => u32.write(to, offset, object.fd >>> 0),
    };
    return setMany(this.handle, entries, writers, flags);
  }

  /**
   * Empties many keys; returns how many of them had an object. One that fails ends it: `BulkError`, as in `setMany`.
   *
   *     shards.deleteMany([0, 1]);
   */
  deleteMany(keys: Iterable<KIn>): number {
    return deleteMany(this.handle, keys, this.#key.write);
  }

  /** Deletes every object that a walk finds; returns how many those were. */
  clear(): number {
    return deleteWalked(this.handle, this.source());
  }

  /** How many keys have an object: `stats().entries`, which see for when it is exact and what it costs. */
  count(): number {
    return this.stats().entries;
  }

  /** Keys that have an object, with the object's id. Nothing is opened, so nothing has to be closed. */
  entries(): Walk<[K, number]> {
    return new Walk(this.source(), (s) => [this.#key.read(s.keys, s.keyAt), u32.read(s.values, s.valueAt)]);
  }

  /** Keys that have an object. */
  keys(): Walk<K> {
    return new Walk(this.source(), (s) => this.#key.read(s.keys, s.keyAt));
  }

  /** Ids of the objects, in the order of `keys()`. */
  ids(): Walk<number> {
    return new Walk(this.source(), (s) => u32.read(s.values, s.valueAt));
  }

  [Symbol.iterator](): Walk<[K, number]> {
    return this.entries();
  }

  override stats(): MapStats<number> {
    return super.stats() as MapStats<number>;
  }

  /** @internal */
  protected override countByHand(): Pick<MapStats<number>, "entries" | "exact"> {
    return { entries: countOf(this.source()), exact: false };
  }
}

/** How an outer map deals with its inner maps. @internal */
export interface InnerMaps<M> {
  /** The map with this id; undefined: it is gone. */
  open(id: number): M | undefined;
  /** What a map has other than the template, in words. */
  misfit(map: M): string;
}

abstract class MapOfMaps<K, M extends BpfMap, KIn> extends ObjectMap<K, KIn, M> {
  readonly #inner: InnerMaps<M>;

  /** @internal */
  constructor(handle: MapHandle, key: Io<K, KIn>, inner: InnerMaps<M>) {
    super(handle, key);
    this.#inner = inner;
  }

  /** @internal */
  protected putMap(key: KIn, map: M, flags: number): void {
    this.put(key, map.fd, flags, () => this.#inner.misfit(map));
  }

  /**
   * The map at `key`, opened by its id (CAP_SYS_ADMIN on the kernel host): close it. Undefined where there is none.
   *
   *     const flows = byPort.get(443);
   *     flows?.close();
   */
  get(key: KIn): M | undefined {
    for (;;) {
      const id = this.getId(key);
      const map = id === undefined ? undefined : this.#inner.open(id);
      // Another one took its place meanwhile, and it went: what is there now?
      if (id === undefined || map !== undefined) return map;
    }
  }
}

/**
 * BPF_MAP_TYPE_ARRAY_OF_MAPS: slots for maps that are all like one, `inner`. A program that looks one up can use it as it
 * uses its own. Since Linux 4.12.
 *
 *     const inner = { type: "hash", key: u32, value: u64, maxEntries: 64 } as const;
 *     const shards = host.createMap({ type: "array_of_maps", inner, maxEntries: 8 });
 *     const shard = host.createMap(inner);
 *     shards.set(0, shard);
 */
export class ArrayOfMaps<M extends BpfMap> extends MapOfMaps<number, M, number> {
  readonly type = "array_of_maps" as const;

  /** How many slots there are. */
  get length(): number {
    return this.handle.info.maxEntries;
  }

  /** @internal */
  protected source(): WalkSource {
    return arraySource(this.handle);
  }

  /**
   * Puts a map into a slot, which holds it from then on. One that is not like `inner` is `BpfError` EINVAL, with what
   * differs; an index outside the array E2BIG.
   */
  set(index: number, map: M): this {
    this.putMap(index, map, BPF_ANY);
    return this;
  }

  /**
   * Puts many maps into their slots, in their order, and returns how many: by batches (UPDATE_BATCH, since Linux 5.13).
   * One that fails ends it: `BulkError` with `done`, `index`, `key` and `rest`, what was put before stays.
   */
  setMany(entries: Iterable<readonly [number, M]>): number {
    return this.putMany(entries, BPF_ANY);
  }
}

/** BPF_MAP_TYPE_HASH_OF_MAPS: keys to maps that are all like one, `inner`. Since Linux 4.12. */
export class HashOfMaps<K, M extends BpfMap, KIn = K> extends MapOfMaps<K, M, KIn> {
  readonly type = "hash_of_maps" as const;

  /** @internal */
  protected source(): WalkSource {
    return hashSource(this.handle);
  }

  /**
   * Adds or replaces. The element holds the map from then on. One that is not like `inner` is `BpfError` EINVAL, with
   * what differs; a full map E2BIG.
   */
  set(key: KIn, map: M, options?: SetOptions): this {
    this.putMap(key, map, flagsOf(options));
    return this;
  }

  /**
   * Adds or replaces many, in their order, and returns how many: by batches (UPDATE_BATCH, since Linux 5.13) unless an
   * option is given. One that fails ends it: `BulkError` with `done`, `index`, `key` and `rest`, what was put before stays.
   */
  setMany(entries: Iterable<readonly [KIn, M]>, options?: SetOptions): number {
    return this.putMany(entries, flagsOf(options));
  }
}

/**
 * BPF_MAP_TYPE_PROG_ARRAY: programs that others go on in with bpf_tail_call. Emptied when its last fd and pin are closed,
 * programs that use it notwithstanding. Since Linux 4.2.
 *
 *     const parsers = host.createMap({ type: "prog_array", maxEntries: 8 });
 *     parsers.set(0, host.loadProgram({ type: "xdp", insns, license: "GPL" }));
 */
export class ProgArray extends ObjectMap<number, number, Program> {
  readonly type = "prog_array" as const;

  /** How many slots there are. */
  get length(): number {
    return this.handle.info.maxEntries;
  }

  /** @internal */
  protected source(): WalkSource {
    return arraySource(this.handle);
  }

  /** Puts a program into a slot, which holds it from then on. One of another kind than the map's first: `BpfError` EINVAL. */
  set(index: number, program: Program): this {
    const misfit = (): string =>
      `${program.type} program \`${program.name}\` is not of the kind (type, expected attach type, frags) that the map's first program had`;
    this.put(index, program.fd, BPF_ANY, misfit);
    return this;
  }

  /** Puts many programs into their slots, in their order, and returns how many. Errors as in `setMany` of other maps. */
  setMany(entries: Iterable<readonly [number, Program]>): number {
    return this.putMany(entries, BPF_ANY);
  }
}
