/**
 * The benchmark of programs as a page runs it: the loops over maps and the programs that compute of `npm run bench --
 * programs`, on both engines. Exclusive hosts, as in conformance.page.ts; where the interpreter takes over from the JIT,
 * or the two come to different sums, the page fails.
 */

import { onEmbedded } from "../../bench/hosts.ts";
import { type Row, ratio } from "../../bench/measure.ts";
import { ProgramBench } from "../../bench/program_bench.ts";
import { benchCompute } from "../../bench/program_compute.ts";
import { benchMapPrograms } from "../../bench/program_maps.ts";
import arithmetic from "../../bench/programs/arithmetic.bpf.o";
import checksum from "../../bench/programs/checksum.bpf.o";
import compare from "../../bench/programs/compare.bpf.o";
import copy from "../../bench/programs/copy.bpf.o";
import dispatch from "../../bench/programs/dispatch.bpf.o";
import sieve from "../../bench/programs/sieve.bpf.o";
import { formatNs, Report } from "../../bench/report.ts";
import { createTestHost } from "../compiled.ts";
import { report } from "./report.ts";

export interface BenchLine {
  readonly group: string;
  readonly label: string;
  /** Nanoseconds: of one operation, of a program that computes one run. Medians, with the middle half of the rounds. */
  readonly jit: Figure;
  readonly interpreter: Figure;
  /** Of the JIT's time to the interpreter's: the median of the rounds' ratios. */
  readonly ratio: number;
}

export type Figure = Pick<Row, "median" | "low" | "high">;

export interface BenchReport {
  readonly browser: string;
  readonly lines: readonly BenchLine[];
}

const JIT = "JIT";
const INTERPRETER = "interpreter";
const ROUNDS = 5;
const MEMORY = 512 * 1024 * 1024;
const objects: Readonly<Record<string, Uint8Array>> = { arithmetic, checksum, compare, copy, dispatch, sieve };

function measured(): BenchLine[] {
  const options = { memory: MEMORY, cpus: 1, seed: 1 };
  const hosts = [
    onEmbedded(JIT, createTestHost({ ...options, engine: "jit" })),
    onEmbedded(INTERPRETER, createTestHost({ ...options, engine: "interp" })),
  ];
  const results = new Report();
  results.section("Programs in a page");
  const bench = new ProgramBench(results, hosts, "", {
    base: INTERPRETER,
    judged: JIT,
    budgets: false,
    rounds: ROUNDS,
  });
  benchMapPrograms(bench);
  benchCompute(bench, (name) => objects[name]!);
  for (const { host } of hosts) host.close();
  return results.sections.flatMap(({ comparisons }) =>
    comparisons.map(({ group, label, rows }) => {
      const [jit, interpreter] = rows as [Row, Row];
      return { group, label, jit: figure(jit), interpreter: figure(interpreter), ratio: ratio(jit, interpreter) };
    }),
  );
}

function figure({ median, low, high }: Row): Figure {
  return { median, low, high };
}

function cell(row: HTMLTableRowElement, kind: "td" | "th", text: string): HTMLElement {
  const made = document.createElement(kind);
  made.textContent = text;
  row.append(made);
  return made;
}

function show({ browser, lines }: BenchReport): void {
  const style = document.createElement("style");
  style.textContent = `
    body { font: 14px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; }
    table { border-collapse: collapse; width: 100%; }
    th, td { padding: 0.15rem 0.75rem; text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
    th:first-child, td:first-child { text-align: left; }
    thead th { border-bottom: 2px solid #888; }
    tbody th { padding-top: 1rem; border-bottom: 1px solid #ccc; }
    #report { display: none; }`;
  document.head.append(style);
  document.title = "bpfmaps: programs in this browser";
  const title = document.createElement("h1");
  title.textContent = document.title;
  const note = document.createElement("p");
  note.textContent = `${browser}. Nanoseconds of one operation on a map, or of one run of a program that computes: median of ${ROUNDS} rounds, in brackets the middle half of them. Checks and budget are on.`;
  const table = document.createElement("table");
  const head = table.createTHead().insertRow();
  for (const text of ["", JIT, INTERPRETER, `${JIT} / ${INTERPRETER}`]) cell(head, "th", text);
  const body = table.createTBody();
  let last = "";
  for (const { group, label, jit, interpreter, ratio } of lines) {
    if (group !== last) cell(body.insertRow(), "th", group).setAttribute("colspan", "4");
    last = group;
    const row = body.insertRow();
    cell(row, "td", label);
    for (const { median, low, high } of [jit, interpreter]) {
      cell(row, "td", `${formatNs(median)} (${formatNs(low)}..${formatNs(high)})`);
    }
    cell(row, "td", ratio.toFixed(3));
  }
  document.body.append(title, note, table);
}

const found: BenchReport = { browser: navigator.userAgent, lines: measured() };
show(found);
report(found);
