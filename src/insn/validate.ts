/**
 * What Linux 6.18 refuses about a program before it looks at any value: opcodes, reserved fields, registers, jumps.
 *
 * Kernel counterpart: the reserved-field checks of do_check(), check_subprogs() and check_cfg() in kernel/bpf/verifier.c.
 * Not here: everything that needs maps, BTF, helper prototypes, the program type or register states. One difference
 * follows: fields of an instruction that the verifier proves dead by values are judged here and not by the kernel.
 */
import { E2BIG, EACCES, EINVAL } from "../uapi/index.ts";
import { insnTable, LD_IMM64_OPCODE, variantOf } from "./table.ts";
import type { FieldRule, Insn, InsnRow, InsnVariant, RegUse } from "./types.ts";

/** Highest register; r10 is the frame pointer, which is read-only. */
const MAX_REGISTER = 10;
const FRAME_POINTER = 10;
/** Most slots of a program that the kernel takes from a privileged loader. */
export const MAX_INSNS = 1_000_000;

export interface InsnFault {
  /** Index of the slot. */
  readonly insn: number;
  /** What the kernel's PROG_LOAD returns, negative. */
  readonly errno: number;
  readonly message: string;
}

interface Refusal {
  readonly errno: number;
  readonly message: string;
}

const invalid = (message: string): Refusal => ({ errno: -EINVAL, message });

/**
 * Why the kernel would refuse the instruction at `index` for its shape, or undefined.
 * The second slot of a 64-bit immediate is judged with the first.
 */
export function validateInsn(insns: readonly Insn[], index: number): string | undefined {
  return (judgeForm(insns, index) ?? judgeFields(insns, index, "linux"))?.message;
}

/**
 * `rfc9669`: dead instructions are none of its business, and immediates that are 0 or too large have a meaning (4.1); but
 * every field that is not used must be 0 (3), which Linux does not ask of EXIT's off.
 */
export type Rules = "linux" | "rfc9669";

/**
 * The first fault of a whole program, or undefined. In the kernel's order, so that the errno is its errno: opcodes and
 * jumps of the whole program, then functions that run off their end, jumps between functions and instructions that
 * nothing reaches, then the fields of each instruction.
 */
export function validateProgram(insns: readonly Insn[], rules: Rules = "linux"): InsnFault | undefined {
  if (insns.length === 0 || insns.length > MAX_INSNS) {
    return { insn: 0, errno: -E2BIG, message: `${insns.length} instructions, expected 1..${MAX_INSNS}` };
  }
  const fields: Judge = (all, index) => judgeFields(all, index, rules);
  return firstFault(insns, judgeForm) ?? faultOfFlow(insns, rules) ?? firstFault(insns, fields);
}

type Judge = (insns: readonly Insn[], index: number) => Refusal | undefined;

function firstFault(insns: readonly Insn[], judge: Judge): InsnFault | undefined {
  for (let index = 0; index < insns.length; index++) {
    const refusal = judge(insns, index);
    if (refusal !== undefined) return { insn: index, ...refusal };
    if (insns[index]!.opcode === LD_IMM64_OPCODE) index++;
  }
  return undefined;
}

/** What must be right before control flow can be followed: the opcode, both slots of a 64-bit immediate, jump targets. */
function judgeForm(insns: readonly Insn[], index: number): Refusal | undefined {
  const insn = insns[index];
  if (insn === undefined) return invalid(`no instruction ${index} in a program of ${insns.length}`);
  const row = insnTable[insn.opcode];
  if (row === undefined) {
    const which = insn.opcode === 0 ? " (the second slot of a 64-bit immediate without its first)" : "";
    return invalid(`unknown opcode 0x${insn.opcode.toString(16).padStart(2, "0")}${which}`);
  }
  const variant = variantOf(row, insn);
  if (row.kind === "ldImm64") {
    const refusal = judgeSecondSlot(variant, insns, index);
    if (refusal !== undefined) return refusal;
  }
  // The kernel looks at this field of loads, and of nothing else, this early.
  if (row.kind === "load" && insn.imm !== 0) return invalid(`${row.op} has imm ${insn.imm}, expected 0`);
  if (row.off === "jump") return judgeTarget(insns, index, index + 1 + insn.off);
  if ((variant?.imm ?? row.imm) === "jump") return judgeTarget(insns, index, index + 1 + insn.imm);
  return undefined;
}

