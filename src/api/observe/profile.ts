/**
 * A profile: where instructions and time go, by source line. Counts are exact. Time is the clock's, taken around every
 * single instruction, with the clock's own cost taken off. An instruction that is watched takes several times as long as
 * one that is not, a helper does not: so the two are told apart, and among lines without helpers the instructions say
 * which one is dear.
 */
import type { ObservedRun, ProgramCode } from "../../kern/observer.ts";
import type { Observer } from "./observer.ts";
import { CALL, PerProgram, Places } from "./places.ts";

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
  readonly hits: Float64Array;
  readonly ns: Float64Array;
}

const NS = 1e6;
const CLOCK_SAMPLES = 1000;

export class Profile implements Observer {
  readonly #known: Counts[] = [];
  readonly #counts: PerProgram<Counts> = new PerProgram((code) => this.#add(code));
  readonly #clock: number = clockCost();
  /** When the instruction under way began; of runs inside runs, the newest last. */
  readonly #began: number[] = [];
  #runs = 0;

  begin(): void {
    this.#runs++;
    this.#began.push(0);
  }

  before(): void {
    this.#began[this.#began.length - 1] = performance.now();
  }

  after(run: ObservedRun): void {
    const now = performance.now();
    const { hits, ns } = this.#counts.of(run.program);
    hits[run.index]!++;
    ns[run.index]! += (now - this.#began[this.#began.length - 1]! - this.#clock) * NS;
  }

  end(): void {
    this.#began.pop();
  }

  get runs(): number {
    return this.#runs;
  }

  /** Lines that ran, those that took longest first. */
  lines(): ProfileLine[] {
    const sums = new Map<string, { -readonly [K in keyof ProfileLine]: ProfileLine[K] }>();
    for (const { places, hits, ns } of this.#known) {
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
        sum.ns += ns[index]!;
        if (isHelperCall(places, index)) sum.helperNs += ns[index]!;
      });
    }
    // What was taken off for the clock can be more than an instruction took.
    const lines = [...sums.values()].map((s) => ({ ...s, ns: Math.max(s.ns, 0), helperNs: Math.max(s.helperNs, 0) }));
    return lines.sort((a, b) => b.ns - a.ns);
  }

  #add(code: ProgramCode): Counts {
    const zeros = (): Float64Array => new Float64Array(code.insns.length);
    const counts = { places: new Places(code), hits: zeros(), ns: zeros() };
    this.#known.push(counts);
    return counts;
  }
}

/** BPF_CALL with a function's number or a kfunc; a call of a function of the program is an instruction as others. */
function isHelperCall({ code, kinds }: Places, index: number): boolean {
  const { opcode, src } = code.insns[index]!;
  return kinds[index] === CALL && opcode !== EXIT && src !== LOCAL;
}

const EXIT = 0x95;
const LOCAL = 1;

/** Milliseconds that two readings of the clock are apart when nothing lies between them. */
function clockCost(): number {
  const samples = Array.from({ length: CLOCK_SAMPLES }, () => {
    const start = performance.now();
    return performance.now() - start;
  });
  return samples.sort((a, b) => a - b)[CLOCK_SAMPLES >>> 1]!;
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
