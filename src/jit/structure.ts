/**
 * Control flow as WebAssembly has it: blocks, loops and ifs instead of jumps. The blocks are walked along the dominator
 * tree (Ramsey, "Beyond Relooper", ICFP 2022): a block that several others lead to follows the end of a wasm block, one
 * that something leads back to is a wasm loop. Where a loop has two entries (an irreducible graph) this does not work,
 * and all blocks stand in one loop that dispatches by a number.
 */

import type { Code } from "../wasm/code.ts";
import { BLOCK, BR_TABLE, ELSE, IF } from "../wasm/opcodes.ts";
import type { Block, Func } from "./program.ts";

/** What a function's emitter adds to the skeleton. */
export interface BlockEmitter {
  readonly code: Code;
  /** Takes so many instructions from the budget. */
  charge(count: number): void;
  /** Whether the block's own code hands on what is left of the budget: then what is due is charged in front of it. */
  settles(block: Block): boolean;
  /**
   * The block's instructions, without its last where that is a jump. `due`: how many ran in front of it and were not
   * charged; below 0: so many of its own were.
   */
  body(block: Block, due: number): void;
  /** Leaves a number on the stack that is not 0 where the conditional jump at the block's end is taken. */
  condition(block: Block): void;
  /**
   * In front of the block, where nothing is due: goes on only with a budget of `need`, as many instructions as run at most
   * until the next such place.
   */
  check(block: Block, need: number): void;
  /** A local for the number of the next block. */
  dispatchLocal(): number;
}

interface Shape {
  /** Reverse post-order: position → block, and block → position. */
  readonly order: readonly number[];
  readonly position: readonly number[];
  /** Several blocks lead forward to it. */
  readonly merge: readonly boolean[];
  /** By block: those of its children in the dominator tree to which several lead, in order. */
  readonly merges: readonly (readonly number[])[];
  readonly loop: readonly boolean[];
  readonly reducible: boolean;
}

export function emitStructured(func: Func, emitter: BlockEmitter): void {
  const shape = shapeOf(func.blocks);
  if (shape.reducible) emitTree(func.blocks, shape, needsOf(func.blocks, shape, emitter), emitter);
  else emitDispatch(func.blocks, emitter);
}

/**
 * The budget is looked at where a function or a loop begins, and behind what may have taken from it. By block: what has to
 * be left of it there; 0: it is not looked at.
 */
function needsOf(
  blocks: readonly Block[],
  { order, loop }: Shape,
  { settles }: Pick<BlockEmitter, "settles">,
): readonly number[] {
  const checked = [...loop];
  checked[0] = true;
  for (const block of blocks) if (settles(block)) for (const to of block.next) checked[to] = true;
  /** Instructions from the block on, until the next look. */
  const longest: number[] = [];
  for (let i = order.length - 1; i >= 0; i--) {
    const id = order[i]!;
    const { ops, next } = blocks[id]!;
    longest[id] = next.reduce(
      (most, to) => (checked[to] ? most : Math.max(most, ops.length + longest[to]!)),
      ops.length,
    );
  }
  return longest.map((need, id) => (checked[id] ? need : 0));
}

/** Blocks that can be reached only; the first is the entry. */
export function shapeOf(blocks: readonly Block[]): Shape {
  const order = reversePostOrder(blocks);
  const position: number[] = new Array<number>(blocks.length).fill(0);
  for (let at = 0; at < order.length; at++) position[order[at]!] = at;
  const before: number[][] = [];
  for (let id = 0; id < blocks.length; id++) before.push([]);
  for (let id = 0; id < blocks.length; id++) for (const to of blocks[id]!.next) before[to]!.push(id);
  const dominator = dominators(order, position, before);
  const merge: boolean[] = [];
  const loop: boolean[] = [];
  const merges: number[][] = blocks.map(() => []);
  let reducible = true;
  for (const id of order) {
    let forward = 0;
    loop[id] = false;
    for (const from of before[id]!) {
      if (position[from]! < position[id]!) {
        forward++;
      } else {
        loop[id] = true;
        reducible &&= dominates(dominator, position, id, from);
      }
    }
    merge[id] = forward > 1;
    if (forward > 1) merges[dominator[id]!]!.push(id);
  }
  return { order, position, merge, merges, loop, reducible };
}

/** Blocks that can be reached only. */
export function reversePostOrder(blocks: readonly Block[]): number[] {
  const { length } = blocks;
  const order: number[] = new Array<number>(length).fill(0);
  /** By block: how many of those that follow were looked at; -1: it was not met. */
  const looked: number[] = new Array<number>(length).fill(-1);
  const open = [0];
  looked[0] = 0;
  let place = length;
  while (open.length > 0) {
    const id = open[open.length - 1]!;
    const { next } = blocks[id]!;
    const at = looked[id]!;
    if (at === next.length) {
      order[--place] = id;
      open.pop();
      continue;
    }
    looked[id] = at + 1;
    const to = next[at]!;
    if (looked[to]! >= 0) continue;
    looked[to] = 0;
    open.push(to);
  }
  return order;
}

