import { expect, test } from "vitest";
import { insnTable, opcodeOf, variantOf } from "./table.ts";
import type { InsnRow } from "./types.ts";

const rows: readonly InsnRow[] = insnTable.filter((row) => row !== undefined);

/** What RFC 9669 says of the bits of an opcode, computed apart from the table. */
function bitsOf(opcode: number): { bits: number; operand: string } | { size: number } {
  const low = opcode & 7;
  if (low === 4 || low === 7) return { bits: low === 7 ? 64 : 32, operand: opcode & 8 ? "reg" : "imm" };
  if (low === 5 || low === 6) return { bits: low === 5 ? 64 : 32, operand: opcode & 8 ? "reg" : "imm" };
  return { size: [4, 2, 1, 8][(opcode >> 3) & 3]! };
}

test("every row stands at its opcode and agrees with the opcode's bits", () => {
  for (const row of rows) {
    expect(insnTable[row.opcode]).toBe(row);
    const bits = bitsOf(row.opcode);
    if ("size" in bits) {
      if (row.kind !== "ldImm64") expect([row.opcode, row.size]).toEqual([row.opcode, bits.size]);
    } else if (row.kind === "alu" && row.op !== "neg") {
      expect([row.opcode, row.bits, row.operand]).toEqual([row.opcode, bits.bits, bits.operand]);
    } else if (row.kind === "jump") {
      expect([row.opcode, row.bits, row.operand]).toEqual([row.opcode, bits.bits, bits.operand]);
    }
  }
});

test("arithmetic and jump codes are those of the RFC", () => {
  const alu = ["add", "sub", "mul", "div", "or", "and", "lsh", "rsh", "neg", "mod", "xor", "mov", "arsh", "end"];
  const jump = ["ja", "jeq", "jgt", "jge", "jset", "jne", "jsgt", "jsge", "call", "exit", "jlt", "jle", "jslt", "jsle"];
  for (const row of rows) {
    const low = row.opcode & 7;
    if (low === 4 || low === 7) expect([row.opcode, row.op]).toEqual([row.opcode, alu[row.opcode >> 4]]);
    if (low === 5 || low === 6) expect([row.opcode, row.op]).toEqual([row.opcode, jump[row.opcode >> 4] ?? "mayGoto"]);
  }
});

test("the opcodes are those that Linux 6.18 knows", () => {
  // Asked with PROG_LOAD of each of the 256: the others get "unknown opcode", or "reserved fields" for loads.
  const known = `
    04 05 06 07 0c 0f 14 15 16 17 18 1c 1d 1e 1f 20 24 25 26 27 28 2c 2d 2e 2f 30 34 35 36 37 3c 3d
    3e 3f 40 44 45 46 47 48 4c 4d 4e 4f 50 54 55 56 57 5c 5d 5e 5f 61 62 63 64 65 66 67 69 6a 6b 6c
    6d 6e 6f 71 72 73 74 75 76 77 79 7a 7b 7c 7d 7e 7f 81 84 85 87 89 91 94 95 97 9c 9f a4 a5 a6 a7
    ac ad ae af b4 b5 b6 b7 bc bd be bf c3 c4 c5 c6 c7 cb cc cd ce cf d3 d4 d5 d6 d7 db dc dd de e5
  `;
  expect(rows.map((row) => row.opcode.toString(16).padStart(2, "0"))).toEqual(known.trim().split(/\s+/));
});

test("a field with rule select is the selector, and its values are distinct", () => {
  for (const row of rows) {
    expect([row.opcode, row.off === "select"]).toEqual([row.opcode, row.selector === "off"]);
    expect([row.opcode, row.imm === "select"]).toEqual([row.opcode, row.selector === "imm"]);
    expect(row.variants.length > 0).toBe(row.selector !== "none");
    expect(new Set(row.variants.map((each) => each.value)).size).toBe(row.variants.length);
  }
});

test("variants and groups", () => {
  const div = insnTable[0x37]!;
  expect(variantOf(div, { opcode: 0x37, dst: 0, src: 0, off: 1, imm: 3 })?.op).toBe("sdiv");
  expect(variantOf(div, { opcode: 0x37, dst: 0, src: 0, off: 2, imm: 3 })).toBeUndefined();
  expect(variantOf(insnTable[0x07]!, { opcode: 7, dst: 0, src: 0, off: 0, imm: 0 })).toBeUndefined();
  expect(insnTable[0xdb]!.variants.find((each) => each.op === "xchg")?.group).toBe("atomic64");
  expect(insnTable[0xc3]!.variants.find((each) => each.op === "xchg")?.group).toBe("atomic32");
  expect(insnTable[0xdc]!.variants.map((each) => each.group)).toEqual(["base32", "base32", "base64"]);
  expect(insnTable[0x2f]!.group).toBe("divmul64");
});

test("opcodeOf finds the row that matches, or is a Bug", () => {
  expect(opcodeOf("ldx", { size: 2, signed: true })).toBe(0x89);
  expect(opcodeOf("neg", { bits: 32 })).toBe(0x84);
  expect(() => opcodeOf("ldx", { size: 8, signed: true })).toThrow(/no opcode for ldx/);
});
