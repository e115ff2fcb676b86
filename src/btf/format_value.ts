/** A value of a BTF type as plain JavaScript data, for display. Kernel counterpart: btf_show in kernel/bpf/btf.c. */
import type { Btf } from "./btf.ts";
import type { BtfEnum, BtfEnum64, BtfInt, BtfMember, BtfType } from "./types.ts";
import { fail, MAX_DEPTH } from "./wire.ts";

export type BtfValue = number | bigint | boolean | string | readonly BtfValue[] | { readonly [name: string]: BtfValue };

/** Most parts of one value: types can describe far more of them than there are bytes (arrays of empty structs). */
const MAX_PARTS = 1_000_000;
/** Wider integers, and every 64-bit one, become bigint. */
const MAX_NUMBER_BYTES = 4;

/**
 * Integers up to 32 bits become numbers, wider ones bigints; `bool` a boolean; enums the name of their value; pointers
 * text such as "0x7f00"; `char` arrays text where they hold printable text and nothing behind its NUL; structs objects,
 * the members of anonymous ones as their own; unions objects with every member's reading of the same bytes.
 * Too few bytes, or a type that has no values, is an InputError; bytes behind the value are ignored.
 */
export function formatValue(btf: Btf, typeId: number, bytes: Uint8Array): BtfValue {
  const size = btf.sizeOf(typeId);
  if (bytes.length < size) fail(`value of type id ${typeId}`, `${bytes.length} bytes`, `${size}`);
  return new ValueReader(btf, bytes).read(typeId, 0, 0);
}

class ValueReader {
  readonly #btf: Btf;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  /** Value → name of each enum met so far. */
  readonly #enums: Map<BtfType, Map<number | bigint, string>> = new Map();
  #parts = 0;

  constructor(btf: Btf, bytes: Uint8Array) {
    this.#btf = btf;
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  read(typeId: number, at: number, depth: number): BtfValue {
    this.#count(typeId, depth);
    const type = this.#btf.type(this.#btf.resolve(typeId));
    switch (type.kind) {
      case "int": {
        const whole = type.bits === type.size * 8;
        if (!whole) return this.#scalar(type, this.#bits(at * 8 + type.bitOffset, type.bits, type.signed));
        return this.#scalar(type, this.#integer(at, type.size, type.signed));
      }
      case "enum":
      case "enum64":
        return this.#scalar(type, this.#integer(at, type.size, type.signed));
      case "ptr":
        return `0x${this.#integer(at, 8, false).toString(16)}`;
      case "float":
        return this.#float(at, type.size);
      case "array":
        return this.#array(type.elemTypeId, type.length, at, depth);
      case "struct":
      case "union":
        return Object.fromEntries(this.#members(type.members, at, depth));
      case "var":
        return this.read(type.typeId, at, depth + 1);
      case "datasec": {
        const vars = type.vars.map((v) => {
          const name = this.#btf.type(v.typeId).name;
          return [name, this.read(v.typeId, at + v.offset, depth + 1)] as const;
        });
        return Object.fromEntries(vars);
      }
      case "void":
      case "fwd":
      case "func":
      case "func_proto":
      case "decl_tag":
      case "typedef":
      case "volatile":
      case "const":
      case "restrict":
      case "type_tag":
        return fail(`type id ${typeId}`, `${type.kind} ${type.name}`.trimEnd(), "a type that has values");
      default:
        return type satisfies never;
    }
  }

  #members(members: readonly BtfMember[], at: number, depth: number): (readonly [string, BtfValue])[] {
    return members.flatMap((member) => {
      const { name, typeId, bitOffset, bitSize } = member;
      this.#count(typeId, depth);
      const type = this.#btf.type(this.#btf.resolve(typeId));
      if (bitSize !== 0) {
        // A bitfield without name is padding.
        if (name === "") return [];
        return [[name, this.#bitfield(type, at * 8 + bitOffset, bitSize)] as const];
      }
      const start = at + Math.floor(bitOffset / 8);
      if (name !== "") return [[name, this.read(typeId, start, depth + 1)] as const];
      return type.kind === "struct" || type.kind === "union" ? this.#members(type.members, start, depth + 1) : [];
    });
  }

  #array(elemTypeId: number, length: number, at: number, depth: number): BtfValue {
    const elem = this.#btf.type(this.#btf.resolve(elemTypeId));
    // Compilers say "char" by name; few set the flag.
    if (elem.kind === "int" && elem.size === 1 && (elem.char || elem.name === "char")) {
      this.#need(at, length);
      const text = printable(this.#bytes.subarray(at, at + length));
      if (text !== undefined) return text;
    }
    if (length > MAX_PARTS - this.#parts) this.#tooMany();
    const size = this.#btf.sizeOf(elemTypeId);
    return Array.from({ length }, (_, i) => this.read(elemTypeId, at + i * size, depth + 1));
  }

  #bitfield(type: BtfType, bit: number, count: number): BtfValue {
    if (type.kind === "int" || type.kind === "enum" || type.kind === "enum64") {
      return this.#scalar(type, this.#bits(bit, count, type.signed));
    }
    return fail(`bitfield at bit ${bit}`, type.kind, "an int or an enum");
  }

  /** An integer as what its type makes of it. */
  #scalar(type: BtfInt | BtfEnum | BtfEnum64, raw: number | bigint): BtfValue {
    const value = sized(raw, type.size);
    if (type.kind === "int") return type.bool && (Number(raw) === 0 || Number(raw) === 1) ? Number(raw) === 1 : value;
    let names = this.#enums.get(type);
    if (names === undefined) {
      // Of two names for one value the first stands: later entries of the reversed list overwrite earlier ones.
      names = new Map(type.values.map((v) => [sized(v.value, type.size), v.name] as const).reverse());
      this.#enums.set(type, names);
    }
    return names.get(value) ?? value;
  }

  #float(at: number, size: number): BtfValue {
    this.#need(at, size);
    if (size === 4) return this.#view.getFloat32(at, this.#btf.littleEndian);
    if (size === 8) return this.#view.getFloat64(at, this.#btf.littleEndian);
    // JavaScript has no number for these: their bits.
    return `0x${this.#integer(at, size, false).toString(16)}`;
  }

  #integer(at: number, size: number, signed: boolean): number | bigint {
    this.#need(at, size);
    const little = this.#btf.littleEndian;
    switch (size) {
      case 1:
        return signed ? this.#view.getInt8(at) : this.#view.getUint8(at);
      case 2:
        return signed ? this.#view.getInt16(at, little) : this.#view.getUint16(at, little);
      case 4:
        return signed ? this.#view.getInt32(at, little) : this.#view.getUint32(at, little);
      case 8:
        return signed ? this.#view.getBigInt64(at, little) : this.#view.getBigUint64(at, little);
      default:
        return this.#bits(at * 8, size * 8, signed);
    }
  }

