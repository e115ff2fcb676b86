/** Coverage of BPF C in a test run: collected in each test file, added up in one file of lcov's format. */
import { isMainThread } from "node:worker_threads";
import { afterAll } from "vitest";
import { Coverage, type CoverageOptions } from "../index.ts";
import { addToFile } from "./lcov_file.ts";

export interface BpfCoverageOptions extends CoverageOptions {
  /** Where the coverage goes, such as `coverage/bpf.info`: a tracefile of lcov. Its folder is made. */
  readonly file: string;
}

/**
 * A `Coverage` for one test file, written when its tests are over. What the files of one run of vitest give is added up;
 * what an earlier run left is replaced.
 *
 *     const host = createEmbedded();
 *     host.observe(bpfCoverage({ file: "coverage/bpf.info" }));
 */
export function bpfCoverage({ file, ...options }: BpfCoverageOptions): Coverage {
  const coverage = new Coverage(options);
  afterAll(() => addToFile(file, runName(), coverage.files()));
  return coverage;
}

/** The same in all workers of one vitest: they are its threads, or its children. */
function runName(): string {
  return `vitest_${isMainThread ? process.ppid : process.pid}`;
}
