/**
 * The instruction set: every row of the tables on the embedded hosts' interpreter and, through its own PROG_TEST_RUN, on
 * the running kernel. Results come back whole, through a map.
 */
import { afterAll, expect, test } from "vitest";
import type { Host } from "../../src/host/host.ts";
import * as asm from "../../src/insn/index.ts";
import { closeHosts, openHosts, placesOf } from "./hosts.ts";
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

const hosts = openHosts();
interface Place {
  readonly name: string;
  readonly host: Host;
  readonly map: number;
}
const places = placesOf(hosts).map(([name, host]): Place => ({ name, host, map: resultMap(host, SIZE) }));
const counts = new Map<string, number>();
/** "opcode" and "opcode variant" of all that was run. */
const seen = new Set<string>();

afterAll(() => {
  for (const { host, map } of places) host.close(map);
  closeHosts(hosts);
  const kernel =
    hosts.kernel === undefined
      ? `nothing compared with the kernel: ${hosts.kernelNote}`
      : `${counts.get("kernel")} of them on ${hosts.kernelNote}`;
  console.log(`instruction set: ${counts.get("exclusive")} programs, ${kernel}`);
});

/**
 * Runs `body` everywhere: r9 points at the results, of which the first word is stored from r0 at the end. Adds to
 * `problems` what came out differently.
 */
