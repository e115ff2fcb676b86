/** Codecs for types that only BTF knows: other people's maps, globals, ring buffer records. */
import type { Btf, BtfArray, BtfEnum, BtfEnum64, BtfInt, BtfType } from "../../btf/index.ts";
import { InputError } from "../../errors.ts";
import { array } from "./array.ts";
import { type BitField, bits } from "./bits.ts";
import type { CodecBuffer } from "./buffer.ts";
import { bytes, cstring } from "./bytes.ts";
import { type AnyCodec, type Codec, makeCodec } from "./codec.ts";
import { namedEnum } from "./enum.ts";
import { CodecError } from "./error.ts";
import { type BtfItem, compositeFromBtf } from "./from_btf_struct.ts";
import { badBigint, bool, s8, s16, s32, s64, u8, u16, u32, u64 } from "./int.ts";

const MAX_DEPTH = 32;
/** Values of one codec: BTF made to hurt can describe far more than there are bytes. */
const MAX_PARTS = 1_000_000;

/** A codec and how many values it reads at most. */
interface Built {
  readonly codec: Codec<unknown>;
  readonly parts: number;
}

/**
 * A codec for type `typeId` of `btf`, for whatever has a size: ints up to 32 bits are numbers, wider ones and pointers
 * bigints, `bool` a boolean; an enum is the name of its value, or the number when it has none; a `char` array is text
 * where it holds nothing else, a Uint8Array otherwise, an `unsigned char` array always a Uint8Array; a struct is an object
 * with the members of anonymous structs and unions as its own; a union is an object with all its members, and is encoded
 * from one of them, or from several that agree. Everything is little-endian, also `__be32`.
 * A type without values (`void`, a function, a forward declaration) or BTF of another byte order: InputError.
 */
export function codecFromBtf(btf: Btf, typeId: number): Codec<unknown> {
  if (!btf.littleEndian) throw new InputError("BTF in big-endian order; only little-endian programs can be decoded");
  return new Builder(btf).build(typeId, 0).codec;
}

class Builder {
  readonly #btf: Btf;
  readonly #built: Map<number, Built> = new Map();

  constructor(btf: Btf) {
    this.#btf = btf;
  }

  build(typeId: number, depth: number): Built {
    if (depth > MAX_DEPTH) throw bad(typeId, `types nested more than ${MAX_DEPTH} deep`);
    const id = this.#btf.resolve(typeId);
    const known = this.#built.get(id);
    if (known !== undefined) return known;
    const size = this.#btf.sizeOf(id);
    const built = this.#make(id, this.#btf.type(id), depth);
    if (built.parts > Math.max(MAX_PARTS, size)) throw bad(id, `more than ${MAX_PARTS} values in one`);
    this.#built.set(id, built);
    return built;
  }

