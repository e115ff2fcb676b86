/**
 * Structured code of graphs, run: it must come through the same blocks as a walk of the graph, have charged what ran
 * wherever the budget is looked at, and not run on for longer than it asked for there.
 */
import { expect, test } from "vitest";
import { randomOf } from "../../test/random.ts";
import { Code, I32 } from "../wasm/code.ts";
import { IMPORTS, MEMORY, ModuleBuilder } from "../wasm/module.ts";
import { RETURN, UNREACHABLE } from "../wasm/opcodes.ts";
import type { Block, Func, Op } from "./program.ts";
import { emitStructured, shapeOf } from "./structure.ts";

const STEPS = 200;
const STOP = Object.freeze({});
const memory = new WebAssembly.Memory({ initial: 1 });

/** Block 0 first; those that nothing leads to are left out. A block's instructions are only counted. */
function graph(edges: readonly (readonly number[])[]): Func {
  const seen = new Set([0]);
  for (const id of seen) for (const to of edges[id]!) seen.add(to);
  const kept = [...seen].sort((a, b) => a - b);
  const ids = new Map(kept.map((old, id) => [old, id]));
  const blocks = kept.map(
    (old, id): Block => ({
      id,
      ops: new Array<Op>(1 + ((old * 7) % 5)),
      next: edges[old]!.map((to) => ids.get(to)!),
    }),
  );
  return { start: 0, end: 0, blocks, calls: [] };
}

/** Whether the branch at this step of a walk is taken. */
function taken(seed: number, step: number): boolean {
  return ((Math.imul(seed ^ step, 0x9e37_79b1) ^ (step >>> 2)) & 0x1000) !== 0;
}

/** Some blocks hand the budget on, and all that are the end. */
const settles = ({ id, next }: Block): boolean => next.length === 0 || id % 5 === 3;

function walk({ blocks }: Func, seed: number): number[] {
  const path: number[] = [];
  for (let at: number | undefined = 0; at !== undefined && path.length < STEPS; ) {
    path.push(at);
    const { next }: Block = blocks[at]!;
    at = next.length < 2 || taken(seed, path.length) ? next[0] : next[1];
  }
  return path;
}

/** The function of the graph; its result: the blocks it came through with this seed. */
function compiled(func: Func): (seed: number) => number[] {
  const { blocks } = func;
  const total = blocks.reduce((sum, { ops }) => sum + ops.length, 0);
  const module = new ModuleBuilder();
  const one = { params: [I32], results: [] } as const;
  const imports = ["visit", "due", "charge"].map((name) => module.importFunction(name, one));
  const [visit, due, charge] = imports as [number, number, number];
  const look = module.importFunction("look", { params: [I32, I32], results: [] });
  const condition = module.importFunction("condition", { params: [], results: [I32] });
  const code = new Code(0);
  const tell = (to: number, value: number): void => {
    code.i32(value);
    code.call(to);
  };
  emitStructured(func, {
    code,
    settles,
    charge: (count) => tell(charge, count),
    body: ({ id, next }, count) => {
      tell(due, count);
      tell(visit, id);
      if (next.length === 0) code.op(RETURN);
    },
    condition: () => code.call(condition),
    check: ({ id }, need) => {
      code.i32(id);
      tell(look, need);
    },
    dispatchLocal: () => code.local(I32),
  });
  code.op(UNREACHABLE);
  const run = module.declare({ params: [], results: [] });
  module.define(run, code);
  module.exportFunction("run", run);

  let [seed, charged, ran, enough] = [0, 0, 0, 0];
  let path: number[] = [];
  const isCharged = (where: string): void => {
    if (charged !== ran) expect.fail(`${where} ${charged} are charged, ${ran} ran`);
  };
  const instance = new WebAssembly.Instance(new WebAssembly.Module(module.bytes(undefined)), {
    [IMPORTS]: {
      [MEMORY]: memory,
      due: (count: number) => {
        if (charged + count !== ran) expect.fail(`${charged} are charged, ${count} are due, ${ran} ran`);
      },
      visit: (id: number) => {
        if (path.length === STEPS) throw STOP;
        path.push(id);
        ran += blocks[id]!.ops.length;
        // However it turns, it comes to where the budget is looked at.
        if (ran > enough) expect.fail(`${enough} were asked for, ${ran} ran: ${path}`);
        if (!settles(blocks[id]!)) return;
        isCharged(`in block ${id}`);
        // Who knows what is left.
        enough = 0;
      },
      charge: (count: number) => {
        charged += count;
      },
      look: (id: number, need: number) => {
        isCharged(`in front of block ${id}`);
        if (need > total) expect.fail(`${need} are asked for, there are ${total}`);
        enough = ran + need;
      },
      condition: () => (taken(seed, path.length) ? 4 : 0),
    },
  });
  return (walked) => {
    [seed, charged, ran, enough] = [walked, 0, 0, 0];
    path = [];
    try {
      (instance.exports["run"] as () => void)();
    } catch (error) {
      if (error !== STOP) throw error;
    }
    return path;
  };
}

