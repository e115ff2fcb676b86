/** .BTF.ext by section, so that a linked program can be given the records of its functions, at their new places. */
import { COLUMN_BITS } from "../btf/ext.ts";
import type { BtfCoreRelo, BtfExt, BtfLineInfo } from "../btf/index.ts";
import { INSN_SIZE } from "../insn/index.ts";
import { bpf_func_info, bpf_line_info } from "../uapi/index.ts";
import { fail } from "./fail.ts";
import type { PlacedFunction } from "./link.ts";
import type { CoreRelo, LineInfo, LinkedFunction } from "./spec.ts";

interface SectionInfo {
  /** Byte offset of a function → its type. */
  readonly types: Map<number, number>;
  /** Ascending by offset. */
  readonly lines: BtfLineInfo[];
  readonly coreRelos: BtfCoreRelo[];
}

/** By section name. */
export type DebugInfo = ReadonlyMap<string, SectionInfo>;

export function indexDebugInfo(ext: BtfExt): DebugInfo {
  const sections = new Map<string, SectionInfo>();
  const of = (name: string): SectionInfo => {
    const known = sections.get(name);
    if (known !== undefined) return known;
    const fresh: SectionInfo = { types: new Map(), lines: [], coreRelos: [] };
    sections.set(name, fresh);
    return fresh;
  };
  for (const record of ext.funcInfo) of(record.section).types.set(record.insnOffset, record.typeId);
  for (const record of ext.lineInfo) of(record.section).lines.push(record);
  for (const record of ext.coreRelos) of(record.section).coreRelos.push(record);
  for (const { lines, coreRelos } of sections.values()) {
    lines.sort((a, b) => a.insnOffset - b.insnOffset);
    coreRelos.sort((a, b) => a.insnOffset - b.insnOffset);
  }
  return sections;
}

export interface ProgramDebugInfo {
  readonly functions: LinkedFunction[];
  readonly lines: LineInfo[];
  readonly coreRelos: CoreRelo[];
  readonly funcInfo: Uint8Array;
  readonly lineInfo: Uint8Array;
}

/** The records of one program. `budget` is how many it may have. */
export function debugInfoOf(info: DebugInfo, placed: readonly PlacedFunction[], budget: number): ProgramDebugInfo {
  const functions: LinkedFunction[] = [];
  const lines: LineInfo[] = [];
  const rawLines: BtfLineInfo[] = [];
  const coreRelos: CoreRelo[] = [];
  for (const { fn, at } of placed) {
    const section = info.get(fn.section.name);
    const typeId = section?.types.get(fn.start * INSN_SIZE);
    functions.push({ name: fn.name, insn: at, count: fn.count, ...(typeId === undefined ? {} : { typeId }) });
    if (section === undefined) continue;
    const from = fn.start * INSN_SIZE;
    const to = from + fn.count * INSN_SIZE;
    const insnOf = (record: { readonly insnOffset: number }): number => at + (record.insnOffset - from) / INSN_SIZE;
    for (let i = lowerBound(section.lines, from); i < section.lines.length; i++) {
      const record = section.lines[i]!;
      if (record.insnOffset >= to) break;
      const { file, line, column, text } = record;
      lines.push({ insn: insnOf(record), file, line, column, text });
      rawLines.push(record);
      if (lines.length > budget) fail(".BTF.ext", "too many lines in the programs together", "less sharing");
    }
    for (let i = lowerBound(section.coreRelos, from); i < section.coreRelos.length; i++) {
      const record = section.coreRelos[i]!;
      if (record.insnOffset >= to) break;
      const { typeId: type, access, kind } = record;
      coreRelos.push({ insn: insnOf(record), typeId: type, access, kind });
      if (coreRelos.length > budget) fail(".BTF.ext", "too many relocations in the programs together", "less sharing");
    }
  }
  return {
    functions,
    lines,
    coreRelos,
    funcInfo: encodeFunctions(functions),
    lineInfo: encodeLines(lines, rawLines),
  };
}

/** Index of the first record at or after a byte offset. */
function lowerBound(records: readonly { readonly insnOffset: number }[], offset: number): number {
  let low = 0;
  let high = records.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (records[middle]!.insnOffset < offset) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The kernel wants a record for each function or none at all. */
function encodeFunctions(functions: readonly LinkedFunction[]): Uint8Array {
  if (functions.some((fn) => fn.typeId === undefined)) return new Uint8Array(0);
  const bytes = new Uint8Array(functions.length * bpf_func_info.size);
  const view = new DataView(bytes.buffer);
  functions.forEach((fn, i) => {
    view.setUint32(i * bpf_func_info.size, fn.insn, true);
    view.setUint32(i * bpf_func_info.size + 4, fn.typeId!, true);
  });
  return bytes;
}

function encodeLines(lines: readonly LineInfo[], raw: readonly BtfLineInfo[]): Uint8Array {
  const bytes = new Uint8Array(lines.length * bpf_line_info.size);
  const view = new DataView(bytes.buffer);
  lines.forEach(({ insn, line, column }, i) => {
    const at = i * bpf_line_info.size;
    view.setUint32(at, insn, true);
    view.setUint32(at + 4, raw[i]!.fileOffset, true);
    view.setUint32(at + 8, raw[i]!.textOffset, true);
    view.setUint32(at + 12, ((line << COLUMN_BITS) | column) >>> 0, true);
  });
  return bytes;
}
