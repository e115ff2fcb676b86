/** Conditional jumps. RFC 9669, section 4.3; may_goto of Linux 6.9. */
import type { JumpOp } from "../insn/index.ts";
import * as w from "../wasm/opcodes.ts";
import type { Emitter } from "./emitter.ts";
import type { Op } from "./program.ts";

/** For 64 and 32 bits. */
const comparisons: Readonly<Record<Exclude<JumpOp, "jset">, readonly [number, number]>> = {
  jeq: [w.I64_EQ, w.I32_EQ],
  jne: [w.I64_NE, w.I32_NE],
  jgt: [w.I64_GT_U, w.I32_GT_U],
  jge: [w.I64_GE_U, w.I32_GE_U],
  jlt: [w.I64_LT_U, w.I32_LT_U],
  jle: [w.I64_LE_U, w.I32_LE_U],
  jsgt: [w.I64_GT_S, w.I32_GT_S],
  jsge: [w.I64_GE_S, w.I32_GE_S],
  jslt: [w.I64_LT_S, w.I32_LT_S],
  jsle: [w.I64_LE_S, w.I32_LE_S],
};

/** Leaves an i32 that is not 0 where the jump is taken. */
export function emitCondition(e: Emitter, op: Op): void {
  if (op.row.kind === "mayGoto") {
    emitMayGoto(e);
    return;
  }
  const { code } = e;
  const wide = op.row.bits === 64;
  e.get(op.dst);
  if (!wide) code.op(w.I32_WRAP_I64);
  e.operand(op);
  if (!wide) code.op(w.I32_WRAP_I64);
  const jump = op.row.op as JumpOp;
  if (jump === "jset") {
    code.op(wide ? w.I64_AND : w.I32_AND);
    if (wide) code.i64(0, 0);
    else code.i32(0);
    code.op(wide ? w.I64_NE : w.I32_NE);
  } else {
    code.op(comparisons[jump][wide ? 0 : 1]);
  }
}

/** Taken once the turns are spent; else there is one less. */
function emitMayGoto(e: Emitter): void {
  const { code, turns } = e;
  code.get(turns);
  code.op(w.I32_EQZ);
  code.open(w.IF, 0x7f);
  code.i32(1);
  code.op(w.ELSE);
  code.get(turns);
  code.i32(1);
  code.op(w.I32_SUB);
  code.set(turns);
  code.i32(0);
  code.end();
}
