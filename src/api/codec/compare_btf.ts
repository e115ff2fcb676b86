/** Does a codec fit the type that a map's BTF gives? Field by field, for the error when a map is opened. */
import type { Btf, BtfType } from "../../btf/index.ts";
import type { AnyCodec } from "./codec.ts";
import { type CodecLayout, type CompositeLayout, describeLayout, type EnumLayout, type FieldLayout } from "./layout.ts";

/**
 * `size`, `offset`, `length` (of an array), `bits` (place or width of a bit field), `type` (another kind of type),
 * `missing` (BTF has a field that the codec has not), `unknown` (the other way round), `value` (an enum's name stands for
 * another number): the bytes would be misread. The rest are notes: `name` (same place, another name), `sign`,
 * `order` (BTF names a byte order that the codec does not have).
 */
export type FieldProblem =
  | "size"
  | "offset"
  | "length"
  | "bits"
  | "type"
  | "missing"
  | "unknown"
  | "value"
  | "name"
  | "sign"
  | "order";

/** One place where codec and BTF do not say the same. */
export interface FieldDifference {
  /** The field as in TypeScript: `key.ports[]`; empty for the whole value. */
  readonly path: string;
  readonly problem: FieldProblem;
  /** A note does not keep the codec from being used. */
  readonly severity: "error" | "note";
  /** What the codec has there, in words: `u32 at 8`. Empty when it has nothing. */
  readonly codec: string;
  /** What BTF has there, in C's words. */
  readonly btf: string;
}

const NOTES: ReadonlySet<FieldProblem> = /* @__PURE__ */ new Set<FieldProblem>(["name", "sign", "order"]);
const MAX_DEPTH = 32;
/** Enough for every real struct; BTF made to hurt may unfold without end. */
const MAX_FIELDS = 10_000;
/** Members that only fill space: a codec may leave them to its own padding. */
const FILLER = /^_*(pad|padding|unused|reserved|rsvd|rsv|res|hole|fill)\d*_*$/i;

/**
 * Field by field: all differences between a codec and type `typeId` of `btf`, in the order of the codec's fields; empty when the codec
 * fits. A plain integer in BTF fits either byte order; `ipv4`, `ipv6`, `mac` and `bytes(n)` fit anything of their size;
 * names are compared without case and underscores, so that `srcPort` is `src_port`, and a field whose name BTF has not is
 * compared with the one at its place.
 *
 *     const Flow = struct({ packets: u64, bytes: u32 });
 *     const wrong = compareWithBtf(Flow, btf, typeId).filter((d) => d.severity === "error");
 *     // [{ path: "bytes", problem: "size", codec: "u32, 4 bytes", btf: "__u64, 8 bytes", severity: "error" }]
 *     if (wrong.length > 0) throw new Error(formatDifferences(wrong));
 */
export function compareWithBtf(codec: AnyCodec, btf: Btf, typeId: number): FieldDifference[] {
  const comparison = new Comparison(btf);
  comparison.type("", codec.layout, typeId, 0);
  return comparison.found;
}

