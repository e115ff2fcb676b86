/**
 * Tables that spare LPM searches many nodes. A node may have one: for each value of the next bits of the key it has the
 * last node on the way whose prefix ends within these bits. The node where the trie first parts has a table that fits
 * the number of prefixes; it is chosen anew when about half of them came or went. Nodes at which a long way without a
 * table begins have small ones. All are kept right with every change, and none is needed: without memory there is none.
 */
import { AREA_NODES, alloc, free } from "../mem/alloc.ts";
import type { Memory } from "../mem/memory.ts";
import {
  BITS_SHIFT,
  CHILD,
  DATA,
  LPM_COUNT,
  LPM_ROOT,
  LPM_TABLE_FIELDS,
  LPM_TABLES,
  lenOf,
  maxPrefix,
  PARENT,
  TABLE,
} from "./lpm_node.ts";
import { freePool, giveBlock, initPool, takeBlock } from "./pool.ts";

/** The node that has the big table, or 0. */
const BIG: number = LPM_TABLE_FIELDS;
/** Prefixes that came or went since it was chosen. */
const CHANGES: number = LPM_TABLE_FIELDS + 4;
/** Small tables. */
const SMALL_COUNT: number = LPM_TABLE_FIELDS + 8;

/** Fewer prefixes than these have no big table; no table is for more bits than these. */
const BIG_COUNT = 64;
const MAX_BITS = 16;
/** A way of more nodes than these gets a small table, as long as there is none yet for so many prefixes. */
const LONG_WAY = 4;
const SMALL_BITS = 8;
export const SMALL_SIZE: number = 4 << SMALL_BITS;
export const PREFIXES_PER_TABLE = 64;

export function initTables(mem: Memory, map: number): void {
  initPool(mem, map, LPM_TABLES, SMALL_SIZE, 0);
}

export function freeTables(mem: Memory, map: number): void {
  const big = mem.u32[(map + BIG) >>> 2]!;
  if (big !== 0) dropTable(mem, map, big);
  freePool(mem, map, LPM_TABLES);
}

/** `bits` (16 at most) bits of the data at this address from bit `from` on, as a number. */
export function bitsAt(u8: Uint8Array, data: number, from: number, bits: number): number {
  const at = data + (from >>> 3);
  const three = (u8[at]! << 16) | (u8[at + 1]! << 8) | u8[at + 2]!;
  return (three >>> (24 - (from & 7) - bits)) & ((1 << bits) - 1);
}

function tableBits(u32: Uint32Array, node: number): number {
  return u32[node >>> 2]! >>> BITS_SHIFT;
}

/** A node came into the trie: the tables above it lead there, where they lead to something shorter. */
export function tellAdded(mem: Memory, node: number): void {
  const { u32 } = mem;
  const len = lenOf(u32, node);
  let above = u32[(node + PARENT) >>> 2]!;
  for (; above !== 0 && len - lenOf(u32, above) <= MAX_BITS; above = u32[(above + PARENT) >>> 2]!) {
    const count = entryCount(u32, above, len);
    if (count === 0) continue;
    const first = firstEntry(mem, above, node, count);
    for (let i = first; i < first + count; i++) if (lenOf(u32, u32[i]!) < len) u32[i] = node;
  }
}

/** A node is out of the trie, its parent is known still: tables that lead to it lead to the parent from now on. */
export function tellRemoved(mem: Memory, map: number, node: number): void {
  const { u32 } = mem;
  dropTable(mem, map, node);
  const len = lenOf(u32, node);
  const parent = u32[(node + PARENT) >>> 2]!;
  for (let above = parent; above !== 0 && len - lenOf(u32, above) <= MAX_BITS; above = u32[(above + PARENT) >>> 2]!) {
    const count = entryCount(u32, above, len);
    if (count === 0) continue;
    const first = firstEntry(mem, above, node, count);
    for (let i = first; i < first + count; i++) if (u32[i] === node) u32[i] = parent;
  }
}

/** How many entries a prefix of `len` bits below `node` has in the table of `node`; 0: none, or there is no table. */
function entryCount(u32: Uint32Array, node: number, len: number): number {
  const bits = tableBits(u32, node);
  const end = lenOf(u32, node) + bits;
  return bits === 0 || len > end ? 0 : 1 << (end - len);
}

/** Word index of the first of these entries. */
function firstEntry(mem: Memory, node: number, below: number, count: number): number {
  const { u32 } = mem;
  const index = bitsAt(mem.u8, below + DATA, lenOf(u32, node), tableBits(u32, node));
  return (u32[(node + TABLE) >>> 2]! >>> 2) + (index & -count);
}

