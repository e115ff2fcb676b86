/**
 * The instruction set: every row of the tables on the embedded hosts, both engines, and, through its own PROG_TEST_RUN, on
 * the running kernel. Results come back whole, through a map.
 */
import { afterAll, expect, test } from "vitest";
import * as asm from "../../src/insn/index.ts";
import { closeHosts, openHosts, placesOf } from "./hosts.ts";
import { insnPlace, insnPrograms, runInsnProgram, wholeProgram } from "./insn_programs.ts";

const hosts = openHosts({ anyCpu: true });
const places = placesOf(hosts).map(([name, host]) => insnPlace(name, host));
let programs = 0;
/** "opcode" and "opcode variant" of all that was run. */
const seen = new Set<string>();

afterAll(() => {
  for (const { host, map } of places) host.close(map);
  closeHosts(hosts);
  const kernel =
    hosts.kernel === undefined
      ? `nothing compared with the kernel: ${hosts.kernelNote}`
      : `compared with ${hosts.kernelNote}`;
  console.log(`instruction set: ${programs} programs, ${kernel}`);
});

function note(program: readonly asm.AsmItem[]): void {
  for (const insn of asm.assemble(program)) {
    const row = asm.insnTable[insn.opcode];
    if (row === undefined) continue;
    seen.add(`0x${insn.opcode.toString(16)} ${asm.variantOf(row, insn)?.op ?? row.op}`);
  }
}

/** One test an operation; its failures are listed together. */
for (const [name, group] of insnPrograms()) {
  test(name, () => {
    for (const program of group) note(wholeProgram(program, 0));
    programs += group.length;
    const problems = group.flatMap((program) => places.map((place) => runInsnProgram(place, program)));
    expect(problems.filter((problem) => problem !== undefined)).toEqual([]);
  });
}

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