function check(
  problems: string[],
  id: string,
  body: readonly asm.AsmItem[],
  expected: readonly bigint[],
  functions: readonly asm.AsmItem[] = [],
): void {
  for (const { name, host, map } of places) {
    const program = [
      asm.ldMapValue(R9, map, 0),
      ...body,
      asm.stx("u64", R9, R0, 0),
      asm.mov64Imm(R0, 2),
      asm.exit(),
      ...functions,
    ];
    note(program);
    const { fd, log } = loadProgram(host, program);
    if (fd < 0) {
      problems.push(`${id} on ${name}: PROG_LOAD ${fd}: ${log.slice(-300)}`);
      continue;
    }
    const { ret, retval } = testRun(host, fd);
    const found = [...readResults(host, map, SIZE)].slice(0, expected.length);
    if (ret !== 0 || retval !== 2 || found.some((value, i) => value !== expected[i])) {
      const text = (values: readonly bigint[]): string => values.map((v) => `0x${v.toString(16)}`).join(" ");
      problems.push(`${id} on ${name}: ${ret}, found ${text(found)}, expected ${text(expected)}`);
    }
    host.close(fd);
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
}

function note(program: readonly asm.AsmItem[]): void {
  for (const insn of asm.assemble(program)) {
    const row = asm.insnTable[insn.opcode];
    if (row === undefined) continue;
    seen.add(`0x${insn.opcode.toString(16)} ${asm.variantOf(row, insn)?.op ?? row.op}`);
  }
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

/** One test an operation; its failures are listed together. */
function each<Row>(rows: readonly Row[], key: (row: Row) => string, run: (row: Row, problems: string[]) => void): void {
  const groups = new Map<string, Row[]>();
  for (const row of rows) groups.set(key(row), [...(groups.get(key(row)) ?? []), row]);
  for (const [name, group] of groups) {
    test(name, () => {
      const problems: string[] = [];
      for (const row of group) run(row, problems);
      expect(problems).toEqual([]);
    });
  }
}

each(
  aluRows,
  ([op, bits]) => `${op}${bits}`,
  ([op, bits, dst, operand, result], problems) => {
    const id = `${op}${bits} 0x${dst.toString(16)} 0x${operand.toString(16)}`;
    check(problems, id, [asm.ldImm64(R0, dst), asm.ldImm64(R1, operand), aluReg(op, bits)], [result]);
    const imm = immediate(operand, bits);
    const insn = imm === undefined ? undefined : aluImm(op, bits, imm);
    if (insn !== undefined) check(problems, `${id} imm`, [asm.ldImm64(R0, dst), insn], [result]);
  },
);

each(
  movsxRows,
  ([bits, width]) => `movsx${bits} from ${width}`,
  ([bits, width, source, result], problems) => {
    const insn = bits === 64 ? asm.movsx64(R0, R1, width) : asm.movsx32(R0, R1, width === 32 ? 16 : width);
    const id = `movsx${bits} ${width} 0x${source.toString(16)}`;
    check(problems, id, [asm.ldImm64(R0, ~0n), asm.ldImm64(R1, source), insn], [result]);
  },
);

each(
  byteOrderRows,
  ([op, width]) => `${op}${width}`,
  ([op, width, value, result], problems) => {
    check(problems, `${op}${width}`, [asm.ldImm64(R0, value), asm.byteOrder(op, R0, width)], [result]);
  },
);

each(
  jumpRows,
  ([op, bits]) => `${op} ${bits}`,
  ([op, bits, dst, operand, taken], problems) => {
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
    check(problems, id, body(jump, [asm.ldImm64(R2, operand)]), expected);
    const imm = immediate(operand, bits);
    if (imm === undefined) return;
    check(problems, `${id} imm`, body((long ? asm.jmpImm : asm.jmp32Imm)(op, R1, imm, "taken"), []), expected);
  },
);

/** FIRST and SECOND at r9 + 16, in the results' map, where words may lie anywhere. */
const memory: readonly asm.AsmItem[] = [
  asm.ldImm64(R1, FIRST),
  asm.stx("u64", R9, R1, 16),
  asm.ldImm64(R1, SECOND),
  asm.stx("u64", R9, R1, 24),
];

each(
  loadRows,
  ([size]) => `load ${size}`,
  ([size, offset, result], problems) => {
    const id = `load ${size} at ${offset}`;
    check(problems, id, [...memory, asm.ldImm64(R0, ~0n), asm.ldx(size, R0, R9, 16 + offset)], [result]);
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
    check(problems, `${id} of the stack`, stack, [result]);
  },
);

each(
  storeRows,
  ([size]) => `store ${size}`,
  ([size, offset, value, first, second], problems) => {
    const id = `store ${size} at ${offset}`;
    const result = [0n, 0n, first, second];
    const reg = [...memory, asm.ldImm64(R3, value), asm.stx(size, R9, R3, 16 + offset), asm.mov64Imm(R0, 0)];
    check(problems, id, [...reg, asm.st("u64", R9, 8, 0)], result);
    const imm = immediate(value, 64);
    if (imm === undefined) return;
    const body = [...memory, asm.st(size, R9, 16 + offset, imm), asm.mov64Imm(R0, 0), asm.st("u64", R9, 8, 0)];
    check(problems, `${id} imm`, body, result);
  },
);

each(
  atomicRows,
  ([op, size]) => `${op} ${size}`,
  ([op, size, before, source, r0, after, sourceAfter, r0After], problems) => {
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
    check(problems, id, body(asm.mov64(R2, R9)), [r0After, sourceAfter, after].slice(0, WORDS));
  },
);

each(
  controlRows,
  ([id]) => id,
  ([id, body, result, functions], problems) => check(problems, id, body, [result], functions),
);

/** What XDP programs without arena, callbacks, kernel functions and indices into fd_array cannot have. */
const elsewhere = [
  "ldAbs",
  "ldInd",
  "addrSpaceCast",
  "func",
  "kfunc",
  "btfId",
  "mapFd",
  "mapIdx",
  "mapIdxValue",
  "helper",
];

test("every opcode and variant of the instruction table was run", () => {
  const all = asm.insnTable.flatMap((row) => {
    if (row === undefined) return [];
    const ops = row.selector === "none" ? [row.op] : row.variants.map((variant) => variant.op);
    return ops.filter((op) => !elsewhere.includes(op)).map((op) => `0x${row.opcode.toString(16)} ${op}`);
  });
  expect(all.filter((op) => !seen.has(op))).toEqual([]);
});
