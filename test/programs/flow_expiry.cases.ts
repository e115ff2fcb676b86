import { expect } from "vitest";
import { frame, type ProgramCase } from "./cases.ts";

const XDP_PASS = 2;

/** An Ethernet frame with an IPv4 header from 10.0.0.`source` to 10.0.0.1. */
function packet(source: number): Uint8Array {
  const bytes = frame(60);
  bytes.set([0x08, 0x00, 0x45], 12);
  bytes.set([10, 0, 0, source, 10, 0, 0, 1], 26);
  return bytes;
}

const key = (source: number): unknown => ({ source: 0x0a + (source << 24), destination: 0x0100000a });
const EINVAL = -22;
const EBUSY = -16;
const EDEADLK = -35;

export const cases: readonly ProgramCase[] = [
  {
    name: "flows end when no packet came for a while",
    program: "track",
    kernel: "run",
    load: { programs: ["track"] },
    runs: [packet(1), packet(2), packet(1), packet(3), packet(1)].map((data) => ({ data })),
    expect: {
      retval: XDP_PASS,
      after: ({ object, sleep }) => {
        expect(object.globals.get("started")).toBe(3);
        sleep(160, () => object.globals.get("empty_rounds") === 3);
        expect(object.globals.get("empty_rounds")).toBe(3);
        // Three flows, seen twice at least, before they end.
        expect(object.globals.get("flows_seen")).toBeGreaterThanOrEqual(3);
      },
      maps: {
        flows: [],
        ended: [
          [key(1), { packets: 3n, bytes: 180n }],
          [key(2), { packets: 1n, bytes: 60n }],
          [key(3), { packets: 1n, bytes: 60n }],
        ],
      },
    },
    skip: { surveys: "how many rounds there are depends on time", flows_seen: "the same" },
  },
  {
    name: "timer helpers called wrongly",
    program: "misuse",
    kernel: "run",
    load: { programs: ["misuse"] },
    runs: [{ data: frame(64) }],
    expect: {
      retval: XDP_PASS,
      after: ({ object, sleep }) => {
        sleep(5);
        const results = object.globals.get("results") as number[];
        expect(results.slice(0, 10)).toEqual([EINVAL, EINVAL, EINVAL, EINVAL, EINVAL, EINVAL, 0, EBUSY, EINVAL, 0]);
        expect(results.slice(10, 18)).toEqual([0, EINVAL, 0, 0, 1, EINVAL, 0, EINVAL]);
        expect(object.globals.get("fired")).toBe(0);
      },
    },
  },
  {
    name: "the order in which timers expire, and what ends them before",
    program: "many",
    kernel: "run",
    load: { programs: ["many"] },
    runs: [{ data: frame(64) }],
    expect: {
      retval: XDP_PASS,
      after: ({ object, sleep }) => {
        sleep(40, () => object.globals.get("fired") === 4);
        expect(object.globals.get("fired")).toBe(4);
        expect((object.globals.get("order") as number[]).slice(0, 4)).toEqual([4, 2, 3, 1]);
        expect((object.globals.get("in_callback") as number[]).slice(0, 6)).toEqual([EDEADLK, 0, 0, EINVAL, EINVAL, 6]);
      },
    },
  },
];
