/** docs/benchmarks.md in Markdown: a part for each benchmark, of which a run replaces those that it measured. */
import { noise, ratio } from "./measure.ts";
import { type Comparison, formatNs, judgedRatio, type Section, type Table, verdict, type Yardstick } from "./report.ts";

const HEADING = "## ";
/** Columns that a page has room for. */
const WIDE = 8;

/** What a run was like. */
export interface RunFacts {
  readonly command: string;
  /** The machine: a line each. */
  readonly machine: readonly string[];
}

/** The page with these sections in place of what it said under their titles; `titles` are all, in their order. */
export function writtenInto(
  page: string,
  titles: readonly string[],
  sections: readonly Section[],
  facts: RunFacts,
): string {
  const parts = new Map(partsOf(page));
  for (const section of sections) parts.set(section.title, partOf(section, facts));
  const text = titles.flatMap((title) => parts.get(title) ?? []).join("\n\n");
  return `${[...head(text), "", text].join("\n")}\n`;
}

function partsOf(page: string): [title: string, text: string][] {
  return page
    .split(new RegExp(`^(?=${HEADING})`, "m"))
    .filter((part) => part.startsWith(HEADING))
    .map((part) => [part.slice(HEADING.length, part.indexOf("\n")), part.trimEnd()]);
}

function count(text: string, word: ReturnType<typeof verdict>): number {
  return text.split("\n").filter((line) => line.endsWith(` ${word} |`)).length;
}

function head(text: string): string[] {
  return [
    "# Benchmarks",
    "",
    "Written by `npm run bench`; do not edit. Each part says when, where and by which command.",
    "",
    "```sh",
    "npm run bench                 # a few minutes; as root on Linux, or the kernel's figures are missing",
    "npm run bench -- programs     # one of them; --help names them",
    "npm run bench -- --full       # all of them",
    "npm run bench -- --no-write   # leaves this page alone",
    "npm run test:browser          # programs in a headless Chromium: printed, not on this page",
    "```",
    "",
    "All sides of a table run in turns in one process and on one CPU, with the same keys in the same order. Figures are",
    "nanoseconds of CPU time for one operation or one element: the median of the rounds. Other load moves all sides, so",
    "ratios tell more than figures; those of the budgets are medians of the ratios of each round. By the time that a side",
    "is measured the process has worked with maps of other kinds and with both kinds of hosts: V8 optimises for all of them.",
    "",
    `Budgets are what the library is to be held to: ${count(text, "met")} met, ${count(text, "MISSED")} missed. What is missed is work to do.`,
  ];
}

function partOf(section: Section, { command, machine }: RunFacts): string {
  const { title, tables, notes, comparisons, budgets } = section;
  const rows = comparisons.flatMap((c) => c.rows);
  const facts = [
    `\`${command}\`; this part took ${((section.ended - section.began) / 1000).toFixed(0)} seconds`,
    ...machine,
    ...(rows.length > 0
      ? [`noise: the middle half of a side's rounds is within ${(noise(rows) * 100).toFixed(0)} % of its median`]
      : []),
  ];
  const judged: Table = {
    title: "",
    columns: ["", "at most", "found", ""],
    rows: budgets.map((b) => [b.what, `${b.limit} ${b.unit}`, `${b.got.toFixed(2)} ${b.unit}`, verdict(b)]),
  };
  return [
    `${HEADING}${title}`,
    "",
    ...facts.map((fact) => `- ${fact}`),
    ...(budgets.length > 0 ? markdown(judged) : []),
    ...notes.flatMap((note) => ["", note]),
    ...[...grouped(comparisons), ...tables].flatMap((t) => [
      ...(t.title === "" ? [] : [`\n### ${t.title}`]),
      ...markdown(t),
    ]),
  ].join("\n");
}

/** One table a group. */
function grouped(comparisons: readonly Comparison[]): Table[] {
  return [...new Set(comparisons.map((c) => c.group))].map((title) => {
    const own = comparisons.filter((c) => c.group === title);
    const yardstick = own[0]?.yardstick;
    return yardstick === undefined ? plain(title, own) : measuredAgainst(title, own, yardstick);
  });
}

const names = (comparisons: readonly Comparison[]): string[] => [
  ...new Set(comparisons.flatMap((c) => c.rows.map((r) => r.name))),
];

/** A line for each comparison and a column for each side, or the other way round if that is narrower. */
function plain(title: string, own: readonly Comparison[]): Table {
  const labels = own.map((c) => c.label);
  const sides = names(own);
  const cell = (label: number, side: string): string => {
    const row = own[label]?.rows.find((r) => r.name === side);
    return row === undefined ? "" : formatNs(row.median);
  };
  return sides.length > labels.length && sides.length > WIDE
    ? { title, columns: ["ns", ...labels], rows: sides.map((s) => [s, ...labels.map((_, i) => cell(i, s))]) }
    : { title, columns: ["ns", ...sides], rows: labels.map((l, i) => [l, ...sides.map((s) => cell(i, s))]) };
}

/** A line for each comparison: medians with the middle half of the rounds, ratios to the base, and the budget. */
function measuredAgainst(title: string, own: readonly Comparison[], { base, judged }: Yardstick): Table {
  const sides = names(own);
  const based = sides.includes(base);
  const columns = sides.flatMap((side) => (based && side !== base ? [side, `x ${base}`] : [side]));
  const rows = own.map(({ label, rows, yardstick }) => {
    const to = rows.find((r) => r.name === base);
    const cells = sides.flatMap((side) => {
      const row = rows.find((r) => r.name === side);
      const figure = row && `${formatNs(row.median)} (${formatNs(row.low)}..${formatNs(row.high)})`;
      return based && side !== base ? [figure ?? "", row && to ? ratio(row, to).toFixed(2) : ""] : [figure ?? ""];
    });
    const got = yardstick && judgedRatio(rows, yardstick);
    const limit = yardstick?.limit;
    const budget = got === undefined || limit === undefined ? ["", ""] : [`${limit} x`, verdict({ got, limit })];
    return [label, ...cells, ...budget];
  });
  return { title, columns: ["ns", ...columns, `budget of ${judged}`, ""], rows };
}

function markdown({ columns, rows }: Table): string[] {
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  const rule = columns.map((_, i) => (i === 0 ? "---" : "---:"));
  return ["", line(columns), line(rule), ...rows.map(line)];
}