const textOf = ({ blocks }: Func): string => JSON.stringify(blocks.map(({ next }) => next));

/** The code goes as the graph does, for several seeds. Returns how often it came to an end. */
function check(func: Func, seeds = 4): number {
  const run = compiled(func);
  let ends = 0;
  for (let seed = 1; seed <= seeds; seed++) {
    const path = walk(func, seed);
    const found = run(seed);
    // Not by `expect`: it is slow on thousands.
    if (found.join() !== path.join()) expect(found, textOf(func)).toEqual(path);
    if (path.length < STEPS) ends++;
  }
  return ends;
}

/** Whether blocks with one predecessor can be taken into it, again and again, until one is left (Hecht and Ullman). */
function collapses({ blocks }: Func): boolean {
  const next = new Map(blocks.map((block) => [block.id, new Set(block.next)]));
  for (let changed = true; changed; ) {
    changed = false;
    for (const [id, to] of next) to.delete(id);
    for (const id of next.keys()) {
      const before = [...next].filter(([, to]) => to.has(id));
      if (id === 0 || before.length !== 1) continue;
      const [, into] = before[0]!;
      into.delete(id);
      for (const to of next.get(id)!) into.add(to);
      next.delete(id);
      changed = true;
      break;
    }
  }
  return next.size === 1;
}

/** Edges of any kind between blocks; `back`: one in so many leads back or to itself. */
function randomGraph(random: (n: number) => number, size: number, back: number): Func {
  const ahead = (id: number): number => Math.min(size - 1, id + 1 + (random(3) === 0 ? random(size) : random(3)));
  return graph(
    Array.from({ length: size }, (_, id) => {
      if (id === size - 1 || random(40) === 0) return [];
      const jump = random(back) === 0 ? random(id + 1) : ahead(id);
      return random(6) === 0 ? [jump] : [jump, random(3) === 0 ? ahead(id) : id + 1];
    }),
  );
}

/** Sequences, ifs, loops with exits and turns anywhere in them: what compilers make. */
function randomNest(random: (n: number) => number): Func {
  const edges: number[][] = [];
  const add = (): number => edges.push([]) - 1;
  /** From block `from`; returns the block it ends in. `loops`: heads and ends of the loops around it. */
  const nest = (from: number, depth: number, loops: readonly (readonly [number, number])[]): number => {
    let at = from;
    for (let pieces = 1 + random(3); pieces > 0; pieces--) {
      const kind = depth === 0 ? 0 : random(4);
      const around = loops[random(Math.max(1, loops.length))];
      if (kind === 0 && around !== undefined) {
        const on = add();
        edges[at]!.push(around[random(2)]!, on);
        at = on;
      } else if (kind === 1) {
        const [yes, no, behind] = [add(), add(), add()];
        edges[at]!.push(yes, no);
        edges[nest(yes, depth - 1, loops)]!.push(behind);
        edges[nest(no, depth - 1, loops)]!.push(behind);
        at = behind;
      } else if (kind > 1) {
        const [head, behind] = [add(), add()];
        edges[at]!.push(head);
        const last = nest(head, depth - 1, [...loops, [head, behind]]);
        // One that is left at its end, or in the middle only, if at all.
        if (random(3) > 0) edges[last]!.push(head, behind);
        else edges[last]!.push(head);
        at = behind;
      } else {
        const on = add();
        edges[at]!.push(on);
        at = on;
      }
    }
    return at;
  };
  nest(add(), 3, []);
  return graph(edges);
}

