import { inspect } from "node:util";
import { expect, expectTypeOf, test } from "vitest";
import {
  array,
  CodecError,
  enumOf,
  type Infer,
  type InferInput,
  ipv4,
  ipv6,
  lpmKey,
  s32,
  struct,
  u8,
  u16,
  u32,
  u64,
  union,
} from "./index.ts";

const Address = union({ v4: ipv4, v6: ipv6 });

test("one member goes in, all can be read", () => {
  expect([Address.size, Address.align]).toEqual([16, 4]);
  const encoded = Address.encode({ v4: "10.0.0.1" }, new Uint8Array(16).fill(0xff));
  expect([...encoded]).toEqual([10, 0, 0, 1, ...new Array(12).fill(0)]);
  const decoded = Address.decode(encoded);
  expect(decoded.v4).toBe("10.0.0.1");
  expect(decoded.v6).toBe("a00:1::");
  encoded.fill(0);
  expect(decoded.v4).toBe("10.0.0.1");
});

test("members are decoded when they are read", () => {
  const codec = union({ small: u64.asNumber, big: u64 });
  const decoded = codec.decode(new Uint8Array(8).fill(0xff));
  expect(decoded.big).toBe(2n ** 64n - 1n);
  expect(() => decoded.small).toThrow("small: 18446744073709551615 is beyond");
});

test("a decoded union can be encoded again, with bytes that no member shows", () => {
  const codec = struct({ family: u16, address: union({ v4: ipv4, half: struct({ a: u8, b: u32 }) }) });
  const raw = Uint8Array.from({ length: codec.size }, (_, i) => i + 1);
  const again = codec.encode({ ...codec.decode(raw), family: 0x0201 });
  expect([...again.subarray(4)]).toEqual([...raw.subarray(4)]);
});

test("a decoded union is shown whole", () => {
  const decoded = Address.decode(Address.encode({ v4: "1.2.3.4" }));
  expect(JSON.parse(JSON.stringify(decoded))).toEqual({ v4: "1.2.3.4", v6: "102:304::" });
  expect(inspect(decoded)).toBe("{ v4: '1.2.3.4', v6: '102:304::' }");
});

test("what a union does not take", () => {
  expect(() => Address.encode({ v4: "1.2.3.4", v6: "::" } as never)).toThrow(
    "union takes exactly one of v4, v6; given: v4, v6",
  );
  expect(() => Address.encode({} as never)).toThrow("given: none");
  expect(() => Address.encode({ v5: 1 } as never)).toThrow("v5: not a member of union, which has v4, v6");
  expect(() => Address.encode(1 as never)).toThrow(CodecError);
  expect(() => Address.encode({ v4: "1.2.3" })).toThrow("v4: ");
  expect(Address.encode({ v4: "1.2.3.4", v6: undefined }).length).toBe(16);
  // Of another union it is only an object without members of its own.
  expect(() => union({ v4: ipv4 }).encode(Address.decode(new Uint8Array(16)) as never)).toThrow("given: none");
});

test("union types", () => {
  expectTypeOf<Infer<typeof Address>["v4"]>().toEqualTypeOf<string>();
  expectTypeOf<{ v4: string }>().toExtend<InferInput<typeof Address>>();
  expectTypeOf<{ v4: string; v6: string }>().not.toExtend<InferInput<typeof Address>>();
  expectTypeOf<Infer<typeof Address>>().toExtend<InferInput<typeof Address>>();
});

test("size and alignment", () => {
  expect(union({ a: u8, b: u64, c: array(u8, 9) })).toMatchObject({ size: 16, align: 8 });
  expect(union({ a: u8, b: array(u8, 5), c: u32 }, { packed: true })).toMatchObject({ size: 5, align: 1 });
  expect(union({ a: u8 }, { align: 8, name: "u" })).toMatchObject({ size: 8, align: 8, kind: "union u" });
});

