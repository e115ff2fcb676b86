import { expect } from "vitest";
import { frame, type ProgramCase } from "./cases.ts";

const runs = [{ data: frame(64) }];

/** Links 6 to 1 add their number on the way in, and flip its bits on the way out. */
function deep(value: number, link = 6): number {
  return link === 0 ? value * 3 : deep(value + link, link - 1) ^ link;
}

export const cases: readonly ProgramCase[] = [
  {
    name: "callbacks that call callbacks and functions",
    program: "callbacks",
    kernel: "run",
    before: ({ object }) => {
      const values = object.map("values");
      if (values.type !== "array") throw new Error(values.type);
      [10n, 20n, 30n, 40n].forEach((value, i) => {
        values.set(i, value);
      });
    },
    runs,
    expect: {
      retval: 12 * 2 + 1,
      globals: { tally: { visits: 12n, sum: 3n * (0n + 20n + 60n + 120n + 4n) } },
      after: ({ object }) => {
        const linked = (name: string): string[] =>
          object.spec.programs
            .find((program) => program.name === name)!
            .functions.map((fn) => fn.name)
            .sort();
        expect(linked("callbacks")).toEqual(["add_one", "callbacks", "one_round", "scaled"]);
        expect(linked("globals")).toEqual(["checked", "globals", "preference", "rarely", "trusting"]);
        expect(linked("deep")).toHaveLength(8);
        // Where faults and traces find the source line of an instruction, also in functions that were copied.
        for (const { lines, insns } of object.spec.programs) {
          expect(lines.every((line, i) => line.insn < insns.length && (lines[i - 1]?.insn ?? 0) <= line.insn)).toBe(
            true,
          );
        }
      },
    },
  },
  {
    name: "functions that are verified by themselves and those that are not",
    program: "globals",
    kernel: "run",
    runs,
    expect: { retval: 11 + 6 + 66, globals: { tally: { visits: 0n, sum: 64n } } },
  },
  { name: "eight frames", program: "deep", kernel: "run", runs, expect: { retval: deep(64) } },
];
