/** Maps that are looked up by key: the hash types and the trie. */
import { InputError } from "../errors.ts";
import {
  BPF_ANY,
  BPF_EXIST,
  BPF_F_LOCK,
  BPF_MAP_DELETE_ELEM,
  BPF_MAP_LOOKUP_ELEM,
  BPF_MAP_UPDATE_ELEM,
  BPF_NOEXIST,
} from "../uapi/index.ts";
import { BpfMap, type MapStats } from "./bpf_map.ts";
import { type BulkWriters, deleteMany, deleteWalked, getMany, setMany } from "./bulk.ts";
import { nested } from "./codec/error.ts";
import type { CodecBuffer } from "./codec/index.ts";
import type { MapHandle } from "./map_handle.ts";
import { countOf, Walk, type WalkSource } from "./walk.ts";

/** The two halves of a codec that a map uses; neither uses `this`. Methods, so that a map of numbers is an `AnyMap`. */
export interface Io<T, In> {
  read(from: CodecBuffer, offset: number): T;
  write(to: CodecBuffer, offset: number, value: In): void;
}

/** What `set` does about an element that is there already, or is not. */
export interface SetOptions {
  /** `fail`: `BpfError` EEXIST (BPF_NOEXIST). Default `replace`. */
  readonly ifExists?: "fail" | "replace";
  /** `fail`: `BpfError` ENOENT (BPF_EXIST). Default `add`. */
  readonly ifMissing?: "fail" | "add";
  /**
   * Writes the whole value under its bpf_spin_lock (BPF_F_LOCK, since Linux 5.1): who reads or writes with the lock sees
   * no half of it. A hash's element that is there is then changed in place. The value needs a `spinLock`.
   */
  readonly lock?: boolean;
}

export interface GetOptions {
  /** Reads the whole value under its bpf_spin_lock (BPF_F_LOCK, since Linux 5.1). The value needs a `spinLock`. */
  readonly lock?: boolean;
}

/** Flags of an update. */
export function flagsOf(options: SetOptions | undefined): number {
  if (options === undefined) return BPF_ANY;
  const { ifExists, ifMissing, lock } = options;
  const locked = lock === true ? BPF_F_LOCK : 0;
  if (ifExists !== "fail") return locked | (ifMissing === "fail" ? BPF_EXIST : BPF_ANY);
  if (ifMissing === "fail")
    throw new InputError("set: ifExists and ifMissing are both `fail`, so it could never succeed");
  return locked | BPF_NOEXIST;
}

/** How a walk is cut into pages. */
export interface PageOptions {
  /** Elements of a page; default 512. */
  readonly size?: number;
  /** Milliseconds to leave alone between pages; default 0: other work gets its turn. */
  readonly pauseMs?: number;
  readonly signal?: AbortSignal;
}

/** Habits of `Map`, over elements that lie in the kernel: what comes back is a copy. */
export abstract class KeyedMap<K, V, KIn = K, VIn = V> extends BpfMap implements Iterable<[K, V]> {
  readonly #readKey: Io<K, KIn>["read"];
  readonly #writeKey: Io<K, KIn>["write"];
  readonly #readValue: Io<V, VIn>["read"];
  readonly #writeValue: Io<V, VIn>["write"];
  readonly #writers: BulkWriters<KIn, VIn>;

  /** @internal */
  constructor(handle: MapHandle, key: Io<K, KIn>, value: Io<V, VIn>) {
    super(handle);
    this.#readKey = key.read;
    this.#writeKey = key.write;
    this.#readValue = value.read;
    this.#writeValue = value.write;
    this.#writers = { keyName: "key", key: key.write, value: value.write };
  }

  /** @internal */
  protected abstract source(): WalkSource;

  /** @internal For counting only: values need not be read. */
  protected abstract countSource(): WalkSource;

  /** @internal Puts the key where calls find it. */
  protected putKey(key: KIn): void {
    try {
      this.#writeKey(this.handle.key, 0, key);
    } catch (error) {
      throw nested(error, "key");
    }
  }

  /** @internal The value that a call left. */
  protected takeValue(): V {
    return this.#readValue(this.handle.value, 0);
  }

