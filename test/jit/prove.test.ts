/**
 * What the prover says is held against the interpreter, instruction by instruction: on the test programs with the cases
 * that they have, and on random programs with any packets. BPFMAPS_PROVE_PROGRAMS: how many of those, and then all
 * test programs; BPFMAPS_PROVE_SHARES: tells how much is proved.
 */
import { expect, test } from "vitest";
import { EmbeddedHost } from "../../src/host/embedded.ts";
import { EmbeddedBpfHost, InputError } from "../../src/index.ts";
import { createKernel } from "../../src/kern/create.ts";
import type { Kernel } from "../../src/kern/kernel.ts";
import { generateProgram } from "../conformance/random_programs/generate.ts";
import { randomPacket, World } from "../conformance/random_programs/world.ts";
import { casesOf, play, programNames, readProgram } from "../programs/harness.ts";
import { randomOf } from "../random.ts";
import { checkRuns } from "./prove_check.ts";

const MANY = process.env.BPFMAPS_PROVE_PROGRAMS;
const PROGRAMS = Number(MANY ?? 50);
/** One of so many test programs; all of them in the longer mode. */
const EVERY = MANY === undefined ? 7 : 1;
const SEED = Number(process.env.BPFMAPS_RANDOM_SEED ?? 1);
const RUNS = 3;

function kernelOf(runBudget: number): Kernel {
  return createKernel({ memory: 32 << 20, cpus: 2, shared: false, seed: 1, virtualClock: true, runBudget });
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
    if (process.env.BPFMAPS_PROVE_SHARES) console.log(name, part, ((100 * part.proved) / part.accesses).toFixed(1));
  }
  if (process.env.BPFMAPS_PROVE_SHARES) console.log(total, ((100 * total.proved) / total.accesses).toFixed(1));
  expect(total.steps).toBeGreaterThan(2_000);
  expect(total.proved / total.accesses).toBeGreaterThan(0.3);
});

test(`random programs of seed ${SEED}`, () => {
  const kernel = kernelOf(20_000);
  const host = new EmbeddedHost(kernel);
  const tally = checkRuns(kernel);
  const worlds = (["xdp", "sched_cls"] as const).map((kind) => new World("embedded", host, kind));
  for (let index = 0; index < PROGRAMS; index++) {
    const program = generateProgram(SEED, index, ["xdp", "sched_cls"]);
    const world = worlds.find(({ kind }) => kind === program.kind)!;
    const rnd = randomOf(SEED * 0x1_0001 + index);
    world.reset(program.used, rnd);
    const fd = world.load(program);
    expect(fd).toBeGreaterThan(0);
    for (let n = 0; n < RUNS; n++) world.run(fd, randomPacket(rnd));
    world.close(fd);
  }
  for (const world of worlds) world.dispose();
  host.dispose();
  expect(tally.proved / tally.accesses).toBeGreaterThan(0.5);
});
