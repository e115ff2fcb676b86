/** Coverage and profiles of test programs, and lcov's format. */
import { readFileSync } from "node:fs";
import { afterEach, beforeEach, expect, test } from "vitest";
import {
  Coverage,
  coverageSummary,
  createEmbedded,
  type EmbeddedBpfHost,
  type FileCoverage,
  InputError,
  type LoadedObject,
  Profile,
  parseLcov,
  profileTable,
  toLcov,
} from "../../src/index.ts";
import { exit, ldImm64, mov64Imm, R0, R1 } from "../../src/insn/index.ts";
import { frame } from "../programs/cases.ts";
import { readProgram } from "../programs/harness.ts";
import { ethernet } from "../programs/packet_sampler.cases.ts";

let host: EmbeddedBpfHost;
beforeEach(() => {
  host = createEmbedded({ seed: 1, memory: 32 << 20, clock: "virtual" });
});
afterEach(() => host.close());

const FILE = "./packet_sampler.bpf.c";
const source = readFileSync(`${import.meta.dirname}/../programs/packet_sampler.bpf.c`, "utf8").split("\n");
/** Number of the line that holds this text. */
const lineOf = (text: string): number => source.findIndex((line) => line.includes(text)) + 1;

const sampler = (): LoadedObject => host.loadObject(readProgram("packet_sampler"), { name: "packet_sampler" });
const ipv4 = ethernet(60, 0x0800);

function hitsOf({ lines }: FileCoverage, text: string): number | undefined {
  return lines.find(({ line }) => line === lineOf(text))?.hits;
}

const only = (coverage: Coverage): FileCoverage => {
  const files = coverage.files();
  expect(files.map(({ file }) => file)).toEqual([FILE]);
  return files[0]!;
};

test("lines, functions and branches, over runs and programs", () => {
  const coverage = new Coverage();
  const object = sampler();
  const watched = host.observe(coverage);
  for (let i = 0; i < 4; i++) object.program("sampler").run({ data: ipv4 });
  object.program("only_count").run({ data: ethernet(64, 0x0806), repeat: 3 });
  watched.stop();
  object.program("sampler").run({ data: ipv4 });
  const file = only(coverage);
  expect(hitsOf(file, "bpf_map_lookup_elem(&packets")).toBe(7);
  expect(hitsOf(file, "sample->kind = kind")).toBe(2);
  expect(hitsOf(file, "if (every == 0")).toBe(4);
  const functions = Object.fromEntries(file.functions.map(({ name, hits }) => [name, hits]));
  expect(functions).toEqual({ sampler: 4, only_count: 3, count_one: 7, kind_of: 7 });
  expect(file.functions.find(({ name }) => name === "count_one")?.line).toBe(lineOf("__u64 count_one("));
  // Half of the packets have no sample taken: both ways were gone.
  const divided = file.branches.filter(({ line }) => line === lineOf("if (every == 0"));
  expect(divided.some(({ hits }) => hits === 2)).toBe(true);
  // No packet was too short.
  const short = file.branches.filter(({ line }) => line === lineOf("if (data + SAMPLE_BYTES > end)"));
  expect(short.map(({ hits }) => hits)).toEqual([2, 0]);
});

test("lines that never ran count 0, jumps that never ran have no count", () => {
  const coverage = new Coverage();
  host.observe(coverage);
  const object = sampler();
  const none = only(coverage);
  expect(hitsOf(none, "sample->kind = kind")).toBe(0);
  expect(none.lines.every(({ hits }) => hits === 0)).toBe(true);
  expect(none.branches.every(({ hits }) => hits === undefined)).toBe(true);
  object.program("only_count").run({ data: ipv4 });
  expect(hitsOf(only(coverage), "sample->kind = kind")).toBe(0);
  expect(hitsOf(only(coverage), "count_one(kind_of(ctx))")).toBe(1);
  coverage.reset();
  expect(only(coverage)).toEqual(none);
});

test("a program that is loaded again goes on counting", () => {
  const coverage = new Coverage();
  for (let i = 0; i < 3; i++) {
    const object = sampler();
    object.program("only_count").run({ data: ipv4, observe: coverage });
    object.close();
  }
  expect(hitsOf(only(coverage), "count_one(kind_of(ctx))")).toBe(3);
});

