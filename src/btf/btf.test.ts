import { existsSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { InputError } from "../errors.ts";
import { BtfBuilder, type BtfType, parseBtf } from "./index.ts";

/** One of everything, with references forwards and backwards. Returns the types in the order of their ids. */
function everything(): BtfType[] {
  const int = { bits: 32, bitOffset: 0, signed: true, char: false, bool: false };
  return [
    { kind: "int", name: "int", size: 4, ...int },
    { kind: "int", name: "char", size: 1, ...int, bits: 8, char: true },
    { kind: "int", name: "_Bool", size: 1, ...int, bits: 8, signed: false, bool: true },
    { kind: "ptr", name: "", typeId: 5 },
    {
      kind: "struct",
      name: "node",
      size: 24,
      members: [
        { name: "next", typeId: 4, bitOffset: 0, bitSize: 0 },
        { name: "low", typeId: 1, bitOffset: 64, bitSize: 3 },
        { name: "high", typeId: 1, bitOffset: 67, bitSize: 29 },
        { name: "", typeId: 6, bitOffset: 128, bitSize: 0 },
      ],
    },
    {
      kind: "union",
      name: "",
      size: 8,
      members: [
        { name: "name", typeId: 7, bitOffset: 0, bitSize: 0 },
        { name: "number", typeId: 1, bitOffset: 0, bitSize: 0 },
      ],
    },
    { kind: "array", name: "", elemTypeId: 2, indexTypeId: 1, length: 8 },
    {
      kind: "enum",
      name: "colour",
      size: 4,
      signed: true,
      values: [
        { name: "RED", value: -1 },
        { name: "GREEN", value: 2147483647 },
      ],
    },
    { kind: "enum", name: "bits", size: 4, signed: false, values: [{ name: "TOP", value: 0x8000_0000 }] },
    { kind: "enum64", name: "wide", size: 8, signed: false, values: [{ name: "HUGE", value: 0xffff_0000_0000_0001n }] },
    { kind: "enum64", name: "deep", size: 8, signed: true, values: [{ name: "LOW", value: -(2n ** 63n) }] },
    { kind: "fwd", name: "later", of: "union" },
    { kind: "fwd", name: "soon", of: "struct" },
    { kind: "typedef", name: "node_t", typeId: 5 },
    { kind: "volatile", name: "", typeId: 14 },
    { kind: "const", name: "", typeId: 15 },
    { kind: "restrict", name: "", typeId: 4 },
    {
      kind: "func_proto",
      name: "",
      returnTypeId: 0,
      params: [
        { name: "n", typeId: 4 },
        { name: "", typeId: 0 },
      ],
    },
    { kind: "func", name: "walk", typeId: 18, linkage: "static" },
    { kind: "var", name: "head", typeId: 16, linkage: "extern" },
    { kind: "datasec", name: ".data", size: 24, vars: [{ typeId: 20, offset: 0, size: 24 }] },
    { kind: "float", name: "long double", size: 16 },
    { kind: "decl_tag", name: "nullable", typeId: 19, componentIndex: 0, attribute: false },
    { kind: "decl_tag", name: "whole", typeId: 19, componentIndex: -1, attribute: true },
    { kind: "type_tag", name: "user", typeId: 5, attribute: false },
    { kind: "type_tag", name: "noderef", typeId: 5, attribute: true },
  ];
}

function build(types: readonly BtfType[], littleEndian: boolean = true): Uint8Array {
  const builder = new BtfBuilder({ littleEndian });
  for (const type of types) builder.add(type);
  return builder.build();
}

test.each([true, false])("what the builder writes the parser reads, little-endian %s", (littleEndian) => {
  const btf = parseBtf(build(everything(), littleEndian));
  expect(btf.littleEndian).toBe(littleEndian);
  expect(btf.types).toEqual([{ kind: "void", name: "" }, ...everything()]);
});

test("the builder's short forms are the plain types", () => {
  const b = new BtfBuilder();
  const int = b.int("int", 4, { signed: true });
  const char = b.int("char", 1, { signed: true, char: true });
  b.int("_Bool", 1, { bool: true });
  const ptr = b.ptr(5);
  b.struct("node", 24, [
    { name: "next", typeId: ptr, bitOffset: 0 },
    { name: "low", typeId: int, bitOffset: 64, bitSize: 3 },
    { name: "high", typeId: int, bitOffset: 67, bitSize: 29 },
    { name: "", typeId: 6, bitOffset: 128 },
  ]);
  b.union("", 8, [
    { name: "name", typeId: 7, bitOffset: 0 },
    { name: "number", typeId: int, bitOffset: 0 },
  ]);
  b.array(char, int, 8);
  b.enum(
    "colour",
    [
      { name: "RED", value: -1 },
      { name: "GREEN", value: 2147483647 },
    ],
    { signed: true },
  );
  b.enum("bits", [{ name: "TOP", value: 0x8000_0000 }]);
  b.enum64("wide", [{ name: "HUGE", value: 0xffff_0000_0000_0001n }]);
  b.enum64("deep", [{ name: "LOW", value: -(2n ** 63n) }], { signed: true });
  b.fwd("later", "union");
  b.fwd("soon", "struct");
  const typedef = b.typedef("node_t", 5);
  const konst = b.const(b.volatile(typedef));
  b.restrict(ptr);
  const proto = b.funcProto(0, [
    { name: "n", typeId: ptr },
    { name: "", typeId: 0 },
  ]);
  const func = b.func("walk", proto, "static");
  const head = b.var("head", konst, "extern");
  b.datasec(".data", 24, [{ typeId: head, offset: 0, size: 24 }]);
  b.float("long double", 16);
  b.declTag("nullable", func, 0);
  b.add({ kind: "decl_tag", name: "whole", typeId: func, componentIndex: -1, attribute: true });
  b.typeTag("user", 5);
  b.add({ kind: "type_tag", name: "noderef", typeId: 5, attribute: true });
  expect(b.build()).toEqual(build(everything()));
});

test("find goes by name, by kind, and gives the lowest id", () => {
  const b = new BtfBuilder();
  const int = b.int("thing", 4);
  const struct = b.struct("thing", 0, []);
  b.struct("thing", 4, [{ name: "a", typeId: int, bitOffset: 0 }]);
  const btf = parseBtf(b.build());
  expect(btf.find("thing")).toBe(int);
  expect(btf.find("thing", "struct")).toBe(struct);
  expect(btf.find("thing", "union")).toBeUndefined();
  expect(btf.find("none")).toBeUndefined();
  expect(btf.findAll("thing")).toEqual([1, 2, 3]);
  expect(btf.findType("thing", "struct")).toMatchObject({ size: 0 });
});

test("resolve, sizeOf and alignOf", () => {
  const btf = parseBtf(build(everything()));
  expect(btf.resolve(16)).toBe(5);
  expect(btf.resolve(25)).toBe(5);
  expect([1, 2, 4, 7, 8, 10, 16, 20, 21, 22].map((id) => btf.sizeOf(id))).toEqual([4, 1, 8, 8, 4, 8, 24, 24, 24, 16]);
  expect([1, 2, 4, 5, 6, 7, 10, 16, 22].map((id) => btf.alignOf(id))).toEqual([4, 1, 8, 8, 4, 1, 8, 8, 16]);
  for (const id of [0, 12, 18, 19]) {
    expect(() => btf.sizeOf(id)).toThrow(InputError);
    expect(() => btf.alignOf(id)).toThrow(InputError);
  }
  expect(() => btf.sizeOf(99)).toThrow("BTF: type id 99: found an id outside the file, expected 0..26");
});

test("endless and overlong chains are errors", () => {
  const b = new BtfBuilder();
  const loop = b.typedef("loop", 1);
  const array = b.array(2, loop, 1);
  const self = b.struct("self", 4, [{ name: "inner", typeId: 3, bitOffset: 0 }]);
  const int = b.int("int", 4);
  let chain = int;
  for (let i = 0; i < 64; i++) chain = b.const(chain);
  const longer = b.const(chain);
  let big = b.array(int, int, 1 << 20);
  big = b.array(big, int, 1 << 20);
  const btf = parseBtf(b.build());
  expect(() => btf.resolve(loop)).toThrow("a chain of more than 64");
  expect(() => btf.sizeOf(array)).toThrow("arrays nested more than 64 deep");
  expect(() => btf.alignOf(array)).toThrow("types nested more than 64 deep");
  expect(() => btf.alignOf(self)).toThrow("struct self inside itself");
  expect(() => btf.alignOf(self)).toThrow("struct self inside itself"); // also the second time
  expect(btf.resolve(chain)).toBe(int);
  expect(() => btf.resolve(longer)).toThrow(InputError);
  expect(() => btf.sizeOf(big)).toThrow("an array of 1099511627776 elements");
});

test("structs that share structs cost no more than their number", () => {
  const b = new BtfBuilder();
  let inner = b.int("int", 4);
  for (let i = 0; i < 60; i++) {
    const members = [0, 1, 2].map((m) => ({ name: `m${m}`, typeId: inner, bitOffset: 0 }));
    inner = b.struct(`s${i}`, 4, members);
  }
  expect(parseBtf(b.build()).alignOf(inner)).toBe(4);
});

test("texts beyond ASCII, and bytes that are no UTF-8", () => {
  const b = new BtfBuilder();
  const names = ["plain", "größe", "😀 then more", "after"];
  for (const name of names) b.int(name, 4);
  const bytes = b.build();
  const btf = parseBtf(bytes);
  expect(btf.types.slice(1).map((type) => type.name)).toEqual(names);
  expect(btf.string(1 + "plain".length + 1 + 2)).toBe("öße");
  bytes[bytes.indexOf(0xc3)] = 0xff;
  expect(parseBtf(bytes).type(4).name).toBe("after");
});

test("a BTF cut at any byte is an error, never anything else", () => {
  const whole = build(everything());
  for (let length = 0; length < whole.length; length++) {
    expect(() => parseBtf(whole.subarray(0, length)), `cut to ${length} bytes`).toThrow(InputError);
  }
});

test.each<[string, (words: DataView) => void, string]>([
  ["magic", (v) => v.setUint16(0, 0x1234, true), "header, byte 0: found magic 0x1234"],
  ["version", (v) => v.setUint8(2, 2), "header, byte 2: found version 2, expected 1"],
  ["short header", (v) => v.setUint32(4, 20, true), "header, byte 4: found a header of 20 bytes"],
  ["long header", (v) => v.setUint32(4, 0xffff_ffff, true), "header, byte 4: found a header of 4294967295 bytes"],
  ["types outside", (v) => v.setUint32(12, 0xffff_ffff, true), "header, byte 8: found type section 24..4294967319"],
  ["strings outside", (v) => v.setUint32(16, 0xffff_fff0, true), "header, byte 16: found string section"],
  ["no strings", (v) => v.setUint32(20, 0, true), "no NUL at both ends"],
  ["name", (v) => v.setUint32(24, 5, true), "type id 1, before byte 28: found string offset 5, expected 0..4"],
  ["kind", (v) => v.setUint32(28, 20 << 24, true), "found kind 20, expected 1..19"],
  ["void", (v) => v.setUint32(28, 0, true), "found kind 0, expected 1..19"],
  ["unused bits", (v) => v.setUint32(28, 0x0110_0000, true), "found info 0x1100000"],
  ["int size", (v) => v.setUint32(32, 3, true), "found a size of 3, expected 1, 2, 4, 8, 16"],
  ["int bits", (v) => v.setUint32(36, 33, true), "found an int's value up to bit 33, expected at most 32"],
  ["reference", (v) => v.setUint32(28, 2 << 24, true), "type id 1: found a reference to type id 4, expected 0..1"],
  ["func linkage", (v) => v.setUint32(28, (12 << 24) + 3, true), "found linkage 3, expected 0..2"],
  ["vlen", (v) => v.setUint32(28, (4 << 24) + 0xffff, true), "found 4 bytes for members, expected 786420"],
])("a wrong %s is named", (_what, spoil, message) => {
  const b = new BtfBuilder();
  b.int("int", 4);
  const bytes = b.build();
  spoil(new DataView(bytes.buffer));
  // "reference" turns the int into a pointer: its encoding word must then not look like a second type.
  const input = message.includes("reference") ? withTypeBytes(bytes, 12) : bytes;
  expect(() => parseBtf(input)).toThrow(message);
});

/** The same BTF with only the first `length` bytes of its types. */
function withTypeBytes(bytes: Uint8Array, length: number): Uint8Array {
  new DataView(bytes.buffer).setUint32(12, length, true);
  return bytes;
}

test("members and names are bounded", () => {
  const b = new BtfBuilder();
  const int = b.int("int", 4);
  b.struct("s", 4, [{ name: "beyond", typeId: int, bitOffset: 33 }]);
  expect(() => parseBtf(b.build())).toThrow("member 0 at or up to bit 33, expected at most 32");
  const long = new BtfBuilder();
  long.int("x".repeat(1025), 4);
  expect(() => parseBtf(long.build())).toThrow("a name of 1025 characters, expected at most 1024");
});

test("the builder refuses what the format cannot hold", () => {
  const b = new BtfBuilder();
  expect(() => b.int("a\0b", 4)).toThrow(InputError);
  expect(() => b.struct("s", 2 ** 32, [])).toThrow(InputError);
  expect(() => b.ptr(-1)).toThrow(InputError);
  const members = [{ name: "m", typeId: 0, bitOffset: 2 ** 24, bitSize: 1 }];
  expect(() => b.struct("s", 4, members)).toThrow(InputError);
  const forward = new BtfBuilder();
  forward.ptr(2);
  expect(() => forward.build()).toThrow("a reference to type id 2, expected at most 1");
});

const vmlinux = "/sys/kernel/btf/vmlinux";

test.runIf(existsSync(vmlinux))("the running kernel's BTF", () => {
  const btf = parseBtf(readFileSync(vmlinux));
  expect(btf.count).toBeGreaterThan(10_000);
  const insn = btf.find("bpf_insn", "struct")!;
  expect([btf.sizeOf(insn), btf.alignOf(insn)]).toEqual([8, 4]);
  expect(btf.findType("bpf_insn", "struct")?.members.map((m) => [m.name, m.bitOffset, m.bitSize])).toEqual([
    ["code", 0, 0],
    ["dst_reg", 8, 4],
    ["src_reg", 12, 4],
    ["off", 16, 0],
    ["imm", 32, 0],
  ]);
  expect(btf.type(btf.find("bpf_func_id")!)).toMatchObject({ kind: "enum" });
  // Everything in it: decodes, is written again, and comes back the same.
  const builder = new BtfBuilder();
  for (const type of btf.types) builder.add(type);
  const again = parseBtf(builder.build());
  expect(again.count).toBe(btf.count);
  for (let id = 0; id < btf.count; id += 97) expect(again.type(id)).toEqual(btf.type(id));
  const structs = [...btf.types.keys()].filter((id) => /^(struct|union)$/.test(btf.type(id).kind));
  expect(structs.filter((id) => btf.sizeOf(id) % btf.alignOf(id) !== 0).length).toBeLessThan(structs.length / 50); // packed
});
