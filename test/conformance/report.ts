/** What a run of `npm run conformance` found, as the page docs/conformance.md and in lines for a terminal. */
import { recordedSuite, suiteSection } from "./bpf_conformance/record.ts";
import { knownGaps, notBuilt } from "./known_gaps.ts";
import { COMMANDS, type Tally } from "./random/tally.ts";
import { tables } from "./tables.ts";

export interface TableResult {
  readonly name: string;
  readonly cases: number;
  readonly failed: number;
}

export interface Report {
  readonly release: string;
  readonly cpus: number;
  readonly date: string;
  readonly seeds: readonly number[];
  readonly callsPerSeed: number;
  readonly tables: readonly TableResult[];
  /** By type, in the order of the plans. */
  readonly random: ReadonlyMap<string, Tally>;
  /** The section of programs. */
  readonly programs: string;
}

function count(n: number): string {
  return n.toLocaleString("en");
}

/** Calls, and differences where there are any. */
function cell(tally: Tally, command: number): string {
  const calls = tally.calls[command]!;
  const differences = tally.differences[command]!;
  if (calls === 0) return "";
  return differences === 0 ? count(calls) : `${count(calls)} (**${count(differences)}**)`;
}

/** One row a command, one column a type. */
export function matrix(random: ReadonlyMap<string, Tally>): string {
  const names = [...random.keys()];
  const tallies = [...random.values()];
  const rows = COMMANDS.flatMap((command, i) =>
    tallies.every((tally) => tally.calls[i] === 0)
      ? []
      : [`| ${[command, ...tallies.map((tally) => cell(tally, i))].join(" | ")} |`],
  );
  return [
    `| | ${names.join(" | ")} |`,
    `|---|${names.map(() => "--:").join("|")}|`,
    ...rows,
    `| **compared calls** | ${tallies.map((tally) => count(tally.total())).join(" | ")} |`,
    `| succeeded | ${tallies.map((tally) => `${tally.success().toFixed(0)} %`).join(" | ")} |`,
    ...(tallies.some((tally) => tally.unsteady > 0)
      ? [`| not steady | ${tallies.map((tally) => count(tally.unsteady)).join(" | ")} |`]
      : []),
    `| **differences** | ${tallies.map((tally) => count(tally.differing())).join(" | ")} |`,
  ].join("\n");
}

function tableRows(results: readonly TableResult[]): string[] {
  return results.map(({ name, cases, failed }) => `| ${name} | ${count(cases)} | ${count(failed)} |`);
}

export function page(report: Report): string {
  const { random } = report;
  const compared = [...random.values()].reduce((sum, tally) => sum + tally.total(), 0);
  const differing = [...random.values()].reduce((sum, tally) => sum + tally.differing(), 0);
  const cases = tables.reduce((sum, table) => sum + table.cases.length, 0);
  return `# Conformance

The embedded host against the running kernel. Written by \`npm run conformance\`; do not edit.

| | |
|---|---|
| kernel | Linux ${report.release}, ${report.cpus} possible CPUs |
| date | ${report.date} |
| tables | ${count(cases)} cases, on the embedded host (exclusive and shared) and on the kernel |
| random sequences | ${count(compared)} compared calls, ${count(differing)} differences |
| seeds | ${report.seeds.join(", ")}; ${count(report.callsPerSeed)} calls a type and seed |

\`\`\`sh
npm run conformance                                         # as root, on Linux 6.18: all of it
npm run conformance -- --type lru_hash --seeds 7 --calls 50000
\`\`\`

Where bpf(2) is not permitted, the answers of Linux 6.18 that \`test/conformance/recorded/\` holds stand in.

## Random sequences

Each sequence has 1,000 calls on three maps of a type: valid and invalid attributes, keys, flags, pointers, sizes and fds,
several fds a map with their access modes, batches that go on at their cursor, mappings, freezing, reopening by id, and
programs that use the maps (BPF_PROG_TEST_RUN). After each call the result, the attributes and every byte of every buffer,
guard bytes included, are compared; after each 64 calls all keys in their order with their values ("walk", which the
compared calls do not count). Half of the sequences run on an exclusive host, half on a shared one.

${matrix(random)}

"succeeded" counts the calls that did not end in an errno; "not steady" the sequences in which the kernel gave another
answer than when it was asked again, five times: no difference of the embedded host's. \`mmap\`, \`munmap\`, \`poll\` and \`close\` are the system calls.

${report.programs}

## Tables

| table | cases | failed |
|---|--:|--:|
${tableRows(report.tables).join("\n")}

${suiteSection(recordedSuite())}

## Known gaps

${gaps().join("\n")}
`;
}

function gaps(): string[] {
  const byReason = new Map<string, string[]>();
  for (const { id, reason } of knownGaps) byReason.set(reason, [...(byReason.get(reason) ?? []), id]);
  const cases = [...byReason].map(([reason, ids]) => `- ${reason}: ${ids.map((id) => `\`${id}\``).join(", ")}`);
  return [...cases, ...notBuilt.map((text) => `- ${text}`)];
}
