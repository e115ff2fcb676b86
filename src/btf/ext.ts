/** Reader of .BTF.ext: which function and source line an instruction belongs to, and CO-RE relocations (as data only). */
import { BTF_VERSION } from "../uapi/index.ts";
import type { Btf } from "./btf.ts";
import { readByteOrder } from "./parse.ts";
import { fail } from "./wire.ts";

export interface BtfFuncInfo {
  /** ELF section of the program. */
  readonly section: string;
  /** Offset in bytes of the function's first instruction in that section. */
  readonly insnOffset: number;
  /** Its `func` type. */
  readonly typeId: number;
}

export interface BtfLineInfo {
  readonly section: string;
  readonly insnOffset: number;
  readonly file: string;
  /** The source line itself; empty when the compiler left it out. */
  readonly text: string;
  readonly line: number;
  readonly column: number;
  /** Where `file` and `text` stand in the strings of the BTF: what a line_info record of BPF_PROG_LOAD carries. */
  readonly fileOffset: number;
  readonly textOffset: number;
}

export interface BtfCoreRelo {
  readonly section: string;
  readonly insnOffset: number;
  /** The type at which the access begins. */
  readonly typeId: number;
  /** Path of the access: indices joined by colons, as "0:1:2"; the value's index for an enum. */
  readonly access: string;
  /** One of BPF_CORE_*. */
  readonly kind: number;
}

export interface BtfExt {
  readonly funcInfo: readonly BtfFuncInfo[];
  readonly lineInfo: readonly BtfLineInfo[];
  readonly coreRelos: readonly BtfCoreRelo[];
}

/** Bytes of the header up to line_info, which every version has, and with core_relo. */
const HEADER_SIZE = 24;
const HEADER_SIZE_CORE_RELO = 32;
/** One line_col word holds the column in its low ten bits and the line above them. */
export const COLUMN_BITS = 10;

type Word = (at: number) => number;

/** Parses .BTF.ext. `btf` is the .BTF of the same file: names, texts and type ids are looked up in it. */
export function parseBtfExt(bytes: Uint8Array, btf: Btf): BtfExt {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const littleEndian = readByteOrder(view, ".BTF.ext header");
  if (littleEndian !== btf.littleEndian) fail(".BTF.ext header", "another byte order", "the one of .BTF");
  if (bytes.length < HEADER_SIZE) fail(".BTF.ext header", `${bytes.length} bytes`, `at least ${HEADER_SIZE}`);
  const version = view.getUint8(2);
  if (version !== BTF_VERSION) fail(".BTF.ext header, byte 2", `version ${version}`, `${BTF_VERSION}`);
  const headerSize = view.getUint32(4, littleEndian);
  if (headerSize < HEADER_SIZE || headerSize > bytes.length) {
    fail(".BTF.ext header, byte 4", `a header of ${headerSize} bytes`, `${HEADER_SIZE}..${bytes.length}`);
  }
  const word: Word = (at) => view.getUint32(at, littleEndian);

  /** Calls `read` for each record of the part whose offset and length stand at `at` in the header. */
  function records<T>(what: string, at: number, minSize: number, read: (section: string, at: number) => T): T[] {
    const start = headerSize + word(at);
    const end = start + word(at + 4);
    if (end > bytes.length)
      fail(`.BTF.ext header, byte ${at}`, `${what} up to ${end}`, `an end at or before ${bytes.length}`);
    if (end === start) return [];
    if (end - start < 4) fail(`.BTF.ext byte ${start}`, `${end - start} bytes of ${what}`, "at least 4");
    const size = word(start);
    if (size < minSize || size % 4 !== 0)
      fail(`.BTF.ext byte ${start}`, `${what} records of ${size} bytes`, `at least ${minSize}, a multiple of 4`);
    const found: T[] = [];
    let next = start + 4;
    while (next < end) {
      if (end - next < 8)
        fail(`.BTF.ext byte ${next}`, `${end - next} bytes`, "8 with a section's name and record count");
      const section = btf.string(word(next));
      const count = word(next + 4);
      next += 8;
      if (count * size > end - next) {
        fail(`.BTF.ext byte ${next - 4}`, `${count} ${what} records of ${size} bytes`, `at most ${end - next} bytes`);
      }
      for (let i = 0; i < count; i++, next += size) found.push(read(section, next));
    }
    return found;
  }

  function insnOffset(at: number): number {
    const offset = word(at);
    return offset % 8 === 0 ? offset : fail(`.BTF.ext byte ${at}`, `instruction offset ${offset}`, "a multiple of 8");
  }

  function typeId(at: number): number {
    const id = word(at);
    return id < btf.count ? id : fail(`.BTF.ext byte ${at}`, `type id ${id}`, `0..${btf.count - 1}`);
  }

  const funcInfo = records("func_info", 8, 8, (section, at) => ({
    section,
    insnOffset: insnOffset(at),
    typeId: typeId(at + 4),
  }));
  const lineInfo = records("line_info", 16, 16, (section, at) => ({
    section,
    insnOffset: insnOffset(at),
    file: btf.string(word(at + 4)),
    text: btf.string(word(at + 8)),
    line: word(at + 12) >>> COLUMN_BITS,
    column: word(at + 12) & ((1 << COLUMN_BITS) - 1),
    fileOffset: word(at + 4),
    textOffset: word(at + 8),
  }));
  const coreRelos =
    headerSize < HEADER_SIZE_CORE_RELO
      ? []
      : records("core_relo", 24, 16, (section, at) => ({
          section,
          insnOffset: insnOffset(at),
          typeId: typeId(at + 4),
          access: btf.string(word(at + 8)),
          kind: word(at + 12),
        }));
  return { funcInfo, lineInfo, coreRelos };
}
