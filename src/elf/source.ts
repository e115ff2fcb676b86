/** The object file with the look-ups that maps, data sections and programs share. */
import type { Btf } from "../btf/index.ts";
import { type Elf, type ElfSection, type ElfSymbol, STT_SECTION } from "./types.ts";

export interface Source {
  readonly elf: Elf;
  readonly btf: Btf | undefined;
  readonly objectName: string;
  /** The first section of each name. */
  readonly sections: ReadonlyMap<string, ElfSection>;
  /** Section index → its symbols by name, section symbols left out. */
  readonly symbols: ReadonlyMap<number, ReadonlyMap<string, ElfSymbol>>;
}

export function sectionsByName(elf: Elf): ReadonlyMap<string, ElfSection> {
  const sections = new Map<string, ElfSection>();
  for (const section of elf.sections) if (!sections.has(section.name)) sections.set(section.name, section);
  return sections;
}

export function symbolsBySection(elf: Elf): ReadonlyMap<number, ReadonlyMap<string, ElfSymbol>> {
  const sections = new Map<number, Map<string, ElfSymbol>>();
  for (const symbol of elf.symbols) {
    if (symbol.type === STT_SECTION || symbol.name === "") continue;
    const symbols = sections.get(symbol.section);
    if (symbols === undefined) sections.set(symbol.section, new Map([[symbol.name, symbol]]));
    else if (!symbols.has(symbol.name)) symbols.set(symbol.name, symbol);
  }
  return sections;
}
