/** What the parts of the benchmark of programs share. */
import type { ProgramHost } from "./hosts.ts";
import { measure, ROUNDS, type Side } from "./measure.ts";
import type { Report } from "./report.ts";

/** What is held against what: two of the hosts. */
export interface Held {
  readonly base: string;
  readonly judged: string;
  /** Whether the budgets apply: they are ratios to the kernel. */
  readonly budgets: boolean;
  /** How often each side is measured. */
  readonly rounds?: number;
}

export class ProgramBench {
  readonly report: Report;
  readonly hosts: readonly ProgramHost[];
  readonly #only: string;
  readonly #held: Held;

  constructor(report: Report, hosts: readonly ProgramHost[], only: string, held: Held) {
    this.report = report;
    this.hosts = hosts;
    this.#only = only.toLowerCase();
    this.#held = held;
  }

  /** Whether this table was asked for. */
  wants(title: string): boolean {
    return title.toLowerCase().includes(this.#only);
  }

  compare(group: string, label: string, sides: readonly Side[], limit?: number): void {
    const { base, judged, budgets, rounds = ROUNDS } = this.#held;
    this.report.compared(group, label, measure(sides, rounds), { base, judged, limit: budgets ? limit : undefined });
  }
}