/** Rows of cells, the first one the heads, in columns. */
function aligned(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows
    .map((row) =>
      row
        .map((cell, i) => cell.padEnd(widths[i]!))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

/**
 * Where a codec has what, for a map without BTF to compare with.
 *
 *     field      offset  size  type
 *     saddr      0       4     ipv4
 *     ports.src  4       2     u16.be
 */
export function formatLayout(codec: AnyCodec): string {
  const rows = [["field", "offset", "size", "type"]];
  layoutRows(rows, "", codec.layout, 0, "");
  const more = rows.splice(LAYOUT_ROWS).length;
  return aligned(rows) + (more === 0 ? "" : `\n... and ${more} more`);
}

const LAYOUT_ROWS = 40;

function layoutRows(rows: string[][], path: string, layout: CodecLayout, offset: number, bits: string): void {
  if ((layout.kind === "struct" || layout.kind === "union") && bits === "" && layout.fields.length > 0) {
    for (const field of layout.fields) {
      const width = field.bits === undefined ? "" : `:${field.bits.width}`;
      layoutRows(rows, field.name === "" ? path : join(path, field.name), field.layout, offset + field.offset, width);
    }
    return;
  }
  rows.push([path === "" ? "(whole)" : path, `${offset}`, `${layout.size}`, describeLayout(layout) + bits]);
}

/** The differences as an aligned table with one line each, errors first. */
export function formatDifferences(differences: readonly FieldDifference[]): string {
  const sorted = [...differences].sort((a, b) => Number(a.severity === "note") - Number(b.severity === "note"));
  const rows = sorted.map((d) => [
    d.path === "" ? "(whole)" : d.path,
    d.codec || "nothing",
    d.btf || "nothing",
    d.problem,
  ]);
  return aligned([["field", "codec", "map", "difference"], ...rows]);
}

/** A member of BTF with the members of anonymous structs and unions counted as the holder's. */
interface Member {
  readonly name: string;
  readonly typeId: number;
  readonly bitOffset: number;
  readonly bitSize: number;
}

class Comparison {
  readonly found: FieldDifference[] = [];
  readonly #btf: Btf;
  #fields = 0;

  constructor(btf: Btf) {
    this.#btf = btf;
  }

  type(path: string, layout: CodecLayout, typeId: number, depth: number): void {
    if (depth > MAX_DEPTH || ++this.#fields > MAX_FIELDS) return;
    const size = this.#sizeOf(typeId);
    if (layout.size !== size) {
      this.#add(
        path,
        "size",
        `${describeLayout(layout)}, ${plural(layout.size)}`,
        `${this.#name(typeId)}, ${plural(size)}`,
      );
      // Why two structs differ in size is what the reader wants to know; of other types there is no more to say.
      if (layout.kind !== "struct" && layout.kind !== "union") return;
    }
    const type = this.#resolved(typeId);
    switch (layout.kind) {
      case "ipv4":
      case "ipv6":
      case "mac":
      case "bytes":
      case "pad":
        return;
      case "struct":
      case "union":
        if (layout.lpm) this.#lpm(path, layout, typeId, depth);
        else if (type.kind === "struct" || type.kind === "union" || type.kind === "datasec") {
          this.#members(path, layout.fields, this.#flat(typeId, 0, 0), 0, layout.size, depth);
        } else this.#typeDiffers(path, layout, typeId);
        return;
      default:
    }
    // A struct around one member is that member.
    if (type.kind === "struct" && type.members.length === 1 && type.members[0]!.bitSize === 0) {
      this.type(path, layout, type.members[0]!.typeId, depth + 1);
      return;
    }
    switch (layout.kind) {
      case "array":
        if (type.kind !== "array") this.#typeDiffers(path, layout, typeId);
        else if (layout.length !== type.length && layout.element.size !== 0) {
          this.#add(path, "length", describeLayout(layout), this.#name(typeId));
        } else this.type(`${path}[]`, layout.element, type.elemTypeId, depth + 1);
        return;
      case "cstring":
        if (type.kind !== "array" || this.#sizeOf(type.elemTypeId) !== 1) this.#typeDiffers(path, layout, typeId);
        return;
      case "int":
        if (type.kind === "int" || type.kind === "enum" || type.kind === "enum64") {
          if (type.kind === "int" && type.signed !== layout.signed && type.name !== "char") {
            this.#add(path, "sign", describeLayout(layout), this.#name(typeId));
          }
          this.#order(path, layout, typeId);
        } else if (type.kind !== "ptr") this.#typeDiffers(path, layout, typeId);
        return;
      case "enum":
        if (type.kind === "enum" || type.kind === "enum64") this.#values(path, layout, type.values);
        else if (type.kind !== "int") this.#typeDiffers(path, layout, typeId);
        return;
      case "bool":
        if (type.kind !== "int") this.#typeDiffers(path, layout, typeId);
        return;
      case "float":
        if (type.kind !== "float") this.#typeDiffers(path, layout, typeId);
        return;
      case "pointer":
        if (type.kind !== "ptr" && type.kind !== "int") this.#typeDiffers(path, layout, typeId);
        return;
    }
  }

  /** `base` is where the fields' struct starts in the one that `members` counts from, in bytes. */
  #members(
    path: string,
    fields: readonly FieldLayout[],
    members: readonly Member[],
    base: number,
    size: number,
    depth: number,
  ): void {
    const own = flatFields(fields, 0);
    const left = new Set(members);
    const pads = own.filter((field) => field.layout.kind === "pad");
    const unmatched: FieldLayout[] = [];
    for (const field of own) {
      const name = plainName(field.name);
      const member = members.find((m) => left.has(m) && plainName(m.name) === name);
      if (member === undefined) {
        if (field.layout.kind !== "pad") unmatched.push(field);
        continue;
      }
      left.delete(member);
      this.#member(join(path, field.name), field, member, base, depth);
    }
    for (const field of unmatched) {
      const place = join(path, field.name);
      const member = members.find((m) => left.has(m) && sameBits(field, m, base, this.#widthOf(m)));
      if (member === undefined) {
        this.#add(place, "unknown", at(describeLayout(field.layout), bitOffsetOf(field)), "");
        continue;
      }
      left.delete(member);
      this.#add(place, "name", field.name, member.name);
      this.#member(place, field, member, base, depth);
    }
    for (const member of left) {
      const start = member.bitOffset - base * 8;
      const end = start + this.#widthOf(member);
      if (FILLER.test(member.name) && start >= 0 && end <= size * 8) continue;
      if (pads.some((p) => start >= p.offset * 8 && end <= (p.offset + p.layout.size) * 8)) continue;
      this.#add(join(path, member.name), "missing", "", at(this.#name(member.typeId), start));
    }
  }

  #member(path: string, field: FieldLayout, member: Member, base: number, depth: number): void {
    const start = member.bitOffset - base * 8;
    const { layout, bits } = field;
    const own = bits === undefined ? describeLayout(layout) : `${describeLayout(layout)}:${bits.width}`;
    const theirs = member.bitSize === 0 ? this.#name(member.typeId) : `${this.#name(member.typeId)}:${member.bitSize}`;
    if ((bits?.width ?? 0) !== member.bitSize) {
      // A whole byte, half word and so on may be declared as a bit field of that width.
      const whole = (bits?.width ?? layout.size * 8) === this.#widthOf(member);
      if (!whole || start !== bitOffsetOf(field)) {
        this.#add(path, "bits", at(own, bitOffsetOf(field)), at(theirs, start));
        return;
      }
    }
    if (bitOffsetOf(field) !== start) this.#add(path, "offset", at(own, bitOffsetOf(field)), at(theirs, start));
    if (bits === undefined && member.bitSize === 0) this.type(path, layout, member.typeId, depth + 1);
  }

  /** The trie's key: a u32 in front, whatever it is called, and the rest against the data. */
  #lpm(path: string, layout: CompositeLayout, typeId: number, depth: number): void {
    const [prefix, data] = layout.fields as readonly [FieldLayout, FieldLayout];
    const type = this.#resolved(typeId);
    const members = this.#flat(typeId, 0, 0);
    const head = members.find((member) => member.bitOffset === 0);
    if (type.kind !== "struct" || head === undefined || this.#widthOf(head) !== prefix.layout.size * 8) {
      this.#typeDiffers(path, layout, typeId);
      return;
    }
    const rest = members.filter((member) => member !== head && this.#widthOf(member) > 0);
    const [only] = rest;
    const place = join(path, "data");
    if (rest.length === 1 && only !== undefined) {
      this.#member(place, data, only, 0, depth);
    } else if (data.layout.kind === "struct") {
      this.#members(place, data.layout.fields, rest, data.offset, data.layout.size, depth);
    } else if (data.layout.kind !== "bytes") {
      const theirs = rest.map((member) => member.name).join(", ");
      this.#add(place, "type", describeLayout(data.layout), `struct { ${theirs} }`);
    }
  }

  #values(path: string, layout: EnumLayout, values: readonly { name: string; value: number | bigint }[]): void {
    for (const { name, value } of layout.values) {
      const theirs = values.find((other) => other.name === name);
      if (theirs === undefined || BigInt(theirs.value) === BigInt(value)) continue;
      this.#add(path, "value", `${name} = ${value}`, `${name} = ${theirs.value}`);
    }
  }

  /** `__be32` and `__le32` are only names for an int, but they say what the bytes mean. */
  #order(path: string, layout: Extract<CodecLayout, { kind: "int" }>, typeId: number): void {
    if (layout.size === 1) return;
    for (let id = typeId, depth = 0; depth < MAX_DEPTH; depth++) {
      const type = this.#btf.type(id);
      if (!("typeId" in type)) return;
      const named = type.kind === "typedef" ? /^(?:__)?([bl])e(?:16|32|64)$/.exec(type.name) : null;
      if (named !== null) {
        const order = named[1] === "b" ? "big" : "little";
        if (order !== layout.order) this.#add(path, "order", describeLayout(layout), type.name);
        return;
      }
      id = type.typeId;
    }
  }

  #flat(typeId: number, bitBase: number, depth: number): Member[] {
    const type = this.#resolved(typeId);
    if (type.kind === "datasec") {
      return type.vars.map((v) => ({
        name: this.#btf.type(v.typeId).name,
        typeId: v.typeId,
        bitOffset: v.offset * 8,
        bitSize: 0,
      }));
    }
    if (type.kind !== "struct" && type.kind !== "union") return [];
    return type.members.flatMap((member): Member[] => {
      const bitOffset = bitBase + member.bitOffset;
      if (member.name !== "") return [{ ...member, bitOffset }];
      if (member.bitSize !== 0 || depth > MAX_DEPTH || ++this.#fields > MAX_FIELDS) return [];
      return this.#flat(member.typeId, bitOffset, depth + 1);
    });
  }

  #widthOf(member: Member): number {
    return member.bitSize === 0 ? this.#sizeOf(member.typeId) * 8 : member.bitSize;
  }

  /** The type behind typedefs, qualifiers and a variable. */
  #resolved(typeId: number): BtfType {
    const type = this.#btf.type(this.#btf.resolve(typeId));
    return type.kind === "var" ? this.#btf.type(this.#btf.resolve(type.typeId)) : type;
  }

  /** Types without a size (functions, void, forward declarations) have 0: the caller sees that nothing fits. */
  #sizeOf(typeId: number): number {
    const kind = this.#resolved(typeId).kind;
    const sized = kind !== "void" && kind !== "fwd" && kind !== "func" && kind !== "func_proto" && kind !== "decl_tag";
    return sized ? this.#btf.sizeOf(typeId) : 0;
  }

  /** The type in C's words, without a body: `__be32`, `struct key`, `char[16]`. */
  #name(typeId: number): string {
    let dimensions = "";
    let id = typeId;
    for (let depth = 0; depth < MAX_DEPTH; depth++) {
      const type = this.#btf.type(id);
      switch (type.kind) {
        case "array":
          dimensions += `[${type.length}]`;
          id = type.elemTypeId;
          break;
        case "const":
        case "volatile":
        case "restrict":
        case "type_tag":
        case "var":
          id = type.typeId;
          break;
        case "ptr":
          return `pointer${dimensions}`;
        case "struct":
        case "union":
        case "enum":
          return `${type.kind} ${type.name}`.trimEnd() + dimensions;
        case "enum64":
          return `enum ${type.name}`.trimEnd() + dimensions;
        default:
          return (type.name === "" ? type.kind : type.name) + dimensions;
      }
    }
    return "a deep type";
  }

  #typeDiffers(path: string, layout: CodecLayout, typeId: number): void {
    this.#add(path, "type", describeLayout(layout), this.#name(typeId));
  }

  #add(path: string, problem: FieldProblem, codec: string, btf: string): void {
    this.found.push({ path, problem, severity: NOTES.has(problem) ? "note" : "error", codec, btf });
  }
}

