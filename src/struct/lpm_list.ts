/**
 * Lists that spare LPM searches the nodes of a small subtree. A node may have one: a row for each prefix below it, and
 * for its own, longer prefixes before those that they begin with, so that the first row which fits is the answer. A row
 * is a word with the bits that the prefix has behind the node's, a one, and zeros; and the address of the value. What
 * is longer than ROW_BITS has one row for the first node of that length, with its address and the lowest bit set: the
 * search goes on there. Within a list no node has a table or a list.
 *
 * Every change below a node with a list makes the list anew. None is needed: without memory there is none.
 */
import { alloc } from "../mem/alloc.ts";
import type { Memory } from "../mem/memory.ts";
import {
  CHILD,
  DATA,
  LIST_CHECK,
  LIST_COUNT_SHIFT,
  LIST_NODE,
  LISTED,
  lenOf,
  listSize,
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
  for (const end = at + (head >>> LIST_COUNT_SHIFT) * (ROW_SIZE >>> 2); at < end; at += ROW_SIZE >>> 2) {
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

/** Writes the rows for a node and what is below it; takes tables and lists away there. Returns where the next row goes. */
function fillRows(mem: Memory, node: number, top: number, start: number): number {
  const { u32, i32 } = mem;
  const more = Math.min(ROW_BITS, lenOf(u32, node) - top);
  const lowest = 1 << (ROW_BITS - more);
  const row = (wordAt(mem, node + DATA, top) & (-lowest << 1)) | lowest;
  let to = node + 1;
  let at = start;
  if (more < ROW_BITS) {
    dropTable(mem, node);
    for (let c = node + CHILD; c <= node + CHILD + 4; c += 4) {
      const child = u32[c >>> 2]!;
      if (child !== 0) at = fillRows(mem, child, top, at);
    }
    to = u32[(node + VALUE) >>> 2]!;
    if (to === 0) return at;
  }
  i32[at >>> 2] = row;
  u32[(at + 4) >>> 2] = to;
  return at + ROW_SIZE;
}

/** Gives a node a list, in place of what it has, when it has few prefixes. False: too many. */
function makeList(mem: Memory, node: number): boolean {
  const { u32, i32, view } = mem;
  dropTable(mem, node);
  const len = lenOf(u32, node);
  const count = countRows(u32, node, len + ROW_BITS);
  if (count > MAX_ROWS) return false;
  if (count < 2 || len > MAX_TOP) return true;
  const list = alloc(mem, listSize(len, count));
  if (list === 0) return true;
  u32[list >>> 2] = len | (count << LIST_COUNT_SHIFT);
  u32[(list + LIST_NODE) >>> 2] = node;
  let at = list + LIST_CHECK;
  for (let i = 0; i < len; i += 32, at += 4) i32[at >>> 2] = view.getInt32(node + DATA + (i >>> 3));
  fillRows(mem, node, len, at);
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
export function listOver(u32: Uint32Array, node: number): number {
  const above = marked(u32, node);
  return above !== 0 && u32[above >>> 2]! >= LISTED ? above : 0;
}

/** After a change at a node (or 0: above the root): makes the list over it anew, or gives it one. Returns the node that has it, or 0. */
export function listAgain(mem: Memory, node: number): number {
  if (node === 0) return 0;
  const { u32 } = mem;
  let top = marked(u32, node);
  if (top === 0 || u32[top >>> 2]! < LISTED) {
    const end = top === 0 ? 0 : lenOf(u32, top) + tableBits(u32, top);
    if (lenOf(u32, node) < end) return 0;
    const above = top;
    top = node;
    for (let up = u32[(top + PARENT) >>> 2]!; up !== above && lenOf(u32, up) >= end; up = u32[(up + PARENT) >>> 2]!) {
      if (countRows(u32, up, lenOf(u32, up) + ROW_BITS) > MAX_ROWS) break;
      top = up;
    }
  }
  makeLists(mem, top);
  return listOver(u32, node);
}

/** A prefix has another value. */
export function tellValue(mem: Memory, node: number, old: number, value: number): void {
  const { u32 } = mem;
  const top = listOver(u32, node);
  if (top === 0) return;
  const list = u32[(top + TABLE) >>> 2]!;
  const end = list + listSize(lenOf(u32, top), u32[list >>> 2]! >>> LIST_COUNT_SHIFT);
  for (let at = end - ROW_SIZE; at >= list + LIST_CHECK; at -= ROW_SIZE) {
    if (u32[(at + 4) >>> 2] !== old) continue;
    u32[(at + 4) >>> 2] = value;
    return;
  }
}
