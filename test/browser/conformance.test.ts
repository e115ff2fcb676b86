/** What the kernel answers is answered in a page too: the suite's tables and recordings in headless Chromium. */
import { join } from "node:path";
import { expect, test } from "vitest";
import { mapRegistry } from "../../src/maps/registry.ts";
import { tables } from "../conformance/tables.ts";
import { notRun } from "../kernel.ts";
import { bundleForPage, chromium, runInPage } from "./page.ts";

test("the conformance suite passes in a page", async () => {
  const script = await bundleForPage(join(import.meta.dirname, "conformance.page.ts"));
  if (chromium === undefined) {
    notRun("the conformance suite in a page", "there is no chromium: apt-get install chromium");
    return;
  }
  const text = runInPage(chromium, script, 100_000);
  expect(text).not.toMatch(/^failed/);
  const report = JSON.parse(text) as {
    cases: number;
    types: number;
    problems: string[];
  };
  expect(report.problems).toEqual([]);
  expect(report.types).toBe(Object.keys(mapRegistry).length);
  const all = tables.reduce((sum, table) => sum + table.cases.length, 0);
  expect(report.cases).toBeGreaterThan(all * 0.95);
}, 120_000);
