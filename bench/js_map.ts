/** `Map` of JavaScript, with the same keys as numbers, bigints or strings. */
import type { KeySet } from "./keys.ts";
import { inProcess, overAll, type Side } from "./measure.ts";

export type JsKey = "number" | "bigint" | "string";

function keyOf(keys: KeySet, at: number, kind: JsKey): number | bigint | string {
  const low = keys.words[at]!;
  if (kind === "number") return low;
  const all = keys.stride === 1 ? BigInt(low) : (BigInt(keys.words[at + 1]!) << 32n) | BigInt(low);
  return kind === "bigint" ? all : all.toString(16);
}

/** The keys as values, in the same order. */
export function jsKeys(keys: KeySet, kind: JsKey): readonly (number | bigint | string)[] {
  return Array.from({ length: keys.count }, (_, i) => keyOf(keys, i * keys.stride, kind));
}

export class JsMap {
  readonly name: string;
  readonly #kind: JsKey;
  readonly #map: Map<unknown, number>;

  constructor(kind: JsKey, keys: KeySet) {
    this.name = `Map<${kind}, number>`;
    this.#kind = kind;
    this.#map = new Map(jsKeys(keys, kind).map((key, i) => [key, i]));
  }

  lookup(keys: KeySet): Side {
    const all = jsKeys(keys, this.#kind);
    const map = this.#map;
    let at = 0;
    return inProcess(this.name, (count) => {
      let sum = 0;
      for (let i = 0; i < count; i++) {
        sum += map.get(all[at])!;
        if (++at === all.length) at = 0;
      }
      return sum;
    });
  }

  update(keys: KeySet): Side {
    const all = jsKeys(keys, this.#kind);
    const map = this.#map;
    let at = 0;
    return inProcess(this.name, (count) => {
      for (let i = 0; i < count; i++) {
        map.set(all[at], i);
        if (++at === all.length) at = 0;
      }
      return map.size;
    });
  }

  deleteAndInsert(keys: KeySet): Side {
    const all = jsKeys(keys, this.#kind);
    const map = this.#map;
    let at = 0;
    return inProcess(this.name, (count) => {
      for (let i = 0; i < count; i++) {
        map.delete(all[at]);
        map.set(all[at], i);
        if (++at === all.length) at = 0;
      }
      return map.size;
    });
  }

  iterate(): Side {
    const map = this.#map;
    return overAll(this.name, () => {
      let sum = 0;
      for (const [, value] of map) sum += value & 0;
      return sum + map.size;
    });
  }
}
