/** The functions of the executable sections, as symbols delimit them. */
import { decodeInsns, INSN_SIZE, type Insn } from "../insn/index.ts";
import { fail } from "./fail.ts";
import type { Source } from "./source.ts";
import {
  type Elf,
  type ElfRelocation,
  type ElfSection,
  SHF_EXECINSTR,
  SHT_PROGBITS,
  STB_LOCAL,
  STT_FUNC,
} from "./types.ts";

export interface ElfFunction {
  readonly name: string;
  readonly section: CodeSection;
  /** First instruction in its section, and how many it has. */
  readonly start: number;
  readonly count: number;
  /** False for a static function. */
  readonly global: boolean;
}

export interface CodeSection {
  readonly index: number;
  readonly name: string;
  readonly flags: number;
  readonly insns: readonly Insn[];
  /** By byte offset. */
  readonly relocations: ReadonlyMap<number, ElfRelocation>;
  /** By first instruction. */
  readonly functions: ReadonlyMap<number, ElfFunction>;
}

export interface FunctionTable {
  /** By section index. */
  readonly sections: ReadonlyMap<number, CodeSection>;
  /** In the order of the sections, ascending in each. */
  readonly functions: readonly ElfFunction[];
  /** Those that are not static, by name. */
  readonly globals: ReadonlyMap<string, ElfFunction>;
}

const isCode = ({ type, flags, size }: ElfSection): boolean =>
  type === SHT_PROGBITS && (flags & SHF_EXECINSTR) !== 0 && size > 0;

export function readFunctions({ elf }: Pick<Source, "elf">): FunctionTable {
  const sections = new Map<number, CodeSection>();
  const starts = new Map<number, Map<number, ElfFunction>>();
  const functions: ElfFunction[] = [];
  for (const section of elf.sections) {
    if (!isCode(section)) continue;
    if (section.size % INSN_SIZE !== 0) fail(`section ${section.name}`, `${section.size} bytes`, "a multiple of 8");
    const byStart = new Map<number, ElfFunction>();
    starts.set(section.index, byStart);
    sections.set(section.index, {
      index: section.index,
      name: section.name,
      flags: section.flags,
      insns: decodeInsns(section.data),
      relocations: relocationsOf(elf, section),
      functions: byStart,
    });
  }
  for (const { name, type, bind, value, size, section: index } of elf.symbols) {
    const section = sections.get(index);
    if (type !== STT_FUNC || section === undefined) continue;
    const end = section.insns.length * INSN_SIZE;
    if (value % INSN_SIZE !== 0 || size % INSN_SIZE !== 0 || size === 0 || value + size > end) {
      fail(`function ${name}`, `bytes ${value}+${size} of section ${section.name}`, `whole instructions in 0..${end}`);
    }
    const start = value / INSN_SIZE;
    const fn = { name, section, start, count: size / INSN_SIZE, global: bind !== STB_LOCAL };
    functions.push(fn);
    // Of two names for one function either will do: calls go by address.
    starts.get(index)!.set(start, fn);
  }
  functions.sort((a, b) => a.section.index - b.section.index || a.start - b.start);
  const globals = new Map(functions.flatMap((fn) => (fn.global ? [[fn.name, fn] as const] : [])));
  return { sections, functions, globals };
}

function relocationsOf(elf: Elf, section: ElfSection): ReadonlyMap<number, ElfRelocation> {
  const relocations = new Map<number, ElfRelocation>();
  for (const relocation of elf.relocations.get(section.index) ?? []) {
    const { offset } = relocation;
    if (offset % INSN_SIZE !== 0 || relocations.has(offset)) {
      fail(`relocations of section ${section.name}`, `one at byte ${offset}`, "one for each instruction");
    }
    relocations.set(offset, relocation);
  }
  return relocations;
}
