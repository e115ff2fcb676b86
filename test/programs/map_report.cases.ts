import { expect } from "vitest";
import { type CaseScene, frame, type ProgramCase } from "./cases.ts";

const XDP_PASS = 2;
const ELEMENTS = 12;
const SUM = 12n + 10n * 66n;

interface Report {
  readonly returned: bigint;
  readonly sum: bigint;
  readonly calls: number;
  readonly keys: readonly number[];
}

function report({ object }: CaseScene, name: string): Report {
  return object.globals.get(`${name}_report`) as Report;
}

const ascending = (a: number, b: number): number => a - b;
const every = Array.from({ length: ELEMENTS }, (_, i) => i);

export const cases: readonly ProgramCase[] = [
  {
    name: "walks over maps of all types",
    program: "walk",
    kernel: "run",
    runs: [{ data: frame(64) }],
    expect: {
      retval: XDP_PASS,
      globals: { bad_flags: -22n },
      // The order in which elements come is compared with the kernel's.
      after: (scene) => {
        for (const name of ["hash", "lru", "percpu", "lru_percpu", "array", "percpu_array"]) {
          const { returned, sum, calls, keys } = report(scene, name);
          expect({ name, returned, sum, calls }).toEqual({ name, returned: 12n, sum: SUM, calls: 12 });
          expect(keys.slice(0, calls).sort(ascending)).toEqual(every);
        }
        expect(report(scene, "lazy")).toMatchObject({ returned: 4n, sum: 1n + 11n + 21n + 31n });
        expect(report(scene, "early")).toMatchObject({ returned: 3n, calls: 3 });
        expect(report(scene, "early_array")).toMatchObject({ returned: 1n, calls: 1, sum: 1n });
      },
    },
  },
  {
    name: "elements that the function replaces and removes, walks in walks",
    program: "change",
    kernel: "run",
    runs: [{ data: frame(64) }],
    expect: {
      retval: XDP_PASS,
      maps: { flows: [] },
      after: (scene) => {
        expect(report(scene, "nested")).toMatchObject({ returned: 12n, calls: 144, sum: SUM * 12n });
        expect(report(scene, "delete")).toMatchObject({ returned: 12n, calls: 12, sum: SUM });
        expect(report(scene, "rest")).toMatchObject({ returned: 0n, calls: 0 });
      },
    },
  },
  {
    name: "loops",
    program: "loop",
    kernel: "run",
    runs: [{ data: frame(64) }],
    expect: {
      retval: XDP_PASS,
      globals: {
        loops: 1000,
        sum_of_turns: 499_500,
        in_inner: 190,
        loop_returned: 1000n,
        early_returned: 5n,
        none_returned: 0n,
        refused: -22n,
        // Compiled into the program, the answer is a number of 32 bits.
        too_many: 0xffff_fff9n,
        at_most: 5n,
      },
    },
  },
];
