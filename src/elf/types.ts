/** What a parsed ELF file looks like. Byte views are into one copy of the input. */

export interface ElfSection {
  readonly index: number;
  readonly name: string;
  /** SHT_*. */
  readonly type: number;
  /** SHF_*; bits above 2^53 are lost, none is defined there. */
  readonly flags: number;
  readonly link: number;
  readonly info: number;
  /** Bytes in memory. For SHT_NOBITS the file has none of them. */
  readonly size: number;
  readonly entsize: number;
  /** The section's bytes in the file: `size` of them, or none for SHT_NOBITS. */
  readonly data: Uint8Array;
}

export interface ElfSymbol {
  readonly name: string;
  readonly value: number;
  readonly size: number;
  /** STT_*. */
  readonly type: number;
  /** STB_*. */
  readonly bind: number;
  /** STV_*. */
  readonly visibility: number;
  /** Index of its section, or SHN_UNDEF, SHN_ABS, SHN_COMMON. */
  readonly section: number;
}

export interface ElfRelocation {
  /** Offset into the section that is relocated. */
  readonly offset: number;
  /** R_BPF_*. */
  readonly type: number;
  readonly symbol: ElfSymbol;
}

export interface Elf {
  /** Index 0 is the empty section that every file has. */
  readonly sections: readonly ElfSection[];
  readonly symbols: readonly ElfSymbol[];
  /** Index of a relocated section → its relocations, in the file's order. */
  readonly relocations: ReadonlyMap<number, readonly ElfRelocation[]>;
}

export const SHT_PROGBITS = 1;
export const SHT_SYMTAB = 2;
export const SHT_STRTAB = 3;
export const SHT_RELA = 4;
export const SHT_NOBITS = 8;
export const SHT_REL = 9;
export const SHF_EXECINSTR = 4;
export const SHN_UNDEF = 0;
export const SHN_LORESERVE = 0xff00;
export const STB_LOCAL = 0;
export const STB_WEAK = 2;
export const STT_OBJECT = 1;
export const STT_FUNC = 2;
export const STT_SECTION = 3;
export const STV_INTERNAL = 1;
export const STV_HIDDEN = 2;

export const EM_BPF = 247;
/** A 64-bit immediate: address of a map, a variable or a function. */
export const R_BPF_64_64 = 1;
/** Data of 8 and 4 bytes. */
export const R_BPF_64_ABS64 = 2;
export const R_BPF_64_ABS32 = 3;
/** Data of 4 bytes in .BTF and .BTF.ext, which loaders leave alone. */
export const R_BPF_64_NODYLD32 = 4;
/** The imm of a call. */
export const R_BPF_64_32 = 10;
