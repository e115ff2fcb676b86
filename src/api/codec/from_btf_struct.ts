/**
 * Structs and unions as BTF describes them: anonymous members lend their names to whoever holds them, and the members of
 * a union are all read, but written from one alternative.
 */
import { type BitField, isBitField } from "./bits.ts";
import { CodecBuffer } from "./buffer.ts";
import { type AnyCodec, type Codec, columnsOf, makeCodec } from "./codec.ts";
import { CodecError, nested, wrongType } from "./error.ts";
import { type CodecLayout, type CompositeLayout, describeLayout } from "./layout.ts";
import { fieldLayout, type PlacedField } from "./place.ts";
import { placedStruct } from "./struct.ts";

/** A member. An empty name: a struct or union whose members count as those of the holder. */
export interface BtfItem {
  readonly name: string;
  readonly bitOffset: number;
  readonly type: Codec<unknown> | BitField<unknown>;
}

export interface BtfComposite {
  readonly kind: "struct" | "union";
  readonly name: string;
  readonly size: number;
  readonly align: number;
  readonly items: readonly BtfItem[];
}

/** What a value holds for one item: the item itself, or a struct (all of them) or a union (one of them) of such. */
type Part = {
  /** Bits that its value decides: of a union's alternatives the one with most of them says most. */
  readonly coverage: number;
} & (
  | { readonly kind: "leaf"; readonly field: PlacedField; readonly codec: Codec<unknown>; readonly offset: number }
  | { readonly kind: "all" | "one"; readonly parts: readonly Part[] }
);

/** Codecs made here, with their parts, so that a holder can take an anonymous one apart. */
interface CompositeCodec extends Codec<unknown> {
  readonly composite: BtfComposite;
}

function compositeOf(type: BtfItem["type"]): BtfComposite | undefined {
  return "composite" in type ? (type as CompositeCodec).composite : undefined;
}

type Row = Record<string, unknown>;

/** The codec of a struct or union whose members have their places. Values are plain objects. */
export function compositeFromBtf(composite: BtfComposite): Codec<unknown> {
  const { kind, name, size, align, items } = composite;
  const layout: CompositeLayout = { kind, name, size, align, lpm: false, fields: items.map((i) => fieldLayout(i)) };
  const names = new Set<string>();
  const leaves: PlacedField[] = [];
  const top = partsOf(composite, 0, names, leaves);
  // Reading a union's members is reading a struct whose members overlap.
  const plain = placedStruct(name, { fields: leaves, size, align });
  const simple = kind === "struct" && top.parts.every((part) => part.kind === "leaf");
  const label = describeLayout(layout);
  const codec = makeCodec<unknown>({
    kind: label,
    layout,
    read: plain.read,
    ...(simple ? { columns: columnsOf(plain) ?? [] } : {}),
    write: simple
      ? (plain.write as Codec<unknown>["write"])
      : (to, offset, value) => {
          if (typeof value !== "object" || value === null) throw wrongType(value, label, "an object");
          to.bytes.fill(0, offset, offset + size);
          writePart(top, to, offset, value as Row, label);
          for (const given of Object.keys(value)) {
            if (names.has(given) || (value as Row)[given] === undefined) continue;
            const known = [...names].join(", ");
            throw new CodecError(
              "unknown",
              `not a member of ${label}, which has ${known}`,
              (value as Row)[given],
              given,
            );
          }
        },
  });
  return Object.assign(codec, { composite });
}

function partsOf(
  composite: BtfComposite,
  bitBase: number,
  names: Set<string>,
  leaves: PlacedField[],
): Extract<Part, { kind: "all" | "one" }> {
  const parts = composite.items.map((item): Part => {
    const bitOffset = bitBase + item.bitOffset;
    const inner = item.name === "" ? compositeOf(item.type) : undefined;
    if (inner !== undefined) return partsOf(inner, bitOffset, names, leaves);
    const field: PlacedField = { name: freeName(item.name, names), bitOffset, type: item.type as AnyCodec };
    leaves.push(field);
    const codec = isBitField(item.type) ? bitsCodec(item.type, bitOffset % 8) : item.type;
    const coverage = isBitField(item.type) ? item.type.width : coverageOf(item.type.layout);
    return { kind: "leaf", field, codec, offset: Math.floor(bitOffset / 8), coverage };
  });
  const coverages = parts.map((part) => part.coverage);
  return composite.kind === "struct"
    ? { kind: "all", parts, coverage: coverages.reduce((a, b) => a + b, 0) }
    : { kind: "one", parts, coverage: Math.max(0, ...coverages) };
}

