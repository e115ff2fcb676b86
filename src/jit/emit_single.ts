/** Instructions that the interpreter executes for compiled code: rare ones, and those that need what only it knows. */
import { RUN_REGS } from "../kern/run_record.ts";
import * as w from "../wasm/opcodes.ts";
import { type Emitter, RUN } from "./emitter.ts";
import type { Op } from "./program.ts";

/** Writes registers into the run record, where helpers and the interpreter find them. */
export function putRegisters(e: Emitter, registers: Iterable<number>): void {
  const { code } = e;
  for (const register of registers) {
    code.get(RUN);
    e.get(register);
    code.memory(w.I64_STORE, RUN_REGS + 8 * register);
  }
}

export function takeRegister(e: Emitter, register: number): void {
  e.code.get(RUN);
  e.code.memory(w.I64_LOAD, RUN_REGS + 8 * register);
  e.set(register);
}

/** Executes the one instruction; `reads` and `writes` are the registers that it has to do with. */
export function emitSingle(e: Emitter, op: Op, reads: readonly number[], writes: readonly number[]): void {
  putRegisters(e, new Set(reads));
  e.code.i32(op.index);
  e.unit.callRuntime(e.code, "single");
  e.code.op(w.DROP);
  for (const register of new Set(writes)) takeRegister(e, register);
}

/** r0 from the packet of the skb in r6; where the bytes are not there the function returns 0. */
export function emitPacketLoad(e: Emitter, op: Op): void {
  const { code } = e;
  putRegisters(e, new Set([6, ...(op.row.src === "read" ? [op.src] : [])]));
  code.i32(op.index);
  e.unit.callRuntime(code, "packet");
  code.op(w.I32_EQZ);
  code.open(w.IF);
  code.i64(0, 0);
  e.leave();
  code.end();
  takeRegister(e, 0);
  for (let register = 1; register <= 5; register++) {
    code.i64(0, 0);
    e.set(register);
  }
}
