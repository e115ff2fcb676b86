/** `expectMap(map)`: assertions on what a map holds, with messages that name map, keys and differences. */
import { expect, type MatcherState } from "vitest";
import {
  type ArrayMap,
  type BpfMap,
  type HashMap,
  InputError,
  type LpmTrieMap,
  type PerCpuArrayMap,
  type PerCpuHashMap,
  type QueueMap,
  type StackMap,
} from "../index.ts";
import { type Contents, contentsOf, type Entry, keyText, plain, titleOf } from "./contents.ts";

/** Key, value, and all contents of a map, as assertions take them. Per-CPU values are lists, one value a CPU. */
export type ContentsOf<M> = [M] extends [PerCpuHashMap<infer K, infer V>]
  ? Keyed<K, readonly V[]>
  : [M] extends [HashMap<infer K, infer V> | LpmTrieMap<infer K, infer V>]
    ? Keyed<K, V>
    : [M] extends [PerCpuArrayMap<infer V>]
      ? List<readonly V[]>
      : [M] extends [ArrayMap<infer V>]
        ? List<V>
        : [M] extends [QueueMap<infer V> | StackMap<infer V>]
          ? { readonly key: never; readonly value: V; readonly all: readonly V[] }
          : { readonly key: unknown; readonly value: unknown; readonly all: unknown };

interface Keyed<K, V> {
  readonly key: K;
  readonly value: V;
  readonly all: ReadonlyMap<K, V> | readonly (readonly [K, V])[];
}

interface List<V> {
  readonly key: number;
  readonly value: V;
  readonly all: readonly V[];
}

export interface MapAssertion<C extends { readonly key: unknown; readonly value: unknown; readonly all: unknown }> {
  /** The opposite of what follows. */
  readonly not: MapAssertion<C>;
  /**
   * Exactly these contents: of maps with keys a `Map` or pairs `[key, value]`, in any order; of arrays, queues and stacks
   * a list, of which the next to be popped comes first. Values may be vitest's matchers such as `expect.any(Number)`.
   */
  toEqual(expected: C["all"]): void;
  /** An element with this key and, where it is given, this value. */
  toHave(key: C["key"], value?: C["value"]): void;
  /** So many elements. */
  toHaveSize(size: number): void;
  /** No elements; of an array: each as it was created, zero. */
  toBeEmpty(): void;
}

/** What vitest hands to a matcher. */
type State = Pick<MatcherState, "equals" | "isNot" | "utils">;

/** What a matcher gives back. The message has the difference: vitest shows another one where it gets both values. */
interface Verdict {
  readonly pass: boolean;
  readonly message: () => string;
}

/** A matcher's name on vitest's own `expect`: what `expectMap` calls. */
interface Matchers {
  readonly not: Matchers;
  toEqualBpfMap(expected: unknown): void;
  toHaveInBpfMap(key: unknown, value: readonly unknown[]): void;
  toHaveBpfMapSize(size: number): void;
  toBeEmptyBpfMap(): void;
}

/**
 * Assertions on a map, typed by it.
 *
 *     expectMap(flows).toEqual([[{ saddr: "10.0.0.1", port: 53 }, { packets: 1n }]]);
 *     expectMap(flows).not.toHave({ saddr: "10.0.0.2", port: 53 });
 *     expectMap(queue).toHaveSize(3);
 */
export function expectMap<M extends BpfMap>(map: M, message?: string): MapAssertion<ContentsOf<M>> {
  expect.extend({
    toEqualBpfMap(this: State, received: BpfMap, expected: unknown) {
      return equalContents(this, received, expected);
    },
    toHaveInBpfMap(this: State, received: BpfMap, key: unknown, value: readonly unknown[]) {
      return hasEntry(this, received, key, value);
    },
    toHaveBpfMapSize(this: State, received: BpfMap, size: number) {
      return hasSize(received, size);
    },
    toBeEmptyBpfMap(this: State, received: BpfMap) {
      return isEmpty(this, received);
    },
  });
  return assertionOf(expect(map, message) as unknown as Matchers);
}

function assertionOf<C extends { readonly key: unknown; readonly value: unknown; readonly all: unknown }>(
  matchers: Matchers,
): MapAssertion<C> {
  return {
    get not() {
      return assertionOf<C>(matchers.not);
    },
    toEqual: (expected) => matchers.toEqualBpfMap(expected),
    // A value that is given and undefined is no value that an element has.
    toHave: (...[key, ...value]: [unknown, ...unknown[]]) => matchers.toHaveInBpfMap(key, value),
    toHaveSize: (size) => matchers.toHaveBpfMapSize(size),
    toBeEmpty: () => matchers.toBeEmptyBpfMap(),
  };
}

const SHOWN = 10;

function same({ equals, utils }: State, actual: unknown, expected: unknown): boolean {
  return equals(actual, expected, [utils.iterableEquality]);
}

