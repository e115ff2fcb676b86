/**
 * Calls. A function of the program is a WebAssembly function; a helper is called as the interpreter calls it: its
 * arguments lie in the run record, where they are checked by its prototype.
 */
import { MAX_FRAMES, RUN_DEPTH, RUN_REGS, STACK_FRAME } from "../kern/run_record.ts";
import { planOfCall } from "../vm/call.ts";
import * as w from "../wasm/opcodes.ts";
import { emitSingle, putRegisters, takeRegister } from "./emit_single.ts";
import { type Emitter, FP, RUN } from "./emitter.ts";
import type { Op } from "./program.ts";

const ARGUMENTS = [1, 2, 3, 4, 5];

export function emitCall(e: Emitter, op: Op): void {
  if (op.variant?.op === "local") emitLocalCall(e, op);
  else emitHelperCall(e, op);
}

function emitLocalCall(e: Emitter, op: Op): void {
  const { code, unit } = e;
  const target = unit.functions[unit.program.functionAt.get(op.index + 1 + op.imm)!]!;
  e.putBudget();
  code.get(RUN);
  code.memory(w.I32_LOAD, RUN_DEPTH);
  code.i32(1);
  code.op(w.I32_ADD);
  code.tee(e.address);
  code.i32(MAX_FRAMES);
  code.op(w.I32_EQ);
  code.open(w.IF);
  code.i32(op.index);
  code.call(unit.imports.deep);
  code.end();
  code.get(RUN);
  code.get(e.address);
  code.memory(w.I32_STORE, RUN_DEPTH);
  code.get(RUN);
  code.get(FP);
  code.i32(STACK_FRAME);
  code.op(w.I32_SUB);
  for (const register of ARGUMENTS) e.get(register);
  code.call(target);
  e.set(0);
  code.get(RUN);
  code.get(RUN);
  code.memory(w.I32_LOAD, RUN_DEPTH);
  code.i32(1);
  code.op(w.I32_SUB);
  code.memory(w.I32_STORE, RUN_DEPTH);
  e.takeBudget();
}

function emitHelperCall(e: Emitter, op: Op): void {
  const { code, unit } = e;
  const { callable } = planOfCall(op.src, op.imm);
  const runsCode = callable.callback !== undefined || callable.result === "program";
  if (runsCode) e.putBudget();
  // bpf_throw takes its argument from the record too.
  putRegisters(e, callable.result === "throw" ? ARGUMENTS : ARGUMENTS.slice(0, callable.args.length));
  code.i32(op.index);
  code.call(unit.imports.helper);
  if (callable.result === "program") {
    code.open(w.IF);
    code.get(RUN);
    code.memory(w.I64_LOAD, RUN_REGS);
    e.takeBudget();
    e.leave();
    code.end();
  } else {
    code.op(w.DROP);
  }
  if (runsCode) e.takeBudget();
  takeRegister(e, 0);
  keepWindow(e, op);
}

/** The result of this call is what later accesses are measured against: from NULL everything is too far. */
function keepWindow(e: Emitter, op: Op): void {
  const window = e.windowOf(op.index);
  if (window === undefined) return;
  const { code } = e;
  e.get(0);
  code.set(window.base);
  code.i64(-1, -1);
  code.i64(0, 0);
  e.get(0);
  code.op(w.I64_EQZ, w.SELECT);
  code.set(window.far);
}

/** Between address spaces: the arena's base decides. */
export function emitCast(e: Emitter, op: Op): void {
  emitSingle(e, op, [op.src], [op.dst]);
}
