/** Programs: the same ones on the kernel's JIT, on ours and on the interpreter, side by side. */
import { readFileSync } from "node:fs";
import { INTERPRETER, JIT, KERNEL, programHosts } from "./hosts.ts";
import { ProgramBench } from "./program_bench.ts";
import { benchCalls } from "./program_calls.ts";
import { benchCompute, FOLDER } from "./program_compute.ts";
import { benchMapPrograms } from "./program_maps.ts";
import { benchPackets } from "./program_packets.ts";
import { benchTurns } from "./program_turns.ts";
import type { Report } from "./report.ts";

export function benchPrograms(report: Report, only: string): void {
  report.note(
    `"${KERNEL}": Linux's JIT, through PROG_TEST_RUN with \`repeat\`, as it counts the duration itself; the others: CPU time of the same call on embedded hosts, where a run has its checks and its budget. "${INTERPRETER}" is what the JIT replaces. In brackets: the middle half of the rounds.`,
  );
  const bench = new ProgramBench(
    report,
    programHosts((line) => report.note(line)),
    only,
    { base: KERNEL, judged: JIT, budgets: true },
  );
  benchCalls(bench);
  benchMapPrograms(bench);
  const objectOf = (name: string): Uint8Array => new Uint8Array(readFileSync(`${FOLDER}/${name}.bpf.o`));
  benchCompute(bench, objectOf);
  benchTurns(bench, objectOf("calls"));
  benchPackets(bench);
  for (const { host } of bench.hosts) host.close();
}
