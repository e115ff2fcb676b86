/** Which source a program was made from: func_info and line_info of PROG_LOAD, kept for faults and for user space. */
import type { Btf } from "../btf/index.ts";
import { InputError } from "../errors.ts";
import { functionStarts, type Insn, insnTable, variantOf } from "../insn/index.ts";
import { btfOf } from "../kern/btf.ts";
import type { Kernel } from "../kern/kernel.ts";
import { allocRecords, PROG_BTF, PROG_FUNC_INFO, PROG_INSNS, PROG_LINE_INFO } from "../kern/prog.ts";
import { OBJ_BTF } from "../mem/layout.ts";
import {
  BPF_FUNC_tail_call,
  bpf_attr,
  bpf_func_info,
  bpf_line_info,
  E2BIG,
  EFAULT,
  EINVAL,
  ENOMEM,
} from "../uapi/index.ts";
import { pointerAt, putU32 } from "./attr.ts";
import { applyCoreRelos } from "./prog_core.ts";

const { prog_load } = bpf_attr;
const RECORD_MAX = 252;

interface Source {
  readonly kernel: Kernel;
  readonly prog: number;
  readonly insns: readonly Insn[];
  readonly btf: Btf;
  /** First instructions of the program's functions, ascending. */
  readonly functions: readonly number[];
  readonly log: (line: string) => void;
}

/** Records of one kind as the caller gave them. */
interface Records {
  readonly what: string;
  readonly count: number;
  readonly size: number;
  /** Size of those that this host knows. */
  readonly known: number;
  readonly from: number;
  /** The caller's size field: it is told what is known. */
  readonly sizeField: number;
}

/** 0 or an errno; what was taken goes with the program. Relocates `insns` and the words that they came from. */
export function setProgBtf(
  kernel: Kernel,
  prog: number,
  attr: number,
  uattr: number,
  insns: Insn[],
  log: (line: string) => void,
): number {
  const { u32 } = kernel.mem;
  const field = (f: { readonly offset: number }): number => u32[(attr + f.offset) >>> 2]!;
  const functions: Records = {
    what: "func info",
    count: field(prog_load.func_info_cnt),
    size: field(prog_load.func_info_rec_size),
    known: bpf_func_info.size,
    from: pointerAt(kernel, attr + prog_load.func_info.offset),
    sizeField: uattr + prog_load.func_info_rec_size.offset,
  };
  const lines: Records = {
    what: "line info",
    count: field(prog_load.line_info_cnt),
    size: field(prog_load.line_info_rec_size),
    known: bpf_line_info.size,
    from: pointerAt(kernel, attr + prog_load.line_info.offset),
    sizeField: uattr + prog_load.line_info_rec_size.offset,
  };
  const starts = functionStarts(insns);
  if (functions.count === 0 && starts.slice(1).some((_, i) => callsTail(insns, starts, i + 1))) {
    log("tail_call is not allowed in subprogs without BTF");
    return -EINVAL;
  }
  if (functions.count === 0 && lines.count === 0) return 0;
  const object = kernel.get(field(prog_load.prog_btf_fd), OBJ_BTF);
  if (object < 0) return object;
  // The program's own reference; it goes with the program, also when what follows is wrong.
  kernel.hold(object);
  kernel.done(object);
  u32[(prog + PROG_BTF) >>> 2] = object;
  const code = u32[(prog + PROG_INSNS) >>> 2]!;
  const source: Source = { kernel, prog, insns, btf: btfOf(kernel, object), functions: starts, log };
  return (
    setFunctions(source, functions) ||
    setLines(source, lines) ||
    applyCoreRelos({ ...source, insns, code }, attr, uattr)
  );
}

/** Whether the i-th function makes tail calls. */
function callsTail(insns: readonly Insn[], starts: readonly number[], i: number): boolean {
  return insns.slice(starts[i], starts[i + 1]).some((insn) => {
    // The second slot of a 64-bit immediate has no row, and any imm.
    const row = insnTable[insn.opcode];
    return insn.imm === BPF_FUNC_tail_call && row !== undefined && variantOf(row, insn)?.op === "helper";
  });
}

/** Whether a function's type says that it returns a number. */
function returnsNumber(btf: Btf, func: number): boolean {
  const type = btf.type(func);
  const proto = type.kind === "func" ? btf.type(type.typeId) : type;
  const result = proto.kind === "func_proto" ? btf.type(btf.resolve(proto.returnTypeId)).kind : "void";
  return result === "int" || result === "enum" || result === "enum64";
}

