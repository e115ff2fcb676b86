import { expect, test } from "vitest";
import { InputError } from "../errors.ts";
import * as asm from "./asm.ts";
import { encodeInsns } from "./codec.ts";
import { insnTable } from "./table.ts";
import type { Insn } from "./types.ts";
import { validateInsn } from "./validate.ts";

const { R0, R1, R2, R3, R10 } = asm;

const encodings: readonly (readonly [insn: Insn | readonly Insn[], hex: string])[] = [
  [asm.mov64Imm(R0, -1), "b7000000ffffffff"],
  [asm.mov64(R1, R2), "bf21000000000000"],
  [asm.mov32(R1, R2), "bc21000000000000"],
  [asm.movsx64(R1, R2, 32), "bf21200000000000"],
  [asm.movsx32(R1, R2, 8), "bc21080000000000"],
  [asm.alu64Imm("add", R1, 5), "0701000005000000"],
  [asm.alu32("arsh", R1, R2), "cc21000000000000"],
  [asm.signed64Imm("div", R1, 3), "3701010003000000"],
  [asm.signed32("mod", R1, R2), "9c21010000000000"],
  [asm.neg64(R3), "8703000000000000"],
  [asm.byteOrder("toLe", R1, 16), "d401000010000000"],
  [asm.byteOrder("toBe", R1, 32), "dc01000020000000"],
  [asm.byteOrder("bswap", R1, 64), "d701000040000000"],
  [asm.addrSpaceCast(R1, R2, 0), "bf21010001000000"],
  [asm.addrSpaceCast(R1, R2, 1), "bf21010000000100"],
  [asm.ldx("u8", R1, R2, 4), "7121040000000000"],
  [asm.ldx("s32", R1, R2, -4), "8121fcff00000000"],
  [asm.st("u16", R10, -2, 7), "6a0afeff07000000"],
  [asm.stx("u64", R10, R1, -8), "7b1af8ff00000000"],
  [asm.atomic("cmpxchg", "u64", R10, R1, -8), "db1af8fff1000000"],
  [asm.atomic("fetchAdd", "u32", R10, R1, -8), "c31af8ff01000000"],
  [asm.atomic("loadAcq", "u8", R1, R10, -8), "d3a1f8ff00010000"],
  [asm.ldAbs("u16", 12), "280000000c000000"],
  [asm.ldInd("u8", R2, 1), "5020000001000000"],
  [asm.ja(-2), "0500feff00000000"],
  [asm.jal(70000), "0600000070110100"],
  [asm.jmpImm("jsgt", R1, -1, 3), "65010300ffffffff"],
  [asm.jmp("jset", R1, R2, 3), "4d21030000000000"],
  [asm.jmp32Imm("jle", R1, 9, 3), "b601030009000000"],
  [asm.jmp32("jne", R1, R2, 3), "5e21030000000000"],
  [asm.mayGoto(2), "e500020000000000"],
  [asm.call(1), "8500000001000000"],
  [asm.callRel(4), "8510000004000000"],
  [asm.callKfunc(77, 1), "852001004d000000"],
  [asm.exit(), "9500000000000000"],
  [asm.ldImm64(R1, 0x1122334455667788n), "18010000887766550000000044332211"],
  [asm.ldImm64(R1, -1n), "18010000ffffffff00000000ffffffff"],
  [asm.ldMapFd(R1, 5), "18110000050000000000000000000000"],
  [asm.ldMapValue(R1, 5, 8), "18210000050000000000000008000000"],
  [asm.ldBtfId(R1, 9), "18310000090000000000000000000000"],
  [asm.ldFunc(R1, 3), "18410000030000000000000000000000"],
  [asm.ldMapIdx(R1, 2), "18510000020000000000000000000000"],
  [asm.ldMapIdxValue(R1, 2, 4), "18610000020000000000000004000000"],
];

test.each(encodings)("%j is %s", (insn, hex) => {
  const insns = asm.assemble([insn]);
  expect(Buffer.from(encodeInsns(insns)).toString("hex")).toBe(hex);
});

test("what it builds has the right shape, whatever the jump targets", () => {
  for (const [insn] of encodings) {
    const insns = asm.assemble([new Array(10).fill(asm.mov64Imm(R0, 0)), insn]);
    insns.push(...new Array<Insn>(70_001).fill(asm.exit()));
    expect(validateInsn(insns, 10)).toBeUndefined();
  }
});

test("labels resolve to distances, across 64-bit immediates and in both directions", () => {
  const program = asm.assemble([
    asm.label("again"),
    asm.jmpImm("jeq", R1, 0, "out"),
    asm.ldImm64(R2, 1n),
    asm.callRel("sub"),
    asm.ldFunc(R2, "sub"),
    asm.ja("again"),
    asm.label("out"),
    asm.exit(),
    [asm.label("sub"), asm.exit()],
  ]);
  expect(program.map((insn) => [insn.opcode, insn.off, insn.imm])).toEqual([
    [0x15, 6, 0],
    [0x18, 0, 1],
    [0, 0, 0],
    [0x85, 0, 4],
    [0x18, 0, 3],
    [0, 0, 0],
    [0x05, -7, 0],
    [0x95, 0, 0],
    [0x95, 0, 0],
  ]);
});

test("labels that do not work are the caller's mistake", () => {
  expect(() => asm.assemble([asm.ja("nowhere")])).toThrow(/label "nowhere", which nothing has/);
  expect(() => asm.assemble([asm.label("a"), asm.label("a")])).toThrow(/a second label "a"/);
  const far = new Array<Insn>(32769).fill(asm.exit());
  expect(() => asm.assemble([asm.ja("far"), far, asm.label("far")])).toThrow(/use jal/);
  expect(asm.assemble([asm.jal("far"), far, asm.label("far")])[0]?.imm).toBe(32769);
  expect(() => asm.atomic("add", "u8", R1, R2, 0)).toThrow(InputError);
});

test("every opcode can be written", () => {
  const written = new Set(encodings.flatMap(([insn]) => asm.assemble([insn])).map((insn) => insn.opcode));
  const kinds = new Set(insnTable.filter((row) => row !== undefined).map((row) => row.kind));
  expect(new Set([...written].map((opcode) => insnTable[opcode]?.kind).filter((kind) => kind !== undefined))).toEqual(
    kinds,
  );
});
