/** Reader of ELF: 64-bit, little-endian, machine EM_BPF. Sections, symbols and relocations, nothing of what they mean. */
import { BtfStrings } from "../btf/strings.ts";
import { fail } from "./fail.ts";
import {
  type Elf,
  type ElfRelocation,
  type ElfSection,
  type ElfSymbol,
  EM_BPF,
  SHN_LORESERVE,
  SHT_NOBITS,
  SHT_REL,
  SHT_RELA,
  SHT_STRTAB,
  SHT_SYMTAB,
} from "./types.ts";

const HEADER_SIZE = 64;
const SECTION_HEADER_SIZE = 64;
const SYMBOL_SIZE = 24;
const REL_SIZE = 16;
const ET_REL = 1;
/** Longest name of a section or symbol: keeps looking things up by name cheap in any file. */
const MAX_NAME = 4096;

interface SectionHeader extends ElfSection {
  readonly nameOffset: number;
}

/**
 * Parses an object file. Throws InputError on anything that is not well-formed. What it keeps is bounded by the size of
 * the input: sections may not share bytes, and there is one symbol table.
 */
export function parseElf(input: Uint8Array): Elf {
  // A copy: a TextDecoder refuses shared memory, and a Node Buffer's views are Buffers again.
  const bytes = new Uint8Array(input);
  const view = new DataView(bytes.buffer);
  checkHeader(view);
  const headers = readSectionHeaders(bytes, view);
  checkOverlap(headers, bytes.length);
  const names = stringTable(headers, view.getUint16(62, true), "header, byte 62 (section names)");
  const sections = headers.map((header): ElfSection => {
    const { nameOffset, ...section } = header;
    return { ...section, name: nameAt(names, nameOffset, `section ${header.index}`) };
  });
  const tables = sections.filter((section) => section.type === SHT_SYMTAB);
  if (tables.length > 1) fail("sections", `${tables.length} symbol tables`, "one");
  const table = tables[0];
  const symbols = table === undefined ? [] : readSymbols(sections, table);
  return { sections, symbols, relocations: readRelocations(sections, symbols, table?.index ?? 0) };
}

function checkHeader(view: DataView): void {
  if (view.byteLength < HEADER_SIZE) fail("header", `${view.byteLength} bytes`, `at least ${HEADER_SIZE}`);
  const magic = view.getUint32(0, false);
  if (magic !== 0x7f454c46) fail("header, byte 0", `magic 0x${magic.toString(16)}`, "0x7f454c46 (an ELF file)");
  const bits = view.getUint8(4);
  if (bits !== 2) fail("header, byte 4", `class ${bits}`, "2 (64-bit)");
  const order = view.getUint8(5);
  if (order !== 1) fail("header, byte 5", `byte order ${order}`, "1 (little-endian: clang -target bpfel)");
  const type = view.getUint16(16, true);
  if (type !== ET_REL) fail("header, byte 16", `file type ${type}`, "1 (a relocatable object)");
  const machine = view.getUint16(18, true);
  if (machine !== EM_BPF) fail("header, byte 18", `machine ${machine}`, `${EM_BPF} (BPF)`);
}

function readSectionHeaders(bytes: Uint8Array, view: DataView): readonly SectionHeader[] {
  const start = size64(view, 40, "header, byte 40 (section headers)");
  const size = view.getUint16(58, true);
  const count = view.getUint16(60, true);
  if (count === 0) fail("header, byte 60", "no sections", "at least one");
  if (size !== SECTION_HEADER_SIZE) {
    fail("header, byte 58", `section headers of ${size} bytes`, `${SECTION_HEADER_SIZE}`);
  }
  if (start > bytes.length || count * SECTION_HEADER_SIZE > bytes.length - start) {
    const found = `${count} section headers at ${start}`;
    fail("header, byte 40", found, `an end at or before ${bytes.length}`);
  }
  const headers: SectionHeader[] = [];
  for (let index = 0; index < count; index++) {
    headers.push(readSectionHeader(bytes, view, index, start + index * SECTION_HEADER_SIZE));
  }
  return headers;
}

function readSectionHeader(bytes: Uint8Array, view: DataView, index: number, at: number): SectionHeader {
  const where = `section ${index}`;
  const type = view.getUint32(at + 4, true);
  const offset = size64(view, at + 24, `${where}, offset`);
  const size = size64(view, at + 32, `${where}, size`);
  // Section 0 has no bytes, whatever its header says.
  const inFile = index === 0 || type === SHT_NOBITS ? 0 : size;
  if (inFile > 0 && (offset > bytes.length || inFile > bytes.length - offset)) {
    fail(where, `bytes ${offset}+${size}`, `an end at or before ${bytes.length}`);
  }
  return {
    index,
    name: "",
    nameOffset: view.getUint32(at, true),
    type,
    flags: Number(view.getBigUint64(at + 8, true)),
    link: view.getUint32(at + 40, true),
    info: view.getUint32(at + 44, true),
    size,
    entsize: size64(view, at + 56, `${where}, entry size`),
    data: inFile === 0 ? bytes.subarray(0, 0) : bytes.subarray(offset, offset + inFile),
  };
}

