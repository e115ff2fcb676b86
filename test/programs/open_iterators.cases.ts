import { frame, type ProgramCase } from "./cases.ts";

const XDP_PASS = 2;
const INT_MAX = 2 ** 31 - 1;
const INT_MIN = -(2 ** 31);
const EINVAL = -22;
const E2BIG = -7;

function range(from: number, to: number, turns: bigint, sum: bigint, error = 0): ProgramCase {
  return {
    name: `numbers from ${from} to ${to}`,
    program: "range",
    kernel: "run",
    load: { globals: { from, to } },
    runs: [{ data: frame(64) }],
    expect: { retval: XDP_PASS, globals: { turns, sum, error } },
  };
}

function bits(name: string, mask: readonly bigint[], words: number, found: readonly number[], error = 0): ProgramCase {
  return {
    name: `bits: ${name}`,
    program: "cpus",
    kernel: "run",
    load: { globals: { mask: [...mask, ...new Array<bigint>(8 - mask.length).fill(0n)], words } },
    runs: [{ data: frame(64) }],
    expect: {
      retval: XDP_PASS,
      globals: {
        error,
        turns: BigInt(found.length),
        found: [...found, ...new Array<number>(24).fill(0)].slice(0, 24),
      },
    },
  };
}

export const cases: readonly ProgramCase[] = [
  range(0, 5, 5n, 10n),
  range(-3, 3, 6n, -3n),
  range(7, 7, 0n, 0n),
  range(7, 6, 0n, 0n, EINVAL),
  range(INT_MAX - 2, INT_MAX, 2n, BigInt(INT_MAX) * 2n - 3n),
  range(INT_MIN, INT_MIN + 2, 2n, BigInt(INT_MIN) * 2n + 1n),
  range(INT_MIN, INT_MAX, 0n, 0n, E2BIG),
  range(0, 8 * 1024 * 1024 + 1, 0n, 0n, E2BIG),
  range(-1, 8 * 1024 * 1024, 0n, 0n, E2BIG),
  {
    name: "a loop inside a loop, left early",
    program: "multiply",
    kernel: "run",
    runs: [{ data: frame(64) }],
    expect: {
      retval: XDP_PASS,
      globals: {
        table: Array.from({ length: 10 }, (_, r) => Array.from({ length: 10 }, (_, c) => (c <= r ? r * c : 0))),
      },
    },
  },
  bits("one word", [0b1010_0001n], 1, [0, 5, 7]),
  bits("over several words", [1n << 63n, 0n, 3n, 1n], 4, [63, 128, 129, 192]),
  bits("words that are not asked for", [1n, 1n], 1, [0]),
  bits("all words", new Array<bigint>(8).fill(1n), 8, [0, 64, 128, 192, 256, 320, 384, 448]),
  bits("none", [0n], 8, []),
  bits("no words", [1n], 0, [], EINVAL),
  bits("too many words", [1n], 512, [], E2BIG),
  {
    name: "bits: of a word that changes, and of none",
    program: "one_word",
    kernel: "run",
    runs: [{ data: frame(64) }],
    expect: { retval: XDP_PASS, globals: { turns: 3n, error: -14 } },
  },
];