const shapes: Readonly<Record<string, readonly [readonly (readonly number[])[], boolean]>> = {
  "one block": [[[]], true],
  "a block that leads to itself, for ever": [[[0]], true],
  "a first block that leads to itself": [[[0, 1], []], true],
  "a jump and what follows it lead to the same": [[[1, 1], [2, 2], []], true],
  "a diamond": [[[2, 1], [3], [3], []], true],
  "two ends": [[[1, 2], [], []], true],
  "a loop with two back edges and two exits": [[[1], [2, 5], [1, 3], [4, 5], [1], []], true],
  "a loop whose head is the entry": [[[1], [2, 3], [0], []], true],
  "loops in loops with one head": [[[1], [2], [1, 3], [1, 4], [1, 5], []], true],
  "out of the inner loop into the outer one and past it": [[[1], [2], [2, 3], [1, 4], [2, 5], []], true],
  "a loop with two entries": [[[1, 2], [2], [1, 3], []], false],
  "two entries into a loop that both turn": [[[2, 1], [2, 3], [1, 3], []], false],
  "a loop with two entries in a loop with one": [[[1], [2, 3], [3], [2, 4], [1, 5], []], false],
};

test.each(Object.entries(shapes))("%s", (_, [edges, reducible]) => {
  const func = graph(edges);
  expect(shapeOf(func.blocks).reducible).toBe(reducible);
  check(func, 8);
});

test("random graphs, with loops of one entry and of several", () => {
  const random = randomOf(5);
  const count = { reducible: 0, irreducible: 0, ends: 0 };
  for (let i = 0; i < 200; i++) {
    const func = randomGraph(random, 2 + random(i % 2 === 0 ? 30 : 10), 2 + random(4));
    const { reducible } = shapeOf(func.blocks);
    expect(reducible, textOf(func)).toBe(collapses(func));
    count[reducible ? "reducible" : "irreducible"]++;
    count.ends += check(func);
  }
  expect(Math.min(count.reducible, count.irreducible)).toBeGreaterThan(25);
  expect(count.ends).toBeGreaterThan(200);
});

test("random nests of loops and branches need no dispatcher", () => {
  const random = randomOf(6);
  let ends = 0;
  for (let i = 0; i < 60; i++) {
    const func = randomNest(random);
    expect(shapeOf(func.blocks).reducible).toBe(true);
    ends += check(func);
  }
  expect(ends).toBeGreaterThan(60);
});

const LONG = 5000;
const chains: Readonly<Record<string, (id: number, last: number) => number[]>> = {
  "blocks one after the other": (id) => [id + 1],
  "tests that all lead to the end": (id, last) => [last, id + 1],
  "tests that all go on where they are taken": (id, last) => [id + 1, last],
  "tests that each skip a block": (id, last) => [Math.min(id + 2, last), id + 1],
  "loops of a block each": (id) => [id, id + 1],
  "tests that lead back to the beginning": (id) => [0, id + 1],
};

test.each(Object.entries(chains))("5,000 blocks: %s", (_, edges) => {
  check(graph(Array.from({ length: LONG }, (__, id) => (id === LONG - 1 ? [] : edges(id, LONG - 1)))), 2);
});

test("5,000 loops, each in the one before", () => {
  // Heads ahead, then their ends in the reverse order.
  const edges = Array.from({ length: 2 * LONG }, (_, id) => {
    if (id === 2 * LONG - 1) return [];
    return id < LONG ? [id + 1] : [2 * LONG - 1 - id, id + 1];
  });
  check(graph(edges), 1);
});
