/**
 * Tables that spare LPM searches many nodes. A node may have one: for each value of the next bits of the key it has the
 * node where the way leads behind them: the first one whose prefix ends there or later, or, where there is none, the
 * last before. When that node has a table or a list too, the entry says where that is. Nodes within a table have none.
 *
 * All tables are kept right with every change, and none is needed: without memory there is none.
 */
import { alloc, free } from "../mem/alloc.ts";
import type { Memory } from "../mem/memory.ts";
import {
  BITS_SHIFT,
  CHANGES,
  CHILD,
  DATA,
  ENTRY_BITS_SHIFT,
  ENTRY_LIST,
  ENTRY_SKIP_MAX,
  ENTRY_SKIP_SHIFT,
  ENTRY_TABLE,
  LIST_BYTES_SHIFT,
  LISTED,
  lenOf,
  MIN_BITS,
  PARENT,
  TABLE,
  TABLED,
  tableBits,
} from "./lpm_node.ts";

/** No table is for more bits than these. */
export const MAX_BITS = 16;
/** `bits` (16 at most) bits of the data at this address from bit `from` on, as a number. */
export function bitsAt(u8: Uint8Array, data: number, from: number, bits: number): number {
  const at = data + (from >>> 3);
  const three = (u8[at]! << 16) | (u8[at + 1]! << 8) | u8[at + 2]!;
  return (three >>> (24 - (from & 7) - bits)) & ((1 << bits) - 1);
}

/** Word index of the first of the `count` entries, a power of two, that are for what is below a prefix. */
export function firstEntry(mem: Memory, node: number, below: number, count: number): number {
  const { u32 } = mem;
  const index = bitsAt(mem.u8, below + DATA, lenOf(u32, node), tableBits(u32, node));
  return (u32[(node + TABLE) >>> 2]! >>> 2) + (index & -count);
}

/** The entry that leads to a node, in a table that is for the bits up to `end`. */
function entryFor(u32: Uint32Array, node: number, end: number): number {
  const bits = tableBits(u32, node);
  const skip = lenOf(u32, node) - end;
  if (skip >= 0 && u32[node >>> 2]! >= LISTED) return u32[(node + TABLE) >>> 2]! + ENTRY_LIST;
  if (bits === 0 || skip < 0 || skip > ENTRY_SKIP_MAX) return node;
  const word = ENTRY_TABLE | (skip << ENTRY_SKIP_SHIFT) | ((bits - MIN_BITS) << ENTRY_BITS_SHIFT);
  return (u32[(node + TABLE) >>> 2]! | word) >>> 0;
}

/** Length of the prefix of the node that an entry leads to. */
function lenAt(u32: Uint32Array, entry: number, end: number): number {
  // A list begins with the word of its node.
  if ((entry & ENTRY_TABLE) === 0) return lenOf(u32, entry);
  return end + ((entry >>> ENTRY_SKIP_SHIFT) & ENTRY_SKIP_MAX);
}

export function countChange(u32: Uint32Array, node: number): void {
  u32[(node + CHANGES) >>> 2] = u32[(node + CHANGES) >>> 2]! + 1;
}

/**
 * The node whose table reaches below this one, or 0: only the nearest with a table or a list can, since there is none
 * within a table.
 */
function tableOver(u32: Uint32Array, node: number): number {
  const from = lenOf(u32, node);
  let above = node;
  while (above !== 0 && u32[above >>> 2]! < TABLED) above = u32[(above + PARENT) >>> 2]!;
  return above !== 0 && lenOf(u32, above) + tableBits(u32, above) > from ? above : 0;
}

/** A node came into the trie: a table that reaches below its parent may lead there from now on. */
export function tellAdded(mem: Memory, node: number): void {
  const { u32 } = mem;
  const above = tableOver(u32, u32[(node + PARENT) >>> 2]!);
  if (above !== 0) enterInto(mem, above, node, lenOf(u32, node), lenOf(u32, above) + tableBits(u32, above));
}

/** Puts a node into the entries of a table where it is nearer than what is there. */
function enterInto(mem: Memory, above: number, node: number, len: number, end: number): void {
  const { u32 } = mem;
  if (len < end) {
    const count = 1 << (end - len);
    const first = firstEntry(mem, above, node, count);
    for (let i = first; i < first + count; i++) if (lenAt(u32, u32[i]!, end) < len) u32[i] = node;
  } else {
    const entry = firstEntry(mem, above, node, 1);
    const there = lenAt(u32, u32[entry]!, end);
    if (there >= end && there <= len) return;
    u32[entry] = node;
  }
  countChange(u32, above);
}

