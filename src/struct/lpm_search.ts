/**
 * Longest prefix match in an LPM trie. A search goes down by single bits of the key, or by many where a node has a
 * table, without looking at prefixes. A list has the answer; else it compares once where it ends, and goes up from there
 * to the first node that matches.
 */
import type { Memory } from "../mem/memory.ts";
import { lookInList, NO_ROW } from "./lpm_list.ts";
import {
  BITS_SHIFT,
  bit,
  CHILD,
  commonBits,
  DATA,
  ENTRY_ADDRESS,
  ENTRY_BITS_SHIFT,
  ENTRY_LIST,
  ENTRY_SKIP_MAX,
  ENTRY_SKIP_SHIFT,
  ENTRY_TABLE,
  KEY_DATA,
  LIST_NODE,
  LISTED,
  LPM_ROOT,
  lenOf,
  MIN_BITS,
  PARENT,
  prefixOf,
  TABLE,
  TABLED,
  VALUE,
} from "./lpm_node.ts";
import { MAP_KEY_SIZE } from "./map.ts";

/** Longest prefix of the longest key. */
const MAX_LEN = 2048;
/** No node has more bytes than these. */
const NODE_MAX = 512;

/**
 * The address of the value of the longest prefix of this key, or 0. A reader of a shared host may be led astray by a
 * writer, but not without end; it finds out afterwards.
 */
export function searchTrie(mem: Memory, map: number, key: number): number {
  const { u32 } = mem;
  const len = prefixOf(mem, key);
  const size = u32[(map + MAP_KEY_SIZE) >>> 2]!;
  const root = u32[(map + LPM_ROOT) >>> 2]!;
  const most = (size - KEY_DATA) * 8;
  if (root === 0 || len > most) return 0;
  return search(mem, key + KEY_DATA, len, root, most);
}

/** No way has more than `most` bits, nor more steps than that: each is a bit further. */
function search(mem: Memory, data: number, len: number, root: number, most: number): number {
  const { u32, view } = mem;
  let node = root;
  for (let steps = 0; steps <= most; steps++) {
    const word = u32[node >>> 2]!;
    let from = word & (TABLED - 1);
    if (from >= len) break;
    const key = view.getInt32(data + (from >>> 3)) << (from & 7);
    let list = 0;
    if (word >= LISTED) {
      list = u32[(node + TABLE) >>> 2]!;
    } else if (word >= TABLED) {
      let bits = word >>> BITS_SHIFT;
      let entry = u32[(u32[(node + TABLE) >>> 2]! >>> 2) + (key >>> (32 - bits))]!;
      while ((entry & ENTRY_TABLE) !== 0) {
        from += bits + ((entry >>> ENTRY_SKIP_SHIFT) & ENTRY_SKIP_MAX);
        if (from >= most) return 0;
        bits = ((entry >>> ENTRY_BITS_SHIFT) & 15) + MIN_BITS;
        entry =
          u32[((entry & ENTRY_ADDRESS) >>> 2) + ((view.getInt32(data + (from >>> 3)) << (from & 7)) >>> (32 - bits))]!;
      }
      if ((entry & ENTRY_LIST) === 0) {
        node = entry;
        // Nothing further down has these bits.
        if (lenOf(u32, node) < from + bits) break;
        continue;
      }
      list = entry - ENTRY_LIST;
    }
    if (list !== 0 && len === most) {
      const to = lookInList(mem, list, data, most);
      if (to === NO_ROW) {
        node = u32[(list + LIST_NODE) >>> 2]!;
        break;
      }
      if ((to & 1) === 0) return to;
      node = to - 1;
      continue;
    }
    if (list !== 0) {
      // Its rows may be longer than what is looked for.
      node = u32[(list + LIST_NODE) >>> 2]!;
      from = lenOf(u32, node);
      if (from >= len) break;
    }
    const child = u32[((node + CHILD) >>> 2) + bit(mem.u8, data, from)]!;
    if (child === 0) break;
    node = child;
  }
  // Who was led astray may have ended where no node can be.
  if (node > mem.byteLength - NODE_MAX) return 0;
  return longest(u32, node, commonBits(mem, node + DATA, data, Math.min(lenOf(u32, node), len)));
}

/** The value of the first node with one, from this one up, that has at most `match` bits; or 0. */
function longest(u32: Uint32Array, start: number, match: number): number {
  let node = start;
  for (let steps = 0; node !== 0 && steps <= MAX_LEN; steps++) {
    const value = u32[(node + VALUE) >>> 2]!;
    if (value !== 0 && lenOf(u32, node) <= match) return value;
    node = u32[(node + PARENT) >>> 2]!;
  }
  return 0;
}
