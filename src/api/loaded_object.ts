/** An object that is loaded: its maps, programs and variables by name. */
/// <reference lib="esnext.disposable" preserve="true" />
import type { ObjectSpec } from "../elf/index.ts";
import { InputError } from "../errors.ts";
import type { AnyMap, MapOf } from "./any_map.ts";
import type { Globals } from "./globals.ts";
import type { Program } from "./program.ts";
import type { MapShape } from "./spec.ts";

/** Maps by name, each with the type that `shapes` gave it. */
export interface NamedMaps<T extends Readonly<Record<string, MapShape>>> extends ReadonlyMap<string, AnyMap> {
  get<N extends keyof T & string>(name: N): MapOf<T[N]>;
  get(name: string): AnyMap | undefined;
}

/** A loaded object. */
export class LoadedObject<T extends Readonly<Record<string, MapShape>> = Record<never, never>> implements Disposable {
  readonly name: string;
  /** What the file asked for, after `edit`. */
  readonly spec: ObjectSpec;
  /** By their names in the file; data sections as `counter.bss`. Keys and values are what the file's BTF says. */
  readonly maps: NamedMaps<T>;
  /** By the names of their functions. */
  readonly programs: ReadonlyMap<string, Program>;
  readonly globals: Globals;
  readonly #kept: ReadonlySet<AnyMap>;

  /** @internal `kept`: maps that are not the object's to close. */
  constructor(
    spec: ObjectSpec,
    maps: ReadonlyMap<string, AnyMap>,
    programs: ReadonlyMap<string, Program>,
    globals: Globals,
    kept: ReadonlySet<AnyMap>,
  ) {
    this.name = spec.name;
    this.spec = spec;
    this.maps = maps as NamedMaps<T>;
    this.programs = programs;
    this.globals = globals;
    this.#kept = kept;
  }

  /** A map by name; `InputError` with the names that there are when there is none. */
  map<N extends keyof T & string>(name: N): MapOf<T[N]>;
  map(name: string): AnyMap;
  map(name: string): AnyMap {
    return named(this.maps, name, `object ${this.name}: no map`);
  }

  /** A program by name; `InputError` when there is none. */
  program(name: string): Program {
    return named(this.programs, name, `object ${this.name}: no program`);
  }

  /** Closes programs, maps and mappings. A second call does nothing. */
  close(): void {
    this.globals.close();
    for (const program of this.programs.values()) program.close();
    for (const map of this.maps.values()) if (!this.#kept.has(map)) map.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** What has this name; `InputError` with the names that there are when nothing has. */
export function named<V>(all: ReadonlyMap<string, V>, name: string, what: string): V {
  const found = all.get(name);
  if (found !== undefined) return found;
  throw new InputError(`${what} \`${name}\`; there are ${[...all.keys()].join(", ") || "none"}`);
}
