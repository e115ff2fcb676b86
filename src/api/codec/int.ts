/** Integers and bool. */
import { type Codec, makeCodec } from "./codec.ts";
import { CodecError, show, wrongType } from "./error.ts";
import type { IntLayout } from "./layout.ts";

/** A number of 16 or 32 bits; little-endian unless `.be` is taken. */
export interface EndianCodec extends Codec<number> {
  /** Big-endian, the order of network headers. */
  readonly be: Codec<number>;
  /** Little-endian, said aloud. */
  readonly le: Codec<number>;
}

/** A bigint of 64 bits. */
export interface WordCodec extends Codec<bigint> {
  /** The same bytes as a `number`: a value beyond 2^53 - 1 (either sign) is a CodecError both ways. */
  readonly asNumber: Codec<number>;
}

/** A bigint of 64 bits; little-endian unless `.be` is taken. */
export interface EndianWordCodec extends WordCodec {
  /** Big-endian, the order of network headers. */
  readonly be: WordCodec;
  /** Little-endian, said aloud. */
  readonly le: WordCodec;
}

function intLayout(size: number, signed: boolean, order: "little" | "big"): IntLayout {
  return { kind: "int", size, align: size, signed, order };
}

/** Never returns: says what is wrong with a value for an integer of up to 32 bits. */
export function badNumber(value: unknown, kind: string, range: string): never {
  if (typeof value === "bigint") throw wrongType(value, kind, "a number", `write ${value}`);
  if (typeof value !== "number") throw wrongType(value, kind, "a number");
  if (!Number.isInteger(value)) throw new CodecError("range", `${show(value)} is not a whole number (${kind})`, value);
  throw new CodecError("range", `${show(value)} is out of range for ${kind} (${range})`, value);
}

/** Never returns: says what is wrong with a value for an integer of 64 bits. */
export function badBigint(value: unknown, kind: string, range: string): never {
  if (typeof value === "number") {
    const hint = Number.isSafeInteger(value) ? `write ${value}n` : "write it as a bigint";
    throw wrongType(value, kind, "a bigint", `${hint}, or declare the field as ${kind}.asNumber`);
  }
  if (typeof value !== "bigint") throw wrongType(value, kind, "a bigint");
  throw new CodecError("range", `${show(value)} is out of range for ${kind} (${range})`, value);
}

/** A codec with its two byte orders. Its own is little. */
function endian(little: Codec<number>, big: Codec<number>): EndianCodec {
  return Object.assign(makeCodec<number>(little), { le: little, be: big });
}

const U8_RANGE = "0 to 255";
/** `__u8`, `unsigned char`: 0 to 255. */
export const u8: Codec<number> = /* @__PURE__ */ makeCodec<number>({
  kind: "u8",
  layout: intLayout(1, false, "little"),
  read: (from, offset) => from.view.getUint8(offset),
  write: (to, offset, value) => {
    if (typeof value !== "number" || (value & 0xff) !== value) badNumber(value, "u8", U8_RANGE);
    to.view.setUint8(offset, value);
  },
});

const S8_RANGE = "-128 to 127";
/** `__s8`, `signed char`: -128 to 127. */
export const s8: Codec<number> = /* @__PURE__ */ makeCodec<number>({
  kind: "s8",
  layout: intLayout(1, true, "little"),
  read: (from, offset) => from.view.getInt8(offset),
  write: (to, offset, value) => {
    if (typeof value !== "number" || (value << 24) >> 24 !== value) badNumber(value, "s8", S8_RANGE);
    to.view.setInt8(offset, value);
  },
});

const U16_RANGE = "0 to 65535";
const u16Little: Codec<number> = /* @__PURE__ */ makeCodec<number>({
  kind: "u16",
  layout: intLayout(2, false, "little"),
  read: (from, offset) => from.view.getUint16(offset, true),
  write: (to, offset, value) => {
    if (typeof value !== "number" || (value & 0xffff) !== value) badNumber(value, "u16", U16_RANGE);
    to.view.setUint16(offset, value, true);
  },
});
const u16Big: Codec<number> = /* @__PURE__ */ makeCodec<number>({
  kind: "u16.be",
  layout: intLayout(2, false, "big"),
  read: (from, offset) => from.view.getUint16(offset, false),
  write: (to, offset, value) => {
    if (typeof value !== "number" || (value & 0xffff) !== value) badNumber(value, "u16.be", U16_RANGE);
    to.view.setUint16(offset, value, false);
  },
});
/** `__u16`: 0 to 65535, little-endian; `u16.be` is `__be16`. */
export const u16: EndianCodec = /* @__PURE__ */ endian(u16Little, u16Big);

