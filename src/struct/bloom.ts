/**
 * The bits behind BLOOM_FILTER, bit for bit the kernel's under BPF_F_ZERO_SEED: each value sets one bit for each hash
 * function, and asking about a value looks at the same bits. Bits are never cleared. Kernel counterpart:
 * bloom_filter.c.
 */
import { AREA_NODES, allocAreas, freeAreas } from "../mem/alloc.ts";
import { roundUpPow2 } from "../mem/layout.ts";
import type { Memory } from "../mem/memory.ts";
import { BPF_F_ZERO_SEED, E2BIG, EINVAL, ENOENT, ENOMEM } from "../uapi/index.ts";
import { checkFlags, KMALLOC_MAX, NUMA_AND_ACCESS } from "./check.ts";
import type { MapCreateAttr, MapEnv } from "./env.ts";
import { jhash } from "./jhash.ts";
import { MAP_PRIVATE, MAP_VALUE_SIZE } from "./map.ts";

export const BF_BITS: number = MAP_PRIVATE;
/** Number of bits - 1. */
export const BF_MASK: number = MAP_PRIVATE + 4;
export const BF_SEED: number = MAP_PRIVATE + 8;
export const BF_HASHES: number = MAP_PRIVATE + 12;

/** map_extra: its low four bits are the number of hash functions. */
const HASHES_MAX = 15;
const HASHES_DEFAULT = 5;
const MIN_BITS = 64;
const MAX_POW2_BITS = 2 ** 31;
const U32_MAX = 0xffff_ffff;

/** The value's size alone; the rest is judged when the map is allocated, as in the kernel. */
export function allocCheck(_env: MapEnv, attr: MapCreateAttr): number {
  return attr.value_size > KMALLOC_MAX ? -E2BIG : 0;
}

function checkRest(attr: MapCreateAttr): number {
  if (attr.key_size !== 0 || attr.value_size === 0 || attr.max_entries === 0) return -EINVAL;
  if (attr.map_extra_lo > HASHES_MAX || attr.map_extra_hi !== 0) return -EINVAL;
  return checkFlags(attr, NUMA_AND_ACCESS | BPF_F_ZERO_SEED);
}

/** Number of bits - 1. The optimum is entries x hashes / ln 2; 7/5 is close to 1 / ln 2. */
function maskFor(entries: number, hashes: number): number {
  const bits = Math.floor((entries * hashes) / 5) * 7;
  if (bits > MAX_POW2_BITS) return U32_MAX;
  if (bits <= MIN_BITS) return MIN_BITS - 1;
  return roundUpPow2(bits) - 1;
}

function hashesOf(mapExtra: number): number {
  return mapExtra === 0 ? HASHES_DEFAULT : mapExtra;
}

/** Bits of a filter for so many entries with so many hash functions, 0 for the default. */
export function bitsOf(entries: number, mapExtra: number): number {
  return maskFor(entries, hashesOf(mapExtra)) + 1;
}

function bytesOf(mask: number): number {
  return (mask + 1) / 8;
}

export function alloc(env: MapEnv, map: number, attr: MapCreateAttr): number {
  const bad = checkRest(attr);
  if (bad !== 0) return bad;
  const { u32 } = env.mem;
  const hashes = hashesOf(attr.map_extra_lo);
  const mask = maskFor(attr.max_entries, hashes);
  const bits = allocAreas(env.mem, bytesOf(mask), 1, { kind: AREA_NODES, map });
  if (bits === 0) return -ENOMEM;
  u32[(map + BF_BITS) >>> 2] = bits;
  u32[(map + BF_MASK) >>> 2] = mask;
  u32[(map + BF_SEED) >>> 2] = attr.map_flags & BPF_F_ZERO_SEED ? 0 : env.random32();
  u32[(map + BF_HASHES) >>> 2] = hashes;
  return 0;
}

export function free(env: MapEnv, map: number): void {
  const { u32 } = env.mem;
  freeAreas(env.mem, u32[(map + BF_BITS) >>> 2]!, bytesOf(u32[(map + BF_MASK) >>> 2]!), 1);
}

/** Without a key type; a value has no key that could have one. */
export function checkBtf(_env: MapEnv, _map: number, _btf: unknown, keyId: number): number {
  return keyId === 0 ? 0 : -EINVAL;
}

/** From commands and programs; takes no lock. */
export function push(env: MapEnv, map: number, value: number, flags: number): number {
  if (flags !== 0) return -EINVAL;
  const { mem } = env;
  const { u32 } = mem;
  const d = map >>> 2;
  const bits = u32[d + (BF_BITS >>> 2)]! >>> 2;
  const mask = u32[d + (BF_MASK >>> 2)]!;
  const size = u32[d + (MAP_VALUE_SIZE >>> 2)]!;
  let seed = u32[d + (BF_SEED >>> 2)]!;
  for (const end = seed + u32[d + (BF_HASHES >>> 2)]!; seed < end; seed++) {
    const bit = jhash(mem, value, size, seed) & mask;
    setBit(mem, bits + (bit >>> 5), 1 << (bit & 31));
  }
  return 0;
}

/** Sets a bit. Two clients may set bits of one word at the same time, and neither may be lost. */
function setBit(mem: Memory, word: number, bit: number): void {
  const { i32 } = mem;
  let old = i32[word]!;
  if (!mem.shared) {
    i32[word] = old | bit;
    return;
  }
  while ((old & bit) === 0) {
    const seen = mem.atomics.cas32(word * 4, old, old | bit);
    if (seen === old) return;
    old = seen;
  }
}

/** 0: the value may have been pushed; -ENOENT: it was not. */
export function peek(env: MapEnv, map: number, value: number): number {
  const { mem } = env;
  const { u32, i32 } = mem;
  const d = map >>> 2;
  const bits = u32[d + (BF_BITS >>> 2)]! >>> 2;
  const mask = u32[d + (BF_MASK >>> 2)]!;
  const size = u32[d + (MAP_VALUE_SIZE >>> 2)]!;
  let seed = u32[d + (BF_SEED >>> 2)]!;
  for (const end = seed + u32[d + (BF_HASHES >>> 2)]!; seed < end; seed++) {
    const bit = jhash(mem, value, size, seed) & mask;
    if ((i32[bits + (bit >>> 5)]! & (1 << (bit & 31))) === 0) return -ENOENT;
  }
  return 0;
}
