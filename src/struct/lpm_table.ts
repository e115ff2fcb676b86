/**
 * Tables that spare LPM searches many nodes. A node may have one: for each value of the next bits of the key it has the
 * node where the way leads behind them: the first one whose prefix ends there or later, or, where there is none, the
 * last before. When that node has a table too, the entry says where that is. Nodes within a table have none.
 *
 * A table has as many bits as there are nodes to fill it. That is judged when a way has become long, and again whenever
 * half as many changes came to a table as it has entries. All tables are kept right with every change, and none is
 * needed: without memory there is none.
 */
import { alloc, free } from "../mem/alloc.ts";
import type { Memory } from "../mem/memory.ts";
import {
  BITS_SHIFT,
  bit,
  CHANGES,
  CHILD,
  DATA,
  ENTRY_BITS_SHIFT,
  ENTRY_SKIP_MAX,
  ENTRY_SKIP_SHIFT,
  ENTRY_TABLE,
  LPM_COUNT,
  LPM_ROOT,
  lenOf,
  MIN_BITS,
  maxPrefix,
  PARENT,
  TABLE,
} from "./lpm_node.ts";

/** No table is for more bits than these. */
const MAX_BITS = 16;
/** Entries that a table may have for each node within it. The root's may have one for each prefix in the map. */
const ENTRIES_PER_NODE = 8;
/** A way of more nodes than these without a table gets one. */
const LONG_WAY = 1;
/** Changes before which no table is judged again. */
const MIN_CHANGES = 8;

/** `bits` (16 at most) bits of the data at this address from bit `from` on, as a number. */
export function bitsAt(u8: Uint8Array, data: number, from: number, bits: number): number {
  const at = data + (from >>> 3);
  const three = (u8[at]! << 16) | (u8[at + 1]! << 8) | u8[at + 2]!;
  return (three >>> (24 - (from & 7) - bits)) & ((1 << bits) - 1);
}

function tableBits(u32: Uint32Array, node: number): number {
  return u32[node >>> 2]! >>> BITS_SHIFT;
}

/** Word index of the first of the `count` entries, a power of two, that are for what is below a prefix. */
function firstEntry(mem: Memory, node: number, below: number, count: number): number {
  const { u32 } = mem;
  const index = bitsAt(mem.u8, below + DATA, lenOf(u32, node), tableBits(u32, node));
  return (u32[(node + TABLE) >>> 2]! >>> 2) + (index & -count);
}

/** The entry that leads to a node, in a table that is for the bits up to `end`. */
function entryFor(u32: Uint32Array, node: number, end: number): number {
  const bits = tableBits(u32, node);
  const skip = lenOf(u32, node) - end;
  if (bits === 0 || skip < 0 || skip > ENTRY_SKIP_MAX) return node;
  const word = ENTRY_TABLE | (skip << ENTRY_SKIP_SHIFT) | ((bits - MIN_BITS) << ENTRY_BITS_SHIFT);
  return (u32[(node + TABLE) >>> 2]! | word) >>> 0;
}

/** Length of the prefix of the node that an entry leads to. */
function lenAt(u32: Uint32Array, entry: number, end: number): number {
  if ((entry & ENTRY_TABLE) === 0) return lenOf(u32, entry);
  return end + ((entry >>> ENTRY_SKIP_SHIFT) & ENTRY_SKIP_MAX);
}

function countChange(u32: Uint32Array, node: number): void {
  u32[(node + CHANGES) >>> 2] = u32[(node + CHANGES) >>> 2]! + 1;
}

/** A node came into the trie: tables that reach below its parent may lead there from now on. */
export function tellAdded(mem: Memory, node: number): void {
  const { u32 } = mem;
  const len = lenOf(u32, node);
  const parent = u32[(node + PARENT) >>> 2]!;
  const from = lenOf(u32, parent);
  for (let above = parent; above !== 0; above = u32[(above + PARENT) >>> 2]!) {
    const start = lenOf(u32, above);
    if (from - start >= MAX_BITS) return;
    const end = start + tableBits(u32, above);
    if (end > from) enterInto(mem, above, node, len, end);
  }
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
  const from = lenOf(u32, parent);
  for (let above = parent; above !== 0; above = u32[(above + PARENT) >>> 2]!) {
    const start = lenOf(u32, above);
    if (from - start >= MAX_BITS) return;
    const end = start + tableBits(u32, above);
    if (end <= from) continue;
    const count = len < end ? 1 << (end - len) : 1;
    const to = len < end || below === 0 ? parent : entryFor(u32, below, end);
    const first = firstEntry(mem, above, node, count);
    for (let i = first; i < first + count; i++) if (u32[i] === node) u32[i] = to;
    countChange(u32, above);
  }
}

/** Takes a node's table away, if it has one. */
export function dropTable(mem: Memory, node: number): void {
  const { u32 } = mem;
  const bits = tableBits(u32, node);
  if (bits === 0) return;
  const link = linkTo(mem, node);
  u32[node >>> 2] = lenOf(u32, node);
  if (link !== 0) u32[link] = node;
  free(mem, u32[(node + TABLE) >>> 2]!, 4 << bits);
}

