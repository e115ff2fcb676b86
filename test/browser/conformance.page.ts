/**
 * The conformance suite as a page runs it, on both engines: every case of the tables, the programs of the instruction
 * tables, and the recorded sequences, whose answers Linux 6.18 gave. Exclusive hosts: shared memory needs a server that
 * isolates the page. On the JIT a program that was interpreted is a problem.
 */
import type { EmbeddedHost } from "../../src/host/embedded.ts";
import type { Engine } from "../../src/kern/compiled.ts";
import { createTestHost } from "../compiled.ts";
import { runCase } from "../conformance/execute.ts";
import { insnPlace, insnPrograms, runInsnProgram } from "../conformance/insn_programs.ts";
import { knownGaps } from "../conformance/known_gaps.ts";
import { plans } from "../conformance/random/plans.ts";
import { differsAt, digestsOf, recordedDigests } from "../conformance/random/recording.ts";
import { Side } from "../conformance/random/side.ts";
import recording from "../conformance/recorded/random.json" with { type: "json" };
import { Session } from "../conformance/session.ts";
import { tables } from "../conformance/tables.ts";
import { report } from "./report.ts";

/** What one engine did. */
export interface EngineReport {
  readonly engine: Engine;
  readonly cases: number;
  readonly programs: number;
  /** Which engine ran the last of the programs. */
  readonly ranBy: Engine;
  readonly types: number;
  readonly problems: readonly string[];
}

/** Sequences of each type. */
const CHUNKS = 2;
const MEMORY = 512 * 1024 * 1024;
const cpus = recording.possibleCpus;

function runTables(host: EmbeddedHost, problems: string[]): number {
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
  return cases;
}

function runInsns(host: EmbeddedHost, problems: string[]): number {
  const place = insnPlace("page", host);
  const programs = [...insnPrograms().values()].flat();
  for (const program of programs) {
    const problem = runInsnProgram(place, program);
    if (problem !== undefined) problems.push(problem);
  }
  host.close(place.map);
  return programs.length;
}

function runSequences(host: EmbeddedHost, problems: string[]): number {
  for (const plan of plans) {
    const side = new Side("embedded", host);
    const at = differsAt(digestsOf(plan, side, recording.seed, 0, CHUNKS), recordedDigests(recording, plan, 0, CHUNKS));
    if (at !== undefined) problems.push(`${plan.name}: not as recorded: ${at}`);
    side.dispose();
  }
  return plans.length;
}

function runAll(engine: Engine): EngineReport {
  const host = createTestHost({ memory: MEMORY, seed: 1, clock: "virtual", cpus, engine });
  const problems: string[] = [];
  const cases = runTables(host, problems);
  const programs = runInsns(host, problems);
  const ranBy = host.ranBy().engine;
  const types = runSequences(host, problems);
  host.dispose();
  return { engine, cases, programs, ranBy, types, problems };
}

report([runAll("jit"), runAll("interp")]);
