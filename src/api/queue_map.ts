/** QUEUE and STACK. */
import {
  BPF_ANY,
  BPF_EXIST,
  BPF_MAP_LOOKUP_AND_DELETE_ELEM,
  BPF_MAP_LOOKUP_ELEM,
  BPF_MAP_UPDATE_ELEM,
} from "../uapi/index.ts";
import { BpfMap } from "./bpf_map.ts";
import { nested } from "./codec/error.ts";
import type { Io } from "./keyed_map.ts";
import type { MapHandle } from "./map_handle.ts";

/** What `push` does when the map is full. */
export interface PushOptions {
  /** `evict`: the oldest value makes room (BPF_EXIST). Default `fail`: `BpfError` E2BIG. */
  readonly whenFull?: "fail" | "evict";
}

abstract class AnyQueueMap<V, VIn> extends BpfMap {
  readonly #value: Io<V, VIn>;

  /** @internal */
  constructor(handle: MapHandle, value: Io<V, VIn>) {
    super(handle);
    this.#value = value;
  }

  push(value: VIn, options: PushOptions = {}): this {
    const { handle } = this;
    try {
      this.#value.write(handle.value, 0, value);
    } catch (error) {
      throw nested(error, "value");
    }
    const result = handle.update(options.whenFull === "evict" ? BPF_EXIST : BPF_ANY);
    if (result !== 0) handle.fail(BPF_MAP_UPDATE_ELEM, result);
    return this;
  }

  /** Takes the next value out; undefined when there is none. */
  pop(): V | undefined {
    const { handle } = this;
    const found = handle.found(BPF_MAP_LOOKUP_AND_DELETE_ELEM, handle.take());
    return found ? this.#value.read(handle.value, 0) : undefined;
  }

  /** The value that `pop` would give. */
  peek(): V | undefined {
    const { handle } = this;
    const found = handle.found(BPF_MAP_LOOKUP_ELEM, handle.lookup());
    return found ? this.#value.read(handle.value, 0) : undefined;
  }

  /** Pops until there is nothing left, at most `maxEntries` values, so that it ends also while others push. */
  *drain(): Generator<V, void, undefined> {
    for (let left = this.maxEntries; left > 0; left--) {
      const { handle } = this;
      if (!handle.found(BPF_MAP_LOOKUP_AND_DELETE_ELEM, handle.take())) return;
      yield this.#value.read(handle.value, 0);
    }
  }
}

/**
 * BPF_MAP_TYPE_QUEUE: first in, first out. Since Linux 4.20.
 *
 *     const ports = host.createMap({ type: "queue", value: u16, maxEntries: 100 });
 *     ports.push(1024).push(1025);
 *     ports.pop(); // 1024
 */
export class QueueMap<V, VIn = V> extends AnyQueueMap<V, VIn> {
  readonly type = "queue" as const;
}

/** BPF_MAP_TYPE_STACK: last in, first out. Since Linux 4.20. */
export class StackMap<V, VIn = V> extends AnyQueueMap<V, VIn> {
  readonly type = "stack" as const;
}
