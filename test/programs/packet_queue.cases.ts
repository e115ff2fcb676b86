import { expect } from "vitest";
import { type CaseScene, frame, type ProgramCase } from "./cases.ts";

const EINVAL = -22;
const PACKETS = 40;
/** Repeatable, with some that are equal. */
const deadlines = Array.from({ length: 64 }, (_, i) => BigInt((i * 37) % 29));
const inOrder = Array.from({ length: PACKETS }, (_, i) => i).sort((a, b) => Number(deadlines[a]! - deadlines[b]!));

function dequeue({ object }: CaseScene, times: number): number[] {
  const program = object.program("dequeue");
  return Array.from({ length: times }, () => program.run({ data: frame(64) }).retval);
}

const skip = { ".data.queue": "the kernel shows addresses of its own in an empty list" };
const enqueue = Array.from({ length: PACKETS }, (_, i) => ({ data: frame(60 + i) }));

export const cases: readonly ProgramCase[] = [
  {
    name: "packets leave in the order of their deadlines",
    program: "enqueue",
    kernel: "run",
    load: { globals: { wanted: deadlines } },
    runs: enqueue,
    expect: {
      retval: 0,
      after: (scene) => {
        expect(dequeue(scene, PACKETS + 1)).toEqual([...Array.from({ length: PACKETS }, () => 0), 1]);
        expect((scene.object.globals.get("sent") as number[]).slice(0, PACKETS)).toEqual(inOrder);
        expect(scene.object.globals.get("dropped")).toBe(PACKETS * 60 + (PACKETS * (PACKETS - 1)) / 2);
      },
    },
    skip,
  },
  {
    name: "the tree has the kernel's shape while packets come and go",
    program: "enqueue",
    kernel: "run",
    load: { globals: { wanted: deadlines } },
    runs: enqueue,
    expect: {
      // Paths through the tree stay in the variables, which are compared with the kernel's; packets stay in the queue.
      after: (scene) => {
        const shape = scene.object.program("shape");
        const seen = new Set<string>();
        for (let i = 0; i < PACKETS - 4; i += 3) {
          dequeue(scene, 3);
          expect(shape.run({ data: frame(64) }).retval).toBe(0);
          const left = scene.object.globals.get("left_path") as number[];
          // The leftmost one is next.
          expect(left.filter((n) => n >= 0).at(-1)).toBe(inOrder[i + 3]);
          seen.add(left.join());
        }
        expect(seen.size).toBeGreaterThan(5);
      },
    },
    skip,
  },
  ...[16, 23].map(
    (gone): ProgramCase => ({
      name: `the shape after ${gone} packets have left`,
      program: "enqueue",
      kernel: "run",
      load: { globals: { wanted: deadlines } },
      runs: enqueue,
      expect: {
        after: (scene) => {
          dequeue(scene, gone);
          scene.object.program("shape").run({ data: frame(64) });
        },
      },
      skip,
    }),
  ),
  {
    name: "a node can be in one list and one tree",
    program: "misuse",
    kernel: "run",
    runs: [{ data: frame(64) }],
    expect: { retval: 0, globals: { results: [0, EINVAL, 0, 7, 3, 0, EINVAL, 7] } },
    skip,
  },
];
