/** What a map holds, as plain data that can be compared and printed. */
import { type AnyMap, type BpfMap, InputError, PerCpu, type QueueMap, type StackMap } from "../index.ts";

export interface Entry {
  readonly key: unknown;
  readonly value: unknown;
}

/** Entries of a map with keys, elements of an array, or values of a queue or stack, the next to come first. */
export type Contents =
  | { readonly kind: "entries"; readonly entries: readonly Entry[] }
  | { readonly kind: "values"; readonly values: readonly unknown[] };

export function titleOf(map: BpfMap): string {
  return `${(map as AnyMap).type} map \`${map.name}\``;
}

/** `InputError` for types whose contents cannot be listed without taking them out. */
export function contentsOf(given: BpfMap): Contents {
  const map = given as AnyMap;
  if (map.type === "queue" || map.type === "stack") return { kind: "values", values: valuesOf(map) };
  if (!(Symbol.iterator in map)) {
    throw new InputError(`expectMap: ${titleOf(map)}: what such a map holds cannot be listed without taking it out`);
  }
  const pairs: Iterable<readonly [unknown, unknown]> = map;
  const entries = Array.from(pairs, ([key, value]): Entry => ({ key, value: plain(value) }));
  // An array's elements are always there.
  const isArray = map.type === "array" || map.type === "percpu_array";
  return isArray ? { kind: "values", values: entries.map(({ value }) => value) } : { kind: "entries", entries };
}

/** Nothing reads the middle of a queue: all is taken out, in the order in which it comes, and put back. */
function valuesOf(map: QueueMap<unknown> | StackMap<unknown>): unknown[] {
  const values = [...map.drain()];
  for (const value of map.type === "queue" ? values : values.toReversed()) map.push(value);
  return values;
}

/** Values of all CPUs as a list. */
export function plain(value: unknown): unknown {
  return value instanceof PerCpu ? value.toArray() : value;
}

/** A text that is the same for keys that are the same: bytes as hex, properties in the order of their names. */
export function keyText(key: unknown): string {
  if (key instanceof Uint8Array)
    return `bytes ${Array.from(key, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
  if (typeof key === "bigint") return `${key}n`;
  if (Array.isArray(key)) return `[${key.map(keyText).join(", ")}]`;
  if (typeof key === "object" && key !== null) {
    const properties = Object.entries(key).sort(([a], [b]) => (a < b ? -1 : 1));
    return `{ ${properties.map(([name, value]) => `${name}: ${keyText(value)}`).join(", ")} }`;
  }
  return typeof key === "string" ? JSON.stringify(key) : String(key);
}
