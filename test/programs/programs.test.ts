/** BPF C programs on every host: embedded ones, and this machine's kernel where it lets us, which must agree. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { release, tmpdir } from "node:os";
import { afterAll, describe, expect, test } from "vitest";
import { contextOf } from "../../src/contexts/table.ts";
import { parseObject } from "../../src/elf/index.ts";
import { type BpfHost, type EmbeddedOptions, openKernel } from "../../src/index.ts";
import { bpfProgTypeNames } from "../../src/uapi/index.ts";
import { VERSION } from "../conformance/hosts.ts";
import { kernelHost, notRun, pinThread } from "../kernel.ts";
import type { ProgramCase } from "./cases.ts";
import { casesOf, createHostOf, load, play, programNames, readProgram } from "./harness.ts";

const kernel = openVersion();
const cpus = kernel?.possibleCpus ?? 2;

const rebuilt = rebuild();

afterAll(() => {
  if (rebuilt !== undefined) rmSync(rebuilt, { recursive: true });
  if (kernel === undefined) return;
  const leaks = kernel.leaks();
  kernel.close();
  expect(leaks).toEqual([]);
});

/** The kernel, if it is the one that embedded hosts are like. */
function openVersion(): BpfHost | undefined {
  const host = kernelHost();
  host?.dispose();
  if (host === undefined || release().startsWith(`${VERSION}.`)) return host && openKernel();
  notRun("test programs on the kernel (version)", `this is Linux ${release()}, they state the answers of ${VERSION}`);
  return undefined;
}

/** The folder with all programs compiled anew. */
function rebuild(): string | undefined {
  const version = spawnSync("clang", ["--version"], { encoding: "utf8" }).stdout ?? "";
  const major = Number(/version (\d+)/.exec(version)?.[1]);
  if (!(major >= 14) || !existsSync("/usr/include/linux/bpf.h")) {
    notRun("test programs compiled anew", "there is no clang of version 14 or later, or no <linux/bpf.h>");
    return undefined;
  }
  const folder = mkdtempSync(`${tmpdir()}/bpf-programs-`);
  const { stderr, status } = spawnSync("sh", [`${import.meta.dirname}/build.sh`, folder], { encoding: "utf8" });
  if (status !== 0) throw new Error(`test/programs/build.sh: ${stderr}`);
  return folder;
}

/** On one CPU, as embedded hosts are: per-CPU values and LRU lists are one a CPU. */
function playKernel(host: BpfHost, name: string, bytes: Uint8Array, each: ProgramCase): ReturnType<typeof play> {
  pinThread(0);
  try {
    return play(host, name, bytes, each);
  } finally {
    pinThread(-1);
  }
}

/** On an embedded host of its own, which must be clean afterwards. */
function playEmbedded(
  options: EmbeddedOptions,
  name: string,
  bytes: Uint8Array,
  each: ProgramCase,
): ReturnType<typeof play> {
  const host = createHostOf(each, { cpus, ...options });
  try {
    const outcome = play(host, name, bytes, each);
    expect(host.leaks()).toEqual([]);
    return outcome;
  } finally {
    host.close();
  }
}

for (const name of programNames) {
  const cases = await casesOf(name);
  describe(name, () => {
    const bytes = readProgram(name);
    test.each(cases)("$name", (each) => {
      // One of each: which engine is on the shared host changes from case to case.
      const even = cases.indexOf(each) % 2 === 0;
      const exclusive = playEmbedded({ engine: even ? "jit" : "interp" }, name, bytes, each);
      const shared = playEmbedded({ engine: even ? "interp" : "jit", shared: true }, name, bytes, each);
      expect(shared, "embedded, shared and exclusive").toEqual(exclusive);
      if (kernel === undefined || each.kernel === "none") return;
      if (each.kernel === "load") load(kernel, name, bytes, each).close();
      else expect(exclusive, "embedded and kernel").toEqual(playKernel(kernel, name, bytes, each));
    });

    // Code generation and type ids differ between compilers; what the program does must not.
    test.runIf(rebuilt !== undefined)("compiled anew: does the same", () => {
      const anew = readProgram(name, rebuilt);
      // The cases above have run these bytes.
      if (Buffer.compare(anew, bytes) === 0) return;
      for (const each of cases) {
        playEmbedded({}, name, anew, each);
        if (kernel !== undefined && each.kernel !== "none") load(kernel, name, anew, each).close();
      }
    });
  });
}

test("every source has its object and its cases", () => {
  const { stdout } = spawnSync("sh", ["-c", "ls *.bpf.c"], { cwd: import.meta.dirname, encoding: "utf8" });
  expect(
    stdout
      .trim()
      .split("\n")
      .map((file) => file.replace(".bpf.c", "")),
  ).toEqual(programNames);
});

test("every type of program that runs here has a source", () => {
  const types = new Set(
    programNames.flatMap((name) => parseObject(readProgram(name), { name }).programs.map((p) => p.type)),
  );
  const known = Object.entries(bpfProgTypeNames).filter(([type]) => contextOf(Number(type)) !== undefined);
  expect(known.filter(([type]) => !types.has(Number(type))).map(([, name]) => name)).toEqual([]);
});
