import { spawnSync } from "node:child_process";
import { expect, test } from "vitest";
import { notRun } from "../../test/kernel.ts";
import * as asm from "./asm.ts";
import { encodeInsns } from "./codec.ts";
import { disassemble, disassembleAll } from "./disasm.ts";
import { insnTable } from "./table.ts";
import type { Insn } from "./types.ts";

const { raw, R0, R1, R2, R3, R4, R6, R10 } = asm;

/** What LLVM prints as well (asked live below); the others are newer than the LLVM 14 at hand, or Linux's own. */
const asLlvm: readonly (readonly [insn: Insn | readonly Insn[], text: string])[] = [
  [asm.mov64Imm(R0, -7), "r0 = -7"],
  [asm.mov64(R1, R10), "r1 = r10"],
  [asm.mov32Imm(R1, 7), "w1 = 7"],
  [asm.mov32(R1, R2), "w1 = w2"],
  [asm.alu64("add", R1, R2), "r1 += r2"],
  [asm.alu64Imm("sub", R1, 1), "r1 -= 1"],
  [asm.alu32Imm("mul", R1, 3), "w1 *= 3"],
  [asm.alu64("div", R1, R2), "r1 /= r2"],
  [asm.alu32("or", R1, R2), "w1 |= w2"],
  [asm.alu64Imm("and", R1, 255), "r1 &= 255"],
  [asm.alu64("xor", R1, R2), "r1 ^= r2"],
  [asm.alu64Imm("lsh", R1, 32), "r1 <<= 32"],
  [asm.alu32("rsh", R1, R2), "w1 >>= w2"],
  [asm.alu64Imm("arsh", R1, 63), "r1 s>>= 63"],
  [asm.neg64(R3), "r3 = -r3"],
  [asm.neg32(R3), "w3 = -w3"],
  [asm.byteOrder("toBe", R2, 16), "r2 = be16 r2"],
  [asm.byteOrder("toLe", R2, 64), "r2 = le64 r2"],
  [asm.ldx("u32", R1, R1, 4), "r1 = *(u32 *)(r1 + 4)"],
  [asm.ldx("u8", R1, R2, -1), "r1 = *(u8 *)(r2 - 1)"],
  [asm.stx("u64", R10, R1, -8), "*(u64 *)(r10 - 8) = r1"],
  [asm.stx("u16", R1, R2, 0), "*(u16 *)(r1 + 0) = r2"],
  [asm.atomic("add", "u64", R1, R2, 8), "lock *(u64 *)(r1 + 8) += r2"],
  [asm.atomic("or", "u64", R1, R2, 8), "lock *(u64 *)(r1 + 8) |= r2"],
  [asm.atomic("and", "u64", R1, R2, 8), "lock *(u64 *)(r1 + 8) &= r2"],
  [asm.atomic("xor", "u64", R1, R2, 8), "lock *(u64 *)(r1 + 8) ^= r2"],
  [asm.atomic("fetchAdd", "u64", R1, R0, 0), "r0 = atomic_fetch_add((u64 *)(r1 + 0), r0)"],
  [asm.atomic("fetchOr", "u64", R1, R0, 0), "r0 = atomic_fetch_or((u64 *)(r1 + 0), r0)"],
  [asm.atomic("fetchAnd", "u64", R1, R0, 0), "r0 = atomic_fetch_and((u64 *)(r1 + 0), r0)"],
  [asm.atomic("fetchXor", "u64", R1, R0, 0), "r0 = atomic_fetch_xor((u64 *)(r1 + 0), r0)"],
  [asm.atomic("xchg", "u64", R1, R2, -8), "r2 = xchg_64(r1 - 8, r2)"],
  [asm.atomic("cmpxchg", "u64", R1, R4, 16), "r0 = cmpxchg_64(r1 + 16, r0, r4)"],
  [asm.ldAbs("u16", 12), "r0 = *(u16 *)skb[12]"],
  [asm.ldInd("u8", R6, 0), "r0 = *(u8 *)skb[r6]"],
  [asm.ja(3), "goto +3"],
  [asm.jmpImm("jgt", R1, 5, 3), "if r1 > 5 goto +3"],
  [asm.jmp("jeq", R1, R2, -4), "if r1 == r2 goto -4"],
  [asm.jmpImm("jne", R1, -1, 0), "if r1 != -1 goto +0"],
  [asm.jmpImm("jsle", R1, -1, 0), "if r1 s<= -1 goto +0"],
  [asm.jmp32("jsgt", R1, R2, 1), "if w1 s> w2 goto +1"],
  [asm.jmp32Imm("jsge", R1, 1, 1), "if w1 s>= 1 goto +1"],
  [asm.jmp("jslt", R1, R2, 1), "if r1 s< r2 goto +1"],
  [asm.jmp32("jlt", R1, R2, 1), "if w1 < w2 goto +1"],
  [asm.jmpImm("jle", R1, 2, 1), "if r1 <= 2 goto +1"],
  [asm.jmp("jge", R1, R2, 1), "if r1 >= r2 goto +1"],
  [asm.call(1), "call 1"],
  [asm.exit(), "exit"],
  [asm.ldImm64(R2, 0x123456789abcdefn), "r2 = 81985529216486895 ll"],
  [asm.ldImm64(R2, 0xffffffffn), "r2 = 4294967295 ll"],
  [asm.ldImm64(R2, -1n), "r2 = -1 ll"],
];

