/**
 * Lists that spare LPM searches the nodes of a small subtree. A node may have one: a row for each prefix below it, and
 * for its own, the longest first, so that the first row which fits is the answer. A row is a word with the bits that
 * the prefix has behind the node's, a one, and zeros; and the address of the value. What is at least ROW_BITS longer has
 * one row for the first node of that length, with its address and the lowest bit set: the search goes on there. Nodes
 * that have rows, or forks between them, have no table and no list.
 *
 * All lists are kept right with every change, and none is needed: without memory there is none.
 */
import { alloc } from "../mem/alloc.ts";
import type { Memory } from "../mem/memory.ts";
import {
  CHILD,
  DATA,
  LIST_BYTES_SHIFT,
  LIST_CHECK,
  LIST_COUNT_MAX,
  LIST_COUNT_SHIFT,
  LIST_NODE,
  LISTED,
  lenOf,
  PARENT,
  ROW_SIZE,
  TABLE,
  TABLED,
  tableBits,
  VALUE,
  wordAt,
} from "./lpm_node.ts";
import { dropTable, setList } from "./lpm_table.ts";

/** A list of more rows takes longer than a way of a few nodes. */
const MAX_ROWS = 16;
const ROW_BITS = 31;
const ROW_WORDS: number = ROW_SIZE >>> 2;
/** Longer prefixes of nodes would make lists large. */
const MAX_TOP = 128;

/** What `lookInList` found when no row fits. */
export const NO_ROW = 0;

/** The address of the longest prefix's value; that of the node where to go on, plus one; or NO_ROW. */
export function lookInList(mem: Memory, list: number, data: number, most: number): number {
  const { u32, i32, view } = mem;
  const head = u32[list >>> 2]!;
  const len = head & (TABLED - 1);
  // A reader of a shared host that was led astray must not read behind the memory.
  if (len >= most) return NO_ROW;
  let at = (list + LIST_CHECK) >>> 2;
  for (let i = 0; i < len; i += 32, at++) {
    const differ = view.getInt32(data + (i >>> 3)) ^ i32[at]!;
    if (differ !== 0 && i + Math.clz32(differ) < len) return NO_ROW;
  }
  const key = wordAt(mem, data, len);
  for (const end = at + ((head >>> LIST_COUNT_SHIFT) & LIST_COUNT_MAX) * ROW_WORDS; at < end; at += ROW_WORDS) {
    const row = i32[at]!;
    if (((row ^ key) & (-(row & -row) << 1)) === 0) return u32[at + 1]!;
  }
  return NO_ROW;
}

/** Rows of the list that a node may have, as far as MAX_ROWS + 1. */
function countRows(u32: Uint32Array, node: number, deep: number): number {
  if (lenOf(u32, node) >= deep) return 1;
  let count = u32[(node + VALUE) >>> 2] === 0 ? 0 : 1;
  for (let at = node + CHILD; at <= node + CHILD + 4 && count <= MAX_ROWS; at += 4) {
    const child = u32[at >>> 2]!;
    if (child !== 0) count += countRows(u32, child, deep);
  }
  return count;
}

/** Word index of the first row. */
function firstRow(u32: Uint32Array, list: number): number {
  return (list + LIST_CHECK + ((lenOf(u32, list) + 31) >>> 5) * 4) >>> 2;
}

function rowCount(u32: Uint32Array, list: number): number {
  return (u32[list >>> 2]! >>> LIST_COUNT_SHIFT) & LIST_COUNT_MAX;
}

function addCount(u32: Uint32Array, list: number, by: number): void {
  u32[list >>> 2] = u32[list >>> 2]! + (by << LIST_COUNT_SHIFT);
}

/** Is there room for one row more? */
function hasRoom(u32: Uint32Array, list: number): boolean {
  const end = list + (1 << (u32[list >>> 2]! >>> LIST_BYTES_SHIFT));
  return (firstRow(u32, list) << 2) + (rowCount(u32, list) + 1) * ROW_SIZE <= end && rowCount(u32, list) < MAX_ROWS;
}

/** Puts a row in front of the shorter ones. The list has room. */
function addRow(mem: Memory, list: number, node: number, to: number): void {
  const { u32, i32 } = mem;
  const top = lenOf(u32, list);
  const lowest = 1 << (ROW_BITS - Math.min(ROW_BITS, lenOf(u32, node) - top));
  const first = firstRow(u32, list);
  let at = first + rowCount(u32, list) * ROW_WORDS;
  for (; at > first; at -= ROW_WORDS) {
    const row = i32[at - ROW_WORDS]!;
    if ((row & -row) >>> 0 <= lowest >>> 0) break;
    i32[at] = row;
    u32[at + 1] = u32[at - 1]!;
  }
  i32[at] = (wordAt(mem, node + DATA, top) & (-lowest << 1)) | lowest;
  u32[at + 1] = to;
  addCount(u32, list, 1);
}

