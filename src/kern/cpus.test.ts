/** CPUs whose clients end in the middle: they died, or had no room left on their stack. */
import { expect, test } from "vitest";
import { loadProgram, testRun } from "../../test/conformance/programs.ts";
import { EmbeddedHost } from "../host/embedded.ts";
import * as asm from "../insn/index.ts";
import { alloc } from "../mem/alloc.ts";
import { OBJ_PROG, SB_ALLOC_LOCK } from "../mem/layout.ts";
import * as u from "../uapi/index.ts";
import { acquireRun, CPU_BORROWED, CPU_LEVELS, CPU_LOCK, CPU_OWED, cpuEntry, releaseRun } from "./cpus.ts";
import { createKernel } from "./create.ts";
import type { Kernel } from "./kernel.ts";
import { reap } from "./leave.ts";
import {
  endRun,
  HELD_FIRST_ROOM,
  HELD_NOTHING,
  HELD_REFERENCE,
  hold,
  RUN_FRAGS,
  RUN_FRAGS_ROOM,
  RUN_OUTER,
} from "./run_record.ts";

const { R0 } = asm;

function open(shared = true): Kernel {
  return createKernel({ memory: 8 << 20, cpus: 1, shared, seed: 1, virtualClock: true });
}

/** The next time that `address` is exchanged (or what is there is said to be), this is thrown instead, or behind it. */
function throwOnce(kernel: Kernel, address: number, error: Error, behind: boolean): void {
  const { mem } = kernel;
  const { atomics } = mem;
  const xchg32 = (at: number, value: number): number => {
    if (at !== address) return atomics.xchg32(at, value);
    Object.defineProperty(mem, "atomics", { value: atomics });
    if (behind) atomics.xchg32(at, value);
    throw error;
  };
  Object.defineProperty(mem, "atomics", { value: { ...atomics, xchg32 }, configurable: true, writable: true });
}

test("a client that dies between the end of its run and the drop of what it owes: who reaps it drops that", () => {
  const kernel = open();
  const { mem } = kernel;
  const host = new EmbeddedHost(kernel);
  const { fd } = loadProgram(host, [asm.mov64Imm(R0, 2), asm.exit()]);
  expect(testRun(host, fd).ret).toBe(0);
  const prog = kernel.get(fd, OBJ_PROG);
  kernel.done(prog);
  const other = kernel.announce()!;
  const entry = cpuEntry(mem, 0);
  mem.u32[(entry + CPU_LOCK) >>> 2] = mem.owner + 1;
  mem.u32[(entry + CPU_BORROWED) >>> 2] = prog;
  host.close(fd);
  expect(mem.u32[(entry + CPU_OWED) >>> 2]).toBe(prog);
  mem.u32[(entry + CPU_LOCK) >>> 2] = 0;
  reap(kernel, other);
  expect(mem.u32[(entry + CPU_OWED) >>> 2]).toBe(0);
  expect(host.bpf(u.BPF_PROG_GET_NEXT_ID, { start_id: 0 })).toBe(-u.ENOENT);
  host.dispose();
});

test.each(["what is held", "the packet"])("a client that dies as it gives memory back, of %s: it goes once", (what) => {
  const kernel = open();
  const { mem } = kernel;
  const run = acquireRun(kernel, 0);
  if (what === "the packet") {
    mem.u32[(run + RUN_FRAGS) >>> 2] = alloc(mem, 512);
    mem.u32[(run + RUN_FRAGS_ROOM) >>> 2] = 512;
  } else {
    for (let i = 0; i <= HELD_FIRST_ROOM; i++) hold(mem, run, HELD_NOTHING, 0, 0, 0);
  }
  throwOnce(kernel, SB_ALLOC_LOCK, new Error("dead"), true);
  expect(() => endRun(kernel, run)).toThrow("dead");
  // Whoever takes the CPU over.
  endRun(kernel, run);
  expect(alloc(mem, 512)).not.toBe(alloc(mem, 512));
  releaseRun(kernel, run);
});

test.each([
  ["the CPU's lock is not dropped", false],
  ["the CPU's lock is dropped", true],
])("no room on the stack as a run ends, %s: the client's next run has its CPU", (_, behind) => {
  const kernel = open();
  const host = new EmbeddedHost(kernel);
  const { fd } = loadProgram(host, [asm.mov64Imm(R0, 2), asm.exit()]);
  expect(testRun(host, fd).ret).toBe(0);
  throwOnce(kernel, cpuEntry(kernel.mem, 0) + CPU_LOCK, new RangeError("no room"), behind);
  expect(() => testRun(host, fd)).toThrow("no room");
  expect(testRun(host, fd)).toMatchObject({ ret: 0, retval: 2 });
  expect([kernel.run, kernel.mem.u32[(cpuEntry(kernel.mem, 0) + CPU_LOCK) >>> 2]]).toEqual([0, 0]);
  host.dispose();
});

test.each([1, 2])(
  "no room on the stack as what a run holds is given back, at level %d: the next run finds none",
  (levels) => {
    const kernel = open(false);
    const { u32 } = kernel.mem;
    const runs = Array.from({ length: levels }, () => acquireRun(kernel, 0));
    const inner = runs.at(-1)!;
    hold(kernel.mem, inner, HELD_REFERENCE, 7, 0, 0);
    const { put } = kernel;
    kernel.put = () => {
      throw new RangeError("no room");
    };
    kernel.ending = inner;
    expect(() => releaseRun(kernel, inner)).toThrow("no room");
    kernel.put = put;
    if (levels === 1) {
      expect(acquireRun(kernel, 0)).toBe(inner);
      expect(u32[(inner + RUN_OUTER) >>> 2]).toBe(0);
    }
    kernel.ending = runs[0]!;
    releaseRun(kernel, runs[0]!);
    expect([kernel.run, kernel.ending, kernel.leaving, u32[(cpuEntry(kernel.mem, 0) + CPU_LEVELS) >>> 2]]).toEqual([
      0, 0, 0, 0,
    ]);
  },
);
