/**
 * The conformance suite as a page runs it: every case of the tables, and the recorded sequences, whose answers Linux 6.18
 * gave. An exclusive host: shared memory needs a server that isolates the page.
 */
import { createEmbeddedHost } from "../../src/host/embedded.ts";
import { runCase } from "../conformance/execute.ts";
import { knownGaps } from "../conformance/known_gaps.ts";
import { plans } from "../conformance/random/plans.ts";
import { differsAt, digestsOf, recordedDigests } from "../conformance/random/recording.ts";
import { Side } from "../conformance/random/side.ts";
import recording from "../conformance/recorded/random.json" with { type: "json" };
import { Session } from "../conformance/session.ts";
import { tables } from "../conformance/tables.ts";

/** Sequences of each type. */
const CHUNKS = 2;

const page = globalThis as unknown as { report(text: string): void };
const cpus = recording.possibleCpus;
const host = createEmbeddedHost({ memory: 512 * 1024 * 1024, seed: 1, clock: "virtual", cpus });
const problems: string[] = [];

const gaps = new Set(knownGaps.map((gap) => gap.id));
const session = new Session(host, "object");
let cases = 0;
for (const table of tables) {
  for (const one of table.cases) {
    if (gaps.has(one.id) || (one.cpus !== undefined && one.cpus !== cpus)) continue;
    cases++;
    const problem = runCase(session, table, one);
    if (problem !== undefined) problems.push(`${one.id}: ${problem}`);
  }
}
session.dispose();

for (const plan of plans) {
  const side = new Side("embedded", host);
  const at = differsAt(digestsOf(plan, side, recording.seed, 0, CHUNKS), recordedDigests(recording, plan, 0, CHUNKS));
  if (at !== undefined) problems.push(`${plan.name}: not as recorded: ${at}`);
  side.dispose();
}
page.report(JSON.stringify({ cases, types: plans.length, problems }));
