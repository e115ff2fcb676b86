/** Codecs and BTF: from it, against it, to it. */
import { existsSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { type Btf, BtfBuilder, formatValue, parseBtf } from "../../btf/index.ts";
import { InputError } from "../../errors.ts";
import { type Codec, codecFromBtf, compareWithBtf, u32, u64 } from "./index.ts";

/** The BTF with the types that `make` adds, and the id that it returns. */
function built(make: (b: BtfBuilder) => number): [Btf, number] {
  const builder = new BtfBuilder();
  const id = make(builder);
  return [parseBtf(builder.build()), id];
}

function codecOf(make: (b: BtfBuilder) => number): Codec<unknown> {
  return codecFromBtf(...built(make));
}

const at = (name: string, typeId: number, offset: number, bitSize = 0) => ({
  name,
  typeId,
  bitOffset: Math.round(offset * 8),
  bitSize,
});

test("integers, by size and sign", () => {
  const bytesOf = Uint8Array.from({ length: 16 }, () => 0xfe);
  const decoded = [1, 2, 4, 8, 16].flatMap((size) =>
    [false, true].map((signed) => codecOf((b) => b.int("i", size, { signed })).decode(bytesOf)),
  );
  expect(decoded).toEqual([
    0xfe,
    -2,
    0xfefe,
    -258,
    0xfefefefe,
    -16843010,
    0xfefefefefefefefen,
    -72340172838076674n,
    0xfefefefefefefefefefefefefefefefen,
    -1334440654591915542993625911497130242n,
  ]);
  const wide = codecOf((b) => b.int("__int128", 16, { signed: true }));
  for (const value of [-1n, -(2n ** 127n), 2n ** 127n - 1n, 1n << 64n])
    expect(wide.decode(wide.encode(value))).toBe(value);
  expect(() => wide.encode(2n ** 127n)).toThrow("out of range");
  expect(() => codecOf((b) => b.int("unsigned __int128", 16)).encode(-1n)).toThrow("out of range");
  expect(codecOf((b) => b.int("_Bool", 1, { bool: true })).decode(bytesOf)).toBe(true);
  expect(codecOf((b) => b.ptr(0)).decode(bytesOf)).toBe(0xfefefefefefefefen);
});

test("floats; what JavaScript has no number for is bytes", () => {
  const single = codecOf((b) => b.float("float", 4));
  const double = codecOf((b) => b.float("double", 8));
  expect(single.decode(single.encode(1.5))).toBe(1.5);
  expect(double.decode(double.encode(-0.1))).toBe(-0.1);
  expect(() => double.encode(1n)).toThrow("no number");
  expect(codecOf((b) => b.float("long double", 16)).decode(new Uint8Array(16))).toEqual(new Uint8Array(16));
});

test("enums by name, typedefs and qualifiers seen through", () => {
  const action = codecOf((b) => {
    const id = b.enum("act", [
      { name: "DROP", value: 1 },
      { name: "PASS", value: 2 },
    ]);
    return b.typedef("act_t", b.const(b.volatile(id)));
  });
  expect([action.decode(u32.encode(2)), action.decode(u32.encode(7))]).toEqual(["PASS", 7]);
  expect([...action.encode("DROP"), ...action.encode(9)]).toEqual([1, 0, 0, 0, 9, 0, 0, 0]);
  const negative = codecOf((b) => b.enum("e", [{ name: "NEG", value: -1 }], { signed: true, size: 2 }));
  expect(negative.decode(Uint8Array.of(0xff, 0xff))).toBe("NEG");
  const wide = codecOf((b) => b.enum64("w", [{ name: "TOP", value: 1n << 63n }]));
  expect(wide.decode(wide.encode("TOP"))).toBe("TOP");
  expect(wide.decode(wide.encode(3n))).toBe(3n);
  // An enum of 8 bytes in the old form has numbers in BTF and bigints in memory.
  const old = codecOf((b) => b.enum("o", [{ name: "ONE", value: 1 }], { size: 8 }));
  expect(old.decode(u64.encode(1n))).toBe("ONE");
});

test("arrays: text, bytes, numbers", () => {
  const text = codecOf((b) => b.array(b.int("char", 1, { signed: true }), b.int("u32", 4), 4));
  expect(text.decode(Uint8Array.of(0x61, 0x62, 0, 0))).toBe("ab");
  expect(text.decode(Uint8Array.of(0x61, 0x62, 0x63, 0x64))).toBe("abcd");
  // Text would hide these.
  for (const raw of [Uint8Array.of(0x61, 0, 0x62, 0), Uint8Array.of(0xff, 0, 0, 0)]) {
    expect(text.decode(raw)).toEqual(raw);
    expect(text.encode(text.decode(raw))).toEqual(raw);
  }
  const flagged = codecOf((b) => b.array(b.int("c", 1, { char: true }), b.int("u32", 4), 2));
  expect(flagged.decode(Uint8Array.of(0x61, 0))).toBe("a");
  const raw = codecOf((b) => b.array(b.int("unsigned char", 1), b.int("u32", 4), 2));
  expect(raw.decode(Uint8Array.of(1, 2))).toEqual(Uint8Array.of(1, 2));
  const numbers = codecOf((b) => b.array(b.array(b.int("short", 2, { signed: true }), 1, 2), b.int("u32", 4), 2));
  expect(numbers.decode(Uint8Array.of(1, 0, 2, 0, 3, 0, 0xff, 0xff))).toEqual([
    [1, 2],
    [3, -1],
  ]);
});

test("structs with bit fields, also of compilers that put the bits into the int", () => {
  const codec = codecOf((b) => {
    const u = b.int("u32", 4);
    const e = b.enum("e", [{ name: "TWO", value: 2 }]);
    const flag = b.int("_Bool", 1, { bool: true });
    return b.struct("s", 8, [at("a", u, 0, 3), at("e", e, 3 / 8, 2), at("f", flag, 5 / 8, 1), at("b", u, 1, 20)]);
  });
  const value = { a: 5, e: "TWO", f: true, b: 0xabcde };
  expect([...codec.encode(value)]).toEqual([0b110101, 0xde, 0xbc, 0x0a, 0, 0, 0, 0]);
  expect(codec.decode(codec.encode(value))).toStrictEqual(value);
  expect(() => codec.encode({ ...value, e: "SIX" })).toThrow("e: SIX is no name of enum e");
  const old = codecOf((b) => b.struct("o", 4, [at("x", b.int("i", 4, { bits: 5, bitOffset: 3, signed: true }), 1)]));
  expect(old.decode(Uint8Array.of(0, 0xf8, 0, 0))).toEqual({ x: -1 });
  expect([...old.encode({ x: -1 })]).toEqual([0, 0xf8, 0, 0]);
  const alone = codecOf((b) => b.int("i", 4, { bits: 5, bitOffset: 11 }));
  expect(alone.decode(Uint8Array.of(0, 0xf8, 0, 0))).toBe(31);
  expect([...alone.encode(3, new Uint8Array(4).fill(255))]).toEqual([0, 0x18, 0, 0]);
});

/** struct { u16 family; union { u32 v4; struct { u32 lo, hi; }; u8 v6[16]; }; u8 end; } */
function anonymous(b: BtfBuilder): number {
  const u = b.int("u32", 4);
  const half = b.struct("", 8, [at("lo", u, 0), at("hi", u, 4)]);
  const six = b.array(b.int("unsigned char", 1), u, 16);
  const either = b.union("", 16, [at("v4", u, 0), at("", half, 0), at("v6", six, 0)]);
  return b.struct("addr", 24, [at("family", b.int("u16", 2), 0), at("", either, 4), at("end", b.int("u8", 1), 20)]);
}

test("members of anonymous structs and unions are the holder's", () => {
  const codec = codecOf(anonymous);
  const raw = Uint8Array.from([2, 0, 0, 0, ...Array.from({ length: 16 }, (_, i) => i + 1), 9, 0, 0, 0]);
  const value = codec.decode(raw);
  expect(value).toEqual({ family: 2, v4: 0x04030201, lo: 0x04030201, hi: 0x08070605, v6: raw.slice(4, 20), end: 9 });
  expect(codec.encode(value)).toEqual(raw);
  expect([...codec.encode({ family: 2, v4: 1, end: 3 })]).toEqual([
    2,
    0,
    0,
    0,
    1,
    ...new Array(15).fill(0),
    3,
    0,
    0,
    0,
  ]);
  expect([...codec.encode({ family: 2, lo: 1, hi: 2, end: 3 }).subarray(4, 12)]).toEqual([1, 0, 0, 0, 2, 0, 0, 0]);
  expect(() => codec.encode({ family: 2, end: 3 })).toThrow("struct addr takes one of v4, lo, hi, v6; given: none");
  expect(() => codec.encode({ family: 2, lo: 1, end: 3 })).toThrow("hi: missing");
  expect(() => codec.encode({ ...(value as object), v4: 7 })).toThrow("v4: does not agree with the other members");
  expect(() => codec.encode({ family: 2, v4: 1, end: 3, x: 1 })).toThrow("x: not a member of struct addr, which has");
  expect(() => codec.encode({ family: 70000, v4: 1, end: 3 })).toThrow("family: 70000 is out of range");
  expect(() => codec.encode(1)).toThrow("struct addr takes an object");
});

test("unions: all members read, written from one or from several that agree", () => {
  const codec = codecOf((b) => {
    const u = b.int("u32", 4);
    return b.union("u", 4, [at("whole", u, 0), at("low", b.int("u16", 2), 0), at("bit", u, 0, 1)]);
  });
  expect(codec.decode(Uint8Array.of(1, 2, 3, 4))).toEqual({ whole: 0x04030201, low: 0x0201, bit: 1 });
  expect([...codec.encode({ low: 7 })]).toEqual([7, 0, 0, 0]);
  expect([...codec.encode({ bit: 1 }, new Uint8Array(4).fill(255))]).toEqual([1, 0, 0, 0]);
  expect([...codec.encode({ bit: 1, low: 0x0201, whole: 0x04030201 })]).toEqual([1, 2, 3, 4]);
  expect(() => codec.encode({ low: 1, whole: 2 })).toThrow("low: does not agree");
});

test("sections and variables", () => {
  const codec = codecOf((b) => {
    const u = b.int("u32", 4);
    return b.datasec(".data", 8, [
      { typeId: b.var("second", b.const(u)), offset: 4, size: 4 },
      { typeId: b.var("first", u), offset: 0, size: 4 },
    ]);
  });
  expect(codec.decode(Uint8Array.of(1, 0, 0, 0, 2, 0, 0, 0))).toEqual({ first: 1, second: 2 });
  expect(() =>
    codecOf((b) => b.datasec(".bss", 0, [{ typeId: b.var("x", b.int("i", 4)), offset: 0, size: 4 }])),
  ).toThrow("section .bss without a size");
});

test.each<[string, (b: BtfBuilder) => number]>([
  ["void", () => 0],
  ["fwd", (b) => b.fwd("f", "struct")],
  ["func_proto", (b) => b.funcProto(0, [])],
  ["a struct inside itself", (b) => b.struct("s", 8, [at("self", 1, 0)])],
  ["overlapping members", (b) => b.struct("s", 8, [at("a", b.int("i", 4), 0), at("b", 1, 2)])],
  ["a member behind the end", (b) => b.struct("s", 4, [at("a", b.int("i", 8), 0)])],
  ["a member off a byte", (b) => b.struct("s", 8, [at("a", b.int("i", 4), 1 / 8)])],
  ["arrays without bytes", (b) => b.array(b.struct("e", 0, []), b.int("i", 4), 0xffff_ffff)],
  [
    "unions that double",
    (b) => {
      let id = b.int("i", 1);
      for (let i = 0; i < 30; i++) id = b.union("", 1, [at("a", id, 0), at("b", id, 0)]);
      return id;
    },
  ],
  [
    "a deep chain",
    (b) => {
      let id = b.int("i", 1);
      for (let i = 0; i < 40; i++) id = b.struct("", 1, [at("a", id, 0)]);
      return id;
    },
  ],
])("no codec for %s", (_, make) => {
  expect(() => codecOf(make)).toThrow(InputError);
});

test("big-endian BTF is refused", () => {
  const builder = new BtfBuilder({ littleEndian: false });
  const id = builder.int("int", 4);
  expect(() => codecFromBtf(parseBtf(builder.build()), id)).toThrow("big-endian");
});

test("names that JavaScript treats in its own way", () => {
  const codec = codecOf((b) => {
    const u = b.int("u8", 1);
    return b.struct("s", 4, [at("__proto__", u, 0), at("1", u, 1), at("a", u, 2), at("a", u, 3)]);
  });
  expect(codec.decode(Uint8Array.of(1, 2, 3, 4))).toStrictEqual({ ___proto__: 1, _1: 2, a: 3, a_: 4 });
});

const vmlinux = "/sys/kernel/btf/vmlinux";

/** Does what a codec decodes say the same as `formatValue`, which shows pointers as text and bytes as lists? */
function agrees(value: unknown, shown: unknown): boolean {
  if (typeof value === "bigint" && typeof shown === "string") return `0x${value.toString(16)}` === shown;
  if (value instanceof Uint8Array) {
    if (typeof shown === "string") return BigInt(shown) >= 0n;
    return Array.isArray(shown) && shown.every((n, i) => (Number(n) & 0xff) === value[i]);
  }
  if (typeof value !== "object" || value === null) {
    // A byte that is neither 0 nor 1 is a number to the one and true to the other; text may hold what cannot be printed.
    if (typeof value === "boolean" && typeof shown === "number") return value;
    if (typeof value === "string" && Array.isArray(shown)) return true;
    return Object.is(value, shown);
  }
  if (typeof shown !== "object" || shown === null) return false;
  const own = Object.entries(value);
  const theirs = Object.entries(shown);
  return (
    own.length === theirs.length && own.every(([name, part], i) => agrees(part, theirs[i]?.[1]) && name !== undefined)
  );
}

const kernel = existsSync(vmlinux) ? parseBtf(readFileSync(vmlinux)) : undefined;

/** Every `step`th struct and union of the running kernel up to a size. */
function* kernelTypes(btf: Btf, step: number, most: number): Generator<[number, string, number]> {
  for (let id = 1; id < btf.count; id += step) {
    const type = btf.type(id);
    if ((type.kind === "struct" || type.kind === "union") && type.size <= most) yield [id, type.name, type.size];
  }
}

test.runIf(kernel !== undefined)("structs and unions of the kernel: sizes fit, zeros come back as zeros", () => {
  const btf = kernel as Btf;
  let count = 0;
  for (const [id, name, size] of kernelTypes(btf, 7, 512)) {
    count++;
    const codec = codecFromBtf(btf, id);
    expect([name, codec.size]).toEqual([name, size]);
    expect([name, compareWithBtf(codec, btf, id).filter((d) => d.severity === "error")]).toEqual([name, []]);
    const back = codec.encode(codec.decode(new Uint8Array(size)), new Uint8Array(size).fill(0xff));
    expect([name, back.some((byte) => byte !== 0)]).toEqual([name, false]);
  }
  expect(count).toBeGreaterThan(300);
});

test.runIf(kernel !== undefined)(
  "structs of the kernel full of bytes: as formatValue reads them, and back again",
  () => {
    const btf = kernel as Btf;
    let seed = 12345;
    const random = (): number => {
      seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
      return seed >>> 16;
    };
    let refused = 0;
    let count = 0;
    for (const [id, name, size] of kernelTypes(btf, 11, 256)) {
      count++;
      const codec = codecFromBtf(btf, id);
      const raw = Uint8Array.from({ length: size }, random);
      const value = codec.decode(raw);
      expect([name, agrees(value, formatValue(btf, id, raw))]).toEqual([name, true]);
      try {
        expect(codec.decode(codec.encode(value))).toEqual(value);
      } catch (error) {
        // A member of a union with padding where another has data.
        if (!String(error).includes("does not agree")) throw new Error(name, { cause: error });
        refused++;
      }
    }
    expect(count).toBeGreaterThan(200);
    expect(refused / count).toBeLessThan(0.03);
  },
);
