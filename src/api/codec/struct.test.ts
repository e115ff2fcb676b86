import { expect, expectTypeOf, test } from "vitest";
import { thrown } from "../../../test/thrown.ts";
import {
  aligned,
  array,
  bits,
  bool,
  bytes,
  CodecBuffer,
  CodecError,
  type FieldLayout,
  type Infer,
  type InferInput,
  ipv4,
  mac,
  pad,
  s8,
  s32,
  s64,
  struct,
  u8,
  u16,
  u32,
  u64,
} from "./index.ts";

const FlowKey = struct({ saddr: ipv4, daddr: ipv4, sport: u16.be, dport: u16.be }, { name: "flow_key" });

function places(codec: { layout: { kind: string } }): Record<string, number> {
  const { fields } = codec.layout as unknown as { fields: readonly FieldLayout[] };
  return Object.fromEntries(fields.map((f) => [f.name, f.bits === undefined ? f.offset : f.bits.offset / 8]));
}

test("a flow key", () => {
  const key = { saddr: "10.0.0.1", daddr: "10.0.0.2", sport: 443, dport: 80 };
  const encoded = FlowKey.encode(key);
  expect([...encoded]).toEqual([10, 0, 0, 1, 10, 0, 0, 2, 1, 187, 0, 80]);
  expect(FlowKey.decode(encoded)).toStrictEqual(key);
  expect(FlowKey.kind).toBe("struct flow_key");
  expectTypeOf<Infer<typeof FlowKey>>().toEqualTypeOf<{ saddr: string; daddr: string; sport: number; dport: number }>();
});

test("rows are plain objects that belong to the caller", () => {
  const row = FlowKey.decode(new Uint8Array(12));
  expect(Object.getPrototypeOf(row)).toBe(Object.prototype);
  expect(row.constructor).toBe(Object);
  expect({ ...row, sport: 1 }).toStrictEqual({ saddr: "0.0.0.0", daddr: "0.0.0.0", sport: 1, dport: 0 });
  row.sport = 7;
  expect(FlowKey.decode(new Uint8Array(12)).sport).toBe(0);
});

test.each([0, 1, 2, 3, 4, 5, 8, 20, 21, 40, 200])("%i fields come back in their order", (count) => {
  const names = Array.from({ length: count }, (_, i) => `f${i}`);
  const codec = struct(Object.fromEntries(names.map((name) => [name, u16])));
  const value = Object.fromEntries(names.map((name, i) => [name, i]));
  const decoded = codec.decode(codec.encode(value));
  expect(decoded).toStrictEqual(value);
  expect(Object.keys(decoded)).toEqual(names);
  const [last] = names.slice(-1);
  if (last !== undefined) {
    const { [last]: _, ...rest } = value;
    expect(thrown(CodecError, () => codec.encode(rest as never))).toMatchObject({ problem: "missing", path: last });
  }
});

test("C's alignment and padding", () => {
  const codec = struct({ a: u8, b: u64, c: u8, d: u16, e: array(u32, 2), f: u8 });
  expect(places(codec)).toEqual({ a: 0, b: 8, c: 16, d: 18, e: 20, f: 28 });
  expect([codec.size, codec.align]).toEqual([32, 8]);
  const inner = struct({ x: u8, y: u32 });
  expect(places(struct({ a: u8, inner, b: u8 }))).toEqual({ a: 0, inner: 4, b: 12 });
  expect(struct({ a: u8, inner, b: u8 }).size).toBe(16);
  expect(struct({ a: mac, b: u16 }).size).toBe(8);
});

