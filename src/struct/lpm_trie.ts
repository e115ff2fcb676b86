/**
 * Longest prefix match: a binary trie whose nodes each stand for a prefix. Nodes without a value are forks, where two
 * prefixes that are in the map part; they have two children always. What is in the trie follows from the set of
 * prefixes alone, so does the order of iteration. Kernel counterpart: lpm_trie.c.
 *
 * The links from the root down are the truth, each change is published by one store into them or into a node's value;
 * parents, counts, tables and lists follow from them.
 */
import { AREA_NODES, AREA_VALUES } from "../mem/alloc.ts";
import { rup8 } from "../mem/layout.ts";
import type { Memory } from "../mem/memory.ts";
import { BPF_EXIST, BPF_NOEXIST, EEXIST, ENOENT, ENOMEM, ENOSPC } from "../uapi/index.ts";
import { judgeAbove } from "./lpm_judge.ts";
import { listFor, tellValue } from "./lpm_list.ts";
import {
  bit,
  CHANGES,
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
  LEN,
  LIST_NODE,
  LPM_COUNT,
  LPM_NODES,
  LPM_ROOT,
  LPM_VALUES,
  lenOf,
  MIN_BITS,
  maxPrefix,
  PARENT,
  prefixOf,
  TABLE,
  tableBits,
  VALUE,
} from "./lpm_node.ts";
import { bitsAt, dropTable, dropTables, tellAdded, tellRemoved } from "./lpm_table.ts";
import { MAP_KEY_SIZE, MAP_MAX_ENTRIES, MAP_VALUE_SIZE } from "./map.ts";
import { freePool, giveBlock, initPool, takeBlock } from "./pool.ts";

/** Values that were replaced rest until so many others were, or so many bytes of them. */
const KEEP_VALUES = 64;
const KEEP_BYTES = 0x1_0000;

/** Behind each value is room for the link of the pool's queue. */
export function valueStride(valueSize: number): number {
  return rup8(valueSize + 4);
}

export function initTrie(mem: Memory, map: number): void {
  const { u32 } = mem;
  const data = u32[(map + MAP_KEY_SIZE) >>> 2]! - KEY_DATA;
  const stride = valueStride(u32[(map + MAP_VALUE_SIZE) >>> 2]!);
  initPool(mem, map, LPM_NODES, rup8(DATA + data), 0);
  initPool(mem, map, LPM_VALUES, stride, Math.min(KEEP_VALUES, Math.floor(KEEP_BYTES / stride)));
}

export function freeTrie(mem: Memory, map: number): void {
  dropTables(mem, mem.u32[(map + LPM_ROOT) >>> 2]!);
  freePool(mem, map, LPM_NODES);
  freePool(mem, map, LPM_VALUES);
}

/**
 * The first node on the way of this key that is as long as `len` bits; or the last, if none is. The trie is not empty.
 * Bits of the key behind `len` lead on, which does no harm: below that node is nothing to find.
 */
function descend(mem: Memory, map: number, key: number, len: number): number {
  const { u32, u8 } = mem;
  const data = key + KEY_DATA;
  let node = followTables(mem, data, u32[(map + LPM_ROOT) >>> 2]!);
  for (let at = lenOf(u32, node); at < len; at = lenOf(u32, node)) {
    const next = u32[(node + CHILD + bit(u8, data, at) * 4) >>> 2]!;
    if (next === 0) break;
    node = followTables(mem, data, next);
  }
  for (let up = u32[(node + PARENT) >>> 2]!; up !== 0 && lenOf(u32, up) >= len; up = u32[(node + PARENT) >>> 2]!)
    node = up;
  return node;
}

