/**
 * Random programs must be able to fail: bugs are planted in the interpreter and the compiler, one at a time, and each must be found.
 */
import { afterAll, afterEach, expect, test, vi } from "vitest";
import type { Emitter } from "../../../src/jit/emitter.ts";
import type { Op } from "../../../src/jit/program.ts";
import type { Handler } from "../../../src/vm/handler.ts";
import { closeHosts, openHosts } from "../hosts.ts";
import { ProgramRunner } from "./run.ts";

/** The interpreter's tables look here first; the compiler takes another instruction than there is. */
const planted = vi.hoisted(() => new Map<string, unknown>());

type Table = Readonly<Record<string, Handler>>;

/** Handlers that ask, each time, whether there is another one in their place. */
const plantable = vi.hoisted(() => (name: string, table: Table): Table => {
  const entries = Object.entries(table).map(([op, handler]): [string, Handler] => {
    const key = `${name}.${op}`;
    return [op, (...args) => ((planted.get(key) as Handler | undefined) ?? handler)(...args)];
  });
  return Object.fromEntries(entries);
});

const otherThan = vi.hoisted(() => (name: string, op: Op): Op => {
  const change = planted.get(name) as ((op: Op) => Op) | undefined;
  return change === undefined ? op : change(op);
});

vi.mock("../../../src/vm/alu64.ts", async (original) => {
  const real = await original<typeof import("../../../src/vm/alu64.ts")>();
  const { toLe, swapBytes } = plantable("end", { toLe: real.toLe, swapBytes: real.swapBytes });
  return { ...real, alu64: plantable("alu64", real.alu64), toLe, swapBytes };
});
vi.mock("../../../src/vm/alu32.ts", async (original) => {
  const real = await original<typeof import("../../../src/vm/alu32.ts")>();
  return { ...real, alu32: plantable("alu32", real.alu32) };
});
vi.mock("../../../src/vm/jump.ts", async (original) => {
  const real = await original<typeof import("../../../src/vm/jump.ts")>();
  return { ...real, jump32: plantable("jump32", real.jump32), jump64: plantable("jump64", real.jump64) };
});
vi.mock("../../../src/vm/load_store.ts", async (original) => {
  const real = await original<typeof import("../../../src/vm/load_store.ts")>();
  const loads = plantable("loads", real.loads as unknown as Table);
  return { ...real, loads, signedLoads: plantable("signedLoads", real.signedLoads as unknown as Table) };
});
vi.mock("../../../src/jit/emit_alu.ts", async (original) => {
  const real = await original<typeof import("../../../src/jit/emit_alu.ts")>();
  return { ...real, emitAlu: (e: Emitter, op: Op) => real.emitAlu(e, otherThan("emitAlu", op)) };
});
vi.mock("../../../src/jit/emit_memory.ts", async (original) => {
  const real = await original<typeof import("../../../src/jit/emit_memory.ts")>();
  return { ...real, emitLoad: (e: Emitter, op: Op) => real.emitLoad(e, otherThan("emitLoad", op)) };
});

const hosts = openHosts();
const runner = hosts.kernel === undefined ? undefined : new ProgramRunner(hosts.kernel, 1, false);
afterAll(() => {
  runner?.dispose();
  closeHosts(hosts);
});
afterEach(() => planted.clear());

interface Mutation {
  readonly what: string;
  readonly at: string;
  /** Programs before this one do not tell, which takes seconds to see: the search begins a little in front of one that does. */
  readonly from: number;
  readonly handler: Handler | ((op: Op) => Op);
}

