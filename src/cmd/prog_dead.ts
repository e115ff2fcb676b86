/**
 * Which instructions a run can reach, as far as constants tell: a branch that depends on nothing else is never taken in
 * the other direction. What lies there may call what this host does not have. Kernel counterpart: the verifier, which
 * follows values and so does not come to such instructions; it overwrites them as this does.
 */
import { type AluOp, type Insn, insnTable, type JumpOp, LD_IMM64_OPCODE, variantOf } from "../insn/index.ts";

/** What the loader has made of constants. */
export interface Constants {
  /** The 64-bit immediate at an instruction; undefined: not known. */
  readonly immediate: (at: number) => bigint | undefined;
  /** Bytes that no run can change, as a number; undefined: they can be changed, or are not to be read. */
  readonly memory: (address: number, size: number) => bigint | undefined;
}

/** r0 to r10, as u64; undefined: anything. */
type Known = (bigint | undefined)[];

const REGISTERS = 11;
const U64 = 64;

/** 1 for each instruction that a run can reach. */
export function reachedInsns(insns: readonly Insn[], constants: Constants): Uint8Array {
  return new Reach(insns, constants).all();
}

class Reach {
  readonly #insns: readonly Insn[];
  readonly #constants: Constants;
  readonly #reached: Uint8Array;
  /** What is known wherever control comes from elsewhere; it only ever becomes less. */
  readonly #known: Map<number, Known> = new Map();
  readonly #work: number[] = [];

  constructor(insns: readonly Insn[], constants: Constants) {
    this.#insns = insns;
    this.#constants = constants;
    this.#reached = new Uint8Array(insns.length);
  }

  all(): Uint8Array {
    this.#arrive(0, nothing());
    for (let at = this.#work.pop(); at !== undefined; at = this.#work.pop()) this.#follow(at);
    return this.#reached;
  }

  /** Control comes to `at` with this knowledge: what was known there before and is not the same is lost. */
  #arrive(at: number, known: Known): void {
    const before = this.#known.get(at);
    if (before === undefined) {
      this.#known.set(at, [...known]);
      this.#work.push(at);
      return;
    }
    let less = false;
    for (let r = 0; r < REGISTERS; r++) {
      if (before[r] === undefined || before[r] === known[r]) continue;
      before[r] = undefined;
      less = true;
    }
    if (less) this.#work.push(at);
  }

  /** From one meeting point to the next ones. */
  #follow(start: number): void {
    const known = [...this.#known.get(start)!];
    for (let at = start; at >= 0; ) {
      at = this.#step(at, known);
      if (!this.#known.has(at)) continue;
      this.#arrive(at, known);
      return;
    }
  }

  /** One instruction. The next one, or -1: control has arrived where it goes on. */
  #step(at: number, known: Known): number {
    this.#reached[at] = 1;
    const insn = this.#insns[at]!;
    const row = insnTable[insn.opcode]!;
    const op = variantOf(row, insn)?.op;
    const next = at + (insn.opcode === LD_IMM64_OPCODE ? 2 : 1);
    if (op === "local" || op === "func") this.#arrive(at + 1 + insn.imm, nothing());
    switch (row.kind) {
      case "exit":
        return -1;
      case "goto":
        this.#arrive(at + 1 + (row.off === "jump" ? insn.off : insn.imm), known);
        return -1;
      case "jump":
      case "mayGoto": {
        const taken = row.kind === "jump" ? jumps(row.op as JumpOp, row.bits, known, insn, row.operand) : undefined;
        if (taken !== false) this.#arrive(at + 1 + insn.off, known);
        if (taken !== true) this.#arrive(next, known);
        return -1;
      }
      default:
        this.#execute(insn, at, known);
        return next;
    }
  }

  #execute(insn: Insn, at: number, known: Known): void {
    const row = insnTable[insn.opcode]!;
    const variant = variantOf(row, insn);
    switch (row.kind) {
      case "ldImm64":
        known[insn.dst] = this.#constants.immediate(at);
        return;
      case "alu":
        known[insn.dst] = alu(variant?.op ?? row.op, row.bits, known[insn.dst], operandOf(known, insn, row.operand));
        return;
      case "load": {
        const from = known[insn.src];
        const unknown = from === undefined || row.signed;
        known[insn.dst] = unknown ? undefined : this.#constants.memory(Number(from) + insn.off, row.size);
        return;
      }
      case "call":
      case "ldPacket":
        known.fill(undefined, 0, 6);
        return;
      case "atomic":
        known[0] = undefined;
        known[insn.src] = undefined;
        known[insn.dst] = undefined;
        return;
      case "end":
        known[insn.dst] = undefined;
        return;
      default:
        return;
    }
  }
}

function nothing(): Known {
  return new Array<bigint | undefined>(REGISTERS).fill(undefined);
}

function u64(value: bigint): bigint {
  return BigInt.asUintN(U64, value);
}

function operandOf(known: Known, insn: Insn, operand: "none" | "imm" | "reg"): bigint | undefined {
  return operand === "imm" ? u64(BigInt(insn.imm)) : operand === "reg" ? known[insn.src] : 0n;
}

function alu(op: string, bits: number, dst: bigint | undefined, src: bigint | undefined): bigint | undefined {
  if (src === undefined || (dst === undefined && op !== "mov")) return undefined;
  const [a, b] = [BigInt.asUintN(bits, dst ?? 0n), BigInt.asUintN(bits, src)];
  const result = operations[op as AluOp]?.(a, b, bits);
  return result === undefined ? undefined : BigInt.asUintN(bits, result);
}

/** What stands between a constant and a branch in practice; the result of any other operation is not known. */
const operations: Partial<Record<AluOp, (a: bigint, b: bigint, bits: number) => bigint>> = {
  mov: (_a, b) => b,
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  and: (a, b) => a & b,
  or: (a, b) => a | b,
  xor: (a, b) => a ^ b,
  lsh: (a, b, bits) => a << (b % BigInt(bits)),
  rsh: (a, b, bits) => a >> (b % BigInt(bits)),
  arsh: (a, b, bits) => BigInt.asIntN(bits, a) >> (b % BigInt(bits)),
};

/** Whether the jump is taken; undefined: who knows. */
function jumps(
  op: JumpOp,
  bits: number,
  known: Known,
  insn: Insn,
  operand: "none" | "imm" | "reg",
): boolean | undefined {
  const [dst, src] = [known[insn.dst], operandOf(known, insn, operand)];
  if (dst === undefined || src === undefined) return undefined;
  const [a, b] = [BigInt.asUintN(bits, dst), BigInt.asUintN(bits, src)];
  const [s, t] = [BigInt.asIntN(bits, a), BigInt.asIntN(bits, b)];
  switch (op) {
    case "jeq":
      return a === b;
    case "jne":
      return a !== b;
    case "jset":
      return (a & b) !== 0n;
    case "jgt":
      return a > b;
    case "jge":
      return a >= b;
    case "jlt":
      return a < b;
    case "jle":
      return a <= b;
    case "jsgt":
      return s > t;
    case "jsge":
      return s >= t;
    case "jslt":
      return s < t;
    case "jsle":
      return s <= t;
    default:
      return op satisfies never;
  }
}