/** Adds the rows for a node and what is below it; takes tables and lists away there. */
function addRows(mem: Memory, list: number, node: number): void {
  const { u32 } = mem;
  if (lenOf(u32, node) - lenOf(u32, list) >= ROW_BITS) {
    addRow(mem, list, node, node + 1);
    return;
  }
  dropTable(mem, node);
  const value = u32[(node + VALUE) >>> 2]!;
  if (value !== 0) addRow(mem, list, node, value);
  for (let at = node + CHILD; at <= node + CHILD + 4; at += 4) {
    const child = u32[at >>> 2]!;
    if (child !== 0) addRows(mem, list, child);
  }
}

/** Gives a node a list, in place of what it has, when it has few prefixes. False: too many. */
function makeList(mem: Memory, node: number): boolean {
  const { u32, i32, view } = mem;
  dropTable(mem, node);
  const len = lenOf(u32, node);
  const count = countRows(u32, node, len + ROW_BITS);
  if (count > MAX_ROWS) return false;
  if (count < 2 || len > MAX_TOP) return true;
  const log = 32 - Math.clz32(LIST_CHECK + ((len + 31) >>> 5) * 4 + count * ROW_SIZE - 1);
  const list = alloc(mem, 1 << log);
  if (list === 0) return true;
  u32[list >>> 2] = len | (log << LIST_BYTES_SHIFT);
  u32[(list + LIST_NODE) >>> 2] = node;
  for (let i = 0, at = (list + LIST_CHECK) >>> 2; i < len; i += 32, at++) {
    i32[at] = view.getInt32(node + DATA + (i >>> 3));
  }
  addRows(mem, list, node);
  setList(mem, node, list);
  return true;
}

/** Gives lists to a node, or to the first ones below it that have few prefixes. */
export function makeLists(mem: Memory, node: number): void {
  if (node === 0 || tableBits(mem.u32, node) !== 0 || makeList(mem, node)) return;
  makeLists(mem, mem.u32[(node + CHILD) >>> 2]!);
  makeLists(mem, mem.u32[(node + CHILD + 4) >>> 2]!);
}

/** The nearest node with a table or a list, from this one up, or 0. */
function marked(u32: Uint32Array, node: number): number {
  let above = node;
  while (above !== 0 && u32[above >>> 2]! < TABLED) above = u32[(above + PARENT) >>> 2]!;
  return above;
}

/** The node whose list has this node in it, or 0. */
function listOver(u32: Uint32Array, node: number): number {
  const above = marked(u32, node);
  return above !== 0 && u32[above >>> 2]! >= LISTED ? above : 0;
}

/**
 * After a change at a node (or 0: above the root): a list for it and for as much around it as there may be, when it is in
 * none. Returns the node that has its list, or 0.
 */
export function listFor(mem: Memory, node: number): number {
  const { u32 } = mem;
  const above = marked(u32, node);
  if (node === 0 || (above !== 0 && u32[above >>> 2]! >= LISTED)) return above;
  const end = above === 0 ? 0 : lenOf(u32, above) + tableBits(u32, above);
  if (lenOf(u32, node) < end) return 0;
  let top = node;
  for (let up = u32[(top + PARENT) >>> 2]!; up !== above && lenOf(u32, up) >= end; up = u32[(up + PARENT) >>> 2]!) {
    if (countRows(u32, up, lenOf(u32, up) + ROW_BITS) > MAX_ROWS) break;
    top = up;
  }
  makeLists(mem, top);
  return listOver(u32, node);
}

/** A node has another value than before (0: none): called once it is in the trie, and before it is taken out. */
export function tellValue(mem: Memory, node: number, old: number, value: number): void {
  const { u32, i32 } = mem;
  const top = listOver(u32, node);
  if (top === 0) return;
  const list = u32[(top + TABLE) >>> 2]!;
  if (lenOf(u32, node) - lenOf(u32, top) >= ROW_BITS) {
    // Its row, if it has one, leads to the node that was the first.
    if (old === 0) makeLists(mem, top);
    else if (value === 0) dropTable(mem, top);
    return;
  }
  if (old === 0) {
    if (hasRoom(u32, list)) addRow(mem, list, node, value);
    else makeLists(mem, top);
    return;
  }
  const first = firstRow(u32, list);
  const last = first + (rowCount(u32, list) - 1) * ROW_WORDS;
  let at = first;
  while (u32[at + 1] !== old) at += ROW_WORDS;
  if (value !== 0) {
    u32[at + 1] = value;
    return;
  }
  for (; at < last; at += ROW_WORDS) {
    i32[at] = i32[at + ROW_WORDS]!;
    u32[at + 1] = u32[at + ROW_WORDS + 1]!;
  }
  addCount(u32, list, -1);
}
