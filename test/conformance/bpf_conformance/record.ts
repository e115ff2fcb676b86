/** What the last run of bpf_conformance gave, as a recording and as a section of docs/conformance.md. */
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { InputError } from "../../../src/errors.ts";
import type { Engine } from "../../../src/kern/compiled.ts";
import { runSuite, type SuiteResult } from "./suite.ts";

export interface SuiteRecord {
  readonly date: string;
  /** The suite's commit; empty when it is no clone. */
  readonly commit: string;
  /** Cases that RFC 9669 covers. */
  readonly cases: number;
  readonly passed: number;
  /** Cases with instructions that the RFC does not have. */
  readonly outside: readonly string[];
}

const engines: readonly Engine[] = ["interp", "jit"];
const PAGE = "docs/conformance.md";
const RECORD = "test/conformance/recorded/bpf_conformance.json";
const BEGIN = "<!-- bpf_conformance:begin -->";
const END = "<!-- bpf_conformance:end -->";

export function recordedSuite(): SuiteRecord {
  return JSON.parse(readFileSync(RECORD, "utf8")) as SuiteRecord;
}

export function suiteSection({ date, commit, cases, passed, outside }: SuiteRecord): string {
  const of = commit === "" ? "" : ` (commit ${commit})`;
  const left = outside.map((name) => `\`${name}\``).join(", ");
  return `${BEGIN}
## bpf_conformance

The public suite [bpf_conformance](https://github.com/Alan-Jowett/bpf_conformance)${of}, through \`bpfmaps exec\`, on ${date}:
**${passed} of ${cases} cases that RFC 9669 covers pass on both engines**, the interpreter and compiled code: instruction sets v1 to v4, atomics, and programs with fields
that must be 0 and are not, which must be refused. Outside of the RFC, and not run: ${left || "none"}.

\`\`\`sh
git clone https://github.com/Alan-Jowett/bpf_conformance /tmp/bpf_conformance
npm run conformance -- --bpf-conformance /tmp/bpf_conformance
\`\`\`
${END}`;
}

/** Runs the suite and prints what fails; on both engines it writes record and page. The number of failures. */
export async function tellSuite(directory: string, engine: Engine | undefined): Promise<number> {
  try {
    const results: SuiteResult[] = [];
    for (const each of engine === undefined ? engines : [engine]) {
      const result = await runSuite(directory, each);
      for (const [name, problem] of result.failed) console.log(`${each}: ${name}: ${problem}`);
      const cases = result.passed.length + result.failed.length;
      const outside = result.outside.join(", ") || "none";
      console.log(`${each}: ${result.passed.length} of ${cases} cases pass; outside of RFC 9669: ${outside}`);
      results.push(result);
    }
    const failures = results.reduce((sum, { failed }) => sum + failed.length, 0);
    if (engine !== undefined) return failures;
    const [{ passed, failed, outside }, other] = results as [SuiteResult, SuiteResult];
    const both = passed.filter((name) => other.passed.includes(name));
    const cases = passed.length + failed.length;
    const date = new Date().toISOString().slice(0, 10);
    const record: SuiteRecord = { date, commit: commitOf(directory), cases, passed: both.length, outside };
    writeFileSync(RECORD, `${JSON.stringify(record, undefined, 2)}\n`);
    const page = readFileSync(PAGE, "utf8");
    const [from, to] = [page.indexOf(BEGIN), page.indexOf(END) + END.length];
    writeFileSync(PAGE, `${page.slice(0, from)}${suiteSection(record)}${page.slice(to)}`);
    console.log(`written: ${RECORD}, ${PAGE}`);
    return failures;
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    console.error(error.message);
    return 1;
  }
}

function commitOf(directory: string): string {
  try {
    const args = ["-C", directory, "rev-parse", "--short=12", "HEAD"];
    return execFileSync("git", args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
  } catch {
    return "";
  }
}
