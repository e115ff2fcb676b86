/** What it costs to load programs, and to call one that does nothing. */
import type { BpfHost, Program } from "../src/index.ts";
import * as asm from "../src/insn/index.ts";
import * as u from "../src/uapi/index.ts";
import { randomOf } from "../test/random.ts";
import { JIT, KERNEL } from "./hosts.ts";
import { cpuNs, inProcess, measure, median, type Side } from "./measure.ts";
import type { ProgramBench } from "./program_bench.ts";
import { createFd } from "./raw_map.ts";

const LOADING = "Loading a program and running it once, ms";
const CALLING = "A call";
const PACKET = 64;
/** The most that a call may take on the JIT. */
const CALL_NS = 150;
const { R0, R1, R2, R6, R7, R8, R9, R10 } = asm;

/** Sizes of programs, how many different ones are loaded, and milliseconds that loading and a first run may take. */
const sizes = [
  { insns: 90, programs: 40, limit: 2 },
  { insns: 10_000, programs: 9, limit: 300 },
] as const;
/** Instructions in front of the blocks and behind them. */
const FRAME = 12;

/** A piece of a program as compilers make them: packet and stack, arithmetic, a branch, and a map. */
function block(random: (n: number) => number, fd: number): asm.AsmItem[] {
  const slot = -8 * (2 + random(20));
  const ops = ["add", "sub", "xor", "mul", "or"] as const;
  const op = (): (typeof ops)[number] => ops[random(ops.length)]!;
  return [
    asm.ldx("u32", R1, R7, random(PACKET - 4)),
    asm.alu64(op(), R9, R1),
    asm.alu64Imm(op(), R9, random(1 << 30)),
    asm.stx("u64", R10, R9, slot),
    asm.jmpImm("jgt", R1, random(1 << 30), 3),
    asm.alu64Imm("rsh", R9, 1 + random(31)),
    asm.alu32Imm(op(), R9, random(1 << 30)),
    asm.ja(1),
    asm.alu64Imm("xor", R9, random(1 << 30)),
    asm.ldx("u64", R2, R10, slot),
    asm.alu64("add", R9, R2),
    asm.stx("u32", R10, R1, -4),
    asm.alu32Imm("and", R1, 15),
    asm.stx("u32", R10, R1, -4),
    asm.mov64(R2, R10),
    asm.alu64Imm("add", R2, -4),
    asm.ldMapFd(R1, fd),
    asm.call(u.BPF_FUNC_map_lookup_elem),
    asm.jmpImm("jeq", R0, 0, 3),
    asm.ldx("u64", R1, R0, 0),
    asm.alu64("add", R9, R1),
    asm.stx("u64", R0, R9, 0),
  ].flat();
}

/** About so many instructions, other ones for each seed. */
function programOf(insns: number, seed: number, fd: number): asm.Insn[] {
  const random = randomOf(seed);
  const length = asm.assemble(block(randomOf(1), fd)).length;
  const blocks = Array.from({ length: Math.floor((insns - FRAME) / length) }, () => block(random, fd));
  return asm.assemble([
    asm.mov64(R6, R1),
    asm.ldx("u32", R7, R6, u.xdp_md.fields.data.offset),
    asm.ldx("u32", R8, R6, u.xdp_md.fields.data_end.offset),
    asm.mov64(R1, R7),
    asm.alu64Imm("add", R1, PACKET),
    asm.mov64Imm(R9, seed),
    asm.jmp("jgt", R1, R8, "out"),
    blocks,
    asm.label("out"),
    asm.mov64(R0, R9),
    asm.exit(),
  ]);
}

/** Milliseconds of loading a program and running it once, and what the run returned. */
function loadAndRun(host: BpfHost, insns: Uint8Array): { readonly ms: number; readonly retval: number } {
  const data = new Uint8Array(PACKET);
  let program: Program | undefined;
  let retval = 0;
  const ns = cpuNs(() => {
    program = host.loadProgram({ type: "xdp", insns, license: "GPL" });
    retval = program.run({ data }).retval;
  });
  program?.close();
  return { ms: ns / 1e6, retval };
}

function benchLoading({ report, hosts }: ProgramBench): void {
  report.note(
    `Loading: milliseconds of CPU time of loading a program and of its first run, which compiles it: of ${sizes.map((s) => `${s.programs} programs of ${s.insns.toLocaleString("en")} instructions`).join(", and of ")}, none like the other. The kernel's are of its verifier and its JIT.`,
  );
  const maps = hosts.map(({ name, host }) =>
    createFd(name, host, { type: u.BPF_MAP_TYPE_ARRAY, flags: 0, valueSize: 8, maxEntries: 16 }, 4),
  );
  const lines = sizes.map(({ insns, programs, limit }) => {
    const times = hosts.map(() => [] as number[]);
    for (let seed = 1; seed <= programs; seed++) {
      const results = hosts.map(({ host }, i) =>
        loadAndRun(host, asm.encodeInsns(programOf(insns, insns + seed, maps[i]!))),
      );
      for (const [i, { ms }] of results.entries()) times[i]!.push(ms);
      const retvals = results.map((result) => result.retval);
      if (new Set(retvals).size > 1) throw new Error(`program ${seed} of ${insns}: returns ${retvals.join(", ")}`);
    }
    return { insns, limit, times };
  });
  report.table({
    title: LOADING,
    columns: ["instructions", ...hosts.flatMap(({ name }) => [name, "the first"])],
    rows: lines.map(({ insns, times }) => [
      insns.toLocaleString("en"),
      ...times.flatMap((own) => [median(own).toFixed(2), own[0]!.toFixed(2)]),
    ]),
  });
  const jit = hosts.findIndex(({ name }) => name === JIT);
  for (const { insns, limit, times } of lines) {
    if (jit < 0) continue;
    const what = `loading ${insns.toLocaleString("en")} instructions and the first run, ${JIT}`;
    report.budget({ what, limit, got: median(times[jit]!), unit: "ms" });
  }
  for (const [i, { host }] of hosts.entries()) host.close(maps[i]!);
}

const noOp = asm.assemble([asm.mov64Imm(R0, u.XDP_PASS), asm.exit()]);

function benchCalling({ report, hosts }: ProgramBench): void {
  report.note(
    "Calling: nanoseconds of a call of a program of two instructions from TypeScript, with all that it does.",
  );
  const data = new Uint8Array(PACKET);
  const ways: readonly (readonly [what: string, type: string, call: (program: Program) => number])[] = [
    ["program.run(), raw_tracepoint", "raw_tracepoint", (program) => program.run().duration],
    [`program.run({ data }), xdp, ${PACKET} bytes`, "xdp", (program) => program.run({ data }).retval],
  ];
  for (const [what, type, call] of ways) {
    const programs = hosts.map(({ host }) => host.loadProgram({ type, insns: noOp, license: "GPL" }));
    const sides: Side[] = hosts.map(({ name }, i) =>
      inProcess(name, (count) => {
        let sum = 0;
        for (let left = count; left > 0; left--) sum += call(programs[i]!);
        return sum;
      }),
    );
    const rows = measure(sides);
    report.compared(CALLING, what, rows, { base: KERNEL, judged: JIT });
    const row = rows.find(({ name }) => name === JIT);
    if (row) report.budget({ what: `${what}, ${JIT}`, limit: CALL_NS, got: row.median, unit: "ns" });
    for (const program of programs) program.close();
  }
}

/** First of all, while no program has been compiled yet. */
export function benchCalls(bench: ProgramBench): void {
  if (bench.wants(LOADING)) benchLoading(bench);
  if (bench.wants(CALLING)) benchCalling(bench);
}
