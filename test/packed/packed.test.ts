/**
 * The package as a user gets it: packed, installed in an empty project, imported in Node, and bundled for a browser.
 * `npm test` has built dist/ before.
 */
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { bundleForPage, chromium, runInPage } from "../browser/page.ts";
import { notRun } from "../kernel.ts";

const root = join(import.meta.dirname, "../..");
const project = mkdtempSync(join(tmpdir(), "bpfmaps-packed-"));

/** Works with one map and prints what came out; needs nothing but the package. */
const program = `
import { createEmbedded, u32, BPF_MAP_CREATE, BPF_MAP_TYPE_ARRAY, BPF_F_MMAPABLE } from "bpfmaps";
const host = createEmbedded({ memory: 16 * 1024 * 1024 });
const map = host.createMap({ type: "hash", name: "m", key: u32, value: u32, maxEntries: 8 });
map.set(1, 42);
const fd = host.bpf(BPF_MAP_CREATE, { map_type: BPF_MAP_TYPE_ARRAY, key_size: 4, value_size: 4, max_entries: 256,
  map_flags: BPF_F_MMAPABLE, map_name: "example_array" });
const result = \`\${map.get(1)} \${map.get(2)} \${fd >= 0}\`;
host.close();
globalThis.report ? globalThis.report(JSON.stringify(result)) : console.log(result);
`;

beforeAll(() => {
  const packed = execFileSync("npm", ["pack", "--ignore-scripts", "--json", "--pack-destination", project], {
    cwd: root,
    encoding: "utf8",
  });
  const [{ filename }] = JSON.parse(packed) as [{ filename: string }];
  writeFileSync(join(project, "package.json"), JSON.stringify({ name: "user", private: true, type: "module" }));
  execFileSync("npm", ["install", "--omit=optional", "--no-audit", "--no-fund", "--offline", `./${filename}`], {
    cwd: project,
    stdio: "pipe",
  });
  writeFileSync(join(project, "main.mjs"), program);
}, 120_000);

afterAll(() => rmSync(project, { recursive: true, force: true }));

test("imports in Node, without koffi", () => {
  expect(execFileSync("node", ["main.mjs"], { cwd: project, encoding: "utf8" }).trim()).toBe("42 undefined true");
});

test("every subpath of the package loads, and its types are there", () => {
  const installed = join(project, "node_modules/bpfmaps");
  const { exports } = JSON.parse(readFileSync(join(installed, "package.json"), "utf8")) as {
    exports: Record<string, { types: string; default: string } | string>;
  };
  const specs: string[] = [];
  for (const [path, target] of Object.entries(exports)) {
    if (typeof target === "string") continue;
    expect(existsSync(join(installed, target.types)), target.types).toBe(true);
    specs.push(path.replace(".", "bpfmaps"));
  }
  const load = (wanted: readonly string[]): unknown => {
    const script = wanted.map((spec) => `await import(${JSON.stringify(spec)});`).join("\n");
    return execFileSync("node", ["--input-type=module", "-e", script], { cwd: project, stdio: "pipe" });
  };
  load(specs.filter((spec) => spec !== "bpfmaps/vitest"));
  // What helps in vitest needs it, and the package does not bring it.
  expect(() => load(["bpfmaps/vitest"])).toThrow(/Cannot find package 'vitest'/);
});

test("the command line runs from the installed package", () => {
  // What npx starts.
  const help = execFileSync(join(project, "node_modules/.bin/bpfmaps"), ["--help"], { encoding: "utf8" });
  expect(help).toMatch(/bpfmaps run/);
});

test("bundles for a browser: no Node import is left, and the bundle runs in a page", async () => {
  const bundle = await bundleForPage(join(project, "main.mjs"));
  if (chromium === undefined) {
    notRun("the bundle in a page", "there is no chromium: apt-get install chromium");
    // Only what pages have: no process, no require.
    const run = new Function("globalThis", "process", "require", bundle) as (g: unknown) => void;
    let result = "";
    run({ report: (text: string) => (result = text) });
    expect(JSON.parse(result)).toBe("42 undefined true");
    return;
  }
  expect(runInPage(chromium, bundle, 60_000)).toBe("42 undefined true");
}, 90_000);
