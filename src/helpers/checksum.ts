/** The Internet checksum (RFC 1071): sums of little-endian words, where a carry comes round. */
import type { Memory } from "../mem/memory.ts";

/** One's complement sum of two u32. */
export function addSums(a: number, b: number): number {
  const sum = (a >>> 0) + (b >>> 0);
  return sum > 0xffff_ffff ? (sum % 0x1_0000_0000) + 1 : sum;
}

/** `a` without `b`. */
export function subSums(a: number, b: number): number {
  return addSums(a, ~b >>> 0);
}

/** `sum` and all bytes of the memory; the last word may be filled up with zeros. */
export function sumOf(mem: Memory, address: number, size: number, sum: number): number {
  const end = address + size;
  let at = address;
  let total = sum;
  for (; at + 4 <= end; at += 4) total = addSums(total, mem.view.getUint32(at, true));
  let last = 0;
  for (let shift = 0; at < end; at++, shift += 8) last |= mem.u8[at]! << shift;
  return addSums(total, last);
}

/** A sum of 32 bits in 16. */
export function foldSum(sum: number): number {
  return addSums(sum, ((sum << 16) | (sum >>> 16)) >>> 0) >>> 16;
}

/** What stands in a header for a sum: its complement in 16 bits. */
export function checkOf(sum: number): number {
  return ~foldSum(sum) & 0xffff;
}
