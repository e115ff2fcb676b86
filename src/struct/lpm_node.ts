/** What the files of the LPM trie share: fields of the map's descriptor, of nodes and keys, and comparing bits. */
import type { Memory } from "../mem/memory.ts";
import { MAP_KEY_SIZE, MAP_PRIVATE } from "./map.ts";
import { POOL_SIZE } from "./pool.ts";

export const LPM_ROOT: number = MAP_PRIVATE;
/** Prefixes with a value. */
export const LPM_COUNT: number = MAP_PRIVATE + 4;
/** Odd while the trie is being changed: see `lpm_ops.ts`. */
export const LPM_SEQ: number = MAP_PRIVATE + 8;
export const LPM_NODES: number = MAP_PRIVATE + 16;
export const LPM_VALUES: number = LPM_NODES + POOL_SIZE;

/**
 * A node: length of the prefix with the bits of its table (0: it has none) in the upper half, address of the value (0: a
 * fork), parent, children, address of the table and changes since it was judged; then the key's data as given.
 */
export const LEN = 0;
export const BITS_SHIFT = 16;
/** What is at least this has a table. */
export const TABLED: number = 1 << BITS_SHIFT;
export const VALUE = 4;
export const PARENT = 8;
export const CHILD = 12;
export const TABLE = 20;
export const CHANGES = 24;
export const DATA = 28;

/**
 * What a table has in an entry: a node; or, with the lowest bit set, the table of that node itself, so that a search
 * needs not look at the node: address of the table, its bits less MIN_BITS, and how much longer the node's prefix is
 * than what led there.
 */
export const MIN_BITS = 6;
export const ENTRY_TABLE = 1;
export const ENTRY_SKIP_SHIFT = 1;
export const ENTRY_SKIP_MAX = 7;
export const ENTRY_BITS_SHIFT = 4;
export const ENTRY_ADDRESS: number = ~0xff;

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

/**
 * How many bits the data at two addresses have in common, at most `limit`. The last word may reach behind the data, as
 * areas have room for: what differs there is cut off.
 */
export function commonBits(mem: Memory, a: number, b: number, limit: number): number {
  const { view } = mem;
  for (let at = 0; at < limit; at += 32) {
    const x = view.getInt32(a + (at >>> 3)) ^ view.getInt32(b + (at >>> 3));
    if (x !== 0) return Math.min(limit, at + Math.clz32(x));
  }
  return limit;
}