const S16_RANGE = "-32768 to 32767";
const s16Little: Codec<number> = /* @__PURE__ */ makeCodec<number>({
  kind: "s16",
  layout: intLayout(2, true, "little"),
  read: (from, offset) => from.view.getInt16(offset, true),
  write: (to, offset, value) => {
    if (typeof value !== "number" || (value << 16) >> 16 !== value) badNumber(value, "s16", S16_RANGE);
    to.view.setInt16(offset, value, true);
  },
});
const s16Big: Codec<number> = /* @__PURE__ */ makeCodec<number>({
  kind: "s16.be",
  layout: intLayout(2, true, "big"),
  read: (from, offset) => from.view.getInt16(offset, false),
  write: (to, offset, value) => {
    if (typeof value !== "number" || (value << 16) >> 16 !== value) badNumber(value, "s16.be", S16_RANGE);
    to.view.setInt16(offset, value, false);
  },
});
/** `__s16`, `short`: -32768 to 32767, little-endian. */
export const s16: EndianCodec = /* @__PURE__ */ endian(s16Little, s16Big);

const U32_RANGE = "0 to 4294967295";
const u32Little: Codec<number> = /* @__PURE__ */ makeCodec<number>({
  kind: "u32",
  layout: intLayout(4, false, "little"),
  read: (from, offset) => from.view.getUint32(offset, true),
  write: (to, offset, value) => {
    if (typeof value !== "number" || value >>> 0 !== value) badNumber(value, "u32", U32_RANGE);
    to.view.setUint32(offset, value, true);
  },
});
const u32Big: Codec<number> = /* @__PURE__ */ makeCodec<number>({
  kind: "u32.be",
  layout: intLayout(4, false, "big"),
  read: (from, offset) => from.view.getUint32(offset, false),
  write: (to, offset, value) => {
    if (typeof value !== "number" || value >>> 0 !== value) badNumber(value, "u32.be", U32_RANGE);
    to.view.setUint32(offset, value, false);
  },
});
/** `__u32`: 0 to 4294967295, little-endian; `u32.be` is `__be32`. */
export const u32: EndianCodec = /* @__PURE__ */ endian(u32Little, u32Big);

const S32_RANGE = "-2147483648 to 2147483647";
const s32Little: Codec<number> = /* @__PURE__ */ makeCodec<number>({
  kind: "s32",
  layout: intLayout(4, true, "little"),
  read: (from, offset) => from.view.getInt32(offset, true),
  write: (to, offset, value) => {
    if (typeof value !== "number" || (value | 0) !== value) badNumber(value, "s32", S32_RANGE);
    to.view.setInt32(offset, value, true);
  },
});
const s32Big: Codec<number> = /* @__PURE__ */ makeCodec<number>({
  kind: "s32.be",
  layout: intLayout(4, true, "big"),
  read: (from, offset) => from.view.getInt32(offset, false),
  write: (to, offset, value) => {
    if (typeof value !== "number" || (value | 0) !== value) badNumber(value, "s32.be", S32_RANGE);
    to.view.setInt32(offset, value, false);
  },
});
/** `__s32`, `int`: -2147483648 to 2147483647, little-endian. */
export const s32: EndianCodec = /* @__PURE__ */ endian(s32Little, s32Big);

const U64_RANGE = "0 to 2^64 - 1";
const S64_RANGE = "-2^63 to 2^63 - 1";
const HIGH = 2 ** 32;

/** A 64-bit integer as a number; what a number cannot hold exactly is refused. */
function safeNumber(kind: string, signed: boolean, little: boolean): Codec<number> {
  const low = little ? 0 : 4;
  const high = little ? 4 : 0;
  const smallest = signed ? Number.MIN_SAFE_INTEGER : 0;
  return makeCodec<number>({
    kind,
    layout: intLayout(8, signed, little ? "little" : "big"),
    read: (from, offset) => {
      const { view } = from;
      const upper = signed ? view.getInt32(offset + high, little) : view.getUint32(offset + high, little);
      const value = upper * HIGH + view.getUint32(offset + low, little);
      if (value > Number.MAX_SAFE_INTEGER || value < Number.MIN_SAFE_INTEGER) {
        const exact = signed ? view.getBigInt64(offset, little) : view.getBigUint64(offset, little);
        throw new CodecError(
          "range",
          `${exact} is beyond 2^53 - 1, the most ${kind} gives; leave out .asNumber`,
          exact,
        );
      }
      return value;
    },
    write: (to, offset, value) => {
      if (!Number.isSafeInteger(value) || value < smallest) badNumber(value, kind, `${smallest} to 2^53 - 1`);
      to.view.setUint32(offset + low, value, little);
      to.view.setInt32(offset + high, Math.floor(value / HIGH), little);
    },
  });
}