/** Word index of the entry that leads to a node or its table, in the nearest table above it; 0: there is none. */
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
function addTable(mem: Memory, node: number, bits: number): void {
  const { u32 } = mem;
  const table = alloc(mem, 4 << bits);
  if (table === 0) return;
  dropTable(mem, node);
  u32.fill(node, table >>> 2, (table >>> 2) + (1 << bits));
  u32[(node + TABLE) >>> 2] = table;
  u32[node >>> 2] = lenOf(u32, node) | (bits << BITS_SHIFT);
  fillBelow(mem, node, node);
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

/** Chooses how many bits the table of a node is for, by how many nodes it would spare. False: none, it spares none. */
function judge(mem: Memory, map: number, node: number): boolean {
  const { u32 } = mem;
  const old = tableBits(u32, node);
  const len = lenOf(u32, node);
  const most = Math.min(MAX_BITS, maxPrefix(mem, map) - len);
  const within = new Uint32Array(MAX_BITS);
  countBelow(u32, node, len, most, within);
  const free = node === u32[(map + LPM_ROOT) >>> 2] ? u32[(map + LPM_COUNT) >>> 2]! : 0;
  let bits = 0;
  for (let b = 2, nodes = 0; b <= most; b++) {
    nodes += within[b - 1]!;
    if (b >= MIN_BITS && nodes > 0 && Math.max((nodes + 1) * ENTRIES_PER_NODE, free) >= 1 << b) bits = b;
  }
  if ((bits | old) !== 0) u32[(node + CHANGES) >>> 2] = 0;
  if (bits === 0) dropTable(mem, node);
  else if (bits !== old) addTable(mem, node, bits);
  const now = tableBits(u32, node);
  if (now !== 0 && now !== old) judgeBehind(mem, map, node);
  return now !== 0;
}

/** A table is new: where it leads, ways may begin that had none before. */
function judgeBehind(mem: Memory, map: number, node: number): void {
  const { u32 } = mem;
  const bits = tableBits(u32, node);
  const end = lenOf(u32, node) + bits;
  const table = u32[(node + TABLE) >>> 2]! >>> 2;
  for (let i = table; i < table + (1 << bits); i++) {
    const to = u32[i]!;
    if ((to & ENTRY_TABLE) === 0 && lenOf(u32, to) >= end && tableBits(u32, to) === 0) judge(mem, map, to);
  }
}

/** Counts the nodes below by how many bits longer than `len` they are, up to `most` exclusive. */
function countBelow(u32: Uint32Array, node: number, len: number, most: number, within: Uint32Array): void {
  for (let at = node + CHILD; at <= node + CHILD + 4; at += 4) {
    const child = u32[at >>> 2]!;
    const more = child === 0 ? most : lenOf(u32, child) - len;
    if (more >= most) continue;
    within[more] = within[more]! + 1;
    countBelow(u32, child, len, most, within);
  }
}

/**
 * After a change at a node (or 0: above the root): a long way to it that is without a table gets one, and the tables
 * above are judged again when it is time to.
 */
export function judgeAbove(mem: Memory, map: number, node: number): void {
  const { u32 } = mem;
  let above = node;
  while (above !== 0 && tableBits(u32, above) === 0) above = u32[(above + PARENT) >>> 2]!;
  let start = u32[(map + LPM_ROOT) >>> 2]!;
  if (above !== 0) {
    const within = lenOf(u32, node) < lenOf(u32, above) + tableBits(u32, above);
    start = within ? node : u32[firstEntry(mem, above, node, 1)]!;
  }
  let steps = 0;
  for (let at = node; at !== start && at !== 0; at = u32[(at + PARENT) >>> 2]!) steps++;
  for (; steps > LONG_WAY && !wantTable(mem, map, start); steps--) {
    start = u32[(start + CHILD + bit(mem.u8, node + DATA, lenOf(u32, start)) * 4) >>> 2]!;
  }
  for (; above !== 0; above = u32[(above + PARENT) >>> 2]!) {
    const bits = tableBits(u32, above);
    if (bits !== 0 && isTime(mem, map, above, bits)) judge(mem, map, above);
  }
}

/**
 * A way from this node is long. Whether a table would spare enough, and whether there is memory for one, is asked the
 * more seldom the more often the answer was no.
 */
function wantTable(mem: Memory, map: number, node: number): boolean {
  const { u32 } = mem;
  countChange(u32, node);
  const times = u32[(node + CHANGES) >>> 2]!;
  return (times & (times - 1)) === 0 && judge(mem, map, node);
}

function isTime(mem: Memory, map: number, node: number, bits: number): boolean {
  const { u32 } = mem;
  if (u32[(node + CHANGES) >>> 2]! >= Math.max(MIN_CHANGES, 1 << (bits - 1))) return true;
  // The root's may be larger when there are more prefixes anywhere.
  const count = u32[(map + LPM_COUNT) >>> 2]!;
  return u32[(node + PARENT) >>> 2] === 0 && count >= 2 << bits && (count & (count - 1)) === 0;
}

/** Takes away the tables of a node and of all below it. */
export function dropTables(mem: Memory, node: number): void {
  if (node === 0) return;
  dropTable(mem, node);
  dropTables(mem, mem.u32[(node + CHILD) >>> 2]!);
  dropTables(mem, mem.u32[(node + CHILD + 4) >>> 2]!);
}
