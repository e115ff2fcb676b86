import { expect } from "vitest";
import { EmbeddedBpfHost } from "../../src/index.ts";
import type { ProgramCase } from "./cases.ts";

const ENOENT = -2;
const EACCES = -13;
const EINVAL = -22;
const ENOSPC = -28;
/** Harness hosts have the machine's two CPUs or more; the answers about all CPUs are compared, not spelt out. */
const memory =
  "streams of this kernel may be out of memory at all times: it does not allocate where CMPXCHG16B is missing";

function chatter(longer: number, lines: number): ProgramCase {
  return {
    name: `a stream is full after ${lines} lines`,
    program: "chatter",
    kernel: "load",
    why: memory,
    load: { programs: ["chatter"] },
    runs: [{ ctx: Uint8Array.of(longer, 0, 0, 0) }],
    expect: {
      retval: (ENOSPC * 10000 - lines - 1) >>> 0,
      after: ({ object }) => {
        const text = object.program("chatter").stdout();
        expect(text.length).toBe(lines * (longer ? 801 : 101));
        expect(new Set(text.split("\n").slice(0, -1))).toEqual(new Set(["0".repeat(longer ? 800 : 100)]));
      },
    },
  };
}

export const cases: readonly ProgramCase[] = [
  {
    name: "sets of CPUs",
    program: "masks",
    kernel: "run",
    runs: [{}, {}],
    expect: {
      retval: 0,
      after: ({ object, host }) => {
        const answers = (object.globals.get("answers") as readonly bigint[]).map(Number);
        // None: first, first that is not in it, empty, full, how many, the bits; any.
        expect(answers.slice(1, 6)).toEqual([0, 1, 0, 0, 0]);
        // CPU 1 alone.
        expect(answers.slice(7, 21)).toEqual([1, 0, 0, answers[10], 1, 2, 1, 1, 0, 0, 1, 0, 1, 0]);
        expect(answers.at(47)).toBe(EACCES);
        if (host instanceof EmbeddedBpfHost) expect(answers[0]).toBe(host.possibleCpus);
      },
    },
  },
  {
    name: "how many elements maps have",
    program: "count",
    kernel: "run",
    expect: { retval: 0, globals: { counts: [4n, 4n, 4n, 0n] } },
  },
  { name: "memory under another type, and none", program: "cast", kernel: "run", expect: { retval: 1 } },
  {
    name: "what a stream refuses",
    program: "stammer",
    kernel: "run",
    expect: {
      retval: 0,
      globals: { printed: [ENOENT, ENOENT, EINVAL, EINVAL, EINVAL, EINVAL] },
      after: ({ object }) => expect(object.program("stammer").stdout()).toBe(""),
    },
  },
  {
    name: "text on both streams",
    program: "say",
    kernel: "load",
    why: memory,
    runs: [{}, {}],
    expect: {
      retval: 0,
      after: ({ object }) => {
        const say = object.program("say");
        expect([say.stdout(), say.stderr()]).toEqual(["plain\nplain\n", "-5 and word and 1234567890\n".repeat(2)]);
        expect([say.stdout(), say.stderr()]).toEqual(["", ""]);
      },
    },
  },
  chatter(0, 990),
  chatter(1, 124),
];
