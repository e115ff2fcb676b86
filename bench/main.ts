/** `npm run bench [-- NAME ...] [--full] [--only TEXT] [--no-write]`. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { loadavg } from "node:os";
import { parseArgs } from "node:util";
import { benchCodecs } from "./codec.ts";
import { benchLeak } from "./leak.ts";
import { benchLpm } from "./lpm.ts";
import { benchLru } from "./lru.ts";
import { keepToOneCpu, machine } from "./machine.ts";
import { benchMaps } from "./maps.ts";
import { benchMemory } from "./memory.ts";
import { writtenInto } from "./page.ts";
import { benchPrograms } from "./programs.ts";
import { Report } from "./report.ts";
import { benchSizes, benchTenMillion } from "./ten_million.ts";

interface Benchmark {
  readonly title: string;
  /** Runs when nothing is named; the others take minutes or gigabytes. */
  readonly usual: boolean;
  /** `only`: those of its tables whose names have this text. */
  run(report: Report, only: string): void;
}

const benchmarks: Readonly<Record<string, Benchmark>> = {
  maps: { title: "Maps from user space", usual: true, run: benchMaps },
  programs: { title: "Programs", usual: true, run: benchPrograms },
  lpm: { title: "LPM tries with routing tables", usual: true, run: benchLpm },
  memory: { title: "Memory", usual: true, run: benchMemory },
  codec: { title: "Codecs", usual: true, run: benchCodecs },
  sizes: { title: "HASH from 1,000 to 10,000,000 entries", usual: false, run: benchSizes },
  "ten-million": { title: "A HASH of 10,000,000 entries", usual: false, run: benchTenMillion },
  lru: { title: "What LRU maps evict", usual: false, run: benchLru },
  leak: { title: "100,000 maps come and go", usual: false, run: benchLeak },
};

const PAGE = "docs/benchmarks.md";

function help(): string {
  const rows = Object.entries(benchmarks).map(
    ([name, b]) => `  ${name.padEnd(12)} ${b.title}${b.usual ? "" : " (--full)"}`,
  );
  return [
    "npm run bench [-- NAME ...] [--full] [--only TEXT] [--no-write]",
    "  NAME         what to run; without names all that do not say --full",
    "  --full       all of them",
    "  --only TEXT  of `programs`: what has this text in its name; writes nothing",
    `  --no-write   leaves ${PAGE} alone; else this run's parts of it are written anew`,
    ...rows,
  ].join("\n");
}

class UsageError extends Error {}

interface Choice {
  readonly names: readonly string[];
  readonly only: string;
  readonly write: boolean;
}

/** Undefined: help was asked for. */
function choose(args: string[]): Choice | undefined {
  const options = {
    full: { type: "boolean" },
    only: { type: "string" },
    "no-write": { type: "boolean" },
    help: { type: "boolean", short: "h" },
  } as const;
  let parsed: ReturnType<typeof parseArgs<{ options: typeof options; allowPositionals: true }>>;
  try {
    parsed = parseArgs({ args, options, allowPositionals: true });
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
  const { values, positionals } = parsed;
  if (values.help === true) return undefined;
  const unknown = positionals.filter((n) => !Object.hasOwn(benchmarks, n));
  if (unknown.length > 0) throw new UsageError(`no benchmark named ${unknown.join(", ")}`);
  if (values.full === true && positionals.length > 0) {
    throw new UsageError("--full runs all benchmarks: give either it or names");
  }
  const all = Object.keys(benchmarks).filter((n) => values.full === true || benchmarks[n]?.usual === true);
  const { only = "" } = values;
  const names = positionals.length > 0 ? positionals : all;
  if (only !== "" && names.join() !== "programs") throw new UsageError("--only is for `programs`");
  return { names, only, write: only === "" && values["no-write"] !== true };
}

function main(args: string[]): number {
  let choice: Choice | undefined;
  try {
    choice = choose(args);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    console.error(`${error.message}\n\n${help()}`);
    return 2;
  }
  if (choice === undefined) {
    console.log(help());
    return 0;
  }
  const facts = [...machine(), keepToOneCpu()];
  for (const fact of facts) console.log(fact);
  const report = new Report();
  for (const name of choice.names) {
    const benchmark = benchmarks[name];
    if (benchmark === undefined) continue;
    report.section(benchmark.title);
    benchmark.run(report, choice.only);
    report.endSection();
  }
  report.summary();
  facts.push(`load when it ended: ${loadavg()[0]?.toFixed(2)}`);
  console.log(facts.at(-1));
  if (choice.write) {
    const old = existsSync(PAGE) ? readFileSync(PAGE, "utf8") : "";
    const titles = Object.values(benchmarks).map((benchmark) => benchmark.title);
    const command = ["npm run bench", ...(args.length > 0 ? ["--", ...args] : [])].join(" ");
    writeFileSync(PAGE, writtenInto(old, titles, report.sections, { command, machine: facts }));
  }
  return 0;
}

process.exitCode = main(process.argv.slice(2));
