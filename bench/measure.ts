/** Measuring side by side: rounds in which every side runs once, so that noise of the machine hits all alike. */
import { cpus, loadavg } from "node:os";

export interface Side {
  readonly name: string;
  /** Runs `count` operations and returns something that depends on them, so that none can be left out. */
  readonly run: (count: number) => number;
}

export interface Row {
  readonly name: string;
  /** Nanoseconds an operation: median of the rounds, and the middle half of them. */
  readonly median: number;
  readonly low: number;
  readonly high: number;
  /** Median of the rounds' ratios to the first side. */
  readonly ratio: number;
}

const ROUNDS = 9;
let sink = 0;

function quantile(sorted: readonly number[], q: number): number {
  return sorted[Math.round(q * (sorted.length - 1))] ?? Number.NaN;
}

function timeOf(side: Side, count: number): number {
  const start = process.hrtime.bigint();
  sink += side.run(count);
  return Number(process.hrtime.bigint() - start) / count;
}

/** The first side is the baseline that ratios are taken to. */
export function measure(sides: readonly Side[], count: number, rounds: number = ROUNDS): Row[] {
  for (const side of sides) timeOf(side, count);
  const times = sides.map(() => [] as number[]);
  for (let round = 0; round < rounds; round++) {
    for (const [i, side] of sides.entries()) times[i]?.push(timeOf(side, count));
  }
  if (Number.isNaN(sink)) throw new Error("a side returned no number");
  return sides.map(({ name }, i) => {
    const own = times[i] ?? [];
    const sorted = own.toSorted((a, b) => a - b);
    const ratios = own.map((t, r) => t / (times[0]?.[r] ?? Number.NaN)).toSorted((a, b) => a - b);
    return {
      name,
      median: quantile(sorted, 0.5),
      low: quantile(sorted, 0.25),
      high: quantile(sorted, 0.75),
      ratio: quantile(ratios, 0.5),
    };
  });
}

export function printRows(title: string, rows: readonly Row[]): void {
  console.log(`\n${title}`);
  const width = Math.max(...rows.map((r) => r.name.length));
  for (const { name, median, low, high, ratio } of rows) {
    const spread = `${low.toFixed(1)}..${high.toFixed(1)}`;
    console.log(
      `  ${name.padEnd(width)}  ${median.toFixed(1).padStart(8)} ns  ${spread.padStart(16)}  x${ratio.toFixed(2)}`,
    );
  }
}

/** Machine, Node and load: what figures are worth depends on them. */
export function printMachine(): void {
  const [load] = loadavg();
  console.log(
    `${cpus()[0]?.model ?? "unknown CPU"}, ${cpus().length} CPUs, Node ${process.version}, load ${load?.toFixed(2)}`,
  );
  console.log(
    "ns per operation: median, middle half, ratio to the first line. Other load moves all of them: read ratios.",
  );
}

/** The same key sequence for every side: a full-period generator from one seed. */
export function keySequence(count: number, below: number): Uint32Array {
  let state = 12345;
  return Uint32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return below === 2 ** 32 ? state : state % below;
  });
}