/**
 * A node is out of the trie, its parent is known still. `below` (or 0) is in its place: tables lead there, where it is
 * far enough, or to the parent.
 */
export function tellRemoved(mem: Memory, node: number, below: number): void {
  const { u32 } = mem;
  dropTable(mem, node);
  const len = lenOf(u32, node);
  const parent = u32[(node + PARENT) >>> 2]!;
  const above = tableOver(u32, parent);
  if (above === 0) return;
  const end = lenOf(u32, above) + tableBits(u32, above);
  const count = len < end ? 1 << (end - len) : 1;
  const to = len < end || below === 0 ? parent : entryFor(u32, below, end);
  const first = firstEntry(mem, above, node, count);
  for (let i = first; i < first + count; i++) if (u32[i] === node) u32[i] = to;
  countChange(u32, above);
}

/** Takes a node's table or list away, if it has one. */
export function dropTable(mem: Memory, node: number): void {
  const { u32 } = mem;
  const word = u32[node >>> 2]!;
  if (word < TABLED) return;
  const link = linkTo(mem, node);
  const table = u32[(node + TABLE) >>> 2]!;
  const bytes = word < LISTED ? 4 << (word >>> BITS_SHIFT) : 1 << (u32[table >>> 2]! >>> LIST_BYTES_SHIFT);
  u32[node >>> 2] = lenOf(u32, node);
  if (link !== 0) u32[link] = node;
  free(mem, table, bytes);
}

/** Word index of the entry that leads to a node, its table or its list, in the nearest table above it; 0: there is none. */
function linkTo(mem: Memory, node: number): number {
  const { u32 } = mem;
  let above = u32[(node + PARENT) >>> 2]!;
  while (above !== 0 && tableBits(u32, above) === 0) above = u32[(above + PARENT) >>> 2]!;
  if (above === 0) return 0;
  const end = lenOf(u32, above) + tableBits(u32, above);
  if (lenOf(u32, node) < end) return 0;
  const link = firstEntry(mem, above, node, 1);
  return u32[link] === entryFor(u32, node, end) || u32[link] === node ? link : 0;
}

/** Gives a node a table in place of the one it has, if any; nothing happens without memory. */
export function addTable(mem: Memory, node: number, bits: number): void {
  const { u32 } = mem;
  const table = alloc(mem, 4 << bits);
  if (table === 0) return;
  dropTable(mem, node);
  u32.fill(node, table >>> 2, (table >>> 2) + (1 << bits));
  u32[(node + TABLE) >>> 2] = table;
  u32[node >>> 2] = lenOf(u32, node) | (bits << BITS_SHIFT);
  fillBelow(mem, node, node);
  linkAgain(mem, node);
}

/** A node without a table gets a list. */
export function setList(mem: Memory, node: number, list: number): void {
  const { u32 } = mem;
  u32[(node + TABLE) >>> 2] = list;
  u32[node >>> 2] = lenOf(u32, node) + LISTED;
  linkAgain(mem, node);
}

/** The table above leads to the new table or list of a node. */
function linkAgain(mem: Memory, node: number): void {
  const { u32 } = mem;
  const above = u32[(node + PARENT) >>> 2]!;
  const link = above === 0 ? 0 : linkTo(mem, node);
  if (link !== 0) u32[link] = entryFor(u32, node, endOver(u32, above));
}

/** Where the nearest table ends that is at a node or above it. */
function endOver(u32: Uint32Array, node: number): number {
  let above = node;
  while (tableBits(u32, above) === 0) above = u32[(above + PARENT) >>> 2]!;
  return lenOf(u32, above) + tableBits(u32, above);
}

/** Fills in the entries of a new table for what is below a node; shorter prefixes first. */
function fillBelow(mem: Memory, node: number, top: number): void {
  const { u32 } = mem;
  const end = lenOf(u32, node) + tableBits(u32, node);
  for (let at = top + CHILD; at <= top + CHILD + 4; at += 4) {
    const child = u32[at >>> 2]!;
    if (child === 0) continue;
    const len = lenOf(u32, child);
    const count = len < end ? 1 << (end - len) : 1;
    const first = firstEntry(mem, node, child, count);
    u32.fill(entryFor(u32, child, end), first, first + count);
    if (len >= end) continue;
    dropTable(mem, child);
    fillBelow(mem, node, child);
  }
}

/** Takes away the tables of a node and of all below it. */
export function dropTables(mem: Memory, node: number): void {
  if (node === 0) return;
  dropTable(mem, node);
  dropTables(mem, mem.u32[(node + CHILD) >>> 2]!);
  dropTables(mem, mem.u32[(node + CHILD + 4) >>> 2]!);
}