/** Immediate dominators, by the iteration of Cooper, Harvey and Kennedy. */
function dominators(order: readonly number[], position: readonly number[], before: readonly number[][]): number[] {
  const dominator: number[] = [];
  dominator[0] = 0;
  const common = (a: number, b: number): number => {
    let x = a;
    let y = b;
    while (x !== y) {
      while (position[x]! > position[y]!) x = dominator[x]!;
      while (position[y]! > position[x]!) y = dominator[y]!;
    }
    return x;
  };
  for (let changed = true; changed; ) {
    changed = false;
    for (const id of order) {
      if (id === 0) continue;
      let found: number | undefined;
      for (const from of before[id]!) {
        if (dominator[from] === undefined) continue;
        found = found === undefined ? from : common(found, from);
      }
      if (found !== dominator[id]) {
        dominator[id] = found!;
        changed = true;
      }
    }
  }
  return dominator;
}

function dominates(dominator: readonly number[], position: readonly number[], a: number, b: number): boolean {
  let at = b;
  while (position[at]! > position[a]!) at = dominator[at]!;
  return at === a;
}

/** A work list instead of a recursion: programs may be chains of thousands of blocks. */
function emitTree(blocks: readonly Block[], shape: Shape, needs: readonly number[], emitter: BlockEmitter): void {
  const { code } = emitter;
  /** Block → the level that a branch to it takes. */
  const levels: number[] = [];
  const work: (() => void)[] = [];
  const isBranch = (from: number, to: number): boolean =>
    shape.merge[to]! || shape.position[to]! <= shape.position[from]!;

  /** Leaves for a block that several lead to, where nothing is due any more. */
  const branch = (to: number, due: number): void => {
    if (due > 0) emitter.charge(due);
    code.br(levels[to]!);
  };
  /** Goes on in `to`: by a branch, or by its code right here, which takes over what is due. */
  const goTo = (from: number, to: number, due: number): void => {
    if (isBranch(from, to)) branch(to, due);
    else tree(to, due);
  };
  /** `carried`: instructions that ran in front of the block and were not charged. */
  const leave = (block: Block, carried: number): void => {
    const count = block.ops.length;
    let due = carried + count;
    if (emitter.settles(block)) {
      emitter.charge(due);
      due = 0;
    }
    emitter.body(block, due - count);
    const first = block.next[0];
    const second = block.next[1];
    if (first === undefined) return;
    if (second === undefined || second === first) {
      goTo(block.id, first, due);
      return;
    }
    emitter.condition(block);
    if (isBranch(block.id, first) && due === 0) {
      code.br(levels[first]!, true);
      goTo(block.id, second, due);
      return;
    }
    code.open(IF);
    if (isBranch(block.id, first)) {
      branch(first, due);
      code.end();
      goTo(block.id, second, due);
      return;
    }
    work.push(() => {
      code.op(ELSE);
      work.push(() => code.end());
      goTo(block.id, second, due);
    });
    tree(first, due);
  };
  /** The block and all that it dominates. */
  const tree = (id: number, carried: number): void => {
    const isLoop = shape.loop[id]!;
    // What ran in front of a loop is charged there, once for all its turns.
    const due = isLoop ? 0 : carried;
    if (isLoop) {
      if (carried > 0) emitter.charge(carried);
      levels[id] = code.loop();
      work.push(() => code.end());
    }
    // The one that comes last in order is outermost, and its code last.
    const merges = shape.merges[id]!;
    for (let i = merges.length - 1; i >= 0; i--) {
      const child = merges[i]!;
      levels[child] = code.open(BLOCK);
      work.push(() => {
        code.end();
        tree(child, 0);
      });
    }
    work.push(() => {
      if (needs[id]! > 0) emitter.check(blocks[id]!, needs[id]!);
      leave(blocks[id]!, due);
    });
  };
  tree(0, 0);
  for (let next = work.pop(); next !== undefined; next = work.pop()) next();
}

function emitDispatch(blocks: readonly Block[], emitter: BlockEmitter): void {
  const { code } = emitter;
  const next = emitter.dispatchLocal();
  const loop = code.loop();
  const levels: number[] = [];
  for (let id = blocks.length - 1; id >= 0; id--) levels[id] = code.open(BLOCK);
  code.get(next);
  code.op(BR_TABLE);
  code.u32(blocks.length - 1);
  for (let id = 0; id < blocks.length; id++) code.u32(code.depth - levels[id]!);
  const goTo = (to: number): void => {
    code.i32(to);
    code.set(next);
    code.br(loop);
  };
  for (const block of blocks) {
    code.end();
    emitter.check(block, block.ops.length);
    emitter.charge(block.ops.length);
    emitter.body(block, -block.ops.length);
    const [first, second] = block.next;
    if (second !== undefined && second !== first) {
      emitter.condition(block);
      code.open(IF);
      goTo(first!);
      code.end();
      goTo(second);
    } else if (first !== undefined) {
      goTo(first);
    }
  }
  code.end();
}