/** Fields and registers of an instruction whose form is right. */
function judgeFields(insns: readonly Insn[], index: number, rules: Rules): Refusal | undefined {
  const insn = insns[index]!;
  const row = insnTable[insn.opcode]!;
  const variant = variantOf(row, insn);
  if (row.selector !== "none" && variant === undefined) {
    const values = row.variants.map((each) => each.value).join(", ");
    return invalid(`${row.op} has ${row.selector} ${insn[row.selector]}, expected one of ${values}`);
  }
  const dst = variant?.dst ?? row.dst;
  const src = variant?.src ?? row.src;
  return (
    (row.selector === "src" ? undefined : judgeRegister("src", src, row, insn.src)) ??
    judgeRegister("dst", dst, row, insn.dst) ??
    judgeField("off", variant?.off ?? row.off, row, insn, rules) ??
    judgeField("imm", variant?.imm ?? row.imm, row, insn, rules) ??
    judgeWrite(dst, insn.dst) ??
    judgeWrite(src, insn.src)
  );
}

function judgeRegister(field: "dst" | "src", use: RegUse, row: InsnRow, register: number): Refusal | undefined {
  if (use === "none") return register === 0 ? undefined : invalid(`${row.op} has ${field} ${register}, expected 0`);
  return register <= MAX_REGISTER ? undefined : invalid(`r${register} does not exist, expected r0..r${MAX_REGISTER}`);
}

function judgeWrite(use: RegUse, register: number): Refusal | undefined {
  if (use === "none" || use === "read" || register !== FRAME_POINTER) return undefined;
  return { errno: -EACCES, message: "r10, the frame pointer, is read-only" };
}

function judgeField(
  field: "off" | "imm",
  rule: FieldRule,
  row: InsnRow,
  insn: Insn,
  rules: Rules,
): Refusal | undefined {
  const value = insn[field];
  if (rules === "rfc9669" && (rule === "nonZero" || rule === "shift")) return undefined;
  switch (rule) {
    case "any":
    case "select":
    case "jump":
      return undefined;
    case "ignored":
    case "zero":
      return value === 0 || (rule === "ignored" && rules === "linux")
        ? undefined
        : invalid(`${row.op} has ${field} ${value}, expected 0`);
    case "nonZero":
      return value !== 0 ? undefined : invalid(`${row.op} by 0`);
    case "shift":
      return value >= 0 && value < row.bits ? undefined : invalid(`shift by ${value}, expected 0..${row.bits - 1}`);
    case "addrSpaces":
      return value === 1 || value === 0x10000
        ? undefined
        : invalid(`address space cast ${value}, expected 1 (to space 0) or 65536 (to space 1)`);
    default:
      return rule satisfies never;
  }
}

function judgeTarget(insns: readonly Insn[], index: number, target: number): Refusal | undefined {
  if (target < 0 || target >= insns.length) {
    return invalid(`jump from ${index} to ${target}, expected 0..${insns.length - 1}`);
  }
  if (target > 0 && insns[target]!.opcode === 0 && insns[target - 1]!.opcode === LD_IMM64_OPCODE) {
    return invalid(`jump from ${index} to ${target}, the second slot of a 64-bit immediate`);
  }
  return undefined;
}

