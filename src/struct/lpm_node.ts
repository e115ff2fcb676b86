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
 * A node: length of the prefix with the bits of its table (0: it has none; LIST_BITS: a list) in the upper half, address
 * of the value (0: a fork), parent, children, address of the table or list and changes since it was judged; then the
 * key's data as given.
 */
export const LEN = 0;
export const BITS_SHIFT = 16;
/** What is at least this has a table or a list. */
export const TABLED: number = 1 << BITS_SHIFT;
const LIST_BITS = 31;
/** What is at least this has a list. */
export const LISTED: number = LIST_BITS << BITS_SHIFT;
export const VALUE = 4;
export const PARENT = 8;
export const CHILD = 12;
export const TABLE = 20;
export const CHANGES = 24;
export const DATA = 28;

/**
 * What a table has in an entry: a node; or, with the lowest bit set, the table of that node itself, so that a search
 * needs not look at the node: address of the table, its bits less MIN_BITS, and how much longer the node's prefix is
 * than what led there; or, with only the second bit set, the list of that node.
 */
export const MIN_BITS = 6;
export const ENTRY_TABLE = 1;
export const ENTRY_SKIP_SHIFT = 1;
export const ENTRY_SKIP_MAX = 7;
export const ENTRY_BITS_SHIFT = 4;
export const ENTRY_ADDRESS: number = ~0xff;
export const ENTRY_LIST = 2;

/**
 * A list: a word with the length of its node's prefix, the count of rows and the binary logarithm of its bytes; the
 * node; the prefix itself in words of 32 bits, highest first; then the rows (see `lpm_list.ts`).
 */
export const LIST_NODE = 4;
export const LIST_CHECK = 8;
export const LIST_COUNT_SHIFT = 16;
export const LIST_COUNT_MAX = 0xff;
export const LIST_BYTES_SHIFT = 24;
export const ROW_SIZE = 8;

export function lenOf(u32: Uint32Array, node: number): number {
  return u32[node >>> 2]! & (TABLED - 1);
}

/** Bits of a node's table, or 0. */
export function tableBits(u32: Uint32Array, node: number): number {
  const word = u32[node >>> 2]!;
  return word < LISTED ? word >>> BITS_SHIFT : 0;
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

/** 32 bits of the data at this address from bit `from` on; what is behind the data counts for nothing. */
export function wordAt(mem: Memory, data: number, from: number): number {
  const at = data + (from >>> 3);
  const shift = from & 7;
  return (mem.view.getInt32(at) << shift) | (mem.u8[at + 4]! >>> (8 - shift));
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
