/**
 * Calls. A function of the program is a WebAssembly function; a helper is called in one of the ways of `calls.ts`. RFC
 * 9669, section 4.3.1.
 */
import { Bug } from "../errors.ts";
import type { Callable } from "../helpers/types.ts";
import { emitHoldsReference } from "../kern/held_gen.ts";
import {
  MAX_FRAMES,
  RUN_CPU,
  RUN_CURRENT,
  RUN_DEPTH,
  RUN_REGS,
  RUN_RESULT_HIGH,
  RUN_STATUS,
  STACK_FRAME,
} from "../kern/run_record.ts";
import { emitStackObject } from "../kern/stack_objects_gen.ts";
import { OBJ_ID } from "../mem/layout.ts";
import { type GenCall, type HelperGenCall, UNDONE } from "../struct/gen.ts";
import { mapField } from "../struct/map.ts";
import type { Code } from "../wasm/code.ts";
import {
  blockValue,
  const32,
  Expr32,
  Expr64,
  Local32,
  local32,
  type Operand32,
  type Operand64,
  push32,
  push64,
  when,
} from "../wasm/expr.ts";
import * as w from "../wasm/opcodes.ts";
import type { CallPlan } from "./calls.ts";
import { emitSingle, putRegisters, takeRegister } from "./emit_single.ts";
import { BUDGET, type Emitter, FP, type Program, pushFirstArguments, RUN } from "./emitter.ts";
import { type Op, runsCode } from "./program.ts";

const ARGUMENTS = [1, 2, 3, 4, 5];

export function emitCall(e: Emitter, op: Op): void {
  if (op.variant?.op === "local") {
    emitLocalCall(e, op);
    return;
  }
  const call = e.unit.calls[op.index]!;
  if (call.how === "checked") emitCheckedCall(e, op, call.plan.callable);
  else if (call.how === "attempt") emitAttempt(e, op, call);
  else if (call.how === "turns") emitTurns(e, op, call);
  else if (call.how === "tail") emitTailCall(e, call);
  else emitStraightCall(e, op, call);
  keepWindow(e, op);
  keepObject(e, op, call.plan.callable);
}

/** Whether the call is one of a function of this program, made by the code itself. */
export function callsFunction(e: Emitter, op: Op): boolean {
  if (op.row.kind !== "call") return false;
  return op.variant?.op === "local" || e.unit.calls[op.index]!.how === "turns";
}

function emitLocalCall(e: Emitter, op: Op): void {
  const { unit } = e;
  const callee = unit.program.functionAt.get(op.index + 1 + op.imm)!;
  goDeeper(e, op);
  pushCall(
    e,
    callee,
    ARGUMENTS.map((register) => e.register(register)),
  );
  e.set(0);
  comeBack(e);
}

/** A frame more, or a fault: there are too many. */
function goDeeper({ code, unit, depth }: Emitter, { index }: Op): void {
  code.get(depth);
  code.i32(MAX_FRAMES - 1);
  code.op(w.I32_EQ);
  code.open(w.IF);
  code.i32(index);
  unit.callRuntime(code, "deep");
  code.op(w.UNREACHABLE);
  code.end();
  new Local32(code, RUN).store(RUN_DEPTH, new Local32(code, depth).add(1));
}

function comeBack({ code, depth }: Emitter): void {
  new Local32(code, RUN).store(RUN_DEPTH, new Local32(code, depth));
}

/** Calls a function in the frame below this one. What it returns is on the stack. */
function pushCall({ code, unit }: Emitter, callee: number, args: readonly Operand64[]): void {
  code.get(RUN);
  code.get(FP);
  code.i32(STACK_FRAME);
  code.op(w.I32_SUB);
  code.get(BUDGET);
  for (let i = 0; i < unit.args[callee]!; i++) push64(code, args[i] ?? 0);
  code.call(unit.functions[callee]!);
  code.set(BUDGET);
  // It may have gone on in another one.
  if (unit.goesOn[callee]!) new Local32(code, RUN).store(RUN_CURRENT, unit.prog);
}

/** The helper's own code calls the function. */
function emitTurns(e: Emitter, op: Op, call: Extract<CallPlan, { readonly how: "turns" }>): void {
  const { code } = e;
  goDeeper(e, op);
  const result = call.turns.emit({
    code,
    map: call.map,
    args: ARGUMENTS.map((register) => e.register(register)),
    next: call.gen && ((walk, key, helper) => call.gen!.emit(walkCall(e, call, [walk, key], helper))),
    turn: (...args) => new Expr64(code, () => pushCall(e, call.callee, args)),
    call: (name, a, b) =>
      new Expr32(code, () => {
        code.global(e.unit.kernel);
        push32(code, a);
        push32(code, b);
        code.call(e.unit.functionOf(call.turns, name));
      }),
  });
  e.register(0).set(result);
  comeBack(e);
}