const mutations: readonly Mutation[] = [
  {
    what: "64-bit addition without carry",
    at: "alu64.add",
    from: 0,
    handler: ({ u32 }, d, low, high) => {
      u32[d] = u32[d]! + (low >>> 0);
      u32[d + 1] = u32[d + 1]! + high;
    },
  },
  {
    what: "32-bit addition that leaves the upper half",
    at: "alu32.add",
    from: 10,
    handler: ({ u32 }, d, low) => {
      u32[d] = u32[d]! + low;
    },
  },
  {
    what: "an arithmetic shift that shifts zeros in",
    at: "alu64.arsh",
    from: 30,
    handler: ({ u32 }, d, low) => {
      const value = ((BigInt(u32[d + 1]!) << 32n) | BigInt(u32[d]!)) >> BigInt(low & 63);
      u32[d] = Number(value & 0xffff_ffffn);
      u32[d + 1] = Number(value >> 32n);
    },
  },
  {
    what: "a 32-bit shift by more than 31 that is not masked",
    at: "alu32.lsh",
    from: 120,
    handler: ({ u32 }, d, low) => {
      u32[d] = (low & 63) > 31 ? 0 : u32[d]! << low;
      u32[d + 1] = 0;
    },
  },
  {
    what: "signed division that does not know signs",
    at: "alu32.div",
    from: 40,
    handler: ({ u32 }, d, low) => {
      u32[d] = low === 0 ? 0 : u32[d]! / (low >>> 0);
      u32[d + 1] = 0;
    },
  },
  {
    what: "a remainder by zero that is zero",
    at: "alu32.mod",
    from: 70,
    handler: ({ u32, i32 }, d, low, _high, w) => {
      u32[d] = low === 0 ? 0 : w >> 16 !== 0 ? i32[d]! % low : u32[d]! % (low >>> 0);
      u32[d + 1] = 0;
    },
  },
  {
    what: "a sign extension from 8 bits, whatever is asked for",
    at: "alu64.mov",
    from: 460,
    handler: ({ u32 }, d, low, high, w) => {
      u32[d] = w >> 16 === 0 ? low : (low << 24) >> 24;
      u32[d + 1] = w >> 16 === 0 ? high : (low << 24) >> 31;
    },
  },
  {
    what: "a byte swap of 16 bits that keeps what is above",
    at: "end.swapBytes",
    from: 60,
    handler: ({ u32 }, d, _low, _high, _w, width) => {
      const swap = (x: number): number => ((x << 24) | ((x & 0xff00) << 8) | ((x >>> 8) & 0xff00) | (x >>> 24)) >>> 0;
      const low = u32[d]!;
      if (width === 16) u32[d] = (low & 0xffff_0000) | (swap(low) >>> 16);
      else u32[d] = width === 32 ? swap(low) : swap(u32[d + 1]!);
      u32[d + 1] = width === 64 ? swap(low) : 0;
    },
  },
  {
    what: "JSET that looks at the lower half only",
    at: "jump64.jset",
    from: 70,
    handler: (m, d, low, _high, w) => {
      if ((m.u32[d]! & low) !== 0) m.pc += w >> 16;
    },
  },
  {
    what: "an unsigned 32-bit comparison that is signed",
    at: "jump32.jgt",
    from: 100,
    handler: (m, d, low, _high, w) => {
      if (m.i32[d]! > (low | 0)) m.pc += w >> 16;
    },
  },
  {
    what: "compiled 32-bit arithmetic of all 64 bits",
    at: "emitAlu",
    from: 10,
    handler: (op: Op): Op => ({ ...op, row: { ...op.row, bits: 64 } }),
  },
  {
    what: "compiled loads that do not extend the sign",
    at: "emitLoad",
    from: 0,
    handler: (op: Op): Op => ({ ...op, row: { ...op.row, signed: false } }),
  },
];

/** What the first program tells that is not the same with this bug. */
function found({ at, from, handler }: Mutation, by: ProgramRunner): string | undefined {
  planted.set(at, handler);
  for (let index = from; index < from + 1000; index++) {
    const outcome = by.compare(index);
    if (outcome.kind === "different") return outcome.what;
  }
  return undefined;
}

test.skipIf(runner === undefined).each(mutations)("$what is found", (mutation) => {
  expect(found(mutation, runner!)).toBeDefined();
});

test.skipIf(runner === undefined)("a difference is made short", () => {
  const shrinking = new ProgramRunner(hosts.kernel!, 1);
  const difference = found(mutations[0]!, shrinking);
  shrinking.dispose();
  // Every program begins and ends with some fifty.
  expect(Number(/(\d+) instructions show it/.exec(difference!)?.[1])).toBeLessThan(70);
});

test.skipIf(runner === undefined)("without one nothing is found", () => {
  for (let index = 0; index < 30; index++) expect(runner!.compare(index).kind).not.toBe("different");
});
