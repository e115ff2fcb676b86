/** 100,000 maps of all types are created, filled and closed: the allocator has to be where it was. */
import { createEmbeddedHost } from "../src/host/embedded.ts";
import { cycle, shapes } from "../test/memory/cycles.ts";
import type { Report } from "./report.ts";

const CYCLES = 100_000;
const STEPS = 10;

export function benchLeak(report: Report): void {
  for (const shared of [false, true]) {
    const host = createEmbeddedHost({ seed: 1, shared, memory: 64 << 20, cpus: 2 });
    // Free blocks stay in their slabs: the first time around takes what all others use again.
    for (let i = 0; i < 17 * shapes.length; i++) cycle(host, i);
    const before = host.memory();
    const rows: string[][] = [["at first", `${before.used}`, `${before.metadata}`, `${before.user}`]];
    for (let i = 1; i <= CYCLES; i++) {
      cycle(host, i);
      if (i % (CYCLES / STEPS) !== 0) continue;
      const { used, metadata, user } = host.memory();
      report.progress(`${shared ? "shared" : "exclusive"} host: ${i} cycles`);
      rows.push([`${i} cycles`, `${used}`, `${metadata}`, `${user}`]);
    }
    report.table({
      title: `${shared ? "shared" : "exclusive"} host: bytes`,
      columns: ["", "granules", "metadata", "user memory"],
      rows,
    });
    const after = host.memory();
    const lost = after.used - before.used + (after.metadata - before.metadata) + (after.user - before.user);
    report.budget({
      what: `bytes lost in ${CYCLES} create, fill and close cycles, ${shared ? "shared" : "exclusive"}`,
      limit: 0,
      got: lost,
      unit: "bytes",
    });
    host.dispose();
  }
}
