/**
 * Measuring side by side: rounds in which every side runs once, so that noise of the machine hits all alike. Time is CPU
 * time of the process, as PROG_TEST_RUN also counts only the time in which a program ran. Free of Node: pages measure too.
 */

/** What is compared with others. */
export interface Side {
  readonly name: string;
  /** With how many operations to begin, where 1,000 of them take long. */
  readonly few?: number;
  /** Does about `count` operations; returns nanoseconds for each of them. */
  time(count: number): number;
}

export interface Row {
  readonly name: string;
  /** Nanoseconds an operation: median of the rounds, and the middle half of them. */
  readonly median: number;
  readonly low: number;
  readonly high: number;
  /** Nanoseconds of each round. */
  readonly rounds: readonly number[];
}

export const ROUNDS = 9;
/** How long a side runs in a round, about. */
const SLICE_NS = 15_000_000;
/** A side that takes so long for the first time is not run again before the rounds. */
const LONG_MS = 300;
const FIRST_COUNT = 1_000;
const MAX_COUNT = 1_000_000;
/** So much more at once, at most: the clock of a page shows nothing of what is short. */
const MORE = 100;
let sink = 0;

function quantile(sorted: readonly number[], q: number): number {
  return sorted[Math.round(q * (sorted.length - 1))] ?? Number.NaN;
}

function sorted(numbers: readonly number[]): number[] {
  return numbers.toSorted((a, b) => a - b);
}

export function median(numbers: readonly number[]): number {
  return quantile(sorted(numbers), 0.5);
}

/** A side in this process. `run` returns something that depends on all it does, so that nothing can be left out. */
export function inProcess(name: string, run: (count: number) => number): Side {
  return { name, time: (count) => timeOf(name, count, run).ns / count };
}

/** A side that goes over all elements, as often as `count` elements take; `run` returns how many they were. */
export function overAll(name: string, run: () => number): Side {
  return {
    name,
    time: (count) => {
      const { ns, result } = timeOf(name, count, () => {
        let done = 0;
        while (done < count) done += run();
        return done;
      });
      return ns / result;
    },
  };
}

/** CPU time of this process while it runs; in a page, which has no such clock, the time that passes. */
export function cpuNs(run: () => void): number {
  if (typeof process === "undefined") {
    const start = performance.now();
    run();
    return (performance.now() - start) * 1e6;
  }
  const start = process.cpuUsage();
  run();
  const { user, system } = process.cpuUsage(start);
  return (user + system) * 1000;
}

function timeOf(name: string, count: number, run: (count: number) => number): { ns: number; result: number } {
  let result = 0;
  const ns = cpuNs(() => {
    result = run(count);
  });
  sink += result;
  if (Number.isNaN(sink)) throw new Error(`${name}: returned no number`);
  return { ns, result };
}

/** How many operations fill a slice. Asked until the answer holds, which warms the side up too. */
function countFor(side: Side): number {
  let count = side.few ?? FIRST_COUNT;
  for (let i = 0; i < 6; i++) {
    const start = performance.now();
    const fitting = Math.round(SLICE_NS / Math.max(1, side.time(count)));
    const fits = Math.min(MAX_COUNT, count * MORE, Math.max(1, fitting));
    // Over all elements of a large map: that warms up enough.
    if (performance.now() - start > LONG_MS) return fits;
    if (i >= 2 && fits < count * 2) return fits;
    count = fits;
  }
  return count;
}

export function measure(sides: readonly Side[], rounds: number = ROUNDS): Row[] {
  const counts = sides.map(countFor);
  const times = sides.map(() => [] as number[]);
  for (let round = 0; round < rounds; round++) {
    for (const [i, side] of sides.entries()) times[i]?.push(side.time(counts[i] ?? FIRST_COUNT));
  }
  return sides.map(({ name }, i) => {
    const own = times[i] ?? [];
    const order = sorted(own);
    return { name, median: quantile(order, 0.5), low: quantile(order, 0.25), high: quantile(order, 0.75), rounds: own };
  });
}

/** Median of the rounds' ratios: what a budget is judged on. */
export function ratio(row: Row, to: Row): number {
  return median(row.rounds.map((ns, round) => ns / (to.rounds[round] ?? Number.NaN)));
}

/** Half of the width of the middle half, as a part of the median: how far figures of this run can be trusted. */
export function noise(rows: readonly Row[]): number {
  return median(rows.map((r) => (r.high - r.low) / 2 / r.median));
}
