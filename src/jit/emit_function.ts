/** A function's skeleton: what it does at entry, at loops and at its end; its instructions by their kind. */
import { type InsnKind, insnTable } from "../insn/index.ts";
import {
  FRAME_SIZE,
  FRAME_TURNS,
  RUN_BUDGET,
  RUN_CTX,
  RUN_DEPTH,
  RUN_FRAMES,
  RUN_REGS,
  STACK_FRAME,
} from "../kern/run_record.ts";
import { emitZero } from "../struct/emit.ts";
import { MAY_GOTO_TURNS } from "../vm/machine.ts";
import { Code, I32, I64 } from "../wasm/code.ts";
import { Local32, Local64 } from "../wasm/expr.ts";
import type { Signature } from "../wasm/module.ts";
import * as w from "../wasm/opcodes.ts";
import { emitAlu, emitByteOrder, emitImmediate } from "./emit_alu.ts";
import { emitAtomic } from "./emit_atomic.ts";
import { callsFunction, emitCall, emitCast } from "./emit_call.ts";
import { emitCondition } from "./emit_jump.ts";
import { emitLoad, emitStore } from "./emit_memory.ts";
import { emitPacketLoad } from "./emit_single.ts";
import { BUDGET, bpfFunction, Emitter, FP, FRAME_POINTER, type Program, RUN } from "./emitter.ts";
import { type Func, type Op, runsCode } from "./program.ts";
import { emitStructured } from "./structure.ts";

/** Bytes that functions begin and end with, and of an instruction, about. */
const ROOM = 128;
const INSN_ROOM = 12;

const nothing = (): void => {};

type Emit = (e: Emitter, op: Op) => void;

const byKind: Readonly<Record<InsnKind, Emit>> = {
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

/** The same by opcode. */
const emitOf: readonly (Emit | undefined)[] = insnTable.map((row) => row && byKind[row.kind]);

/** The function's code; `number` is its place in the program. */
export function emitFunction(unit: Program, func: Func, number: number): Code {
  const e = new Emitter(unit, unit.args[number]!, ROOM + INSN_ROOM * (func.end - func.start));
  const { code } = e;
  let mayGoto = false;
  for (const { ops } of func.blocks) {
    for (const op of ops) {
      const { index, row } = op;
      if (row.kind === "mayGoto") mayGoto = true;
      if (row.size === 0) continue;
      const access = unit.facts.access[index];
      if (access?.how === "window" && access.from! >= 0) e.addWindow(access.from!);
    }
  }
  for (const { index } of func.calls) {
    const call = unit.calls[index];
    if (call?.how === "attempt" && call.object >= 0) e.addObject(call.object);
  }
  const calls = func.calls.some((op) => callsFunction(e, op));
  e.beginCompiled();
  if (number === 0 && unit.startsItself) takeFirstArguments(e);
  enter(e, unit.facts.stackDepth[number]!, mayGoto);
  if (calls) {
    code.get(RUN);
    code.memory(w.I32_LOAD, RUN_DEPTH);
    code.set(e.depth);
  }
  emitStructured(func, {
    code,
    charge: (count) => e.charge(count),
    settles: ({ ops }) => {
      const last = ops.at(-1)!;
      return last.row.kind === "exit" || last.row.kind === "ldPacket" || runsCode(last);
    },
    body: ({ ops }, due) => {
      for (let i = 0; i < ops.length; i++) {
        const op = ops[i]!;
        e.due = due + i;
        emitOf[op.opcode]!(e, op);
      }
    },
    condition: (block) => emitCondition(e, block.ops.at(-1)!),
    check: (block, need) => goOnWhenShort(e, block.ops[0]!, need),
    dispatchLocal: () => code.local(I32),
  });
  // Behind what never comes to its end.
  code.op(w.UNREACHABLE);
  goOnInterpreted(e, mayGoto);
  return code;
}

/** The interpreter executes the rest of the function, from the instruction on whose number is in `address`. */
function goOnInterpreted(e: Emitter, mayGoto: boolean): void {
  const { code } = e;
  code.end();
  if (mayGoto) {
    const run = new Local32(code, RUN);
    run.add(run.load(RUN_DEPTH).mul(FRAME_SIZE)).store(RUN_FRAMES + FRAME_TURNS, new Local32(code, e.turns));
  }
  for (const local of [RUN, e.address, BUDGET]) code.get(local);
  for (let register = 0; register < FRAME_POINTER; register++) e.get(register);
  code.call(e.unit.goOn());
}

/** (run, instruction, budget, r0 .. r9) → what a BPF function returns. */
export const GO_ON: Signature = {
  params: [I32, I32, I64, ...Array.from({ length: FRAME_POINTER }, () => I64)],
  results: bpfFunction(0).results,
};

/**
 * All that the interpreter has to know, and then what it returns. A function of its own, which others end with: V8 would keep
 * variables in memory, on the way that is taken too, for a call that anything comes behind.
 */
export function goOnCode(unit: Program): Code {
  const code = new Code(GO_ON.params.length);
  const [run, index] = [new Local32(code, RUN), new Local32(code, 1)];
  run.store64(RUN_BUDGET, new Local64(code, BUDGET));
  for (let register = 0; register < FRAME_POINTER; register++) {
    run.store64(RUN_REGS + 8 * register, new Local64(code, BUDGET + 1 + register));
  }
  index.push();
  unit.callRuntime(code, "goOn");
  code.op(w.DROP);
  run.load64(RUN_REGS).push();
  run.load64(RUN_BUDGET).push();
  return code;
}

/** What a program begins with: r1 is the context, the others are 0, as locals are. */
function takeFirstArguments(e: Emitter): void {
  e.register(1).set(new Local32(e.code, RUN).load(RUN_CTX).extendU());
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
 * A budget that may end before the next look at it is the interpreter's to spend, to the instruction. Functions look too
 * where they begin: calls of calls, and helpers that call functions again and again, take as long as loops.
 */
function goOnWhenShort(e: Emitter, op: Op, need: number): void {
  const { code } = e;
  code.get(BUDGET);
  code.i64(need, 0);
  code.op(w.I64_LT_S);
  code.open(w.IF);
  e.due = 0;
  e.giveUp(op);
  code.end();
}
