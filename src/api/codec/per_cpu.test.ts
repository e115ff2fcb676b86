import { inspect } from "node:util";
import { expect, expectTypeOf, test } from "vitest";
import {
  array,
  bits,
  bytes,
  CodecBuffer,
  CodecError,
  cstring,
  decodePerCpu,
  enumOf,
  type Infer,
  PerCpu,
  perCpu,
  perCpuStride,
  struct,
  u8,
  u16,
  u32,
  u64,
  union,
  writePerCpu,
} from "./index.ts";

const Flow = struct({ packets: u64, bytes: u64 });

function written<In>(codec: Parameters<typeof writePerCpu<In>>[0], value: PerCpu<In>, cpus: number): Uint8Array {
  const buffer = CodecBuffer.alloc(perCpuStride(codec.size) * cpus);
  buffer.bytes.fill(0xff);
  writePerCpu(codec, buffer, 0, value, cpus);
  return buffer.bytes;
}

test("values lie every 8 bytes or a multiple, gaps are zero", () => {
  expect([0, 1, 8, 9, 16].map(perCpuStride)).toEqual([0, 8, 8, 16, 16]);
  expect([...written(u16, perCpu(1, 2), 2)]).toEqual([1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0]);
});

test("reading", () => {
  const flows = [1n, 2n, 3n].map((n) => ({ packets: n, bytes: n * 100n }));
  const value = decodePerCpu(Flow, written(Flow, perCpu(...flows), 3));
  expectTypeOf(value).toEqualTypeOf<PerCpu<Infer<typeof Flow>>>();
  expect(value.length).toBe(3);
  expect(value.get(1)).toEqual({ packets: 2n, bytes: 200n });
  expect([...value]).toEqual(flows);
  expect(value.toArray()).toEqual(flows);
  expect(value.map((v, cpu) => `${cpu}:${v.packets}`)).toEqual(["0:1", "1:2", "2:3"]);
  expect(value.reduce((total, v) => total + v.bytes, 0n)).toBe(600n);
  expect(value.sum()).toEqual({ packets: 6n, bytes: 600n });
  expect(value.max()).toEqual({ packets: 3n, bytes: 300n });
  for (const cpu of [-1, 3, 0.5]) expect(() => value.get(cpu)).toThrow(`CPU ${cpu}: there are 0 to 2`);
});

test("sum and max of numbers", () => {
  const values = decodePerCpu(u64, written(u64, perCpu(2n ** 64n - 1n, 5n), 2));
  expect(values.sum()).toBe(2n ** 64n + 4n);
  expect(values.max()).toBe(2n ** 64n - 1n);
  const small = decodePerCpu(u32, written(u32, perCpu(7, 9, 8), 3));
  expect([small.sum(), small.max()]).toEqual([24, 9]);
  expectTypeOf(small.sum()).toEqualTypeOf<number>();
});

test("sum takes the numbers of a value and leaves the rest", () => {
  const Value = struct({
    hist: array(u64, 3),
    inner: struct({ a: u16, name: cstring(4) }),
    flag: bits(u8, 3),
    state: enumOf({ UP: 1 }),
    raw: bytes(2),
    either: union({ a: u32 }),
  });
  const one = {
    hist: [1n, 2n, 3n],
    inner: { a: 5, name: "x" },
    flag: 2,
    state: "UP",
    raw: bytes(2).decode(new Uint8Array(2)),
  } as const;
  const given = perCpu({ ...one, either: { a: 1 } }, { ...one, state: 7, either: { a: 1 } });
  const value = decodePerCpu(Value, written(Value, given, 2));
  const total = value.sum();
  expect(total).toEqual({ hist: [2n, 4n, 6n], inner: { a: 10 }, flag: 4 });
  expectTypeOf(total).toEqualTypeOf<{ hist: bigint[]; inner: { a: number }; flag: number }>();
  // A number without a name on the first CPU is no total either.
  expect(decodePerCpu(enumOf({ UP: 1 }), written(u32, perCpu(7, 8), 2)).sum()).toBeUndefined();
  expect(value.max().hist).toEqual([1n, 2n, 3n]);
  // Values are not touched by adding them up.
  expect(value.get(0).hist).toEqual([1n, 2n, 3n]);
  expect(perCpu({ a: [1, 2] }, { a: [3, 4] }).sum()).toEqual({ a: [4, 6] });
  expect(decodePerCpu(array(u32, 2), new Uint8Array(16)).sum()).toEqual([0, 0]);
  expect(decodePerCpu(cstring(4), new Uint8Array(16)).sum()).toBeUndefined();
});

test("constructors", () => {
  expect(perCpu({ cpus: 3, all: 7n }).toArray()).toEqual([7n, 7n, 7n]);
  expectTypeOf(perCpu({ cpus: 3, all: 7n })).toEqualTypeOf<PerCpu<bigint>>();
  expect(perCpu(1, 2).get(1)).toBe(2);
  expect(perCpu(1, 2)).toBeInstanceOf(PerCpu);
  expect(perCpu({ cpus: 1, all: 2, more: 3 }).toArray()).toEqual([{ cpus: 1, all: 2, more: 3 }]);
  expect(perCpu({ packets: 1n, bytes: 2n }).length).toBe(1);
  expect(() => perCpu({ cpus: 0, all: 1 })).toThrow(CodecError);
  expect(() => perCpu().sum()).toThrow(RangeError);
});

test("what was read can be written", () => {
  const raw = written(Flow, perCpu({ cpus: 2, all: { packets: 1n, bytes: 2n } }), 2);
  expect(written(Flow, decodePerCpu(Flow, raw), 2)).toEqual(raw);
});

test("errors", () => {
  expect(() => written(u32, perCpu(1), 2)).toThrow(
    "1 CPUs, the map has 2; write perCpu with 2 values, or perCpu({ cpus: 2, all: value })",
  );
  for (const cpus of [1, 2]) {
    expect(() => written(u32, perCpu({ all: 5 }) as unknown as PerCpu<never>, cpus)).toThrow(
      `\`cpus\` is missing; write perCpu({ cpus: ${cpus}, all: value })`,
    );
  }
  expect([...written(struct({ all: u8 }), perCpu({ all: 5 }), 1)]).toEqual([5, 0, 0, 0, 0, 0, 0, 0]);
  expect(() => written(struct({ all: u8 }), perCpu({ all: 256 }), 1)).toThrow("[0].all: 256");
  expect(() => written(u32, 1 as never, 1)).toThrow("a per-CPU map takes a PerCpu, found 1; write perCpu(...)");
  expect(() => written(Flow, perCpu({ packets: 1n, bytes: -1n }), 1)).toThrow("[0].bytes: -1n is out of range");
  expect(() => decodePerCpu(u64.asNumber, new Uint8Array(16).fill(255, 8)).get(1)).toThrow("[1]: 1844");
});

test("shown as an array", () => {
  expect(JSON.stringify(decodePerCpu(u32, new Uint8Array(16)))).toBe("[0,0]");
  expect(inspect(perCpu(1, 2))).toBe("[ 1, 2 ]");
});