test("names of files can be changed, and files left out", () => {
  const renamed = new Coverage({ source: (name) => name.replace("./", "/src/") });
  const without = new Coverage({ source: () => undefined });
  const object = sampler();
  for (const observe of [renamed, without]) object.program("sampler").run({ data: ipv4, observe });
  expect(renamed.files().map(({ file }) => file)).toEqual(["/src/packet_sampler.bpf.c"]);
  expect(without.files()).toEqual([]);
  expect(without.lcov()).toBe("");
});

test("without line information instructions are counted, and it is said so", () => {
  const coverage = new Coverage();
  const insns = [mov64Imm(R0, 2), ldImm64(R1, 5n), exit()].flat();
  const program = host.loadProgram({ type: "xdp", insns, name: "bare" });
  program.run({ data: frame(64), repeat: 2, observe: coverage });
  expect(coverage.files()).toEqual([]);
  expect(coverage.bare()).toMatchObject([
    {
      name: "bare",
      instructions: [
        { index: 0, hits: 2 },
        { index: 1, hits: 2 },
        { index: 3, hits: 2 },
      ],
    },
  ]);
  expect(coverageSummary(coverage)).toBe("bare, without line information: 3 of 3 instructions (100.0 %)");
});

test("lcov: what is written is read again, and added up", () => {
  const coverage = new Coverage();
  const object = sampler();
  object.program("sampler").run({ data: ipv4, observe: coverage });
  const text = coverage.lcov("a_test");
  expect(parseLcov(text)).toEqual({ testName: "a_test", files: coverage.files() });
  const doubled = parseLcov(text + text).files[0]!;
  expect(hitsOf(doubled, "sample->kind = kind")).toBe(2);
  expect(doubled.branches.filter(({ hits }) => hits === undefined).length).toBe(
    only(coverage).branches.filter(({ hits }) => hits === undefined).length,
  );
  // The records and their order, as geninfo(1) has them.
  const kinds = text.split("\n").map((line) => line.replace(/:.*/, ""));
  expect([...new Set(kinds)]).toEqual([
    "TN",
    "SF",
    "FN",
    "FNDA",
    "FNF",
    "FNH",
    "BRDA",
    "BRF",
    "BRH",
    "DA",
    "LF",
    "LH",
    "end_of_record",
    "",
  ]);
  const count = (kind: string): number => kinds.filter((each) => each === kind).length;
  const said = (kind: string): number => Number(new RegExp(`^${kind}:(\\d+)$`, "m").exec(text)![1]);
  expect([said("LF"), said("BRF"), said("FNF")]).toEqual([count("DA"), count("BRDA"), count("FN")]);
  expect(said("LH")).toBe(only(coverage).lines.filter(({ hits }) => hits > 0).length);
});

test("lcov: wrong test names and wrong lines", () => {
  expect(() => toLcov([], "a b")).toThrow(InputError);
  expect(() => parseLcov("TN:\nSF:a.c\nDA:1,x\nend_of_record\n")).toThrow('lcov line 3: found "DA:1,x"');
});

test("a profile: exact counts, and time that adds up", () => {
  const profile = new Profile();
  const object = sampler();
  for (let i = 0; i < 10; i++) object.program("sampler").run({ data: ipv4, observe: profile });
  expect(profile.runs).toBe(10);
  const lines = profile.lines();
  const at = (text: string) => lines.find(({ line }) => line === lineOf(text))!;
  expect(at("bpf_map_lookup_elem(&packets").hits).toBe(10);
  expect(at("sample->kind = kind")).toMatchObject({ hits: 5, instructions: 5, helperNs: 0 });
  expect(at("bpf_ringbuf_submit").helperNs).toBeGreaterThan(0);
  expect(lines.every(({ ns, helperNs }) => ns >= helperNs && helperNs >= 0)).toBe(true);
  expect(lines.every((line, i) => i === 0 || lines[i - 1]!.ns >= line.ns)).toBe(true);
  const table = profileTable(profile, 3).split("\n");
  expect(table[0]).toMatch(/^10 runs, \d+ instructions, [\d.]+ (ns|us|ms)$/);
  expect(table).toHaveLength(6);
  expect(table.at(-1)).toMatch(/^\.\.\. and \d+ more lines$/);
});
