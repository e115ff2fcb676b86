/** 32-bit arithmetic: the upper half of the result is zero. Sections 4.1 of RFC 9669. */
import type { AluOp } from "../insn/index.ts";
import type { Handler } from "./handler.ts";
import type { Machine } from "./machine.ts";

function set(m: Machine, d: number, value: number): void {
  m.u32[d] = value;
  m.u32[d + 1] = 0;
}

/** Division by zero gives 0, as in the kernel. */
function div32(m: Machine, d: number, low: number, _high: number, w: number): void {
  if (low === 0) set(m, d, 0);
  else if (w >> 16 === 0) set(m, d, m.u32[d]! / (low >>> 0));
  else set(m, d, m.i32[d]! / low);
}

/** The remainder by zero is the dividend. */
function mod32(m: Machine, d: number, low: number, _high: number, w: number): void {
  if (low === 0) m.u32[d + 1] = 0;
  else if (w >> 16 === 0) set(m, d, m.u32[d]! % (low >>> 0));
  else set(m, d, m.i32[d]! % low);
}

/** off: how many bits of the source to sign-extend, or 0. */
function mov32(m: Machine, d: number, low: number, _high: number, w: number): void {
  const shift = w >> 16 === 0 ? 0 : 32 - (w >> 16);
  set(m, d, (low << shift) >> shift);
}

export const alu32: Readonly<Record<AluOp, Handler>> = {
  add: (m, d, low) => set(m, d, m.u32[d]! + low),
  sub: (m, d, low) => set(m, d, m.u32[d]! - low),
  mul: (m, d, low) => set(m, d, Math.imul(m.u32[d]!, low)),
  div: div32,
  or: (m, d, low) => set(m, d, m.u32[d]! | low),
  and: (m, d, low) => set(m, d, m.u32[d]! & low),
  lsh: (m, d, low) => set(m, d, m.u32[d]! << (low & 31)),
  rsh: (m, d, low) => set(m, d, m.u32[d]! >>> (low & 31)),
  neg: (m, d) => set(m, d, -m.u32[d]!),
  mod: mod32,
  xor: (m, d, low) => set(m, d, m.u32[d]! ^ low),
  mov: mov32,
  arsh: (m, d, low) => set(m, d, m.i32[d]! >> (low & 31)),
};
