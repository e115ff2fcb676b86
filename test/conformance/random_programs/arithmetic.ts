/** Pieces that work on registers alone. */

import type { Reg } from "../../../src/insn/index.ts";
import * as asm from "../../../src/insn/index.ts";
import type { Items, Writer } from "./writer.ts";

const BINARY = ["add", "sub", "mul", "div", "or", "and", "lsh", "rsh", "mod", "xor", "mov", "arsh"] as const;
type Binary = (typeof BINARY)[number];

/** Puts a number where none is. */
export function fill(w: Writer, reg: Reg): Items {
  w.set(reg);
  return w.chance(50) ? [asm.mov64Imm(reg, w.imm())] : [asm.ldImm64(reg, w.wide())];
}

function withImm(w: Writer, op: Binary, bits: 32 | 64, dst: Reg): asm.Insn {
  const shift = op === "lsh" || op === "rsh" || op === "arsh";
  let imm = shift ? w.rnd(bits) : w.imm();
  if ((op === "div" || op === "mod") && imm === 0) imm = 3;
  if ((op === "div" || op === "mod") && w.chance(50))
    return bits === 64 ? asm.signed64Imm(op, dst, imm) : asm.signed32Imm(op, dst, imm);
  return bits === 64 ? asm.alu64Imm(op, dst, imm) : asm.alu32Imm(op, dst, imm);
}

function withReg(w: Writer, op: Binary, bits: 32 | 64, dst: Reg, src: Reg): asm.Insn {
  if ((op === "div" || op === "mod") && w.chance(50))
    return bits === 64 ? asm.signed64(op, dst, src) : asm.signed32(op, dst, src);
  if (op === "mov" && w.chance(60))
    return bits === 64 ? asm.movsx64(dst, src, w.pick([8, 16, 32])) : asm.movsx32(dst, src, w.pick([8, 16]));
  return bits === 64 ? asm.alu64(op, dst, src) : asm.alu32(op, dst, src);
}

/** One operation. */
export function alu(w: Writer): Items {
  const bits = w.pick([32, 64] as const);
  const kind = w.rnd(12);
  const op = w.pick(BINARY);
  if (op === "mov" && kind >= 2) {
    const src = w.source();
    const dst = w.target();
    w.set(dst);
    return [kind < 5 ? withImm(w, op, bits, dst) : withReg(w, op, bits, dst, src)];
  }
  const dst = w.target();
  const before = w.isLive(dst) ? [] : fill(w, dst);
  if (kind === 0) return [...before, bits === 64 ? asm.neg64(dst) : asm.neg32(dst)];
  if (kind === 1) return [...before, asm.byteOrder(w.pick(["toLe", "toBe", "bswap"]), dst, w.pick([16, 32, 64]))];
  if (kind < 6) return [...before, withImm(w, op, bits, dst)];
  return [...before, withReg(w, op, bits, dst, w.source())];
}

/** JSET more often: it takes rarer operands to tell it from a wrong one. */
const JUMPS = [
  "jeq",
  "jgt",
  "jge",
  "jset",
  "jset",
  "jset",
  "jne",
  "jsgt",
  "jsge",
  "jlt",
  "jle",
  "jslt",
  "jsle",
] as const;

/** A jump on numbers. */
export function condition(w: Writer, label: string): asm.AsmItem {
  const op = w.pick(JUMPS);
  const dst = w.source();
  const long = w.chance(50);
  if (w.chance(50)) return (long ? asm.jmpImm : asm.jmp32Imm)(op, dst, w.imm(), label);
  return (long ? asm.jmp : asm.jmp32)(op, dst, w.source(), label);
}
