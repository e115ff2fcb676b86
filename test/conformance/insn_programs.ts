/** The programs that the tables of the instruction set make: one for each row and each way to write it. */

import type { Host } from "../../src/host/host.ts";
import * as asm from "../../src/insn/index.ts";
import {
  aluRows,
  atomicRows,
  byteOrderRows,
  controlRows,
  FIRST,
  jumpRows,
  loadRows,
  movsxRows,
  SECOND,
  storeRows,
} from "./insn.table.ts";
import { loadProgram, readResults, resultMap, testRun } from "./programs.ts";

const { R0, R1, R2, R3, R9, R10 } = asm;
/** Results: r0, then two words of memory or registers. */
const SIZE = 64;
const WORDS = 3;

/** r9 points at the results in `body`; the first word is stored from r0 at its end. */
export interface InsnProgram {
  readonly id: string;
  readonly body: readonly asm.AsmItem[];
  readonly expected: readonly bigint[];
  readonly functions: readonly asm.AsmItem[];
}

type Add = (
  id: string,
  body: readonly asm.AsmItem[],
  expected: readonly bigint[],
  functions?: readonly asm.AsmItem[],
) => void;

/** A host, and the map where its programs leave what came out. */
export interface InsnPlace {
  readonly name: string;
  readonly host: Host;
  readonly map: number;
}

export function insnPlace(name: string, host: Host): InsnPlace {
  return { name, host, map: resultMap(host, SIZE) };
}

/** With what stores the result, and ends. */
export function wholeProgram({ body, functions }: InsnProgram, map: number): asm.AsmItem[] {
  return [
    asm.ldMapValue(R9, map, 0),
    ...body,
    asm.stx("u64", R9, R0, 0),
    asm.mov64Imm(R0, 2),
    asm.exit(),
    ...functions,
  ];
}

/** Runs it; what came out differently, or undefined. */
export function runInsnProgram({ name, host, map }: InsnPlace, program: InsnProgram): string | undefined {
  const { id, expected } = program;
  const { fd, log } = loadProgram(host, wholeProgram(program, map));
  if (fd < 0) return `${id} on ${name}: PROG_LOAD ${fd}: ${log.slice(-300)}`;
  const { ret, retval } = testRun(host, fd);
  host.close(fd);
  const found = [...readResults(host, map, SIZE)].slice(0, expected.length);
  if (ret === 0 && retval === 2 && found.every((value, i) => value === expected[i])) return undefined;
  const text = (values: readonly bigint[]): string => values.map((v) => `0x${v.toString(16)}`).join(" ");
  return `${id} on ${name}: ${ret}, found ${text(found)}, expected ${text(expected)}`;
}

/** Whether a 64-bit operand can be an immediate. */
function immediate(value: bigint, bits: 32 | 64): number | undefined {
  const signed = BigInt.asIntN(32, value);
  return (bits === 32 ? value >> 32n === 0n : BigInt.asUintN(64, signed) === value) ? Number(signed) : undefined;
}

function aluImm(op: (typeof aluRows)[number][0], bits: 32 | 64, imm: number): asm.Insn | undefined {
  const long = bits === 64;
  switch (op) {
    case "neg":
      return long ? asm.neg64(R0) : asm.neg32(R0);
    case "sdiv":
    case "smod": {
      const name = op === "sdiv" ? "div" : "mod";
      if (imm === 0) return undefined;
      return long ? asm.signed64Imm(name, R0, imm) : asm.signed32Imm(name, R0, imm);
    }
    case "div":
    case "mod":
      if (imm === 0) return undefined;
      break;
    case "lsh":
    case "rsh":
    case "arsh":
      if (imm < 0 || imm >= bits) return undefined;
      break;
    default:
  }
  return long ? asm.alu64Imm(op, R0, imm) : asm.alu32Imm(op, R0, imm);
}

function aluReg(op: (typeof aluRows)[number][0], bits: 32 | 64): asm.Insn {
  const long = bits === 64;
  if (op === "neg") return long ? asm.neg64(R0) : asm.neg32(R0);
  if (op === "sdiv" || op === "smod") {
    const name = op === "sdiv" ? "div" : "mod";
    return long ? asm.signed64(name, R0, R1) : asm.signed32(name, R0, R1);
  }
  return long ? asm.alu64(op, R0, R1) : asm.alu32(op, R0, R1);
}

/** FIRST and SECOND at r9 + 16, in the results' map, where words may lie anywhere. */
const memory: readonly asm.AsmItem[] = [
  asm.ldImm64(R1, FIRST),
  asm.stx("u64", R9, R1, 16),
  asm.ldImm64(R1, SECOND),
  asm.stx("u64", R9, R1, 24),
];

