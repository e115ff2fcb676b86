/** What docs/conformance.md says of programs: the random ones of the last run, and those of test/programs. */
import { readdirSync } from "node:fs";
import type { ProgramCase } from "../../programs/cases.ts";
import { acceptedOf, type ProgramTally, takenOf } from "./tally.ts";

const BEGIN = "<!-- programs:begin -->";
const END = "<!-- programs:end -->";
/** Seen from where `npm run` starts. */
const FOLDER = "test/programs";
const CASES = ".cases.ts";

const text = (n: number): string => n.toLocaleString("en");

/** Of each object its cases. */
async function testPrograms(): Promise<(readonly ProgramCase[])[]> {
  const names = readdirSync(FOLDER).flatMap((file) => (file.endsWith(CASES) ? [file.slice(0, -CASES.length)] : []));
  const all = names.map(
    (name) => import(`../../programs/${name}.cases.ts`) as Promise<{ cases: readonly ProgramCase[] }>,
  );
  return (await Promise.all(all)).map(({ cases }) => cases);
}

export async function programsSection(tally: ProgramTally): Promise<string> {
  const { seed, count, instructions, differences, compiled, fallen } = tally;
  const objects = await testPrograms();
  const cases = objects.flat();
  const on = (kernel: ProgramCase["kernel"]): string => {
    const those = (each: readonly ProgramCase[]): number => each.filter((one) => one.kernel === kernel).length;
    return `${text(those(cases))} cases of ${text(objects.filter((each) => those(each) > 0).length)} objects`;
  };
  return `${BEGIN}
## Random programs

Programs as instructions: arithmetic of every kind, jumps, loops, memory of every size, atomics, functions and callbacks,
maps of many kinds, the packet, tail calls. Each is loaded on the kernel and on two embedded hosts, one that compiles and one
that interprets (one exclusive, the other shared, in turn), and run on three packets; return values, packets and all maps
are the same on all three. A program counts as compiled when compiled code did all of its runs. What the kernel refuses is
run on embedded hosts of its own, which must come to no harm. Legacy packet loads are in main only: the verifier of Linux
6.18 can be led to write anywhere by one that ends another function.

| | |
|---|---|
| programs | ${text(count)} of seed ${seed}, ${text(instructions)} instructions |
| accepted by the kernel | ${text(takenOf(tally))} (${acceptedOf(tally).toFixed(1)} %) |
| ran as compiled code | ${text(compiled)} of ${text(takenOf(tally))} |
| **differences** | ${text(differences)} |${fallen.map((index) => `\n| the kernel fell over | program ${text(index)}: left out |`).join("")}

\`\`\`sh
npm run conformance -- --programs --count 100000 --seed ${seed}
\`\`\`

\`--unverified\` in place of \`--programs\`: programs that no verifier has seen (wild pointers, jumps anywhere, values never
written) as compiled code and on the interpreter. Results, packets, contexts, faults and the memory, all but its stacks, are
compared.

## Test programs

BPF C in \`test/programs/\`, ${text(objects.length)} objects. After each run the return value, the packet, the context and the bytes of all
maps are the same on all hosts that run it.

| host | |
|---|---|
| embedded, exclusive and shared | ${text(cases.length)} cases of ${text(objects.length)} objects |
| kernel: run, and compared | ${on("run")} |
| kernel: loaded, it has no PROG_TEST_RUN for them | ${on("load")} |
| embedded only | ${on("none")} |
${END}`;
}

/** The section as it stands in a page; undefined: there is none. */
export function sectionIn(page: string): string | undefined {
  const [from, to] = [page.indexOf(BEGIN), page.indexOf(END)];
  return from < 0 || to < from ? undefined : page.slice(from, to + END.length);
}

/** The page with another section in its place. */
export function withSection(page: string, section: string): string {
  const old = sectionIn(page);
  return old === undefined
    ? page.replace("\n## Tables\n", `\n${section}\n\n## Tables\n`)
    : page.replace(old, () => section);
}