const beyond: readonly (readonly [insn: Insn | readonly Insn[], text: string])[] = [
  [asm.movsx64(R1, R2, 32), "r1 = (s32)r2"],
  [asm.movsx32(R1, R2, 8), "w1 = (s8)w2"],
  [asm.addrSpaceCast(R1, R2, 0), "r1 = addr_space_cast(r2, 0, 1)"],
  [asm.addrSpaceCast(R1, R2, 1), "r1 = addr_space_cast(r2, 1, 0)"],
  [asm.alu64Imm("mod", R1, 3), "r1 %= 3"],
  [asm.signed64("div", R1, R2), "r1 s/= r2"],
  [asm.signed32Imm("mod", R1, 3), "w1 s%= 3"],
  [asm.byteOrder("bswap", R1, 32), "r1 = bswap32 r1"],
  [asm.ldx("s16", R1, R2, 2), "r1 = *(s16 *)(r2 + 2)"],
  [asm.st("u32", R10, -4, -5), "*(u32 *)(r10 - 4) = -5"],
  [asm.atomic("add", "u32", R1, R2, 0), "lock *(u32 *)(r1 + 0) += w2"],
  [asm.atomic("fetchAdd", "u32", R1, R2, 0), "w2 = atomic_fetch_add((u32 *)(r1 + 0), w2)"],
  [asm.atomic("xchg", "u32", R1, R2, 0), "w2 = xchg32_32(r1 + 0, w2)"],
  [asm.atomic("cmpxchg", "u32", R1, R2, 0), "w0 = cmpxchg32_32(r1 + 0, w0, w2)"],
  [asm.atomic("loadAcq", "u8", R1, R2, 3), "w1 = load_acquire((u8 *)(r2 + 3))"],
  [asm.atomic("storeRel", "u64", R1, R2, -3), "store_release((u64 *)(r1 - 3), r2)"],
  [asm.ldInd("u32", R6, 14), "r0 = *(u32 *)skb[r6 + 14]"],
  [asm.ldInd("u32", R6, -14), "r0 = *(u32 *)skb[r6 - 14]"],
  [asm.jmpImm("jset", R1, 1, 2), "if r1 & 1 goto +2"],
  [asm.jal(70000), "gotol +70000"],
  [asm.mayGoto(-5), "may_goto -5"],
  [asm.callRel(6), "call pc+6"],
  [asm.callKfunc(88), "call kfunc#88"],
  [asm.ldMapFd(R1, 5), "r1 = map[fd:5]"],
  [asm.ldMapValue(R1, 5, 8), "r1 = map[fd:5][0]+8"],
  [asm.ldMapIdx(R1, 2), "r1 = map[idx:2]"],
  [asm.ldMapIdxValue(R1, 2, 4), "r1 = map[idx:2][0]+4"],
  [asm.ldBtfId(R1, 9), "r1 = btf_id[9]"],
  [asm.ldFunc(R1, 3), "r1 = subprog[+3]"],
  [raw(0x8d, 1, 2, -1, -1), "<unknown 8d 21 ffff ffffffff>"],
  [raw(0xdb, 1, 2, 0, 0x10), "<unknown db 21 0000 00000010>"],
  [raw(0x18, 1), "<unknown 18 01 0000 00000000>"],
];

const textOf = (insn: Insn | readonly Insn[]): string => {
  const [first, next] = asm.assemble([insn]);
  return disassemble(first!, next);
};

test.each([...asLlvm, ...beyond])("%j", (insn, text) => {
  expect(textOf(insn)).toBe(text);
});

test("every row and variant has a text of its own", () => {
  const texts = new Set<string>();
  let count = 0;
  for (const row of insnTable) {
    if (row === undefined) continue;
    for (const value of row.variants.length > 0 ? row.variants.map((each) => each.value) : [0]) {
      const insn = { opcode: row.opcode, dst: 1, src: 2, off: 3, imm: 4 };
      texts.add(disassemble(row.selector === "none" ? insn : { ...insn, [row.selector]: value }, raw(0)));
      count++;
    }
  }
  expect(texts.size).toBe(count);
});

test("a helper's name stands before its number when it is known", () => {
  const names = { helper: (id: number): string | undefined => (id === 1 ? "bpf_map_lookup_elem" : undefined) };
  expect(disassemble(asm.call(1), undefined, names)).toBe("call bpf_map_lookup_elem#1");
  expect(disassemble(asm.call(9999), undefined, names)).toBe("call 9999");
});

test("a program is a line per instruction, numbered by slot", () => {
  const program = asm.assemble([asm.ldImm64(R1, 5n), asm.mov64Imm(R0, 0), asm.exit()]);
  expect(disassembleAll(program)).toEqual(["0: r1 = 5 ll", "2: r0 = 0", "3: exit"]);
});

const llvmMc = (insns: readonly Insn[]): readonly string[] | undefined => {
  const input = [...encodeInsns(insns)].map((byte) => `0x${byte.toString(16)}`).join(" ");
  const run = spawnSync("llvm-mc", ["-disassemble", "--arch=bpfel"], { input, encoding: "utf8" });
  if (run.status !== 0) return undefined;
  const lines = run.stdout.split("\n").map((line) => line.trim());
  return lines.filter((line) => line !== "" && !line.startsWith("."));
};

const hasLlvm = llvmMc([asm.exit()]) !== undefined;
if (!hasLlvm) notRun("the comparison with LLVM's disassembly", "there is no llvm-mc with the target bpfel in PATH");

test.runIf(hasLlvm)("LLVM at hand prints the same", () => {
  // llvm-mc writes a jump's distance without the sign that llvm-objdump puts before it.
  const unsigned = (text: string): string => text.replace(/goto \+/, "goto ");
  const theirs = llvmMc(asLlvm.flatMap(([insn]) => asm.assemble([insn])));
  expect(theirs?.map(unsigned)).toEqual(asLlvm.map(([, text]) => unsigned(text)));
});
