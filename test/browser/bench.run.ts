/** The benchmark of programs in headless Chromium, and its table: part of `npm run test:browser`, not of `npm test`. */
import { join } from "node:path";
import { expect, test } from "vitest";
import { formatNs, Report } from "../../bench/report.ts";
import { notRun } from "../kernel.ts";
import type { BenchReport, Figure } from "./bench.page.ts";
import { bundleForPage, chromium, NO_CHROMIUM, runInPage } from "./page.ts";

test("both engines do the same in a page, and the JIT is the faster one", async () => {
  const script = await bundleForPage(join(import.meta.dirname, "bench.page.ts"));
  if (chromium === undefined) {
    notRun("the benchmark in a page", NO_CHROMIUM);
    return;
  }
  // It throws when compiled code did not run, and when sums or return values differ.
  const { browser, lines } = runInPage<BenchReport>(chromium, script, 100_000);
  const text = ({ median, low, high }: Figure): string => `${formatNs(median)} (${formatNs(low)}..${formatNs(high)})`;
  new Report().table({
    title: `Programs in a page of ${/\bHeadlessChrome\/[\d.]+|\bChrome\/[\d.]+/.exec(browser)?.[0] ?? browser}: ns`,
    columns: ["", "JIT", "interpreter", "JIT / interpreter"],
    rows: lines.map((line) => [
      `${line.group}: ${line.label}`,
      text(line.jit),
      text(line.interpreter),
      line.ratio.toFixed(3),
    ]),
  });
  const groups = lines.map(({ group }) => group.split(/[ ,]/)[0]);
  const wanted = [
    "ARRAY",
    "HASH",
    "PERCPU_HASH",
    "LPM_TRIE",
    "LRU_HASH",
    "QUEUE",
    "RINGBUF",
    "BLOOM_FILTER",
    "Computing",
  ];
  expect(groups).toEqual(expect.arrayContaining(wanted));
  for (const { group, label, ratio } of lines) expect(ratio, `${group}: ${label}`).toBeLessThan(1);
}, 120_000);
