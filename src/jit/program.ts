/**
 * A loaded program as the compiler sees it: its functions, each a graph of basic blocks over instructions that were
 * decoded once. What does not hang together (a jump out of its function, an opcode that is none) is no program.
 */
import {
  decodeInsns,
  INSN_SIZE,
  type Insn,
  type InsnRow,
  type InsnVariant,
  insnTable,
  variantOf,
} from "../insn/index.ts";
import { PROG_INSN_CNT, PROG_INSNS, progSubprogs } from "../kern/prog.ts";
import type { Memory } from "../mem/memory.ts";
import { planOfCall } from "../vm/call.ts";

/** One instruction. Maps, values and functions are addresses by now; a local call's imm is a distance. */
export interface Op extends Insn {
  readonly index: number;
  readonly row: InsnRow;
  readonly variant: InsnVariant | undefined;
  /** 64-bit immediates: the upper half, signed; imm is the lower one. */
  readonly high: number;
}

/** Instructions that run one after the other. */
export interface Block {
  /** Index in its function's list. */
  readonly id: number;
  readonly ops: readonly Op[];
  /** Ids of the blocks that may follow. Of a conditional jump (and may_goto): where it leads, then the next block. */
  readonly next: readonly number[];
}

export interface Func {
  /** Its first instruction, and the one behind its last. */
  readonly start: number;
  readonly end: number;
  /** The entry first, then in the order of their instructions. Blocks that nothing leads to are not in here. */
  readonly blocks: readonly Block[];
}

export interface JitProgram {
  readonly functions: readonly Func[];
  /** Index in `functions` of the one that begins at this instruction. */
  readonly functionAt: ReadonlyMap<number, number>;
  readonly insnCount: number;
}

/** The register that an atomic instruction gives the old value; -1: none. */
export function fetchedInto({ variant, src }: Op): number {
  const name = variant?.op;
  if (name === "cmpxchg") return 0;
  return name === "xchg" || name?.startsWith("fetch") ? src : -1;
}

/** The program at this address, or why it is none that can be compiled. */
export function readProgram(mem: Memory, prog: number): JitProgram | string {
  const { u32, u8 } = mem;
  const at = u32[(prog + PROG_INSNS) >>> 2]!;
  const insnCount = u32[(prog + PROG_INSN_CNT) >>> 2]!;
  const insns = decodeInsns(u8.slice(at, at + insnCount * INSN_SIZE));
  const starts = progSubprogs(mem, prog);
  if (starts[0] !== 0) starts.unshift(0);
  const functions: Func[] = [];
  for (const [i, start] of starts.entries()) {
    const func = readFunction(insns, start, starts[i + 1] ?? insnCount);
    if (typeof func === "string") return func;
    functions.push(func);
  }
  return { functions, functionAt: new Map(functions.map((func, i) => [func.start, i])), insnCount };
}

function readFunction(insns: readonly Insn[], start: number, end: number): Func | string {
  const ops: (Op | undefined)[] = [];
  for (let index = start; index < end; ) {
    const insn = insns[index]!;
    const row = insnTable[insn.opcode];
    if (row === undefined) return `instruction ${index} is none`;
    const wide = row.kind === "ldImm64";
    ops[index] = { ...insn, index, row, variant: variantOf(row, insn), high: wide ? (insns[index + 1]?.imm ?? 0) : 0 };
    index += wide ? 2 : 1;
  }
  const leaders = leadersOf(ops, start, end);
  return typeof leaders === "string" ? leaders : { start, end, blocks: blocksOf(ops, leaders, end) };
}

/** Where a jump leads. */
function targetOf(op: Op): number {
  return op.index + 1 + (op.row.off === "jump" ? op.off : op.imm);
}

function isJump({ row }: Op): boolean {
  return row.kind === "jump" || row.kind === "goto" || row.kind === "mayGoto";
}

/** What is behind it may not be executed, and then must not have been counted: a tail call, bytes that are not there. */
function mayEnd({ row, variant, src, imm }: Op): boolean {
  if (row.kind === "ldPacket") return true;
  return row.kind === "call" && variant?.op !== "local" && planOfCall(src, imm).callable.result === "program";
}

/** First instructions of blocks, in order. */
function leadersOf(ops: readonly (Op | undefined)[], start: number, end: number): number[] | string {
  const leaders = new Set([start]);
  let last: Op | undefined;
  for (let i = start; i < end; i++) {
    const op = ops[i];
    if (op === undefined) continue;
    last = op;
    if (isJump(op)) {
      const target = targetOf(op);
      if (target < start || target >= end || ops[target] === undefined) {
        return `instruction ${i} jumps out of its function, to ${target}`;
      }
      leaders.add(target);
    }
    if (isJump(op) || op.row.kind === "exit" || mayEnd(op)) leaders.add(i + 1);
  }
  if (last?.row.kind !== "exit" && last?.row.kind !== "goto" && !endsForGood(last)) {
    return `the function at instruction ${start} runs off its end`;
  }
  leaders.delete(end);
  return [...leaders].sort((a, b) => a - b);
}

/** A call may be the last instruction where it does not return: of bpf_throw. */
function endsForGood(op: Op | undefined): boolean {
  return op?.row.kind === "call";
}

function blocksOf(ops: readonly (Op | undefined)[], leaders: readonly number[], end: number): Block[] {
  const bodies = leaders.map((leader, i) =>
    ops.slice(leader, leaders[i + 1] ?? end).filter((op): op is Op => op !== undefined),
  );
  const at = new Map(leaders.map((leader, i) => [leader, i]));
  const follow = bodies.map((body, i): number[] => {
    const last = body.at(-1);
    if (last === undefined || last.row.kind === "exit") return [];
    if (last.row.kind === "goto") return [at.get(targetOf(last))!];
    const next = i + 1 < bodies.length ? [i + 1] : [];
    return isJump(last) ? [at.get(targetOf(last))!, ...next] : next;
  });
  const reached = reachable(follow);
  const ids = new Map(reached.map((old, id) => [old, id]));
  return reached.map((old, id) => ({ id, ops: bodies[old]!, next: follow[old]!.map((to) => ids.get(to)!) }));
}

/** Ascending. */
function reachable(follow: readonly (readonly number[])[]): number[] {
  const seen = new Set([0]);
  const open = [0];
  for (let at = open.pop(); at !== undefined; at = open.pop()) {
    for (const to of follow[at]!) {
      if (seen.has(to)) continue;
      seen.add(to);
      open.push(to);
    }
  }
  return [...seen].sort((a, b) => a - b);
}