function word(codec: Codec<bigint>, signed: boolean): WordCodec {
  const little = codec.layout.kind === "int" && codec.layout.order === "little";
  return Object.assign(codec, { asNumber: safeNumber(`${codec.kind}.asNumber`, signed, little) });
}

function endianWord(little: WordCodec, big: WordCodec): EndianWordCodec {
  return Object.assign(makeCodec<bigint>(little), { asNumber: little.asNumber, le: little, be: big });
}

const u64Little: WordCodec = /* @__PURE__ */ word(
  makeCodec<bigint>({
    kind: "u64",
    layout: intLayout(8, false, "little"),
    read: (from, offset) => {
      const { words } = from;
      const index = offset >>> 3;
      return (offset & 7) === 0 && index < words.length ? words[index]! : from.view.getBigUint64(offset, true);
    },
    write: (to, offset, value) => {
      if (typeof value !== "bigint" || BigInt.asUintN(64, value) !== value) badBigint(value, "u64", U64_RANGE);
      const { words } = to;
      const index = offset >>> 3;
      if ((offset & 7) === 0 && index < words.length) words[index] = value;
      else to.view.setBigUint64(offset, value, true);
    },
  }),
  false,
);
const u64Big: WordCodec = /* @__PURE__ */ word(
  makeCodec<bigint>({
    kind: "u64.be",
    layout: intLayout(8, false, "big"),
    read: (from, offset) => from.view.getBigUint64(offset, false),
    write: (to, offset, value) => {
      if (typeof value !== "bigint" || BigInt.asUintN(64, value) !== value) badBigint(value, "u64.be", U64_RANGE);
      to.view.setBigUint64(offset, value, false);
    },
  }),
  false,
);
/** `__u64`: a bigint, 0 to 2^64 - 1, little-endian; `u64.be` is `__be64`, `u64.asNumber` a number. */
export const u64: EndianWordCodec = /* @__PURE__ */ endianWord(u64Little, u64Big);

const s64Little: WordCodec = /* @__PURE__ */ word(
  makeCodec<bigint>({
    kind: "s64",
    layout: intLayout(8, true, "little"),
    read: (from, offset) => {
      const { words } = from;
      const index = offset >>> 3;
      return (offset & 7) === 0 && index < words.length
        ? BigInt.asIntN(64, words[index]!)
        : from.view.getBigInt64(offset, true);
    },
    write: (to, offset, value) => {
      if (typeof value !== "bigint" || BigInt.asIntN(64, value) !== value) badBigint(value, "s64", S64_RANGE);
      const { words } = to;
      const index = offset >>> 3;
      if ((offset & 7) === 0 && index < words.length) words[index] = value;
      else to.view.setBigInt64(offset, value, true);
    },
  }),
  true,
);
const s64Big: WordCodec = /* @__PURE__ */ word(
  makeCodec<bigint>({
    kind: "s64.be",
    layout: intLayout(8, true, "big"),
    read: (from, offset) => from.view.getBigInt64(offset, false),
    write: (to, offset, value) => {
      if (typeof value !== "bigint" || BigInt.asIntN(64, value) !== value) badBigint(value, "s64.be", S64_RANGE);
      to.view.setBigInt64(offset, value, false);
    },
  }),
  true,
);
/** `__s64`: a bigint, -2^63 to 2^63 - 1, little-endian; `s64.asNumber` is a number. */
export const s64: EndianWordCodec = /* @__PURE__ */ endianWord(s64Little, s64Big);

/** `bool`: one byte. Any byte but 0 is true; true is written as 1. */
export const bool: Codec<boolean> = /* @__PURE__ */ makeCodec<boolean>({
  kind: "bool",
  layout: { kind: "bool", size: 1, align: 1 },
  read: (from, offset) => from.view.getUint8(offset) !== 0,
  write: (to, offset, value) => {
    if (typeof value !== "boolean") throw wrongType(value, "bool", "true or false");
    to.view.setUint8(offset, value ? 1 : 0);
  },
});
