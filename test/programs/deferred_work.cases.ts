import { expect } from "vitest";
import type { HashMap, LoadedObject } from "../../src/index.ts";
import { frame, type ProgramCase } from "./cases.ts";

const XDP_PASS = 2;
const EINVAL = -22;
const EBUSY = -16;

/** The item has run, on whatever CPU. */
const isFinished = (object: LoadedObject): boolean => (object.map("finished") as HashMap<number, bigint>).count() > 0;

export const cases: readonly ProgramCase[] = [
  {
    name: "jobs are closed after the program has returned",
    program: "collect",
    kernel: "run",
    runs: [60, 100, 60, 60, 60, 100].map((size) => ({ data: frame(size) })),
    expect: {
      retval: XDP_PASS,
      after: ({ object, sleep }) => sleep(20, () => isFinished(object)),
      maps: { finished: [[60, 4n]] },
    },
  },
  {
    name: "an item goes with its element",
    program: "collect",
    // An item runs on another CPU there, perhaps before its job is removed.
    kernel: "load",
    runs: [1200, 1200, 1200, 1200].map((size) => ({ data: frame(size) })),
    expect: {
      retval: XDP_PASS,
      after: ({ sleep }) => sleep(20),
      maps: { jobs: [], finished: [] },
    },
  },
  {
    name: "items used wrongly",
    program: "misuse",
    kernel: "run",
    runs: [{ data: frame(60) }],
    expect: {
      retval: XDP_PASS,
      after: ({ object, sleep }) => {
        sleep(20, () => isFinished(object));
        expect((object.globals.get("results") as number[]).slice(0, 11)).toEqual([
          ...[EINVAL, EINVAL, EINVAL, 0, EBUSY, EINVAL, EINVAL, 0, EINVAL, 0, 0],
        ]);
      },
    },
    skip: { jobs: "an item that runs at once on another CPU can be started twice" },
  },
];
