/** Functions of a program that a helper calls, and calls of kernel functions, on the embedded hosts. */
import { afterAll, expect, test } from "vitest";
import { closeHosts, embeddedOf, openHosts } from "../../test/conformance/hosts.ts";
import { loadProgram, readResults, resultMap, testRun } from "../../test/conformance/programs.ts";
import { parseBtf } from "../btf/index.ts";
import { kernelBtf } from "../helpers/kernel_btf.ts";
import type { Host } from "../host/host.ts";
import * as asm from "../insn/index.ts";
import * as u from "../uapi/index.ts";

const { R0, R1, R2, R3, R4, R6, R9, R10 } = asm;
const hosts = openHosts();
afterAll(() => closeHosts(hosts));
const places = embeddedOf(hosts);

const WORDS = 8;

/** r9: the results; what the program returns goes to the first. */
function run(
  host: Host,
  body: readonly asm.AsmItem[],
  functions: readonly asm.AsmItem[],
  license = "GPL",
): bigint[] | string {
  const results = resultMap(host, WORDS * 8);
  const start = [asm.mov64(R6, R1), asm.ldMapValue(R9, results, 0)];
  const end = [asm.stx("u64", R9, R0, 0), asm.mov64Imm(R0, 2), asm.exit()];
  const { fd, log } = loadProgram(host, [...start, ...body, ...end, ...functions], { license });
  if (fd < 0) {
    host.close(results);
    return log;
  }
  const { ret } = testRun(host, fd);
  const stderr = new Uint8Array(4096);
  host.bpf(u.BPF_PROG_STREAM_READ_BY_FD, {
    stream_buf: stderr,
    stream_buf_len: 4096,
    stream_id: u.BPF_STDERR,
    prog_fd: fd,
  });
  const words = [...readResults(host, results, WORDS * 8)];
  host.close(fd);
  host.close(results);
  return ret === 0 ? words : new TextDecoder().decode(stderr.subarray(0, stderr.indexOf(0)));
}

function loop(turns: number, flags = 0): readonly asm.AsmItem[] {
  return [
    asm.ldImm64(R1, BigInt(turns)),
    asm.ldFunc(R2, "callback"),
    asm.mov64(R3, R9),
    asm.mov64Imm(R4, flags),
    asm.call(u.BPF_FUNC_loop),
  ];
}

/** Adds its turn to the second word and spoils r6 .. r9; returns 1 in turn `last`. */
function adds(last: number): readonly asm.AsmItem[] {
  return [
    asm.label("callback"),
    asm.ldx("u64", R0, R2, 8),
    asm.alu64("add", R0, R1),
    asm.stx("u64", R2, R0, 8),
    asm.ldx("u64", R0, R10, -8),
    asm.stx("u64", R2, R0, 16),
    asm.st("u64", R10, -8, 77),
    asm.mov64Imm(R6, 0),
    asm.mov64Imm(R9, 0),
    asm.mov64Imm(R0, 0),
    asm.jmpImm("jne", R1, last, "out"),
    asm.mov64Imm(R0, 1),
    asm.label("out"),
    asm.exit(),
  ];
}

test.for(places)("%s: bpf_loop calls a function of the program with its turn, on a stack that is zero", ([, host]) => {
  expect(run(host, loop(10), adds(-1))).toEqual([10n, 45n, 0n, 0n, 0n, 0n, 0n, 0n]);
  expect(run(host, loop(10), adds(3))).toEqual([4n, 6n, 0n, 0n, 0n, 0n, 0n, 0n]);
  expect(run(host, loop(0), adds(3))?.[0]).toBe(0n);
  expect(run(host, loop(8 * 1024 * 1024 + 1), adds(3))?.[0]).toBe(BigInt.asUintN(32, BigInt(-u.E2BIG)));
  expect(run(host, loop(2 ** 32 + 3), adds(3))?.[0]).toBe(BigInt.asUintN(32, BigInt(-u.E2BIG)));
  expect(run(host, loop(1, 1), adds(3))?.[0]).toBe(BigInt.asUintN(64, BigInt(-u.EINVAL)));
});

