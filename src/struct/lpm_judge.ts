/**
 * Which nodes of an LPM trie have a table or a list: asked after each change. Subtrees of few prefixes have lists. Above
 * those, a table has as many bits as there are nodes to fill it. That is judged when a way has become long, and again
 * whenever half as many changes came to a table as it has entries.
 */
import type { Memory } from "../mem/memory.ts";
import { listFor, makeLists } from "./lpm_list.ts";
import {
  bit,
  CHANGES,
  CHILD,
  DATA,
  ENTRY_LIST,
  ENTRY_TABLE,
  LIST_NODE,
  LPM_COUNT,
  LPM_ROOT,
  lenOf,
  MIN_BITS,
  maxPrefix,
  PARENT,
  TABLE,
  TABLED,
  tableBits,
} from "./lpm_node.ts";
import { addTable, countChange, dropTable, firstEntry, MAX_BITS } from "./lpm_table.ts";

/** Entries that a table may have for each node within it. The root's may have one for each prefix in the map. */
const ENTRIES_PER_NODE = 8;
/** A way of more nodes than these without a table gets one. */
const LONG_WAY = 1;
/** Changes before which no table is judged again. */
const MIN_CHANGES = 8;

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
    // Lists that are behind the table already stay.
    if ((to & (ENTRY_TABLE | ENTRY_LIST)) !== 0 || lenOf(u32, to) < end || u32[to >>> 2]! >= TABLED) continue;
    if (!judge(mem, map, to)) makeLists(mem, to);
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
  const top = listFor(mem, node) || node;
  let above = top;
  while (above !== 0 && tableBits(u32, above) === 0) above = u32[(above + PARENT) >>> 2]!;
  let start = u32[(map + LPM_ROOT) >>> 2]!;
  if (above !== 0) {
    const within = lenOf(u32, top) < lenOf(u32, above) + tableBits(u32, above);
    start = within ? top : u32[firstEntry(mem, above, top, 1)]!;
    if ((start & ENTRY_LIST) !== 0) start = u32[(start - ENTRY_LIST + LIST_NODE) >>> 2]!;
  }
  let steps = 0;
  for (let at = top; at !== start && at !== 0; at = u32[(at + PARENT) >>> 2]!) steps++;
  for (; steps > LONG_WAY && !wantTable(mem, map, start); steps--) {
    start = u32[(start + CHILD + bit(mem.u8, top + DATA, lenOf(u32, start)) * 4) >>> 2]!;
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
