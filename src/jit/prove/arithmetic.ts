/** Arithmetic on ranges of signed 64-bit numbers: what the result may be. Section 4.1 of RFC 9669. */
import type { AluOp } from "../../insn/index.ts";
import { anything, constant, gcd, isConstant, isU32, K_NUMBER, LIMIT, number, type Val } from "./value.ts";

const TWO_32 = 2 ** 32;
const U32 = 0xffff_ffff;
/** Steps larger than this are not worth to be kept exact. */
const STEP_MAX = 2 ** 31;

/** An unknown 64-bit number as a range: none. */
function isNumber(v: Val): boolean {
  return v.kind === K_NUMBER;
}

function range(min: number, max: number, step: number): Val {
  return number(min, max, step > STEP_MAX ? 1 : step);
}

/** The lower half of any value, zero-extended. */
export function lowHalf(v: Val): Val {
  return isU32(v) ? v : truncated(v);
}

function truncated(v: Val): Val {
  if (isNumber(v)) {
    // All of it in one turn of the lower half: the same distance from its beginning.
    const turn = Math.floor(v.min / TWO_32) * TWO_32;
    if (v.max - turn <= U32) return number(v.min - turn, v.max - turn, v.step);
  }
  return number(0, U32);
}

/** The lowest `width` bits, sign-extended. */
export function signExtended(v: Val, width: number): Val {
  const half = 2 ** (width - 1);
  if (isNumber(v) && v.min >= -half && v.max < half) return v;
  // A number of so many bits without a sign, all of it on one side.
  if (isNumber(v) && v.min >= half && v.max < 2 * half) return number(v.min - 2 * half, v.max - 2 * half, v.step);
  return number(-half, half - 1);
}

/** The lowest `width` bits, zero-extended. */
export function zeroExtended(v: Val, width: number): Val {
  const max = 2 ** width - 1;
  return isNumber(v) && v.min >= 0 && v.max <= max ? v : number(0, max);
}

export function add(a: Val, b: Val): Val {
  return range(a.min + b.min, a.max + b.max, gcd(a.step, b.step));
}

export function subtract(a: Val, b: Val): Val {
  return range(a.min - b.max, a.max - b.min, gcd(a.step, b.step));
}

function multiply(a: Val, b: Val): Val {
  const corners = [a.min * b.min, a.min * b.max, a.max * b.min, a.max * b.max];
  let step = 1;
  if (isConstant(b)) step = a.step * Math.abs(b.min);
  else if (isConstant(a)) step = b.step * Math.abs(a.min);
  return range(Math.min(...corners), Math.max(...corners), step || 1);
}

/** The largest number that the bits of numbers up to here can make up. */
function allBits(max: number): number {
  if (max <= U32) return max === 0 ? 0 : 2 ** (32 - Math.clz32(max)) - 1;
  return 2 ** (64 - Math.clz32(Math.floor(max / TWO_32))) - 1;
}

function and(a: Val, b: Val): Val {
  const mask = isNumber(b) && isConstant(b) ? b.min : undefined;
  if (mask !== undefined && mask >= 0) {
    const lowest = lowestBit(mask);
    const max = isNumber(a) && a.min >= 0 ? Math.min(a.max, mask) : mask;
    return range(0, max - (max % lowest), lowest);
  }
  if (mask !== undefined && isPowerOfTwo(-mask)) {
    // Rounds down to a multiple.
    const by = -mask;
    return isNumber(a) ? range(Math.floor(a.min / by) * by, Math.floor(a.max / by) * by, by) : anything();
  }
  const tops: number[] = [];
  if (isNumber(a) && a.min >= 0) tops.push(a.max);
  if (isNumber(b) && b.min >= 0) tops.push(b.max);
  return tops.length === 0 ? anything() : number(0, Math.min(...tops));
}

/** 1 for 0, which has none. */
function lowestBit(n: number): number {
  if (n === 0) return 1;
  const low = (n % TWO_32) >>> 0;
  return low !== 0 ? (low & -low) >>> 0 : 1;
}

function isPowerOfTwo(n: number): boolean {
  return n > 0 && n <= STEP_MAX && (n & (n - 1)) === 0;
}

function or(a: Val, b: Val): Val {
  if (!notNegative(a, b)) return anything();
  if (isConstant(a) && isConstant(b) && a.max <= U32 && b.max <= U32) return constant((a.min | b.min) >>> 0);
  return number(Math.max(a.min, b.min), allBits(Math.max(a.max, b.max)));
}

