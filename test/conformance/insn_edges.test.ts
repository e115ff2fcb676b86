/**
 * Every operation of RFC 9669 on every pair of edge values: the embedded host, the kernel, and what the RFC says, in the words
 * of BigInt. One program an operation, which takes its operands from a map, so that no compiler knows them.
 */
import { afterAll, expect, test } from "vitest";
import type { Host } from "../../src/host/host.ts";
import * as asm from "../../src/insn/index.ts";
import * as u from "../../src/uapi/index.ts";
import { closeHosts, openHosts, placesOf } from "./hosts.ts";
import { loadProgram, resultMap, testRun } from "./programs.ts";

const { R0, R1, R2, R6, R7 } = asm;

const EDGES: readonly bigint[] = [
  0n,
  1n,
  32n,
  33n,
  63n,
  0x7fn,
  0x80n,
  0x7fff_ffffn,
  0x8000_0000n,
  0xffff_ffffn,
  0x1_0000_0000n,
  0x1234_5678_9abc_def0n,
  0x7fff_ffff_ffff_ffffn,
  0x8000_0000_0000_0000n,
  0xffff_ffff_0000_0000n,
  0xffff_ffff_8000_0000n,
  0xffff_ffff_ffff_ff80n,
  0xffff_ffff_ffff_ffffn,
];
const PAIRS = EDGES.flatMap((a) => EDGES.map((b): readonly [bigint, bigint] => [a, b]));
/** Operands, then a word of its own for each pair. */
const SIZE = (EDGES.length + PAIRS.length) * 8;

const hosts = openHosts({ anyCpu: true });
interface Place {
  readonly name: string;
  readonly host: Host;
  readonly map: number;
}
// Nothing here depends on whether memory is shared.
const places: readonly Place[] = placesOf(hosts)
  .filter(([name]) => name !== "shared")
  .map(([name, host]) => ({ name, host, map: resultMap(host, SIZE) }));
afterAll(() => {
  for (const { host, map } of places) host.close(map);
  closeHosts(hosts);
});

const bits64 = (value: bigint): bigint => BigInt.asUintN(64, value);
const signed = (bits: number, value: bigint): bigint => BigInt.asIntN(bits, value);

/** What `emit` leaves in r0, for each pair in r0 and r1. `expected` is the word that the RFC says. */
function check(emit: () => readonly asm.AsmItem[], expected: (a: bigint, b: bigint) => bigint): void {
  const body = PAIRS.map(([a, b], i) => [
    asm.ldx("u64", R0, R6, EDGES.indexOf(a) * 8),
    asm.ldx("u64", R1, R6, EDGES.indexOf(b) * 8),
    emit(),
    asm.stx("u64", R6, R0, (EDGES.length + i) * 8),
  ]);
  const input = new BigUint64Array(SIZE / 8);
  input.set(EDGES);
  const wanted = PAIRS.map(([a, b]) => bits64(expected(a, b)));
  for (const { name, host, map } of places) {
    const { fd, log } = loadProgram(host, [asm.ldMapValue(R6, map, 0), body, asm.mov64Imm(R0, 0), asm.exit()]);
    expect(fd, `${name}: ${log.slice(-200)}`).toBeGreaterThan(0);
    const value = new Uint8Array(input.buffer.slice(0));
    host.bpf(u.BPF_MAP_UPDATE_ELEM, { map_fd: map, key: new Uint8Array(4), value, flags: 0 });
    expect(testRun(host, fd).ret).toBe(0);
    host.bpf(u.BPF_MAP_LOOKUP_ELEM, { map_fd: map, key: new Uint8Array(4), value, flags: 0 });
    host.close(fd);
    const found = new BigUint64Array(value.buffer).subarray(EDGES.length);
    const wrong = PAIRS.flatMap(([a, b], i) => {
      const hex = (n: bigint): string => `0x${n.toString(16)}`;
      return found[i] === wanted[i] ? [] : [`${hex(a)}, ${hex(b)}: ${hex(found[i]!)}, expected ${hex(wanted[i]!)}`];
    });
    expect(wrong, name).toEqual([]);
  }
}

type Operation = (bits: 32 | 64, a: bigint, b: bigint) => bigint;

/** Operands are cut to the width before, results after. Section 4.1. */
const operations: Readonly<Record<string, Operation>> = {
  add: (_, a, b) => a + b,
  sub: (_, a, b) => a - b,
  mul: (_, a, b) => a * b,
  div: (_, a, b) => (b === 0n ? 0n : a / b),
  mod: (_, a, b) => (b === 0n ? a : a % b),
  sdiv: (bits, a, b) => (b === 0n ? 0n : signed(bits, a) / signed(bits, b)),
  smod: (bits, a, b) => (b === 0n ? a : signed(bits, a) % signed(bits, b)),
  or: (_, a, b) => a | b,
  and: (_, a, b) => a & b,
  xor: (_, a, b) => a ^ b,
  lsh: (bits, a, b) => a << (b & BigInt(bits - 1)),
  rsh: (bits, a, b) => a >> (b & BigInt(bits - 1)),
  arsh: (bits, a, b) => signed(bits, a) >> (b & BigInt(bits - 1)),
  mov: (_, _a, b) => b,
  neg: (_, a) => -a,
};

