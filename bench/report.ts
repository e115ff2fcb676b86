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

interface Section {
  readonly title: string;
  readonly tables: Table[];
  readonly notes: string[];
}

const MET = "met";
const MISSED = "MISSED";

function formatNs(ns: number): string {
  return ns < 100 ? ns.toFixed(1) : ns.toFixed(0);
}

export class Report {
  readonly sections: Section[] = [];
  readonly budgets: Budget[] = [];
  readonly #rows: Row[] = [];

  section(title: string): void {
    this.sections.push({ title, tables: [], notes: [] });
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
    const lines = [table.columns, ...table.rows];
    const widths = table.columns.map((_, i) => Math.max(...lines.map((line) => line[i]?.length ?? 0)));
    console.log(`\n${table.title}`);
    for (const line of lines) {
      const cells = line.map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0)));
      console.log(`  ${cells.join("  ")}`);
    }
  }

  /** Rows of one comparison; ratios are taken to the row that the caller names, or to the first. */
  measured(title: string, rows: readonly Row[], against?: string): void {
    this.#rows.push(...rows);
    const base = rows.find((r) => r.name === against) ?? rows[0];
    if (base === undefined) return;
    this.table({
      title,
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
      columns: ["budget", "at most", "found", ""],
      rows: this.budgets.map((b) => [b.what, `${b.limit} ${b.unit}`, `${b.got.toFixed(2)} ${b.unit}`, verdict(b)]),
    };
    const width = `${(noise(this.#rows) * 100).toFixed(0)} %`;
    return `${[
      "# Benchmarks",
      `Written by \`${command}\`. Run it for the figures of your machine; \`npm run bench -- --help\` says what there is.`,
      "All sides of a table run in turns in one process and on one CPU, with the same keys in the same order. Other load moves",
      "all of them: read ratios, which are medians of the rounds' ratios. Figures are nanoseconds for one operation or one",
      "element: the median of the rounds, and their middle half.",
      "",
      ...machine.map((line) => `- ${line}`),
      `- noise: the middle half of a side's rounds is within ${width} of its median`,
      "",
      "## Budgets",
      ...(this.budgets.length > 0 ? markdown(budgets) : ["None was measured in this run."]),
      ...this.sections.flatMap(({ title, tables, notes }) => [
        `\n## ${title}`,
        ...(notes.length > 0 ? ["", ...notes.flatMap((n) => [n, ""]).slice(0, -1)] : []),
        ...tables.flatMap((t) => [...(t.title === "" ? [] : [`\n### ${t.title}`]), ...markdown(t)]),
      ]),
    ].join("\n")}\n`;
  }
}

function verdict({ got, limit }: Budget): string {
  return got <= limit ? MET : MISSED;
}

function markdown({ columns, rows }: Table): string[] {
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  const rule = columns.map((_, i) => (i === 0 ? "---" : "---:"));
  return ["", line(columns), line(rule), ...rows.map(line)];
}