function judgeSecondSlot(variant: InsnVariant | undefined, insns: readonly Insn[], index: number): Refusal | undefined {
  const next = insns[index + 1];
  if (next === undefined) return invalid("64-bit immediate without its second slot");
  if (next.opcode !== 0 || next.dst !== 0 || next.src !== 0 || next.off !== 0) {
    return invalid("second slot of a 64-bit immediate with fields other than imm");
  }
  if (variant?.nextImm !== "zero" || next.imm === 0) return undefined;
  return invalid(`${variant.op} has ${next.imm} as second imm, expected 0`);
}

/** Where control goes: each function ends in an exit or goto, jumps stay in their function, everything is reached. */
function faultOfFlow(insns: readonly Insn[], rules: Rules): InsnFault | undefined {
  const starts = functionStarts(insns);
  for (let i = 0; i < starts.length; i++) {
    const start = starts[i]!;
    const end = starts[i + 1] ?? insns.length;
    const last = insns[end - 1]!;
    const kind = insnTable[last.opcode]?.kind;
    // A 64-bit immediate's second slot has opcode 0, which has no row.
    if (kind !== "exit" && kind !== "goto") {
      return { insn: end - 1, errno: -EINVAL, message: "a function ends in something other than exit or goto" };
    }
    const fault = faultOfFunction(insns, start, end, rules);
    if (fault !== undefined) return fault;
  }
  return undefined;
}

/** First slots of the functions, ascending: slot 0 and the target of every local call and function address. */
export function functionStarts(insns: readonly Insn[]): readonly number[] {
  const starts = new Set([0]);
  for (let index = 0; index < insns.length; index++) {
    const target = calledFunction(insns, index);
    if (target !== undefined) starts.add(target);
    if (insns[index]!.opcode === LD_IMM64_OPCODE) index++;
  }
  return [...starts].sort((a, b) => a - b);
}

/** Functions whose address the program takes: those that helpers may call. */
export function addressedFunctions(insns: readonly Insn[]): ReadonlySet<number> {
  const named = new Set<number>();
  for (let index = 0; index < insns.length; index++) {
    const insn = insns[index]!;
    if (insn.opcode !== LD_IMM64_OPCODE) continue;
    if (variantOf(insnTable[LD_IMM64_OPCODE]!, insn)?.op === "func") named.add(index + 1 + insn.imm);
    index++;
  }
  return named;
}

function calledFunction(insns: readonly Insn[], index: number): number | undefined {
  const insn = insns[index]!;
  const row = insnTable[insn.opcode];
  if (row === undefined) return undefined;
  const op = variantOf(row, insn)?.op;
  return op === "local" || op === "func" ? index + 1 + insn.imm : undefined;
}

function faultOfFunction(insns: readonly Insn[], start: number, end: number, rules: Rules): InsnFault | undefined {
  const reached = new Uint8Array(end - start);
  const work = [start];
  for (let index = work.pop(); index !== undefined; index = work.pop()) {
    while (index < end && reached[index - start] === 0) {
      reached[index - start] = 1;
      const insn: Insn = insns[index]!;
      const row: InsnRow = insnTable[insn.opcode]!;
      const target: number | undefined = jumpTarget(row, insn, index);
      if (target !== undefined) {
        if (target < start || target >= end) {
          const message = `jump from ${index} to ${target}, which is in another function`;
          return { insn: index, errno: -EINVAL, message };
        }
        work.push(target);
      }
      if (row.kind === "exit" || row.kind === "goto") break;
      if (row.kind === "ldImm64") reached[index + 1 - start] = 1;
      index += row.kind === "ldImm64" ? 2 : 1;
    }
  }
  const missed = reached.indexOf(0);
  if (missed < 0 || rules === "rfc9669") return undefined;
  return { insn: start + missed, errno: -EINVAL, message: "nothing reaches this instruction" };
}

function jumpTarget(row: InsnRow, insn: Insn, index: number): number | undefined {
  if (row.kind !== "goto" && row.kind !== "jump" && row.kind !== "mayGoto") return undefined;
  return index + 1 + (row.off === "jump" ? insn.off : insn.imm);
}
