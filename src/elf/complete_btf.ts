/**
 * Fills in what the compiler leaves to the linker in .BTF: sizes of data sections and offsets of their variables.
 * Without that BPF_BTF_LOAD refuses it. The sections of externs, which no file contains, become such as it takes.
 */
import { type Btf, type BtfType, type BtfTypeOf, parseBtf } from "../btf/index.ts";
import { KCONFIG, KSYMS, kconfigSize, readExterns } from "./externs.ts";
import { fail } from "./fail.ts";
import type { Source } from "./source.ts";
import type { ExternSpec } from "./spec.ts";
import { type ElfSymbol, SHN_UNDEF, STT_FUNC, STV_HIDDEN, STV_INTERNAL } from "./types.ts";

/** Bytes of struct btf_type, and of one variable of a data section. */
const TYPE_SIZE = 12;
const VARIABLE_SIZE = 12;
/** In a var's linkage word, in a func's vlen. */
const GLOBAL = 1;
const KIND_STRUCT = 4;
/** Bytes of the int that a kernel symbol is said to be. */
const KSYM_SIZE = 4;

export interface CompleteBtf {
  readonly btf: Btf;
  readonly bytes: Uint8Array;
  readonly externs: readonly ExternSpec[];
}

export function completeBtf(input: Uint8Array, source: Pick<Source, "sections" | "symbols">): CompleteBtf {
  const first = parseBtf(input);
  if (!first.littleEndian) fail(".BTF", "big-endian BTF", "little-endian, as the file");
  const bytes = withoutMoved(input, first, source);
  const view = new DataView(bytes.buffer);
  const btf = parseBtf(bytes);
  const hidden = hiddenFunctions(source);
  const externs = readExterns(btf, source.symbols);
  const starts = startsOf(btf, view);
  for (let id = 1; id < btf.count; id++) {
    const type = btf.type(id);
    const at = starts[id]!;
    if (type.kind === "datasec" && type.name !== KCONFIG && type.name !== KSYMS)
      writeSection(view, at, type, btf, source);
    // A hidden function belongs to this object alone: as static it is verified with its callers, as libbpf does.
    if (type.kind === "func" && hidden.has(type.name)) view.setUint16(at + 4, 0, true);
    // Of the host's or of nobody's: the kernel knows no extern variables.
    if (type.kind === "var" && type.linkage === "extern") view.setUint32(at + TYPE_SIZE, GLOBAL, true);
  }
  writeKconfig(view, btf, externs, starts);
  writeKsyms(view, btf, starts);
  return { btf: parseBtf(bytes), bytes, externs };
}

/** Where each type starts in the bytes. */
function startsOf(btf: Btf, view: DataView): Uint32Array {
  const starts = new Uint32Array(btf.count);
  let at = view.getUint32(4, true) + view.getUint32(8, true);
  for (let id = 1; id < btf.count; id++) {
    starts[id] = at;
    at += encodedSize(btf.type(id));
  }
  return starts;
}

/**
 * A copy without variables that data sections do not have: the compiler lists constant text that it has moved into a
 * section of its own, which the linker merges, where the source has it.
 */
function withoutMoved(input: Uint8Array, btf: Btf, source: Pick<Source, "sections" | "symbols">): Uint8Array {
  const bytes = new Uint8Array(input);
  const view = new DataView(bytes.buffer);
  const starts = startsOf(btf, view);
  let cut = 0;
  // From the end on, so that what lies before stays where it is.
  for (let id = btf.count - 1; id > 0; id--) {
    const type = btf.type(id);
    if (type.kind !== "datasec") continue;
    for (let i = type.vars.length - 1; i >= 0; i--) {
      if (!hasMoved(type.name, type.vars[i]!, btf, source)) continue;
      const at = starts[id]! + TYPE_SIZE + i * VARIABLE_SIZE;
      bytes.copyWithin(at, at + VARIABLE_SIZE, bytes.length - cut);
      view.setUint32(starts[id]! + 4, view.getUint32(starts[id]! + 4, true) - 1, true);
      cut += VARIABLE_SIZE;
    }
  }
  const [types, strings] = [view.getUint32(8, true), view.getUint32(16, true)];
  view.setUint32(12, view.getUint32(12, true) - cut, true);
  if (strings > types) view.setUint32(16, strings - cut, true);
  return bytes.slice(0, bytes.length - cut);
}

function hasMoved(
  name: string,
  { typeId, offset, size }: BtfTypeOf<"datasec">["vars"][number],
  btf: Btf,
  { sections, symbols }: Pick<Source, "sections" | "symbols">,
): boolean {
  const section = sections.get(name);
  const declared = btf.type(typeId);
  if (section === undefined || declared.kind !== "var" || declared.linkage !== "static") return false;
  if (symbols.get(section.index)?.has(declared.name) === true) return false;
  return offset + size > section.size || [...symbols.values()].some((each) => each.has(declared.name));
}

