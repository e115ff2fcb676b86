/**
 * Trees of objects: a bpf_rb_root owns the objects whose bpf_rb_node is in it, in a red-black tree. All links lie in slots,
 * out of the program's reach (`objects.ts`); whoever calls holds SB_OBJECTS_LOCK. Programs can walk the tree, so it has
 * the shape that the kernel's has. Kernel counterpart: lib/rbtree.c.
 */
import type { Memory } from "../mem/memory.ts";

/** A node's slot: the root it belongs to, parent (bit 0: red), children; owner 0 while it is in no tree. */
const OWNER = 0;
const PARENT = 4;
export const LEFT = 8;
export const RIGHT = 12;
const RED = 1;
/** No tree that fits into the memory is deeper: of a client that died changing one, what is left may have a ring in it. */
const MAX_DEPTH = 128;

const get = ({ u32 }: Memory, node: number, field: number): number => u32[(node + field) >>> 2]!;
const set = ({ u32 }: Memory, node: number, field: number, value: number): void => {
  u32[(node + field) >>> 2] = value;
};
const parentOf = (mem: Memory, node: number): number => (get(mem, node, PARENT) & ~RED) >>> 0;
const isRed = (mem: Memory, node: number): boolean => node !== 0 && (get(mem, node, PARENT) & RED) !== 0;
const setParent = (mem: Memory, node: number, parent: number): void => {
  set(mem, node, PARENT, (parent | (get(mem, node, PARENT) & RED)) >>> 0);
};
const paint = (mem: Memory, node: number, red: boolean): void => {
  set(mem, node, PARENT, (parentOf(mem, node) | (red ? RED : 0)) >>> 0);
};
const across = (side: number): number => (side === LEFT ? RIGHT : LEFT);

export function rootNode(mem: Memory, root: number): number {
  return get(mem, root, 0);
}

/** Whether the node is in the tree of this root. */
export function isIn(mem: Memory, root: number, node: number): boolean {
  return get(mem, node, OWNER) === root;
}

export function isInTree(mem: Memory, node: number): boolean {
  return get(mem, node, OWNER) !== 0;
}

/** The child on one side, or 0. */
export function childOf(mem: Memory, node: number, side: number): number {
  return get(mem, node, side);
}

/** The node that comes first, or 0. */
export function firstNode(mem: Memory, root: number): number {
  let node = rootNode(mem, root);
  for (let i = 0; i < MAX_DEPTH && node !== 0 && get(mem, node, LEFT) !== 0; i++) node = get(mem, node, LEFT);
  return node;
}

/** Puts `node`, which is in no tree, below `parent` (0: there is no node yet) on a side that is free. */
export function insertNode(mem: Memory, root: number, node: number, parent: number, side: number): void {
  set(mem, node, LEFT, 0);
  set(mem, node, RIGHT, 0);
  set(mem, node, PARENT, (parent | RED) >>> 0);
  set(mem, node, OWNER, root);
  if (parent === 0) set(mem, root, 0, node);
  else set(mem, parent, side, node);
  balanceInsert(mem, root, node);
}

function balanceInsert(mem: Memory, root: number, from: number): void {
  let node = from;
  for (let i = 0; i < MAX_DEPTH && isRed(mem, parentOf(mem, node)); i++) {
    let parent = parentOf(mem, node);
    const above = parentOf(mem, parent);
    const side = get(mem, above, LEFT) === parent ? LEFT : RIGHT;
    const uncle = get(mem, above, across(side));
    if (isRed(mem, uncle)) {
      paint(mem, parent, false);
      paint(mem, uncle, false);
      paint(mem, above, true);
      node = above;
      continue;
    }
    if (get(mem, parent, across(side)) === node) {
      rotate(mem, root, parent, side);
      parent = node;
    }
    paint(mem, parent, false);
    paint(mem, above, true);
    rotate(mem, root, above, across(side));
    break;
  }
  paint(mem, rootNode(mem, root), false);
}

/** The node goes down to this side; its child on the other side takes its place. */
function rotate(mem: Memory, root: number, node: number, side: number): void {
  const other = across(side);
  const child = get(mem, node, other);
  const inner = get(mem, child, side);
  set(mem, node, other, inner);
  if (inner !== 0) setParent(mem, inner, node);
  replaceChild(mem, root, node, child);
  setParent(mem, child, parentOf(mem, node));
  set(mem, child, side, node);
  setParent(mem, node, child);
}

