/**
 * Dynptrs and iterators that were forged, scribbled over, copied, kept or given back: the run faults, names the argument,
 * and nothing is touched. The kernel's verifier refuses all of these programs.
 */
import { afterAll, expect, test } from "vitest";
import { closeHosts, embeddedOf, openHosts } from "../../test/conformance/hosts.ts";
import { loadProgram, readResults, readStderr, resultMap, testRun } from "../../test/conformance/programs.ts";
import { parseBtf } from "../btf/index.ts";
import { kernelBtf } from "../helpers/kernel_btf.ts";
import type { Host } from "../host/host.ts";
import * as asm from "../insn/index.ts";
import * as u from "../uapi/index.ts";

const { R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, R10 } = asm;
const hosts = openHosts();
afterAll(() => closeHosts(hosts));
const places = embeddedOf(hosts);

const SIZE = 64;
const types = parseBtf(kernelBtf()).types;
const kfunc = (name: string): asm.AsmItem =>
  asm.callKfunc(types.findIndex((type) => type.kind === "func" && type.name === name));

/** Runs with r9 at the 64 bytes of a value; what went wrong, or the value's words. */
function run(
  host: Host,
  items: readonly asm.AsmItem[],
  options: { ring?: number; repeat?: number; functions?: readonly asm.AsmItem[] } = {},
): string | bigint[] {
  const { ring = -1, repeat = 1, functions = [] } = options;
  const results = resultMap(host, SIZE);
  const start = [asm.mov64(R6, R1), asm.ldMapValue(R9, results, 0), ...(ring < 0 ? [] : [asm.ldMapFd(R8, ring)])];
  const { fd, log } = loadProgram(host, [...start, ...items, asm.mov64Imm(R0, 2), asm.exit(), ...functions]);
  try {
    if (fd < 0) return log;
    const { ret } = testRun(host, fd, new Uint8Array(64), repeat);
    return ret === 0 ? [...readResults(host, results, SIZE)] : readStderr(host, fd);
  } finally {
    if (fd >= 0) host.close(fd);
    host.close(results);
  }
}

/** Bytes of the host's own that are in use: what a run leaves behind shows. */
function metadata(host: Host): number {
  const memory = "memory" in host ? (host as typeof hosts.exclusive).memory() : undefined;
  return memory?.metadata ?? 0;
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
// The first run of all makes the CPU and its table of objects.
for (const [, host] of places) run(host, [fromMem(-24)]);
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
];

test.for(forged.flatMap(([name, items]) => places.map(([place, host]) => ({ name, items, place, host }))))(
  "$place: a dynptr that is none: $name",
  ({ items, host }) => {
    const before = metadata(host);
    expect(run(host, items)).toContain(NO_DYNPTR);
    expect(metadata(host)).toBe(before);
  },
);

test.for(places)("%s: a dynptr ends with the frame of the function that set it up", ([, host]) => {
  const functions = [
    asm.label("sets"),
    fromMem(-24),
    asm.exit(),
    asm.label("uses"),
    asm.stx("u64", R10, R6, -24),
    asm.stx("u64", R10, R7, -16),
    writeAt(-24),
    asm.exit(),
  ];
  const keep = [asm.ldx("u64", R6, R10, -512 - 24), asm.ldx("u64", R7, R10, -512 - 16)];
  expect(run(host, [asm.callRel("sets"), asm.callRel("uses")], { functions })).toContain(NO_DYNPTR);
  expect(run(host, [asm.callRel("sets"), ...keep], { functions: functions.slice(0, 3) })).toContain("below its stack");
});

/** A ring of one page, for as long as `use` runs. */
function withRing(host: Host, use: (ring: number) => void): void {
  const ring = host.bpf(u.BPF_MAP_CREATE, { map_type: u.BPF_MAP_TYPE_RINGBUF, max_entries: 4096 });
  try {
    use(ring);
  } finally {
    host.close(ring);
  }
}

