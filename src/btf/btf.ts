/** A parsed BTF file: types by id and by name, and the questions that follow chains of them. */
import { decodeType, typeName } from "./decode.ts";
import { essentialName } from "./essential_name.ts";
import type { BtfKind, BtfType, BtfTypeOf } from "./types.ts";
import { type BtfSource, fail, MAX_DEPTH } from "./wire.ts";

/** Bytes of a pointer: BPF programs and the kernels that run them are 64-bit. */
const POINTER_SIZE = 8;
/** An alignment whose computation has begun: meeting it again means a struct that contains itself. */
const IN_PROGRESS = 0;

export class Btf {
  readonly littleEndian: boolean;
  /** Number of types, void included: ids are below it. */
  readonly count: number;
  readonly #source: BtfSource;
  /** Where each type starts. */
  readonly #starts: Uint32Array;
  /** Types that have been decoded; all of them once `types` has been read. */
  readonly #decoded: (BtfType | undefined)[];
  readonly #aligns: Map<number, number> = new Map();
  #byName: Map<string, number | number[]> | undefined;
  /** Types with a flavor, by the name without it. */
  readonly #flavors: Map<string, number[]> = new Map();

  constructor(source: BtfSource, starts: Uint32Array) {
    this.#source = source;
    this.#starts = starts;
    this.littleEndian = source.littleEndian;
    this.count = starts.length;
    this.#decoded = new Array<BtfType | undefined>(starts.length);
    this.#decoded[0] = { kind: "void", name: "" };
  }

  /** Every type, index = id; `types[0]` is void. Decodes them all: for a few of many, `type` and `find` are quicker. */
  get types(): readonly BtfType[] {
    for (let id = 0; id < this.count; id++) this.type(id);
    return this.#decoded as BtfType[];
  }

  /** The type with this id; an id that the file does not have is an InputError. */
  type(id: number): BtfType {
    const known = this.#decoded[id];
    if (known !== undefined) return known;
    const start = this.#starts[id];
    if (start === undefined) return fail(`type id ${id}`, "an id outside the file", `0..${this.count - 1}`);
    const type = decodeType(this.#source, start);
    this.#decoded[id] = type;
    return type;
  }

  /** The flag in a type's head: a struct or union has bitfields, an enum is signed, a declaration is of a union. */
  kindFlag(id: number): boolean {
    const { view, littleEndian } = this.#source;
    return id > 0 && id < this.count && view.getUint32(this.#starts[id]! + 4, littleEndian) >>> 31 === 1;
  }

  /** The lowest id of a type with this name (and kind), or undefined. */
  find(name: string, kind?: BtfKind): number | undefined {
    for (const id of this.findAll(name)) if (kind === undefined || this.type(id).kind === kind) return id;
    return undefined;
  }

  /** As `find`, but gives the type itself. */
  findType<K extends BtfKind>(name: string, kind: K): BtfTypeOf<K> | undefined {
    const id = this.find(name, kind);
    return id === undefined ? undefined : (this.type(id) as BtfTypeOf<K>);
  }

  /** Every id with this name, ascending. */
  findAll(name: string): readonly number[] {
    this.#byName ??= this.#names();
    const ids = this.#byName.get(name);
    return ids === undefined ? [] : typeof ids === "number" ? [ids] : ids;
  }

  /** Every id with this name, with or without a flavor (`name___flavor`), ascending. */
  findFlavors(name: string): readonly number[] {
    const plain = this.findAll(name);
    const flavors = this.#flavors.get(name);
    return flavors === undefined ? plain : [...plain, ...flavors].sort((a, b) => a - b);
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
    const { strings } = this.#source;
    return (
      strings.at(offset) ?? fail(`string offset ${offset}`, "an offset outside the file", `0..${strings.length - 1}`)
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
    const names = new Map<string, number | number[]>();
    for (let id = 1; id < this.count; id++) {
      const name = typeName(this.#source, this.#starts[id] ?? 0);
      if (name === "") continue;
      const before = names.get(name);
      if (before === undefined) names.set(name, id);
      else if (typeof before === "number") names.set(name, [before, id]);
      else before.push(id);
      const essential = name.includes("___") ? essentialName(name) : name;
      if (essential === name) continue;
      const flavors = this.#flavors.get(essential);
      if (flavors === undefined) this.#flavors.set(essential, [id]);
      else flavors.push(id);
    }
    return names;
  }
}
