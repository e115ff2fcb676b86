/** What the parts of the benchmark of programs share. */
import { JIT, KERNEL, type ProgramHost } from "./hosts.ts";
import { measure, type Side } from "./measure.ts";
import type { Report } from "./report.ts";

export class ProgramBench {
  readonly report: Report;
  readonly hosts: readonly ProgramHost[];
  readonly #only: string;

  constructor(report: Report, hosts: readonly ProgramHost[], only: string) {
    this.report = report;
    this.hosts = hosts;
    this.#only = only.toLowerCase();
  }

  /** Whether this table was asked for. */
  wants(title: string): boolean {
    return title.toLowerCase().includes(this.#only);
  }

  /** Measures, and holds the JIT on a shared host against the kernel. */
  compare(group: string, label: string, sides: readonly Side[], limit?: number): void {
    this.report.compared(group, label, measure(sides), { base: KERNEL, judged: JIT, limit });
  }
}
