/**
 * Random programs on the kernel, as compiled code and on the interpreter: 300, always the same, since new ones have found bugs of the kernel's
 * verifier that its machine did not survive unharmed. BPFMAPS_RANDOM_SEED: others. Many more: `npm run conformance --
 * --programs`, on a machine of your own.
 */
import { afterAll, expect, test } from "vitest";
import { disassembleAll, insnTable } from "../../../src/insn/index.ts";
import { closeHosts, openHosts } from "../hosts.ts";
import { generateProgram, insnsOf } from "./generate.ts";
import { KINDS, ProgramRunner } from "./run.ts";
import { acceptedOf, addOutcome, emptyTally, summary, takenOf } from "./tally.ts";

const PROGRAMS = 300;
/** Per cent that the kernel must take: fewer, and the generator has become blunt. */
const ACCEPTED = 90;

const hosts = openHosts();
afterAll(() => closeHosts(hosts));

test.runIf(hosts.kernel !== undefined)("both engines and the kernel agree", () => {
  const seed = Number(process.env.BPFMAPS_RANDOM_SEED ?? 1);
  const runner = new ProgramRunner(hosts.kernel!, seed);
  const tally = emptyTally(seed);
  for (let index = 0; index < PROGRAMS; index++) {
    const outcome = runner.compare(index);
    if (outcome.kind === "different") expect.fail(`BPFMAPS_RANDOM_SEED=${seed}\n${outcome.what}`);
    addOutcome(tally, outcome);
  }
  runner.dispose();
  console.log(summary(tally));
  expect(acceptedOf(tally)).toBeGreaterThan(ACCEPTED);
  expect(tally.compiled).toBe(takenOf(tally));
});

test("the same seed and number give the same program", () => {
  const text = (seed: number, index: number): string =>
    disassembleAll(insnsOf(generateProgram(seed, index, KINDS))).join("\n");
  expect(text(7, 3)).toBe(text(7, 3));
  expect(text(7, 3)).not.toBe(text(7, 4));
  expect(text(7, 3)).not.toBe(text(8, 3));
});

test("the generator writes every opcode", () => {
  const missing = new Set(insnTable.flatMap((row) => (row === undefined ? [] : [row.opcode])));
  for (let index = 0; missing.size > 0 && index < 3000; index++) {
    for (const { opcode } of insnsOf(generateProgram(1, index, KINDS))) missing.delete(opcode);
  }
  expect([...missing].map((opcode) => `0x${opcode.toString(16)} ${insnTable[opcode]?.op}`)).toEqual([]);
});
