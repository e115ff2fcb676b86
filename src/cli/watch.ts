/** What `bpfmaps run` shows of runs while they happen (`--trace`), and collects of them (`--coverage`, `--profile`). */
import { existsSync, writeFileSync } from "node:fs";
import { dirname, isAbsolute, join } from "node:path";
import type { BpfHost } from "../api/bpf_host.ts";
import {
  Coverage,
  coverageSummary,
  type FileCoverage,
  formatStep,
  Profile,
  type ProfileLine,
  profileTable,
  Trace,
  type TraceStep,
} from "../api/observe/index.ts";
import { InputError } from "../errors.ts";
import { sourceText } from "../insn/index.ts";
import type { RunOptions } from "./options.ts";

/** What was collected, for the report. */
export interface Seen {
  readonly coverage?: readonly FileCoverage[];
  readonly profile?: readonly ProfileLine[];
}

export class Watch {
  readonly #options: RunOptions;
  readonly #coverage: Coverage | undefined;
  readonly #profile: Profile | undefined;
  #steps = 0;
  #shown = "";

  constructor(host: BpfHost, options: RunOptions) {
    this.#options = options;
    if (options.trace) host.observe(new Trace((step) => this.#print(step)));
    if (options.coverage !== undefined) {
      this.#coverage = new Coverage({ source: (name) => this.#pathOf(name) });
      host.observe(this.#coverage);
    }
    if (options.profile) {
      this.#profile = new Profile();
      host.observe(this.#profile);
    }
  }

  /** To standard error: standard output is the report's. A source line comes before the first of its instructions. */
  #print(step: TraceStep): void {
    this.#steps++;
    if (this.#steps > this.#options.traceLimit) return;
    const source = step.source === undefined ? "" : sourceText(step.source);
    if (source !== "" && source !== this.#shown) console.error(`${"  ".repeat(step.depth)}; ${source}`);
    if (source !== "") this.#shown = source;
    console.error(formatStep(step));
    if (step.fault !== "") console.error(step.fault.trimEnd());
  }

  /** Objects are mostly compiled where they lie: a relative name that is found beside the object is that file. */
  #pathOf(name: string): string {
    const beside = join(dirname(this.#options.object), name);
    return !isAbsolute(name) && existsSync(beside) ? beside : name;
  }

  /** All runs are over, or one has failed. Writes the coverage. */
  end(): void {
    const more = this.#steps - this.#options.traceLimit;
    if (more > 0) console.error(`... and ${more} more instructions (--trace-limit)`);
    const { coverage: path } = this.#options;
    if (this.#coverage === undefined || path === undefined) return;
    try {
      writeFileSync(path, this.#coverage.lcov());
    } catch (error) {
      throw new InputError(`cannot write ${path}: ${(error as NodeJS.ErrnoException).code}`, { cause: error });
    }
  }

  seen(): Seen {
    return {
      ...(this.#coverage === undefined ? {} : { coverage: this.#coverage.files() }),
      ...(this.#profile === undefined ? {} : { profile: this.#profile.lines() }),
    };
  }

  /** Behind the report for people. */
  text(): string {
    const parts: string[] = [];
    if (this.#coverage !== undefined) {
      parts.push(`coverage, written to ${this.#options.coverage}`, coverageSummary(this.#coverage), "");
    }
    if (this.#profile !== undefined) parts.push("profile", profileTable(this.#profile), "");
    return parts.length === 0 ? "" : `\n\n${parts.join("\n").trimEnd()}`;
  }
}
