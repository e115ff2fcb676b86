/** Arithmetic, byte order and 64-bit immediates. RFC 9669, sections 4.1, 4.2 and 5.4. */
import { Bug } from "../errors.ts";
import * as w from "../wasm/opcodes.ts";
import type { Emitter } from "./emitter.ts";
import type { Op } from "./program.ts";

type Emit = (e: Emitter, op: Op) => void;

/** dst = dst op operand by one instruction. */
function binary(opcode64: number, opcode32: number): Emit {
  return (e, op) => {
    const { code } = e;
    const wide = op.row.bits === 64;
    e.get(op.dst);
    if (!wide) code.op(w.I32_WRAP_I64);
    e.operand(op);
    if (!wide) code.op(w.I32_WRAP_I64);
    code.op(wide ? opcode64 : opcode32);
    finish(e, op);
  };
}

/** The result on the stack, i64 or i32, into dst. */
function finish(e: Emitter, op: Op): void {
  if (op.row.bits !== 64) e.code.op(w.I64_EXTEND_I32_U);
  e.set(op.dst);
}

interface Division {
  readonly signed: boolean;
  readonly rest: boolean;
}

/** By 0 the quotient is 0 and the rest is dst; the signed quotient of the lowest number and -1 wraps. */
function division({ signed, rest }: Division): Emit {
  return (e, op) => {
    const { code } = e;
    const wide = op.row.bits === 64;
    const constant = op.row.operand === "imm" ? op.imm : undefined;
    const push = (): void => {
      e.operand(op);
      if (!wide) code.op(w.I32_WRAP_I64);
    };
    const dst = (): void => {
      e.get(op.dst);
      if (!wide) code.op(w.I32_WRAP_I64);
    };
    const zero = (): void => (wide ? code.i64(0, 0) : code.i32(0));
    const divide = (): void => {
      dst();
      push();
      code.op(opcode(wide, signed, rest));
    };
    const type = wide ? 0x7e : 0x7f;
    const negates = signed && !rest;
    if (constant === -1 && negates) {
      negated(e, wide, dst, zero);
    } else if (constant !== undefined && constant !== 0) {
      divide();
    } else {
      push();
      code.op(wide ? w.I64_EQZ : w.I32_EQZ);
      code.open(w.IF, type);
      if (rest) dst();
      else zero();
      code.op(w.ELSE);
      if (negates) {
        push();
        if (wide) code.i64(-1, -1);
        else code.i32(-1);
        code.op(wide ? w.I64_EQ : w.I32_EQ);
        code.open(w.IF, type);
        negated(e, wide, dst, zero);
        code.op(w.ELSE);
        divide();
        code.end();
      } else {
        divide();
      }
      code.end();
    }
    finish(e, op);
  };
}

function negated({ code }: Emitter, wide: boolean, dst: () => void, zero: () => void): void {
  zero();
  dst();
  code.op(wide ? w.I64_SUB : w.I32_SUB);
}

function opcode(wide: boolean, signed: boolean, rest: boolean): number {
  if (rest) return signed ? (wide ? w.I64_REM_S : w.I32_REM_S) : wide ? w.I64_REM_U : w.I32_REM_U;
  return signed ? (wide ? w.I64_DIV_S : w.I32_DIV_S) : wide ? w.I64_DIV_U : w.I32_DIV_U;
}

const mov: Emit = (e, op) => {
  e.operand(op);
  if (op.row.bits === 32) e.code.op(w.I32_WRAP_I64, w.I64_EXTEND_I32_U);
  e.set(op.dst);
};

const movsx: Emit = (e, op) => {
  e.get(op.src);
  const width = op.variant!.width;
  if (op.row.bits === 64) {
    e.code.op(width === 8 ? w.I64_EXTEND8_S : width === 16 ? w.I64_EXTEND16_S : w.I64_EXTEND32_S);
  } else {
    e.code.op(w.I32_WRAP_I64, width === 8 ? w.I32_EXTEND8_S : w.I32_EXTEND16_S);
  }
  finish(e, op);
};