/** The node where tables lead from this one. */
function followTables(mem: Memory, data: number, start: number): number {
  const { u32, u8 } = mem;
  let node = start;
  for (let bits = tableBits(u32, node); bits !== 0; bits = tableBits(u32, node)) {
    let from = lenOf(u32, node);
    let entry = u32[(u32[(node + TABLE) >>> 2]! >>> 2) + bitsAt(u8, data, from, bits)]!;
    while ((entry & ENTRY_TABLE) !== 0) {
      from += bits + ((entry >>> ENTRY_SKIP_SHIFT) & ENTRY_SKIP_MAX);
      bits = ((entry >>> ENTRY_BITS_SHIFT) & 15) + MIN_BITS;
      entry = u32[((entry & ENTRY_ADDRESS) >>> 2) + bitsAt(u8, data, from, bits)]!;
    }
    if ((entry & ENTRY_LIST) !== 0) return u32[(entry - ENTRY_LIST + LIST_NODE) >>> 2]!;
    node = entry;
    if (lenOf(u32, node) < from + bits) break;
  }
  return node;
}

/** The node of exactly this prefix, which has a value; or 0. `len` is not longer than a prefix can be. */
function findExact(mem: Memory, map: number, key: number, len: number): number {
  const { u32 } = mem;
  if (u32[(map + LPM_ROOT) >>> 2] === 0) return 0;
  const node = descend(mem, map, key, len);
  if (lenOf(u32, node) !== len || u32[(node + VALUE) >>> 2] === 0) return 0;
  return commonBits(mem, node + DATA, key + KEY_DATA, len) === len ? node : 0;
}

/** Address of the link that leads to a node. */
function slotOf(mem: Memory, map: number, node: number): number {
  const { u32 } = mem;
  const parent = u32[(node + PARENT) >>> 2]!;
  if (parent === 0) return map + LPM_ROOT;
  return u32[(parent + CHILD) >>> 2] === node ? parent + CHILD : parent + CHILD + 4;
}

/** The store that makes a change visible. */
function publish(mem: Memory, slot: number, node: number): void {
  if (mem.shared) mem.atomics.store32(slot, node);
  else mem.u32[slot >>> 2] = node;
}

/** May one more prefix come in? */
function checkAdd(mem: Memory, map: number, flags: number): number {
  if (flags === BPF_EXIST) return -ENOENT;
  return mem.u32[(map + LPM_COUNT) >>> 2] === mem.u32[(map + MAP_MAX_ENTRIES) >>> 2] ? -ENOSPC : 0;
}

function addCount(mem: Memory, map: number, by: number): void {
  mem.u32[(map + LPM_COUNT) >>> 2] = mem.u32[(map + LPM_COUNT) >>> 2]! + by;
}

/** A value's block with these bytes, or 0. */
function newValue(mem: Memory, map: number, from: number): number {
  const value = takeBlock(mem, map, LPM_VALUES, AREA_VALUES);
  if (value !== 0) mem.copy(value, from, mem.u32[(map + MAP_VALUE_SIZE) >>> 2]!);
  return value;
}

/** A node without children, or 0. `data` is that of a key, or of another node. */
function newNode(mem: Memory, map: number, len: number, data: number, value: number): number {
  const { u32 } = mem;
  const node = takeBlock(mem, map, LPM_NODES, AREA_NODES);
  if (node === 0) return 0;
  u32[(node + LEN) >>> 2] = len;
  u32[(node + VALUE) >>> 2] = value;
  u32[(node + CHILD) >>> 2] = 0;
  u32[(node + CHILD + 4) >>> 2] = 0;
  u32[(node + CHANGES) >>> 2] = 0;
  mem.copy(node + DATA, data, u32[(map + MAP_KEY_SIZE) >>> 2]! - KEY_DATA);
  return node;
}

