/** What the files of the LPM trie share: fields of the map's descriptor, of nodes and keys, and comparing bits. */
import type { Memory } from "../mem/memory.ts";
import { MAP_KEY_SIZE, MAP_PRIVATE } from "./map.ts";
import { POOL_SIZE } from "./pool.ts";

export const LPM_ROOT: number = MAP_PRIVATE;
/** Prefixes with a value. */
export const LPM_COUNT: number = MAP_PRIVATE + 4;
/** Odd while the trie is being changed: see `lpm_ops.ts`. */
export const LPM_SEQ: number = MAP_PRIVATE + 8;
/** What `lpm_table.ts` needs: 20 bytes. */
export const LPM_TABLE_FIELDS: number = MAP_PRIVATE + 12;
export const LPM_NODES: number = MAP_PRIVATE + 32;
export const LPM_VALUES: number = LPM_NODES + POOL_SIZE;
export const LPM_TABLES: number = LPM_VALUES + POOL_SIZE;

/**
 * A node: length of the prefix with the bits of its table (0: it has none) in the upper half, address of the value (0: a
 * fork), parent, children, address of the table; then the key's data as given.
 */
export const LEN = 0;
export const BITS_SHIFT = 16;
/** What is at least this has a table. */
export const TABLED: number = 1 << BITS_SHIFT;
export const VALUE = 4;
export const PARENT = 8;
export const CHILD = 12;
export const TABLE = 20;
export const DATA = 24;

export function lenOf(u32: Uint32Array, node: number): number {
  return u32[node >>> 2]! & (TABLED - 1);
}

/** A key: u32 prefixlen, then data; the first bit is the highest of the first byte. */
export const KEY_DATA = 4;

export function maxPrefix(mem: Memory, map: number): number {
  return (mem.u32[(map + MAP_KEY_SIZE) >>> 2]! - KEY_DATA) * 8;
}

/** prefixlen of the key at any address. */
export function prefixOf(mem: Memory, key: number): number {
  return (key & 3) === 0 ? mem.u32[key >>> 2]! : mem.view.getUint32(key, true);
}

/** Bit `index` of the data at this address. */
export function bit(u8: Uint8Array, data: number, index: number): number {
  return (u8[data + (index >>> 3)]! >>> (7 - (index & 7))) & 1;
}

/** Bytes the other way round: the first byte of memory becomes the highest. */
export function swap(word: number): number {
  return (word << 24) | ((word & 0xff00) << 8) | ((word >>> 8) & 0xff00) | (word >>> 24);
}

/** How many bits the data at two addresses have in common, at most `limit`. `a` is aligned. */
export function commonBits(mem: Memory, a: number, b: number, limit: number): number {
  let at = 0;
  if ((b & 3) === 0) {
    const { i32 } = mem;
    for (; at + 32 <= limit; at += 32) {
      const x = i32[(a + (at >>> 3)) >>> 2]! ^ i32[(b + (at >>> 3)) >>> 2]!;
      if (x !== 0) return at + Math.clz32(swap(x));
    }
  }
  const { u8 } = mem;
  for (; at < limit; at += 8) {
    const x = u8[a + (at >>> 3)]! ^ u8[b + (at >>> 3)]!;
    if (x !== 0) return Math.min(limit, at + Math.clz32(x) - 24);
  }
  return limit;
}
