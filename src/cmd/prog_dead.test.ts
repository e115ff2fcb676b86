/** What constants tell about which instructions are reached. */
import { expect, test } from "vitest";
import * as asm from "../insn/index.ts";
import { reachedInsns } from "./prog_dead.ts";

const { R0, R1, R2, R6, R10 } = asm;

/** The instructions that are not reached. `memory`: 4 bytes at address 100 that hold 7. */
function dead(...items: asm.AsmItem[]): number[] {
  const insns = asm.assemble(items);
  const reached = reachedInsns(insns, {
    immediate: (at) => (BigInt(insns[at + 1]!.imm >>> 0) << 32n) | BigInt(insns[at]!.imm >>> 0),
    memory: (address, size) => (address === 100 && size === 4 ? 7n : undefined),
  });
  return [...reached.keys()].filter((at) => reached[at] === 0 && insns[at]!.opcode !== 0);
}

const guard = (op: Parameters<typeof asm.jmpImm>[0], value: number, against: number): number[] =>
  dead(asm.mov64Imm(R1, value), asm.jmpImm(op, R1, against, 1), asm.call(999), asm.mov64Imm(R0, 0), asm.exit());

test.each<[Parameters<typeof asm.jmpImm>[0], number, number, boolean]>([
  ["jeq", 0, 0, true],
  ["jeq", 1, 0, false],
  ["jne", 1, 0, true],
  ["jne", 0, 0, false],
  ["jset", 6, 2, true],
  ["jset", 6, 8, false],
  ["jgt", -1, 5, true],
  ["jsgt", -1, 5, false],
  ["jge", 5, 5, true],
  ["jsge", -5, -5, true],
  ["jlt", 4, 5, true],
  ["jlt", -1, 5, false],
  ["jslt", -1, 5, true],
  ["jle", 6, 5, false],
  ["jsle", -6, 5, true],
])("%s of %i and %i", (op, value, against, taken) => {
  expect(guard(op, value, against)).toEqual(taken ? [2] : []);
});

test("32-bit jumps look at 32 bits", () => {
  const with32 = (value: number): number[] =>
    dead(...asm.ldImm64(R1, 0x5_0000_0000n + BigInt(value)), asm.jmp32Imm("jeq", R1, 0, 1), asm.call(999), asm.exit());
  expect(with32(0)).toEqual([3]);
  expect(with32(1)).toEqual([]);
});

test("arithmetic on constants", () => {
  expect(
    dead(
      asm.mov64Imm(R1, 3),
      asm.alu64Imm("lsh", R1, 4), // 48
      asm.alu64Imm("sub", R1, 40), // 8
      asm.alu32Imm("or", R1, 3), // 11
      asm.alu64Imm("xor", R1, 1), // 10
      asm.alu64Imm("rsh", R1, 1), // 5
      asm.mov64(R2, R1),
      asm.jmpImm("jeq", R2, 5, 1),
      asm.call(999),
      asm.exit(),
    ),
  ).toEqual([8]);
});

test("constant memory, and memory that is not", () => {
  const at = (address: number): number[] =>
    dead(asm.mov64Imm(R1, address), asm.ldx("u32", R2, R1, -4), asm.jmpImm("jeq", R2, 7, 1), asm.call(999), asm.exit());
  expect(at(104)).toEqual([3]);
  expect(at(108)).toEqual([]);
});

test("what is not known goes both ways: arguments, results, other operations, meeting points", () => {
  const tail = [asm.jmpImm("jeq", R1, 5, 1), asm.call(999), asm.exit()];
  expect(dead(...tail)).toEqual([]);
  expect(dead(asm.call(7), asm.mov64(R1, R0), ...tail)).toEqual([]);
  expect(dead(asm.mov64Imm(R1, 5), asm.call(7), ...tail)).toEqual([]);
  expect(dead(asm.mov64Imm(R1, 5), asm.alu64Imm("mul", R1, 1), ...tail)).toEqual([]);
  expect(dead(asm.mov64Imm(R1, 5), asm.atomic("xchg", "u64", R10, R1, -8), ...tail)).toEqual([]);
  // Calls leave r6 alone.
  expect(dead(asm.mov64Imm(R6, 5), asm.call(7), asm.mov64(R1, R6), ...tail)).toEqual([4]);
  // r1 is 5 on one way and 6 on the other.
  expect(dead(asm.mov64Imm(R1, 5), asm.jmpImm("jeq", R2, 0, 1), asm.mov64Imm(R1, 6), ...tail)).toEqual([]);
  expect(dead(asm.mov64Imm(R1, 5), asm.jmpImm("jeq", R2, 0, 1), asm.mov64Imm(R1, 5), ...tail)).toEqual([4]);
});

test("a loop that changes a constant", () => {
  expect(
    dead(
      asm.mov64Imm(R1, 0),
      asm.label("again"),
      asm.alu64Imm("add", R1, 1),
      asm.jmpImm("jne", R1, 9, "again"),
      asm.exit(),
    ),
  ).toEqual([]);
});

test("functions: called ones are reached and know nothing, dead calls do not count", () => {
  expect(
    dead(
      asm.mov64Imm(R1, 0),
      asm.jmpImm("jeq", R1, 0, 1),
      asm.callRel("never"),
      asm.callRel("called"),
      asm.exit(),
      asm.label("called"),
      asm.jmpImm("jeq", R1, 0, 1),
      asm.mov64Imm(R0, 1),
      asm.exit(),
      asm.label("never"),
      asm.mov64Imm(R0, 1),
      asm.exit(),
    ),
  ).toEqual([2, 8, 9]);
});
