/** A loaded program as an observer sees it, put together from what lies in memory; kept by its id, which is never another's. */
import { COLUMN_BITS } from "../btf/ext.ts";
import { kfuncTable } from "../helpers/kfunc_table.ts";
import { helperTable } from "../helpers/table.ts";
import { decodeInsns, INSN_SIZE, type Insn, LD_IMM64_OPCODE, opcodeOf, type SourceLine } from "../insn/index.ts";
import { btfOf } from "../kern/btf.ts";
import type { Kernel } from "../kern/kernel.ts";
import type { ProgramCode } from "../kern/observer.ts";
import {
  PROG_BTF,
  PROG_DIGEST,
  PROG_FUNC_INFO,
  PROG_FUNC_INFO_CNT,
  PROG_INSN_CNT,
  PROG_INSNS,
  PROG_LINE_INFO,
  PROG_LINE_INFO_CNT,
  PROG_NAME,
} from "../kern/prog.ts";
import { AREA_BASE, AREA_MAP, areaOf } from "../mem/alloc.ts";
import { OBJ_ID } from "../mem/layout.ts";
import type { Memory } from "../mem/memory.ts";
import { MAP_NAME, MAP_NAME_SIZE } from "../struct/map.ts";
import {
  BPF_PSEUDO_FUNC,
  BPF_PSEUDO_KFUNC_CALL,
  BPF_PSEUDO_MAP_FD,
  BPF_PSEUDO_MAP_VALUE,
  BPF_TAG_SIZE,
  bpf_func_info,
  bpf_line_info,
} from "../uapi/index.ts";

const CALL: number = opcodeOf("call", {});

export function programCode(kernel: Kernel, prog: number): ProgramCode {
  const id = kernel.mem.u32[(prog + OBJ_ID) >>> 2]!;
  let code = kernel.codeCache.get(id);
  if (code === undefined) {
    code = read(kernel, prog);
    kernel.codeCache.set(id, code);
  }
  return code;
}

function read(kernel: Kernel, prog: number): ProgramCode {
  const { u32, u8 } = kernel.mem;
  const at = u32[(prog + PROG_INSNS) >>> 2]!;
  const loaded = decodeInsns(u8.slice(at, at + u32[(prog + PROG_INSN_CNT) >>> 2]! * INSN_SIZE));
  // Addresses of functions are indices once a program is loaded: distances again, as everywhere else.
  const insns = loaded.map((insn, i) => (isFunction(insn) ? { ...insn, imm: insn.imm - i - 1 } : insn));
  const functions = functionsOf(kernel, prog);
  const digest = u8.subarray(prog + PROG_DIGEST, prog + PROG_DIGEST + BPF_TAG_SIZE);
  return {
    id: u32[(prog + OBJ_ID) >>> 2]!,
    name: text(kernel.mem, prog + PROG_NAME),
    tag: Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join(""),
    insns,
    functions,
    lines: linesOf(kernel, prog),
    references: referencesOf(kernel.mem, insns, functions),
    helper: (n) => helperTable[n]?.name,
  };
}

function text(mem: Memory, at: number): string {
  let s = "";
  for (let i = 0; i < MAP_NAME_SIZE && mem.u8[at + i] !== 0; i++) s += String.fromCharCode(mem.u8[at + i]!);
  return s;
}

/** Without BTF the program is one function of its own name. */
function functionsOf(kernel: Kernel, prog: number): ProgramCode["functions"] {
  const { u32 } = kernel.mem;
  const btf = u32[(prog + PROG_BTF) >>> 2]!;
  const count = u32[(prog + PROG_FUNC_INFO_CNT) >>> 2]!;
  if (btf === 0 || count === 0) return [{ insn: 0, name: text(kernel.mem, prog + PROG_NAME) || "program" }];
  const first = u32[(prog + PROG_FUNC_INFO) >>> 2]! >>> 2;
  const types = btfOf(kernel, btf);
  return Array.from({ length: count }, (_, i) => {
    const record = first + i * (bpf_func_info.size >>> 2);
    return { insn: u32[record]!, name: types.type(u32[record + 1]!).name };
  });
}

function linesOf(kernel: Kernel, prog: number): SourceLine[] {
  const { u32 } = kernel.mem;
  const btf = u32[(prog + PROG_BTF) >>> 2]!;
  if (btf === 0) return [];
  const first = u32[(prog + PROG_LINE_INFO) >>> 2]! >>> 2;
  const strings = btfOf(kernel, btf);
  return Array.from({ length: u32[(prog + PROG_LINE_INFO_CNT) >>> 2]! }, (_, i) => {
    const record = first + i * (bpf_line_info.size >>> 2);
    const place = u32[record + 3]!;
    return {
      insn: u32[record]!,
      file: strings.string(u32[record + 1]!),
      text: strings.string(u32[record + 2]!),
      line: place >>> COLUMN_BITS,
      column: place & ((1 << COLUMN_BITS) - 1),
    };
  });
}

function isFunction({ opcode, src }: Insn): boolean {
  return opcode === LD_IMM64_OPCODE && src === BPF_PSEUDO_FUNC;
}

/** Maps, functions and kernel functions by name; their addresses say nothing to people. */
function referencesOf(
  mem: Memory,
  insns: readonly Insn[],
  functions: ProgramCode["functions"],
): ReadonlyMap<number, string> {
  const references = new Map<number, string>();
  insns.forEach((insn, index) => {
    const name = referenceOf(mem, insn, index, functions);
    if (name !== undefined) references.set(index, name);
  });
  return references;
}

function referenceOf(mem: Memory, insn: Insn, index: number, functions: ProgramCode["functions"]): string | undefined {
  if (insn.opcode === CALL) return insn.src === BPF_PSEUDO_KFUNC_CALL ? kfuncTable[insn.imm]?.name : undefined;
  if (insn.opcode !== LD_IMM64_OPCODE) return undefined;
  const address = insn.imm >>> 0;
  switch (insn.src) {
    case BPF_PSEUDO_MAP_FD:
      return `map[${text(mem, address + MAP_NAME)}]`;
    case BPF_PSEUDO_MAP_VALUE: {
      const area = areaOf(mem, address);
      const offset = address - mem.u32[(area + AREA_BASE) >>> 2]!;
      return `map[${text(mem, mem.u32[(area + AREA_MAP) >>> 2]! + MAP_NAME)}][0]+${offset}`;
    }
    case BPF_PSEUDO_FUNC: {
      const to = index + 1 + insn.imm;
      return `func[${functions.find((each) => each.insn === to)?.name ?? to}]`;
    }
    default:
      return undefined;
  }
}
