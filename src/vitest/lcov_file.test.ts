import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, utimesSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { buildSync } from "esbuild";
import { afterAll, expect, test } from "vitest";
import { type FileCoverage, parseLcov } from "../index.ts";
import { addToFile } from "./lcov_file.ts";

const dir = mkdtempSync(join(tmpdir(), "bpfmaps-coverage-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const once: readonly FileCoverage[] = [
  {
    file: "a.c",
    functions: [{ name: "f", line: 1, hits: 1 }],
    lines: [
      { line: 1, hits: 1 },
      { line: 2, hits: 0 },
    ],
    branches: [{ line: 1, block: 0, branch: 0, hits: undefined }],
  },
];

test("files of one run are added up, another run begins anew", () => {
  const file = join(dir, "deep", "er", "bpf.info");
  addToFile(file, "vitest_1", once);
  addToFile(file, "vitest_1", once);
  expect(parseLcov(readFileSync(file, "utf8"))).toMatchObject({
    testName: "vitest_1",
    files: [{ functions: [{ hits: 2 }], lines: [{ hits: 2 }, { hits: 0 }], branches: [{ hits: undefined }] }],
  });
  addToFile(file, "vitest_2", once);
  expect(parseLcov(readFileSync(file, "utf8"))).toEqual({ testName: "vitest_2", files: once });
});

test("test files that end at the same moment", async () => {
  const file = join(dir, "together.info");
  const root = join(import.meta.dirname, "../..");
  const script = join(dir, "add.mjs");
  buildSync({
    stdin: {
      contents: `import { addToFile } from "./src/vitest/lcov_file.ts";
        for (let i = 0; i < 10; i++) addToFile(process.argv[2], "vitest_7", ${JSON.stringify(once)});`,
      resolveDir: root,
    },
    bundle: true,
    platform: "node",
    format: "esm",
    outfile: script,
    logLevel: "error",
  });
  const run = promisify(execFile);
  await Promise.all([1, 2, 3].map(() => run(process.execPath, [script, file], { timeout: 60_000 })));
  expect(parseLcov(readFileSync(file, "utf8")).files[0]!.functions[0]!.hits).toBe(30);
});

test("a lock that a dead process left is taken over", () => {
  const file = join(dir, "stale.info");
  const lock = `${file}.lock`;
  mkdirSync(lock);
  utimesSync(lock, 0, 0);
  addToFile(file, "vitest_1", once);
  expect(parseLcov(readFileSync(file, "utf8")).files).toEqual(once);
});