function aluInsn(op: string, bits: 32 | 64): asm.Insn {
  if (op === "neg") return bits === 64 ? asm.neg64(R0) : asm.neg32(R0);
  if (op === "sdiv" || op === "smod") {
    const name = op === "sdiv" ? "div" : "mod";
    return bits === 64 ? asm.signed64(name, R0, R1) : asm.signed32(name, R0, R1);
  }
  return (bits === 64 ? asm.alu64 : asm.alu32)(op as "add", R0, R1);
}

for (const bits of [64, 32] as const) {
  const cut = (value: bigint): bigint => BigInt.asUintN(bits, value);
  for (const [op, result] of Object.entries(operations)) {
    test(`${op}, ${bits} bits`, () =>
      check(
        () => [aluInsn(op, bits)],
        (a, b) => cut(result(bits, cut(a), cut(b))),
      ));
  }
}

for (const [bits, width] of [
  [64, 8],
  [64, 16],
  [64, 32],
  [32, 8],
  [32, 16],
] as const) {
  test(`movsx of ${width} bits to ${bits}`, () =>
    check(
      () => [bits === 64 ? asm.movsx64(R0, R1, width) : asm.movsx32(R0, R1, width as 8)],
      (_, b) => BigInt.asUintN(bits, signed(width, b)),
    ));
}

/** Section 4.2. */
function swapped(value: bigint, width: number): bigint {
  let result = 0n;
  for (let i = 0; i < width; i += 8) result = (result << 8n) | ((value >> BigInt(i)) & 0xffn);
  return result;
}

for (const op of ["toLe", "toBe", "bswap"] as const) {
  for (const width of [16, 32, 64] as const) {
    test(`${op} of ${width} bits`, () =>
      check(
        () => [asm.byteOrder(op, R0, width)],
        (a) => (op === "toLe" ? BigInt.asUintN(width, a) : swapped(a, width)),
      ));
  }
}

/** Section 4.3. */
const comparisons: Readonly<Record<string, (a: bigint, b: bigint, sa: bigint, sb: bigint) => boolean>> = {
  jeq: (a, b) => a === b,
  jne: (a, b) => a !== b,
  jset: (a, b) => (a & b) !== 0n,
  jgt: (a, b) => a > b,
  jge: (a, b) => a >= b,
  jlt: (a, b) => a < b,
  jle: (a, b) => a <= b,
  jsgt: (_, _b, a, b) => a > b,
  jsge: (_, _b, a, b) => a >= b,
  jslt: (_, _b, a, b) => a < b,
  jsle: (_, _b, a, b) => a <= b,
};

for (const bits of [64, 32] as const) {
  const cut = (value: bigint): bigint => BigInt.asUintN(bits, value);
  for (const [op, holds] of Object.entries(comparisons)) {
    test(`${op}, ${bits} bits`, () =>
      check(
        () => [
          asm.mov64Imm(R2, 1),
          (bits === 64 ? asm.jmp : asm.jmp32)(op as "jeq", R0, R1, 1),
          asm.mov64Imm(R2, 0),
          asm.mov64(R0, R2),
        ],
        (a, b) => (holds(cut(a), cut(b), signed(bits, a), signed(bits, b)) ? 1n : 0n),
      ));
  }
}

/** What memory holds afterwards. Section 5.3. */
const atomics: Readonly<Record<string, (memory: bigint, operand: bigint) => bigint>> = {
  add: (a, b) => a + b,
  or: (a, b) => a | b,
  and: (a, b) => a & b,
  xor: (a, b) => a ^ b,
  xchg: (_, b) => b,
};

for (const size of ["u64", "u32"] as const) {
  const bits = size === "u64" ? 64 : 32;
  const cut = (value: bigint): bigint => BigInt.asUintN(bits, value);
  const above = (a: bigint): bigint => a - cut(a);
  for (const [op, result] of Object.entries(atomics)) {
    const fetching = op === "xchg" ? op : (`fetch${op[0]!.toUpperCase()}${op.slice(1)}` as "fetchAdd");
    // The upper half of memory must stay; what was there and what is there now come together in one word.
    const emit = (name: asm.AtomicOp, fetches: boolean): readonly asm.AsmItem[] => [
      asm.stx("u64", 10, R0, -8),
      asm.mov64(R7, R1),
      asm.atomic(name, size, 10, R7, -8),
      asm.ldx("u64", R0, 10, -8),
      ...(fetches ? [asm.alu64Imm("mul", R0, 3), asm.alu64("xor", R0, R7)] : []),
    ];
    const memory = (a: bigint, b: bigint): bigint => above(a) | cut(result(cut(a), cut(b)));
    if (op !== "xchg") test(`atomic ${op}, ${size}`, () => check(() => emit(op as "add", false), memory));
    test(`atomic ${fetching}, ${size}`, () =>
      check(
        () => emit(fetching as "fetchAdd", true),
        (a, b) => bits64(memory(a, b) * 3n) ^ cut(a),
      ));
  }
  test(`atomic cmpxchg, ${size}`, () =>
    check(
      () => [
        asm.stx("u64", 10, R1, -8),
        asm.mov64Imm(R7, 77),
        asm.atomic("cmpxchg", size, 10, R7, -8),
        asm.ldx("u64", R7, 10, -8),
        asm.alu64Imm("mul", R7, 3),
        asm.alu64("xor", R0, R7),
      ],
      (a, b) => {
        const memory = cut(a) === cut(b) ? above(b) | 77n : b;
        return bits64(memory * 3n) ^ cut(b);
      },
    ));
}