function equalContents(state: State, map: BpfMap, expected: unknown): Verdict {
  const contents = contentsOf(map);
  if (contents.kind === "values") {
    const { values } = contents;
    const pass = same(state, values, expected);
    return told(state, pass, `${titleOf(map)} holds`, values, expected, []);
  }
  const wanted = entriesIn(map, expected);
  const found = new Map(contents.entries.map((entry) => [keyText(entry.key), entry]));
  const asked = new Map(wanted.map((entry) => [keyText(entry.key), entry]));
  const missing = [...asked.keys()].filter((key) => !found.has(key));
  const extra = [...found.keys()].filter((key) => !asked.has(key));
  const different = [...found].filter(
    ([key, { value }]) => asked.has(key) && !same(state, value, asked.get(key)!.value),
  );
  const facts = [
    ...listed("missing", missing),
    ...listed("not expected", extra),
    ...listed(
      "another value",
      different.map(([key]) => key),
    ),
  ];
  const sorted = (all: ReadonlyMap<string, Entry>): unknown =>
    [...all].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, { key, value }]) => [key, value]);
  const what = `${titleOf(map)} holds ${count(found.size)}, expected ${count(asked.size)}`;
  return told(state, facts.length === 0, what, sorted(found), sorted(asked), facts);
}

function told(
  { utils }: State,
  pass: boolean,
  what: string,
  actual: unknown,
  expected: unknown,
  facts: readonly string[],
): Verdict {
  return {
    pass,
    message: () =>
      pass
        ? `${what}: exactly what it must not hold`
        : [
            facts.length === 0 ? `${what} something else than expected` : what,
            ...facts,
            "",
            utils.diff(expected, actual),
          ].join("\n"),
  };
}

/** The caller's Map or pairs. */
function entriesIn(map: BpfMap, expected: unknown): Entry[] {
  const pairs = expected instanceof Map ? [...expected] : expected;
  const isPair = (pair: unknown): pair is readonly [unknown, unknown] => Array.isArray(pair) && pair.length === 2;
  if (!Array.isArray(pairs) || !pairs.every(isPair)) {
    throw new InputError(`expectMap: ${titleOf(map)}: expected a Map, or pairs [key, value], to compare with`);
  }
  return pairs.map(([key, value]) => ({ key, value }));
}

function count(n: number): string {
  return n === 1 ? "1 element" : `${n} elements`;
}

/** Keys in a line each; nothing where there are none. */
function listed(what: string, keys: readonly string[]): string[] {
  const more = keys.length > SHOWN ? [`  ${what}: ${keys.length - SHOWN} more`] : [];
  return [...keys.slice(0, SHOWN).map((key) => `  ${what}: ${key}`), ...more];
}

/** `value`: nothing, or one. */
function hasEntry(state: State, map: BpfMap, key: unknown, value: readonly unknown[]): Verdict {
  const contents = contentsOf(map);
  const text = keyText(key);
  const entries =
    contents.kind === "entries" ? contents.entries : contents.values.map((each, i) => ({ key: i, value: each }));
  const found = entries.find((entry) => keyText(entry.key) === text);
  const title = titleOf(map);
  if (found === undefined) {
    const keys = listed(
      "there is",
      entries.map((entry) => keyText(entry.key)),
    );
    const message = (): string => [`${title} has no ${text}; it holds ${count(entries.length)}`, ...keys].join("\n");
    return { pass: false, message };
  }
  const [expected] = value;
  if (value.length === 0) return { pass: true, message: () => `${title} has ${text}, which it must not have` };
  const actual = plain(found.value);
  const pass = same(state, actual, expected);
  const message = (): string =>
    pass
      ? `${title} has ${text} with just this value, which it must not have`
      : [`${title} has another value at ${text}`, "", state.utils.diff(expected, actual)].join("\n");
  return { pass, message };
}

function sizeOf(contents: Contents): number {
  return contents.kind === "entries" ? contents.entries.length : contents.values.length;
}

function hasSize(map: BpfMap, size: number): Verdict {
  const found = sizeOf(contentsOf(map));
  const pass = found === size;
  const message = (): string =>
    pass
      ? `${titleOf(map)} holds ${count(found)}, which it must not`
      : `${titleOf(map)} holds ${count(found)}, expected ${size}`;
  return { pass, message };
}

/** Whatever an array holds at first: numbers, bigints, bytes and fields that are all zero. */
function isZero(value: unknown): boolean {
  if (typeof value === "object" && value !== null) return Object.values(value).every(isZero);
  return value === 0 || value === 0n || value === false || value === "";
}

function isEmpty(state: State, map: BpfMap): Verdict {
  const contents = contentsOf(map);
  const isArray = contents.kind === "values" && map.info.type.endsWith("array");
  const left = contents.kind === "entries" ? contents.entries : contents.values.map((value, key) => ({ key, value }));
  const full = isArray ? left.filter(({ value }) => !isZero(value)) : left;
  const title = titleOf(map);
  const shown = full.slice(0, SHOWN).map(({ key, value }) => `  ${keyText(key)}: ${state.utils.stringify(value)}`);
  if (full.length > SHOWN) shown.push(`  and ${full.length - SHOWN} more`);
  const message = (): string =>
    full.length === 0
      ? `${title} is empty, which it must not be`
      : [
          `${title} is not empty: ${isArray ? `${count(full.length)} not zero` : `it holds ${count(full.length)}`}`,
          ...shown,
        ].join("\n");
  return { pass: full.length === 0, message };
}
