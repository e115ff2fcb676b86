/** What a run found: tables for the terminal and for docs/benchmarks.md, and the budgets with their numbers. */
import { noise, type Row, ratio } from "./measure.ts";

export interface Table {
  readonly title: string;
  readonly columns: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

export interface Budget {
  readonly what: string;
  readonly limit: number;
  readonly got: number;
  /** What both numbers are: `x` for a ratio, or a unit. */
  readonly unit: string;
}

interface Comparison {
  readonly group: string;
  readonly label: string;
  readonly rows: readonly Row[];
}

interface Section {
  readonly title: string;
  readonly comparisons: Comparison[];
  readonly tables: Table[];
  readonly notes: string[];
}

const MET = "met";
const MISSED = "MISSED";
/** Columns that a page has room for. */
const WIDE = 8;

function formatNs(ns: number): string {
  return ns < 100 ? ns.toFixed(1) : ns.toFixed(0);
}

export class Report {
  readonly sections: Section[] = [];
  readonly budgets: Budget[] = [];
  readonly #rows: Row[] = [];

  section(title: string): void {
    this.sections.push({ title, comparisons: [], tables: [], notes: [] });
    console.log(`\n== ${title}`);
  }

  note(text: string): void {
    this.sections.at(-1)?.notes.push(text);
    console.log(`  ${text}`);
  }

  /** For who waits: not part of what is written. */
  progress(text: string): void {
    console.log(`  ... ${text}`);
  }

  table(table: Table): void {
    this.sections.at(-1)?.tables.push(table);
    print(table);
  }

  /** Rows of one comparison: `label` says which of the group. Ratios are to the first row. */
  measured(group: string, label: string, rows: readonly Row[]): void {
    this.#rows.push(...rows);
    const [base] = rows;
    if (base === undefined) return;
    this.sections.at(-1)?.comparisons.push({ group, label, rows });
    print({
      title: `${group}: ${label}`,
      columns: ["", "ns", "middle half", `x ${base.name}`],
      rows: rows.map((row) => [
        row.name,
        formatNs(row.median),
        `${formatNs(row.low)}..${formatNs(row.high)}`,
        ratio(row, base).toFixed(2),
      ]),
    });
  }

  budget(budget: Budget): void {
    this.budgets.push(budget);
    const { what, limit, got, unit } = budget;
    console.log(`  budget: ${what}: ${got.toFixed(2)} ${unit}, at most ${limit} ${unit}: ${verdict(budget)}`);
  }

  /** Judges one row of a comparison against another; says nothing when one of them was not measured. */
  judge(what: string, limit: number, rows: readonly Row[], name: string, against: string): void {
    const row = rows.find((r) => r.name === name);
    const to = rows.find((r) => r.name === against);
    if (row !== undefined && to !== undefined) this.budget({ what, limit, got: ratio(row, to), unit: "x" });
  }

  /** All budgets once more, where they are found. */
  summary(): void {
    if (this.budgets.length > 0) console.log("\n== Budgets");
    for (const b of this.budgets) {
      console.log(`  ${verdict(b).padEnd(10)}  ${b.got.toFixed(2)} of ${b.limit} ${b.unit}  ${b.what}`);
    }
  }

  /** The page, in Markdown. */
  page(machine: readonly string[], command: string): string {
    const budgets: Table = {
      title: "",
      columns: ["", "at most", "found", ""],
      rows: this.budgets.map((b) => [b.what, `${b.limit} ${b.unit}`, `${b.got.toFixed(2)} ${b.unit}`, verdict(b)]),
    };
    const missed = this.budgets.filter((b) => verdict(b) === MISSED).length;
    const width = `${(noise(this.#rows) * 100).toFixed(0)} %`;
    return `${[
      "# Benchmarks",
      "",
      `Written by \`${command}\`; do not edit.`,
      "",
      ...machine.map((line) => `- ${line}`),
      `- noise: the middle half of a side's rounds is within ${width} of its median`,
      "",
      "```sh",
      "npm run bench                    # a few minutes; as root on Linux, or the kernel's figures are missing",
      "npm run bench -- maps memory     # some of them; --help names them",
      "npm run bench -- --full --write  # all of them, and this page",
      "```",
      "",
      "All sides of a table run in turns in one process and on one CPU, with the same keys in the same order. Figures are",
      "nanoseconds of CPU time for one operation or one element: the median of the rounds. Other load moves all sides, so",
      "ratios tell more than figures; those of the budgets are medians of the ratios of each round. By the time that a side",
      "is measured the process has worked with maps of other kinds and with both kinds of hosts: V8 optimises for all of them.",
      "",
      "## Budgets",
      "",
      this.budgets.length > 0
        ? `What the library is to be held to: ${this.budgets.length - missed} met, ${missed} missed. What is missed is work to do.`
        : "None was measured in this run.",
      ...(this.budgets.length > 0 ? markdown(budgets) : []),
      ...this.sections.flatMap(({ title, tables, notes, comparisons }) => [
        `\n## ${title}`,
        ...notes.flatMap((n) => ["", n]),
        ...[...grouped(comparisons), ...tables].flatMap((t) => [
          ...(t.title === "" ? [] : [`\n### ${t.title}`]),
          ...markdown(t),
        ]),
      ]),
    ].join("\n")}\n`;
  }
}

function print({ title, columns, rows }: Table): void {
  const lines = [columns, ...rows];
  const widths = columns.map((_, i) => Math.max(...lines.map((line) => line[i]?.length ?? 0)));
  console.log(`\n${title}`);
  for (const line of lines) {
    const cells = line.map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0)));
    console.log(`  ${cells.join("  ")}`);
  }
}

/** One table a group: a line for each comparison and a column for each side, or the other way round if that is narrower. */
function grouped(comparisons: readonly Comparison[]): Table[] {
  return [...new Set(comparisons.map((c) => c.group))].map((title) => {
    const own = comparisons.filter((c) => c.group === title);
    const labels = own.map((c) => c.label);
    const sides = [...new Set(own.flatMap((c) => c.rows.map((r) => r.name)))];
    const cell = (label: number, side: string): string => {
      const row = own[label]?.rows.find((r) => r.name === side);
      return row === undefined ? "" : formatNs(row.median);
    };
    return sides.length > labels.length && sides.length > WIDE
      ? { title, columns: ["ns", ...labels], rows: sides.map((s) => [s, ...labels.map((_, i) => cell(i, s))]) }
      : { title, columns: ["ns", ...sides], rows: labels.map((l, i) => [l, ...sides.map((s) => cell(i, s))]) };
  });
}

function verdict({ got, limit }: Budget): string {
  return got <= limit ? MET : MISSED;
}

function markdown({ columns, rows }: Table): string[] {
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  const rule = columns.map((_, i) => (i === 0 ? "---" : "---:"));
  return ["", line(columns), line(rule), ...rows.map(line)];
}