/** The codec's fields, those of anonymous structs and unions as the holder's. */
function flatFields(fields: readonly FieldLayout[], base: number): FieldLayout[] {
  return fields.flatMap((field): FieldLayout[] => {
    const { layout, name, bits } = field;
    const offset = base + field.offset;
    if (name === "" && (layout.kind === "struct" || layout.kind === "union")) return flatFields(layout.fields, offset);
    const moved = bits === undefined ? {} : { bits: { ...bits, offset: bits.offset + base * 8 } };
    return [{ name, layout, offset, ...moved }];
  });
}

function bitOffsetOf(field: FieldLayout): number {
  return field.bits?.offset ?? field.offset * 8;
}

function sameBits(field: FieldLayout, member: Member, base: number, width: number): boolean {
  if (bitOffsetOf(field) !== member.bitOffset - base * 8) return false;
  return (field.bits?.width ?? field.layout.size * 8) === width;
}

function plainName(name: string): string {
  return name.replaceAll("_", "").toLowerCase();
}

function join(path: string, name: string): string {
  return path === "" ? name : `${path}.${name}`;
}

function at(what: string, bitOffset: number): string {
  const bit = bitOffset % 8;
  return `${what} at ${Math.floor(bitOffset / 8)}${bit === 0 ? "" : `, bit ${bit}`}`;
}

function plural(size: number): string {
  return size === 1 ? "1 byte" : `${size} bytes`;
}
