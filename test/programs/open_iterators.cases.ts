import { frame, type ProgramCase } from "./cases.ts";

const XDP_PASS = 2;
const INT_MAX = 2 ** 31 - 1;
const INT_MIN = -(2 ** 31);
const EINVAL = -22;
const E2BIG = -7;

interface Range {
  readonly from: number;
  readonly to: number;
  readonly sum: bigint;
  readonly turns: bigint;
  readonly error: number;
}

function range(from: number, to: number, turns: bigint, sum: bigint, error = 0): Range {
  return { from, to, sum, turns, error };
}

interface Mask {
  readonly words: readonly bigint[];
  readonly count: number;
  readonly error: number;
  readonly turns: number;
  readonly found: readonly number[];
}

function bits(words: readonly bigint[], count: number, found: readonly number[], error = 0): Mask {
  const filled = Array.from({ length: 8 }, (_, i) => words[i] ?? 0n);
  return {
    words: filled,
    count,
    error,
    turns: found.length,
    found: Array.from({ length: 9 }, (_, i) => found[i] ?? 0),
  };
}

const ranges: readonly Range[] = [
  range(0, 5, 5n, 10n),
  range(-3, 3, 6n, -3n),
  range(7, 7, 0n, 0n),
  range(7, 6, 0n, 0n, EINVAL),
  range(INT_MAX - 2, INT_MAX, 2n, BigInt(INT_MAX) * 2n - 3n),
  range(INT_MIN, INT_MIN + 2, 2n, BigInt(INT_MIN) * 2n + 1n),
  range(INT_MIN, INT_MAX, 0n, 0n, E2BIG),
  range(0, 8 * 1024 * 1024 + 1, 0n, 0n, E2BIG),
  range(-1, 8 * 1024 * 1024, 0n, 0n, E2BIG),
];

const masks: readonly Mask[] = [
  bits([0b1010_0001n], 1, [0, 5, 7]),
  bits([1n << 63n, 0n, 3n, 1n], 4, [63, 128, 129, 192]),
  // Words that are not asked for.
  bits([1n, 1n], 1, [0]),
  bits(new Array<bigint>(8).fill(1n), 8, [0, 64, 128, 192, 256, 320, 384, 448]),
  bits([0n], 8, []),
  bits([1n], 0, [], EINVAL),
  bits([1n], 512, [], E2BIG),
];

export const cases: readonly ProgramCase[] = [
  {
    name: "sums of ranges",
    program: "sums",
    kernel: "run",
    load: { globals: { ranges: ranges.map(({ from, to }) => ({ from, to, sum: 0n, turns: 0n, error: 1 })) } },
    runs: [{ data: frame(64) }],
    expect: { retval: XDP_PASS, globals: { ranges } },
  },
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
  {
    name: "bits of masks",
    program: "cpus",
    kernel: "run",
    load: {
      globals: { masks: masks.map((mask) => ({ ...mask, turns: 0, error: 1, found: new Array<number>(9).fill(0) })) },
    },
    runs: [{ data: frame(64) }],
    expect: { retval: XDP_PASS, globals: { masks } },
  },
  {
    name: "bits: of a word that changes, and of none",
    program: "one_word",
    kernel: "run",
    runs: [{ data: frame(64) }],
    expect: { retval: XDP_PASS, globals: { turns: 3n, error: -14 } },
  },
];
