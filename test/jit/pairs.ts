/** The same program on both engines, on exclusive and on shared hosts. */
import { expect } from "vitest";
import { BtfBuilder } from "../../src/btf/index.ts";
import { createEmbeddedHost, type EmbeddedHost } from "../../src/host/embedded.ts";
import * as asm from "../../src/insn/index.ts";
import * as u from "../../src/uapi/index.ts";
import { loadProgram, readStderr, testRun } from "../conformance/programs.ts";

const { R0, R1, R2, R3, R4, R10, label } = asm;
export type Items = readonly asm.AsmItem[];
export type Ended = readonly [ret: number, retval: number, stderr: string];

const options = { memory: 8 << 20, cpus: 2, seed: 1, runBudget: 20_000 };

export function load(host: EmbeddedHost, items: Items, type?: number): number {
  const { fd, log } = loadProgram(host, items, type === undefined ? {} : { type });
  if (fd < 0) throw new Error(log);
  return fd;
}

/** With BTF, without which functions may make no tail calls; `f` is the last function. */
export function loadFunction(host: EmbeddedHost, main: Items, f: Items): number {
  const types = new BtfBuilder();
  const func = types.func("f", types.funcProto(types.int("int", 4, { signed: true }), []), "static");
  const btf = types.build();
  const prog_btf_fd = host.bpf(u.BPF_BTF_LOAD, { btf, btf_size: btf.length });
  const insns = asm.assemble([main, label("f"), f].flat());
  const fd = host.bpf(u.BPF_PROG_LOAD, {
    prog_type: u.BPF_PROG_TYPE_XDP,
    insn_cnt: insns.length,
    insns: asm.encodeInsns(insns),
    license: "GPL",
    prog_btf_fd,
    func_info: Uint32Array.of(0, func, insns.length - asm.assemble(f).length, func),
    func_info_rec_size: 8,
    func_info_cnt: 2,
  });
  host.close(prog_btf_fd);
  return fd;
}

/** Addresses and ids differ from host to host, and where exactly a budget ends from engine to engine. */
export function ended(host: EmbeddedHost, fd: number): Ended {
  const { ret, retval } = testRun(host, fd);
  const text = ret === 0 ? "" : readStderr(host, fd).replaceAll(/0x[0-9a-f]{4,}|id \d+/g, "...");
  return [ret, retval >>> 0, ret === -u.ETIMEDOUT ? text.replace(/ *at instruction .*\n/, "") : text];
}

/** Loads it, runs it so often, and closes it. */
export function runs(host: EmbeddedHost, items: Items, times = 1, type?: number): readonly Ended[] {
  const fd = load(host, items, type);
  const results = Array.from({ length: times }, () => ended(host, fd));
  host.close(fd);
  return results;
}

export interface Pairs {
  /** The same on both engines and on all hosts, and what it was. Compiled code has to run it. */
  alike(work: (host: EmbeddedHost) => readonly Ended[]): readonly Ended[];
  close(): void;
}

export function openPairs(): Pairs {
  const pairs = [false, true].map((shared) =>
    (["interp", "jit"] as const).map((engine) => createEmbeddedHost({ ...options, shared, engine })),
  );
  return {
    alike: (work) => {
      const all = pairs.map(([interp, jit]) => {
        const wanted = work(interp!);
        expect(work(jit!)).toEqual(wanted);
        expect(jit!.ranBy()).toEqual({ engine: "jit", why: undefined });
        // The first work of all makes what stays; from then on whatever is held goes back.
        const after = jit!.memory().metadata;
        expect(work(jit!)).toEqual(wanted);
        expect(jit!.memory().metadata).toBe(after);
        return wanted;
      });
      expect(all[0]).toEqual(all[1]);
      return all[0]!;
    },
    close: () => {
      for (const host of pairs.flat()) host.dispose();
    },
  };
}

export const returns = (value: number): Items => [asm.mov64Imm(R0, value), asm.exit()];
export const inFrame = (register: asm.Reg, offset: number): Items => [
  asm.mov64(register, R10),
  asm.alu64Imm("add", register, offset),
];

/** bpf_loop with the frame's word at -8 as what the function is given. */
export const loop = (turns: number | bigint, callback: string, flags = 0): Items =>
  [
    asm.ldImm64(R1, BigInt(turns)),
    asm.ldFunc(R2, callback),
    inFrame(R3, -8),
    asm.mov64Imm(R4, flags),
    asm.call(u.BPF_FUNC_loop),
  ].flat();

/** The sum of the turns' numbers, in the caller's frame; ends at turn `last`. */
export const addUp = (name: string, last: number): Items => [
  label(name),
  asm.ldx("u64", R3, R2, 0),
  asm.alu64("add", R3, R1),
  asm.stx("u64", R2, R3, 0),
  asm.mov64Imm(R0, 0),
  asm.jmpImm("jne", R1, last, 1),
  asm.mov64Imm(R0, 1),
  asm.exit(),
];
