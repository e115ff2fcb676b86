/**
 * Programs out of functions: each program is its own function followed by every function that it calls, with calls and
 * map references resolved. Follows libbpf, which builds each program by itself, so that a shared callee is copied.
 */
import { INSN_SIZE, type Insn, insnTable, LD_IMM64_OPCODE } from "../insn/index.ts";
import {
  BPF_PSEUDO_CALL,
  BPF_PSEUDO_FUNC,
  BPF_PSEUDO_KFUNC_CALL,
  BPF_PSEUDO_MAP_FD,
  BPF_PSEUDO_MAP_VALUE,
} from "../uapi/index.ts";
import { fail } from "./fail.ts";
import type { ElfFunction, FunctionTable } from "./functions.ts";
import type { ExternRef, ExternSpec, MapRef, MapSpec } from "./spec.ts";
import {
  type ElfRelocation,
  type ElfSymbol,
  R_BPF_64_32,
  R_BPF_64_64,
  SHF_EXECINSTR,
  SHN_UNDEF,
  STT_SECTION,
} from "./types.ts";

/** Most instructions that the programs of an object may have together: many programs may share one big callee. */
export const MAX_LINKED = 2_000_000;

/** What relocations may refer to besides functions. */
export interface LinkTargets {
  /** The map at an offset of a section of maps, by that section's index. */
  readonly mapAt: (section: number, offset: number) => MapSpec | undefined;
  /** The map of a data section. */
  readonly dataMap: (section: number) => MapSpec | undefined;
  readonly extern: (name: string) => ExternSpec | undefined;
  /** The map of configuration values. */
  readonly kconfig: MapSpec | undefined;
  /** A function's name → the name of the global function that runs when it throws. */
  readonly exceptionCallbacks: ReadonlyMap<string, string>;
}

export interface PlacedFunction {
  readonly fn: ElfFunction;
  /** Index of its first instruction in the program. */
  readonly at: number;
}

export interface LinkedProgram {
  readonly insns: Insn[];
  readonly placed: readonly PlacedFunction[];
  readonly mapRefs: MapRef[];
  readonly externRefs: ExternRef[];
  readonly unsupported: string[];
}

/** Builds one program. `budget` is how many instructions it may have. */
export function linkProgram(
  table: FunctionTable,
  main: ElfFunction,
  targets: LinkTargets,
  budget: number,
): LinkedProgram {
  const linker = new Linker(table, targets, main, budget);
  return linker.link();
}

class Linker {
  readonly #table: FunctionTable;
  readonly #targets: LinkTargets;
  readonly #main: ElfFunction;
  readonly #budget: number;
  readonly #insns: Insn[] = [];
  readonly #placed: PlacedFunction[] = [];
  readonly #places = new Map<ElfFunction, number>();
  readonly #mapRefs: MapRef[] = [];
  readonly #externRefs: ExternRef[] = [];
  readonly #unsupported: string[] = [];
  /** Calls and function addresses, to be filled in when every callee has its place. */
  readonly #calls: { readonly at: number; readonly callee: ElfFunction }[] = [];

  constructor(table: FunctionTable, targets: LinkTargets, main: ElfFunction, budget: number) {
    this.#table = table;
    this.#targets = targets;
    this.#main = main;
    this.#budget = budget;
  }

  link(): LinkedProgram {
    this.#place(this.#main);
    // Nobody calls it by name: it is there for the kernel.
    const callback = this.#targets.exceptionCallbacks.get(this.#main.name);
    if (callback !== undefined) this.#place(this.#global(callback));
    // Callees are appended while the list is walked.
    for (let i = 0; i < this.#placed.length; i++) this.#resolve(this.#placed[i]!);
    for (const { at, callee } of this.#calls) {
      this.#insns[at] = { ...this.#insns[at]!, imm: this.#places.get(callee)! - at - 1 };
    }
    return {
      insns: this.#insns,
      placed: this.#placed,
      mapRefs: this.#mapRefs,
      externRefs: this.#externRefs,
      unsupported: this.#unsupported,
    };
  }

  #place(fn: ElfFunction): void {
    if (this.#places.has(fn)) return;
    const at = this.#insns.length;
    if (at + fn.count > this.#budget) {
      fail(`program ${this.#main.name}`, `more than ${this.#budget} instructions with its callees`, "fewer");
    }
    this.#places.set(fn, at);
    this.#placed.push({ fn, at });
    const { insns } = fn.section;
    for (let i = 0; i < fn.count; i++) this.#insns.push(insns[fn.start + i]!);
  }

  #global(name: string): ElfFunction {
    const found = this.#table.globals.get(name);
    return found ?? fail(`program ${this.#main.name}, exception callback`, name, "a global function");
  }