test("enums are the text of their names", () => {
  const Action = enumOf({ ABORTED: 0, DROP: 1, PASS: 2 }, u32, { name: "xdp_action" });
  expectTypeOf<Infer<typeof Action>>().toEqualTypeOf<"ABORTED" | "DROP" | "PASS" | number>();
  expect(Action.decode(Action.encode("PASS"))).toBe("PASS");
  expect(Action.decode(Action.encode(1))).toBe("DROP");
  expect(Action.decode(Action.encode(9))).toBe(9);
  expect(() => Action.encode("PAS" as never)).toThrow(
    'value: "PAS" is no name of enum xdp_action; it has ABORTED, DROP, PASS',
  );
  expect(() => Action.encode(-1)).toThrow(CodecError);
  expect(() => Action.encode(true as never)).toThrow("enum xdp_action takes one of its names or a number, found true");
  expect(Action.kind).toBe("enum xdp_action");
});

test("the base of an enum", () => {
  expect(enumOf({ A: 1 }).layout).toMatchObject({ size: 4, base: { signed: false } });
  expect(enumOf({ A: -1 }).layout).toMatchObject({ size: 4, base: { signed: true } });
  expect(enumOf({ A: 1 }, u8).size).toBe(1);
  const Wide = enumOf({ BIG: 2n ** 63n }, u64);
  expectTypeOf<Infer<typeof Wide>>().toEqualTypeOf<"BIG" | bigint>();
  expect(Wide.decode(Wide.encode("BIG"))).toBe("BIG");
  expect(Wide.decode(Wide.encode(5n))).toBe(5n);
  expect(() => enumOf({ A: 256 }, u8)).toThrow("enum.A: 256 is out of range for u8");
  expect(() => enumOf({ A: -1 }, u16)).toThrow(CodecError);
  expect(enumOf({ A: 1, B: 1 }, s32).decode(s32.encode(1))).toBe("A");
  expect(enumOf({ constructor: 1 }).decode(u32.encode(0))).toBe(0);
});

test("the key of a longest-prefix-match trie", () => {
  const Key = lpmKey(ipv4);
  expectTypeOf<Infer<typeof Key>>().toEqualTypeOf<{ prefixLen: number; data: string }>();
  expect([...Key.encode({ prefixLen: 24, data: "10.1.2.0" })]).toEqual([24, 0, 0, 0, 10, 1, 2, 0]);
  expect(Key.decode(Key.encode({ prefixLen: 8, data: "10.0.0.0" }))).toEqual({ prefixLen: 8, data: "10.0.0.0" });
  for (const prefixLen of [0, 32]) Key.encode({ prefixLen, data: "10.0.0.0" });
  expect(() => Key.encode({ prefixLen: 33, data: "10.0.0.0" })).toThrow(
    "prefixLen: 33 is no prefix length of lpmKey(ipv4) (0 to 32 bits)",
  );
  for (const prefixLen of [-1, 1.5, "8"])
    expect(() => Key.encode({ prefixLen, data: "::" } as never)).toThrow(CodecError);
  expect(() => Key.encode({ prefixLen: 8, data: "10.0.0" })).toThrow("data: ");
  expect(() => Key.encode({ prefixLen: 8 } as never)).toThrow("data: missing");
  expect(() => Key.encode({ data: "1.1.1.1" } as never)).toThrow("prefixLen: missing");
  expect(() => Key.encode({ prefixLen: 8, data: "1.1.1.1", x: 1 } as never)).toThrow("x: not a field");
});

test("the data of a trie's key is right behind the prefix length, whatever its alignment", () => {
  expect(lpmKey(u64.be).size).toBe(12);
  const Key = lpmKey(struct({ ifindex: u32, addr: ipv6 }));
  expect(Key.size).toBe(24);
  expect(() => Key.encode({ prefixLen: 161, data: { ifindex: 1, addr: "::" } })).toThrow("0 to 160 bits");
});
