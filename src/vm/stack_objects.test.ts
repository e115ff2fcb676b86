/**
 * Dynptrs and iterators that were forged, scribbled over, copied, kept or given back: the run faults, names the argument,
 * and nothing is touched. The kernel's verifier refuses all of these programs.
 */
import { afterAll, expect, test } from "vitest";
import { closeHosts, openHosts } from "../../test/conformance/hosts.ts";
import { loadProgram, readResults, readStderr, resultMap, testRun } from "../../test/conformance/programs.ts";
import { parseBtf } from "../btf/index.ts";
import { kernelBtf } from "../helpers/kernel_btf.ts";
import type { Host } from "../host/host.ts";
import * as asm from "../insn/index.ts";
import * as u from "../uapi/index.ts";

const { R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, R10 } = asm;
const hosts = openHosts();
afterAll(() => closeHosts(hosts));
const places = [
  ["exclusive", hosts.exclusive],
  ["shared", hosts.shared],
] as const;

const SIZE = 64;
const types = parseBtf(kernelBtf()).types;
const kfunc = (name: string): asm.AsmItem =>
  asm.callKfunc(types.findIndex((type) => type.kind === "func" && type.name === name));

/** Runs with r9 at the 64 bytes of a value; what went wrong, or the value's words. */
function run(host: Host, items: readonly asm.AsmItem[], ring = -1, repeat = 1): string | bigint[] {
  const results = resultMap(host, SIZE);
  const start = [asm.mov64(R6, R1), asm.ldMapValue(R9, results, 0), ...(ring < 0 ? [] : [asm.ldMapFd(R8, ring)])];
  const { fd, log } = loadProgram(host, [...start, ...items, asm.mov64Imm(R0, 2), asm.exit()]);
  try {
    if (fd < 0) return log;
    const { ret } = testRun(host, fd, new Uint8Array(64), repeat);
    const stderr = readStderr(host, fd);
    return ret === 0 ? [...readResults(host, results, SIZE)] : stderr;
  } finally {
    if (fd >= 0) host.close(fd);
    host.close(results);
  }
}

const at = (to: asm.Reg, offset: number): asm.AsmItem => [asm.mov64(to, R10), asm.alu64Imm("add", to, offset)];
const storeResult = (word: number): asm.AsmItem => asm.stx("u64", R9, R0, word * 8);

/** A dynptr over the first 32 bytes of the value. */
const fromMem = (slot: number): asm.AsmItem => [
  asm.mov64(R1, R9),
  asm.mov64Imm(R2, 32),
  asm.mov64Imm(R3, 0),
  at(R4, slot),
  asm.call(u.BPF_FUNC_dynptr_from_mem),
];
const reserve = (slot: number, size = 16): asm.AsmItem => [
  asm.mov64(R1, R8),
  asm.mov64Imm(R2, size),
  asm.mov64Imm(R3, 0),
  at(R4, slot),
  asm.call(u.BPF_FUNC_ringbuf_reserve_dynptr),
];
/** Eight bytes from the stack into the dynptr that r1 points to. */
const write = (offset = 0): asm.AsmItem => [
  asm.mov64Imm(R2, offset),
  at(R3, -8),
  asm.mov64Imm(R4, 8),
  asm.mov64Imm(R5, 0),
  asm.call(u.BPF_FUNC_dynptr_write),
];
const writeAt = (slot: number): asm.AsmItem => [at(R1, slot), asm.st("u64", R10, -8, 77), write()];
const submit = (slot: number): asm.AsmItem => [
  at(R1, slot),
  asm.mov64Imm(R2, 0),
  asm.call(u.BPF_FUNC_ringbuf_submit_dynptr),
];

const NO_DYNPTR = "is no dynptr that this run has set up";
const copyWords = (to: number, from: number, words = 2): asm.AsmItem[] =>
  Array.from({ length: words }, (_, i) => [asm.ldx("u64", R1, R10, from + i * 8), asm.stx("u64", R10, R1, to + i * 8)]);

const forged: readonly (readonly [name: string, items: readonly asm.AsmItem[]])[] = [
  ["none was set up", [asm.st("u64", R10, -24, 0), asm.st("u64", R10, -16, 0), writeAt(-24)]],
  ["a number", [asm.mov64Imm(R1, 4096), write()]],
  ["NULL", [asm.mov64Imm(R1, 0), write()]],
  ["an upper half", [fromMem(-24), at(R1, -24), asm.ldImm64(R2, 1n << 32n), asm.alu64("or", R1, R2), write()]],
  ["a value of the map", [fromMem(-24), copyWords(-40, -24), asm.mov64(R1, R9), write()]],
  ["beside its place", [fromMem(-24), at(R1, -20), write()]],
  ["another place", [fromMem(-24), copyWords(-40, -24), writeAt(-40)]],
  ["its first half was written", [fromMem(-24), asm.st("u8", R10, -24, 0xff), writeAt(-24)]],
  ["its second half was written", [fromMem(-24), asm.st("u8", R10, -16, 0xff), writeAt(-24)]],
  [
    "its generation was counted up",
    [
      fromMem(-24),
      asm.ldx("u32", R1, R10, -20),
      asm.alu64Imm("add", R1, 1),
      asm.stx("u32", R10, R1, -20),
      asm.stx("u32", R10, R1, -16),
      writeAt(-24),
    ],
  ],
  [
    "an older one of the same place",
    [fromMem(-24), copyWords(-64, -24), fromMem(-24), copyWords(-24, -64), writeAt(-24)],
  ],
  ["an iterator", [at(R1, -24), asm.mov64Imm(R2, 0), asm.mov64Imm(R3, 9), kfunc("bpf_iter_num_new"), writeAt(-24)]],
  [
    "of a function that has returned",
    [
      asm.callRel("sets"),
      asm.mov64Imm(R0, 0),
      asm.callRel("uses"),
      asm.mov64Imm(R0, 2),
      asm.exit(),
      asm.label("sets"),
      fromMem(-24),
      asm.exit(),
      asm.label("uses"),
      writeAt(-24),
      asm.exit(),
      asm.label("end"),
    ],
  ],
];

test.for(forged.flatMap(([name, items]) => places.map(([place, host]) => ({ name, items, place, host }))))(
  "$place: a dynptr that is none: $name",
  ({ items, host }) => {
    const before = host.memory();
    const needsEnd = items.some((item) => "at" in item && item.at === "end");
    // The last function of that case ends in an exit of its own.
    expect(run(host, needsEnd ? items.slice(0, -1) : items)).toContain(NO_DYNPTR);
    expect(host.memory().used).toBe(before.used);
  },
);