  /** @internal */
  protected entryOf(source: WalkSource): [K, V] {
    return [this.#readKey(source.keys, source.keyAt), this.#readValue(source.values, source.valueAt)];
  }

  /** The value of `key`; undefined where there is none. A key that the codec refuses: `CodecError`. */
  get(key: KIn, options?: GetOptions): V | undefined {
    this.putKey(key);
    const { handle } = this;
    const locked = options?.lock === true;
    const result = locked ? handle.lookupLocked() : handle.lookup();
    if (result === 0) return this.#readValue(handle.value, 0);
    handle.found(BPF_MAP_LOOKUP_ELEM, result, { key, locked });
    return undefined;
  }

  has(key: KIn): boolean {
    this.putKey(key);
    return this.handle.found(BPF_MAP_LOOKUP_ELEM, this.handle.lookup(), { key });
  }

  /**
   * Adds or replaces. A full map: `BpfError` E2BIG (ENOSPC for a trie), with a hint.
   *
   *     flows.set(key, value, { ifExists: "fail" });
   */
  set(key: KIn, value: VIn, options?: SetOptions): this {
    const { handle } = this;
    const flags = flagsOf(options);
    this.putKey(key);
    try {
      this.#writeValue(handle.value, 0, value);
    } catch (error) {
      throw nested(error, "value");
    }
    const result = handle.update(flags);
    if (result !== 0) handle.fail(BPF_MAP_UPDATE_ELEM, result, { key, locked: options?.lock === true });
    return this;
  }

  /** Whether the element was there. */
  delete(key: KIn): boolean {
    this.putKey(key);
    return this.handle.found(BPF_MAP_DELETE_ELEM, this.handle.delete(), { key });
  }

  /**
   * The values of many keys, in their order; undefined where a key has none. One lookup a key, which no command of
   * bpf(2) can save: where most of a map is wanted, walk over it.
   *
   *     const [web, dns] = ports.getMany([80, 53]);
   */
  getMany(keys: Iterable<KIn>): (V | undefined)[] {
    return getMany(keys, (key) => this.get(key));
  }

  /**
   * Adds or replaces many elements, in their order, and returns how many. By batches (UPDATE_BATCH, about 128 KiB each;
   * since Linux 5.6) unless an option is given, which they cannot express. One that fails ends it: `BulkError` with
   * `done`, `index`, `key` and `rest`, what was written before stays. An entry that a codec refuses does the same with a
   * `CodecError`, whose path begins with the entry's number.
   *
   *     flows.setMany(new Map([[a, flowA], [b, flowB]]));
   */
  setMany(entries: Iterable<readonly [KIn, VIn]>, options?: SetOptions): number {
    return setMany(this.handle, entries, this.#writers, flagsOf(options));
  }

  /**
   * Deletes many keys; returns how many of them were there. By batches (DELETE_BATCH). Errors as in `setMany`.
   *
   *     flows.deleteMany(expired);
   */
  deleteMany(keys: Iterable<KIn>): number {
    return deleteMany(this.handle, keys, this.#writeKey);
  }

  override stats(): MapStats<number> {
    return super.stats() as MapStats<number>;
  }

  /** @internal */
  protected override countByHand(): Pick<MapStats<number>, "entries" | "exact"> {
    return { entries: countOf(this.countSource()), exact: false };
  }

  /** How many elements there are: `stats().entries`, which see for when it is exact and what it costs. */
  count(): number {
    return this.stats().entries;
  }

  /** Elements in the kernel's order, which has no meaning. What may happen to the map meanwhile: see `Walk`. */
  entries(): Walk<[K, V]> {
    return new Walk(this.source(), (source) => this.entryOf(source));
  }

  keys(): Walk<K> {
    return new Walk(this.source(), (source) => this.#readKey(source.keys, source.keyAt));
  }

  values(): Walk<V> {
    return new Walk(this.source(), (source) => this.#readValue(source.values, source.valueAt));
  }

  [Symbol.iterator](): Walk<[K, V]> {
    return this.entries();
  }

  forEach(fn: (value: V, key: K, map: this) => void): void {
    for (const [key, value] of this.entries()) fn(value, key, this);
  }

  /**
   * The elements in pages, with time for others between them, for maps that are large.
   *
   *     for await (const page of flows.pages({ size: 1000, signal })) send(page);
   */
  async *pages(options: PageOptions = {}): AsyncGenerator<[K, V][], void, undefined> {
    const { size = 512, pauseMs = 0, signal } = options;
    if (!Number.isInteger(size) || size < 1)
      throw new InputError(`pages: size is ${size}, expected a number from 1 on`);
    let page: [K, V][] = [];
    signal?.throwIfAborted();
    for (const entry of this.entries()) {
      page.push(entry);
      if (page.length < size) continue;
      yield page;
      page = [];
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
      signal?.throwIfAborted();
    }
    if (page.length > 0) yield page;
  }

  /** Deletes every element that a walk finds; returns how many those were. */
  clear(): number {
    return deleteWalked(this.handle, this.source());
  }
}
