/**
 * 64-bit arithmetic on pairs of u32; a typed array wraps what is stored into it. BigInt only where a division does not
 * fit into 32 bits. Sections 4.1 and 4.2 of RFC 9669.
 */
import type { AluOp } from "../insn/index.ts";
import { ARENA_HIGH } from "../kern/run_record.ts";
import { ARENA_USER_START } from "../struct/arena_pages.ts";
import { MAP_FLAGS } from "../struct/map.ts";
import { BPF_F_NO_USER_CONV } from "../uapi/index.ts";
import type { Handler } from "./handler.ts";
import type { Machine } from "./machine.ts";

const TWO_32 = 0x1_0000_0000;
/** off of a move between address spaces, and imm of one to the kernel's. */
const CAST = 1;
const TO_KERNEL = 1;

function add64(m: Machine, d: number, low: number, high: number): void {
  const { u32 } = m;
  const sum = u32[d]! + (low >>> 0);
  u32[d] = sum;
  u32[d + 1] = u32[d + 1]! + high + (sum >= TWO_32 ? 1 : 0);
}

function sub64(m: Machine, d: number, low: number, high: number): void {
  const { u32 } = m;
  const difference = u32[d]! - (low >>> 0);
  u32[d] = difference;
  u32[d + 1] = u32[d + 1]! - high - (difference < 0 ? 1 : 0);
}

/** Low halves by 16-bit digits, whose products and sums stay exact; then what reaches the upper half. */
function mul64(m: Machine, d: number, low: number, high: number): void {
  const { u32 } = m;
  const a = u32[d]!;
  const a0 = a & 0xffff;
  const a1 = a >>> 16;
  const b0 = low & 0xffff;
  const b1 = low >>> 16;
  const p00 = a0 * b0;
  const p01 = a0 * b1 + (p00 >>> 16);
  const p10 = a1 * b0 + (p01 & 0xffff);
  const carry = a1 * b1 + (p01 >>> 16) + (p10 >>> 16);
  u32[d + 1] = carry + Math.imul(a, high) + Math.imul(u32[d + 1]!, low);
  u32[d] = Math.imul(a, low);
}

/** Division by zero gives 0, as in the kernel. */
function div64(m: Machine, d: number, low: number, high: number, w: number): void {
  const { u32 } = m;
  if ((low | high) === 0) {
    u32[d] = 0;
    u32[d + 1] = 0;
  } else if (w >> 16 !== 0) {
    setBig(m, d, signed(u32[d]!, u32[d + 1]!) / signed(low >>> 0, high));
  } else if ((high | u32[d + 1]!) === 0) {
    u32[d] = u32[d]! / (low >>> 0);
  } else {
    setBig(m, d, unsigned(u32[d]!, u32[d + 1]!) / unsigned(low >>> 0, high >>> 0));
  }
}

/** The remainder by zero is the dividend. */
function mod64(m: Machine, d: number, low: number, high: number, w: number): void {
  const { u32 } = m;
  if ((low | high) === 0) return;
  if (w >> 16 !== 0) setBig(m, d, signed(u32[d]!, u32[d + 1]!) % signed(low >>> 0, high));
  else if ((high | u32[d + 1]!) === 0) u32[d] = u32[d]! % (low >>> 0);
  else setBig(m, d, unsigned(u32[d]!, u32[d + 1]!) % unsigned(low >>> 0, high >>> 0));
}

function unsigned(low: number, high: number): bigint {
  return (BigInt(high) << 32n) | BigInt(low);
}

function signed(low: number, high: number): bigint {
  return (BigInt(high | 0) << 32n) | BigInt(low);
}

/** Only -2^63 / -1 does not fit; it wraps to itself, as in the kernel. */
function setBig(m: Machine, d: number, value: bigint): void {
  m.u32[d] = Number(BigInt.asUintN(32, value));
  m.u32[d + 1] = Number(BigInt.asUintN(32, value >> 32n));
}

