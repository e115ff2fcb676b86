/** A function's skeleton: what it does at entry, at loops and at its end; its instructions by their kind. */
import type { InsnKind } from "../insn/index.ts";
import { FRAME_SIZE, FRAME_TURNS, RUN_DEPTH, RUN_FRAMES, RUN_REGS, STACK_FRAME } from "../kern/run_record.ts";
import { emitZero } from "../struct/emit.ts";
import { MAY_GOTO_TURNS } from "../vm/machine.ts";
import { type Code, I32 } from "../wasm/code.ts";
import { Local32 } from "../wasm/expr.ts";
import * as w from "../wasm/opcodes.ts";
import { emitAlu, emitByteOrder, emitImmediate } from "./emit_alu.ts";
import { emitAtomic } from "./emit_atomic.ts";
import { callsFunction, emitCall, emitCast, handsBudget } from "./emit_call.ts";
import { emitCondition } from "./emit_jump.ts";
import { emitLoad, emitStore } from "./emit_memory.ts";
import { emitPacketLoad, putRegisters } from "./emit_single.ts";
import { BUDGET, Emitter, FP, type Program, RUN } from "./emitter.ts";
import type { Func, Op } from "./program.ts";
import { emitStructured } from "./structure.ts";

const nothing = (): void => {};

const byKind: Readonly<Record<InsnKind, (e: Emitter, op: Op) => void>> = {
  alu: (e, op) => (op.variant?.op === "addrSpaceCast" ? emitCast : emitAlu)(e, op),
  end: emitByteOrder,
  ldImm64: emitImmediate,
  load: emitLoad,
  store: emitStore,
  atomic: emitAtomic,
  ldPacket: emitPacketLoad,
  call: emitCall,
  exit: (e) => {
    e.get(0);
    e.leave();
  },
  // What a block ends with: the skeleton sees to it.
  goto: nothing,
  jump: nothing,
  // One that leads to what follows takes a turn all the same.
  mayGoto: (e, op) => {
    if (op.off !== 0) return;
    emitCondition(e, op);
    e.code.op(w.DROP);
  },
};

/** The function's code; `number` is its place in the program. */
export function emitFunction(unit: Program, func: Func, number: number): Code {
  const e = new Emitter(unit, unit.args[number]!);
  const { code } = e;
  let mayGoto = false;
  let guesses = false;
  let calls = false;
  for (const { ops } of func.blocks) {
    for (const op of ops) {
      const { index, row } = op;
      const { how, from = -1 } = unit.facts.access[index] ?? { how: "check" };
      if (how === "window" && from >= 0) e.addWindow(from);
      if (how === "window" || how === "stack" || how === "context") guesses = true;
      if (row.kind === "mayGoto") mayGoto = true;
      if (callsFunction(e, op)) calls = true;
    }
  }
  if (guesses) e.beGuessing();
  enter(e, unit.facts.stackDepth[number]!, mayGoto);
  if (calls) {
    code.get(RUN);
    code.memory(w.I32_LOAD, RUN_DEPTH);
    code.set(e.depth);
  }
  stopWhenSpent(e, func.start);
  emitStructured(func, {
    code,
    charge: (count) => e.charge(count),
    settles: ({ ops: own }) =>
      own.some((op) => op.row.kind === "exit" || op.row.kind === "ldPacket" || handsBudget(e, op)),
    body: ({ ops }, due) => {
      for (const [i, op] of ops.entries()) {
        e.due = due + i;
        byKind[op.row.kind](e, op);
      }
    },
    condition: (block) => emitCondition(e, block.ops.at(-1)!),
    loopHead: (block) => stopWhenSpent(e, block.ops[0]!.index),
    dispatchLocal: () => code.local(I32),
  });
  // Behind what never comes to its end.
  code.op(w.UNREACHABLE);
  if (guesses) goOnInterpreted(e, mayGoto);
  return code;
}

/** All that the interpreter has to know, and then what it returns. */
function goOnInterpreted(e: Emitter, mayGoto: boolean): void {
  const { code } = e;
  code.end();
  putRegisters(e, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  e.putBudget();
  if (mayGoto) {
    code.get(RUN);
    code.memory(w.I32_LOAD, RUN_DEPTH);
    code.i32(FRAME_SIZE);
    code.op(w.I32_MUL);
    code.get(RUN);
    code.op(w.I32_ADD);
    code.get(e.turns);
    code.memory(w.I32_STORE, RUN_FRAMES + FRAME_TURNS);
  }
  code.get(e.address);
  e.unit.callRuntime(code, "goOn");
  code.op(w.DROP);
  e.takeBudget();
  code.get(RUN);
  code.memory(w.I64_LOAD, RUN_REGS);
  code.get(BUDGET);
}

/** The stack that can be reached is zero. */
function enter(e: Emitter, depth: number, mayGoto: boolean): void {
  const { code } = e;
  if (depth < 0) {
    const bytes = Math.min(-depth, STACK_FRAME);
    code.get(FP);
    code.i32(bytes);
    code.op(w.I32_SUB);
    code.set(e.address);
    emitZero(new Local32(code, e.address), bytes);
  }
  if (!mayGoto) return;
  code.i32(MAY_GOTO_TURNS);
  code.set(e.turns);
}

/**
 * Where functions and loops begin: calls of calls, and helpers that call functions again and again, take as long as loops.
 */
function stopWhenSpent({ code, unit }: Emitter, index: number): void {
  code.get(BUDGET);
  code.i64(0, 0);
  code.op(w.I64_LT_S);
  code.open(w.IF);
  code.i32(index);
  unit.callRuntime(code, "spent");
  // It does not return; V8 keeps registers free of what comes behind calls that do.
  code.op(w.UNREACHABLE);
  code.end();
}