/** Configuration values lie in a map of the object's, so they are variables like others. */
function writeKconfig(view: DataView, btf: Btf, externs: readonly ExternSpec[], starts: Uint32Array): void {
  const id = btf.find(KCONFIG, "datasec");
  if (id === undefined) return;
  const byName = new Map(externs.map((extern) => [extern.name, extern]));
  const { vars } = btf.type(id) as BtfTypeOf<"datasec">;
  const placed = vars.map(({ typeId }) => ({ typeId, extern: byName.get(btf.type(typeId).name)! }));
  placed.sort((a, b) => a.extern.offset! - b.extern.offset!);
  view.setUint32(starts[id]! + 8, kconfigSize(externs), true);
  placed.forEach(({ typeId, extern }, i) => {
    const at = starts[id]! + TYPE_SIZE + i * VARIABLE_SIZE;
    for (const [word, value] of [typeId, extern.offset!, extern.size!].entries())
      view.setUint32(at + word * 4, value, true);
  });
}

/**
 * Kernel symbols: what they are is said by the instructions that use them. Functions become global ones, variables ints,
 * and their section, in which functions are not taken, a struct that has them as members.
 */
function writeKsyms(view: DataView, btf: Btf, starts: Uint32Array): void {
  const id = btf.find(KSYMS, "datasec");
  const intId = btf.types.findIndex((type) => type.kind === "int" && type.size === KSYM_SIZE && type.bits === 32);
  if (id === undefined || intId < 0) return;
  const section = starts[id]!;
  const { vars } = btf.type(id) as BtfTypeOf<"datasec">;
  view.setUint32(section, 0, true);
  view.setUint32(section + 4, KIND_STRUCT * 0x100_0000 + vars.length, true);
  view.setUint32(section + 8, vars.length * KSYM_SIZE, true);
  vars.forEach(({ typeId }, i) => {
    const declared = btf.type(typeId);
    const at = starts[typeId]!;
    const name = view.getUint32(at, true);
    if (declared.kind === "func") {
      view.setUint16(at + 4, GLOBAL, true);
      nameParameters(view, starts[declared.typeId]!, btf.type(declared.typeId), name);
    } else {
      view.setUint32(at + 8, intId, true);
    }
    const entry = section + TYPE_SIZE + i * VARIABLE_SIZE;
    for (const [word, value] of [name, intId, i * KSYM_SIZE * 8].entries())
      view.setUint32(entry + word * 4, value, true);
  });
}

/** BPF_BTF_LOAD wants a name for each parameter of a function; any will do. */
function nameParameters(view: DataView, at: number, type: BtfType, name: number): void {
  if (type.kind !== "func_proto") return;
  type.params.forEach((param, i) => {
    if (param.typeId !== 0 && param.name === "") view.setUint32(at + TYPE_SIZE + i * 8, name, true);
  });
}

function hiddenFunctions({ symbols }: Pick<Source, "symbols">): ReadonlySet<string> {
  const isHidden = ({ type, visibility }: ElfSymbol): boolean =>
    type === STT_FUNC && (visibility === STV_HIDDEN || visibility === STV_INTERNAL);
  const names = new Set<string>();
  for (const [section, byName] of symbols) {
    if (section === SHN_UNDEF) continue;
    for (const [name, symbol] of byName) if (isHidden(symbol)) names.add(name);
  }
  return names;
}

function writeSection(
  view: DataView,
  at: number,
  type: BtfTypeOf<"datasec">,
  btf: Btf,
  source: Pick<Source, "sections" | "symbols">,
): void {
  const section = source.sections.get(type.name);
  if (section === undefined) return;
  if (section.size > 0xffff_ffff) fail(`section ${type.name}`, `${section.size} bytes`, "less than 4 GiB");
  const symbols = source.symbols.get(section.index);
  const vars = type.vars.map((variable) => {
    const declared = btf.type(variable.typeId);
    // The compiler knows where a static variable is; its name need not be unique.
    if (declared.kind !== "var" || declared.linkage !== "global") return variable;
    return { ...variable, offset: symbols?.get(declared.name)?.value ?? variable.offset };
  });
  vars.sort((a, b) => a.offset - b.offset);
  view.setUint32(at + 8, section.size, true);
  let next = at + TYPE_SIZE;
  for (const variable of vars) {
    if (variable.offset + variable.size > section.size) {
      const name = btf.type(variable.typeId).name;
      fail(`section ${type.name}, ${name}`, `bytes ${variable.offset}+${variable.size}`, `0..${section.size}`);
    }
    view.setUint32(next, variable.typeId, true);
    view.setUint32(next + 4, variable.offset, true);
    view.setUint32(next + 8, variable.size, true);
    next += VARIABLE_SIZE;
  }
}

/** Bytes that a type takes in the file. */
function encodedSize(type: BtfType): number {
  switch (type.kind) {
    case "int":
    case "var":
    case "decl_tag":
      return TYPE_SIZE + 4;
    case "array":
      return TYPE_SIZE + 12;
    case "struct":
    case "union":
      return TYPE_SIZE + type.members.length * 12;
    case "enum":
      return TYPE_SIZE + type.values.length * 8;
    case "enum64":
      return TYPE_SIZE + type.values.length * 12;
    case "func_proto":
      return TYPE_SIZE + type.params.length * 8;
    case "datasec":
      return TYPE_SIZE + type.vars.length * VARIABLE_SIZE;
    default:
      return TYPE_SIZE;
  }
}
