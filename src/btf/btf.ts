/** A parsed BTF file: types by id and by name, and the questions that follow chains of them. */
import type { BtfStrings } from "./strings.ts";
import type { BtfKind, BtfType, BtfTypeOf } from "./types.ts";
import { fail, MAX_DEPTH } from "./wire.ts";

/** Bytes of a pointer: BPF programs and the kernels that run them are 64-bit. */
const POINTER_SIZE = 8;
/** An alignment whose computation has begun: meeting it again means a struct that contains itself. */
const IN_PROGRESS = 0;

export class Btf {
  /** Index = type id; `types[0]` is void. */
  readonly types: readonly BtfType[];
  readonly littleEndian: boolean;
  readonly #strings: BtfStrings;
  readonly #aligns: Map<number, number> = new Map();
  #byName: Map<string, number | number[]> | undefined;

  constructor(types: readonly BtfType[], strings: BtfStrings, littleEndian: boolean) {
    this.types = types;
    this.#strings = strings;
    this.littleEndian = littleEndian;
  }

  /** The type with this id; an id that the file does not have is an InputError. */
  type(id: number): BtfType {
    return this.types[id] ?? fail(`type id ${id}`, "an id outside the file", `0..${this.types.length - 1}`);
  }

  /** The lowest id of a type with this name (and kind), or undefined. */
  find(name: string, kind?: BtfKind): number | undefined {
    const ids = this.#names().get(name);
    if (ids === undefined) return undefined;
    if (typeof ids === "number") return kind === undefined || this.types[ids]?.kind === kind ? ids : undefined;
    return kind === undefined ? ids[0] : ids.find((id) => this.types[id]?.kind === kind);
  }

  /** As `find`, but gives the type itself. */
  findType<K extends BtfKind>(name: string, kind: K): BtfTypeOf<K> | undefined {
    const id = this.find(name, kind);
    return id === undefined ? undefined : (this.types[id] as BtfTypeOf<K>);
  }

  /** Every id with this name, ascending. */
  findAll(name: string): readonly number[] {
    const ids = this.#names().get(name);
    return ids === undefined ? [] : typeof ids === "number" ? [ids] : ids;
  }

  /** The id behind typedef, const, volatile, restrict and type_tag. */
  resolve(id: number): number {
    let at = id;
    for (let depth = 0; depth <= MAX_DEPTH; depth++) {
      const type = this.type(at);
      switch (type.kind) {
        case "typedef":
        case "const":
        case "volatile":
        case "restrict":
        case "type_tag":
          at = type.typeId;
          break;
        default:
          return at;
      }
    }
    return fail(`type id ${id}`, `a chain of more than ${MAX_DEPTH} typedefs and qualifiers`, "a shorter one");
  }

  /** Bytes of a value of this type. void, functions and forward declarations have none: InputError. */
  sizeOf(id: number): number {
    let count = 1;
    let at = id;
    for (let depth = 0; depth <= MAX_DEPTH; depth++) {
      at = this.resolve(at);
      const type = this.type(at);
      switch (type.kind) {
        case "array":
          count *= type.length;
          if (count > 0xffff_ffff) return fail(`type id ${id}`, `an array of ${count} elements`, "at most 4294967295");
          at = type.elemTypeId;
          break;
        case "var":
          at = type.typeId;
          break;
        case "int":
        case "struct":
        case "union":
        case "enum":
        case "enum64":
        case "float":
        case "datasec":
        case "ptr": {
          const bytes = count * (type.kind === "ptr" ? POINTER_SIZE : type.size);
          if (bytes <= 0xffff_ffff) return bytes;
          return fail(`type id ${id}`, `a size of ${bytes} bytes`, "at most 4294967295");
        }
        default:
          return fail(`type id ${id}`, `${type.kind} ${type.name}`.trimEnd(), "a type that has a size");
      }
    }
    return fail(`type id ${id}`, `arrays nested more than ${MAX_DEPTH} deep`, "fewer");
  }

  /** Alignment in C of a value of this type, taken from its members (BTF does not record `aligned` or `packed`). */
  alignOf(id: number): number {
    return this.#alignOf(id, 0);
  }

  /** Text at an offset of the string section. */
  string(offset: number): string {
    return (
      this.#strings.at(offset) ??
      fail(`string offset ${offset}`, "an offset outside the string section", `0..${this.#strings.length - 1}`)
    );
  }

  #alignOf(id: number, depth: number): number {
    if (depth > MAX_DEPTH) return fail(`type id ${id}`, `types nested more than ${MAX_DEPTH} deep`, "fewer");
    const at = this.resolve(id);
    const type = this.type(at);
    switch (type.kind) {
      case "ptr":
        return POINTER_SIZE;
      case "int":
      case "enum":
      case "enum64":
      case "float":
        // A long double has 12 or 16 bytes; its alignment is the largest power of two that divides them.
        return type.size & -type.size;
      case "array":
        return this.#alignOf(type.elemTypeId, depth + 1);
      case "var":
        return this.#alignOf(type.typeId, depth + 1);
      case "struct":
      case "union": {
        const known = this.#aligns.get(at);
        if (known !== undefined && known !== IN_PROGRESS) return known;
        if (known === IN_PROGRESS)
          return fail(`type id ${at}`, `${type.kind} ${type.name} inside itself`, "a finite type");
        this.#aligns.set(at, IN_PROGRESS);
        let align = 1;
        try {
          for (const member of type.members) align = Math.max(align, this.#alignOf(member.typeId, depth + 1));
          this.#aligns.set(at, align);
        } finally {
          if (this.#aligns.get(at) === IN_PROGRESS) this.#aligns.delete(at);
        }
        return align;
      }
      default:
        return fail(`type id ${id}`, `${type.kind} ${type.name}`.trimEnd(), "a type that has an alignment");
    }
  }

  #names(): Map<string, number | number[]> {
    if (this.#byName !== undefined) return this.#byName;
    const names = new Map<string, number | number[]>();
    this.types.forEach((type, id) => {
      if (type.name === "") return;
      const before = names.get(type.name);
      if (before === undefined) names.set(type.name, id);
      else if (typeof before === "number") names.set(type.name, [before, id]);
      else before.push(id);
    });
    this.#byName = names;
    return names;
  }
}
