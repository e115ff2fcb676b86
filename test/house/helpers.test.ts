/** Every helper and kernel function is called by a test: by its name in a C program, or by its number's name. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { kfuncTable } from "../../src/helpers/kfunc_table.ts";
import { helperTable } from "../../src/helpers/table.ts";

const root = join(import.meta.dirname, "../..");

function texts(folder: string, wanted: RegExp): string {
  const files = readdirSync(join(root, folder), { recursive: true, encoding: "utf8" }).filter((f) => wanted.test(f));
  return files.map((file) => readFileSync(join(root, folder, file), "utf8")).join("\n");
}

const tests = texts("test", /\.(ts|c)$/) + texts("src", /\.test\.ts$/) + texts("examples", /\.c$/);
const words = new Set(tests.match(/\w+/g));

test("every helper of the table is called by a test", () => {
  const names = Object.values(helperTable).map((helper) => helper.name);
  expect(names.filter((name) => !words.has(name) && !words.has(name.replace(/^bpf_/, "BPF_FUNC_")))).toEqual([]);
});

test("every kernel function of the table is called by a test", () => {
  expect(kfuncTable.filter(({ name }) => !words.has(name)).map(({ name }) => name)).toEqual([]);
});
