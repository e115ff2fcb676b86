/** Structs with C's layout, read into plain objects. */
import { type BitField, isBitField } from "./bits.ts";
import type { CodecBuffer } from "./buffer.ts";
import type { PadCodec } from "./bytes.ts";
import { type AnyCodec, type Codec, type Column, checkAlign, type Infer, type InferInput, makeCodec } from "./codec.ts";
import { CodecError, nested, show, wrongType } from "./error.ts";
import { type CompositeLayout, describeLayout } from "./layout.ts";
import { type FieldType, fieldLayout, type Placement, placeStruct } from "./place.ts";

/** Members in C's order: codecs, `bits(...)`, `pad(...)`. */
export type StructFields = Readonly<Record<string, FieldType>>;

type Simplify<T> = { [K in keyof T]: T[K] } & {};

/** What decoding a struct gives: a plain object without the padding. */
export type StructValue<F extends StructFields> = Simplify<{
  -readonly [K in keyof F as F[K] extends PadCodec ? never : K]: F[K] extends BitField<infer T> ? T : Infer<F[K]>;
}>;

/** What encoding a struct takes: all fields but the padding, nothing else. */
export type StructInput<F extends StructFields> = Simplify<{
  readonly [K in keyof F as F[K] extends PadCodec ? never : K]: F[K] extends BitField<infer T> ? T : InferInput<F[K]>;
}>;

/** A struct's codec. `fields` are the codecs it was made of, for another struct to reuse; offsets are in `layout`. */
export interface StructCodec<F extends StructFields> extends Codec<StructValue<F>, StructInput<F>> {
  readonly fields: F;
}

/** What C says with attributes and a tag. */
export interface CompositeOptions {
  /** The C tag, for messages and BTF. */
  readonly name?: string;
  /** `__attribute__((aligned(align)))` on the whole: at least this alignment, in bytes, a power of two. */
  readonly align?: number;
  /** `__attribute__((packed))`: no padding between members, alignment 1 unless `align` says more. */
  readonly packed?: boolean;
}

/** `struct` and `struct.packed`. */
export interface StructFactory {
  <const F extends StructFields>(fields: F, options?: CompositeOptions): StructCodec<F>;
  /** `__attribute__((packed))`. */
  packed<const F extends StructFields>(fields: F, options?: Omit<CompositeOptions, "packed">): StructCodec<F>;
}

/** Numbers as names would change the order of the fields, `__proto__` the object. */
const NAME = /^(?!__proto__$)[A-Za-z_$][A-Za-z0-9_$]*$/;

/** Names of members are C identifiers. */
export function checkNames(fields: Readonly<Record<string, unknown>>, what: string): void {
  for (const name of Object.keys(fields)) {
    if (!NAME.test(name)) throw new CodecError("unknown", `${show(name)} is no name for a field of C`, name, what);
  }
}

type Read = Column["read"];

/** The members that have values. */
function columnsFor(placement: Placement): Column[] {
  return placement.fields.flatMap(({ name, bitOffset, type }): Column[] => {
    const offset = Math.floor(bitOffset / 8);
    if (isBitField(type)) {
      const shift = bitOffset % 8;
      const read: Read = (from, at) => type.readBits(from, at, shift);
      return [{ name, offset, read, write: (to, at, value) => type.writeBits(to, at, shift, value), codec: undefined }];
    }
    if (type.layout.kind === "pad") return [];
    const codec = type as AnyCodec as Codec<unknown>;
    return [{ name, offset, read: codec.read, write: codec.write, codec }];
  });
}

/** Byte ranges [start, end) that no member writes whole: padding, and bit fields, which only set bits. */
function clearedRanges(placement: Placement): readonly number[] {
  const ranges: number[] = [];
  let covered = 0;
  for (const { bitOffset, type } of placement.fields) {
    if (isBitField(type) || type.layout.kind === "pad") continue;
    const start = bitOffset / 8;
    if (start > covered) ranges.push(covered, start);
    covered = Math.max(covered, start + type.size);
  }
  if (placement.size > covered) ranges.push(covered, placement.size);
  return ranges;
}

type Row = Record<string, unknown>;
type RowConstructor = new (from: CodecBuffer, offset: number) => Row;

/** V8 turns an object that grows past this by computed names into a slow dictionary. */
const MAX_GROWN = 20;

/**
 * Makes plain objects with these fields. A constructor of its own for each struct gives each its own start of hidden
 * classes, which measured twice as fast as filling `{}`; code made from text would be faster again, but a page's content
 * security policy forbids it.
 */
