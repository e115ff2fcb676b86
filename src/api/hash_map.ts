/** HASH, LRU_HASH, PERCPU_HASH and LRU_PERCPU_HASH. */
import { BPF_MAP_LOOKUP_AND_DELETE_ELEM } from "../uapi/index.ts";
import { hasBatches, hashSource, takingSource } from "./batch_walk.ts";
import type { PerCpu } from "./codec/index.ts";
import { type Io, KeyedMap } from "./keyed_map.ts";
import type { MapHandle } from "./map_handle.ts";
import { NextKeySource } from "./next_key_walk.ts";
import { countOf, Drain, type WalkSource } from "./walk.ts";

abstract class AnyHashMap<K, V, KIn, VIn> extends KeyedMap<K, V, KIn, VIn> {
  /** @internal */
  protected source(): WalkSource {
    return hashSource(this.handle);
  }

  /** @internal */
  protected countSource(): WalkSource {
    return hasBatches(this.handle) ? this.source() : new NextKeySource(this.handle, { keysOnly: true });
  }

  /** The value of `key`, which is deleted in the same step; undefined where there is none. Since Linux 5.14. */
  take(key: KIn): V | undefined {
    this.putKey(key);
    const found = this.handle.found(BPF_MAP_LOOKUP_AND_DELETE_ELEM, this.handle.take(), { key });
    return found ? this.takeValue() : undefined;
  }

  /**
   * Reads and deletes every element. Many are out of the map before the first is given: after a break `rest()` has them.
   *
   *     for (const [key, count] of counts.drain()) report(key, count);
   */
  drain(): Drain<[K, V]> {
    return new Drain(takingSource(this.handle), (source) => this.entryOf(source));
  }

  /** Deletes every element that a walk finds; returns how many those were. */
  override clear(): number {
    return countOf(takingSource(this.handle));
  }
}

/**
 * BPF_MAP_TYPE_HASH (since Linux 3.19) and BPF_MAP_TYPE_LRU_HASH (since 4.10). `K` and `V` are what comes out, `KIn` and `VIn` what is taken.
 *
 *     const flows = host.createMap({ type: "hash", name: "flows", key: FlowKey, value: Flow, maxEntries: 4096 });
 *     flows.set(key, { packets: 1n, bytes: 60n });
 *     for (const [k, v] of flows) console.log(k.saddr, v.bytes);
 */
export class HashMap<K, V, KIn = K, VIn = V> extends AnyHashMap<K, V, KIn, VIn> {
  readonly type: "hash" | "lru_hash";

  /** @internal */
  constructor(type: "hash" | "lru_hash", handle: MapHandle, key: Io<K, KIn>, value: Io<V, VIn>) {
    super(handle, key, value);
    this.type = type;
  }
}

/**
 * BPF_MAP_TYPE_PERCPU_HASH (since Linux 4.6) and BPF_MAP_TYPE_LRU_PERCPU_HASH (since 4.10): an element has a value for
 * each possible CPU. Updates want all of them: `perCpu(...)`.
 */
export class PerCpuHashMap<K, V, KIn = K, VIn = V> extends AnyHashMap<K, PerCpu<V>, KIn, PerCpu<VIn>> {
  readonly type: "percpu_hash" | "lru_percpu_hash";

  /** @internal */
  constructor(
    type: "percpu_hash" | "lru_percpu_hash",
    handle: MapHandle,
    key: Io<K, KIn>,
    value: Io<PerCpu<V>, PerCpu<VIn>>,
  ) {
    super(handle, key, value);
    this.type = type;
  }
}
