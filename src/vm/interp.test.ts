import { beforeEach, expect, test } from "vitest";
import {
  alu64,
  alu64Imm,
  callRel,
  encodeInsns,
  exit,
  type Insn,
  jmpImm,
  ldImm64,
  ldx,
  mov64,
  mov64Imm,
  R0,
  R1,
  R6,
  R10,
  st,
  stx,
} from "../insn/index.ts";
import { acquireRun, releaseRun } from "../kern/cpus.ts";
import { createKernel } from "../kern/create.ts";
import { FAULT_ALIGNMENT, FAULT_DEPTH, FAULT_HIGH_HALF, FAULT_OUTSIDE } from "../kern/fault_kinds.ts";
import type { Kernel } from "../kern/kernel.ts";
import { allocProg, PROG_INSNS } from "../kern/prog.ts";
import { RUN_EXITED, RUN_FAULT, RUN_FAULT_LOW, RUN_FAULTED, RUN_PC, RUN_PROG, RUN_SPENT } from "../kern/run_record.ts";
import { run, step } from "./interp.ts";
import { begin, Machine } from "./machine.ts";

let k: Kernel;
beforeEach(() => {
  k = createKernel({ memory: 16 << 20, cpus: 2, shared: false, seed: 1, virtualClock: true });
});

function load(insns: readonly Insn[]): number {
  const prog = allocProg(k.mem, insns.length);
  k.mem.u8.set(encodeInsns(insns), k.mem.u32[(prog + PROG_INSNS) >>> 2]!);
  return prog;
}

/** A machine at the program's first instruction; the run stays open. */
function machine(insns: readonly Insn[], budget = 1000): Machine {
  const record = acquireRun(k, 0);
  k.mem.u32[(record + RUN_PROG) >>> 2] = load(insns);
  const m = new Machine(k, record);
  begin(m, budget);
  return m;
}

const word = (m: Machine, field: number): number => m.u32[(m.run + field) >>> 2]!;
const r0 = (m: Machine): bigint => m.mem.u64[m.regs >>> 1]!;

test("runs to the exit and leaves r0", () => {
  const m = machine([...ldImm64(R0, 0x1234_5678_9abc_def0n), alu64Imm("add", R0, 0x10), exit()]);
  expect(run(m)).toBe(RUN_EXITED);
  expect(r0(m)).toBe(0x1234_5678_9abc_df00n);
  expect(m.budget).toBe(997);
});

test("a step is one instruction, and the record says where the run stands", () => {
  const m = machine([mov64Imm(R0, 5), alu64Imm("add", R0, 1), exit()]);
  step(m, 1);
  expect(word(m, RUN_PC)).toBe(1);
  const again = new Machine(k, m.run);
  again.budget = 100;
  step(again, 1);
  expect([word(m, RUN_PC), r0(again)]).toEqual([2, 6n]);
  expect(run(again)).toBe(RUN_EXITED);
});

test("a loop without end spends its budget and no more", () => {
  const m = machine([mov64Imm(R0, 0), alu64Imm("add", R0, 1), jmpImm("jne", R0, 0, -2), exit()], 1001);
  expect(run(m)).toBe(RUN_SPENT);
  expect(r0(m)).toBe(500n);
});

test("a call keeps r6 to r9 and has a stack of its own that is zero, also where another call wrote", () => {
  const m = machine([
    mov64Imm(R6, 7),
    st("u64", R10, -8, 1),
    callRel(6),
    callRel(5),
    alu64("add", R0, R6),
    ldx("u64", R1, R10, -8),
    alu64("add", R0, R1),
    stx("u64", R10, R0, -16),
    exit(),
    ldx("u64", R0, R10, -8),
    st("u64", R10, -8, 99),
    mov64Imm(R6, 1000),
    exit(),
  ]);
  expect(run(m)).toBe(RUN_EXITED);
  expect(r0(m)).toBe(8n);
});

test("eight frames are the most", () => {
  const m = machine([callRel(-1), exit()]);
  expect(run(m)).toBe(RUN_FAULTED);
  expect([word(m, RUN_FAULT), m.budget]).toEqual([FAULT_DEPTH, 1000 - 8]);
});

const stackCases: readonly (readonly [string, Insn, number])[] = [
  ["top", st("u8", R10, 0, 1), FAULT_OUTSIDE],
  ["bottom", st("u8", R10, -513, 1), FAULT_OUTSIDE],
  ["across the top", st("u16", R10, -1, 1), FAULT_OUTSIDE],
  ["unaligned", st("u32", R10, -6, 1), FAULT_ALIGNMENT],
  ["NULL", st("u8", R0, 0, 1), FAULT_OUTSIDE],
  ["below NULL", st("u8", R0, -1, 1), FAULT_HIGH_HALF],
];
test.each(stackCases)("a store beyond the stack faults at its instruction: %s", (_name, insn, kind) => {
  const m = machine([mov64Imm(R0, 0), insn, exit()]);
  expect(run(m)).toBe(RUN_FAULTED);
  expect([word(m, RUN_FAULT), word(m, RUN_PC)]).toEqual([kind, 1]);
});

test("a pointer with an upper half faults, whatever its lower half", () => {
  const m = machine([mov64(R1, R10), ...ldImm64(R0, 1n << 32n), alu64("add", R1, R0), ldx("u8", R0, R1, -1), exit()]);
  expect(run(m)).toBe(RUN_FAULTED);
  expect([word(m, RUN_FAULT), word(m, RUN_FAULT_LOW)]).toEqual([FAULT_HIGH_HALF, m.stackTop - 1]);
});

test("a run inside a run has its own stack; the fifth is refused; the CPU is free at the end", () => {
  const runs = [0, 0, 0, 0].map((cpu) => acquireRun(k, cpu));
  expect(new Set(runs).size).toBe(4);
  expect(acquireRun(k, 1)).toBeLessThan(0);
  for (const record of runs.reverse()) releaseRun(k, record);
  expect([k.run, k.cpu]).toEqual([0, 0]);
});
