/** ARRAY and PERCPU_ARRAY. */
import { BPF_ANY, BPF_F_LOCK, BPF_MAP_LOOKUP_ELEM, BPF_MAP_UPDATE_ELEM } from "../uapi/index.ts";
import { arraySource } from "./batch_walk.ts";
import { BpfMap, type MapStats } from "./bpf_map.ts";
import { getMany, setMany } from "./bulk.ts";
import { nested } from "./codec/error.ts";
import { type PerCpu, u32 } from "./codec/index.ts";
import type { GetOptions, Io, SetOptions } from "./keyed_map.ts";
import type { MapHandle } from "./map_handle.ts";
import { MappedArray, type MmapArrayOptions } from "./mapping.ts";
import { Walk, type WalkSource } from "./walk.ts";

abstract class AnyArrayMap<V, VIn> extends BpfMap implements Iterable<[number, V]> {
  /** @internal */
  protected readonly value: Io<V, VIn>;

  /** @internal */
  constructor(handle: MapHandle, value: Io<V, VIn>) {
    super(handle);
    this.value = value;
  }

  /** How many elements there are, always. */
  get length(): number {
    return this.handle.info.maxEntries;
  }

  override stats(): MapStats<number> {
    return super.stats() as MapStats<number>;
  }

  /** @internal */
  protected override countByHand(): Pick<MapStats<number>, "entries" | "exact"> {
    return { entries: this.length, exact: true };
  }

  #putIndex(index: number): void {
    try {
      u32.write(this.handle.key, 0, index);
    } catch (error) {
      throw nested(error, "index");
    }
  }

  /** The elements with these indexes, in their order; undefined for one outside the array. */
  getMany(indexes: Iterable<number>): (V | undefined)[] {
    return getMany(indexes, (index) => this.get(index));
  }

  /**
   * Writes many elements, in their order, and returns how many. By batches (UPDATE_BATCH, about 128 KiB each; since Linux
   * 5.6, per-CPU arrays 5.13). One that fails ends it: `BulkError` with `done`, `index`, `key` and `rest`.
   *
   *     histogram.setMany([1n, 2n, 3n].entries());
   */
  setMany(entries: Iterable<readonly [number, VIn]>): number {
    const writers = { keyName: "index", key: u32.write, value: this.value.write };
    return setMany(this.handle, entries, writers, BPF_ANY);
  }

  /** Element `index`; undefined outside the array. */
  get(index: number, options?: GetOptions): V | undefined {
    this.#putIndex(index);
    const { handle } = this;
    const locked = options?.lock === true;
    const result = locked ? handle.lookupLocked() : handle.lookup();
    if (result === 0) return this.value.read(handle.value, 0);
    handle.found(BPF_MAP_LOOKUP_ELEM, result, { key: index, locked });
    return undefined;
  }

  /**
   * Writes element `index`; with `lock` under its bpf_spin_lock, as `set` of hash maps has it. Outside the array:
   * `BpfError` E2BIG.
   */
  set(index: number, value: VIn, options?: Pick<SetOptions, "lock">): this {
    const { handle } = this;
    const locked = options?.lock === true;
    this.#putIndex(index);
    try {
      this.value.write(handle.value, 0, value);
    } catch (error) {
      throw nested(error, "value");
    }
    const result = handle.update(locked ? BPF_F_LOCK : BPF_ANY);
    if (result !== 0) handle.fail(BPF_MAP_UPDATE_ELEM, result, { key: index, locked });
    return this;
  }

  /** All elements with their indexes, in order. */
  entries(): Walk<[number, V]> {
    return this.#walk((s) => [s.keys.view.getUint32(s.keyAt, true), this.value.read(s.values, s.valueAt)]);
  }

  keys(): Walk<number> {
    return this.#walk((s) => s.keys.view.getUint32(s.keyAt, true));
  }

  values(): Walk<V> {
    return this.#walk((s) => this.value.read(s.values, s.valueAt));
  }

  #walk<T>(read: (source: WalkSource) => T): Walk<T> {
    return new Walk(arraySource(this.handle), read);
  }

  [Symbol.iterator](): Walk<[number, V]> {
    return this.entries();
  }

  forEach(fn: (value: V, index: number, map: this) => void): void {
    for (const [index, value] of this.entries()) fn(value, index, this);
  }
}

/**
 * BPF_MAP_TYPE_ARRAY. All elements exist from the start; they can be written, not deleted. Since Linux 3.19.
 *
 *     const stats = host.createMap({ type: "array", value: u64, maxEntries: 256, mmapable: true });
 *     stats.set(3, 1n);
 *     const [first] = stats.values();
 */
export class ArrayMap<V, VIn = V> extends AnyArrayMap<V, VIn> {
  readonly type = "array" as const;

  /** The elements as live memory. Wants a map made with `mmapable`. Since Linux 5.5. */
  mmap(options: MmapArrayOptions = {}): MappedArray<V, VIn> {
    return new MappedArray(this.handle, this.value, options);
  }
}

/** BPF_MAP_TYPE_PERCPU_ARRAY: an element has a value for each possible CPU. Updates want all of them: `perCpu(...)`. Since Linux 4.6. */
export class PerCpuArrayMap<V, VIn = V> extends AnyArrayMap<PerCpu<V>, PerCpu<VIn>> {
  readonly type = "percpu_array" as const;
}
