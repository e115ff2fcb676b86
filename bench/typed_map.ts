/** A map of the typed API: keys and values through codecs. */
import type { BpfHost, HashMap } from "../src/index.ts";
import { struct, u32, u64 } from "../src/index.ts";
import { jsKeys } from "./js_map.ts";
import type { KeySet } from "./keys.ts";
import { inProcess, overAll, type Side } from "./measure.ts";

const Flow = struct({ packets: u64, bytes: u64 });
interface Flow {
  packets: bigint;
  bytes: bigint;
}

/** HASH with a u32 or u64 as key and a struct of two u64 as value. */
export class TypedMap {
  readonly name: string;
  readonly #map: HashMap<number, Flow> | HashMap<bigint, Flow>;

  constructor(name: string, host: BpfHost, keys: KeySet, maxEntries: number) {
    this.name = name;
    const common = { type: "hash", value: Flow, maxEntries } as const;
    this.#map = keys.stride === 1 ? host.createMap({ ...common, key: u32 }) : host.createMap({ ...common, key: u64 });
    const map = this.#map as HashMap<unknown, Flow>;
    for (const [i, key] of this.#keys(keys).entries()) map.set(key, { packets: BigInt(i), bytes: 1n << 33n });
  }

  #keys(keys: KeySet): readonly unknown[] {
    return jsKeys(keys, keys.stride === 1 ? "number" : "bigint");
  }

  lookup(keys: KeySet): Side {
    const all = this.#keys(keys);
    const map = this.#map as HashMap<unknown, Flow>;
    // Values that are kept cannot be optimised away.
    const kept: unknown[] = new Array<unknown>(8).fill(undefined);
    let at = 0;
    return inProcess(this.name, (count) => {
      for (let i = 0; i < count; i++) {
        kept[i & 7] = map.get(all[at]);
        if (++at === all.length) at = 0;
      }
      if (kept.includes(undefined)) throw new Error(`${this.name}: a key is missing`);
      return kept.length;
    });
  }

  update(keys: KeySet): Side {
    const all = this.#keys(keys);
    const map = this.#map as HashMap<unknown, Flow>;
    const value = { packets: 5n, bytes: 7n };
    let at = 0;
    return inProcess(this.name, (count) => {
      for (let i = 0; i < count; i++) {
        map.set(all[at], value);
        if (++at === all.length) at = 0;
      }
      return count;
    });
  }

  deleteAndInsert(keys: KeySet): Side {
    const all = this.#keys(keys);
    const map = this.#map as HashMap<unknown, Flow>;
    const value = { packets: 5n, bytes: 7n };
    let at = 0;
    return inProcess(this.name, (count) => {
      for (let i = 0; i < count; i++) {
        map.delete(all[at]);
        map.set(all[at], value);
        if (++at === all.length) at = 0;
      }
      return count;
    });
  }

  iterate(): Side {
    const map = this.#map as HashMap<unknown, Flow>;
    return overAll(this.name, () => {
      let count = 0;
      for (const [, value] of map) if (value.bytes > 0n) count++;
      return count;
    });
  }

  close(): void {
    this.#map.close();
  }
}