/** By what they are a test of. */
export function insnPrograms(): Map<string, InsnProgram[]> {
  const groups = new Map<string, InsnProgram[]>();
  function each<Row>(rows: readonly Row[], key: (row: Row) => string, make: (row: Row, add: Add) => void): void {
    for (const row of rows) {
      const group = groups.get(key(row)) ?? [];
      groups.set(key(row), group);
      make(row, (id, body, expected, functions = []) => void group.push({ id, body, expected, functions }));
    }
  }

  each(
    aluRows,
    ([op, bits]) => `${op}${bits}`,
    ([op, bits, dst, operand, result], add) => {
      const id = `${op}${bits} 0x${dst.toString(16)} 0x${operand.toString(16)}`;
      add(id, [asm.ldImm64(R0, dst), asm.ldImm64(R1, operand), aluReg(op, bits)], [result]);
      const imm = immediate(operand, bits);
      const insn = imm === undefined ? undefined : aluImm(op, bits, imm);
      if (insn !== undefined) add(`${id} imm`, [asm.ldImm64(R0, dst), insn], [result]);
    },
  );

  each(
    movsxRows,
    ([bits, width]) => `movsx${bits} from ${width}`,
    ([bits, width, source, result], add) => {
      const insn = bits === 64 ? asm.movsx64(R0, R1, width) : asm.movsx32(R0, R1, width === 32 ? 16 : width);
      const id = `movsx${bits} ${width} 0x${source.toString(16)}`;
      add(id, [asm.ldImm64(R0, ~0n), asm.ldImm64(R1, source), insn], [result]);
    },
  );

  each(
    byteOrderRows,
    ([op, width]) => `${op}${width}`,
    ([op, width, value, result], add) => {
      add(`${op}${width}`, [asm.ldImm64(R0, value), asm.byteOrder(op, R0, width)], [result]);
    },
  );

  each(
    jumpRows,
    ([op, bits]) => `${op} ${bits}`,
    ([op, bits, dst, operand, taken], add) => {
      const id = `${op} ${bits} 0x${dst.toString(16)} 0x${operand.toString(16)}`;
      const long = bits === 64;
      const body = (jump: asm.AsmItem, other: readonly asm.AsmItem[]): readonly asm.AsmItem[] => [
        asm.ldImm64(R1, dst),
        ...other,
        asm.mov64Imm(R0, 1),
        jump,
        asm.mov64Imm(R0, 0),
        asm.label("taken"),
      ];
      const expected = [taken ? 1n : 0n];
      const jump = long ? asm.jmp(op, R1, R2, "taken") : asm.jmp32(op, R1, R2, "taken");
      add(id, body(jump, [asm.ldImm64(R2, operand)]), expected);
      const imm = immediate(operand, bits);
      if (imm === undefined) return;
      add(`${id} imm`, body((long ? asm.jmpImm : asm.jmp32Imm)(op, R1, imm, "taken"), []), expected);
    },
  );

  each(
    loadRows,
    ([size]) => `load ${size}`,
    ([size, offset, result], add) => {
      const id = `load ${size} at ${offset}`;
      add(id, [...memory, asm.ldImm64(R0, ~0n), asm.ldx(size, R0, R9, 16 + offset)], [result]);
      // On the stack the same, where it is aligned; and into the register that holds the pointer.
      const bytes = Number(size.slice(1)) / 8;
      if (offset % bytes !== 0) return;
      const stack = [
        asm.ldImm64(R1, FIRST),
        asm.stx("u64", R10, R1, -16),
        asm.ldImm64(R1, SECOND),
        asm.stx("u64", R10, R1, -8),
        asm.mov64(R0, R10),
        asm.ldx(size, R0, R0, -16 + offset),
      ];
      add(`${id} of the stack`, stack, [result]);
    },
  );

  each(
    storeRows,
    ([size]) => `store ${size}`,
    ([size, offset, value, first, second], add) => {
      const id = `store ${size} at ${offset}`;
      const result = [0n, 0n, first, second];
      const reg = [...memory, asm.ldImm64(R3, value), asm.stx(size, R9, R3, 16 + offset), asm.mov64Imm(R0, 0)];
      add(id, [...reg, asm.st("u64", R9, 8, 0)], result);
      const imm = immediate(value, 64);
      if (imm === undefined) return;
      const body = [...memory, asm.st(size, R9, 16 + offset, imm), asm.mov64Imm(R0, 0), asm.st("u64", R9, 8, 0)];
      add(`${id} imm`, body, result);
    },
  );

  each(
    atomicRows,
    ([op, size]) => `${op} ${size}`,
    ([op, size, before, source, r0, after, sourceAfter, r0After], add) => {
      const id = `${op} ${size} 0x${before.toString(16)} 0x${source.toString(16)}`;
      const insn = op === "loadAcq" ? asm.atomic(op, size, R3, R2, 0) : asm.atomic(op, size, R2, R3, 0);
      const body = (pointer: asm.AsmItem): readonly asm.AsmItem[] => [
        pointer,
        asm.alu64Imm("add", R2, 16),
        asm.ldImm64(R1, before),
        asm.stx("u64", R2, R1, 0),
        asm.ldImm64(R3, source),
        asm.ldImm64(R0, r0),
        insn,
        asm.stx("u64", R9, R3, 8),
        asm.ldx("u64", R1, R2, 0),
        asm.stx("u64", R9, R1, 16),
      ];
      add(id, body(asm.mov64(R2, R9)), [r0After, sourceAfter, after].slice(0, WORDS));
    },
  );

  each(
    controlRows,
    ([id]) => id,
    ([id, body, result, functions], add) => add(id, body, [result], functions),
  );

  return groups;
}
