import { existsSync, readFileSync } from "node:fs";
import { expect } from "vitest";
import { type Btf, parseBtf } from "../../src/btf/index.ts";
import type { ArrayMap } from "../../src/index.ts";
import { frame, type ProgramCase } from "./cases.ts";

const VMLINUX = "/sys/kernel/btf/vmlinux";
const XDP_PASS = 2;
const FACTS = 48;

/** What the program's own types say: the layout that stands in the source. */
const own: Readonly<Record<number, bigint>> = {
  ...[8n, 24n, 16n, 29n, 8n, 1n, 56n, 16n], // pid, comm, mm, tasks
  ...{ 8: 40n, 9: 4n, 10: 62n, 11: 63n, 12: 0n }, // in_execve: bit 1 of the word at 40
  ...{ 13: 51n, 14: 52n, 15: 61n, 16: 61n, 17: 36n, 18: 4n }, // cb[47], pkt_type, insnsi[3].imm, len
  ...{ 19: 72n, 20: 1n, 21: 1n, 22: 4n, 23: 1n, 24: 1n, 26: 1n, 27: 77n, 28: 1n, 29: 1n },
  ...{ 30: 0n, 31: 2n, 32: 0n, 33: 78n },
};

const programs = ["fields", "types", "guarded"];
const skip = { facts: "compared below: one number is the id of a type" };

const ownCases = programs.map(
  (program, i): ProgramCase => ({
    name: `${program}: relocated against the object's own types`,
    program,
    kernel: "run",
    load: { programs: [program], targetBtf: "self" },
    runs: [{ data: frame(64) }],
    expect: {
      retval: XDP_PASS,
      after: ({ object }) => {
        const facts = [...(object.map("facts") as ArrayMap<bigint>).values()];
        const [from, to] = [
          [0, 19],
          [19, 30],
          [30, FACTS],
        ][i] as [number, number];
        for (let fact = from; fact < to; fact++) {
          if (fact !== 25) expect(facts[fact], `fact ${fact}`).toBe(own[fact] ?? 0n);
        }
      },
    },
    skip,
  }),
);

const kernelTypes = existsSync(VMLINUX) ? parseBtf(readFileSync(VMLINUX)) : undefined;

/** Against this machine's kernel: every number must be what its own memory is like, so both hosts find the same. */
const kernelCases = (targetBtf: Btf): ProgramCase[] =>
  programs.map((program) => ({
    name: `${program}: relocated against the running kernel's types`,
    program,
    kernel: "run",
    load: { programs: [program], targetBtf },
    runs: [{ data: frame(64) }],
    expect: { retval: XDP_PASS },
  }));

export const cases: readonly ProgramCase[] =
  kernelTypes === undefined ? ownCases : [...ownCases, ...kernelCases(kernelTypes)];