function xor(a: Val, b: Val): Val {
  if (!notNegative(a, b)) return anything();
  if (isConstant(a) && isConstant(b) && a.max <= U32 && b.max <= U32) return constant((a.min ^ b.min) >>> 0);
  return number(0, allBits(Math.max(a.max, b.max)));
}

function notNegative(a: Val, b: Val): boolean {
  return isNumber(a) && isNumber(b) && a.min >= 0 && b.min >= 0;
}

function shiftLeft(a: Val, n: number): Val {
  if (!isNumber(a)) return anything();
  const by = 2 ** n;
  return range(a.min * by, a.max * by, a.step * by);
}

function shiftRight(a: Val, n: number, bits: 32 | 64): Val {
  const by = 2 ** n;
  if (isNumber(a) && a.min >= 0) {
    const step = a.step % by === 0 ? a.step / by : 1;
    return range(Math.floor(a.min / by), Math.floor(a.max / by), step || 1);
  }
  return number(0, 2 ** (bits - n) - 1);
}

function shiftRightSigned(a: Val, n: number): Val {
  const by = 2 ** n;
  if (isNumber(a)) return number(Math.floor(a.min / by), Math.floor(a.max / by));
  return number(-(2 ** (63 - n)), 2 ** (63 - n) - 1);
}

/** By zero it is 0. */
function divide(a: Val, b: Val): Val {
  if (!isNumber(a) || a.min < 0) return anything();
  const by = isNumber(b) && b.min > 0 ? b : undefined;
  return by === undefined ? number(0, a.max) : number(Math.floor(a.min / by.max), Math.floor(a.max / by.min));
}

/** By zero it is the dividend. */
function remainder(a: Val, b: Val): Val {
  const rest = isNumber(b) && b.min > 0 ? b.max - 1 : undefined;
  if (isNumber(a) && a.min >= 0) {
    if (rest !== undefined && isNumber(b) && a.max < b.min) return a;
    return number(0, rest === undefined ? a.max : Math.min(a.max, rest));
  }
  return rest === undefined ? anything() : number(0, rest);
}

/** Both operands are numbers of this width, or anything; the result may be wider. `signed`: division and remainder. */
function operate(op: AluOp, a: Val, b: Val, bits: 32 | 64, signed: boolean): Val {
  const both = isNumber(a) && isNumber(b);
  const shift = isConstant(b) ? b.min & (bits - 1) : -1;
  switch (op) {
    case "add":
      return both ? add(a, b) : anything();
    case "sub":
      return both ? subtract(a, b) : anything();
    case "mul":
      return both ? multiply(a, b) : anything();
    case "and":
      return isConstant(a) ? and(b, a) : and(a, b);
    case "or":
      return or(a, b);
    case "xor":
      return xor(a, b);
    case "lsh":
      return shift < 0 ? anything() : shiftLeft(a, shift);
    case "rsh":
      return shift < 0 ? logicalByAny(a) : shiftRight(a, shift, bits);
    case "arsh":
      return shift < 0 ? anything() : shiftRightSigned(bits === 32 ? signExtended(a, 32) : a, shift);
    case "div":
      return signed && !bothPositive(a, b, bits) ? anything() : divide(a, b);
    case "mod":
      return signed && !bothPositive(a, b, bits) ? anything() : remainder(a, b);
    default:
      return anything();
  }
}

function logicalByAny(a: Val): Val {
  return isNumber(a) && a.min >= 0 ? number(0, a.max) : anything();
}

/** Then signed and unsigned are the same. */
function bothPositive(a: Val, b: Val, bits: 32 | 64): boolean {
  const top = bits === 32 ? 0x7fff_ffff : LIMIT;
  return notNegative(a, b) && a.max <= top && b.max <= top;
}

/** a op b on 64 bits. */
export function operate64(op: AluOp, a: Val, b: Val, signed: boolean): Val {
  return operate(op, a, b, 64, signed);
}

/** a op b on the lower halves; the upper half of the result is 0. */
export function operate32(op: AluOp, a: Val, b: Val, signed: boolean): Val {
  return lowHalf(operate(op, lowHalf(a), lowHalf(b), 32, signed));
}

export function negate64(a: Val): Val {
  return isNumber(a) ? range(-a.max, -a.min, a.step) : anything();
}

export function negate32(a: Val): Val {
  return lowHalf(negate64(lowHalf(a)));
}
