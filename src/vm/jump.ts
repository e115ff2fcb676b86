/** Conditional jumps: a jump that is taken adds off to the index of the next instruction. Section 4.3 of RFC 9669. */
import type { JumpOp } from "../insn/index.ts";
import type { Handler } from "./handler.ts";

export const jump32: Readonly<Record<JumpOp, Handler>> = {
  jeq: (m, d, low, _high, w) => {
    if (m.i32[d] === low) m.pc += w >> 16;
  },
  jne: (m, d, low, _high, w) => {
    if (m.i32[d] !== low) m.pc += w >> 16;
  },
  jset: (m, d, low, _high, w) => {
    if ((m.i32[d]! & low) !== 0) m.pc += w >> 16;
  },
  jgt: (m, d, low, _high, w) => {
    if (m.u32[d]! > low >>> 0) m.pc += w >> 16;
  },
  jge: (m, d, low, _high, w) => {
    if (m.u32[d]! >= low >>> 0) m.pc += w >> 16;
  },
  jlt: (m, d, low, _high, w) => {
    if (m.u32[d]! < low >>> 0) m.pc += w >> 16;
  },
  jle: (m, d, low, _high, w) => {
    if (m.u32[d]! <= low >>> 0) m.pc += w >> 16;
  },
  jsgt: (m, d, low, _high, w) => {
    if (m.i32[d]! > low) m.pc += w >> 16;
  },
  jsge: (m, d, low, _high, w) => {
    if (m.i32[d]! >= low) m.pc += w >> 16;
  },
  jslt: (m, d, low, _high, w) => {
    if (m.i32[d]! < low) m.pc += w >> 16;
  },
  jsle: (m, d, low, _high, w) => {
    if (m.i32[d]! <= low) m.pc += w >> 16;
  },
};

export const jump64: Readonly<Record<JumpOp, Handler>> = {
  jeq: (m, d, low, high, w) => {
    if (m.i32[d] === low && m.i32[d + 1] === high) m.pc += w >> 16;
  },
  jne: (m, d, low, high, w) => {
    if (m.i32[d] !== low || m.i32[d + 1] !== high) m.pc += w >> 16;
  },
  jset: (m, d, low, high, w) => {
    if (((m.i32[d]! & low) | (m.i32[d + 1]! & high)) !== 0) m.pc += w >> 16;
  },
  jgt: (m, d, low, high, w) => {
    const top = m.i32[d + 1]!;
    if (top === high ? m.u32[d]! > low >>> 0 : top >>> 0 > high >>> 0) m.pc += w >> 16;
  },
  jge: (m, d, low, high, w) => {
    const top = m.i32[d + 1]!;
    if (top === high ? m.u32[d]! >= low >>> 0 : top >>> 0 > high >>> 0) m.pc += w >> 16;
  },
  jlt: (m, d, low, high, w) => {
    const top = m.i32[d + 1]!;
    if (top === high ? m.u32[d]! < low >>> 0 : top >>> 0 < high >>> 0) m.pc += w >> 16;
  },
  jle: (m, d, low, high, w) => {
    const top = m.i32[d + 1]!;
    if (top === high ? m.u32[d]! <= low >>> 0 : top >>> 0 < high >>> 0) m.pc += w >> 16;
  },
  jsgt: (m, d, low, high, w) => {
    const top = m.i32[d + 1]!;
    if (top === high ? m.u32[d]! > low >>> 0 : top > high) m.pc += w >> 16;
  },
  jsge: (m, d, low, high, w) => {
    const top = m.i32[d + 1]!;
    if (top === high ? m.u32[d]! >= low >>> 0 : top > high) m.pc += w >> 16;
  },
  jslt: (m, d, low, high, w) => {
    const top = m.i32[d + 1]!;
    if (top === high ? m.u32[d]! < low >>> 0 : top < high) m.pc += w >> 16;
  },
  jsle: (m, d, low, high, w) => {
    const top = m.i32[d + 1]!;
    if (top === high ? m.u32[d]! <= low >>> 0 : top < high) m.pc += w >> 16;
  },
};
