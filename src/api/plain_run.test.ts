/** Runs that go without attributes, against BPF_PROG_TEST_RUN: the same, whatever is asked for, however they end. */
import { afterEach, expect, test, vi } from "vitest";
import { createTestHost } from "../../test/compiled.ts";
import { hostOptions as options, outcome, packet, pairs } from "../../test/plain_runs.ts";
import { randomOf } from "../../test/random.ts";
import { parseBtf } from "../btf/index.ts";
import { kernelBtf } from "../helpers/kernel_btf.ts";
import { EmbeddedHost } from "../host/embedded.ts";
import type { Insn } from "../insn/index.ts";
import * as asm from "../insn/index.ts";
import { CPU_BORROWED, CPU_LOCK, CPU_OWED, cpuEntry } from "../kern/cpus.ts";
import { createKernel } from "../kern/create.ts";
import { RUN_PROG } from "../kern/run_record.ts";
import { OBJ_PROG } from "../mem/layout.ts";
import * as u from "../uapi/index.ts";
import { createEmbedded, type Program, type RunOptions, u32 } from "./index.ts";

const { R0, R1, R2, R3, R4, R5, R6, R10 } = asm;

afterEach(() => {
  vi.restoreAllMocks();
});

const { types: kernelTypes } = parseBtf(kernelBtf());
const noOp = [asm.mov64Imm(R0, 2), asm.exit()];
const returns = (helper: number, ...args: readonly Insn[]): readonly Insn[] => [...args, asm.call(helper), asm.exit()];

const programs: Readonly<Record<string, readonly asm.AsmItem[]>> = {
  nothing: noOp,
  "r0 beyond 32 bits": [asm.mov64Imm(R0, -2), asm.exit()],
  "the context": [
    asm.ldx("u32", R0, R1, u.xdp_md.fields.ingress_ifindex.offset),
    asm.alu64Imm("lsh", R0, 8),
    asm.ldx("u32", R2, R1, u.xdp_md.fields.rx_queue_index.offset),
    asm.alu64("add", R0, R2),
    asm.ldx("u32", R2, R1, u.xdp_md.fields.data_meta.offset),
    asm.ldx("u32", R3, R1, u.xdp_md.fields.data.offset),
    asm.alu64("sub", R3, R2),
    asm.alu64("add", R0, R3),
    asm.exit(),
  ],
  // What the run before has left there would be seen.
  headroom: [
    asm.mov64(R6, R1),
    asm.mov64Imm(R2, -64),
    asm.call(u.BPF_FUNC_xdp_adjust_head),
    asm.ldx("u32", R2, R6, 0),
    asm.ldx("u32", R3, R6, 4),
    asm.mov64(R4, R2),
    asm.alu64Imm("add", R4, 70),
    asm.mov64Imm(R0, 1),
    asm.jmp("jgt", R4, R3, "out"),
    asm.ldx("u64", R0, R2, 8),
    asm.mov64Imm(R5, 0x55),
    asm.stx("u64", R2, R5, 8),
    asm.stx("u64", R2, R5, 64),
    asm.label("out"),
    asm.exit(),
  ],
  metadata: returns(u.BPF_FUNC_xdp_adjust_meta, asm.mov64Imm(R2, -8)),
  shorter: returns(u.BPF_FUNC_xdp_adjust_tail, asm.mov64Imm(R2, -1)),
  longer: returns(u.BPF_FUNC_xdp_adjust_tail, asm.mov64Imm(R2, 100)),
  "the CPU": returns(u.BPF_FUNC_get_smp_processor_id),
  "the stack of the run before": [
    asm.ldx("u64", R0, R10, -8),
    asm.mov64Imm(R1, 9),
    asm.stx("u64", R10, R1, -8),
    asm.exit(),
  ],
  events: [asm.mov64Imm(R1, 7), asm.mov64Imm(R2, 0), asm.call(u.BPF_FUNC_redirect), asm.exit()],
  // After it the next one would read zero where there is nothing.
  "a cast": [
    asm.mov64Imm(R1, 0),
    asm.mov64Imm(R2, 0),
    asm.callKfunc(kernelTypes.findIndex((type) => type.kind === "func" && type.name === "bpf_rdonly_cast")),
    asm.exit(),
  ],
  "a fault": [asm.mov64Imm(R1, 7), asm.ldx("u8", R0, R1, 0), asm.exit()],
  "events, then a fault": [
    asm.mov64Imm(R1, 7),
    asm.mov64Imm(R2, 0),
    asm.call(u.BPF_FUNC_redirect),
    asm.mov64Imm(R1, 0),
    asm.ldx("u64", R0, R1, 8),
    asm.exit(),
  ],
  "a loop without an end": [asm.label("again"), asm.jmpImm("jne", R10, 0, "again"), ...noOp],
};

