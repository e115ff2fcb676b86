import { expect, test } from "vitest";
import { BtfBuilder, formatType, parseBtf } from "../../btf/index.ts";
import {
  type AnyCodec,
  aligned,
  array,
  bits,
  bool,
  btfFromCodec,
  bytes,
  codecFromBtf,
  cstring,
  enumOf,
  ipv4,
  ipv6,
  lpmKey,
  mac,
  pad,
  s8,
  s64,
  struct,
  u8,
  u16,
  u32,
  u64,
  union,
} from "./index.ts";

function c(codec: AnyCodec, name?: string): string {
  const builder = new BtfBuilder();
  const id = btfFromCodec(codec, builder, name);
  return formatType(parseBtf(builder.build()), id).replace(/\s+/g, " ");
}

test("a struct in C's words", () => {
  const FlowKey = struct({ saddr: ipv4, daddr: ipv4, sport: u16.be, dport: u16.be });
  expect(c(FlowKey, "flow_key")).toBe("struct flow_key { __be32 saddr; __be32 daddr; __be16 sport; __be16 dport; };");
  expect(c(struct({ a: u32 }, { name: "own" }), "given")).toBe("struct own { unsigned int a; };");
  expect(c(struct({ a: u32 }))).toBe("struct { unsigned int a; };");
});

test("every kind of member", () => {
  const codec = struct({
    flag: bool,
    name: cstring(16),
    hw: mac,
    raw: bytes(3),
    _pad: pad(6),
    when: s64,
    big: u64.be,
    table: array(array(s8, 2), 3),
    low: bits(u8, 3),
    high: bits(u8, 5),
    either: union({ v4: ipv4, v6: aligned(ipv6, 1) }),
  });
  const text = c(codec, "all");
  for (const member of [
    "_Bool flag;",
    "char name[16];",
    "unsigned char hw[6];",
    "unsigned char raw[3];",
    "unsigned char _pad[6];",
    "long long when;",
    "__be64 big;",
    "signed char table[3][2];",
    "unsigned char low: 3;",
    "unsigned char high: 5;",
    "union { __be32 v4; unsigned char v6[16]; } either;",
  ]) {
    expect(text.replaceAll(" : ", ": ")).toContain(member);
  }
});

test("addresses by their alignment", () => {
  expect(c(ipv6)).toContain("struct in6_addr {");
  expect(c(aligned(ipv6, 1))).toBe("unsigned char [16]");
  expect(c(aligned(ipv4, 1))).toBe("unsigned char [4]");
});

test("the trie's key has the kernel's names", () => {
  expect(c(lpmKey(ipv4), "route")).toBe("struct route { unsigned int prefixlen; __be32 data; };");
});

test("enums of either width and sign", () => {
  expect(c(enumOf({ A: 1, B: 2 }), "e")).toBe("enum e { A = 1, B = 2, };");
  const signed = new BtfBuilder();
  const id = btfFromCodec(enumOf({ LOW: -1 }), signed);
  expect(parseBtf(signed.build()).type(id)).toMatchObject({ kind: "enum", signed: true, size: 4 });
  const wide = new BtfBuilder();
  const wideId = btfFromCodec(enumOf({ TOP: 2n ** 63n }, u64), wide);
  expect(parseBtf(wide.build()).type(wideId)).toMatchObject({
    kind: "enum64",
    signed: false,
    values: [{ value: 2n ** 63n }],
  });
});

test("one builder takes key and value, and what comes back reads the same bytes", () => {
  const builder = new BtfBuilder();
  const Key = lpmKey(struct({ ifindex: u32, addr: ipv6 }));
  const Value = struct({ hits: array(u64, 2), last: enumOf({ UP: 1 }, u8), raw: bytes(2) });
  const [key, value] = [btfFromCodec(Key, builder, "k"), btfFromCodec(Value, builder, "v")];
  const btf = parseBtf(builder.build());
  expect(codecFromBtf(btf, key).size).toBe(24);
  const encoded = Value.encode({ hits: [1n, 2n], last: "UP", raw: Uint8Array.of(7, 8) });
  expect(codecFromBtf(btf, value).decode(encoded)).toEqual({ hits: [1n, 2n], last: "UP", raw: Uint8Array.of(7, 8) });
});

test("types that BTF gave go back into BTF, with pointers, floats and anonymous members", () => {
  const from = new BtfBuilder();
  const u = from.int("unsigned int", 4);
  const inner = from.union("", 4, [
    { name: "a", typeId: u, bitOffset: 0 },
    { name: "b", typeId: u, bitOffset: 0 },
  ]);
  const id = from.struct("outer", 24, [
    { name: "next", typeId: from.ptr(0), bitOffset: 0 },
    { name: "ratio", typeId: from.float("double", 8), bitOffset: 64 },
    { name: "", typeId: inner, bitOffset: 128 },
  ]);
  const codec = codecFromBtf(parseBtf(from.build()), id);
  expect(c(codec)).toBe("struct outer { void *next; double ratio; union { unsigned int a; unsigned int b; }; };");
});
