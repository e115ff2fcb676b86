/**
 * How deep functions of a program call each other. More frames than a run can have are refused at load, whether such
 * calls are ever made or not; functions that call themselves, by whatever way, have no end. Kernel counterpart:
 * check_max_stack_depth() of kernel/bpf/verifier.c. Not here: calls that helpers make, which fault when they get too deep.
 */
import { functionStarts, type Insn, insnTable, LD_IMM64_OPCODE, variantOf } from "../insn/index.ts";
import { MAX_FRAMES } from "../kern/run_record.ts";

/** Whether a chain of calls, from the program itself or from a function that helpers call, has too many frames. */
export function callsTooDeep(insns: readonly Insn[]): boolean {
  const calls = callsOf(insns);
  const heights = new Uint8Array(calls.length);
  return calls.some((_, f) => height(calls, heights, f, 1) > MAX_FRAMES);
}

/** Of each function, in the order of the instructions, the functions that it calls. */
function callsOf(insns: readonly Insn[]): readonly ReadonlySet<number>[] {
  const starts = functionStarts(insns);
  const index = new Map(starts.map((start, f) => [start, f]));
  const calls = starts.map(() => new Set<number>());
  let f = 0;
  for (let at = 0; at < insns.length; at++) {
    while (at >= (starts[f + 1] ?? insns.length)) f++;
    const insn = insns[at]!;
    if (insn.opcode === LD_IMM64_OPCODE) at++;
    else if (isCall(insn)) calls[f]!.add(index.get(at + 1 + insn.imm)!);
  }
  return calls;
}

function isCall(insn: Insn): boolean {
  const row = insnTable[insn.opcode];
  return row?.kind === "call" && variantOf(row, insn)?.op === "local";
}

/** Frames of the deepest chain that begins with function f, in a frame of this depth; no deeper than there can be. */
function height(calls: readonly ReadonlySet<number>[], heights: Uint8Array, f: number, depth: number): number {
  if (depth > MAX_FRAMES) return 1;
  if (heights[f] !== 0) return heights[f]!;
  let most = 0;
  for (const callee of calls[f]!) {
    most = Math.max(most, height(calls, heights, callee, depth + 1));
    if (depth + most > MAX_FRAMES) return most + 1;
  }
  heights[f] = most + 1;
  return most + 1;
}
