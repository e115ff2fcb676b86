/**
 * Coverage as data, and as text in the format of lcov's tracefiles, which genhtml, editors and services read.
 * Format: geninfo(1) of lcov 1.16, "FILES".
 */
import { InputError } from "../../errors.ts";

export interface LineCoverage {
  /** From 1. */
  readonly line: number;
  /** 0: there is code of it, which never ran. */
  readonly hits: number;
}

export interface FunctionCoverage {
  readonly name: string;
  /** Where it begins. */
  readonly line: number;
  readonly hits: number;
}

/** One way that a conditional jump can go. */
export interface BranchCoverage {
  readonly line: number;
  /** Which of the line's conditional jumps, from 0, as they follow each other in the program. */
  readonly block: number;
  /** 0: goes on behind the jump; 1: jumps. */
  readonly branch: number;
  /** Undefined: the jump itself never ran. */
  readonly hits: number | undefined;
}

export interface FileCoverage {
  readonly file: string;
  /** Each ascending by line. */
  readonly functions: readonly FunctionCoverage[];
  readonly lines: readonly LineCoverage[];
  readonly branches: readonly BranchCoverage[];
}

interface Sums {
  readonly functions: Map<string, FunctionCoverage>;
  readonly lines: Map<number, number>;
  readonly branches: Map<string, BranchCoverage>;
}

/** Adds coverage up, whatever it comes from. */
export class CoverageSums {
  readonly #files: Map<string, Sums> = new Map();

  line(file: string, line: number, hits: number): void {
    const { lines } = this.#of(file);
    lines.set(line, (lines.get(line) ?? 0) + hits);
  }

  function(file: string, { name, line, hits }: FunctionCoverage): void {
    const { functions } = this.#of(file);
    functions.set(name, { name, line, hits: (functions.get(name)?.hits ?? 0) + hits });
  }

  branch(file: string, { line, block, branch, hits }: BranchCoverage): void {
    const { branches } = this.#of(file);
    const key = `${line} ${block} ${branch}`;
    const old = branches.get(key)?.hits;
    branches.set(key, { line, block, branch, hits: hits === undefined ? old : (old ?? 0) + hits });
  }

  add(files: readonly FileCoverage[]): void {
    for (const { file, functions, lines, branches } of files) {
      for (const each of functions) this.function(file, each);
      for (const { line, hits } of lines) this.line(file, line, hits);
      for (const each of branches) this.branch(file, each);
    }
  }

  /** By name. */
  files(): FileCoverage[] {
    const names = [...this.#files.keys()].sort();
    return names.map((file) => {
      const { functions, lines, branches } = this.#files.get(file)!;
      return {
        file,
        functions: [...functions.values()].sort((a, b) => a.line - b.line || (a.name < b.name ? -1 : 1)),
        lines: Array.from(lines, ([line, hits]) => ({ line, hits })).sort((a, b) => a.line - b.line),
        branches: [...branches.values()].sort((a, b) => a.line - b.line || a.block - b.block || a.branch - b.branch),
      };
    });
  }

  #of(file: string): Sums {
    let sums = this.#files.get(file);
    if (sums === undefined) {
      sums = { functions: new Map(), lines: new Map(), branches: new Map() };
      this.#files.set(file, sums);
    }
    return sums;
  }
}

/** `testName`: letters, digits and `_`, or nothing. */
export function toLcov(files: readonly FileCoverage[], testName = ""): string {
  if (/\W/.test(testName)) throw new InputError(`lcov: test name ${testName}: expected letters, digits and _`);
  return files.map((file) => record(file, testName)).join("");
}

function record({ file, functions, lines, branches }: FileCoverage, testName: string): string {
  const ran = (list: readonly { readonly hits: number | undefined }[]): number =>
    list.filter(({ hits }) => hits !== undefined && hits > 0).length;
  const out = [
    `TN:${testName}`,
    `SF:${file}`,
    ...functions.map(({ line, name }) => `FN:${line},${name}`),
    ...functions.map(({ hits, name }) => `FNDA:${hits},${name}`),
    `FNF:${functions.length}`,
    `FNH:${ran(functions)}`,
    ...branches.map(({ line, block, branch, hits }) => `BRDA:${line},${block},${branch},${hits ?? "-"}`),
    `BRF:${branches.length}`,
    `BRH:${ran(branches)}`,
    ...lines.map(({ line, hits }) => `DA:${line},${hits}`),
    `LF:${lines.length}`,
    `LH:${ran(lines)}`,
    "end_of_record",
  ];
  return `${out.join("\n")}\n`;
}

/** The first test name of a tracefile, and its coverage. Records of one file are added up. Others than ours are left out. */
export function parseLcov(text: string): { readonly testName: string; readonly files: FileCoverage[] } {
  const sums = new CoverageSums();
  const starts = new Map<string, number>();
  let testName: string | undefined;
  let file = "";
  for (const [number, each] of text.split("\n").entries()) {
    const [, kind = "", rest = ""] = /^([A-Z]+):(.*)$/.exec(each) ?? [];
    const numbers = rest.split(",").map((part) => (part === "-" ? undefined : Number(part)));
    const at = (i: number): number => {
      const value = numbers[i];
      if (value !== undefined && Number.isSafeInteger(value) && value >= 0) return value;
      throw new InputError(`lcov line ${number + 1}: found ${JSON.stringify(each)}, expected numbers`);
    };
    const name = rest.slice(rest.indexOf(",") + 1);
    if (kind === "TN") testName ??= rest;
    else if (kind === "SF") file = rest;
    else if (kind === "FN") starts.set(`${file} ${name}`, at(0));
    else if (kind === "FNDA") sums.function(file, { name, line: starts.get(`${file} ${name}`) ?? 0, hits: at(0) });
    else if (kind === "DA") sums.line(file, at(0), at(1));
    else if (kind === "BRDA") {
      const hits = numbers[3] === undefined ? undefined : at(3);
      sums.branch(file, { line: at(0), block: at(1), branch: at(2), hits });
    }
  }
  return { testName: testName ?? "", files: sums.files() };
}
