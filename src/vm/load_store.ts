/**
 * Loads, stores and 64-bit immediates. Words may lie anywhere except on the stack; an 8-byte word between multiples of 8
 * moves whole, so that another thread never sees half of one. Sections 5.1, 5.2 and 5.4 of RFC 9669.
 */
import { RUN_RUNNING, RUN_WORD } from "../kern/run_record.ts";
import { accessAt } from "./access.ts";
import type { Handler } from "./handler.ts";
import type { Machine } from "./machine.ts";

function load1(m: Machine, d: number, low: number, high: number, w: number): void {
  const at = accessAt(m, low >>> 0, high, w >> 16, 1, false);
  if (at === 0) return;
  m.u32[d] = m.mem.u8[at]!;
  m.u32[d + 1] = 0;
}

function load2(m: Machine, d: number, low: number, high: number, w: number): void {
  const at = accessAt(m, low >>> 0, high, w >> 16, 2, false);
  if (at === 0) return;
  const { u8 } = m.mem;
  m.u32[d] = u8[at]! | (u8[at + 1]! << 8);
  m.u32[d + 1] = 0;
}

function load4(m: Machine, d: number, low: number, high: number, w: number): void {
  const at = accessAt(m, low >>> 0, high, w >> 16, 4, false);
  if (at === 0) return;
  m.u32[d] = (at & 3) === 0 ? m.u32[at >>> 2]! : m.mem.view.getUint32(at, true);
  m.u32[d + 1] = 0;
}

function load8(m: Machine, d: number, low: number, high: number, w: number): void {
  const at = accessAt(m, low >>> 0, high, w >> 16, 8, false);
  if (at === 0) return;
  const { u32, mem } = m;
  if ((at & 7) !== 0) {
    u32[d] = mem.view.getUint32(at, true);
    u32[d + 1] = mem.view.getUint32(at + 4, true);
  } else if (mem.shared) {
    mem.atomics.copyWords(d * 4, at, 8);
  } else {
    u32[d] = u32[at >>> 2]!;
    u32[d + 1] = u32[(at >>> 2) + 1]!;
  }
}

/** Loads that sign-extend: the plain load, then, unless it faulted, the upper bits. */
function signExtend(m: Machine, d: number, shift: number): void {
  if (m.status !== RUN_RUNNING) return;
  const value = (m.u32[d]! << shift) >> shift;
  m.u32[d] = value;
  m.u32[d + 1] = value >> 31;
}

function loadS1(m: Machine, d: number, low: number, high: number, w: number): void {
  load1(m, d, low, high, w);
  signExtend(m, d, 24);
}

function loadS2(m: Machine, d: number, low: number, high: number, w: number): void {
  load2(m, d, low, high, w);
  signExtend(m, d, 16);
}

function loadS4(m: Machine, d: number, low: number, high: number, w: number): void {
  load4(m, d, low, high, w);
  signExtend(m, d, 0);
}

/** The second operand is the value, the destination register the pointer. */
function store1(m: Machine, d: number, low: number, _high: number, w: number): void {
  const at = accessAt(m, m.u32[d]!, m.i32[d + 1]!, w >> 16, 1, true);
  if (at !== 0) m.mem.u8[at] = low;
}

function store2(m: Machine, d: number, low: number, _high: number, w: number): void {
  const at = accessAt(m, m.u32[d]!, m.i32[d + 1]!, w >> 16, 2, true);
  if (at === 0) return;
  m.mem.u8[at] = low;
  m.mem.u8[at + 1] = low >>> 8;
}

function store4(m: Machine, d: number, low: number, _high: number, w: number): void {
  const at = accessAt(m, m.u32[d]!, m.i32[d + 1]!, w >> 16, 4, true);
  if (at === 0) return;
  if ((at & 3) === 0) m.u32[at >>> 2] = low;
  else m.mem.view.setUint32(at, low, true);
}

function store8(m: Machine, d: number, low: number, high: number, w: number): void {
  const { u32, mem } = m;
  const at = accessAt(m, u32[d]!, m.i32[d + 1]!, w >> 16, 8, true);
  if (at === 0) return;
  if ((at & 7) !== 0) {
    mem.view.setUint32(at, low, true);
    mem.view.setUint32(at + 4, high, true);
  } else if (mem.shared) {
    const word = m.run + RUN_WORD;
    u32[word >>> 2] = low;
    u32[(word >>> 2) + 1] = high;
    mem.atomics.copyWords(at, word, 8);
  } else {
    u32[at >>> 2] = low;
    u32[(at >>> 2) + 1] = high;
  }
}

type Sizes = Readonly<Record<1 | 2 | 4 | 8, Handler>>;

export const loads: Sizes = { 1: load1, 2: load2, 4: load4, 8: load8 };
/** There is no sign-extending load of 8 bytes. */
export const signedLoads: Sizes = { 1: loadS1, 2: loadS2, 4: loadS4, 8: load8 };
export const stores: Sizes = { 1: store1, 2: store2, 4: store4, 8: store8 };

/** The upper half is the second slot's imm; map handles and addresses of values were put in when the program was loaded. */
export function loadImm64(m: Machine, d: number, low: number): void {
  m.u32[d] = low;
  m.u32[d + 1] = m.u32[m.code + m.pc * 2 + 1]!;
  m.pc++;
}
