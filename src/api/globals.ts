/** Global variables of a loaded object, by name: they lie in the only elements of its data sections' maps. */
import { type GlobalSpec, globalBytes, KCONFIG, type ObjectSpec } from "../elf/index.ts";
import { InputError } from "../errors.ts";
import { BPF_F_MMAPABLE } from "../uapi/index.ts";
import type { Arena } from "./arena.ts";
import type { ArrayMap } from "./array_map.ts";
import { nested } from "./codec/error.ts";
import { bytes, type Codec, CodecBuffer, codecFromBtf } from "./codec/index.ts";
import type { MappedArray } from "./mapping.ts";

/** What the variable's BTF says, or bytes. */
function codecOf(spec: ObjectSpec, global: GlobalSpec): Codec<unknown> {
  const { typeId, size } = global;
  if (spec.btf !== undefined && typeId !== undefined) {
    try {
      const codec = codecFromBtf(spec.btf, typeId);
      if (codec.size === size) return codec;
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
    }
  }
  return bytes(size) as Codec<Uint8Array> as Codec<unknown>;
}

function find(spec: ObjectSpec, name: string): GlobalSpec {
  const found = spec.globals.filter((g) => g.name === name || `${g.section}:${g.name}` === name);
  const [first] = found;
  if (first === undefined) {
    const names = spec.globals.map((g) => g.name).join(", ");
    throw new InputError(`object ${spec.name}: no variable \`${name}\`; it has ${names || "none"}`);
  }
  if (found.length > 1) {
    const places = found.map((g) => `${g.section}:${g.name}`).join(", ");
    throw new InputError(`object ${spec.name}: several variables are called \`${name}\`: ${places}`);
  }
  return first;
}

/** Gives variables their first values, before anything is created. */
export function setInitialGlobals(spec: ObjectSpec, values: Readonly<Record<string, unknown>>): void {
  for (const [name, value] of Object.entries(values)) {
    const global = find(spec, name);
    if (global.section === KCONFIG) {
      throw new InputError(
        `variable \`${name}\` is the kernel's configuration: loadObject({ kconfig: { ${name}: ... } })`,
      );
    }
    try {
      codecOf(spec, global).encode(value, globalBytes(spec, global));
    } catch (error) {
      throw nested(error, name);
    }
  }
}

/** The memory of a section: a live view, or a copy that has to be put back. */
interface Section {
  readonly map: ArrayMap<Uint8Array>;
  readonly live: MappedArray<Uint8Array> | undefined;
}

/**
 * Variables of the sections .data, .bss and .rodata, decoded by their BTF. Sections that can be mapped are: reads and
 * writes are of the live variable alone. A section with static variables only cannot; there a write puts the whole
 * section back and can undo what a program writes in the same moment. Variables in an arena are read and written in its
 * mapping: the one that `Arena.mmap` of the object's handle gave, or one that lasts as long as the access.
 *
 *     object.globals.get("total_packets"); // 17n
 *     object.globals.set("limit", 1000);
 */
export class Globals {
  readonly #spec: ObjectSpec;
  readonly #open: (map: string) => ArrayMap<Uint8Array>;
  readonly #arena: (map: string) => Arena | undefined;
  readonly #sections: Map<string, Section> = new Map();
  readonly #codecs: Map<GlobalSpec, Codec<unknown>> = new Map();

  /** @internal `open` opens a section's map once more, its value as bytes; `arena`: the object's arena of this name. */
  constructor(
    spec: ObjectSpec,
    open: (map: string) => ArrayMap<Uint8Array>,
    arena: (map: string) => Arena | undefined,
  ) {
    this.#spec = spec;
    this.#open = open;
    this.#arena = arena;
  }

  /** All names. One that several static variables have is told apart as `.data:name`. */
  names(): string[] {
    const { globals } = this.#spec;
    return globals.map((g) => (globals.some((o) => o !== g && o.name === g.name) ? `${g.section}:${g.name}` : g.name));
  }

  has(name: string): boolean {
    return this.names().includes(name);
  }

  /** The variable's value now. An unknown name: `InputError`. */
  get(name: string): unknown {
    const global = find(this.#spec, name);
    return this.#use(global, "ro", (bytes) => this.#codec(global).read(new CodecBuffer(bytes), global.offset));
  }

  /** Writes the variable. One in .rodata: `InputError`, since it is frozen; `loadObject({ globals })` sets those. */
  set(name: string, value: unknown): void {
    const global = find(this.#spec, name);
    if (this.#isFrozen(global)) {
      const hint = `give it to loadObject: { globals: { ${name}: ... } }`;
      throw new InputError(`variable \`${name}\` is in ${global.section}, which is frozen once it is loaded; ${hint}`);
    }
    this.#use(global, "rw", (bytes) => {
      try {
        this.#codec(global).write(new CodecBuffer(bytes), global.offset, value);
      } catch (error) {
        throw nested(error, name);
      }
    });
  }

  /** All variables, by name. */
  toJSON(): Record<string, unknown> {
    return Object.fromEntries(this.names().map((name) => [name, this.get(name)]));
  }

  #codec(global: GlobalSpec): Codec<unknown> {
    const known = this.#codecs.get(global);
    if (known !== undefined) return known;
    const codec = codecOf(this.#spec, global);
    this.#codecs.set(global, codec);
    return codec;
  }

  #isFrozen(global: GlobalSpec): boolean {
    return this.#spec.maps.find((map) => map.name === global.map)?.frozen === true;
  }

  /** Works on the bytes of the variable's section: the section itself, or a copy that is put back. */
  #use<R>(global: GlobalSpec, access: "ro" | "rw", work: (bytes: Uint8Array) => R): R {
    const arena = this.#arena(global.map);
    if (arena !== undefined) return arena.withBytes(access, work);
    const section = this.#section(global);
    const bytes = bytesOf(section);
    const result = work(bytes);
    if (access === "rw" && section.live === undefined) section.map.set(0, bytes);
    return result;
  }

  #section(global: GlobalSpec): Section {
    const known = this.#sections.get(global.map);
    if (known !== undefined) return known;
    const map = this.#open(global.map);
    const access = this.#isFrozen(global) ? "ro" : "rw";
    const live = (map.info.flags & BPF_F_MMAPABLE) === 0 ? undefined : map.mmap({ access });
    const section = { map, live };
    this.#sections.set(global.map, section);
    return section;
  }

  /** @internal */
  close(): void {
    for (const { map, live } of this.#sections.values()) {
      live?.close();
      map.close();
    }
    this.#sections.clear();
  }
}

function bytesOf({ map, live }: Section): Uint8Array {
  return live?.bytes ?? map.get(0)!;
}