/** Takes a node's table away, if it has one. */
export function dropTable(mem: Memory, map: number, node: number): void {
  const { u32 } = mem;
  const bits = tableBits(u32, node);
  if (bits === 0) return;
  const table = u32[(node + TABLE) >>> 2]!;
  u32[node >>> 2] = lenOf(u32, node);
  if (u32[(map + BIG) >>> 2] === node) {
    u32[(map + BIG) >>> 2] = 0;
    free(mem, table, 4 << bits);
  } else {
    u32[(map + SMALL_COUNT) >>> 2] = u32[(map + SMALL_COUNT) >>> 2]! - 1;
    giveBlock(mem, map, LPM_TABLES, table);
  }
}

/** Gives a node a table; nothing happens without memory. */
function addTable(mem: Memory, map: number, node: number, bits: number, big: boolean): void {
  const { u32 } = mem;
  const table = big ? alloc(mem, 4 << bits) : takeBlock(mem, map, LPM_TABLES, AREA_NODES);
  if (table === 0) return;
  if (big) u32[(map + BIG) >>> 2] = node;
  else u32[(map + SMALL_COUNT) >>> 2] = u32[(map + SMALL_COUNT) >>> 2]! + 1;
  u32.fill(node, table >>> 2, (table >>> 2) + (1 << bits));
  u32[(node + TABLE) >>> 2] = table;
  u32[node >>> 2] = lenOf(u32, node) | (bits << BITS_SHIFT);
  fillBelow(mem, node, node);
}

/** Fills in the entries of a new table for what is below a node; shorter prefixes first. */
function fillBelow(mem: Memory, node: number, top: number): void {
  const { u32 } = mem;
  for (let at = top + CHILD; at <= top + CHILD + 4; at += 4) {
    const child = u32[at >>> 2]!;
    const count = child === 0 ? 0 : entryCount(u32, node, lenOf(u32, child));
    if (count === 0) continue;
    const first = firstEntry(mem, node, child, count);
    u32.fill(child, first, first + count);
    fillBelow(mem, node, child);
  }
}

/** A prefix came or went: now and then the big table is chosen anew. */
export function tableChanged(mem: Memory, map: number): void {
  const { u32 } = mem;
  const count = u32[(map + LPM_COUNT) >>> 2]!;
  const changes = u32[(map + CHANGES) >>> 2]! + 1;
  u32[(map + CHANGES) >>> 2] = changes;
  if (changes < BIG_COUNT || changes < count >>> 1) return;
  u32[(map + CHANGES) >>> 2] = 0;
  const old = u32[(map + BIG) >>> 2]!;
  let node = u32[(map + LPM_ROOT) >>> 2]!;
  for (let only = node; only !== 0; only = onlyChild(u32, node)) node = only;
  let bits = 0;
  if (count >= BIG_COUNT) bits = Math.min(MAX_BITS, 32 - Math.clz32(count), maxPrefix(mem, map) - lenOf(u32, node));
  if (old !== 0 && old === node && tableBits(u32, node) === bits) return;
  if (old !== 0) dropTable(mem, map, old);
  if (bits === 0) return;
  dropTable(mem, map, node);
  addTable(mem, map, node, bits, true);
}

function onlyChild(u32: Uint32Array, node: number): number {
  const left = u32[(node + CHILD) >>> 2]!;
  const right = u32[(node + CHILD + 4) >>> 2]!;
  if (left === 0) return right;
  return right === 0 ? left : 0;
}

/** A new prefix may be far below the last table on its way: then the way there gets one more. */
export function shortenWay(mem: Memory, map: number, leaf: number): void {
  const { u32 } = mem;
  let above = u32[(leaf + PARENT) >>> 2]!;
  while (above !== 0 && tableBits(u32, above) === 0) above = u32[(above + PARENT) >>> 2]!;
  const end = above === 0 ? -1 : lenOf(u32, above) + tableBits(u32, above);
  let steps = 0;
  let node = leaf;
  for (let up = u32[(node + PARENT) >>> 2]!; up !== above; up = u32[(node + PARENT) >>> 2]!) {
    node = up;
    steps++;
    // The table above leads here.
    if (lenOf(u32, node) <= end) break;
  }
  if (steps <= LONG_WAY || tableBits(u32, node) !== 0 || lenOf(u32, node) + SMALL_BITS > maxPrefix(mem, map)) return;
  if (u32[(map + SMALL_COUNT) >>> 2]! * PREFIXES_PER_TABLE > u32[(map + LPM_COUNT) >>> 2]!) return;
  addTable(mem, map, node, SMALL_BITS, false);
}