/** Arguments lie in the run record, where they are checked by the helper's prototype; so does the result. */
function emitCheckedCall(e: Emitter, op: Op, callable: Callable): void {
  const { code, unit } = e;
  const counts = runsCode(op);
  if (counts) e.putBudget();
  // bpf_throw takes its argument from the record too.
  putRegisters(e, callable.result === "throw" ? ARGUMENTS : ARGUMENTS.slice(0, callable.args.length));
  code.i32(op.index);
  unit.callRuntime(code, "helper");
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
  if (counts) e.takeBudget();
  takeRegister(e, 0);
}

/**
 * Where there is a program at the index, that one goes on in the place of this function. Who called the function makes its
 * own program the run's again: with calls that come back to do so, each took three times as long. Programs that go on in
 * themselves, which saves them the verifier's limits, do it by a jump: that takes a third of what goes by the table.
 */
function emitTailCall(e: Emitter, { plan, map, gen }: Extract<CallPlan, { readonly how: "tail" }>): void {
  const { code, unit } = e;
  const { callable } = plan;
  const run = new Local32(code, RUN);
  const args = [0, 1].map((n) => e.temporary(n));
  for (const [i, register] of [1, 3].entries()) {
    pushArgument(e, register, false);
    code.set(args[i]!);
  }
  const prog = local32(
    code,
    gen.emit(genCall({ code, unit, map, args, callable, direct: () => unit.direct(callable) })),
  );
  const frame = [RUN, FP, BUDGET];
  when(prog, () => {
    when(prog.eq(unit.prog), () => {
      for (const local of frame) code.get(local);
      pushFirstArguments(code, unit.args[0]!);
      code.returnCall(unit.functions[0]!);
    });
    run.store(RUN_CURRENT, prog);
    for (const local of frame) code.get(local);
    prog.load(OBJ_ID).push();
    code.returnCall(unit.tailCall());
  });
  e.register(0).set(0);
}

/** Calls the module's own function for this helper and map. */
function pushGenerated(e: Emitter, op: Op, { args }: Callable, inner = false): void {
  e.code.get(RUN);
  args.forEach((arg, i) => {
    if (arg !== "map") pushArgument(e, i + 1, arg === "u64");
  });
  if (inner) pushArgument(e, 1, false);
  e.code.call(e.unit.generated(op.index));
}

/** The code of the helper's own has done it; or everything is checked. */
function emitAttempt(e: Emitter, op: Op, call: Extract<CallPlan, { readonly how: "attempt" }>): void {
  const { code } = e;
  const { callable } = call.plan;
  const result = call.inline ? attemptHere(e, call) : attemptElsewhere(e, op, callable);
  push32(code, result);
  if (typeof result === "number") {
    putResult(e, callable);
    return;
  }
  code.tee(e.address);
  code.i32(UNDONE);
  code.op(w.I32_EQ);
  code.open(w.IF);
  emitCheckedCall(e, op, callable);
  code.op(w.ELSE);
  code.get(e.address);
  putResult(e, callable);
  code.end();
}

/** What comes of it: a number that is known is none of UNDONE. */
function attemptHere(e: Emitter, { plan, attempt, object }: Extract<CallPlan, { readonly how: "attempt" }>): Operand32 {
  const { code, unit } = e;
  const { callable } = plan;
  const args = callable.args.flatMap((_, i) => {
    pushArgument(e, i + 1, true);
    const [low, high] = [e.temporary(2 * i), e.temporary(2 * i + 1)];
    code.set(high);
    code.set(low);
    return [low, high];
  });
  const made = genCall({ code, unit, map: 0, args, callable, direct: () => unit.direct(callable) });
  return attempt({ ...made, object: e.objectOf(object) });
}

function attemptElsewhere(e: Emitter, op: Op, callable: Callable): Expr32 {
  const { code } = e;
  return new Expr32(code, () => {
    code.get(RUN);
    callable.args.forEach((_, i) => {
      pushArgument(e, i + 1, true);
    });
    code.call(e.unit.generated(op.index));
  });
}

