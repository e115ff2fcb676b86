/** LPM_TRIE. */
import { trieSource } from "./batch_walk.ts";
import type { LpmKey } from "./codec/index.ts";
import { type Io, KeyedMap } from "./keyed_map.ts";
import type { MapHandle } from "./map_handle.ts";
import type { WalkSource } from "./walk.ts";

/**
 * BPF_MAP_TYPE_LPM_TRIE: prefixes of addresses. `set` and `delete` mean exactly this prefix; `get` and `has` answer as
 * the kernel does, with the longest prefix that covers the one asked for. Since Linux 4.11; walks since 4.16.
 *
 *     const routes = host.createMap({ type: "lpm_trie", key: lpmKey(ipv4), value: u32, maxEntries: 1024 });
 *     routes.set({ prefixLen: 8, data: "10.0.0.0" }, 1);
 *     routes.lookup("10.1.2.3"); // 1
 */
export class LpmTrieMap<D, V, DIn = D, VIn = V> extends KeyedMap<LpmKey<D>, V, Readonly<LpmKey<DIn>>, VIn> {
  readonly type = "lpm_trie" as const;
  /** Bits of an address. */
  readonly #bits: number;

  /** @internal */
  constructor(handle: MapHandle, key: Io<LpmKey<D>, Readonly<LpmKey<DIn>>>, value: Io<V, VIn>) {
    super(handle, key, value);
    this.#bits = (handle.info.keySize - 4) * 8;
  }

  /** @internal */
  protected source(): WalkSource {
    return trieSource(this.handle);
  }

  /** @internal */
  protected countSource(): WalkSource {
    return this.source();
  }

  /** The value of the longest prefix that covers this address; undefined where none does. */
  lookup(address: DIn): V | undefined {
    return this.get({ prefixLen: this.#bits, data: address });
  }
}