const packets = [undefined, packet(0), packet(13), packet(14), packet(64), packet(3520), packet(3521), packet(9000)];
const on = [
  ["compiled", {}],
  ["compiled, shared", { shared: true }],
  ["interpreted", { engine: "interp" }],
] as const;
/** How often the command has run a program. */
const commands = (): number =>
  vi.mocked(EmbeddedHost.prototype.bpf).mock.calls.filter(([cmd]) => cmd === u.BPF_PROG_TEST_RUN).length;

test.each(on)("programs that come to all kinds of ends, on all kinds of packets: %s", (_, more) => {
  const { host, load } = pairs(more);
  host.addDevice(7);
  for (const type of ["xdp", "raw_tracepoint", "sched_cls"]) {
    for (const [name, items] of Object.entries(programs)) {
      let loaded: readonly Program[];
      try {
        loaded = load(type, asm.assemble(items));
      } catch {
        // A helper that this type has not.
        continue;
      }
      // Twice: what a run leaves is nothing that the next one finds.
      for (const data of [...packets, ...packets]) {
        const given = data === undefined ? {} : { data };
        const [plain, command] = loaded.map((program) => outcome(program, given));
        expect(plain, `${type}, ${name}, ${data?.length}`).toEqual(command);
      }
      for (const program of loaded) program.close();
    }
  }
  expect(host.leaks()).toEqual([]);
  host.close();
});

test.each(on.slice(0, 2))("one after the other, with no command in between: %s", (_, more) => {
  const { host, load } = pairs(more);
  host.addDevice(7);
  const targets = host.createMap({ type: "prog_array", maxEntries: 1 });
  const turns = host.createMap({ type: "array", value: u32, maxEntries: 1 });
  const tailCalls = asm.assemble([
    asm.ldMapValue(R2, turns.fd, 0),
    asm.ldx("u32", R3, R2, 0),
    asm.alu64Imm("add", R3, 1),
    asm.stx("u32", R2, R3, 0),
    asm.ldMapFd(R2, targets.fd),
    asm.mov64Imm(R3, 0),
    asm.call(u.BPF_FUNC_tail_call),
    asm.mov64Imm(R0, 9),
    asm.exit(),
  ]);
  const loaded = Object.values(programs).map((items) => load("xdp", asm.assemble(items)));
  loaded.push(load("xdp", tailCalls));
  targets.set(0, loaded.at(-1)![0]!);
  const lengths = [14, 15, 63, 64, 65, 700, 3519, 3520];
  const sequence = (way: number): unknown[] => {
    const random = randomOf(7);
    turns.set(0, 0);
    return Array.from({ length: 500 }, () => {
      const program = loaded[random(loaded.length)]![way]!;
      const data = packet(lengths[random(lengths.length)]!, random(8));
      return [outcome(program, { data }), turns.get(0)];
    });
  };
  expect(sequence(0)).toEqual(sequence(1));
  // The first and 33 more.
  expect(turns.get(0)! % 34).toBe(0);
  for (const program of loaded.flat()) program.close();
  turns.close();
  targets.close();
  expect(host.leaks()).toEqual([]);
  host.close();
});

test("whatever else is asked for", () => {
  const { host, load } = pairs();
  const choices: { readonly [K in keyof RunOptions]?: readonly NonNullable<RunOptions[K]>[] } = {
    data: [packet(13), packet(64), packet(64)],
    ctx: [new Uint8Array(0), new Uint8Array(8), new Uint8Array(u.xdp_md.size).fill(1), new Uint8Array(200)],
    args: [[], [1n, 2]],
    repeat: [0, 1, 3, -1],
    cpu: [0, 1, 2],
    flags: [0, u.BPF_F_TEST_RUN_ON_CPU, u.BPF_F_TEST_XDP_LIVE_FRAMES],
    task: [{ pid: 3 }],
  };
  const random = randomOf(1);
  const drawn = (): RunOptions =>
    Object.fromEntries(
      Object.entries(choices).flatMap(([name, values]) => {
        const value = random(3) === 0 ? values[random(values.length)] : undefined;
        return value === undefined ? [] : [[name, value]];
      }),
    );
  for (const type of ["xdp", "raw_tracepoint"]) {
    const loaded = load(type, noOp);
    for (let i = 0; i < 400; i++) {
      const given = drawn();
      const [plain, command] = loaded.map((program) => outcome(program, given));
      expect(plain, `${type} ${Object.entries(given).join()}`).toEqual(command);
    }
  }
  host.close();
});

