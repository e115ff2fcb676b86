import { expect } from "vitest";
import { frame, type ProgramCase } from "./cases.ts";

const XDP_DROP = 1;
const XDP_PASS = 2;
const EDEADLK = -35;

/** A frame of so many bytes from station `source`. */
function from(source: number, size: number): { data: Uint8Array } {
  const packet = frame(size);
  packet.set([2, 0, 0, 0, 0, source], 6);
  return { data: packet };
}

export const cases: readonly ProgramCase[] = [
  {
    name: "who sends too much loses packets until time has passed",
    program: "limit",
    kernel: "run",
    runs: [from(1, 100), from(1, 100), from(1, 60), from(2, 150), from(2, 60), from(1, 60)],
    expect: {
      retval: [XDP_PASS, XDP_PASS, XDP_DROP, XDP_PASS, XDP_DROP, XDP_DROP],
      after: ({ object }) => {
        object.globals.set("now", 7n);
        const program = object.program("limit");
        expect([70, 60].map((size) => program.run(from(1, size)).retval)).toEqual([XDP_PASS, XDP_DROP]);
        object.globals.set("now", 1000n);
        expect([150, 60].map((size) => program.run(from(2, size)).retval)).toEqual([XDP_PASS, XDP_DROP]);
      },
    },
  },
  {
    name: "resilient locks",
    program: "nest",
    kernel: "run",
    runs: [{ data: frame(64) }],
    expect: { retval: XDP_PASS, globals: { second: 0, again: EDEADLK, irq: 0 } },
  },
];
