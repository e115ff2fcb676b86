/** What docs/conformance.md says was compared, and what is recorded, is what there is. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { mapRegistry } from "../../src/maps/registry.ts";
import { bpfMapTypeNames } from "../../src/uapi/index.ts";
import { plans } from "../conformance/random/plans.ts";
import recording from "../conformance/recorded/random.json" with { type: "json" };
import { mapTables } from "../conformance/tables.ts";

const types = Object.keys(mapRegistry).map((type) => bpfMapTypeNames[Number(type)]!.replace("BPF_MAP_TYPE_", ""));
const page = readFileSync(join(import.meta.dirname, "../../docs/conformance.md"), "utf8");

test("every map type has random sequences, and what the kernel answered to them is recorded", () => {
  expect(plans.map((plan) => plan.name).sort()).toEqual([...types].sort());
  expect(types.filter((name) => !(name in recording.digests))).toEqual([]);
});

/** The names of a table's columns. */
function columns(header: RegExp): string[] {
  return (header.exec(page)?.[1] ?? "").split(" | ");
}

test("docs/conformance.md has a column for each type (`npm run conformance` writes it)", () => {
  expect(columns(/^\| \| (.*) \|$/m).sort()).toEqual([...types].sort());
  expect(mapTables.filter((table) => !page.includes(`| ${table.type} |`))).toEqual([]);
});
