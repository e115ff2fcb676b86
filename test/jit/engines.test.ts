/**
 * Programs that no verifier has seen, on both engines: the same status, result, packet, context, fault and memory.
 * BPFMAPS_RANDOM_SEED: others. Many more: `npm run conformance -- --unverified`.
 */
import { expect, test } from "vitest";
import { Engines, showTally } from "./engines.ts";

const PROGRAMS = 250;
const SEED = Number(process.env.BPFMAPS_RANDOM_SEED ?? 1);

test.each([false, true])("unverified programs, shared: %s", (shared) => {
  const engines = new Engines(shared);
  for (let index = 0; index < PROGRAMS; index++) {
    const difference = engines.compare(SEED, 2 * index + (shared ? 1 : 0));
    if (difference !== undefined) expect.fail(difference);
  }
  engines.dispose();
  const { tally } = engines;
  console.log(`seed ${SEED}: ${showTally(tally)}`);
  const [most, some] = [tally.count * 0.5, tally.count * 0.03];
  expect(tally.count - tally.refused - tally.interpreted).toBeGreaterThan(most);
  expect(Math.min(tally.exited, tally.faulted)).toBeGreaterThan(some);
});
