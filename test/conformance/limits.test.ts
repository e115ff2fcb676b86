/** Deep calls, endless loops and the longest program that there can be: the kernel's answers where it has some. */
import { afterAll, describe, expect, test } from "vitest";
import type { Host } from "../../src/host/host.ts";
import { BpfError, createEmbedded } from "../../src/index.ts";
import * as asm from "../../src/insn/index.ts";
import * as u from "../../src/uapi/index.ts";
import { closeHosts, openHosts, placesOf } from "./hosts.ts";
import { loadProgram, testRun } from "./programs.ts";

const { R0, R1, R2 } = asm;
const hosts = openHosts({ anyCpu: true });
const places = placesOf(hosts);
afterAll(() => closeHosts(hosts));

/** `frames` functions, each of which calls the next; the last one gives 2. */
function chain(frames: number): asm.AsmItem[] {
  const items: asm.AsmItem[] = [];
  for (let i = 0; i < frames; i++) {
    items.push(asm.label(`f${i}`), i === frames - 1 ? asm.mov64Imm(R0, 2) : asm.callRel(`f${i + 1}`), asm.exit());
  }
  return items;
}

/** A program that calls `functions` - 1 others, one after the other. */
function fan(functions: number): asm.AsmItem[] {
  const names = Array.from({ length: functions - 1 }, (_, i) => `f${i}`);
  const bodies = names.flatMap((name) => [asm.label(name), asm.mov64Imm(R0, 2), asm.exit()]);
  return [...names.map((name) => asm.callRel(name)), asm.exit(), ...bodies];
}

/** The program ends before it would begin the chain. */
const neverCalled = [
  asm.mov64Imm(R0, 2),
  asm.mov64Imm(R1, 0),
  asm.jmpImm("jeq", R1, 0, 1),
  asm.callRel("f0"),
  asm.exit(),
];

const rows: readonly (readonly [what: string, items: readonly asm.AsmItem[], result: number])[] = [
  ["2 frames", chain(2), 2],
  ["8 frames", chain(8), 2],
  ["9 frames", chain(9), -u.E2BIG],
  ["256 frames", chain(256), -u.E2BIG],
  ["256 functions", fan(256), 2],
  ["a program that calls itself", [asm.label("f"), asm.callRel("f"), asm.exit()], -u.E2BIG],
  [
    "a function that calls itself",
    [asm.callRel("f"), asm.exit(), asm.label("f"), asm.callRel("f"), asm.exit()],
    -u.E2BIG,
  ],
  [
    "functions that call each other",
    [
      asm.callRel("f"),
      asm.exit(),
      ...["f", "g"].flatMap((f) => [asm.label(f), asm.callRel(f === "f" ? "g" : "f"), asm.exit()]),
    ],
    -u.E2BIG,
  ],
  [
    "a function that calls itself once at most",
    [
      asm.callRel("f"),
      asm.exit(),
      asm.label("f"),
      asm.mov64Imm(R0, 2),
      asm.jmpImm("jeq", R1, 0, "end"),
      asm.mov64Imm(R1, 0),
      asm.callRel("f"),
      asm.label("end"),
      asm.exit(),
    ],
    -u.E2BIG,
  ],
  ["8 frames below a call that is never made", [...neverCalled, ...chain(8)], -u.E2BIG],
  ["7 frames below a call that is never made", [...neverCalled, ...chain(7)], 2],
  [
    "two ways to one function, one of them too long",
    [asm.callRel("f3"), asm.callRel("f0"), asm.exit(), ...chain(8)],
    -u.E2BIG,
  ],
];

describe.each(places)("calls: %s", (_name, host) => {
  test.each(rows)("%s", (_what, items, expected) => {
    const { fd, log } = loadProgram(host, items);
    if (expected < 0) {
      expect(fd).toBe(expected);
      expect(log).toMatch(/the call stack of \d+ frames is too deep/);
      return;
    }
    expect(fd).toBeGreaterThanOrEqual(0);
    expect(testRun(host, fd, new Uint8Array(64))).toMatchObject({ ret: 0, retval: expected });
    host.close(fd);
  });
});

