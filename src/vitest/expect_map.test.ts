import { afterAll, expect, expectTypeOf, test } from "vitest";
import { bytes, createEmbedded, ipv4, perCpu, struct, u16, u32, u64 } from "../index.ts";
import { type ContentsOf, expectMap } from "./index.ts";

const host = createEmbedded({ cpus: 2, seed: 1, memory: 32 << 20 });
afterAll(() => host.close());

const Flow = struct({ packets: u64, bytes: u64 });
const Key = struct({ address: ipv4, port: u16.be });

function flows() {
  const map = host.createMap({ type: "hash", name: "flows", key: Key, value: Flow, maxEntries: 16 });
  map.set({ address: "10.0.0.1", port: 53 }, { packets: 1n, bytes: 60n });
  map.set({ address: "10.0.0.2", port: 80 }, { packets: 2n, bytes: 80n });
  return map;
}

/** What an assertion that fails says, without colours. */
function said(assertion: () => void): string {
  try {
    assertion();
  } catch (error) {
    // biome-ignore lint/suspicious/noControlCharactersInRegex: colours are control characters
    return (error as Error).message.replace(/\u001b\[\d+m/g, "");
  }
  throw new Error("the assertion did not fail");
}

test("toEqual of a map with keys: pairs or a Map, in any order", () => {
  const map = flows();
  const second = [
    { port: 80, address: "10.0.0.2" },
    { packets: 2n, bytes: 80n },
  ] as const;
  const first = [
    { address: "10.0.0.1", port: 53 },
    { packets: 1n, bytes: expect.any(BigInt) },
  ] as const;
  expectMap(map).toEqual([second, first]);
  expectMap(map).toEqual(
    new Map<(typeof first)[0] | (typeof second)[0], { packets: bigint; bytes: bigint }>([first, second]),
  );
  expectMap(map).not.toEqual([first]);
});

test("toEqual says which keys are missing, not expected, or have another value, and shows the difference", () => {
  const text = said(() =>
    expectMap(flows()).toEqual([
      [
        { address: "10.0.0.1", port: 53 },
        { packets: 1n, bytes: 61n },
      ],
      [
        { address: "10.0.0.3", port: 22 },
        { packets: 1n, bytes: 1n },
      ],
    ]),
  );
  const lines = text.split("\n");
  expect(lines.slice(0, 5)).toEqual([
    "hash map `flows` holds 2 elements, expected 2 elements",
    '  missing: { address: "10.0.0.3", port: 22 }',
    '  not expected: { address: "10.0.0.2", port: 80 }',
    '  another value: { address: "10.0.0.1", port: 53 }',
    "",
  ]);
  expect(text).toMatch(/^- +"bytes": 61n,$/m);
  expect(text).toMatch(/^\+ +"bytes": 60n,$/m);
  expect(said(() => expectMap(flows()).not.toEqual(new Map(flows())))).toBe(
    "hash map `flows` holds 2 elements, expected 2 elements: exactly what it must not hold",
  );
});

test("long lists of keys are cut", () => {
  const map = host.createMap({ type: "hash", name: "many", key: u32, value: u32, maxEntries: 32 });
  for (let i = 0; i < 25; i++) map.set(i, i);
  const text = said(() => expectMap(map).toEqual([]));
  expect(text.match(/^ {2}not expected: /gm)).toHaveLength(11);
  expect(text).toContain("  not expected: 15 more");
  expect(
    said(() => expectMap(map).toBeEmpty())
      .split("\n")
      .at(-1),
  ).toBe("  and 15 more");
});

test("arrays, queues and stacks are compared with lists; queues are as they were afterwards", () => {
  const array = host.createMap({ type: "array", name: "slots", value: u32, maxEntries: 3 });
  array.set(1, 7);
  expectMap(array).toEqual([0, 7, 0]);
  const queue = host.createMap({ type: "queue", name: "jobs", value: u32, maxEntries: 4 });
  const stack = host.createMap({ type: "stack", name: "undo", value: u32, maxEntries: 4 });
  for (const map of [queue, stack]) map.push(1).push(2).push(3);
  for (let i = 0; i < 2; i++) {
    expectMap(queue).toEqual([1, 2, 3]);
    expectMap(stack).toEqual([3, 2, 1]);
  }
  expect([queue.pop(), stack.pop()]).toEqual([1, 3]);
  const text = said(() => expectMap(array).toEqual([0, 8, 0]));
  expect(text.split("\n")[0]).toBe("array map `slots` holds something else than expected");
  expect(text).toMatch(/^- +8,$/m);
  expect(text).toMatch(/^\+ +7,$/m);
});

test("per-CPU values are lists, one value a CPU", () => {
  const map = host.createMap({ type: "percpu_hash", name: "hits", key: u32, value: u64, maxEntries: 4 });
  map.set(1, perCpu(3n, 4n));
  expectMap(map).toEqual([[1, [3n, 4n]]]);
  expectMap(map).toHave(1, [3n, 4n]);
  const array = host.createMap({ type: "percpu_array", value: u32, maxEntries: 1 });
  expectMap(array).toEqual([[0, 0]]);
  expectMap(array).toBeEmpty();
});

test("toHave: a key, a key with a value", () => {
  const map = flows();
  expectMap(map).toHave({ address: "10.0.0.1", port: 53 });
  expectMap(map).toHave({ port: 53, address: "10.0.0.1" }, { packets: 1n, bytes: 60n });
  expectMap(map).not.toHave({ address: "10.0.0.9", port: 53 });
  expectMap(map).not.toHave({ address: "10.0.0.1", port: 53 }, { packets: 9n, bytes: 60n });
  expect(
    said(() => expectMap(map).toHave({ address: "10.0.0.9", port: 53 }))
      .split("\n")
      .sort(),
  ).toEqual([
    '  there is: { address: "10.0.0.1", port: 53 }',
    '  there is: { address: "10.0.0.2", port: 80 }',
    'hash map `flows` has no { address: "10.0.0.9", port: 53 }; it holds 2 elements',
  ]);
  const other = said(() => expectMap(map).toHave({ address: "10.0.0.2", port: 80 }, { packets: 3n, bytes: 80n }));
  expect(other).toMatch(/^hash map `flows` has another value at \{ address: "10\.0\.0\.2", port: 80 \}\n/);
  expect(other).toMatch(/^- +"packets": 3n,$/m);
  expect(said(() => expectMap(map).not.toHave({ address: "10.0.0.2", port: 80 }))).toContain("which it must not have");
  const array = host.createMap({ type: "array", name: "slots", value: u32, maxEntries: 2 });
  expectMap(array).toHave(1, 0);
  expectMap(array).not.toHave(2);
});

test("toHaveSize and toBeEmpty", () => {
  const map = flows();
  expectMap(map).toHaveSize(2);
  expectMap(map).not.toHaveSize(3);
  expectMap(map).not.toBeEmpty();
  expect(said(() => expectMap(map).toHaveSize(1))).toBe("hash map `flows` holds 2 elements, expected 1");
  expect(said(() => expectMap(map).not.toHaveSize(2))).toBe("hash map `flows` holds 2 elements, which it must not");
  expect(said(() => expectMap(map).toBeEmpty())).toMatch(
    /^hash map `flows` is not empty: it holds 2 elements\n {2}\{ /,
  );
  map.clear();
  expectMap(map).toBeEmpty();
  expect(said(() => expectMap(map).not.toBeEmpty())).toBe("hash map `flows` is empty, which it must not be");
  const array = host.createMap({ type: "array", name: "slots", value: Flow, maxEntries: 2 });
  expectMap(array).toBeEmpty();
  array.set(1, { packets: 0n, bytes: 1n });
  expect(said(() => expectMap(array).toBeEmpty())).toMatch(
    /^array map `slots` is not empty: 1 element not zero\n {2}1: /,
  );
});

test("keys of bytes, and a message of the caller's", () => {
  const map = host.createMap({ type: "hash", name: "raw", key: bytes(2), value: bytes(1), maxEntries: 4 });
  map.set(Uint8Array.of(1, 255), Uint8Array.of(7));
  expectMap(map).toEqual([[Uint8Array.of(1, 255), Uint8Array.of(7)]]);
  const text = said(() => expectMap(map, "after the first packet").toHave(Uint8Array.of(0, 0)));
  expect(text).toContain("raw map".replace("raw map", "hash map `raw` has no bytes 0000"));
  expect(text).toMatch(/^after the first packet/);
});

test("what cannot be listed, and what cannot be compared with", () => {
  const ring = host.createMap({ type: "ringbuf", name: "events", maxEntries: 4096 });
  expect(() => expectMap(ring).toBeEmpty()).toThrow("ringbuf map `events`: what such a map holds cannot be listed");
  const map = flows();
  expect(() => expectMap(map).toEqual({} as never)).toThrow("expected a Map, or pairs [key, value]");
});

test("types follow the map", () => {
  const map = flows();
  expectTypeOf<ContentsOf<typeof map>["key"]["port"]>().toEqualTypeOf<number>();
  expectTypeOf<ContentsOf<typeof map>["value"]["packets"]>().toEqualTypeOf<bigint>();
  const array = host.createMap({ type: "percpu_array", value: u32, maxEntries: 1 });
  expectTypeOf<ContentsOf<typeof array>["all"]>().toEqualTypeOf<readonly (readonly number[])[]>();
  const queue = host.createMap({ type: "queue", value: u16, maxEntries: 1 });
  expectTypeOf<ContentsOf<typeof queue>["key"]>().toEqualTypeOf<never>();
  // @ts-expect-error a port is a number
  expect(() => expectMap(map).toHave({ address: "10.0.0.1", port: "53" })).toThrow();
  const any = host.openMap({ id: map.id });
  expectMap(any).toHaveSize(2);
  any.close();
});
