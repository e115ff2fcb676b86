import { expect, test } from "vitest";
import type { Row } from "./measure.ts";
import { writtenInto } from "./page.ts";
import type { Section } from "./report.ts";

const titles = ["Maps", "Programs", "Memory"];
const row = (name: string, ns: number): Row => ({ name, median: ns, low: ns - 1, high: ns + 1, rounds: [ns, ns, ns] });

function section(title: string, more: Partial<Section> = {}): Section {
  return { title, comparisons: [], budgets: [], tables: [], notes: [], began: 0, ended: 2000, ...more };
}

const facts = { command: "npm run bench -- programs", machine: ["a machine"] };
const write = (page: string, ...sections: Section[]): string => writtenInto(page, titles, sections, facts);

test("a run replaces its own parts of the page and leaves the others as they are", () => {
  const first = write("", section("Memory", { notes: ["of memory"] }), section("Maps", { notes: ["of maps"] }));
  const second = write(first, section("Programs", { notes: ["of programs"] }));
  const third = write(second, section("Maps", { notes: ["of other maps"] }));
  expect([...third.matchAll(/^## (.*)$/gm)].map((m) => m[1])).toEqual(titles);
  expect(third).toContain("of memory");
  expect(third).toContain("of programs");
  expect(third).toContain("of other maps");
  expect(third).not.toContain("of maps");
  expect(write(third)).toBe(third);
});

test("a comparison has a line with figures, spread, ratios and what became of its budget", () => {
  const rows = [row("kernel", 10), row("JIT", 20)];
  const comparison = (label: string, limit?: number) => ({
    group: "HASH",
    label,
    rows,
    yardstick: { base: "kernel", judged: "JIT", limit },
  });
  const comparisons = [comparison("lookup", 1.5), comparison("update", 2), comparison("delete")];
  const budgets = [{ what: "memory", limit: 3, got: 4, unit: "MB" }];
  const page = write("", section("Programs", { comparisons, budgets }));
  expect(page).toContain("| lookup | 10.0 (9.0..11.0) | 20.0 (19.0..21.0) | 2.00 | 1.5 x | MISSED |");
  expect(page).toContain("| update | 10.0 (9.0..11.0) | 20.0 (19.0..21.0) | 2.00 | 2 x | met |");
  expect(page).toContain("| delete | 10.0 (9.0..11.0) | 20.0 (19.0..21.0) | 2.00 |  |  |");
  expect(page).toContain("1 met, 2 missed");
});

test("without the kernel there are figures, but no ratios and no verdicts", () => {
  const yardstick = { base: "kernel", judged: "JIT", limit: 1 };
  const comparisons = [{ group: "HASH", label: "lookup", rows: [row("JIT", 20), row("interpreter", 30)], yardstick }];
  const page = write("", section("Programs", { comparisons }));
  expect(page).toContain("| lookup | 20.0 (19.0..21.0) | 30.0 (29.0..31.0) |  |  |");
  expect(page).toContain("0 met, 0 missed");
});
