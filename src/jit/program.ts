/**
 * A loaded program as the compiler sees it: its functions, each a graph of basic blocks over instructions that were
 * decoded once. What does not hang together (a jump out of its function, an opcode that is none) is no program.
 */
import { type Insn, type InsnRow, type InsnVariant, insnTable, variantOf } from "../insn/index.ts";
import { PROG_INSN_CNT, PROG_INSNS, progSubprogs } from "../kern/prog.ts";
import type { Memory } from "../mem/memory.ts";
import { planOfCall } from "../vm/call.ts";

/** One instruction. Maps, values and functions are addresses by now; a local call's imm is a distance. */
export class Op implements Insn {
  readonly index: number;
  readonly opcode: number;
  readonly dst: number;
  readonly src: number;
  readonly off: number;
  readonly imm: number;
  /** 64-bit immediates: the upper half, signed; imm is the lower one. */
  readonly high: number;
  readonly row: InsnRow;
  readonly variant: InsnVariant | undefined;

  /** The words of its slot; `high` is the second one of the next slot. */
  constructor(index: number, row: InsnRow, word: number, imm: number, high: number) {
    this.index = index;
    this.opcode = word & 0xff;
    this.dst = (word >>> 8) & 15;
    this.src = (word >>> 12) & 15;
    this.off = word >> 16;
    this.imm = imm;
    this.high = high;
    this.row = row;
    this.variant = variantOf(row, this);
  }
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
  /** The calls in them. */
  readonly calls: readonly Op[];
}

export interface JitProgram {
  readonly functions: readonly Func[];
  /** Index in `functions` of the one that begins at this instruction. */
  readonly functionAt: ReadonlyMap<number, number>;
  readonly insnCount: number;
  /** By index, also those that nothing leads to; undefined: the second half of one. */
  readonly ops: readonly (Op | undefined)[];
}

/** The register that an atomic instruction gives the old value; -1: none. */
export function fetchedInto({ variant, src }: Op): number {
  const name = variant?.op;
  if (name === "cmpxchg") return 0;
  return name === "xchg" || name?.startsWith("fetch") ? src : -1;
}

/** The program at this address, or why it is none that can be compiled. */
export function readProgram(mem: Memory, prog: number): JitProgram | string {
  const ops = readOps(mem, prog);
  if (typeof ops === "string") return ops;
  const insnCount = ops.length;
  const starts = progSubprogs(mem, prog);
  if (starts[0] !== 0) starts.unshift(0);
  const functions: Func[] = [];
  const functionAt = new Map<number, number>();
  for (const [i, start] of starts.entries()) {
    const end = starts[i + 1] ?? insnCount;
    const blocks = blocksOf(ops, start, end);
    if (typeof blocks === "string") return blocks;
    functionAt.set(start, i);
    functions.push({ start, end, blocks, calls: callsIn(blocks) });
  }
  return { functions, functionAt, insnCount, ops };
}

function readOps({ u32, i32 }: Memory, prog: number): (Op | undefined)[] | string {
  const at = u32[(prog + PROG_INSNS) >>> 2]! >>> 2;
  const count = u32[(prog + PROG_INSN_CNT) >>> 2]!;
  const ops: (Op | undefined)[] = [];
  while (ops.length < count) {
    const index = ops.length;
    const word = i32[at + 2 * index]!;
    const row = insnTable[word & 0xff];
    if (row === undefined) return `instruction ${index} is none`;
    const wide = row.kind === "ldImm64";
    const high = wide && index + 1 < count ? i32[at + 2 * index + 3]! : 0;
    ops.push(new Op(index, row, word, i32[at + 2 * index + 1]!, high));
    if (wide && index + 1 < count) ops.push(undefined);
  }
  return ops;
}

function callsIn(blocks: readonly Block[]): Op[] {
  const calls: Op[] = [];
  for (const { ops } of blocks) {
    for (let i = 0; i < ops.length; i++) if (ops[i]!.row.kind === "call") calls.push(ops[i]!);
  }
  return calls;
}

/** Where a jump leads. */
function targetOf(op: Op): number {
  return op.index + 1 + (op.row.off === "jump" ? op.off : op.imm);
}

function isJump({ row }: Op): boolean {
  return row.kind === "jump" || row.kind === "goto" || row.kind === "mayGoto";
}

/** Whether the call runs other code that counts on: a function of the program, or another program. */
export function runsCode({ row, variant, src, imm }: Op): boolean {
  if (row.kind !== "call") return false;
  if (variant?.op === "local") return true;
  const { callback, result } = planOfCall(src, imm).callable;
  return callback !== undefined || result === "program";
}

/** What is behind it may not be executed, and must not have been counted by then. */
function endsBlock(op: Op): boolean {
  const { kind } = op.row;
  return isJump(op) || kind === "exit" || kind === "ldPacket" || runsCode(op);
}

/** The function's blocks, or why it is none. */
function blocksOf(ops: readonly (Op | undefined)[], start: number, end: number): Block[] | string {
  /** By instruction, from the function's first on: 1 where a block begins. */
  const leads = new Int32Array(end - start + 1);
  leads[0] = 1;
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
      leads[target - start] = 1;
    }
    if (endsBlock(op)) leads[i + 1 - start] = 1;
  }
  if (last?.row.kind !== "exit" && last?.row.kind !== "goto" && !endsForGood(last)) {
    return `the function at instruction ${start} runs off its end`;
  }
  return graphOf(ops, start, leads);
}

/** A call may be the last instruction where it does not return: of bpf_throw. */
function endsForGood(op: Op | undefined): boolean {
  return op?.row.kind === "call";
}

function graphOf(ops: readonly (Op | undefined)[], start: number, leads: Int32Array): Block[] {
  const size = leads.length - 1;
  const bodies: Op[][] = [];
  /** By instruction: 1 + which of them begins there. */
  const at = leads;
  let body: Op[] = [];
  for (let i = 0; i < size; i++) {
    if (leads[i] !== 0) {
      body = [];
      at[i] = bodies.push(body);
    }
    const op = ops[start + i];
    if (op !== undefined) body.push(op);
  }
  const follow: number[][] = [];
  for (let i = 0; i < bodies.length; i++) {
    const last = bodies[i]!.at(-1)!;
    const { kind } = last.row;
    const next: number[] = [];
    if (isJump(last)) next.push(at[targetOf(last) - start]! - 1);
    if (kind !== "exit" && kind !== "goto" && i + 1 < bodies.length) next.push(i + 1);
    follow.push(next);
  }
  const ids = idsOf(follow);
  const blocks: Block[] = [];
  for (let i = 0; i < ids.length; i++) {
    const next = follow[i]!;
    for (let n = 0; n < next.length; n++) next[n] = ids[next[n]!]!;
    if (ids[i]! >= 0) blocks.push({ id: ids[i]!, ops: bodies[i]!, next });
  }
  return blocks;
}

/** Ascending numbers for those that the first leads to; -1: others. */
function idsOf(follow: readonly (readonly number[])[]): Int32Array {
  const ids = new Int32Array(follow.length).fill(-1);
  const open = [0];
  ids[0] = 0;
  for (let at = open.pop(); at !== undefined; at = open.pop()) {
    for (const to of follow[at]!) {
      if (ids[to] === 0) continue;
      ids[to] = 0;
      open.push(to);
    }
  }
  let count = 0;
  for (let i = 0; i < ids.length; i++) if (ids[i] === 0) ids[i] = count++;
  return ids;
}
