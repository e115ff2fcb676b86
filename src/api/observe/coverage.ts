/** Coverage of BPF C: which lines, functions and branches ran, over many runs, programs and hosts. */
import type { ObservedRun, ProgramCode } from "../../kern/observer.ts";
import { CoverageSums, type FileCoverage, toLcov } from "./lcov.ts";
import type { Observer } from "./observer.ts";
import { CALL, CONDITIONAL, PerProgram, Places } from "./places.ts";

export interface CoverageOptions {
  /**
   * The name under which a source file is reported; undefined leaves it out. `name` is as the compiler wrote it down,
   * often an absolute path. Default: as it is.
   */
  readonly source?: (name: string) => string | undefined;
}

/** What ran of a program whose instructions say nothing of their source: compile it with `-g`. */
export interface BareProgramCoverage {
  readonly name: string;
  readonly tag: string;
  /** By instruction, second halves of 64-bit immediates left out: how often it was executed. */
  readonly instructions: readonly { readonly index: number; readonly hits: number }[];
}

interface Counts {
  readonly places: Places;
  /** By instruction: how often it was executed; of conditional jumps, how often they jumped; of functions, the calls. */
  readonly hits: Float64Array;
  readonly jumped: Float64Array;
  readonly entered: Float64Array;
}

/**
 * Collects coverage while it observes. A line counts as often as the one of its instructions that ran most, summed over
 * programs; lines of programs that were loaded and never ran count 0.
 *
 *     const coverage = new Coverage();
 *     using watched = host.observe(coverage);
 *     ...
 *     writeFileSync("lcov.info", coverage.lcov());
 */
export class Coverage implements Observer {
  readonly #source: (name: string) => string | undefined;
  /** The same program, loaded again, goes on counting. */
  readonly #known: Map<string, Counts> = new Map();
  readonly #counts: PerProgram<Counts> = new PerProgram((code) => this.#countsOf(code));

  constructor({ source = (name) => name }: CoverageOptions = {}) {
    this.#source = source;
  }

  program(code: ProgramCode): void {
    this.#counts.of(code);
  }

  begin(run: ObservedRun): void {
    this.#counts.of(run.program).entered[run.index]!++;
  }

  after(run: ObservedRun): void {
    const { index } = run;
    const { places, hits, jumped } = this.#counts.of(run.program);
    hits[index]!++;
    const kind = places.kinds[index]!;
    if (kind === CONDITIONAL) {
      if (run.nextIndex !== index + 1) jumped[index]!++;
    } else if (kind === CALL && run.state === "running") {
      this.#counts.of(run.nextProgram).entered[run.nextIndex]!++;
    }
  }

  /** Forgets what ran; the programs stay. */
  reset(): void {
    for (const { hits, jumped, entered } of this.#known.values())
      for (const each of [hits, jumped, entered]) each.fill(0);
  }

  /** By source file. */
  files(): FileCoverage[] {
    const sums = new CoverageSums();
    for (const counts of this.#known.values()) this.#add(counts, sums);
    return sums.files();
  }

  /** Programs without line information, which `files` and `lcov` cannot tell of. */
  bare(): BareProgramCoverage[] {
    return [...this.#known.values()].flatMap(({ places, hits }) => {
      if (places.hasLines) return [];
      const instructions = Array.from(hits, (n, index) => ({ index, hits: n })).filter(
        ({ index }) => !places.isSecondHalf(index),
      );
      return [{ name: places.code.name, tag: places.code.tag, instructions }];
    });
  }

  /** As a tracefile of lcov. `testName`: letters, digits and `_`. */
  lcov(testName?: string): string {
    return toLcov(this.files(), testName);
  }

  #countsOf(code: ProgramCode): Counts {
    const { name, tag, lines, insns } = code;
    const key = JSON.stringify([name, tag, lines.map(({ insn, file, line }) => [insn, file, line])]);
    let counts = this.#known.get(key);
    if (counts === undefined) {
      const zeros = (): Float64Array => new Float64Array(insns.length);
      counts = { places: new Places(code), hits: zeros(), jumped: zeros(), entered: zeros() };
      this.#known.set(key, counts);
    }
    return counts;
  }

  #add({ places, hits, jumped, entered }: Counts, sums: CoverageSums): void {
    const most = new Map<string, { readonly file: string; readonly line: number; hits: number; jumps: number }>();
    hits.forEach((n, index) => {
      const at = places.line(index);
      const file = at === undefined ? undefined : this.#source(at.file);
      if (at === undefined || file === undefined || places.isSecondHalf(index)) return;
      const { line } = at;
      const key = `${line} ${file}`;
      const sum = most.get(key) ?? { file, line, hits: 0, jumps: 0 };
      most.set(key, sum);
      sum.hits = Math.max(sum.hits, n);
      if (places.kinds[index] !== CONDITIONAL) return;
      const block = sum.jumps++;
      const taken = jumped[index]!;
      sums.branch(file, { line, block, branch: 0, hits: n === 0 ? undefined : n - taken });
      sums.branch(file, { line, block, branch: 1, hits: n === 0 ? undefined : taken });
    });
    for (const each of most.values()) sums.line(each.file, each.line, each.hits);
    for (const { name, insn } of places.code.functions) {
      const at = places.line(insn);
      const file = at === undefined ? undefined : this.#source(at.file);
      if (at !== undefined && file !== undefined) sums.function(file, { name, line: at.line, hits: entered[insn]! });
    }
  }
}

/** Lines, functions and branches that ran, of how many, one line a file and one a program without line information. */
export function coverageSummary(coverage: Coverage): string {
  const of = (what: string, list: readonly { readonly hits: number | undefined }[]): string => {
    const ran = list.filter(({ hits }) => hits !== undefined && hits > 0).length;
    const percent = list.length === 0 ? "" : ` (${((100 * ran) / list.length).toFixed(1)} %)`;
    return `${ran} of ${list.length} ${what}${percent}`;
  };
  const files = coverage
    .files()
    .map(
      ({ file, lines, functions, branches }) =>
        `${file}: ${of("lines", lines)}, ${of("functions", functions)}, ${of("branches", branches)}`,
    );
  const bare = coverage
    .bare()
    .map(({ name, instructions }) => `${name}, without line information: ${of("instructions", instructions)}`);
  return [...files, ...bare].join("\n");
}
