/** What the kernel answers is answered in a page too: the suite's tables and recordings in headless Chromium. */
import { join } from "node:path";
import { expect, test } from "vitest";
import { mapRegistry } from "../../src/maps/registry.ts";
import { insnPrograms } from "../conformance/insn_programs.ts";
import { tables } from "../conformance/tables.ts";
import { notRun } from "../kernel.ts";
import type { EngineReport } from "./conformance.page.ts";
import { bundleForPage, chromium, NO_CHROMIUM, runInPage } from "./page.ts";

test("the conformance suite passes in a page, on both engines", async () => {
  const script = await bundleForPage(join(import.meta.dirname, "conformance.page.ts"));
  if (chromium === undefined) {
    notRun("the conformance suite in a page", NO_CHROMIUM);
    return;
  }
  const reports = runInPage<EngineReport[]>(chromium, script, 100_000);
  const all = tables.reduce((sum, table) => sum + table.cases.length, 0);
  const programs = [...insnPrograms().values()].flat().length;
  expect(reports.map(({ engine }) => engine)).toEqual(["jit", "interp"]);
  for (const report of reports) {
    expect(report.problems).toEqual([]);
    expect(report.ranBy).toBe(report.engine);
    expect(report.programs).toBe(programs);
    expect(report.types).toBe(Object.keys(mapRegistry).length);
    expect(report.cases).toBeGreaterThan(all * 0.95);
  }
}, 120_000);