  #make(id: number, type: BtfType, depth: number): Built {
    switch (type.kind) {
      case "int":
        return one(intCodec(type));
      case "enum":
      case "enum64":
        return one(enumCodec(type));
      case "ptr":
        return one(pointer());
      case "float":
        return one(type.size === 4 || type.size === 8 ? float(type.size) : bytes(type.size));
      case "array":
        return this.#array(type, depth);
      case "struct":
      case "union": {
        const { items, parts } = this.#items(id, type.members, type.size, depth, type.kind === "struct");
        let align = this.#btf.alignOf(id);
        while (type.size % align !== 0) align /= 2;
        return { codec: compositeFromBtf({ kind: type.kind, name: type.name, size: type.size, align, items }), parts };
      }
      case "var":
        return this.build(type.typeId, depth + 1);
      case "datasec":
        return this.#datasec(id, type.name, type.size, type.vars, depth);
      default:
        throw bad(id, `${type.kind} ${type.name}`.trimEnd());
    }
  }

  #array(type: BtfArray, depth: number): Built {
    const element = this.#btf.type(this.#btf.resolve(type.elemTypeId));
    if (element.kind === "int" && element.size === 1 && element.bits === 8 && !element.bool) {
      // Compilers say "char" by name; few set the flag.
      if (element.char || element.name === "char") return one(charArray(type.length));
      if (!element.signed) return one(bytes(type.length));
    }
    const built = this.build(type.elemTypeId, depth + 1);
    const parts = type.length * Math.max(1, built.parts);
    // Before `array`, which for a length without bytes would go on as long as it says.
    if (parts > Math.max(MAX_PARTS, built.codec.size * type.length))
      throw bad(type.elemTypeId, `${parts} values in one`);
    return { codec: array(built.codec, type.length) as AnyCodec as Codec<unknown>, parts };
  }

  /** The members of a struct or union, checked to lie inside it and, in a struct, one behind the other. */
  #items(
    id: number,
    members: Extract<BtfType, { kind: "struct" }>["members"],
    size: number,
    depth: number,
    ordered: boolean,
  ): { readonly items: readonly BtfItem[]; readonly parts: number } {
    const items: BtfItem[] = [];
    let parts = 0;
    let end = 0;
    for (const member of members) {
      const type = this.#btf.type(this.#btf.resolve(member.typeId));
      let { bitOffset, bitSize } = member;
      // Bit fields of old compilers: the int type itself says which bits.
      if (bitSize === 0 && type.kind === "int" && type.bits !== type.size * 8) {
        bitOffset += type.bitOffset;
        bitSize = type.bits;
      }
      let width = bitSize;
      if (bitSize !== 0) {
        parts++;
        // A bit field without a name is padding.
        if (member.name !== "") items.push({ name: member.name, bitOffset, type: bitField(type, bitSize, id) });
      } else {
        const built = this.build(member.typeId, depth + 1);
        const composite = type.kind === "struct" || type.kind === "union";
        parts += built.parts;
        width = built.codec.size * 8;
        if (member.name !== "" || composite) items.push({ name: member.name, bitOffset, type: built.codec });
        if (bitOffset % 8 !== 0) throw bad(id, `member ${member.name} at bit ${bitOffset}`);
      }
      if (bitOffset + width > size * 8) throw bad(id, `member ${member.name}, which ends behind its ${size} bytes`);
      if (ordered && bitOffset < end) throw bad(id, `member ${member.name}, which overlaps the one before`);
      end = bitOffset + width;
    }
    return { items, parts };
  }

  #datasec(
    id: number,
    name: string,
    size: number,
    vars: Extract<BtfType, { kind: "datasec" }>["vars"],
    depth: number,
  ): Built {
    if (size === 0 && vars.length > 0) throw bad(id, `section ${name} without a size: no linker or loader has set it`);
    const members = vars.map((at) => {
      const built = this.#btf.type(at.typeId);
      return { name: built.name, typeId: at.typeId, bitOffset: at.offset * 8, bitSize: 0 };
    });
    members.sort((a, b) => a.bitOffset - b.bitOffset);
    const { items, parts } = this.#items(id, members, size, depth, true);
    return { codec: compositeFromBtf({ kind: "struct", name, size, align: 1, items }), parts };
  }
}

function bad(id: number, found: string): InputError {
  return new InputError(`BTF type ${id}: ${found}; expected a type that has values`);
}

function one(codec: AnyCodec): Built {
  return { codec: codec as Codec<unknown>, parts: 1 };
}

/** The integer of a size in bytes (1, 2, 4, 8) and a sign. */
function integer(size: number, signed: boolean): Codec<number> | Codec<bigint> {
  switch (size) {
    case 1:
      return signed ? s8 : u8;
    case 2:
      return signed ? s16 : u16;
    case 4:
      return signed ? s32 : u32;
    default:
      return signed ? s64 : u64;
  }
}

function intCodec(type: BtfInt): AnyCodec {
  if (type.bits !== type.size * 8) return loneBits(bitField(type, type.bits, 0), type);
  if (type.size === 16) return wide(type.signed);
  return type.bool && type.size === 1 ? bool : integer(type.size, type.signed);
}

/** Bits of an int, or of an enum by its names. */
function bitField(type: BtfType, width: number, id: number): BitField<unknown> {
  if (type.kind === "int" && type.bool && width === 1) return bits(bool, 1) as BitField<unknown>;
  const composed = type.kind === "int" || type.kind === "enum" || type.kind === "enum64";
  if (!composed || type.size > 8 || width > type.size * 8)
    throw bad(id, `a bit field of ${width} bits of ${type.kind}`);
  const plain = bits(integer(type.size, type.signed) as Codec<number>, width);
  if (type.kind === "int") return plain as BitField<unknown>;
  const codec = enumCodec(type);
  const numbers = new Map<string, number | bigint>(enumValues(type));
  const names = new Map<unknown, string>(
    enumValues(type)
      .map(([name, value]) => [value, name] as const)
      .reverse(),
  );
  return {
    base: codec,
    width,
    readBits: (from, offset, shift) => {
      const value = plain.readBits(from, offset, shift);
      return names.get(value) ?? value;
    },
    writeBits: (to, offset, shift, value) => {
      const number = typeof value === "string" ? numbers.get(value) : value;
      if (number === undefined) throw new CodecError("range", `${value} is no name of ${codec.kind}`, value);
      plain.writeBits(to, offset, shift, number as number);
    },
  };
}