test("which runs go without the command", () => {
  vi.spyOn(EmbeddedHost.prototype, "bpf");
  const host = createEmbedded(options);
  const bySeam = (run: () => unknown): number => {
    const before = commands();
    run();
    return commands() - before;
  };
  const xdp = host.loadProgram({ type: "xdp", insns: noOp, license: "GPL" });
  const data = packet(64);
  // The first one too.
  expect(bySeam(() => xdp.run({ data }))).toBe(0);
  expect(bySeam(() => xdp.run({ data: Buffer.from(data) }))).toBe(0);
  expect(bySeam(() => xdp.run({ data, repeat: 1 }))).toBe(1);
  expect(bySeam(() => xdp.testRun({ data }))).toBe(1);
  expect(bySeam(() => xdp.run({ data, observe: {} }))).toBe(1);
  expect(bySeam(() => xdp.run({ data }))).toBe(0);
  host.close();
});

test.each([false, true])("what is behind the fd is run, on the CPU that it is to run on; shared %s", (shared) => {
  const seam = createTestHost({ ...options, shared });
  const load = (insns: readonly Insn[]): number =>
    seam.bpf(u.BPF_PROG_LOAD, {
      prog_type: u.BPF_PROG_TYPE_RAW_TRACEPOINT,
      insn_cnt: insns.length,
      insns: asm.encodeInsns(insns),
      license: "GPL",
    });
  const fd = load(noOp);
  const run = seam.plainRun(fd);
  expect([run(undefined), run(undefined)]).toMatchObject([{ retval: 2 }, { retval: 2 }]);
  expect(run(packet(64))).toBe(undefined);
  seam.close(fd);
  expect(run(undefined)).toBe(undefined);
  expect(load([asm.call(u.BPF_FUNC_get_smp_processor_id), asm.exit()])).toBe(fd);
  expect([run(undefined), run(undefined)]).toMatchObject([{ retval: 0 }, { retval: 0 }]);
  expect(seam.onCpu(1, () => run(undefined))).toMatchObject({ retval: 1 });
  expect(run(undefined)).toMatchObject({ retval: 0 });
  seam.observe({});
  expect(run(undefined)).toBe(undefined);
  seam.observe(undefined);
  const used = seam.memory().used;
  for (let i = 0; i < 10; i++) run(undefined);
  expect(seam.memory().used).toBe(used);
  seam.close(fd);
  // Nothing holds it any more.
  expect(seam.bpf(u.BPF_PROG_GET_NEXT_ID, { start_id: 0 })).toBe(-u.ENOENT);
  seam.dispose();
  expect(() => run(undefined)).toThrow();
});

test.each([false, true])("a run that there was no room on the stack to begin; shared %s", (shared) => {
  const seam = createTestHost({ ...options, shared });
  const load = (): number =>
    seam.bpf(u.BPF_PROG_LOAD, {
      prog_type: u.BPF_PROG_TYPE_RAW_TRACEPOINT,
      insn_cnt: noOp.length,
      insns: asm.encodeInsns(noOp),
      license: "GPL",
    });
  const [fd, other] = [load(), load()];
  const { Instance } = WebAssembly;
  class WithoutRoom {
    readonly exports: WebAssembly.Exports;
    constructor(module: WebAssembly.Module, imports?: WebAssembly.Imports) {
      const isRun = WebAssembly.Module.imports(module).some(({ name }) => name === "dropOwed");
      const run = (): never => {
        throw new RangeError("no room");
      };
      this.exports = isRun ? { run } : new Instance(module, imports).exports;
    }
  }
  const instances = vi.spyOn(WebAssembly, "Instance").mockImplementation(WithoutRoom);
  expect(() => seam.plainRun(fd)(undefined)).toThrow("no room");
  instances.mockRestore();
  expect(seam.plainRun(other)(undefined)).toMatchObject({ retval: 2 });
  const command = { prog_fd: fd, retval: 0 };
  expect(seam.bpf(u.BPF_PROG_TEST_RUN, command)).toBe(0);
  expect(command.retval).toBe(2);
  for (const each of [fd, other]) seam.close(each);
  // Nothing holds them any more.
  expect(seam.bpf(u.BPF_PROG_GET_NEXT_ID, { start_id: 0 })).toBe(-u.ENOENT);
  seam.dispose();
});