test("padding is written as zeros, in every struct inside", () => {
  const codec = struct({ a: u8, inner: struct({ x: u8, y: u64 }), list: array(struct({ p: u16, q: u8 }), 2), z: u8 });
  const value = {
    a: 1,
    inner: { x: 2, y: 3n },
    list: [
      { p: 4, q: 5 },
      { p: 6, q: 7 },
    ],
    z: 8,
  };
  const dirty = new Uint8Array(codec.size).fill(0xff);
  expect(codec.encode(value, dirty)).toEqual(codec.encode(value));
  expect([...codec.encode(value)].filter((byte) => byte !== 0)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
});

test("packed", () => {
  const codec = struct.packed({ a: u8, b: u64, c: u16 });
  expect(places(codec)).toEqual({ a: 0, b: 1, c: 9 });
  expect([codec.size, codec.align]).toEqual([11, 1]);
  const value = { a: 1, b: 2n ** 64n - 2n, c: 3 };
  expect(codec.decode(codec.encode(value))).toEqual(value);
  expect(struct({ a: u8, b: u32 }, { packed: true }).size).toBe(5);
  // Inside, a struct keeps its own layout.
  expect(struct.packed({ a: u8, s: struct({ x: u8, y: u32 }) }).size).toBe(9);
});

test("explicit alignment", () => {
  expect(struct({ a: u32 }, { align: 64 }).size).toBe(64);
  expect(struct({ a: u64 }, { align: 2 }).align).toBe(8);
  expect(struct.packed({ a: u8, b: u32 }, { align: 4 }).size).toBe(8);
  const codec = struct({ a: u8, b: aligned(u8, 16), c: aligned(u64, 4) });
  expect(places(codec)).toEqual({ a: 0, b: 16, c: 20 });
  expect(codec.size).toBe(32);
  expect(() => struct({ a: u8 }, { align: 3 })).toThrow(CodecError);
});

test("bit fields lie where C puts them", () => {
  const tcp = struct({ sport: u16.be, res: bits(u16, 4), doff: bits(u16, 4), fin: bits(u16, 1), rest: bits(u16, 7) });
  expect(places(tcp)).toEqual({ sport: 0, res: 2, doff: 2.5, fin: 3, rest: 3.125 });
  expect(tcp.size).toBe(4);
  expect([...tcp.encode({ sport: 1, res: 0, doff: 5, fin: 1, rest: 0x7f })]).toEqual([0, 1, 0x50, 0xff]);
  // A field that would cross a boundary of its type moves on; another type's bits do not.
  expect(places(struct({ a: bits(u8, 5), b: bits(u8, 5) }))).toEqual({ a: 0, b: 1 });
  expect(places(struct({ a: bits(u32, 5), b: bits(u32, 30), c: u8 }))).toEqual({ a: 0, b: 4, c: 8 });
  expect(places(struct({ a: u8, b: bits(u32, 20), c: bits(u8, 4) }))).toEqual({ a: 0, b: 1, c: 3.5 });
  expect(places(struct.packed({ a: bits(u8, 5), b: bits(u16, 9), c: u8 }))).toEqual({ a: 0, b: 5 / 8, c: 2 });
  expect(struct({ a: bits(u64, 1) })).toMatchObject({ size: 8, align: 8 });
});

test("bit fields hold their values beside each other", () => {
  const codec = struct.packed({
    a: bits(u64, 3),
    b: bits(s64, 60),
    c: bits(u32, 31),
    d: bits(bool, 1),
    e: bits(s8, 3),
  });
  expect(codec.size).toBe(13);
  expectTypeOf<Infer<typeof codec>>().toEqualTypeOf<{ a: bigint; b: bigint; c: number; d: boolean; e: number }>();
  const values = [
    { a: 7n, b: -(2n ** 59n), c: 0x7fff_ffff, d: true, e: -4 },
    { a: 0n, b: 2n ** 59n - 1n, c: 0, d: false, e: 3 },
    { a: 5n, b: -1n, c: 0x5555_5555, d: true, e: -1 },
  ];
  for (const value of values) {
    expect(codec.decode(codec.encode(value, new Uint8Array(13).fill(0xff)))).toStrictEqual(value);
  }
  const [value] = values as [(typeof values)[number]];
  expect(thrown(CodecError, () => codec.encode({ ...value, c: 2 ** 31 })).message).toBe(
    "c: 2147483648 is out of range for u32:31 (0 to 2147483647)",
  );
  expect(thrown(CodecError, () => codec.encode({ ...value, e: 4 })).message).toContain("s8:3 (-4 to 3)");
  expect(thrown(CodecError, () => codec.encode({ ...value, a: 8n })).message).toContain("u64:3 (0 to 7)");
  expect(thrown(CodecError, () => codec.encode({ ...value, a: 1 as never })).problem).toBe("type");
});

test("what no bit field can be", () => {
  expect(() => bits(u8, 9)).toThrow("bits: a width of 9; a bit field of u8 has 1 to 8 bits");
  expect(() => bits(u8, 0)).toThrow(CodecError);
  expect(() => bits(u16.be, 3)).toThrow("a bit field of u16.be; it is a little-endian integer or bool");
  expect(() => bits(bool, 2)).toThrow(CodecError);
  expect(() => bits(u64.asNumber, 3)).toThrow("take u64, or a narrower base");
});

test("spelled-out padding is no part of the value", () => {
  const codec = struct({ a: u8, _pad: pad(3), b: u32 });
  expectTypeOf<Infer<typeof codec>>().toEqualTypeOf<{ a: number; b: number }>();
  expectTypeOf<InferInput<typeof codec>>().toEqualTypeOf<{ readonly a: number; readonly b: number }>();
  expect([...codec.encode({ a: 1, b: 2 }, new Uint8Array(8).fill(0xff))]).toEqual([1, 0, 0, 0, 2, 0, 0, 0]);
  expect(codec.decode(new Uint8Array(8).fill(1))).toStrictEqual({ a: 1, b: 0x01010101 });
});

test("errors name the place, the value, the limit", () => {
  const Value = struct({ key: FlowKey, hits: array(struct({ at: u64 }), 2) });
  const key = { saddr: "10.0.0.1", daddr: "10.0.0.2", sport: 443, dport: 80 };
  const hits = [{ at: 1n }, { at: 2n }];
  expect(thrown(CodecError, () => Value.encode({ key: { ...key, sport: 70000 }, hits }))).toMatchObject({
    path: "key.sport",
    value: 70000,
    problem: "range",
    message: "key.sport: 70000 is out of range for u16.be (0 to 65535)",
  });
  expect(thrown(CodecError, () => Value.encode({ key, hits: [{ at: 1n }, { at: -1n }] })).path).toBe("hits[1].at");
  expect(thrown(CodecError, () => Value.encode({ key, hits: [{ at: 1n }, {} as never] }))).toMatchObject({
    path: "hits[1].at",
    problem: "missing",
  });
  const { dport: _, ...short } = key;
  expect(thrown(CodecError, () => FlowKey.encode(short as never)).message).toBe(
    "dport: missing; struct flow_key has saddr, daddr, sport, dport, found saddr, daddr, sport",
  );
  expect(thrown(CodecError, () => FlowKey.encode({ ...key, dport: undefined } as never)).problem).toBe("missing");
  expect(thrown(CodecError, () => FlowKey.encode({ ...key, dprot: 1 } as never)).message).toBe(
    "dprot: not a field of struct flow_key, which has saddr, daddr, sport, dport",
  );
  expect(thrown(CodecError, () => FlowKey.encode({ ...short, toString: 1 } as never)).problem).toBe("unknown");
  expect(thrown(CodecError, () => FlowKey.encode(null as never)).message).toBe(
    "value: struct flow_key takes an object, found null",
  );
  const Big = struct({ a: u32, n: struct({ b: u64.asNumber }) });
  expect(thrown(CodecError, () => Big.decode(new Uint8Array(16).fill(255))).path).toBe("n.b");
});

test("fields may come in any order, and an undefined extra is no field", () => {
  const codec = struct({ a: u8, b: u16, c: u32 });
  const expected = codec.encode({ a: 1, b: 2, c: 3 });
  expect(codec.encode({ c: 3, b: 2, a: 1 })).toEqual(expected);
  expect(codec.encode({ b: 2, d: undefined, a: 1, c: 3 } as never)).toEqual(expected);
});

test("names that are no C identifiers are refused, object's own are not", () => {
  for (const name of ["1", "a b", "", "__proto__"]) {
    expect(() => struct(Object.fromEntries([[name, u8]]))).toThrow("is no name for a field of C");
  }
  const codec = struct({ constructor: u8, toString: u8, hasOwnProperty: u8, valueOf: u8, isPrototypeOf: u8 });
  const value = { constructor: 1, toString: 2, hasOwnProperty: 3, valueOf: 4, isPrototypeOf: 5 };
  expect(codec.decode(codec.encode(value as never))).toEqual(value);
});

test("fields of a struct can be used for another", () => {
  const Wider = struct({ ...FlowKey.fields, proto: u8 });
  expect(places(Wider)).toEqual({ saddr: 0, daddr: 4, sport: 8, dport: 10, proto: 12 });
  expect(Wider.size).toBe(16);
});

test("read and write work in a larger buffer, at odd places too", () => {
  const codec = struct({ a: u8, b: s32, c: bytes(3), d: u64 });
  const buffer = CodecBuffer.alloc(100);
  for (const offset of [0, 1, 24, 75]) {
    const value = { a: offset, b: -1 - offset, c: Uint8Array.of(1, 2, 3), d: BigInt(offset) };
    codec.write(buffer, offset, value);
    expect(codec.read(buffer, offset)).toEqual(value);
  }
});