test.for(places)("%s: only functions of the program can be called", ([, host]) => {
  const forged = [
    asm.mov64Imm(R1, 1),
    asm.ldImm64(R2, 0x0bf0_0000_0000_0001n),
    asm.mov64Imm(R3, 0),
    asm.mov64Imm(R4, 0),
    asm.call(u.BPF_FUNC_loop),
  ];
  expect(run(host, forged, [])).toContain("argument 2 of bpf_loop: 0xbf0000000000001 is no function of this program");
});

test.for(places)("%s: callbacks count as frames", ([, host]) => {
  const nested = [asm.label("callback"), ...loop(1), asm.exit()];
  expect(run(host, loop(1), nested)).toContain("a call too deep: 8 frames are the most");
});

function idOf(name: string): number {
  return parseBtf(kernelBtf()).types.findIndex((type) => type.kind === "func" && type.name === name);
}

test.for(places)("%s: kernel functions are called by their BTF ids", ([, host]) => {
  const lock = asm.callKfunc(idOf("bpf_rcu_read_lock"));
  const unlock = asm.callKfunc(idOf("bpf_rcu_read_unlock"));
  expect(run(host, [lock, unlock, asm.mov64Imm(R0, 5)], [])?.[0]).toBe(5n);
  const preempt = ["bpf_preempt_disable", "bpf_preempt_enable"].map((name) => asm.callKfunc(idOf(name)));
  expect(run(host, [...preempt, asm.mov64Imm(R0, 6)], [])?.[0]).toBe(6n);
  expect(run(host, [lock, unlock, asm.mov64Imm(R0, 5)], [], "MIT")).toContain("non-GPL");
  expect(run(host, [asm.callKfunc(60_000), asm.mov64Imm(R0, 5)], [])).toContain(
    "kernel btf_id 60000 is not a function",
  );
});

test.for(places)("%s: a function that a helper calls sees nothing of other runs in its registers", ([, host]) => {
  const map = resultMap(host, 8);
  const before = [
    asm.ldMapFd(R1, map),
    asm.ldFunc(R2, "callback"),
    asm.ldImm64(R3, 0x5ec2_e755_5ec2_e755n),
    asm.mov64Imm(R4, 0),
    asm.call(u.BPF_FUNC_for_each_map_elem),
  ];
  expect(run(host, before, [asm.label("callback"), asm.mov64Imm(R0, 0), asm.exit()])?.[0]).toBe(1n);
  const shows = ([R3, R4, asm.R5] as const).map((r, i) => asm.stx("u64", R2, r, 8 + i * 8));
  const after = [asm.label("callback"), ...shows, asm.mov64Imm(R0, 0), asm.exit()];
  expect(run(host, loop(1), after)).toEqual([1n, 0n, 0n, 0n, 0n, 0n, 0n, 0n]);
  host.close(map);
});

test.for(places)("%s: of what a program prints in a loop the first 10,000 lines are kept", ([, host]) => {
  const prints = [
    asm.label("callback"),
    asm.st("u64", R10, -8, 0x6968),
    asm.mov64(R1, R10),
    asm.alu64Imm("add", R1, -8),
    asm.mov64Imm(R2, 3),
    asm.call(u.BPF_FUNC_trace_printk),
    asm.mov64Imm(R0, 0),
    asm.exit(),
  ];
  expect(run(host, loop(10_001), prints)?.[0]).toBe(10_001n);
  expect(host.runEvents()).toHaveLength(10_000);
});

test.each(places)(
  "%s: a number that looks like the address of a function is none, whose address is not taken",
  (_name, host) => {
    const body = [
      asm.mov64(R1, R10),
      asm.callRel("store"),
      asm.ldImm64(R1, 1n),
      // The function begins behind the end of the program: two slots an immediate of 64 bits.
      asm.ldImm64(R2, (0x0bf0_0000n << 32n) | 16n),
      asm.mov64Imm(R3, 0),
      asm.mov64Imm(R4, 0),
      asm.call(u.BPF_FUNC_loop),
      asm.mov64Imm(R0, 0),
    ];
    const store = [asm.label("store"), asm.st("u64", R1, -8, 7), asm.mov64Imm(R0, 0), asm.exit()];
    expect(run(host, body, store)).toMatch(/argument 2 of bpf_loop.*no function/);
  },
);