/** Copies the records into the program, after checking what is the same for both kinds. */
function take(source: Source, records: Records, at: number): number {
  const { kernel, prog, log } = source;
  const { what, count, size, known, from } = records;
  if (size < known || size > RECORD_MAX || size % 4 !== 0) {
    log(`invalid ${what} rec size ${size}`);
    return -EINVAL;
  }
  if (!kernel.userOk(from, count * size, false)) return -EFAULT;
  const { mem } = kernel;
  for (let i = 0; i < count; i++) {
    for (let byte = known; byte < size; byte++) {
      if (mem.u8[from + i * size + byte] === 0) continue;
      log(`nonzero tailing record in ${what}`);
      return putU32(kernel, records.sizeField, known) || -E2BIG;
    }
  }
  if (!allocRecords(mem, prog, at, count, known)) return -ENOMEM;
  const to = mem.u32[(prog + at) >>> 2]!;
  for (let i = 0; i < count; i++) mem.copy(to + i * known, from + i * size, known);
  return 0;
}

function setFunctions(source: Source, records: Records): number {
  if (records.count === 0) return 0;
  const { kernel, prog, btf, functions, log } = source;
  const bad = take(source, records, PROG_FUNC_INFO);
  if (bad !== 0) return bad;
  const { u32 } = kernel.mem;
  const at = u32[(prog + PROG_FUNC_INFO) >>> 2]! >>> 2;
  for (let i = 0; i < records.count; i++) {
    const offset = u32[at + i * 2]!;
    const type = u32[at + i * 2 + 1]!;
    if (i === 0 ? offset !== 0 : offset <= u32[at + i * 2 - 2]!) {
      log(`func info ${i}: instruction ${offset}, expected ${i === 0 ? "0" : "a later one than before"}`);
      return -EINVAL;
    }
    if (type >= btf.count || btf.type(type).kind !== "func") {
      log(`invalid type id ${type} in func info`);
      return -EINVAL;
    }
  }
  for (let i = 0; i < Math.max(records.count, functions.length); i++) {
    if (i >= records.count || i >= functions.length || u32[at + i * 2] !== functions[i]) {
      log(`func info names ${records.count} functions that are not the program's ${functions.length}`);
      return -EINVAL;
    }
    // What a tail call goes on in returns to the function's caller.
    if (i > 0 && callsTail(source.insns, functions, i) && !returnsNumber(btf, u32[at + i * 2 + 1]!)) {
      log("tail_call is only allowed in functions that return 'int'.");
      return -EINVAL;
    }
  }
  return 0;
}

function setLines(source: Source, records: Records): number {
  if (records.count === 0) return 0;
  const { kernel, prog, insns, functions, log } = source;
  const bad = take(source, records, PROG_LINE_INFO);
  if (bad !== 0) return bad;
  const { u32 } = kernel.mem;
  const at = u32[(prog + PROG_LINE_INFO) >>> 2]! >>> 2;
  const named = new Set<number>();
  for (let i = 0; i < records.count; i++) {
    const record = at + i * (bpf_line_info.size >>> 2);
    const offset = u32[record]!;
    const before = i === 0 ? -1 : u32[record - (bpf_line_info.size >>> 2)]!;
    if (offset <= before || offset >= insns.length) {
      log(`line info ${i}: instruction ${offset}, expected ${before + 1}..${insns.length - 1}`);
      return -EINVAL;
    }
    if (insns[offset]!.opcode === 0) {
      log(`line info ${i}: instruction ${offset} is the second slot of a 64-bit immediate`);
      return -EINVAL;
    }
    if (!hasText(source, u32[record + 1]!) || !hasText(source, u32[record + 2]!)) {
      log(`line info ${i}: file name or line lies outside the strings of the BTF`);
      return -EINVAL;
    }
    named.add(offset);
  }
  const missing = functions.findIndex((start) => !named.has(start));
  if (missing < 0) return 0;
  log(`missing bpf_line_info for func#${missing}`);
  return -EINVAL;
}

function hasText(source: Source, offset: number): boolean {
  try {
    source.btf.string(offset);
    return true;
  } catch (error) {
    if (error instanceof InputError) return false;
    throw error;
  }
}