function rowReader(columns: readonly Column[]): (from: CodecBuffer, offset: number) => Row {
  const names = columns.map((column) => column.name);
  const reads = columns.map((column) => column.read);
  const offsets = columns.map((column) => column.offset);
  const count = columns.length;
  function fill(row: Row, from: CodecBuffer, offset: number): Row {
    for (let i = 0; i < count; i++) row[names[i]!] = reads[i]!(from, offset + offsets[i]!);
    return row;
  }
  if (count > MAX_GROWN) {
    const template: Row = JSON.parse(`{${names.map((name) => `${JSON.stringify(name)}:null`).join()}}`);
    return (from, offset) => fill({ ...template }, from, offset);
  }
  const [name0, name1, name2, name3] = names as [string, string, string, string];
  const [read0, read1, read2, read3] = reads as [Read, Read, Read, Read];
  const [offset0, offset1, offset2, offset3] = offsets as [number, number, number, number];
  let makeRow: unknown;
  switch (count) {
    case 1:
      makeRow = function (this: Row, from: CodecBuffer, offset: number): void {
        this[name0] = read0(from, offset + offset0);
      };
      break;
    case 2:
      makeRow = function (this: Row, from: CodecBuffer, offset: number): void {
        this[name0] = read0(from, offset + offset0);
        this[name1] = read1(from, offset + offset1);
      };
      break;
    case 3:
      makeRow = function (this: Row, from: CodecBuffer, offset: number): void {
        this[name0] = read0(from, offset + offset0);
        this[name1] = read1(from, offset + offset1);
        this[name2] = read2(from, offset + offset2);
      };
      break;
    case 4:
      makeRow = function (this: Row, from: CodecBuffer, offset: number): void {
        this[name0] = read0(from, offset + offset0);
        this[name1] = read1(from, offset + offset1);
        this[name2] = read2(from, offset + offset2);
        this[name3] = read3(from, offset + offset3);
      };
      break;
    default:
      makeRow = function (this: Row, from: CodecBuffer, offset: number): void {
        fill(this, from, offset);
      };
  }
  // Rows are plain objects to everybody else.
  (makeRow as { prototype: object }).prototype = Object.prototype;
  const Plain = makeRow as RowConstructor;
  return (from, offset) => new Plain(from, offset);
}

/** Not on the hot path: which field's reading throws. */
function failingField(columns: readonly Column[], from: CodecBuffer, offset: number): string {
  for (const column of columns) {
    try {
      column.read(from, offset + column.offset);
    } catch {
      return column.name;
    }
  }
  return "";
}

/** A struct whose members already have their places: `struct` and BTF end here. */
export function placedStruct(name: string, placement: Placement): Codec<Row> {
  const { size, align } = placement;
  const fields = placement.fields.map(fieldLayout);
  const layout: CompositeLayout = { kind: "struct", name, size, align, fields, lpm: false };
  const kind = describeLayout(layout);
  const columns = columnsFor(placement);
  const readRow = rowReader(columns);
  return makeCodec<Row>({
    kind,
    layout,
    columns,
    read: (from, offset) => {
      try {
        return readRow(from, offset);
      } catch (error) {
        throw nested(error, failingField(columns, from, offset));
      }
    },
    write: rowWriter(kind, columns, clearedRanges(placement)),
  });
}

function rowWriter(kind: string, columns: readonly Column[], cleared: readonly number[]): Codec<Row>["write"] {
  const names = columns.map((column) => column.name);
  const writes = columns.map((column) => column.write);
  const offsets = columns.map((column) => column.offset);
  const count = columns.length;
  const indexes = new Map(names.map((name, index) => [name, index]));
  return (to, offset, value) => {
    if (typeof value !== "object" || value === null) throw wrongType(value, kind, "an object");
    for (let i = 0; i < cleared.length; i += 2) to.bytes.fill(0, offset + cleared[i]!, offset + cleared[i + 1]!);
    let given = 0;
    let name = "";
    try {
      // The value's own loop, not ours: V8 reads the fields of a `for in` without looking them up, and it finds unknown ones.
      for (name in value) {
        const field = value[name];
        if (field === undefined) continue;
        const index = names[given] === name ? given : indexes.get(name);
        if (index === undefined) throw unknownField(kind, names, field);
        writes[index]!(to, offset + offsets[index]!, field);
        given++;
      }
    } catch (error) {
      throw nested(error, name);
    }
    if (given !== count) throw missingField(kind, names, value);
  };
}

function unknownField(kind: string, names: readonly string[], field: unknown): CodecError {
  return new CodecError("unknown", `not a field of ${kind}, which has ${names.join(", ") || "none"}`, field);
}

function missingField(kind: string, names: readonly string[], value: Row): CodecError {
  const missing = names.find((name) => value[name] === undefined) ?? "";
  const found = Object.keys(value).join(", ");
  return new CodecError(
    "missing",
    `missing; ${kind} has ${names.join(", ")}, found ${found || "none"}`,
    value,
    missing,
  );
}

function makeStruct<const F extends StructFields>(fields: F, options: CompositeOptions = {}): StructCodec<F> {
  const { name = "", align = 1, packed = false } = options;
  checkNames(fields, "struct");
  checkAlign(align);
  const codec = placedStruct(name, placeStruct(fields, packed, align));
  return Object.assign(codec as Codec<unknown> as Codec<StructValue<F>, StructInput<F>>, { fields });
}

/**
 * A struct with C's alignment and padding; padding is written as zeros. Values are plain objects with exactly the given
 * fields.
 *
 *     const FlowKey = struct({ saddr: ipv4, daddr: ipv4, sport: u16.be, dport: u16.be });
 *     type FlowKey = Infer<typeof FlowKey>; // { saddr: string; daddr: string; sport: number; dport: number }
 */
export const struct: StructFactory = /* @__PURE__ */ Object.assign(makeStruct, {
  packed: <const F extends StructFields>(fields: F, options: Omit<CompositeOptions, "packed"> = {}): StructCodec<F> =>
    makeStruct(fields, { ...options, packed: true }),
});