test.for(places)("%s: a ring record as a dynptr, and what outlives it", ([, host]) => {
  withRing(host, (ring) => {
    const clone = [at(R1, -24), at(R2, -40), kfunc("bpf_dynptr_clone")];
    const data = (slot: number): asm.AsmItem => [
      at(R1, slot),
      asm.mov64Imm(R2, 0),
      asm.mov64Imm(R3, 8),
      asm.call(u.BPF_FUNC_dynptr_data),
    ];
    const ok = run(host, [reserve(-24), storeResult(0), writeAt(-24), storeResult(1), submit(-24)], { ring });
    expect(ok).toEqual([0n, 0n, 0n, 0n, 0n, 0n, 0n, 0n]);
    expect(run(host, [reserve(-24), submit(-24), writeAt(-24)], { ring })).toContain(NO_DYNPTR);
    expect(run(host, [reserve(-24), submit(-24), submit(-24)], { ring })).toContain(NO_DYNPTR);
    expect(run(host, [reserve(-24), ...clone, submit(-24), writeAt(-40)], { ring })).toContain(NO_DYNPTR);
    expect(run(host, [reserve(-24), ...clone, submit(-40), writeAt(-24)], { ring })).toContain(NO_DYNPTR);
    const used = [reserve(-24), data(-24), asm.mov64(R7, R0), submit(-24), asm.st("u64", R7, 0, 1)];
    expect(run(host, used, { ring })).toContain("a ring record that this run has not reserved");
    const asRecord = [
      reserve(-24),
      data(-24),
      asm.mov64(R1, R0),
      asm.mov64Imm(R2, 0),
      asm.call(u.BPF_FUNC_ringbuf_submit),
    ];
    expect(run(host, asRecord, { ring })).toContain("is no ring record that this run has reserved");
    expect(run(host, [fromMem(-24), submit(-24)], { ring })).toContain("is no ring record");
    // A size beyond 24 bits: null, and still to be given back.
    expect(
      run(host, [reserve(-24, 1 << 24), storeResult(0), writeAt(-24), storeResult(1), submit(-24)], { ring }),
    ).toEqual([BigInt.asUintN(64, BigInt(-u.E2BIG)), BigInt.asUintN(64, BigInt(-u.EINVAL)), 0n, 0n, 0n, 0n, 0n, 0n]);
  });
});

test.for(places)("%s: records that a run leaves open are discarded, repetition by repetition", ([, host]) => {
  withRing(host, (ring) => {
    const before = metadata(host);
    const query = [
      asm.mov64(R1, R8),
      asm.mov64Imm(R2, u.BPF_RB_PROD_POS),
      asm.call(u.BPF_FUNC_ringbuf_query),
      storeResult(1),
    ];
    // Each takes 24 bytes of the ring.
    expect(run(host, [reserve(-24), ...query], { ring, repeat: 3 })).toMatchObject({ 1: 72n });
    // A mark that an earlier repetition left in the value is none in the next one.
    const keepMark = [
      asm.ldx("u64", R7, R9, 0),
      asm.jmpImm("jne", R7, 0, "again"),
      reserve(-24),
      asm.ldx("u64", R1, R10, -24),
      asm.stx("u64", R9, R1, 0),
      asm.ldx("u64", R1, R10, -16),
      asm.stx("u64", R9, R1, 8),
      asm.ja("end"),
      asm.label("again"),
      asm.stx("u64", R10, R7, -24),
      asm.ldx("u64", R1, R9, 8),
      asm.stx("u64", R10, R1, -16),
      writeAt(-24),
      asm.label("end"),
    ];
    expect(run(host, keepMark, { ring, repeat: 2 })).toContain(NO_DYNPTR);
    expect(metadata(host)).toBe(before);
  });
});