function lsh64(m: Machine, d: number, low: number): void {
  const { u32 } = m;
  const n = low & 63;
  if (n >= 32) {
    u32[d + 1] = u32[d]! << (n - 32);
    u32[d] = 0;
  } else if (n !== 0) {
    u32[d + 1] = (u32[d + 1]! << n) | (u32[d]! >>> (32 - n));
    u32[d] = u32[d]! << n;
  }
}

function rsh64(m: Machine, d: number, low: number): void {
  const { u32 } = m;
  const n = low & 63;
  if (n >= 32) {
    u32[d] = u32[d + 1]! >>> (n - 32);
    u32[d + 1] = 0;
  } else if (n !== 0) {
    u32[d] = (u32[d]! >>> n) | (u32[d + 1]! << (32 - n));
    u32[d + 1] = u32[d + 1]! >>> n;
  }
}

function arsh64(m: Machine, d: number, low: number): void {
  const { u32, i32 } = m;
  const n = low & 63;
  const high = i32[d + 1]!;
  if (n >= 32) {
    u32[d] = high >> (n - 32);
    u32[d + 1] = high >> 31;
  } else if (n !== 0) {
    u32[d] = (u32[d]! >>> n) | (high << (32 - n));
    u32[d + 1] = high >> n;
  }
}

function neg64(m: Machine, d: number): void {
  const { u32 } = m;
  const low = u32[d]!;
  u32[d] = -low;
  u32[d + 1] = -u32[d + 1]! - (low === 0 ? 0 : 1);
}

/** NULL stays NULL, also where the lower half alone is 0. */
function castPointer(m: Machine, d: number, low: number, imm: number): void {
  const { u32, arena } = m;
  const user =
    (u32[(arena + MAP_FLAGS) >>> 2]! & BPF_F_NO_USER_CONV) === 0 ? u32[((arena + ARENA_USER_START) >>> 2) + 1]! : 0;
  u32[d] = low;
  u32[d + 1] = low === 0 ? 0 : imm === TO_KERNEL ? ARENA_HIGH : user;
}

/** off: how many bits of the source to sign-extend, or 0; CAST: the move is from one address space to another. */
function mov64(m: Machine, d: number, low: number, high: number, w: number, imm: number): void {
  const { u32 } = m;
  const off = w >> 16;
  if (off === 0) {
    u32[d] = low;
    u32[d + 1] = high;
  } else if (off === CAST) {
    castPointer(m, d, low, imm);
  } else {
    const value = (low << (32 - off)) >> (32 - off);
    u32[d] = value;
    u32[d + 1] = value >> 31;
  }
}

export const alu64: Readonly<Record<AluOp, Handler>> = {
  add: add64,
  sub: sub64,
  mul: mul64,
  div: div64,
  or: (m, d, low, high) => {
    m.u32[d]! |= low;
    m.u32[d + 1]! |= high;
  },
  and: (m, d, low, high) => {
    m.u32[d]! &= low;
    m.u32[d + 1]! &= high;
  },
  lsh: lsh64,
  rsh: rsh64,
  neg: neg64,
  mod: mod64,
  xor: (m, d, low, high) => {
    m.u32[d]! ^= low;
    m.u32[d + 1]! ^= high;
  },
  mov: mov64,
  arsh: arsh64,
};

/** Conversion to little endian, the byte order of this machine: cuts to the width. */
export function toLe(m: Machine, d: number, _low: number, _high: number, _w: number, width: number): void {
  const { u32 } = m;
  if (width === 16) u32[d] = u32[d]! & 0xffff;
  if (width !== 64) u32[d + 1] = 0;
}

/** Conversion to big endian and unconditional swap are the same on this machine. */
export function swapBytes(m: Machine, d: number, _low: number, _high: number, _w: number, width: number): void {
  const { u32 } = m;
  const low = u32[d]!;
  if (width === 64) {
    u32[d] = swap32(u32[d + 1]!);
    u32[d + 1] = swap32(low);
  } else {
    u32[d] = width === 32 ? swap32(low) : ((low & 0xff) << 8) | ((low >>> 8) & 0xff);
    u32[d + 1] = 0;
  }
}

function swap32(x: number): number {
  return (x << 24) | ((x & 0xff00) << 8) | ((x >>> 8) & 0xff00) | (x >>> 24);
}
