/** What a run found: sections of tables and notes, and the budgets with their numbers; shown as it comes. */
import { type Row, ratio } from "./measure.ts";

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

/** What the rows of a comparison are held against, and which of them. */
export interface Yardstick {
  readonly base: string;
  readonly judged: string;
  /** The most that the ratio of both may be. */
  readonly limit?: number | undefined;
}

export interface Comparison {
  readonly group: string;
  readonly label: string;
  readonly rows: readonly Row[];
  readonly yardstick?: Yardstick;
}

export interface Section {
  readonly title: string;
  readonly comparisons: Comparison[];
  /** Those that do not stand beside a comparison. */
  readonly budgets: Budget[];
  readonly tables: Table[];
  readonly notes: string[];
  /** When it ended, as `performance.now()` tells it. */
  ended: number;
  readonly began: number;
}

export function formatNs(ns: number): string {
  return ns < 100 ? ns.toFixed(1) : ns.toFixed(0);
}

export function verdict({ got, limit }: { readonly got: number; readonly limit: number }): "met" | "MISSED" {
  return got <= limit ? "met" : "MISSED";
}

/** The judged row's ratio to the base; undefined when one of them was not measured. */
export function judgedRatio(rows: readonly Row[], { base, judged }: Yardstick): number | undefined {
  const row = rows.find((r) => r.name === judged);
  const to = rows.find((r) => r.name === base);
  return row && to && ratio(row, to);
}

export class Report {
  readonly sections: Section[] = [];
  readonly #budgets: Budget[] = [];

  section(title: string): void {
    const began = performance.now();
    this.sections.push({ title, comparisons: [], budgets: [], tables: [], notes: [], began, ended: began });
    console.log(`\n== ${title}`);
  }

  endSection(): void {
    const section = this.sections.at(-1);
    if (section !== undefined) section.ended = performance.now();
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
    this.sections.at(-1)?.comparisons.push({ group, label, rows });
    show(`${group}: ${label}`, rows, rows[0]);
  }

  /** As `measured`, with ratios to the yardstick's base, and its budget. */
  compared(group: string, label: string, rows: readonly Row[], yardstick: Yardstick): void {
    this.sections.at(-1)?.comparisons.push({ group, label, rows, yardstick });
    const what = `${group}: ${label}`;
    show(what, rows, rows.find((row) => row.name === yardstick.base) ?? rows[0]);
    const got = judgedRatio(rows, yardstick);
    if (got !== undefined && yardstick.limit !== undefined) {
      this.#keep({ what, limit: yardstick.limit, got, unit: "x" });
    }
  }

  budget(budget: Budget): void {
    this.sections.at(-1)?.budgets.push(budget);
    this.#keep(budget);
  }

  #keep(budget: Budget): void {
    this.#budgets.push(budget);
    const { what, limit, got, unit } = budget;
    console.log(`  budget: ${what}: ${got.toFixed(2)} ${unit}, at most ${limit} ${unit}: ${verdict(budget)}`);
  }

  /** Judges one row of a comparison against another; says nothing when one of them was not measured. */
  judge(what: string, limit: number, rows: readonly Row[], name: string, against: string): void {
    const got = judgedRatio(rows, { base: against, judged: name });
    if (got !== undefined) this.budget({ what, limit, got, unit: "x" });
  }

  /** All budgets once more, where they are found. */
  summary(): void {
    if (this.#budgets.length > 0) console.log("\n== Budgets");
    for (const b of this.#budgets) {
      console.log(`  ${verdict(b).padEnd(10)}  ${b.got.toFixed(2)} of ${b.limit} ${b.unit}  ${b.what}`);
    }
  }
}

function show(title: string, rows: readonly Row[], base: Row | undefined): void {
  if (base === undefined) return;
  print({
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

function print({ title, columns, rows }: Table): void {
  const lines = [columns, ...rows];
  const widths = columns.map((_, i) => Math.max(...lines.map((line) => line[i]?.length ?? 0)));
  console.log(`\n${title}`);
  for (const line of lines) {
    const cells = line.map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0)));
    console.log(`  ${cells.join("  ")}`);
  }
}