  /** Bits are counted as the byte order does: from the low end of the first byte, or from its high end. */
  #bits(bit: number, count: number, signed: boolean): bigint {
    const first = Math.floor(bit / 8);
    const last = Math.ceil((bit + count) / 8);
    this.#need(first, last - first);
    let all = 0n;
    for (let i = first; i < last; i++) {
      const byte = BigInt(this.#view.getUint8(i));
      all = this.#btf.littleEndian ? all | (byte << BigInt((i - first) * 8)) : (all << 8n) | byte;
    }
    const below = this.#btf.littleEndian ? bit - first * 8 : last * 8 - bit - count;
    const value = all >> BigInt(below);
    return signed ? BigInt.asIntN(count, value) : BigInt.asUintN(count, value);
  }

  #need(at: number, size: number): void {
    if (at + size <= this.#bytes.length) return;
    fail("value", `a part up to byte ${at + size}`, `an end within ${this.#bytes.length} bytes`);
  }

  #count(typeId: number, depth: number): void {
    if (depth > MAX_DEPTH) fail(`type id ${typeId}`, `types nested more than ${MAX_DEPTH} deep`, "fewer");
    this.#parts++;
    if (this.#parts > MAX_PARTS) this.#tooMany();
  }

  #tooMany(): never {
    return fail("value", `more than ${MAX_PARTS} parts`, "fewer");
  }
}

/** As a number or a bigint, whichever values of this size are. */
function sized(value: number | bigint, size: number): number | bigint {
  return size <= MAX_NUMBER_BYTES ? Number(value) : BigInt(value);
}

/** The text of a char array, or undefined where that would hide something. */
function printable(bytes: Uint8Array): string | undefined {
  const nul = bytes.indexOf(0);
  const end = nul < 0 ? bytes.length : nul;
  if (!bytes.subarray(end).every((byte) => byte === 0)) return undefined;
  try {
    // A copy, because a TextDecoder refuses shared memory.
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(
      new Uint8Array(bytes.subarray(0, end)),
    );
    return /^[^\p{C}]*$/u.test(text.replace(/[\t\n\r]/g, "")) ? text : undefined;
  } catch {
    return undefined;
  }
}