test.each(places)("257 functions are too many: %s", (_name, host) => {
  const { fd, log } = loadProgram(host, fan(257));
  expect(fd).toBe(-u.E2BIG);
  expect(log).toContain("too many subprograms");
});

/** r0 counts the instructions. */
function longest(count: number): Uint8Array {
  const bytes = new Uint8Array(count * asm.INSN_SIZE);
  bytes.set(asm.encodeInsns([asm.mov64Imm(R0, 2)]));
  const add = asm.encodeInsns([asm.alu64Imm("add", R0, 1)]);
  for (let i = 1; i < count - 1; i++) bytes.set(add, i * asm.INSN_SIZE);
  bytes.set(asm.encodeInsns([asm.exit()]), (count - 1) * asm.INSN_SIZE);
  return bytes;
}

function loadBytes(host: Host, insns: Uint8Array): number {
  const attr = { prog_type: u.BPF_PROG_TYPE_XDP, license: "GPL", insns, insn_cnt: insns.length / asm.INSN_SIZE };
  return host.bpf(u.BPF_PROG_LOAD, attr);
}

test("a program of 1,000,000 instructions loads and runs, as on the kernel", () => {
  const { exclusive } = hosts;
  const begin = process.cpuUsage();
  const fd = loadBytes(exclusive, longest(1_000_000));
  expect(fd).toBeGreaterThanOrEqual(0);
  expect(testRun(exclusive, fd, new Uint8Array(64))).toMatchObject({ ret: 0, retval: 1_000_000 });
  exclusive.close(fd);
  // Half a second each on an idle machine; this only says that nothing grows with the square.
  expect(process.cpuUsage(begin).user).toBeLessThan(30_000_000);
});

test.each(places)("one more is too long: %s", (_name, host) => {
  expect(loadBytes(host, longest(1_000_001))).toBe(-u.E2BIG);
});

test("memory that a long program had is free again", () => {
  const { exclusive } = hosts;
  const insns = longest(100_000);
  const use = (): unknown => {
    exclusive.close(loadBytes(exclusive, insns));
    return exclusive.memory();
  };
  expect(use()).toEqual(use());
});

test.each([false, true])("a loop without end is stopped with ETIMEDOUT, and the host goes on, shared %s", (shared) => {
  const host = createEmbedded({ memory: 16 << 20, seed: 1, runBudget: 100_000, shared });
  const loops = [
    [asm.label("again"), asm.ja("again")],
    [asm.mov64Imm(R0, 0), asm.label("again"), asm.alu64Imm("add", R0, 1), asm.ja("again")],
    // Through calls: the budget is the run's.
    [
      asm.label("again"),
      asm.callRel("f"),
      asm.ja("again"),
      asm.label("f"),
      asm.mov64Imm(R2, 0),
      asm.label("turn"),
      asm.alu64Imm("add", R2, 1),
      asm.jmpImm("jlt", R2, 1000, "turn"),
      asm.exit(),
    ],
  ];
  for (const items of loops) {
    using program = host.loadProgram({ type: "xdp", insns: asm.assemble(items), license: "GPL", name: "endless" });
    let error: unknown;
    try {
      program.run({ data: new Uint8Array(64) });
    } catch (caught) {
      error = caught;
    }
    expect(error).toBeInstanceOf(BpfError);
    expect((error as BpfError).code).toBe("ETIMEDOUT");
    expect((error as BpfError).message).toContain("its budget of 100000 instructions is spent");
    expect((error as BpfError).message).toMatch(/at instruction \d+/);
  }
  using good = host.loadProgram({ type: "xdp", insns: [asm.mov64Imm(R0, 2), asm.exit()], license: "GPL" });
  expect(good.run({ data: new Uint8Array(64) }).retval).toBe(2);
  good.close();
  expect(host.leaks()).toEqual([]);
  host.close();
});
