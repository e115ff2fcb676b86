import { existsSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { InputError } from "../errors.ts";
import { BtfBuilder, type BtfValue, formatValue, parseBtf } from "./index.ts";

/** Builds one type and formats bytes by it. */
function show(make: (b: BtfBuilder) => number, bytes: readonly number[], littleEndian: boolean = true): BtfValue {
  const b = new BtfBuilder({ littleEndian });
  const id = make(b);
  return formatValue(parseBtf(b.build()), id, new Uint8Array(bytes));
}

const char = (b: BtfBuilder, length: number): number =>
  b.array(b.int("char", 1, { signed: true }), b.int("int", 4), length);

test.each<[string, (b: BtfBuilder) => number, number[], BtfValue]>([
  ["u8", (b) => b.int("u8", 1), [0xff], 255],
  ["s8", (b) => b.int("s8", 1, { signed: true }), [0xff], -1],
  ["u16", (b) => b.int("u16", 2), [1, 2], 0x201],
  ["s32", (b) => b.int("int", 4, { signed: true }), [0xfe, 0xff, 0xff, 0xff], -2],
  ["u32", (b) => b.int("u32", 4), [0, 0, 0, 0x80], 0x8000_0000],
  ["u64", (b) => b.int("u64", 8), [1, 0, 0, 0, 0, 0, 0, 0x80], 0x8000_0000_0000_0001n],
  ["s64", (b) => b.int("s64", 8, { signed: true }), [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], -1n],
  ["u128", (b) => b.int("u128", 16), [1, ...Array(14).fill(0), 0x80], (1n << 127n) + 1n],
  ["part of an int", (b) => b.int("old", 4, { bits: 4, bitOffset: 2, signed: true }), [0b111100, 0, 0, 0], -1],
  ["true", (b) => b.int("_Bool", 1, { bool: true }), [1], true],
  ["false", (b) => b.int("_Bool", 1, { bool: true }), [0], false],
  ["a broken bool", (b) => b.int("_Bool", 1, { bool: true }), [2], 2],
  ["float", (b) => b.float("float", 4), [0, 0, 0xc0, 0x3f], 1.5],
  ["double", (b) => b.float("double", 8), [0, 0, 0, 0, 0, 0, 0xf8, 0x3f], 1.5],
  ["half", (b) => b.float("_Float16", 2), [0, 0x3c], "0x3c00"],
  ["pointer", (b) => b.ptr(0), [0, 0x10, 0, 0, 0, 0x80, 0xff, 0xff], "0xffff800000001000"],
  ["text", (b) => char(b, 4), [104, 105, 0, 0], "hi"],
  ["text without NUL", (b) => char(b, 2), [104, 105], "hi"],
  ["empty text", (b) => char(b, 2), [0, 0], ""],
  ["UTF-8", (b) => char(b, 3), [0xc3, 0xb6, 0], "ö"],
  ["bytes behind the NUL", (b) => char(b, 3), [104, 0, 105], [104, 0, 105]],
  ["control characters", (b) => char(b, 2), [1, 0], [1, 0]],
  ["no UTF-8", (b) => char(b, 2), [0xff, 0], [-1, 0]],
  ["unsigned char array", (b) => b.array(b.int("unsigned char", 1), 1, 2), [104, 105], [104, 105]],
  ["enum", (b) => b.enum("e", [{ name: "A", value: -1 }], { signed: true }), [0xff, 0xff, 0xff, 0xff], "A"],
  [
    "first of two names",
    (b) =>
      b.enum("e", [
        { name: "A", value: 1 },
        { name: "B", value: 1 },
      ]),
    [1, 0, 0, 0],
    "A",
  ],
  ["unknown enum value", (b) => b.enum("e", [{ name: "A", value: 1 }]), [3, 0, 0, 0], 3],
  ["enum64", (b) => b.enum64("e", [{ name: "A", value: 1n << 32n }]), [0, 0, 0, 0, 1, 0, 0, 0], "A"],
  ["unknown enum64 value", (b) => b.enum64("e", []), [1, 0, 0, 0, 0, 0, 0, 0], 1n],
  ["typedef", (b) => b.typedef("t", b.const(b.int("u8", 1))), [7], 7],
  ["var", (b) => b.var("v", b.int("u8", 1)), [7], 7],
  ["more bytes than needed", (b) => b.int("u8", 1), [7, 8, 9], 7],
])("%s", (_what, make, bytes, value) => {
  expect(show(make, bytes)).toEqual(value);
});

function struct(b: BtfBuilder): number {
  const u32 = b.int("u32", 4);
  const s8 = b.int("s8", 1, { signed: true });
  const colour = b.enum("colour", [{ name: "RED", value: 1 }]);
  const bool = b.int("_Bool", 1, { bool: true });
  const inner = b.struct("", 4, [{ name: "word", typeId: u32, bitOffset: 0 }]);
  return b.struct("s", 12, [
    { name: "a", typeId: s8, bitOffset: 0, bitSize: 3 },
    { name: "", typeId: s8, bitOffset: 3, bitSize: 1 },
    { name: "c", typeId: colour, bitOffset: 4, bitSize: 2 },
    { name: "b", typeId: bool, bitOffset: 6, bitSize: 1 },
    { name: "wide", typeId: u32, bitOffset: 7, bitSize: 13 },
    { name: "", typeId: inner, bitOffset: 32 },
    {
      name: "u",
      typeId: b.union("u", 4, [
        { name: "word", typeId: u32, bitOffset: 0 },
        { name: "byte", typeId: s8, bitOffset: 0 },
      ]),
      bitOffset: 64,
    },
  ]);
}

test("structs, bitfields, anonymous members and unions", () => {
  const little = [0b1101_0111, 0b1000_0001, 0b1010, 0, 1, 2, 0, 0, 0xff, 0xff, 0, 0];
  expect(show(struct, little)).toEqual({
    a: -1,
    c: "RED",
    b: true,
    wide: 0b1010_1000_0001_1,
    word: 0x201,
    u: { word: 0xffff, byte: -1 },
  });
  // In big-endian order the first bitfield is at the high end of the first byte.
  const big = [0b1110_0110, 0b1100_0000, 0b0111_0000, 0, 0, 0, 2, 1, 0, 0, 0xff, 0xff];
  expect(show(struct, big, false)).toEqual({
    a: -1,
    c: "RED",
    b: true,
    wide: 0b0_1100_0000_0111,
    word: 0x201,
    u: { word: 0xffff, byte: 0 },
  });
});

test("a data section is an object of its variables", () => {
  const make = (b: BtfBuilder): number => {
    const u16 = b.int("u16", 2);
    const first = b.var("first", u16);
    const second = b.var("second", u16);
    return b.datasec(".data", 4, [
      { typeId: first, offset: 0, size: 2 },
      { typeId: second, offset: 2, size: 2 },
    ]);
  };
  expect(show(make, [1, 0, 2, 0])).toEqual({ first: 1, second: 2 });
});

test("a member called __proto__ is only a member", () => {
  const make = (b: BtfBuilder): number =>
    b.struct("s", 1, [{ name: "__proto__", typeId: b.int("u8", 1), bitOffset: 0 }]);
  expect(Object.entries(show(make, [5]))).toEqual([["__proto__", 5]]);
});

test.each<[string, (b: BtfBuilder) => number, number[], string]>([
  ["too few bytes", (b) => b.int("u32", 4), [1, 2, 3], "found 3 bytes, expected 4"],
  ["void", () => 0, [], "found void, expected a type that has a size"],
  ["a function", (b) => b.func("f", b.funcProto(0, [])), [], "found func f"],
  [
    "a member outside its struct",
    (b) => b.struct("s", 1, [{ name: "m", typeId: b.int("u32", 4), bitOffset: 0 }]),
    [1],
    "a part up to byte 4",
  ],
  [
    "a pointer as bitfield",
    (b) => b.struct("s", 8, [{ name: "m", typeId: b.ptr(0), bitOffset: 0, bitSize: 3 }]),
    Array(8).fill(0),
    "found ptr",
  ],
  [
    "endless nesting",
    (b) => b.struct("s", 4, [{ name: "m", typeId: 1, bitOffset: 0 }]),
    [0, 0, 0, 0],
    "nested more than 64 deep",
  ],
  ["endless nothing", (b) => b.array(b.struct("s", 0, []), 1, 0xffff_ffff), [], "more than 1000000 parts"],
])("%s is an error", (_what, make, bytes, message) => {
  expect(() => show(make, bytes)).toThrow(InputError);
  expect(() => show(make, bytes)).toThrow(message);
});

const vmlinux = "/sys/kernel/btf/vmlinux";

test.runIf(existsSync(vmlinux))("every struct of the running kernel", () => {
  const btf = parseBtf(readFileSync(vmlinux));
  const insn = btf.find("bpf_insn", "struct")!;
  const bytes = new Uint8Array([0xb7, 0x21, 0xfe, 0xff, 1, 0, 0, 0]);
  expect(formatValue(btf, insn, bytes)).toEqual({ code: 0xb7, dst_reg: 1, src_reg: 2, off: -2, imm: 1 });
  const zeros = new Uint8Array(4096);
  let shown = 0;
  for (let id = 1; id < btf.count; id++) {
    const type = btf.type(id);
    if (type.kind !== "struct" || type.size > 4096) continue;
    formatValue(btf, id, zeros);
    shown++;
  }
  expect(shown).toBeGreaterThan(1000);
});
