/**
 * Tests of random calls, 2,000 a type. With the kernel at hand its answers decide, for a seed of its own each time; the
 * recording stands in for it where it is not, and is compared in any case.
 *
 * BPFMAPS_RANDOM_SEED: run this seed.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createEmbeddedHost, type EmbeddedHost } from "../../../src/host/embedded.ts";
import { EMBEDDED, type Hosts } from "../hosts.ts";
import recording from "../recorded/random.json" with { type: "json" };
import { compare, type Sides, shrink } from "./compare.ts";
import { generate } from "./generate.ts";
import { plans } from "./plans.ts";
import { CHUNK, differsAt, digestsOf, recordedDigests } from "./recording.ts";
import { showDifference } from "./show.ts";
import { Side } from "./side.ts";

/** Of each seed: one on an exclusive host, one on a shared one. */
const CHUNKS = 2;

export function defineRandomTests(hosts: Hosts): void {
  const seed = Number(process.env.BPFMAPS_RANDOM_SEED ?? Date.now() % 1_000_000);

  describe(`random calls of seed ${seed}`, () => {
    const { kernel } = hosts;
    test.skipIf(kernel === undefined).each(plans)("$name", (plan) => {
      const real = new Side("kernel", kernel!, hosts.mount?.path);
      for (const [chunk, host] of [hosts.exclusive, hosts.shared].entries()) {
        const sides: Sides = [new Side(`embedded ${chunk === 0 ? "exclusive" : "shared"}`, host), real];
        const ops = generate(plan, seed, chunk, CHUNK);
        const found = compare(plan, sides, ops);
        if (found !== undefined) {
          const again = `BPFMAPS_RANDOM_SEED=${seed}`;
          expect.fail(`${again}\n${showDifference(plan, sides, shrink(plan, sides, ops, found.at))}`);
        }
        sides[0].dispose();
      }
      real.dispose();
    });
  });

  describe("recorded random calls", () => {
    const fresh: EmbeddedHost[] = [];
    beforeAll(() => {
      for (const shared of [false, true])
        fresh.push(createEmbeddedHost({ ...EMBEDDED, cpus: recording.possibleCpus, shared }));
    });
    afterAll(() => {
      for (const host of fresh) {
        expect(host.openFds()).toEqual([]);
        host.dispose();
      }
    });
    test.each(plans)("$name", (plan) => {
      const all = [...fresh, ...(hosts.kernel?.possibleCpus === recording.possibleCpus ? [hosts.kernel] : [])];
      for (const host of all) {
        const side = new Side(host.kind, host, host.kind === "kernel" ? hosts.mount?.path : undefined);
        const found = digestsOf(plan, side, recording.seed, 0, CHUNKS);
        side.dispose();
        const at = differsAt(found, recordedDigests(recording, plan, 0, CHUNKS));
        const what = `${host.kind}: not as recorded of ${recording.release}, seed ${recording.seed}, ${at}`;
        if (at !== undefined)
          expect.fail(`${what}. \`npm run conformance -- --record\` when the generator has changed`);
      }
    });
  });
}
