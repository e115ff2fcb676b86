/** The generated files are what the generator makes of a 6.18 kernel's BTF. Judged only where such a kernel runs. */
import { existsSync, readFileSync } from "node:fs";
import { release } from "node:os";
import { expect, test } from "vitest";
import { parseBtf } from "../../src/btf/index.ts";
import { helpersPage } from "../../tools/gen_helpers.ts";
import { withStatus } from "../../tools/gen_status.ts";
import { generateConstants, generateStructs } from "../../tools/gen_uapi.ts";

const vmlinux = "/sys/kernel/btf/vmlinux";

test("the README's table of map types is what the registry says", () => {
  const readme = readFileSync(new URL("../../README.md", import.meta.url), "utf8");
  expect(withStatus(readme)).toBe(readme);
});

test("docs/helpers.md is what the tables of helpers, kernel functions and contexts say (`npm run gen` writes it)", () => {
  expect(helpersPage()).toBe(readFileSync(new URL("../../docs/helpers.md", import.meta.url), "utf8"));
});

test.runIf(existsSync(vmlinux) && release().startsWith("6.18"))("npm run gen changes nothing", () => {
  const btf = parseBtf(readFileSync(vmlinux));
  const checkedIn = (name: string): string => readFileSync(new URL(`../../src/uapi/${name}`, import.meta.url), "utf8");
  expect(generateConstants(btf)).toBe(checkedIn("constants.gen.ts"));
  expect(generateStructs(btf)).toBe(checkedIn("structs.gen.ts"));
});
