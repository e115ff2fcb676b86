/** Imports go down only, type imports too. The picture is in ARCHITECTURE.md. */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { expect, test } from "vitest";

/** Folder of src/ → its layer. A file may import from its own folder and from lower layers. */
const layers: Readonly<Record<string, number>> = {
  "errors.ts": 0,
  uapi: 0,
  insn: 0,
  btf: 0,
  elf: 0,
  pcap: 0,
  wasm: 0,
  mem: 1,
  struct: 2,
  maps: 3,
  kern: 4,
  helpers: 5,
  contexts: 5,
  vm: 5,
  jit: 5,
  cmd: 6,
  host: 7,
  api: 8,
  "index.ts": 9,
  cli: 9,
  vitest: 9,
};

/** The codecs beside the stack know these and each other, nothing else. */
const pure = new Set(["errors.ts", "uapi", "insn", "btf", "elf", "pcap", "wasm"]);
/** Within layer 5 calls go one way: the machine asks about contexts and calls helpers. */
const sameLayer: readonly (readonly [string, string])[] = [
  ["jit", "vm"],
  ["jit", "helpers"],
  ["jit", "contexts"],
  ["vm", "helpers"],
  ["vm", "contexts"],
  ["contexts", "helpers"],
  ["cli", "index.ts"],
  ["vitest", "index.ts"],
];
/** Only these may import Node's modules; everything else is loaded by browsers. */
const nodeFolders = new Set(["cli", "vitest"]);

const src = join(import.meta.dirname, "../../src");
const files = readdirSync(src, { recursive: true, encoding: "utf8" }).filter(
  (f) => f.endsWith(".ts") && !/\.test(-d)?\.ts$/.test(f),
);

function importsOf(file: string): string[] {
  const text = readFileSync(join(src, file), "utf8");
  return [...text.matchAll(/^(?:import|export)\s[^;]*?from\s+"([^"]+)"/gms)].map((m) => m[1] ?? "");
}

function folderOf(file: string): string {
  return file.split("/")[0] ?? file;
}

test("every folder of src/ has a layer", () => {
  expect(files.filter((f) => layers[folderOf(f)] === undefined)).toEqual([]);
});

test("imports go down only", () => {
  const wrong: string[] = [];
  for (const file of files) {
    const from = folderOf(file);
    for (const spec of importsOf(file)) {
      if (!spec.startsWith(".")) {
        if (!nodeFolders.has(from)) wrong.push(`${file} imports ${spec}`);
        continue;
      }
      const to = folderOf(relative(src, join(src, dirname(file), spec)));
      if (from === to) continue;
      const down = (layers[to] ?? 99) < (layers[from] ?? -1);
      const beside = pure.has(from) && pure.has(to);
      const allowed = sameLayer.some(([a, b]) => a === from && b === to);
      if (!down && !beside && !allowed) wrong.push(`${file} (${from}) imports ${spec} (${to})`);
    }
  }
  expect(wrong).toEqual([]);
});

test("imports name files", () => {
  const wrong = files.flatMap((f) => importsOf(f).filter((s) => s.startsWith(".") && !s.endsWith(".ts")));
  expect(wrong).toEqual([]);
});
