/**
 * Loads and stores. What the prover knows to be right goes straight to memory; where it knows the region but not the
 * place two comparisons decide, and where it is another one the interpreter goes on; for the rest its exact check is called,
 * which gives the address or ends the run with a fault. RFC 9669, sections 5.1 and 5.2.
 */
import { RUN_CTX_SIZE, STACK_FRAME } from "../kern/run_record.ts";
import * as w from "../wasm/opcodes.ts";
import { type Emitter, FP, FRAME_POINTER, RUN } from "./emitter.ts";
import type { Op } from "./program.ts";

const loads: Readonly<Record<1 | 2 | 4 | 8, readonly [number, number]>> = {
  1: [w.I64_LOAD8_U, w.I64_LOAD8_S],
  2: [w.I64_LOAD16_U, w.I64_LOAD16_S],
  4: [w.I64_LOAD32_U, w.I64_LOAD32_S],
  8: [w.I64_LOAD, w.I64_LOAD],
};
const stores: Readonly<Record<1 | 2 | 4 | 8, number>> = {
  1: w.I64_STORE8,
  2: w.I64_STORE16,
  4: w.I64_STORE32,
  8: w.I64_STORE,
};

export function emitLoad(e: Emitter, op: Op): void {
  const offset = emitAddress(e, op, op.src);
  e.code.memory(loads[sizeOf(op)][op.row.signed ? 1 : 0], offset);
  e.set(op.dst);
}

export function emitStore(e: Emitter, op: Op): void {
  const offset = emitAddress(e, op, op.dst);
  e.operand(op);
  e.code.memory(stores[sizeOf(op)], offset);
}

export function sizeOf(op: Op): 1 | 2 | 4 | 8 {
  return op.row.size as 1 | 2 | 4 | 8;
}

/** Leaves the address on the stack; returns what the access has to add to it. */
export function emitAddress(e: Emitter, op: Op, base: number): number {
  const access = e.unit.facts.access[op.index] ?? { how: "check" };
  switch (access.how) {
    case "proved":
      return provedAddress(e, op, base);
    case "stack":
      stackAddress(e, op, base);
      return 0;
    case "window":
      windowAddress(e, op, base, access.from!, access.size!);
      return 0;
    case "context":
      contextIsThere(e, op, access.size!);
      return provedAddress(e, op, base);
    default:
      checkedAddress(e, op, base);
      return 0;
  }
}

function provedAddress(e: Emitter, op: Op, base: number): number {
  const { code } = e;
  if (base === FRAME_POINTER) {
    code.get(FP);
  } else {
    e.get(base);
    code.op(w.I32_WRAP_I64);
  }
  if (op.off >= 0) return op.off;
  code.i32(op.off);
  code.op(w.I32_ADD);
  return 0;
}

/** The address and its distance from a base as i64: `wide` holds it, `address` the lower half. */
function distance(e: Emitter, op: Op, base: number, from: () => void): void {
  const { code } = e;
  e.get(base);
  if (op.off !== 0) {
    code.i64(op.off, op.off >> 31);
    code.op(w.I64_ADD);
  }
  code.tee(e.wide);
  from();
  code.op(w.I64_SUB);
}

/** Contexts of any size: how many bytes this run was given. */
function contextIsThere(e: Emitter, op: Op, size: number): void {
  const { code } = e;
  code.get(RUN);
  code.memory(w.I32_LOAD, RUN_CTX_SIZE);
  code.i32(size);
  code.op(w.I32_LT_U);
  code.open(w.IF);
  e.giveUp(op);
  code.end();
}

/** Inside the frame, and as the stack wants it, at a multiple of its size. */
function stackAddress(e: Emitter, op: Op, base: number): void {
  const { code } = e;
  const size = sizeOf(op);
  distance(e, op, base, () => {
    code.get(FP);
    code.i32(STACK_FRAME);
    code.op(w.I32_SUB, w.I64_EXTEND_I32_U);
  });
  code.i64(STACK_FRAME - size, 0);
  code.op(w.I64_LE_U);
  if (size > 1) {
    code.get(e.wide);
    code.op(w.I32_WRAP_I64);
    code.i32(size - 1);
    code.op(w.I32_AND, w.I32_EQZ, w.I32_AND);
  }
  orGiveUp(e, op);
}

function windowAddress(e: Emitter, op: Op, base: number, from: number, size: number): void {
  const { code } = e;
  const window = e.windowOf(from);
  distance(e, op, base, () => {
    if (window === undefined) code.i64(-1 - from, 0);
    else code.get(window.base);
  });
  if (window !== undefined) {
    code.get(window.far);
    code.op(w.I64_OR);
  }
  code.i64(size - sizeOf(op), 0);
  code.op(w.I64_LE_U);
  orGiveUp(e, op);
}

/** The address in `wide` where the condition on the stack holds; else the interpreter goes on. */
function orGiveUp(e: Emitter, op: Op): void {
  const { code } = e;
  code.op(w.I32_EQZ);
  code.open(w.IF);
  e.giveUp(op);
  code.end();
  code.get(e.wide);
  code.op(w.I32_WRAP_I64);
}

function checkedAddress(e: Emitter, op: Op, base: number): void {
  const { code } = e;
  e.get(base);
  code.op(w.I32_WRAP_I64);
  e.get(base);
  code.i64(32, 0);
  code.op(w.I64_SHR_U, w.I32_WRAP_I64);
  code.i32(op.index);
  e.unit.callRuntime(code, "access");
}