/** The arguments are right. */
function emitStraightCall(e: Emitter, op: Op, call: Extract<CallPlan, { readonly how: "direct" | "gen" }>): void {
  const { code, unit } = e;
  const { callable } = call.plan;
  const direct = (): number => unit.direct(callable);
  if (call.how === "direct") {
    code.global(unit.kernel);
    callable.args.forEach((arg, i) => {
      pushArgument(e, i + 1, arg === "u64");
    });
    code.call(direct());
    // The function may have found the run to be at fault.
    code.get(RUN);
    code.memory(w.I32_LOAD, RUN_STATUS);
    code.open(w.IF);
    code.i32(op.index);
    unit.callRuntime(code, "faulted");
    code.op(w.UNREACHABLE);
    code.end();
  } else if (call.gen.inline) {
    const locals: number[] = [];
    callable.args.forEach((arg, i) => {
      if (arg === "map") return;
      pushArgument(e, i + 1, arg === "u64");
      const halves =
        arg === "u64" ? [e.temporary(locals.length + 1), e.temporary(locals.length)] : [e.temporary(locals.length)];
      for (const local of halves) code.set(local);
      locals.push(...halves.reverse());
    });
    const found = call.inner ? e.temporary(locals.length) : undefined;
    if (found !== undefined) {
      pushArgument(e, 1, false);
      code.set(found);
    }
    push32(code, call.gen.emit(genCall({ code, unit, map: call.map, found, args: locals, callable, direct })));
  } else {
    pushGenerated(e, op, callable, call.inner);
  }
  putResult(e, callable);
}

function pushArgument(e: Emitter, register: number, wide: boolean): void {
  const { code } = e;
  e.get(register);
  code.op(w.I32_WRAP_I64);
  if (!wide) return;
  e.get(register);
  code.i64(32, 0);
  code.op(w.I64_SHR_U, w.I32_WRAP_I64);
}

/** The i32 on the stack, extended as the prototype says, into r0. */
function putResult(e: Emitter, { result }: Callable): void {
  const { code } = e;
  code.op(result === "errno" ? w.I64_EXTEND_I32_S : w.I64_EXTEND_I32_U);
  if (result === "u64") {
    code.get(RUN);
    code.memory(w.I64_LOAD32_U, RUN_RESULT_HIGH);
    code.i64(32, 0);
    code.op(w.I64_SHL, w.I64_OR);
  }
  e.set(0);
}

/** Of `map_for_each`. */
function walkCall(
  e: Emitter,
  { plan, map }: Extract<CallPlan, { readonly how: "turns" }>,
  args: readonly Local32[],
  helper: Expr32,
): GenCall {
  const { code, unit } = e;
  const direct = (): never => {
    throw new Bug(`a walk over map ${map} calls ${plan.callable.name}`);
  };
  const place = { code, unit, map, args: args.map(({ index }) => index), callable: plan.callable, direct };
  return { ...genCall(place), helper };
}

/** Where the code of a map's type is emitted to. */
export interface GenPlace {
  readonly code: Code;
  readonly unit: Pick<Program, "mem" | "callRuntime" | "kernel">;
  /** 0: the helper has none. */
  readonly map: number;
  /** The local with the address of a map that is found at run time, like `map`. */
  readonly found?: number | undefined;
  readonly args: readonly number[];
  readonly callable: Callable;
  /** The helper's own function. */
  readonly direct: () => number;
}

/** The run's address is in the same local of all functions. */
export function genCall({ code, unit, map, found, args, callable, direct }: GenPlace): HelperGenCall {
  const { mem } = unit;
  const run = new Local32(code, RUN);
  const own = found === undefined ? undefined : new Local32(code, found);
  return {
    code,
    mem,
    map,
    at: own ?? const32(code, map),
    field: (offset) => own?.load(offset) ?? mapField(mem, map, offset),
    holds: (object) => emitHoldsReference(code, run, object),
    args: args.map((index) => new Local32(code, index)),
    run,
    wakeRing: (ring) => {
      push32(code, ring);
      unit.callRuntime(code, "wakeRing");
      code.op(w.DROP);
    },
    cpu: run.load(RUN_CPU),
    helper: new Expr32(code, () => {
      code.global(unit.kernel);
      const words = args.values();
      for (const arg of callable.args) {
        if (arg === "map") push32(code, own ?? map);
        else for (let i = arg === "u64" ? 2 : 1; i > 0; i--) code.get(words.next().value!);
      }
      code.call(direct());
    }),
  };
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

/** The entry of the object that this call has set up. It may have failed. */
function keepObject(e: Emitter, op: Op, { args }: Callable): void {
  const object = e.objectOf(op.index);
  if (object === undefined) return;
  const { code } = e;
  for (const [i, arg] of args.entries()) {
    if (typeof arg !== "object" || !("stack" in arg) || arg.sets === undefined) continue;
    const { sets } = arg;
    const address = local32(code, e.register(i + 1).wrap());
    const run = new Local32(code, RUN);
    object.set(blockValue(code, (end) => emitStackObject({ code, run }, address, sets, () => end(0))));
  }
}

/** Between address spaces: the arena's base decides. */
export function emitCast(e: Emitter, op: Op): void {
  emitSingle(e, op, [op.src], [op.dst]);
}
