/** Bit fields. They are no codecs: only a struct can place them. */
import type { CodecBuffer } from "./buffer.ts";
import type { Codec } from "./codec.ts";
import { CodecError, wrongType } from "./error.ts";
import { badBigint, badNumber } from "./int.ts";
import { describeLayout } from "./layout.ts";

/** `type name : width` of C, a field of `struct`. Its value has the type that `base` gives. */
export interface BitField<T> {
  /** The declared type; it decides the storage unit, the alignment and the sign. */
  readonly base: Codec<T>;
  /** Bits, at least 1. */
  readonly width: number;
  /** `offset`: the byte with the lowest bit, `shift`: its place in that byte, 0 to 7. */
  readBits(from: CodecBuffer, offset: number, shift: number): T;
  /** The struct has cleared the bits before. */
  writeBits(to: CodecBuffer, offset: number, shift: number, value: T): void;
}

/** The low `width` bits (at most 32) from a bit position on, unsigned. Touches only bytes that have such bits. */
function load(view: DataView, offset: number, shift: number, width: number): number {
  const count = (shift + width + 7) >>> 3;
  let value = 0;
  for (let i = count - 1; i >= 0; i--) value = value * 256 + view.getUint8(offset + i);
  return Math.floor(value / 2 ** shift) % 2 ** width;
}

function store(view: DataView, offset: number, shift: number, width: number, value: number): void {
  const count = (shift + width + 7) >>> 3;
  let rest = value * 2 ** shift;
  for (let i = 0; i < count; i++) {
    view.setUint8(offset + i, view.getUint8(offset + i) | (rest % 256));
    rest = Math.floor(rest / 256);
  }
}

function numberBits(base: Codec<number>, width: number, signed: boolean): BitField<number> {
  const span = 2 ** width;
  const smallest = signed ? -span / 2 : 0;
  const largest = smallest + span - 1;
  return {
    base,
    width,
    readBits: (from, offset, shift) => {
      const raw = load(from.view, offset, shift, width);
      return raw > largest ? raw - span : raw;
    },
    writeBits: (to, offset, shift, value) => {
      if (!Number.isInteger(value) || value < smallest || value > largest) {
        badNumber(value, `${base.kind}:${width}`, `${smallest} to ${largest}`);
      }
      store(to.view, offset, shift, width, value < 0 ? value + span : value);
    },
  };
}

function bigintBits(base: Codec<bigint>, width: number, signed: boolean): BitField<bigint> {
  const lowWidth = Math.min(width, 32);
  const highWidth = width - lowWidth;
  const smallest = signed ? -(1n << BigInt(width - 1)) : 0n;
  const largest = smallest + (1n << BigInt(width)) - 1n;
  return {
    base,
    width,
    readBits: (from, offset, shift) => {
      const low = BigInt(load(from.view, offset, shift, lowWidth));
      const high = highWidth === 0 ? 0n : BigInt(load(from.view, offset + 4, shift, highWidth));
      const raw = (high << 32n) | low;
      return signed ? BigInt.asIntN(width, raw) : raw;
    },
    writeBits: (to, offset, shift, value) => {
      if (typeof value !== "bigint" || value < smallest || value > largest) {
        badBigint(value, `${base.kind}:${width}`, `${smallest} to ${largest}`);
      }
      const raw = BigInt.asUintN(width, value);
      store(to.view, offset, shift, lowWidth, Number(raw & 0xffff_ffffn));
      if (highWidth > 0) store(to.view, offset + 4, shift, highWidth, Number(raw >> 32n));
    },
  };
}

function boolBits(base: Codec<boolean>): BitField<boolean> {
  return {
    base,
    width: 1,
    readBits: (from, offset, shift) => load(from.view, offset, shift, 1) === 1,
    writeBits: (to, offset, shift, value) => {
      if (typeof value !== "boolean") throw wrongType(value, "bool:1", "true or false");
      if (value) store(to.view, offset, shift, 1, 1);
    },
  };
}

/**
 * A bit field of `width` bits: `struct({ version: bits(u8, 4), ihl: bits(u8, 4) })`. `base` is a little-endian integer or
 * `bool`; fields are packed from the lowest bit up, as C does on little-endian machines.
 */
export function bits<T extends number | bigint | boolean>(base: Codec<T>, width: number): BitField<T> {
  const { layout } = base;
  const isBool = layout.kind === "bool";
  const signed = layout.kind === "int" && layout.signed;
  if (!isBool && (layout.kind !== "int" || layout.order === "big")) {
    throw new CodecError("type", `a bit field of ${base.kind}; it is a little-endian integer or bool`, base, "bits");
  }
  const most = isBool ? 1 : layout.size * 8;
  if (!Number.isInteger(width) || width < 1 || width > most) {
    throw new CodecError(
      "range",
      `a width of ${width}; a bit field of ${base.kind} has 1 to ${most} bits`,
      width,
      "bits",
    );
  }
  // What the base decodes to is known from its layout only if it is the plain integer.
  if (base.kind !== describeLayout(layout)) {
    const hint = `take ${describeLayout(layout)}, or a narrower base`;
    throw new CodecError("type", `a bit field of ${base.kind}; ${hint}`, base, "bits");
  }
  const plain: Codec<unknown> = base as Codec<unknown>;
  let field: BitField<unknown>;
  if (isBool) field = boolBits(plain as Codec<boolean>) as BitField<unknown>;
  else if (layout.size === 8) field = bigintBits(plain as Codec<bigint>, width, signed) as BitField<unknown>;
  else field = numberBits(plain as Codec<number>, width, signed) as BitField<unknown>;
  return field as BitField<T>;
}

export function isBitField(field: object): field is BitField<unknown> {
  return "readBits" in field;
}
