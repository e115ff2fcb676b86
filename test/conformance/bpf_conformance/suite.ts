/**
 * The public suite bpf_conformance (https://github.com/Alan-Jowett/bpf_conformance), from a directory that the caller has
 * put it in, through `bpfmaps exec`. Nothing of it is in this repository.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { BpfError } from "../../../src/api/index.ts";
import { execCommand } from "../../../src/cli/exec.ts";
import { InputError } from "../../../src/errors.ts";
import { decodeInsns, encodeInsns, type Insn, insnTable, variantOf } from "../../../src/insn/index.ts";
import type { Engine } from "../../../src/kern/compiled.ts";
import { assembleText } from "./assembly.ts";

export interface SuiteCase {
  readonly insns: readonly Insn[];
  /** As `bpfmaps exec` takes it. */
  readonly memory: string;
  /** What r0 must be; undefined: the program must be refused. */
  readonly result: bigint | undefined;
}

export interface SuiteResult {
  readonly passed: readonly string[];
  /** Names, each with what is wrong. */
  readonly failed: readonly (readonly [string, string])[];
  /** Cases with instructions that RFC 9669 does not have. */
  readonly outside: readonly string[];
}

/** A `.data` file: sections that begin with `-- name`. */
export function parseCase(text: string): SuiteCase {
  const sections = new Map<string, string>();
  let name = "";
  for (const line of text.split(/\r?\n/)) {
    const header = /^--\s*(.*?)\s*$/.exec(line)?.[1];
    if (header !== undefined) name = header;
    else sections.set(name, `${sections.get(name) ?? ""}${line.replace(/#.*/, "")}\n`);
  }
  const words = (section: string): string[] => (sections.get(section) ?? "").trim().split(/\s+/).filter(Boolean);
  const [result] = words("result");
  if (result === undefined && !sections.has("error")) throw new InputError("found neither result nor error");
  const asm = sections.get("asm");
  return {
    insns: asm === undefined ? decodeInsns(bytesOf(words("raw"))) : assembleText(asm),
    memory: words("mem").join(" "),
    result: result === undefined ? undefined : BigInt(result),
  };
}

/** Instructions as bytes in hex, or as 64-bit numbers. */
function bytesOf(words: readonly string[]): Uint8Array {
  if (words.every((word) => /^[0-9a-f]{2}$/i.test(word)))
    return Uint8Array.from(words, (word) => Number.parseInt(word, 16));
  return new Uint8Array(BigUint64Array.from(words, (word) => BigInt(word)).buffer);
}

function isOfRfc(insn: Insn): boolean {
  const row = insnTable[insn.opcode];
  // The second half of a 64-bit immediate has no row.
  if (row === undefined) return insn.opcode === 0;
  return (variantOf(row, insn)?.group ?? row.group) !== "linux";
}

/** What is wrong with what a case gives; undefined: nothing. With `jit` the case must run as compiled code. */
export async function runSuiteCase(
  { insns, memory, result }: SuiteCase,
  engine: Engine = "jit",
): Promise<string | undefined> {
  const program = Buffer.from(encodeInsns(insns)).toString("hex");
  try {
    const { printed, told } = await exec([...(memory === "" ? [] : [memory]), "--engine", engine], program);
    if (told !== "") return told;
    const found = BigInt(`0x${printed}`);
    if (result === undefined) return `ran and gave 0x${found.toString(16)}, expected that it is refused`;
    const wanted = BigInt.asUintN(64, result);
    return found === wanted ? undefined : `gave 0x${found.toString(16)}, expected 0x${wanted.toString(16)}`;
  } catch (error) {
    if (!(error instanceof BpfError)) throw error;
    return result === undefined && error.code === "EINVAL" ? undefined : error.message;
  }
}

/** What `bpfmaps exec` prints. */
async function exec(args: readonly string[], program: string): Promise<{ printed: string; told: string }> {
  const lines: string[] = [];
  const errors: string[] = [];
  await execCommand(
    args,
    () => program,
    (line) => lines.push(line),
    (line) => errors.push(line),
  );
  return { printed: lines.join(""), told: errors.join("; ") };
}

/** All cases of the suite's `tests`, and of `negative` those about fields that must be 0. */
export async function runSuite(directory: string, engine: Engine): Promise<SuiteResult> {
  const passed: string[] = [];
  const failed: [string, string][] = [];
  const outside: string[] = [];
  for (const file of filesOf(directory)) {
    const one = parseCase(readFileSync(join(directory, file), "utf8"));
    const rfc = one.result === undefined || one.insns.every(isOfRfc);
    const problem = rfc ? await runSuiteCase(one, engine) : undefined;
    if (!rfc) outside.push(file);
    else if (problem === undefined) passed.push(file);
    else failed.push([file, problem]);
  }
  return { passed, failed, outside };
}

function filesOf(directory: string): string[] {
  if (!existsSync(join(directory, "tests"))) {
    throw new InputError(`${directory}: there is no folder \`tests\` in it: expected a clone of bpf_conformance`);
  }
  const all = (folder: string): string[] =>
    existsSync(join(directory, folder))
      ? readdirSync(join(directory, folder))
          .filter((name) => name.endsWith(".data"))
          .sort()
          .map((name) => `${folder}/${name}`)
      : [];
  return [...all("tests"), ...all("negative").filter((name) => name.startsWith("negative/unused-"))];
}
