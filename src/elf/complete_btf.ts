/**
 * Fills in what the compiler leaves to the linker in .BTF: sizes of data sections and offsets of their variables.
 * Without that BPF_BTF_LOAD refuses it. Nothing is done for the sections of externs, which no file contains.
 */
import { type Btf, type BtfType, type BtfTypeOf, parseBtf } from "../btf/index.ts";
import { fail } from "./fail.ts";
import type { Source } from "./source.ts";
import { type ElfSymbol, SHN_UNDEF, STT_FUNC, STV_HIDDEN, STV_INTERNAL } from "./types.ts";

/** Bytes of struct btf_type, and of one variable of a data section. */
const TYPE_SIZE = 12;
const VARIABLE_SIZE = 12;

export interface CompleteBtf {
  readonly btf: Btf;
  readonly bytes: Uint8Array;
}

export function completeBtf(input: Uint8Array, source: Pick<Source, "sections" | "symbols">): CompleteBtf {
  const bytes = new Uint8Array(input);
  const view = new DataView(bytes.buffer);
  const btf = parseBtf(bytes);
  if (!btf.littleEndian) fail(".BTF", "big-endian BTF", "little-endian, as the file");
  const hidden = hiddenFunctions(source);
  let at = view.getUint32(4, true) + view.getUint32(8, true);
  for (let id = 1; id < btf.count; id++) {
    const type = btf.type(id);
    if (type.kind === "datasec") writeSection(view, at, type, btf, source);
    // A hidden function belongs to this object alone: as static it is verified with its callers, as libbpf does.
    if (type.kind === "func" && hidden.has(type.name)) view.setUint16(at + 4, 0, true);
    at += encodedSize(type);
  }
  return { btf: parseBtf(bytes), bytes };
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
