/** Docs are run: paths that they name exist, links lead somewhere, and the README's TypeScript works as it stands. */
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { buildSync } from "esbuild";
import { expect, test } from "vitest";

const root = join(import.meta.dirname, "../..");
const pages = [
  ...readdirSync(root).filter((f) => f.endsWith(".md")),
  ...["docs", "examples"].flatMap((dir) =>
    readdirSync(join(root, dir), { recursive: true, encoding: "utf8" })
      .filter((f) => f.endsWith(".md"))
      .map((f) => join(dir, f)),
  ),
];
const textOf = (page: string): string => readFileSync(join(root, page), "utf8");

test.each(pages)("%s: every path that it names exists", (page) => {
  const named = [...textOf(page).matchAll(/`((?:src|test|docs|examples|bench|tools|\.ci)\/[\w./-]*)`/g)].map(
    (m) => m[1]!,
  );
  expect(named.filter((path) => !existsSync(join(root, path)))).toEqual([]);
});

test.each(pages)("%s: every relative link leads somewhere", (page) => {
  const links = [...textOf(page).matchAll(/\]\((?!https?:|#)([^)#\s]+)/g)].map((m) => m[1]!);
  expect(links.filter((link) => !existsSync(join(root, dirname(page), link)))).toEqual([]);
});

const snippets = [...textOf("README.md").matchAll(/```ts\n(.*?)```/gs)].map((m) => m[1]!);

test("the README has code", () => expect(snippets.length).toBeGreaterThan(0));

test.each(snippets.map((code, i) => [i + 1, code] as const))("README snippet %i runs", (_, code) => {
  const dir = mkdtempSync(join(tmpdir(), "bpfmaps-readme-"));
  try {
    const entry = join(dir, "snippet.ts");
    writeFileSync(entry, code);
    const outfile = join(dir, "snippet.mjs");
    buildSync({
      entryPoints: [entry],
      bundle: true,
      platform: "node",
      format: "esm",
      target: "node20",
      outfile,
      logLevel: "error",
      alias: { bpfmaps: join(root, "src/index.ts") },
    });
    execFileSync("node", [outfile], { cwd: root, stdio: "pipe" });
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});
