/** Docs are run: paths that they name exist, links lead somewhere, and the TypeScript of README and docs works as it stands. */
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { buildSync } from "esbuild";
import { afterAll, beforeAll, expect, test } from "vitest";
import { kernelHost } from "../kernel.ts";
import { mountBpffs } from "../mount_bpffs.ts";

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

interface Snippet {
  readonly title: string;
  readonly code: string;
}

const guides = ["README.md", ...pages.filter((page) => page.startsWith("docs"))];
const snippets = guides.flatMap((page) =>
  [...textOf(page).matchAll(/```ts\n(.*?)```/gs)].map(
    (m, i): Snippet => ({ title: `${page} snippet ${i + 1}`, code: m[1]! }),
  ),
);

test("the README has code", () => expect(snippets.map(({ title }) => title)).toContain("README.md snippet 1"));

/** Of each text what it threw, or undefined. They run in one process, one after the other, as bundles that share the library. */
function run(codes: readonly string[]): readonly (string | undefined)[] {
  const dir = mkdtempSync(join(tmpdir(), "bpfmaps-readme-"));
  try {
    const entryPoints = codes.map((_, i) => join(dir, `snippet${i}.ts`));
    for (const [i, code] of codes.entries()) writeFileSync(entryPoints[i]!, code);
    buildSync({
      entryPoints,
      bundle: true,
      splitting: true,
      platform: "node",
      format: "esm",
      target: "node20",
      outdir: dir,
      outExtension: { ".js": ".mjs" },
      logLevel: "error",
      alias: { bpfmaps: join(root, "src/index.ts") },
    });
    const all = join(dir, "all.mjs");
    writeFileSync(all, runAll(codes.length));
    // koffi is looked for from where the snippet lies.
    const env = { ...process.env, NODE_PATH: join(root, "node_modules") };
    execFileSync("node", [all], { cwd: root, stdio: "pipe", env });
    const results = JSON.parse(readFileSync(join(dir, "results.json"), "utf8")) as (string | null)[];
    return results.map((result) => result ?? undefined);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

/** The results are written by the last of them: a snippet that ends the process leaves none. */
const runAll = (count: number): string => `
  import { writeFileSync } from "node:fs";
  const results = [];
  for (let i = 0; i < ${count}; i++) {
    results.push(await import(\`./snippet\${i}.mjs\`).then(() => null, (error) => String(error?.stack ?? error)));
  }
  writeFileSync(new URL("results.json", import.meta.url), JSON.stringify(results));
`;

let results: readonly (string | undefined)[] = [];
beforeAll(() => {
  results = run(snippets.map(({ code }) => code));
}, 60_000);

test.each(snippets.map(({ title }, i) => [title, i] as const))("%s runs", (_title, i) => {
  expect(results[i]).toBeUndefined();
  expect(results.length).toBe(snippets.length);
});

const kernel = kernelHost();
const mount = kernel === undefined ? undefined : mountBpffs();
kernel?.dispose();
afterAll(() => mount?.unmount());

// A child of this thread sees its mounts.
test.skipIf(mount === undefined)("docs/pinning.md runs on the kernel as well", () => {
  const { code } = snippets.find(({ title }) => title.startsWith("docs/pinning.md"))!;
  const there = code.replaceAll("createEmbedded", "openKernel").replace('"/sys/fs/bpf"', JSON.stringify(mount!.path));
  expect(there).toContain(mount!.path);
  expect(run([there])).toEqual([undefined]);
});
