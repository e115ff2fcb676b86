/** `npm run conformance`: see `USAGE`. */
import { spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { createEmbeddedHost } from "../../src/host/embedded.ts";
import { openKernelHost } from "../../src/host/kernel.ts";
import { Engines, showTally } from "../jit/engines.ts";
import { pinThread } from "../kernel.ts";
import { type Arguments, type ProgramArguments, parseArguments, USAGE } from "./arguments.ts";
import { tellSuite } from "./bpf_conformance/record.ts";
import { runCase } from "./execute.ts";
import { closeHosts, EMBEDDED, type Hosts, openHosts, sessionsOf, VERSION } from "./hosts.ts";
import { knownGaps } from "./known_gaps.ts";
import { compare, type Difference, type Sides, shrink } from "./random/compare.ts";
import { generate } from "./random/generate.ts";
import type { RandomOp } from "./random/op.ts";
import { allPlans, type TypePlan } from "./random/plans.ts";
import { CHUNK, differsAt, digestsOf, type Recording, recordedDigests } from "./random/recording.ts";
import { showDifference, showOp } from "./random/show.ts";
import { Side } from "./random/side.ts";
import { Tally } from "./random/tally.ts";
import { type Children, compareInChildren, TELL_FD, tellPrograms } from "./random_programs/children.ts";
import { ProgramRunner } from "./random_programs/run.ts";
import { programsSection, sectionIn, withSection } from "./random_programs/section.ts";
import { type ProgramTally, summary } from "./random_programs/tally.ts";
import { matrix, page, type TableResult } from "./report.ts";
import { tables } from "./tables.ts";

const PAGE = "docs/conformance.md";
const RECORDING = "test/conformance/recorded/random.json";
/** What is recorded of each type. */
const RECORDED_SEED = 1;
const RECORDED_CHUNKS = 100;
/** After so many differences of a type the rest is not looked at. */
const MOST_DIFFERENCES = 5;
const RERUNS = 5;
/** Random programs between two pauses. */
const REST_EVERY = 100;
/** Milliseconds that one of them may take, with all that makes a difference short. */
const PATIENCE = 120_000;
/** Mappings that are done with go when their views are collected, and a process has a limited number of them. */
const COLLECT_EVERY = 20;

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

function readRecording(): Recording {
  return JSON.parse(readFileSync(RECORDING, "utf8")) as Recording;
}

/** Lets mappings and finalizers go: nothing else in a run waits. */
async function rest(chunk: number): Promise<void> {
  if (chunk % COLLECT_EVERY === COLLECT_EVERY - 1) collect();
  await new Promise((resolve) => setImmediate(resolve));
}

/** Every case on every host; prints what is wrong. */
function runTables(hosts: Hosts): TableResult[] {
  const sessions = sessionsOf(hosts);
  const results = tables.map((table) => {
    let cases = 0;
    let failed = 0;
    for (const one of table.cases) {
      if (one.cpus !== undefined && one.cpus !== hosts.cpus) continue;
      cases++;
      const gap = knownGaps.some((g) => g.id === one.id);
      const problems = sessions.flatMap(({ name, session }) => {
        if (gap && session.host.kind === "embedded") return [];
        const problem = runCase(session, table, one);
        return problem === undefined ? [] : [`${name}: ${problem}`];
      });
      if (problems.length > 0) failed++;
      for (const problem of problems) console.log(`${one.id}: ${problem}`);
    }
    return { name: table.name, cases, failed };
  });
  for (const { session } of sessions) session.dispose();
  return results;
}

/** One type's sequences on the kernel and on one of the embedded hosts in turn. */
async function compareType(plan: TypePlan, embedded: readonly Side[], kernel: Side, args: Arguments): Promise<Tally> {
  const tally = new Tally();
  for (const seed of args.seeds) {
    const chunks = args.chunk === undefined ? Math.ceil(args.calls / CHUNK) : args.chunk + 1;
    for (let chunk = args.chunk ?? 0; chunk < chunks; chunk++) {
      const ops = generate(plan, seed, chunk, Math.min(CHUNK, Math.max(1, args.calls - chunk * CHUNK)));
      const sides: Sides = [embedded[chunk % embedded.length]!, kernel];
      let once = new Tally();
      const found = compare(plan, sides, ops, once);
      if (found !== undefined && comesAgain(plan, sides, ops)) {
        tellDifference(plan, sides, seed, chunk, found, args.shrink);
      } else if (found !== undefined) {
        const where = `call ${found.at + 1} (${found.command}) of seed ${seed}, chunk ${chunk}`;
        console.log(`${plan.name}: a difference that does not come again, after ${where}`);
        console.log(`${showOp(ops[found.at]!)}\n${found.answers.join("\n")}`);
        once = new Tally();
        compare(plan, sides, ops, once);
        once.unsteady++;
      }
      tally.add(once);
      if (tally.differing() >= MOST_DIFFERENCES) {
        console.log(`${plan.name}: ${MOST_DIFFERENCES} differences, the rest is left out`);
        return tally;
      }
      await rest(chunk);
    }
  }
  return tally;
}

/** Whether the sequence shows a difference when it is made some more times. */
function comesAgain(plan: TypePlan, sides: Sides, ops: readonly RandomOp[]): boolean {
  for (let n = 0; n < RERUNS; n++) if (compare(plan, sides, ops) !== undefined) return true;
  return false;
}

function tellDifference(
  plan: TypePlan,
  sides: Sides,
  seed: number,
  chunk: number,
  { at, command, answers }: Difference,
  short: boolean,
): void {
  const ops = generate(plan, seed, chunk, CHUNK);
  const kept = short ? shrink(plan, sides, ops, at) : ops.slice(0, at + 1);
  const again = `npm run conformance -- --no-tables --type ${plan.name.toLowerCase()} --seeds ${seed} --chunk ${chunk}`;
  console.log(`\n${plan.name}: a difference after call ${at + 1} (${command}) of seed ${seed}, chunk ${chunk}`);
  console.log(answers.join("\n"));
  console.log(`${kept.length} calls show it:`);
  console.log(showDifference(plan, sides, kept));
  console.log(`again: ${again}\n`);
}

/** Random programs, in processes of their own. */
async function comparePrograms(wanted: ProgramArguments, shrink: boolean): Promise<ProgramTally> {
  const children: Children = {
    start: ({ first, count }) => {
      const span = ["--seed", wanted.seed, "--first", first, "--count", count].map(String);
      const args = [process.argv[1]!, "--child", ...span, ...(shrink ? [] : ["--no-shrink"])];
      const stdio = Array.from({ length: TELL_FD }, () => "inherit" as const);
      return spawn(process.execPath, args, { stdio: [...stdio, "pipe"] });
    },
    oopses: () => Number(readFileSync("/sys/kernel/oops_count", "utf8")),
    patience: PATIENCE,
  };
  // Each pins the one thread of its own that calls the kernel.
  pinThread(-1);
  const tally = await compareInChildren(wanted.seed, wanted, children);
  console.log(summary(tally));
  return tally;
}

/** What such a process does. */
async function tellOfPrograms(wanted: ProgramArguments, shrink: boolean): Promise<void> {
  const kernel = openKernelHost();
  pinThread(0);
  const runner = new ProgramRunner(kernel, wanted.seed, shrink);
  await tellPrograms(runner, wanted, async (index) => {
    if (index % REST_EVERY === 0) await rest(index);
  });
  runner.dispose();
  kernel.dispose();
}

/** On both engines, on an exclusive and a shared host in turn. The number of differences. */
async function compareUnverified({ seed, first, count }: ProgramArguments): Promise<number> {
  const engines = [new Engines(false), new Engines(true)];
  let differences = 0;
  for (let index = first; index < first + count && differences < MOST_DIFFERENCES; index++) {
    const difference = engines[index % engines.length]!.compare(seed, index);
    if (difference !== undefined) {
      differences++;
      console.log(`\n${difference}\n`);
    }
    if (index % REST_EVERY === 0) await rest(index);
  }
  for (const each of engines) each.dispose();
  console.log(`unverified programs of seed ${seed}: ${differences} differences`);
  for (const { shared, tally } of engines) console.log(`${shared ? "shared" : "exclusive"}: ${showTally(tally)}`);
  return differences;
}

/** Against the kernel. The number of differences and failed cases. */
async function compareAll(hosts: Hosts, args: Arguments): Promise<number> {
  const results = args.tables ? runTables(hosts) : [];
  const failed = results.reduce((sum, one) => sum + one.failed, 0);
  if (args.tables) console.log(`${results.reduce((sum, one) => sum + one.cases, 0)} cases, ${failed} failed`);
  const kernel = new Side(`kernel, Linux ${hosts.release}`, hosts.kernel!, hosts.mount?.path);
  const embedded = [new Side("embedded, exclusive", hosts.exclusive), new Side("embedded, shared", hosts.shared)];
  const random = new Map<string, Tally>();
  for (const plan of args.plans) {
    const start = performance.now();
    const tally = await compareType(plan, embedded, kernel, args);
    random.set(plan.name, tally);
    const seconds = (performance.now() - start) / 1000;
    const rate = `${((seconds * 1e6) / Math.max(1, tally.total())).toFixed(1)} us a call`;
    console.log(`${plan.name}: ${tally.total().toLocaleString("en")} calls, ${tally.differing()} differences, ${rate}`);
  }
  for (const side of [kernel, ...embedded]) side.dispose();
  if (random.size > 0) console.log(`\n${matrix(random)}\n`);
  const programs = args.programs === undefined ? undefined : await comparePrograms(args.programs, args.shrink);
  const different = [...random.values()].reduce((sum, tally) => sum + tally.differing(), programs?.differences ?? 0);
  if (args.write) {
    const before = readFileSync(PAGE, "utf8");
    const section = programs === undefined ? (sectionIn(before) ?? "") : await programsSection(programs);
    if (args.plans.length === 0) {
      writeFileSync(PAGE, withSection(before, section));
      console.log(`written: the programs of ${PAGE}`);
      return failed + different;
    }
    const { seeds, calls: callsPerSeed } = args;
    const date = new Date().toISOString().slice(0, 10);
    const { release, cpus } = hosts;
    writeFileSync(PAGE, page({ release, cpus, date, seeds, callsPerSeed, tables: results, random, programs: section }));
    console.log(`written: ${PAGE}`);
  }
  return failed + different;
}

/** Writes down what the kernel answers. */
async function record(hosts: Hosts): Promise<void> {
  const kernel = new Side("kernel", hosts.kernel!, hosts.mount?.path);
  const digests: Record<string, string> = {};
  for (const plan of allPlans) {
    let text = "";
    for (let chunk = 0; chunk < RECORDED_CHUNKS; chunk++) {
      text += digestsOf(plan, kernel, RECORDED_SEED, chunk, 1);
      await rest(chunk);
    }
    digests[plan.name] = text;
  }
  kernel.dispose();
  const recording: Recording = {
    release: hosts.release,
    possibleCpus: hosts.cpus,
    pageSize: 4096,
    seed: RECORDED_SEED,
    chunks: RECORDED_CHUNKS,
    digests,
  };
  writeFileSync(RECORDING, `${JSON.stringify(recording, undefined, 2)}\n`);
  console.log(`written: ${RECORDING}`);
}

/** Without the kernel: tables, and recorded digests. The number of what is wrong. */
async function replayAll(hosts: Hosts, args: Arguments): Promise<number> {
  const recording = readRecording();
  console.log(`no kernel to compare with: ${hosts.kernelNote}`);
  console.log(`what Linux ${recording.release} answered to seed ${recording.seed} stands in for it\n`);
  let wrong = 0;
  if (args.tables) {
    const results = runTables(hosts);
    const failed = results.reduce((sum, one) => sum + one.failed, 0);
    console.log(`${results.reduce((sum, one) => sum + one.cases, 0)} cases, ${failed} failed`);
    wrong += failed;
  }
  for (const shared of [false, true]) {
    const host = createEmbeddedHost({ ...EMBEDDED, cpus: recording.possibleCpus, shared });
    const side = new Side("embedded", host);
    for (const plan of args.plans) {
      const found = digestsOf(plan, side, recording.seed, 0, recording.chunks);
      const at = differsAt(found, recordedDigests(recording, plan, 0, recording.chunks));
      if (at !== undefined) wrong++;
      const calls = (recording.chunks * CHUNK).toLocaleString("en");
      console.log(`${plan.name}, ${shared ? "shared" : "exclusive"}: ${calls} calls, ${at ?? "no difference"}`);
    }
    host.dispose();
  }
  return wrong;
}

async function main(): Promise<number> {
  let args: Arguments;
  try {
    args = parseArguments(process.argv.slice(2));
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    console.error(`${error.message}\n\n${USAGE}`);
    return 2;
  }
  if (args.suite !== undefined) return (await tellSuite(args.suite, args.engine)) === 0 ? 0 : 1;
  if (args.child !== undefined) {
    await tellOfPrograms(args.child, args.shrink);
    return 0;
  }
  if (args.unverified !== undefined) return (await compareUnverified(args.unverified)) === 0 ? 0 : 1;
  const hosts = openHosts();
  try {
    if (hosts.kernel === undefined && args.record) {
      console.error(`--record needs the kernel (Linux ${VERSION}): ${hosts.kernelNote}`);
      return 2;
    }
    if (hosts.kernel === undefined) return (await replayAll(hosts, args)) === 0 ? 0 : 1;
    if (args.record) await record(hosts);
    else return (await compareAll(hosts, args)) === 0 ? 0 : 1;
    return 0;
  } finally {
    closeHosts(hosts);
  }
}

process.exitCode = await main();