  #resolve({ fn, at }: PlacedFunction): void {
    for (let i = 0; i < fn.count; i++) {
      const insn = this.#insns[at + i]!;
      const relocation = fn.section.relocations.get((fn.start + i) * INSN_SIZE);
      if (relocation !== undefined) this.#relocate(fn, i, at + i, relocation);
      else if (isCall(insn)) this.#call(fn, i, at + i, fn.section.index, fn.start + i + 1 + insn.imm);
    }
  }

  #relocate(fn: ElfFunction, index: number, at: number, { type, symbol }: ElfRelocation): void {
    const insn = this.#insns[at]!;
    const where = whereIs(fn, index);
    if (type === R_BPF_64_32) {
      if (!isCall(insn)) fail(where, `a call relocation on opcode 0x${insn.opcode.toString(16)}`, "a call");
      const target = symbol.value / INSN_SIZE + insn.imm + 1;
      if (symbol.section === SHN_UNDEF) this.#callExtern(where, at, symbol.name);
      else this.#call(fn, index, at, symbol.section, target);
      return;
    }
    if (type !== R_BPF_64_64) fail(where, `relocation type ${type}`, `${R_BPF_64_64} or ${R_BPF_64_32}`);
    if (insn.opcode !== LD_IMM64_OPCODE || index + 1 >= fn.count) {
      fail(where, `an address relocation on opcode 0x${insn.opcode.toString(16)}`, "a 64-bit immediate");
    }
    if (symbol.section === SHN_UNDEF) this.#addressOfExtern(where, at, symbol.name);
    else this.#address(fn, index, at, symbol);
  }

  /** A 64-bit immediate that stands for an address: a map, a variable or a function. imm is what to add. */
  #address(fn: ElfFunction, index: number, at: number, symbol: ElfSymbol): void {
    const insn = this.#insns[at]!;
    const where = whereIs(fn, index);
    const offset = symbol.value + insn.imm;
    const map = this.#targets.mapAt(symbol.section, offset);
    if (map !== undefined) {
      this.#insns[at] = { ...insn, src: BPF_PSEUDO_MAP_FD, imm: 0 };
      this.#mapRefs.push({ insn: at, map: map.name, kind: "fd" });
      return;
    }
    const data = this.#targets.dataMap(symbol.section);
    if (data !== undefined) {
      const size = data.initialData?.length ?? data.valueSize;
      if (offset < 0 || offset > size) fail(where, `byte ${offset} of section ${data.section}`, `0..${size}`);
      this.#mapValue(at, data, offset);
      return;
    }
    const section = this.#table.sections.get(symbol.section);
    if (section === undefined || (section.flags & SHF_EXECINSTR) === 0) {
      const what = symbol.type === STT_SECTION || symbol.name === "" ? `section ${symbol.section}` : symbol.name;
      fail(where, `the address of ${what}`, "a map, a variable or a function");
    }
    this.#insns[at] = { ...insn, src: BPF_PSEUDO_FUNC };
    this.#call(fn, index, at, symbol.section, offset / INSN_SIZE);
  }

  #call(fn: ElfFunction, index: number, at: number, section: number, target: number): void {
    const callee = this.#table.sections.get(section)?.functions.get(target);
    if (callee === undefined) {
      const found = `a call of instruction ${target} of section ${section}`;
      fail(whereIs(fn, index), found, "the start of a function");
    }
    this.#place(callee);
    this.#calls.push({ at, callee });
  }

  #callExtern(where: string, at: number, name: string): void {
    if (this.#targets.extern(name)?.kind === "function") {
      this.#insns[at] = { ...this.#insns[at]!, src: BPF_PSEUDO_KFUNC_CALL, off: 0, imm: 0 };
      this.#externRefs.push({ insn: at, extern: name, kind: "call" });
    } else {
      this.#refuse(where, name);
    }
  }

  #addressOfExtern(where: string, at: number, name: string): void {
    const extern = this.#targets.extern(name);
    const { kconfig } = this.#targets;
    const { imm } = this.#insns[at]!;
    if (extern === undefined) {
      this.#refuse(where, name);
    } else if (extern.kind === "kconfig" && kconfig !== undefined) {
      const offset = extern.offset! + imm;
      if (offset < 0 || offset > kconfig.valueSize) fail(where, `byte ${imm} of ${name}`, `0..${extern.size}`);
      this.#mapValue(at, kconfig, offset);
    } else {
      if (imm !== 0) fail(where, `the address of ${name} and ${imm} bytes`, "the address itself");
      this.#externRefs.push({ insn: at, extern: name, kind: "address" });
    }
  }

  #mapValue(at: number, map: MapSpec, offset: number): void {
    this.#insns[at] = { ...this.#insns[at]!, src: BPF_PSEUDO_MAP_VALUE, imm: 0 };
    this.#insns[at + 1] = { ...this.#insns[at + 1]!, imm: offset | 0 };
    this.#mapRefs.push({ insn: at, map: map.name, kind: "value", offset });
  }

  /** Only the programs that use it are spoilt. */
  #refuse(where: string, name: string): void {
    this.#unsupported.push(`extern ${name}, declared without __ksym and __kconfig (${where})`);
  }
}

/** A call of another function of the object: by distance, or still without one. */
function isCall(insn: Insn): boolean {
  return insnTable[insn.opcode]?.kind === "call" && insn.src === BPF_PSEUDO_CALL;
}

const whereIs = (fn: ElfFunction, index: number): string => `${fn.name}, instruction ${index}`;
