import { expect } from "vitest";
import type { HashMap, StackTraceMap } from "../../src/index.ts";
import type { CaseScene, ProgramCase } from "./cases.ts";

interface Sample {
  readonly tgid: number;
  readonly kernel_stack: number;
  readonly user_stack: number;
}

const task = { pid: 8, tgid: 80, comm: "busy" };
const kernelStack = [1n, 2n, 3n].map((n) => 0xffff_ffff_8100_0000n + n);
const userStack = [0x40_1000n, 0x40_2000n];
const sample = { task, attachment: { kernelStack, userStack } };
const deep = { task, attachment: { kernelStack: Array.from({ length: 200 }, (_, i) => BigInt(i + 1)), userStack } };

const counted = ({ object }: CaseScene): [Sample, bigint][] => [...(object.map("counts") as HashMap<Sample, bigint>)];
const stack = ({ object }: CaseScene, id: number): bigint[] | undefined =>
  (object.map("stacks") as StackTraceMap).get(id)?.map(({ ip }) => ip);

export const cases: readonly ProgramCase[] = [
  {
    name: "samples of one place are counted together",
    program: "on_sample",
    kernel: "load",
    runs: [sample, sample, { task, attachment: { kernelStack, userStack: userStack.toReversed() } }],
    expect: {
      retval: 0,
      globals: { no_stack: 0n, collisions: 0n },
      after: (scene) => {
        const all = counted(scene).sort(([, a], [, b]) => Number(b - a));
        expect(all.map(([, n]) => n)).toEqual([2n, 1n]);
        const [[first], [second]] = all as [[Sample, bigint], [Sample, bigint]];
        expect(first.tgid).toBe(80);
        // The innermost function of the kernel's is passed over.
        expect(stack(scene, first.kernel_stack)).toEqual(kernelStack.slice(1));
        expect(stack(scene, first.user_stack)).toEqual(userStack);
        expect(stack(scene, second.user_stack)).toEqual(userStack.toReversed());
        expect(second.kernel_stack).toBe(first.kernel_stack);
      },
    },
  },
  {
    name: "what is too deep is cut off at the outer end; no stack is an errno",
    program: "on_sample",
    kernel: "load",
    runs: [deep, { task, attachment: { kernelStack: [1n], userStack: [] } }],
    expect: {
      retval: 0,
      globals: { no_stack: 2n, collisions: 0n },
      after: (scene) => {
        const all = counted(scene);
        const found = all.map(([{ kernel_stack, user_stack }]) => [kernel_stack, user_stack]);
        expect(found).toContainEqual([-14, -14]);
        const id = all.find(([{ kernel_stack }]) => kernel_stack >= 0)![0].kernel_stack;
        expect(stack(scene, id)).toEqual(deep.attachment.kernelStack.slice(1, 33));
      },
    },
  },
  {
    name: "only one process",
    program: "on_sample",
    kernel: "load",
    load: { globals: { only_tgid: 81 } },
    runs: [sample],
    expect: {
      retval: 0,
      maps: { counts: [] },
      after: ({ object }) => expect([...(object.map("stacks") as StackTraceMap)]).toEqual([]),
    },
  },
  ...[false, true].map(
    (keep_newest): ProgramCase => ({
      name: `200 stacks in 64 places: ${keep_newest ? "the newest stays" : "the first stays"}`,
      program: "on_sample",
      kernel: "load",
      load: { globals: { keep_newest } },
      runs: Array.from({ length: 200 }, (_, i) => ({
        task,
        attachment: { kernelStack: [0n, BigInt(i + 1)], userStack },
      })),
      expect: {
        retval: 0,
        after: (scene) => {
          const stacks = scene.object.map("stacks") as StackTraceMap;
          const held = [...stacks].map(([, frames]) => frames[0]!.ip);
          // Hashes spread: most places are taken.
          expect(held.length).toBeGreaterThan(50);
          const collisions = scene.object.globals.get("collisions");
          const no_stack = scene.object.globals.get("no_stack");
          if (keep_newest) expect(collisions).toBe(0n);
          else expect([collisions, no_stack]).toEqual([201n - BigInt(held.length), 0n]);
        },
      },
    }),
  ),
];
