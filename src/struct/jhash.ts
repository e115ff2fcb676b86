/**
 * Bob Jenkins' lookup3 hash as the kernel uses it (public domain algorithm), so that bucket order, iteration order and
 * bloom filter bits are the kernel's. Results are signed 32-bit numbers.
 */
import type { Memory } from "../mem/memory.ts";

export const JHASH_INIT: number = 0xdead_beef | 0;

/** Hash of `size` bytes at any address, as jhash() does; where the size is a multiple of 4, jhash2() gives the same. */
export function jhash(mem: Memory, address: number, size: number, seed: number): number {
  const init = (JHASH_INIT + size + seed) | 0;
  if (((address | size) & 3) !== 0) return bytes(mem.u8, address, size, init);
  const { i32 } = mem;
  if (size !== 4) return words(i32, address >>> 2, size >>> 2, init);
  return final(init, init, (init + i32[address >>> 2]!) | 0);
}

function words(i32: Int32Array, start: number, count: number, init: number): number {
  let a = init;
  let b = init;
  let c = init;
  let at = start;
  let left = count;
  for (; left > 3; left -= 3, at += 3) {
    a = (a + i32[at]!) | 0;
    b = (b + i32[at + 1]!) | 0;
    c = (c + i32[at + 2]!) | 0;
    // one round of mixing, written out: the loop is the hash of long keys
    a = ((a - c) | 0) ^ ((c << 4) | (c >>> 28));
    c = (c + b) | 0;
    b = ((b - a) | 0) ^ ((a << 6) | (a >>> 26));
    a = (a + c) | 0;
    c = ((c - b) | 0) ^ ((b << 8) | (b >>> 24));
    b = (b + a) | 0;
    a = ((a - c) | 0) ^ ((c << 16) | (c >>> 16));
    c = (c + b) | 0;
    b = ((b - a) | 0) ^ ((a << 19) | (a >>> 13));
    a = (a + c) | 0;
    c = ((c - b) | 0) ^ ((b << 4) | (b >>> 28));
    b = (b + a) | 0;
  }
  if (left === 0) return c;
  a = (a + i32[at]!) | 0;
  if (left > 1) b = (b + i32[at + 1]!) | 0;
  if (left > 2) c = (c + i32[at + 2]!) | 0;
  return final(c, b, a);
}

function bytes(u8: Uint8Array, start: number, size: number, init: number): number {
  let a = init;
  let b = init;
  let c = init;
  let at = start;
  let left = size;
  for (; left > 12; left -= 12, at += 12) {
    a = (a + le32(u8, at, 4)) | 0;
    b = (b + le32(u8, at + 4, 4)) | 0;
    c = (c + le32(u8, at + 8, 4)) | 0;
    a = ((a - c) | 0) ^ ((c << 4) | (c >>> 28));
    c = (c + b) | 0;
    b = ((b - a) | 0) ^ ((a << 6) | (a >>> 26));
    a = (a + c) | 0;
    c = ((c - b) | 0) ^ ((b << 8) | (b >>> 24));
    b = (b + a) | 0;
    a = ((a - c) | 0) ^ ((c << 16) | (c >>> 16));
    c = (c + b) | 0;
    b = ((b - a) | 0) ^ ((a << 19) | (a >>> 13));
    a = (a + c) | 0;
    c = ((c - b) | 0) ^ ((b << 4) | (b >>> 28));
    b = (b + a) | 0;
  }
  if (left === 0) return c;
  a = (a + le32(u8, at, Math.min(left, 4))) | 0;
  if (left > 4) b = (b + le32(u8, at + 4, Math.min(left - 4, 4))) | 0;
  if (left > 8) c = (c + le32(u8, at + 8, left - 8)) | 0;
  return final(c, b, a);
}

function le32(u8: Uint8Array, at: number, n: number): number {
  let word = 0;
  for (let i = 0; i < n; i++) word |= u8[at + i]! << (8 * i);
  return word;
}

function final(c0: number, b0: number, a0: number): number {
  let a = a0;
  let b = b0;
  let c = c0;
  c = ((c ^ b) - ((b << 14) | (b >>> 18))) | 0;
  a = ((a ^ c) - ((c << 11) | (c >>> 21))) | 0;
  b = ((b ^ a) - ((a << 25) | (a >>> 7))) | 0;
  c = ((c ^ b) - ((b << 16) | (b >>> 16))) | 0;
  a = ((a ^ c) - ((c << 4) | (c >>> 28))) | 0;
  b = ((b ^ a) - ((a << 14) | (a >>> 18))) | 0;
  c = ((c ^ b) - ((b << 24) | (b >>> 8))) | 0;
  return c;
}
