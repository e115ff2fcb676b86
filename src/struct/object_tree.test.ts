import { expect, test } from "vitest";
import { alloc, initAlloc } from "../mem/alloc.ts";
import { type Memory, reserveMemory } from "../mem/memory.ts";
import {
  childOf,
  firstNode,
  insertNode,
  isIn,
  isInTree,
  LEFT,
  RIGHT,
  removeNode,
  rootNode,
  takeLeaf,
} from "./object_tree.ts";

/** Black nodes down to each leaf, after all rules were looked at; `keys` collects them in order. */
function blackHeight(mem: Memory, node: number, parent: number, keyOf: Map<number, number>, keys: number[]): number {
  if (node === 0) return 1;
  const word = mem.u32[(node + 4) >>> 2]!;
  const red = (word & 1) === 1;
  // 300,000 nodes are looked at: `expect` would take longer than all else.
  if ((word & ~1) >>> 0 !== parent) throw new Error(`node ${node} names a parent that is not ${parent}`);
  if (red && parent !== 0 && (mem.u32[(parent + 4) >>> 2]! & 1) !== 0)
    throw new Error(`${node} and its parent are red`);
  const left = blackHeight(mem, childOf(mem, node, LEFT), node, keyOf, keys);
  keys.push(keyOf.get(node)!);
  const right = blackHeight(mem, childOf(mem, node, RIGHT), node, keyOf, keys);
  if (left !== right) throw new Error(`below ${node} are ${left} black nodes to the left, ${right} to the right`);
  return left + (red ? 0 : 1);
}

test("a red-black tree keeps its rules under random inserts and removals", () => {
  const mem = reserveMemory(64, false);
  initAlloc(mem, 64);
  const root = alloc(mem, 16);
  const nodes = Array.from({ length: 200 }, () => alloc(mem, 16));
  const keyOf = new Map<number, number>();
  const inTree = new Set<number>();
  let seed = 7;
  const random = (n: number): number => {
    seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff;
    return (seed >>> 8) % n;
  };
  for (let i = 0; i < 3000; i++) {
    const node = nodes[random(nodes.length)]!;
    if (inTree.has(node)) {
      removeNode(mem, root, node);
      inTree.delete(node);
    } else {
      const key = random(100);
      keyOf.set(node, key);
      let parent = 0;
      let side = LEFT;
      for (let at = rootNode(mem, root); at !== 0; at = childOf(mem, at, side)) {
        parent = at;
        side = key < keyOf.get(at)! ? LEFT : RIGHT;
      }
      insertNode(mem, root, node, parent, side);
      inTree.add(node);
    }
    expect(isInTree(mem, node)).toBe(inTree.has(node));
    if (i % 50 !== 0) continue;
    const keys: number[] = [];
    blackHeight(mem, rootNode(mem, root), 0, keyOf, keys);
    expect(keys).toEqual([...inTree].map((each) => keyOf.get(each)!).sort((a, b) => a - b));
    if (inTree.size > 0) expect(keyOf.get(firstNode(mem, root))).toBe(keys[0]);
  }
  expect([...inTree].every((node) => isIn(mem, root, node))).toBe(true);
  let count = 0;
  while (takeLeaf(mem, root) !== 0) count++;
  expect(count).toBe(inTree.size);
});