/** Adds or replaces a prefix. The caller holds the lock and has checked flags and length. */
export function putTrie(mem: Memory, map: number, key: number, from: number, flags: number): number {
  const { u32 } = mem;
  const len = prefixOf(mem, key);
  const data = key + KEY_DATA;
  let node = u32[(map + LPM_ROOT) >>> 2]!;
  let match = 0;
  if (node !== 0) {
    node = descend(mem, map, key, len);
    match = commonBits(mem, node + DATA, data, Math.min(lenOf(u32, node), len));
    for (let up = u32[(node + PARENT) >>> 2]!; up !== 0 && lenOf(u32, up) >= match; ) {
      node = up;
      up = u32[(node + PARENT) >>> 2]!;
    }
    if (lenOf(u32, node) === len && match === len) return putValue(mem, map, node, data, from, flags);
  }
  const bad = checkAdd(mem, map, flags);
  if (bad !== 0) return bad;
  const value = newValue(mem, map, from);
  if (value === 0) return -ENOMEM;
  const leaf = newNode(mem, map, len, data, value);
  if (leaf === 0 || !insert(mem, map, node, leaf, match)) {
    if (leaf !== 0) giveBlock(mem, map, LPM_NODES, leaf);
    giveBlock(mem, map, LPM_VALUES, value);
    return -ENOMEM;
  }
  addCount(mem, map, 1);
  tellValue(mem, leaf, 0, value);
  judgeAbove(mem, map, leaf);
  return 0;
}

/** The prefix's node is there: with a value, which is replaced, or as a fork, which gets one. */
function putValue(mem: Memory, map: number, node: number, data: number, from: number, flags: number): number {
  const { u32 } = mem;
  const old = u32[(node + VALUE) >>> 2]!;
  const bad = old === 0 ? checkAdd(mem, map, flags) : flags === BPF_NOEXIST ? -EEXIST : 0;
  if (bad !== 0) return bad;
  const value = newValue(mem, map, from);
  if (value === 0) return -ENOMEM;
  // The bits behind the prefix are the new key's.
  mem.copy(node + DATA, data, u32[(map + MAP_KEY_SIZE) >>> 2]! - KEY_DATA);
  publish(mem, node + VALUE, value);
  tellValue(mem, node, old, value);
  if (old === 0) addCount(mem, map, 1);
  else giveBlock(mem, map, LPM_VALUES, old);
  return 0;
}

/**
 * Hangs a new node in. It has `match` bits in common with `node`, the first on its way that is as long as that: it goes
 * below it, above it, or beside it under a new fork. False: no memory for the fork.
 */
function insert(mem: Memory, map: number, node: number, leaf: number, match: number): boolean {
  const { u32, u8 } = mem;
  if (node === 0) {
    u32[(leaf + PARENT) >>> 2] = 0;
    publish(mem, map + LPM_ROOT, leaf);
    return true;
  }
  if (lenOf(u32, node) === match) {
    u32[(leaf + PARENT) >>> 2] = node;
    publish(mem, node + CHILD + bit(u8, leaf + DATA, match) * 4, leaf);
    tellAdded(mem, leaf);
    return true;
  }
  let top = leaf;
  if (lenOf(u32, leaf) !== match) {
    top = newNode(mem, map, match, node + DATA, 0);
    if (top === 0) return false;
    u32[(top + CHILD + bit(u8, leaf + DATA, match) * 4) >>> 2] = leaf;
    u32[(leaf + PARENT) >>> 2] = top;
  }
  const slot = slotOf(mem, map, node);
  u32[(top + CHILD + bit(u8, node + DATA, match) * 4) >>> 2] = node;
  u32[(top + PARENT) >>> 2] = u32[(node + PARENT) >>> 2]!;
  publish(mem, slot, top);
  u32[(node + PARENT) >>> 2] = top;
  tellAdded(mem, top);
  if (top !== leaf) tellAdded(mem, leaf);
  return true;
}

/** Removes a prefix, and a fork that is none without it. The caller holds the lock and has checked the length. */
export function removeTrie(mem: Memory, map: number, key: number): number {
  const { u32 } = mem;
  const node = findExact(mem, map, key, prefixOf(mem, key));
  if (node === 0) return -ENOENT;
  const value = u32[(node + VALUE) >>> 2]!;
  const left = u32[(node + CHILD) >>> 2]!;
  const right = u32[(node + CHILD + 4) >>> 2]!;
  tellValue(mem, node, value, 0);
  if (left !== 0 && right !== 0) publish(mem, node + VALUE, 0);
  else unhang(mem, map, node, left !== 0 ? left : right);
  giveBlock(mem, map, LPM_VALUES, value);
  addCount(mem, map, -1);
  return 0;
}

