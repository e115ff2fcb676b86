/** Traces of test programs: every instruction, in its words, with what it changed, touched, called and entered. */
import { afterEach, beforeEach, expect, test } from "vitest";
import {
  BpfError,
  createEmbedded,
  type EmbeddedBpfHost,
  formatStep,
  InputError,
  type LoadedObject,
  openKernel,
  Trace,
  type TraceStep,
  u32,
} from "../../src/index.ts";
import { alu64Imm, exit, ldx, mov64, mov64Imm, R0, R1, R2, R10, stx } from "../../src/insn/index.ts";
import { kernelHost } from "../kernel.ts";
import { frame } from "../programs/cases.ts";
import { readProgram } from "../programs/harness.ts";
import { from, rules } from "../programs/rule_chain.cases.ts";

let host: EmbeddedBpfHost;
beforeEach(() => {
  host = createEmbedded({ seed: 1, memory: 32 << 20, clock: "virtual" });
});
afterEach(() => host.close());

const TCP = 6;

function filter(): LoadedObject {
  const object = host.loadObject(readProgram("rule_chain"), { name: "rule_chain", globals: { rule_count: 2 } });
  const table = object.map("rules");
  if (table.type === "array") for (const [i, each] of rules.entries()) table.set(i, each);
  return object;
}

/** All steps of one run. */
function traced(object: LoadedObject, program: string, data: Uint8Array): TraceStep[] {
  const steps: TraceStep[] = [];
  object.program(program).run({ data, observe: new Trace((step) => steps.push(step)) });
  return steps;
}

test("a step has the instruction, the registers that changed and the source line", () => {
  const insns = [mov64Imm(R0, -1), mov64Imm(R1, 0), mov64(R2, R10), stx("u64", R10, R1, -8), exit()];
  const steps: TraceStep[] = [];
  const program = host.loadProgram({ type: "xdp", insns, license: "GPL", name: "plain" });
  program.run({ data: frame(64), observe: new Trace((step) => steps.push(step)) });
  expect(steps.map(({ index, text }) => `${index}: ${text}`)).toEqual([
    "0: r0 = -1",
    "1: r1 = 0",
    "2: r2 = r10",
    "3: *(u64 *)(r10 - 8) = r1",
    "4: exit",
  ]);
  expect(steps[0]).toMatchObject({
    program: "plain",
    function: "plain",
    depth: 0,
    changes: [{ register: 0, before: 0n, after: 2n ** 64n - 1n }],
    source: undefined,
    memory: undefined,
    fault: "",
  });
  const stack = steps[2]!.changes[0]!.after;
  expect(steps[3]).toMatchObject({
    changes: [],
    memory: { kind: "store", address: stack - 8n, size: 8, value: 0n, where: "its stack, byte 504 of 512" },
  });
});

test("functions, callbacks and tail calls, by name", () => {
  const object = filter();
  const steps = traced(object, "filter", from(1, TCP));
  const entered = steps.flatMap((step) => (step.entered === undefined ? [] : [step.entered]));
  expect(entered).toEqual([
    { kind: "function", name: "source_of" },
    { kind: "callback", name: "try_rule" },
    // The callback's exit: the loop calls it again.
    { kind: "callback", name: "try_rule" },
    { kind: "program", name: "note_drop" },
    { kind: "function", name: "source_of" },
  ]);
  const functions = [...new Set(steps.map((step) => `${step.program}/${step.function}`))];
  expect(functions).toEqual([
    "filter/filter",
    "filter/source_of",
    "filter/try_rule",
    "note_drop/note_drop",
    "note_drop/source_of",
  ]);
  expect(Math.max(...steps.map((step) => step.depth))).toBe(1);
});

test("helper calls with their arguments and result", () => {
  const object = filter();
  const calls = traced(object, "filter", from(1, TCP)).flatMap((step) => (step.call === undefined ? [] : [step.call]));
  const helpers = calls.filter(({ kind }) => kind === "helper");
  expect(helpers.map(({ name, args, result }) => [name, args.length, result === undefined])).toEqual([
    // Its result comes with its callback's last exit.
    ["bpf_loop", 4, true],
    ["bpf_map_lookup_elem", 2, false],
    ["bpf_map_lookup_elem", 2, false],
    ["bpf_tail_call", 3, true],
    ["bpf_map_lookup_elem", 2, false],
    ["bpf_map_update_elem", 4, false],
  ]);
  expect(helpers[0]!.args[0]).toBe(2n);
  expect(helpers.at(-2)!.result).toBe(0n);
});

test("maps, functions and jumps have names in the text, and the source line is the C line", () => {
  const steps = traced(filter(), "filter", from(1, TCP));
  const texts = steps.map((step) => step.text);
  expect(texts).toContainEqual(expect.stringMatching(/^r\d = map\[rules\]$/));
  expect(texts).toContainEqual(expect.stringMatching(/^r\d = func\[try_rule\]$/));
  expect(texts).toContainEqual(expect.stringMatching(/^r\d = map\[rule_cha.bss\]\[0\]\+\d+$/));
  expect(texts).toContain("call source_of");
  expect(texts).toContainEqual(expect.stringMatching(/^if r\d > r\d goto L\d+$/));
  const loop = steps.find((step) => step.text.startsWith("call bpf_loop"))!;
  expect(loop.source).toMatchObject({ file: "./rule_chain.bpf.c", text: expect.stringContaining("bpf_loop(count,") });
});

