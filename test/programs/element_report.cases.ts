import { expect } from "vitest";
import type { CaseScene, ProgramCase } from "./cases.ts";

const why = "iterators are read through links, which this library does not make on the kernel";

function fill({ object }: CaseScene): void {
  const counts = object.map("counts") as unknown as { set(key: number, value: bigint): void };
  for (const [key, value] of [
    [7, 5n],
    [70000, 0x1_0000_0000n],
  ] as const)
    counts.set(key, value);
}

function lines({ object }: CaseScene): string[] {
  const { output } = object.program("report").iterate(object.map("counts"));
  const all = new TextDecoder().decode(output).split("\n");
  // In no order, but for the last one.
  return [...all.slice(0, -2).sort(), ...all.slice(-2)];
}

export const cases: readonly ProgramCase[] = [
  {
    name: "every element once, then the end; values are changed in place",
    program: "report",
    kernel: "load",
    why,
    before: fill,
    runs: [],
    expect: {
      after: (scene) => {
        expect(lines(scene)).toEqual(["    7 5       |", "70000 4294967296|", "2 elements, 4294967301 in all", ""]);
        expect(scene.object.globals.get("total")).toBe(4294967301n);
      },
      maps: {
        counts: [
          [7, 5n],
          [70000, 0n],
        ],
      },
    },
  },
  {
    name: "a map without elements has an end all the same",
    program: "report",
    kernel: "load",
    why,
    runs: [],
    expect: { after: (scene) => expect(lines(scene)).toEqual(["0 elements, 0 in all", ""]) },
  },
];