/** Sections that share bytes would let a small file ask for the work of a huge one. */
function checkOverlap(headers: readonly SectionHeader[], length: number): void {
  const sum = headers.reduce((total, header) => total + header.data.length, 0);
  if (sum > length) fail("sections", `${sum} bytes in all`, `at most the file's ${length}: no two share bytes`);
}

/** A string table, by section index. Index 0 stands for a table of the empty string alone. */
function stringTable(sections: readonly ElfSection[], index: number, where: string): BtfStrings {
  if (index === 0) return new BtfStrings(Uint8Array.of(0));
  const section = sections[index];
  if (section === undefined) return fail(where, `section ${index}`, `0..${sections.length - 1}`);
  if (section.type !== SHT_STRTAB) fail(where, `section ${index} of type ${section.type}`, "a string table (3)");
  if (section.data.at(-1) !== 0) fail(`section ${index}`, "a string table without NUL at its end", "NUL");
  return new BtfStrings(section.data);
}

function nameAt(names: BtfStrings, offset: number, where: string): string {
  const length = names.lengthAt(offset);
  if (length > MAX_NAME) fail(`${where}, name`, `${length} characters`, `at most ${MAX_NAME}`);
  return names.at(offset) ?? fail(`${where}, name`, `offset ${offset}`, `less than ${names.length}`);
}

function readSymbols(sections: readonly ElfSection[], table: ElfSection): readonly ElfSymbol[] {
  const where = `symbol table (section ${table.index})`;
  const { data } = table;
  if (data.length % SYMBOL_SIZE !== 0) fail(where, `${data.length} bytes`, `a multiple of ${SYMBOL_SIZE}`);
  const names = stringTable(sections, table.link, `${where}, link`);
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const symbols: ElfSymbol[] = [];
  for (let at = 0; at < data.length; at += SYMBOL_SIZE) {
    const symbol = `symbol ${symbols.length}`;
    const info = view.getUint8(at + 4);
    const section = view.getUint16(at + 6, true);
    if (section >= sections.length && section < SHN_LORESERVE) {
      fail(`${symbol}, section`, `${section}`, `0..${sections.length - 1}`);
    }
    symbols.push({
      name: nameAt(names, view.getUint32(at, true), symbol),
      value: size64(view, at + 8, `${symbol}, value`),
      size: size64(view, at + 16, `${symbol}, size`),
      type: info & 0xf,
      bind: info >>> 4,
      visibility: view.getUint8(at + 5) & 3,
      section,
    });
  }
  return symbols;
}

function readRelocations(
  sections: readonly ElfSection[],
  symbols: readonly ElfSymbol[],
  symbolTable: number,
): ReadonlyMap<number, readonly ElfRelocation[]> {
  const relocations = new Map<number, readonly ElfRelocation[]>();
  for (const section of sections) {
    const where = `section ${section.index} (${section.name})`;
    if (section.type === SHT_RELA) fail(where, "relocations with addends (RELA)", "REL, as clang writes for BPF");
    if (section.type !== SHT_REL) continue;
    const { data, info } = section;
    if (info === 0 || info >= sections.length) fail(`${where}, info`, `${info}`, `1..${sections.length - 1}`);
    if (section.link !== symbolTable) fail(`${where}, link`, `${section.link}`, `${symbolTable} (the symbol table)`);
    if (data.length % REL_SIZE !== 0) fail(where, `${data.length} bytes`, `a multiple of ${REL_SIZE}`);
    if (relocations.has(info)) fail(where, `a second set of relocations for section ${info}`, "one");
    const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
    const list: ElfRelocation[] = [];
    for (let at = 0; at < data.length; at += REL_SIZE) {
      const number = view.getUint32(at + 12, true);
      const symbol = symbols[number];
      const relocation = `${where}, relocation ${list.length}`;
      if (symbol === undefined) return fail(relocation, `symbol ${number}`, `0..${symbols.length - 1}`);
      const offset = size64(view, at, `${relocation}, offset`);
      if (offset >= sections[info]!.size) fail(relocation, `offset ${offset}`, `less than ${sections[info]!.size}`);
      list.push({ offset, type: view.getUint32(at + 8, true), symbol });
    }
    relocations.set(info, list);
  }
  return relocations;
}

/** A 64-bit field as a number; one beyond 2^53 is nothing that a file could have. */
function size64(view: DataView, at: number, where: string): number {
  const value = view.getUint32(at + 4, true) * 2 ** 32 + view.getUint32(at, true);
  return value <= Number.MAX_SAFE_INTEGER ? value : fail(where, `${value}`, "less than 2^53");
}
