/** The host's random numbers: xoshiro128**, its state in the superblock, so that a seed repeats a whole run. */
import { SB_RANDOM } from "./layout.ts";
import type { Memory } from "./memory.ts";

export function seedRandom(mem: Memory, seed: number): void {
  // splitmix32 spreads any seed, 0 too, over the four words.
  let z = seed >>> 0;
  for (let i = 0; i < 4; i++) {
    z = (z + 0x9e37_79b9) >>> 0;
    let t = z ^ (z >>> 16);
    t = Math.imul(t, 0x21f0_aaad);
    t ^= t >>> 15;
    t = Math.imul(t, 0x735a_2d97);
    mem.u32[(SB_RANDOM >>> 2) + i] = (t ^ (t >>> 15)) >>> 0;
  }
}

/** The next number, 0 .. 2^32 - 1. Clients of a shared host may race here: any number is as good as another. */
export function random32(mem: Memory): number {
  const { u32 } = mem;
  const at = SB_RANDOM >>> 2;
  const s1 = u32[at + 1]!;
  const x = Math.imul(s1, 5);
  const result = Math.imul((x << 7) | (x >>> 25), 9) >>> 0;
  const s2 = u32[at + 2]! ^ u32[at]!;
  const s3 = u32[at + 3]! ^ s1;
  u32[at + 1] = s1 ^ s2;
  u32[at] = u32[at]! ^ s3;
  u32[at + 2] = s2 ^ (s1 << 9);
  u32[at + 3] = (s3 << 11) | (s3 >>> 21);
  return result;
}
