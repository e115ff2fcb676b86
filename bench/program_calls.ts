/** What it costs to load programs, and to call one that does nothing. */
import { PacketList, type Program } from "../src/index.ts";
import * as asm from "../src/insn/index.ts";
import * as u from "../src/uapi/index.ts";
import { randomOf } from "../test/random.ts";
import { compiled, JIT, KERNEL, type ProgramHost } from "./hosts.ts";
import { threadClock } from "./machine.ts";
import { cpuNs, inProcess, measure, median, overAll, type Side } from "./measure.ts";
import type { ProgramBench } from "./program_bench.ts";
import { createFd } from "./raw_map.ts";

const LOADING = "Loading a program and running it once";
const CALLING = "A call";
const PACKET = 64;
/** The most that a call may take on the JIT. */
const CALL_NS = 150;
/** Of one packet of many. */
const MANY_NS = 30;
const { R0, R1, R2, R6, R7, R8, R9, R10 } = asm;

/** Sizes of programs, how many different ones are loaded, and milliseconds that compiling may take. */
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
export function programOf(insns: number, seed: number, fd: number): asm.Insn[] {
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

/** Milliseconds of CPU time of this thread. */
interface Loaded {
  readonly load: number;
  /** 0 where nothing is compiled, and on the kernel, where loading does it. */
  readonly compile: number;
  /** The same of the whole process. */
  readonly compileAll: number;
  readonly run: number;
  readonly retval: number;
}

/** Nanoseconds of this thread and of the process: the process's for both where the thread has no clock. */
function bothNs(own: (() => number) | undefined, run: () => void): readonly [own: number, all: number] {
  const start = own?.() ?? 0;
  const all = cpuNs(run);
  return [own === undefined ? all : own() - start, all];
}

function loadAndRun(on: ProgramHost, insns: Uint8Array, clock: (() => number) | undefined): Loaded {
  const data = new Uint8Array(PACKET);
  let program: Program | undefined;
  let retval = 0;
  const [load] = bothNs(clock, () => {
    program = on.host.loadProgram({ type: "xdp", insns, license: "GPL" });
  });
  const [compile, compileAll] = bothNs(clock, () => compiled(on, program!));
  const [run] = bothNs(clock, () => {
    retval = program!.run({ data }).retval;
  });
  program?.close();
  return { load: load / 1e6, compile: compile / 1e6, compileAll: compileAll / 1e6, run: run / 1e6, retval };
}

function loadAll({ hosts }: ProgramBench, { insns, programs }: (typeof sizes)[number]): readonly (readonly Loaded[])[] {
  const maps = hosts.map(({ name, host }) =>
    createFd(name, host, { type: u.BPF_MAP_TYPE_ARRAY, flags: 0, valueSize: 8, maxEntries: 16 }, 4),
  );
  const all = hosts.map(() => [] as Loaded[]);
  const clock = threadClock();
  for (let seed = 1; seed <= programs; seed++) {
    for (const [i, on] of hosts.entries()) {
      all[i]!.push(loadAndRun(on, asm.encodeInsns(programOf(insns, insns + seed, maps[i]!)), clock));
    }
    const retvals = all.map((own) => own.at(-1)!.retval);
    if (new Set(retvals).size > 1)
      throw new Error(`program ${seed} of ${insns}: the hosts return ${retvals.join(", ")}`);
  }
  for (const [i, { host }] of hosts.entries()) host.close(maps[i]!);
  return all;
}

function benchLoading(bench: ProgramBench): void {
  const { report, hosts } = bench;
  report.note(
    `Loading: milliseconds of CPU time of the thread that loads, the median of ${sizes.map((s) => `${s.programs} programs of ${s.insns.toLocaleString("en")} instructions`).join(" and of ")}, none like the other, and that of the first of them, which finds V8 cold. The kernel's verifier and its JIT work while a program is loaded, in that thread too. "All threads": the time of the whole process while it compiles. That has V8's other threads in it, which work beside the one that waits: they optimize what of this library has run often, for programs to come, and whatever was begun before.`,
  );
  const rows: string[][] = [];
  for (const size of sizes) {
    const name = `${size.insns.toLocaleString("en")} instructions`;
    for (const [i, own] of loadAll(bench, size).entries()) {
      const host = hosts[i]!.name;
      const columns = (["load", "compile", "compileAll", "run"] as const).flatMap((what) => {
        const times = own.map((each) => each[what]);
        return what.startsWith("compile") && hosts[i]!.jit === undefined
          ? ["", ""]
          : [median(times).toFixed(3), times[0]!.toFixed(2)];
      });
      rows.push([`${name}, ${host}`, ...columns]);
      if (host !== JIT) continue;
      const got = median(own.map((each) => each.compile));
      report.budget({ what: `compiling ${name}, ${JIT}`, limit: size.limit, got, unit: "ms" });
    }
  }
  report.table({
    title: LOADING,
    columns: ["ms", "load", "the first", "compile", "the first", "all threads", "the first", "first run", "the first"],
    rows,
  });
}

const noOp = asm.assemble([asm.mov64Imm(R0, u.XDP_PASS), asm.exit()]);

/** How a program is called, and nanoseconds that a call may take. */
interface Way {
  readonly what: string;
  readonly type: string;
  readonly limit?: number;
  readonly call: (program: Program) => number;
}

function benchCalling({ report, hosts }: ProgramBench): void {
  report.note(
    "Calling: nanoseconds of a call of a program of two instructions from TypeScript, with all that it does.",
  );
  const data = new Uint8Array(PACKET);
  const onPacket = (program: Program): number => program.run({ data }).retval;
  const ways: readonly Way[] = [
    { what: "program.run(), raw_tracepoint", type: "raw_tracepoint", limit: CALL_NS, call: (p) => p.run().retval },
    { what: `program.run({ data }), xdp, ${PACKET} bytes`, type: "xdp", limit: CALL_NS, call: onPacket },
    { what: `program.run({ data }), sched_cls, ${PACKET} bytes`, type: "sched_cls", call: onPacket },
  ];
  for (const { what, type, limit, call } of ways) {
    const programs = hosts.map(({ host }) => host.loadProgram({ type, insns: noOp, license: "GPL" }));
    for (const [i, on] of hosts.entries()) compiled(on, programs[i]!);
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
    if (row && limit) report.budget({ what: `${what}, ${JIT}`, limit, got: row.median, unit: "ns" });
    for (const program of programs) program.close();
  }
}

const MANY = 4096;

/** The same program over packets that `runMany` gets at once. */
function benchMany({ report, hosts }: ProgramBench, type: string, limit?: number): void {
  const what = `a packet of program.runMany(), ${type}, ${PACKET} bytes`;
  const list = PacketList.of(Array.from({ length: MANY }, () => new Uint8Array(PACKET)));
  const embedded = hosts.filter(({ host }) => host.kind !== "kernel");
  const programs = embedded.map(({ host }) => host.loadProgram({ type, insns: noOp, license: "GPL" }));
  for (const [i, on] of embedded.entries()) compiled(on, programs[i]!);
  const sides = embedded.map(({ name }, i) => overAll(name, () => programs[i]!.runMany(list).count));
  const rows = measure(sides);
  report.compared(CALLING, what, rows, { base: JIT, judged: JIT });
  const row = rows.find(({ name }) => name === JIT);
  if (row && limit) report.budget({ what: `${what}, ${JIT}`, limit, got: row.median, unit: "ns" });
  for (const program of programs) program.close();
}

/** First of all, while no program has been compiled yet. */
export function benchCalls(bench: ProgramBench): void {
  if (bench.wants(LOADING)) benchLoading(bench);
  if (!bench.wants(CALLING)) return;
  benchCalling(bench);
  benchMany(bench, "xdp", MANY_NS);
  benchMany(bench, "sched_cls");
}