test("loads show what they read and where it lies", () => {
  const loads = traced(filter(), "filter", from(1, TCP)).flatMap(({ memory }) =>
    memory?.kind === "load" ? [memory] : [],
  );
  const where = loads.map((each) => each.where);
  expect(where).toContainEqual("byte 0 of the context, which has 24");
  expect(where).toContainEqual("its packet, byte 12 of 64");
  expect(where).toContainEqual('byte 0 of a value of map "rules"');
  expect(loads.find((each) => each.where === "its packet, byte 12 of 64")).toMatchObject({ size: 1, value: 8n });
});

test("a fault is the last step, and says why", () => {
  const insns = [mov64Imm(R1, 64), ldx("u32", R0, R1, 4), exit()];
  const program = host.loadProgram({ type: "xdp", insns, license: "GPL" });
  const steps: TraceStep[] = [];
  const run = (): unknown => program.run({ data: frame(64), observe: new Trace((step) => steps.push(step)) });
  expect(run).toThrow(BpfError);
  expect(steps.map((step) => step.index)).toEqual([0, 1]);
  expect(steps[1]).toMatchObject({
    changes: [],
    memory: { kind: "load", address: 68n, size: 4, value: undefined, where: "68 bytes behind NULL" },
    fault: expect.stringContaining("read of 4 bytes at 0x44"),
  });
  expect(formatStep(steps[1]!)).toMatch(/1: r0 = \*\(u32 \*\)\(r1 \+ 4\) .*68 bytes behind NULL.*the run ends here$/);
});

test("a step in one line", () => {
  const steps = traced(filter(), "filter", from(1, TCP)).map(formatStep);
  expect(steps[0]).toMatch(/^ {4}0: r\d = r1 +r\d = 0x[0-9a-f]+$/);
  expect(steps).toContainEqual(expect.stringMatching(/call source_of .*-> function source_of$/));
  expect(steps).toContainEqual(expect.stringMatching(/call bpf_tail_call#12 .*-> program note_drop$/));
  // One level deeper, two columns further right.
  expect(steps).toContainEqual(expect.stringMatching(/^ {2,}\d+: /));
});

test("observers: of one run, of a host, and none afterwards", () => {
  const program = host.loadProgram({ type: "xdp", insns: [mov64Imm(R0, 2), alu64Imm("add", R0, 1), exit()] });
  let steps = 0;
  const trace = new Trace(() => steps++);
  program.run({ data: frame(64), observe: trace });
  expect(steps).toBe(3);
  program.run({ data: frame(64) });
  expect(steps).toBe(3);
  const watched = host.observe(trace);
  program.run({ data: frame(64), repeat: 2 });
  expect(steps).toBe(9);
  // Who watches the host is not told twice of a run that it watches too.
  program.run({ data: frame(64), observe: trace });
  expect(steps).toBe(12);
  let others = 0;
  const other = host.observe(new Trace(() => others++));
  program.run({ data: frame(64) });
  expect([steps, others]).toEqual([15, 3]);
  other.stop();
  watched.stop();
  watched.stop();
  program.run({ data: frame(64) });
  expect([steps, others]).toEqual([15, 3]);
});

test("the kernel host says that it cannot be observed", () => {
  const seam = kernelHost();
  if (seam === undefined) return;
  seam.dispose();
  const kernel = openKernel();
  try {
    expect(() => kernel.observe(new Trace(() => {}))).toThrow(InputError);
    const program = kernel.loadProgram({ type: "xdp", insns: [mov64Imm(R0, 2), exit()], license: "GPL" });
    expect(() => program.run({ data: frame(64), observe: new Trace(() => {}) })).toThrow("observe an embedded host");
    program.close();
  } finally {
    kernel.close();
  }
});

test("an observer that uses the host is told not to; the host is intact", () => {
  const program = host.loadProgram({ type: "xdp", insns: [mov64Imm(R0, 2), exit()] });
  const map = host.createMap({ type: "array", value: u32, maxEntries: 1 });
  for (const use of [() => map.set(0, 1), () => program.run({ data: frame(64) }), () => host.memory()]) {
    const run = (): unknown => program.run({ data: frame(64), observe: { after: use } });
    expect(run).toThrow("an observer's turn, which must not use the host");
  }
  expect(map.get(0)).toBe(0);
  expect(program.run({ data: frame(64) }).retval).toBe(2);
});

test("an observer that throws ends the run; the host goes on", () => {
  const program = host.loadProgram({ type: "xdp", insns: [mov64Imm(R0, 2), exit()] });
  const observe = new Trace(() => {
    throw new RangeError("enough");
  });
  expect(() => program.run({ data: frame(64), observe })).toThrow(new RangeError("enough"));
  expect(program.run({ data: frame(64) }).retval).toBe(2);
});

test("a program that came later with another's id, name and place is itself", () => {
  const load = (value: number) => host.loadProgram({ type: "xdp", insns: [mov64Imm(R0, value), exit()], name: "same" });
  const texts: string[] = [];
  for (const value of [1, 2, 3]) {
    const program = load(value);
    program.run({ data: frame(64), observe: new Trace((step) => texts.push(step.text)) });
    program.close();
  }
  expect(texts).toEqual(["r0 = 1", "exit", "r0 = 2", "exit", "r0 = 3", "exit"]);
});