const neg: Emit = (e, op) => {
  const wide = op.row.bits === 64;
  const { code } = e;
  const dst = (): void => {
    e.get(op.dst);
    if (!wide) code.op(w.I32_WRAP_I64);
  };
  negated(e, wide, dst, () => (wide ? code.i64(0, 0) : code.i32(0)));
  finish(e, op);
};

const alu: Readonly<Record<string, Emit>> = {
  add: binary(w.I64_ADD, w.I32_ADD),
  sub: binary(w.I64_SUB, w.I32_SUB),
  mul: binary(w.I64_MUL, w.I32_MUL),
  or: binary(w.I64_OR, w.I32_OR),
  and: binary(w.I64_AND, w.I32_AND),
  xor: binary(w.I64_XOR, w.I32_XOR),
  // Both take the count modulo the width, as BPF does.
  lsh: binary(w.I64_SHL, w.I32_SHL),
  rsh: binary(w.I64_SHR_U, w.I32_SHR_U),
  arsh: binary(w.I64_SHR_S, w.I32_SHR_S),
  div: division({ signed: false, rest: false }),
  mod: division({ signed: false, rest: true }),
  sdiv: division({ signed: true, rest: false }),
  smod: division({ signed: true, rest: true }),
  mov,
  movsx,
  neg,
};

export function emitAlu(e: Emitter, op: Op): void {
  const name = op.variant?.op ?? op.row.op;
  const emit = alu[name];
  if (emit === undefined) throw new Bug(`no code for ${name}`);
  emit(e, op);
}

/** Little-endian memory: `toLe` only cuts. The upper bits of dst become 0. */
export function emitByteOrder(e: Emitter, op: Op): void {
  const { code } = e;
  const { op: name, width } = op.variant!;
  if (width === 64) {
    if (name === "toLe") return;
    swap64(e, op);
  } else if (width === 32) {
    e.get(op.dst);
    code.op(w.I32_WRAP_I64);
    if (name !== "toLe") swap32(e);
    code.op(w.I64_EXTEND_I32_U);
  } else {
    e.get(op.dst);
    code.i64(0xffff, 0);
    code.op(w.I64_AND);
    if (name !== "toLe") {
      code.set(e.wide);
      code.get(e.wide);
      code.i64(8, 0);
      code.op(w.I64_SHR_U);
      code.get(e.wide);
      code.i64(0xff, 0);
      code.op(w.I64_AND);
      code.i64(8, 0);
      code.op(w.I64_SHL, w.I64_OR);
    }
  }
  e.set(op.dst);
}

/** The i32 on the stack: the odd bytes from a turn to the left, the even ones from a turn to the right. */
function swap32({ code, address }: Emitter): void {
  code.set(address);
  for (const [turn, mask] of [
    [w.I32_ROTL, 0x00ff_00ff],
    [w.I32_ROTR, 0xff00_ff00],
  ] as const) {
    code.get(address);
    code.i32(8);
    code.op(turn);
    code.i32(mask);
    code.op(w.I32_AND);
  }
  code.op(w.I32_OR);
}

/** Bytes within pairs, pairs within halves, halves. */
function swap64(e: Emitter, op: Op): void {
  const { code, wide } = e;
  e.get(op.dst);
  for (const [bits, mask] of [
    [8, 0x00ff_00ff],
    [16, 0x0000_ffff],
  ] as const) {
    code.set(wide);
    code.get(wide);
    code.i64(bits, 0);
    code.op(w.I64_SHR_U);
    code.i64(mask, mask);
    code.op(w.I64_AND);
    code.get(wide);
    code.i64(mask, mask);
    code.op(w.I64_AND);
    code.i64(bits, 0);
    code.op(w.I64_SHL, w.I64_OR);
  }
  code.i64(32, 0);
  code.op(w.I64_ROTL);
}

export function emitImmediate(e: Emitter, op: Op): void {
  e.code.i64(op.imm, op.high);
  e.set(op.dst);
}