/** An int whose bits do not fill it, standing alone. */
function loneBits(field: BitField<unknown>, type: BtfInt): AnyCodec {
  const [skipped, shift] = [type.bitOffset >>> 3, type.bitOffset & 7];
  return makeCodec<unknown>({
    kind: `${field.base.kind}:${type.bits}`,
    layout: { ...field.base.layout },
    read: (from, offset) => field.readBits(from, offset + skipped, shift),
    write: (to, offset, value) => {
      to.bytes.fill(0, offset, offset + type.size);
      field.writeBits(to, offset + skipped, shift, value);
    },
  });
}

/** The values with the type that their base decodes to. */
function enumValues(type: BtfEnum | BtfEnum64): (readonly [string, number | bigint])[] {
  return type.values.map(({ name, value }) => {
    if (type.size === 8) return [name, BigInt(value)] as const;
    return [name, Number(value)] as const;
  });
}

function enumCodec(type: BtfEnum | BtfEnum64): Codec<unknown> {
  return namedEnum(type.name, enumValues(type), integer(type.size, type.signed)) as Codec<unknown>;
}

function pointer(): Codec<bigint> {
  return makeCodec<bigint>({
    kind: "pointer",
    layout: { kind: "pointer", size: 8, align: 8 },
    read: u64.read,
    write: (to, offset, value) => u64.write(to, offset, value),
  });
}

function float(size: 4 | 8): Codec<number> {
  return makeCodec<number>({
    kind: `f${size * 8}`,
    layout: { kind: "float", size, align: size },
    read: (from, offset) => (size === 4 ? from.view.getFloat32(offset, true) : from.view.getFloat64(offset, true)),
    write: (to, offset, value) => {
      if (typeof value !== "number") throw new CodecError("type", `${String(value)} is no number`, value);
      if (size === 4) to.view.setFloat32(offset, value, true);
      else to.view.setFloat64(offset, value, true);
    },
  });
}

/** __int128. */
function wide(signed: boolean): Codec<bigint> {
  const kind = signed ? "s128" : "u128";
  const upper = signed ? s64 : u64;
  return makeCodec<bigint>({
    kind,
    layout: { kind: "int", size: 16, align: 16, signed, order: "little" },
    read: (from, offset) => (upper.read(from, offset + 8) << 64n) | u64.read(from, offset),
    write: (to, offset, value) => {
      const fits =
        typeof value === "bigint" && (signed ? BigInt.asIntN(128, value) : BigInt.asUintN(128, value)) === value;
      if (!fits) badBigint(value, kind, "128 bits");
      u64.write(to, offset, BigInt.asUintN(64, value));
      upper.write(to, offset + 8, value >> 64n);
    },
  });
}

/** `char[n]`: text where it says everything, bytes where it would hide something. Takes both. */
function charArray(length: number): Codec<string | Uint8Array> {
  const text = cstring(length, { terminated: false });
  const raw = bytes(length);
  return makeCodec<string | Uint8Array>({
    kind: text.kind,
    layout: text.layout,
    read: (from, offset) => (isText(from, offset, length) ? text.read(from, offset) : raw.read(from, offset)),
    write: (to, offset, value) => {
      if (typeof value === "string") text.write(to, offset, value);
      else raw.write(to, offset, value);
    },
  });
}

/** UTF-8, then only NULs. */
function isText({ bytes: all }: CodecBuffer, offset: number, length: number): boolean {
  let end = offset;
  let ascii = true;
  while (end < offset + length && all[end] !== 0) if (all[end++]! >= 0x80) ascii = false;
  for (let i = end; i < offset + length; i++) if (all[i] !== 0) return false;
  if (ascii) return true;
  try {
    new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(all.slice(offset, end));
    return true;
  } catch {
    return false;
  }
}
