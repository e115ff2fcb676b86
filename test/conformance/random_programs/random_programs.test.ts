/**
 * Random programs on the kernel, as compiled code and on the interpreter: 300, always the same, since new ones have found bugs of the kernel's
 * verifier that its machine did not survive unharmed. BPFMAPS_RANDOM_SEED: others. Many more: `npm run conformance --
 * --programs`, on a machine of your own.
 */

import { afterAll, expect, test } from "vitest";
import * as asm from "../../../src/insn/index.ts";
import { SEED } from "../../seed.ts";
import { closeHosts, openHosts, placesOf } from "../hosts.ts";
import { generateProgram, insnsOf, type RandomProgram } from "./generate.ts";
import { KINDS, ProgramRunner } from "./run.ts";
import { acceptedOf, addOutcome, emptyTally, summary, takenOf } from "./tally.ts";
import { World } from "./world.ts";

const PROGRAMS = 300;
/** Per cent that the kernel must take: fewer, and the generator has become blunt. */
const ACCEPTED = 90;

const hosts = openHosts();
afterAll(() => closeHosts(hosts));

test.runIf(hosts.kernel !== undefined)("both engines and the kernel agree", () => {
  const runner = new ProgramRunner(hosts.kernel!, SEED);
  const tally = emptyTally(SEED);
  for (let index = 0; index < PROGRAMS; index++) {
    const outcome = runner.compare(index);
    if (outcome.kind === "different") expect.fail(`BPFMAPS_RANDOM_SEED=${SEED}\n${outcome.what}`);
    addOutcome(tally, outcome);
  }
  runner.dispose();
  console.log(summary(tally));
  expect(acceptedOf(tally)).toBeGreaterThan(ACCEPTED);
  expect(tally.compiled).toBe(takenOf(tally));
});

/** Random functions have none: see `packetLoad`. */
test("a packet load that finds nothing ends its function with 0, and nobody else's", () => {
  const callee = [asm.mov64(6, 1), asm.ldAbs("u16", 200), asm.mov64Imm(0, 99), asm.exit()];
  const call = [asm.mov64(1, 6), ...([2, 3, 4, 5] as const).map((reg) => asm.mov64Imm(reg, 0)), asm.callRel("callee")];
  const program: RandomProgram = {
    kind: "sched_cls",
    main: [asm.mov64(6, 1), call, asm.alu64Imm("add", 0, 3), asm.exit()],
    callees: [{ label: "callee", items: callee, base: "ctx", level: 1, type: "static" }],
    used: new Set(),
  };
  for (const [name, host] of placesOf(hosts)) {
    const world = new World(name, host, "sched_cls");
    const fd = world.load(program);
    const returned = [201, 202].map((size) => world.run(fd, new Uint8Array(size)).retval);
    world.close(fd);
    world.dispose();
    expect(returned, name).toEqual([3, 102]);
  }
});

test("the same seed and number give the same program", () => {
  const text = (seed: number, index: number): string =>
    asm.disassembleAll(insnsOf(generateProgram(seed, index, KINDS))).join("\n");
  expect(text(7, 3)).toBe(text(7, 3));
  expect(text(7, 3)).not.toBe(text(7, 4));
  expect(text(7, 3)).not.toBe(text(8, 3));
});

test("the generator writes every opcode", () => {
  const missing = new Set(asm.insnTable.flatMap((row) => (row === undefined ? [] : [row.opcode])));
  for (let index = 0; missing.size > 0 && index < 3000; index++) {
    for (const { opcode } of insnsOf(generateProgram(1, index, KINDS))) missing.delete(opcode);
  }
  expect([...missing].map((opcode) => `0x${opcode.toString(16)} ${asm.insnTable[opcode]?.op}`)).toEqual([]);
});
