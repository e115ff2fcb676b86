/** BLOOM_FILTER. */
import { BPF_MAP_LOOKUP_ELEM, BPF_MAP_UPDATE_ELEM } from "../uapi/index.ts";
import { BpfMap } from "./bpf_map.ts";
import { nested } from "./codec/error.ts";
import type { Io } from "./keyed_map.ts";
import type { MapHandle } from "./map_handle.ts";

/**
 * BPF_MAP_TYPE_BLOOM_FILTER: says of a value that it was surely not added, or that it probably was. Since Linux 5.16.
 *
 *     const seen = host.createMap({ type: "bloom_filter", value: ipv4, maxEntries: 10_000 });
 *     seen.add("10.0.0.1");
 *     seen.has("10.0.0.2"); // false, with few exceptions
 */
export class BloomFilterMap<VIn> extends BpfMap {
  readonly type = "bloom_filter" as const;
  readonly #write: Io<unknown, VIn>["write"];

  /** @internal */
  constructor(handle: MapHandle, value: Io<unknown, VIn>) {
    super(handle);
    this.#write = value.write;
  }

  #put(value: VIn): void {
    try {
      this.#write(this.handle.value, 0, value);
    } catch (error) {
      throw nested(error, "value");
    }
  }

  add(value: VIn): this {
    this.#put(value);
    const result = this.handle.update(0);
    if (result !== 0) this.handle.fail(BPF_MAP_UPDATE_ELEM, result);
    return this;
  }

  /** False: `value` was never added. True: it was, or others were that look the same. */
  has(value: VIn): boolean {
    this.#put(value);
    return this.handle.found(BPF_MAP_LOOKUP_ELEM, this.handle.lookup());
  }
}