/** Takes a node with at most one child out of the trie. */
function unhang(mem: Memory, map: number, node: number, child: number): void {
  const { u32 } = mem;
  let top = node;
  let below = child;
  const parent = u32[(node + PARENT) >>> 2]!;
  if (child === 0 && parent !== 0 && u32[(parent + VALUE) >>> 2] === 0) {
    top = parent;
    const left = u32[(parent + CHILD) >>> 2]!;
    below = left === node ? u32[(parent + CHILD + 4) >>> 2]! : left;
  }
  replace(mem, map, top, below);
  dropNode(mem, map, node, child);
  if (top !== node) dropNode(mem, map, top, below);
  judgeAbove(mem, map, u32[(top + PARENT) >>> 2]!);
  // The list that went with a node may have been for what is below it.
  listFor(mem, below);
}

function dropNode(mem: Memory, map: number, node: number, below: number): void {
  tellRemoved(mem, node, below);
  giveBlock(mem, map, LPM_NODES, node);
}

/** The link that leads to a node leads to what was below it now. */
function replace(mem: Memory, map: number, node: number, below: number): void {
  const { u32 } = mem;
  publish(mem, slotOf(mem, map, node), below);
  if (below !== 0) u32[(below + PARENT) >>> 2] = u32[(node + PARENT) >>> 2]!;
}

/** The first prefix of a subtree: the leftmost that has none below it. */
function firstOf(u32: Uint32Array, top: number): number {
  let node = top;
  for (;;) {
    const child = u32[(node + CHILD) >>> 2]! || u32[(node + CHILD + 4) >>> 2]!;
    if (child === 0) return node;
    node = child;
  }
}

/**
 * The node of the prefix after `key` (0: of the first), or 0: longer prefixes come before those that they begin with,
 * and the rest from left to right. A key that is not there asks for the first one.
 */
export function nextNode(mem: Memory, map: number, key: number): number {
  const { u32 } = mem;
  const root = u32[(map + LPM_ROOT) >>> 2]!;
  if (root === 0) return 0;
  const len = key === 0 ? 0 : prefixOf(mem, key);
  let node = key === 0 || len > maxPrefix(mem, map) ? 0 : findExact(mem, map, key, len);
  if (node === 0) return firstOf(u32, root);
  for (;;) {
    const parent = u32[(node + PARENT) >>> 2]!;
    if (parent === 0) return 0;
    const right = u32[(parent + CHILD + 4) >>> 2]!;
    if (right !== 0 && right !== node) return firstOf(u32, right);
    if (u32[(parent + VALUE) >>> 2] !== 0) return parent;
    node = parent;
  }
}

/** Makes parents and count again from the links, after a client died changing them. What it had in hand is lost. */
export function repairTrie(mem: Memory, map: number): void {
  const { u32 } = mem;
  let count = 0;
  let parent = 0;
  let node = u32[(map + LPM_ROOT) >>> 2]!;
  // Parents are right on the way down, so they lead up again: no stack.
  while (node !== 0) {
    u32[(node + PARENT) >>> 2] = parent;
    dropTable(mem, node);
    if (u32[(node + VALUE) >>> 2] !== 0) count++;
    let next = u32[(node + CHILD) >>> 2]! || u32[(node + CHILD + 4) >>> 2]!;
    parent = node;
    while (next === 0 && parent !== 0) {
      const right = u32[(parent + CHILD + 4) >>> 2]!;
      if (right !== 0 && right !== node) {
        next = right;
      } else {
        node = parent;
        parent = u32[(node + PARENT) >>> 2]!;
      }
    }
    node = next;
  }
  u32[(map + LPM_COUNT) >>> 2] = count;
}