/** Where `old` hangs, `node` (or nothing, 0) hangs from now on; its own parent is the caller's to set. */
function replaceChild(mem: Memory, root: number, old: number, node: number): void {
  const parent = parentOf(mem, old);
  if (parent === 0) set(mem, root, 0, node);
  else set(mem, parent, get(mem, parent, LEFT) === old ? LEFT : RIGHT, node);
}

/** Takes a node of this tree out. */
export function removeNode(mem: Memory, root: number, node: number): void {
  const left = get(mem, node, LEFT);
  const right = get(mem, node, RIGHT);
  if (left !== 0 && right !== 0) removeInner(mem, root, node);
  else removeOuter(mem, root, node, left !== 0 ? left : right);
  for (let i = 0; i < 4; i++) set(mem, node, i * 4, 0);
}

/** A node with one child at most, which takes its place. */
function removeOuter(mem: Memory, root: number, node: number, child: number): void {
  const parent = parentOf(mem, node);
  replaceChild(mem, root, node, child);
  if (child !== 0) setParent(mem, child, parent);
  if (!isRed(mem, node)) balanceRemove(mem, root, child, parent);
}

/** A node with two children: the one that comes next takes its place and its colour. */
function removeInner(mem: Memory, root: number, node: number): void {
  let next = get(mem, node, RIGHT);
  for (let i = 0; i < MAX_DEPTH && get(mem, next, LEFT) !== 0; i++) next = get(mem, next, LEFT);
  const black = !isRed(mem, next);
  const below = get(mem, next, RIGHT);
  let parent = parentOf(mem, next);
  if (parent === node) {
    parent = next;
  } else {
    set(mem, parent, LEFT, below);
    if (below !== 0) setParent(mem, below, parent);
    set(mem, next, RIGHT, get(mem, node, RIGHT));
    setParent(mem, get(mem, node, RIGHT), next);
  }
  replaceChild(mem, root, node, next);
  set(mem, next, PARENT, get(mem, node, PARENT));
  set(mem, next, LEFT, get(mem, node, LEFT));
  setParent(mem, get(mem, node, LEFT), next);
  if (black) balanceRemove(mem, root, below, parent);
}

/** One black node is missing on the way to `from` (0: nothing is there), a child of `above`. */
function balanceRemove(mem: Memory, root: number, from: number, above: number): void {
  let node = from;
  let parent = above;
  for (let i = 0; i < MAX_DEPTH && parent !== 0 && !isRed(mem, node); i++) {
    const side = get(mem, parent, LEFT) === node ? LEFT : RIGHT;
    const other = across(side);
    let sibling = get(mem, parent, other);
    if (isRed(mem, sibling)) {
      paint(mem, sibling, false);
      paint(mem, parent, true);
      rotate(mem, root, parent, side);
      sibling = get(mem, parent, other);
    }
    if (sibling === 0) break;
    if (!isRed(mem, get(mem, sibling, LEFT)) && !isRed(mem, get(mem, sibling, RIGHT))) {
      paint(mem, sibling, true);
      node = parent;
      parent = parentOf(mem, node);
      continue;
    }
    if (!isRed(mem, get(mem, sibling, other))) {
      paint(mem, get(mem, sibling, side), false);
      paint(mem, sibling, true);
      rotate(mem, root, sibling, other);
      sibling = get(mem, parent, other);
    }
    paint(mem, sibling, isRed(mem, parent));
    paint(mem, parent, false);
    paint(mem, get(mem, sibling, other), false);
    rotate(mem, root, parent, side);
    return;
  }
  if (node !== 0) paint(mem, node, false);
}

/** Takes any node without children out, without keeping the tree in balance: to empty it. 0: it is empty. */
export function takeLeaf(mem: Memory, root: number): number {
  let node = rootNode(mem, root);
  if (node === 0) return 0;
  for (let i = 0; i < MAX_DEPTH; i++) {
    const below = get(mem, node, LEFT) || get(mem, node, RIGHT);
    if (below === 0) break;
    node = below;
  }
  replaceChild(mem, root, node, 0);
  for (let i = 0; i < 4; i++) set(mem, node, i * 4, 0);
  return node;
}
