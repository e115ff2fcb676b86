/**
 * A profile: where instructions and time go, by source line. Counts are exact. The clock is read around whole runs and
 * around each call of a helper; what is left of a run is shared out evenly among its instructions, which take about the
 * same in an interpreter. So the times add up to what the runs took - while they were watched: an instruction takes
 * several times as long then, a helper does not. The two are told apart for that reason.
 */
import { type Insn, insnTable, variantOf } from "../../insn/index.ts";
import type { ObservedRun, ProgramCode } from "../../kern/observer.ts";
import type { Observer } from "./observer.ts";
import { PerProgram, Places } from "./places.ts";

export interface ProfileLine {
  /** Empty, with line 0, for instructions that name no source line: `text` is their function then. */
  readonly file: string;
  readonly line: number;
  readonly text: string;
  /** How often the line ran: as often as the one of its instructions that ran most. */
  readonly hits: number;
  readonly instructions: number;
  /** Nanoseconds. */
  readonly ns: number;
  /** Of these, inside helpers and kfuncs. */
  readonly helperNs: number;
}

interface Counts {
  readonly places: Places;
  /** By instruction. */
  readonly isHelperCall: readonly boolean[];
  readonly hits: Float64Array;
  readonly helperNs: Float64Array;
}

/** A run under way; all in milliseconds of the clock. */
interface Level {
  readonly start: number;
  /** When the helper under way was called. */
  called: number;
  /** Spent in helpers, and in runs that began inside this one: `inside` of them the last helper's. */
  helpers: number;
  nested: number;
  inside: number;
}

const NS = 1e6;

export class Profile implements Observer {
  readonly #known: Counts[] = [];
  readonly #counts: PerProgram<Counts> = new PerProgram((code) => this.#add(code));
  /** Of runs inside runs, the newest last. */
  readonly #levels: Level[] = [];
  #runs = 0;
  #instructions = 0;
  /** Milliseconds of all runs outside of helpers. */
  #rest = 0;

  begin(): void {
    this.#runs++;
    this.#levels.push({ start: performance.now(), called: 0, helpers: 0, nested: 0, inside: 0 });
  }

  before(run: ObservedRun): void {
    if (this.#counts.of(run.program).isHelperCall[run.index] !== true) return;
    const level = this.#levels.at(-1)!;
    level.inside = 0;
    level.called = performance.now();
  }

  after(run: ObservedRun): void {
    this.#instructions++;
    const { hits, helperNs, isHelperCall } = this.#counts.of(run.program);
    hits[run.index]!++;
    if (isHelperCall[run.index] !== true) return;
    const level = this.#levels.at(-1)!;
    const took = performance.now() - level.called - level.inside;
    helperNs[run.index]! += took * NS;
    level.helpers += took;
  }

  end(): void {
    const { start, helpers, nested } = this.#levels.pop()!;
    const took = performance.now() - start;
    this.#rest += took - helpers - nested;
    const outer = this.#levels.at(-1);
    if (outer === undefined) return;
    outer.nested += took;
    outer.inside += took;
  }

  get runs(): number {
    return this.#runs;
  }

  /** Lines that ran, those that took longest first. */
  lines(): ProfileLine[] {
    const sums = new Map<string, { -readonly [K in keyof ProfileLine]: ProfileLine[K] }>();
    const each = this.#instructions === 0 ? 0 : (this.#rest * NS) / this.#instructions;
    for (const { places, hits, helperNs } of this.#known) {
      const most = new Map<string, number>();
      hits.forEach((n, index) => {
        if (n === 0) return;
        const at = places.line(index);
        const { file, line } = at ?? { file: "", line: 0 };
        const text = at?.text.trim() ?? places.functionName(index);
        const key = JSON.stringify(at === undefined ? [text] : [file, line]);
        const sum = sums.get(key) ?? { file, line, text, hits: 0, instructions: 0, ns: 0, helperNs: 0 };
        sums.set(key, sum);
        const before = most.get(key) ?? 0;
        const now = Math.max(before, n);
        most.set(key, now);
        sum.hits += now - before;
        sum.instructions += n;
        sum.ns += n * each + helperNs[index]!;
        sum.helperNs += helperNs[index]!;
      });
    }
    return [...sums.values()].sort((a, b) => b.ns - a.ns);
  }

  #add(code: ProgramCode): Counts {
    const zeros = (): Float64Array => new Float64Array(code.insns.length);
    const isHelperCall = code.insns.map(isHelper);
    const counts = { places: new Places(code), isHelperCall, hits: zeros(), helperNs: zeros() };
    this.#known.push(counts);
    return counts;
  }
}

/** A call of a helper or a kfunc; one of the program's own functions is an instruction as others. */
function isHelper(insn: Insn): boolean {
  const row = insnTable[insn.opcode];
  return row?.kind === "call" && variantOf(row, insn)?.op !== "local";
}

/** The first lines of a profile as a table. */
export function profileTable(profile: Profile, limit = 20): string {
  const lines = profile.lines();
  const total = lines.reduce((sum, { ns }) => sum + ns, 0);
  const instructions = lines.reduce((sum, line) => sum + line.instructions, 0);
  const rows = lines
    .slice(0, limit)
    .map((each) => [
      time(each.ns),
      total === 0 ? "" : `${((100 * each.ns) / total).toFixed(1)} %`,
      time(each.helperNs),
      count(each.hits),
      count(each.instructions),
      each.line === 0 ? `${each.text} (no source line)` : `${each.file}:${each.line}: ${each.text}`,
    ]);
  const head = ["time", "", "in helpers", "hits", "instructions", "source line"];
  const widths = head.map((title, i) => Math.max(title.length, ...rows.map((row) => row[i]!.length)));
  const text = [head, ...rows].map((row) =>
    row.map((cell, i) => (i === head.length - 1 ? cell : cell.padStart(widths[i]!))).join("  "),
  );
  const { runs } = profile;
  text.unshift(`${count(runs)} ${runs === 1 ? "run" : "runs"}, ${count(instructions)} instructions, ${time(total)}`);
  if (lines.length > limit) text.push(`... and ${lines.length - limit} more lines`);
  return text.join("\n");
}

function count(n: number): string {
  return n.toLocaleString("en");
}

function time(ns: number): string {
  if (ns < 1e3) return `${ns.toFixed(0)} ns`;
  return ns < 1e6 ? `${(ns / 1e3).toFixed(1)} us` : `${(ns / 1e6).toFixed(1)} ms`;
}