test("a program is compiled in a run of its own, which ends with a client that dies meanwhile", () => {
  const kernel = createKernel({ memory: 8 << 20, cpus: 2, shared: true, seed: 1, virtualClock: true });
  const seam = new EmbeddedHost(kernel);
  const fd = seam.bpf(u.BPF_PROG_LOAD, {
    prog_type: u.BPF_PROG_TYPE_RAW_TRACEPOINT,
    insn_cnt: noOp.length,
    insns: asm.encodeInsns(noOp),
    license: "GPL",
  });
  const prog = kernel.get(fd, OBJ_PROG);
  kernel.done(prog);
  const { Module } = WebAssembly;
  const runs: boolean[] = [];
  class Watched extends Module {
    constructor(bytes: BufferSource) {
      super(bytes);
      runs.push(kernel.run !== 0 && kernel.mem.u32[(kernel.run + RUN_PROG) >>> 2] === prog);
    }
  }
  vi.spyOn(WebAssembly, "Module").mockImplementation(Watched);
  expect(seam.plainRun(fd)(undefined)).toMatchObject({ retval: 2 });
  // The program, what it imports, and what runs it.
  expect(runs.length).toBeGreaterThan(1);
  expect(new Set(runs)).toEqual(new Set([true]));
  expect(kernel.run).toBe(0);
  seam.dispose();
});

test("a program that is dropped while it is borrowed: the borrower's, whether that ends before, or has another's to drop", () => {
  const kernel = createKernel({ memory: 8 << 20, cpus: 2, shared: true, seed: 1, virtualClock: true });
  const { mem } = kernel;
  const seam = new EmbeddedHost(kernel);
  const load = (): { readonly fd: number; readonly prog: number } => {
    const fd = seam.bpf(u.BPF_PROG_LOAD, {
      prog_type: u.BPF_PROG_TYPE_RAW_TRACEPOINT,
      insn_cnt: noOp.length,
      insns: asm.encodeInsns(noOp),
      license: "GPL",
    });
    expect(seam.plainRun(fd)(undefined)).toMatchObject({ retval: 2 });
    const prog = kernel.get(fd, OBJ_PROG);
    kernel.done(prog);
    return { fd, prog };
  };
  const left = (): number => seam.bpf(u.BPF_PROG_GET_NEXT_ID, { start_id: 0 });
  const word = (offset: number): number => (cpuEntry(mem, kernel.cpu) + offset) >>> 2;
  const others = mem.owner + 1;

  // In the middle of a run of another client.
  const first = load();
  const second = load();
  mem.u32[word(CPU_LOCK)] = others;
  mem.u32[word(CPU_BORROWED)] = first.prog;
  seam.close(first.fd);
  expect([left(), mem.u32[word(CPU_OWED)]]).toEqual([0, first.prog]);
  // That has ended and died before it could drop the program; the run is one of the other program now.
  mem.u32[word(CPU_BORROWED)] = second.prog;
  seam.close(second.fd);
  expect([left(), mem.u32[word(CPU_OWED)]]).toEqual([0, second.prog]);
  mem.u32[word(CPU_LOCK)] = 0;
  const third = load();
  // A run of this client's has found it.
  expect(mem.u32[word(CPU_OWED)]).toBe(0);

  // The run ends while the program is handed over, and has not seen it.
  mem.u32[word(CPU_LOCK)] = others;
  mem.u32[word(CPU_BORROWED)] = third.prog;
  const xchg32 = (address: number, value: number): number => {
    if (value === third.prog) mem.u32[word(CPU_LOCK)] = 0;
    return atomics.xchg32(address, value);
  };
  const { atomics } = mem;
  Object.defineProperty(mem, "atomics", { value: { ...atomics, xchg32 } });
  seam.close(third.fd);
  expect([left(), mem.u32[word(CPU_OWED)]]).toEqual([-u.ENOENT, 0]);
  seam.dispose();
});