function coverageOf(layout: CodecLayout): number {
  switch (layout.kind) {
    case "bool":
      return 1;
    case "array":
      return layout.length * coverageOf(layout.element);
    case "struct":
    case "union": {
      const fields = layout.fields.map((field) => field.bits?.width ?? coverageOf(field.layout));
      return layout.kind === "struct" ? fields.reduce((a, b) => a + b, 0) : Math.max(0, ...fields);
    }
    default:
      return layout.size * 8;
  }
}

/** C has none of these names, and no two alike in one scope; BTF made by hand may. */
function freeName(wanted: string, names: Set<string>): string {
  let name = wanted === "__proto__" || /^\d/.test(wanted) ? `_${wanted}` : wanted;
  while (names.has(name)) name += "_";
  names.add(name);
  return name;
}

/** A bit field as a codec that sets its bits and leaves the others. */
function bitsCodec(field: BitField<unknown>, shift: number): Codec<unknown> {
  return makeCodec<unknown>({
    kind: `${field.base.kind}:${field.width}`,
    layout: { kind: "bytes", size: (shift + field.width + 7) >>> 3, align: 1 },
    read: (from, offset) => field.readBits(from, offset, shift),
    write: (to, offset, value) => field.writeBits(to, offset, shift, value),
  });
}

/** Does the value have anything for this part? */
function isGiven(part: Part, value: Row): boolean {
  if (part.kind === "leaf") return value[part.field.name] !== undefined;
  return part.parts.some((inner) => isGiven(inner, value));
}

/** Into memory that is zero. */
function writePart(part: Part, to: CodecBuffer, base: number, value: Row, label: string): void {
  if (part.kind === "leaf") {
    const { name } = part.field;
    const field = value[name];
    if (field === undefined) throw new CodecError("missing", `missing for ${label}`, value, name);
    try {
      part.codec.write(to, base + part.offset, field);
    } catch (error) {
      throw nested(error, name);
    }
    return;
  }
  if (part.kind === "all") {
    for (const inner of part.parts) writePart(inner, to, base, value, label);
    return;
  }
  const given = part.parts.filter((inner) => isGiven(inner, value));
  const [first] = given;
  if (first === undefined) {
    if (part.parts.length === 0) return;
    const choice = part.parts.flatMap(namesOf).join(", ");
    throw new CodecError("missing", `${label} takes one of ${choice}; given: none`, value);
  }
  const richest = given.reduce((a, b) => (b.coverage > a.coverage ? b : a), first);
  writePart(richest, to, base, value, label);
  if (given.length > 1) checkAgreement(given, to, base, value, label);
}

function namesOf(part: Part): string[] {
  return part.kind === "leaf" ? [part.field.name] : part.parts.flatMap(namesOf);
}

/** A decoded union has all its members; they may go back together as long as they say the same. */
function checkAgreement(given: readonly Part[], to: CodecBuffer, base: number, value: Row, label: string): void {
  for (const part of given) {
    if (part.kind !== "leaf") {
      checkAgreement(
        part.parts.filter((inner) => isGiven(inner, value)),
        to,
        base,
        value,
        label,
      );
      continue;
    }
    const { codec, offset, field } = part;
    const copy = new CodecBuffer(to.bytes.slice(base + offset, base + offset + codec.size));
    const expected = codec.read(copy, 0);
    if (same(expected, value[field.name])) continue;
    const detail = `does not agree with the other members of a union in ${label}; give one of them only`;
    throw new CodecError("range", detail, value[field.name], field.name);
  }
}

/** Deep equality of decoded values. */
function same(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  if (ArrayBuffer.isView(a) !== ArrayBuffer.isView(b)) return false;
  const names = Object.keys(a);
  if (names.length !== Object.keys(b).length) return false;
  return names.every((name) => same((a as Row)[name], (b as Row)[name]));
}
