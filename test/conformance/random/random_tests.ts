/**
 * Tests of random calls, one a type. With the kernel at hand its answers decide: for the recorded seed, so that the
 * recording is known to be right, and for a seed of its own each time. Without it the recording stands in.
 *
 * BPFMAPS_RANDOM_SEED, BPFMAPS_RANDOM_CALLS (a type): run this. BPFMAPS_RECORD=1: write what the kernel answers down.
 */
import { release } from "node:os";
import { afterAll, describe, expect, test } from "vitest";
import type { Hosts, NamedSession } from "../hosts.ts";
import { answersOf, BATCH, compareSessions, differAt, digests } from "./differential.ts";
import { generate, plans, type TypePlan } from "./generate.ts";
import { type Recording, readRecording, writeRecording } from "./recorded.ts";

const CALLS = 2000;
const RECORDED_SEED = 1;
const PAGE_SIZE = 4096;
const TIMEOUT = 600_000;

/** The sessions that take part: every embedded host in one form, and the kernel in one. */
export interface RandomSessions {
  readonly embedded: readonly NamedSession[];
  readonly kernel: NamedSession | undefined;
}

export function defineRandomTests(hosts: Hosts, { embedded, kernel }: RandomSessions): void {
  const { env } = process;
  const calls = Number(env.BPFMAPS_RANDOM_CALLS ?? CALLS);
  const seed = Number(env.BPFMAPS_RANDOM_SEED ?? Date.now() % 1_000_000);
  const recording = env.BPFMAPS_RECORD === "1" && kernel !== undefined ? undefined : readRecording();
  const recorded: Record<string, string> = {};

  /** What differs from the first of the sessions, for which the kernel is taken where there is one. */
  function differences(plan: TypePlan, of: number, count: number): { problem: string; answers: string[] } {
    const ops = generate(plan, of, count, hosts.cpus);
    const [first, ...others] = kernel === undefined ? embedded : [kernel, ...embedded];
    const answers = answersOf(first!, ops);
    for (const other of others) {
      if (differAt(answers, answersOf(other, ops)) < 0) continue;
      return { problem: `seed ${of}: ${compareSessions(other, first!, ops) ?? "differed once, not again"}`, answers };
    }
    return { problem: "", answers };
  }

  describe("random calls", () => {
    for (const plan of plans) {
      test(`${plan.name}, recorded`, { timeout: TIMEOUT }, () => {
        const { problem, answers } = differences(plan, RECORDED_SEED, CALLS);
        expect(problem).toBe("");
        const found = digests(answers).join(" ");
        recorded[plan.name] = found;
        if (recording?.possibleCpus !== hosts.cpus) return;
        const at = differAt((recording.digests[plan.name] ?? "").split(" "), found.split(" "));
        const from = `${at * BATCH} to ${(at + 1) * BATCH}`;
        const who = kernel === undefined ? "the embedded host" : "the kernel, which was not recorded again";
        const what = `calls ${from} of seed ${RECORDED_SEED} differ from the recording of ${recording.release}: ${who}`;
        if (at >= 0) expect.fail(`${what}. BPFMAPS_RECORD=1 records again when the generator has changed`);
      });

      test.skipIf(kernel === undefined)(`${plan.name}, seed ${seed}`, { timeout: TIMEOUT }, () => {
        expect(differences(plan, seed, calls).problem).toBe("");
      });
    }
  });

  afterAll(() => {
    if (recording !== undefined || Object.keys(recorded).length < plans.length) return;
    const fresh: Recording = {
      release: release(),
      possibleCpus: hosts.cpus,
      pageSize: PAGE_SIZE,
      seed: RECORDED_SEED,
      calls: CALLS,
      digests: recorded,
    };
    writeRecording(fresh);
  });
}