test.for(places)("%s: dynptrs are made of values of maps only", ([, host]) => {
  const stack = [
    at(R1, -64),
    asm.mov64Imm(R2, 8),
    asm.mov64Imm(R3, 0),
    at(R4, -24),
    asm.call(u.BPF_FUNC_dynptr_from_mem),
  ];
  expect(run(host, stack)).toContain("is not in a value of a map: its stack");
  const long = [
    asm.mov64(R1, R9),
    asm.mov64Imm(R2, SIZE + 1),
    asm.mov64Imm(R3, 0),
    at(R4, -24),
    asm.call(u.BPF_FUNC_dynptr_from_mem),
  ];
  expect(run(host, long)).toContain("argument 1 of bpf_dynptr_from_mem: write of 65 bytes");
  const packet = [
    asm.ldx("u32", R1, R6, 0),
    asm.mov64Imm(R2, 8),
    asm.mov64Imm(R3, 0),
    at(R4, -24),
    asm.call(u.BPF_FUNC_dynptr_from_mem),
  ];
  expect(run(host, packet)).toContain("is not in a value of a map");
});

const numNew = (slot: number, from: number, to: number): asm.AsmItem => [
  at(R1, slot),
  asm.mov64Imm(R2, from),
  asm.mov64Imm(R3, to),
  kfunc("bpf_iter_num_new"),
];
const next = (slot: number): asm.AsmItem => [at(R1, slot), kfunc("bpf_iter_num_next")];
const destroy = (slot: number): asm.AsmItem => [at(R1, slot), kfunc("bpf_iter_num_destroy")];
const NO_ITERATOR = "is no iterator of its kind that this run has set up";

const iterators: readonly (readonly [name: string, wanted: string, items: readonly asm.AsmItem[]])[] = [
  ["none was set up", NO_ITERATOR, [asm.st("u64", R10, -16, 0), next(-16)]],
  ["it was destroyed", NO_ITERATOR, [numNew(-16, 0, 9), destroy(-16), next(-16)]],
  ["twice destroyed", NO_ITERATOR, [numNew(-16, 0, 9), destroy(-16), destroy(-16)]],
  ["scribbled over", NO_ITERATOR, [numNew(-16, 0, 9), asm.st("u32", R10, -16, 3), next(-16)]],
  ["copied", NO_ITERATOR, [numNew(-16, 0, 9), copyWords(-32, -16, 1), next(-32)]],
  ["of another kind", NO_ITERATOR, [fromMem(-16), next(-16)]],
  ["the number is written", "which it may only read", [numNew(-16, 0, 9), next(-16), asm.st("u32", R0, 0, 1)]],
  ["behind the number", "memory of the host itself", [numNew(-16, 0, 9), next(-16), asm.ldx("u64", R1, R0, 0)]],
  ["in front of the number", "memory of the host itself", [numNew(-16, 0, 9), next(-16), asm.ldx("u32", R1, R0, -8)]],
  [
    "the number of one that was destroyed",
    "memory of the host itself",
    [numNew(-16, 0, 9), next(-16), asm.mov64(R7, R0), destroy(-16), asm.ldx("u32", R1, R7, 0)],
  ],
];

test.for(
  iterators.flatMap(([name, wanted, items]) => places.map(([place, host]) => ({ name, wanted, items, place, host }))),
)("$place: an iterator that is none: $name", ({ wanted, items, host }) => {
  const before = metadata(host);
  expect(run(host, items)).toContain(wanted);
  expect(metadata(host)).toBe(before);
});

test.for(places)("%s: iterators that are made in a loop and never given back have an end", ([, host]) => {
  const started = performance.now();
  const words = run(host, [
    asm.mov64Imm(R7, 0),
    asm.label("again"),
    at(R1, -16),
    asm.mov64(R2, R9),
    asm.mov64Imm(R3, 1),
    kfunc("bpf_iter_bits_new"),
    asm.alu64Imm("add", R7, 1),
    asm.jmpImm("jne", R7, 200_000, "again"),
    asm.stx("u64", R9, R7, 0),
    asm.movsx64(R0, R0, 32),
    storeResult(1),
  ]);
  expect(typeof words === "string" ? words : [words[0], BigInt.asIntN(64, words[1]!)]).toEqual([
    200_000n,
    BigInt(-u.ENOMEM),
  ]);
  // Without an end it takes minutes.
  expect(performance.now() - started).toBeLessThan(20_000);
});
