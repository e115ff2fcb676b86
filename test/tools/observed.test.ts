/** Every test program does the same when it is watched, and what is seen of it fits together. */
import { expect, test } from "vitest";
import { Coverage, type ObservedRun, Profile, Trace, type TraceStep } from "../../src/index.ts";
import { casesOf, createHostOf, play, programNames, readProgram } from "../programs/harness.ts";

/** Steps of one case that are traced: the rest of a long run only counts. */
const TRACED = 1000;
/** Cases of one program. */
const CASES = 2;

/** Sees that runs begin and end, and that each instruction begins where the one before it said. */
class Order {
  readonly #open: string[] = [];
  wrong: string[] = [];
  runs = 0;

  begin(run: ObservedRun): void {
    this.runs++;
    this.#open.push(`${run.program.id} ${run.index}`);
  }

  before(run: ObservedRun): void {
    const here = `${run.program.id} ${run.index}`;
    if (this.#open.at(-1) !== here) this.wrong.push(`${here} after ${this.#open.at(-1)}`);
  }

  after(run: ObservedRun): void {
    this.#open[this.#open.length - 1] = `${run.nextProgram.id} ${run.nextIndex}`;
  }

  end(run: ObservedRun): void {
    if (run.state === "running") this.wrong.push("a run ended that goes on");
    this.#open.pop();
  }

  get open(): number {
    return this.#open.length;
  }
}

test.each(programNames)("%s", async (name) => {
  const bytes = readProgram(name);
  for (const [i, each] of (await casesOf(name)).slice(0, CASES).entries()) {
    const host = createHostOf(each, { cpus: 2, shared: i % 2 === 1 });
    const order = new Order();
    const coverage = new Coverage();
    const profile = new Profile();
    const steps: TraceStep[] = [];
    const trace = new Trace((step) => steps.push(step));
    for (const observer of [order, coverage, profile]) host.observe(observer);
    const traced = host.observe({
      begin: (run) => trace.begin(run),
      before: (run) => trace.before(run),
      after: (run) => {
        if (steps.length < TRACED) trace.after(run);
      },
      end: () => trace.end(),
    });
    try {
      play(host, name, bytes, each);
      traced.stop();
      expect([order.wrong, order.open]).toEqual([[], 0]);
      const executed = profile.lines().reduce((sum, line) => sum + line.instructions, 0);
      expect(executed).toBeGreaterThanOrEqual(steps.length);
      expect(profile.runs).toBe(order.runs);
      const odd = steps.filter(
        ({ source, text, function: of }) => text.includes("<unknown") || of === "" || source?.line === 0,
      );
      expect(odd).toEqual([]);
      const ran = coverage
        .files()
        .flatMap(({ lines }) => lines)
        .filter(({ hits }) => hits > 0);
      expect(ran.length > 0).toBe(steps.some(({ source }) => source !== undefined));
    } finally {
      host.close();
    }
  }
});
