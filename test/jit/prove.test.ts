/**
 * What the prover says is held against the interpreter, instruction by instruction: on the test programs with the cases
 * that they have, and on random programs with any packets. BPFMAPS_PROVE_PROGRAMS: how many of those, and then all
 * test programs; BPFMAPS_PROVE_SHARES: tells how much is proved.
 */
import { expect, test } from "vitest";
import { EmbeddedHost } from "../../src/host/embedded.ts";
import { EmbeddedBpfHost, InputError } from "../../src/index.ts";
import { type AsmItem, type Insn, insnTable } from "../../src/insn/index.ts";
import { createKernel } from "../../src/kern/create.ts";
import type { Kernel } from "../../src/kern/kernel.ts";
import { generateProgram } from "../conformance/random_programs/generate.ts";
import { randomPacket, World } from "../conformance/random_programs/world.ts";
import { casesOf, play, programNames, readProgram } from "../programs/harness.ts";
import { randomOf } from "../random.ts";
import { SEED } from "../seed.ts";
import { checkRuns } from "./prove_check.ts";

const MANY = process.env.BPFMAPS_PROVE_PROGRAMS;
const PROGRAMS = Number(MANY ?? 20);
/** One of so many test programs; all of them in the longer mode. */
const EVERY = MANY === undefined ? 7 : 1;
const RUNS = 3;
const SHARES = process.env.BPFMAPS_PROVE_SHARES !== undefined;

function kernelOf(runBudget: number, shared: boolean = false): Kernel {
  return createKernel({ memory: 32 << 20, cpus: 2, shared, seed: 1, virtualClock: true, runBudget });
}

test("test programs", async () => {
  const total = { steps: 0, accesses: 0, proved: 0 };
  for (const name of programNames.filter((_, i) => i % EVERY === 0)) {
    const bytes = readProgram(name);
    const part = { steps: 0, accesses: 0, proved: 0 };
    for (const each of await casesOf(name)) {
      const kernel = kernelOf(1_000_000);
      const host = new EmbeddedBpfHost(new EmbeddedHost(kernel));
      const tally = checkRuns(kernel);
      try {
        play(host, name, bytes, each);
      } catch (error) {
        if (!(error instanceof InputError)) throw error;
      } finally {
        host.close();
      }
      for (const key of ["steps", "accesses", "proved"] as const) {
        total[key] += tally[key];
        part[key] += tally[key];
      }
    }
    if (SHARES) console.log(name, part, ((100 * part.proved) / part.accesses).toFixed(1));
  }
  if (SHARES) console.log(total, ((100 * total.proved) / total.accesses).toFixed(1));
  expect(total.steps).toBeGreaterThan(2_000);
  expect(total.proved / total.accesses).toBeGreaterThan(0.3);
});

/** The same program with some fields of its instructions changed: it does what nobody meant it to. */
function spoilt(items: readonly AsmItem[], rnd: (n: number) => number, often: number): AsmItem[] {
  return items.map((item) => {
    if (Array.isArray(item)) return spoilt(item as readonly AsmItem[], rnd, often);
    if ("at" in item || rnd(often) !== 0) return item;
    if ("insn" in item) return { ...item, insn: spoiltInsn(item.insn, rnd) } as AsmItem;
    return spoiltInsn(item as Insn, rnd);
  });
}

const NUMBERS = [0, 1, -1, 4, 8, -8, 63, 64, 255, 4096, 0x7fff_ffff, -0x8000_0000];

function spoiltInsn(insn: Insn, rnd: (n: number) => number): Insn {
  const row = insnTable[insn.opcode];
  switch (rnd(5)) {
    case 0:
      return row?.src === "read" ? { ...insn, src: rnd(11) } : insn;
    case 1:
      return row?.dst === "none" ? insn : { ...insn, dst: rnd(10) };
    case 2:
      return row?.off === "any" ? { ...insn, off: insn.off + NUMBERS[rnd(9)]! } : insn;
    case 3:
      return row?.imm === "any" ? { ...insn, imm: NUMBERS[rnd(NUMBERS.length)]! } : insn;
    default: {
      // Another instruction of the same form.
      const others = insnTable.filter((each) => each?.kind === row?.kind && each?.operand === row?.operand);
      const other = others[rnd(others.length)];
      return other === undefined || other.selector !== row?.selector ? insn : { ...insn, opcode: other.opcode };
    }
  }
}

for (const often of [0, 12, 40]) {
  test(`random programs of seed ${SEED}, ${often === 0 ? "as they are" : `one instruction in ${often} spoilt`}`, () => {
    const kernel = kernelOf(often === 0 ? 20_000 : 4_000, often === 40);
    const host = new EmbeddedHost(kernel);
    const tally = checkRuns(kernel);
    const worlds = (["xdp", "sched_cls"] as const).map((kind) => new World("embedded", host, kind));
    let loaded = 0;
    for (let index = 0; index < PROGRAMS; index++) {
      const rnd = randomOf(SEED * 0x1_0001 + index * 64 + often);
      const whole = generateProgram(SEED, index, ["xdp", "sched_cls"]);
      const change = (items: readonly AsmItem[]): AsmItem[] => (often === 0 ? [...items] : spoilt(items, rnd, often));
      const callees = whole.callees.map((each) => ({ ...each, items: change(each.items) }));
      const program = { ...whole, main: change(whole.main), callees };
      const world = worlds.find(({ kind }) => kind === program.kind)!;
      world.reset(program.used, rnd);
      const fd = world.load(program);
      if (fd < 0) continue;
      loaded++;
      for (let n = 0; n < RUNS; n++) world.run(fd, randomPacket(rnd));
      world.close(fd);
    }
    for (const world of worlds) world.dispose();
    host.dispose();
    if (SHARES) console.log(often, loaded, tally);
    expect(loaded).toBeGreaterThan(PROGRAMS / 3);
    if (often === 0) expect(tally.proved / tally.accesses).toBeGreaterThan(0.9);
  });
}
