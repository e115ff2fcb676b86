/**
 * Many random programs, some thousand in a process of their own. A kernel whose verifier falls over takes the thread that
 * called it along, at times without an end of its process; what was told before stays, and the next process goes on
 * behind the program that did it.
 */
import type { ChildProcess } from "node:child_process";
import { writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import type { ProgramRunner } from "./run.ts";
import { addOutcome, emptyTally, fallText, type Outcome, type ProgramTally } from "./tally.ts";

/** Where a child tells, a line each: the number of a program before the kernel sees it, and what came of it. */
export const TELL_FD = 3;
/** Programs of one child. */
const SPAN = 5_000;
/** After so many differences the rest is left out. */
const MOST_DIFFERENCES = 5;
/** And after so many falls: each leaves the kernel less to be trusted. */
const MOST_FALLS = 2;

export interface Span {
  readonly first: number;
  readonly count: number;
}

export interface Children {
  /** A process that tells of these programs on `TELL_FD`. */
  readonly start: (span: Span) => ChildProcess;
  /** How often the kernel has fallen over since it was started. */
  readonly oopses: () => number;
  /** Milliseconds without a word after which a child is taken for dead. */
  readonly patience: number;
}

/** What a child does. `rest` is between two programs. */
export async function tellPrograms(
  runner: ProgramRunner,
  { first, count }: Span,
  rest: (index: number) => Promise<void>,
): Promise<void> {
  const tell = (what: number | Outcome): void => writeFileSync(TELL_FD, `${JSON.stringify(what)}\n`);
  for (let index = first; index < first + count; index++) {
    tell(index);
    tell(runner.compare(index));
    await rest(index);
  }
}

/** Runs the programs in one child after the other. What is wrong is printed as it comes. */
export async function compareInChildren(
  seed: number,
  { first, count }: Span,
  children: Children,
): Promise<ProgramTally> {
  const tally = emptyTally(seed);
  const end = first + count;
  const enough = (): boolean => tally.differences >= MOST_DIFFERENCES || tally.fallen.length >= MOST_FALLS;
  const add = (outcome: Outcome): void => {
    addOutcome(tally, outcome);
    if (outcome.kind === "different") console.log(`\n${outcome.what}\n`);
  };
  for (let next = first; next < end && !enough(); ) {
    const span = { first: next, count: Math.min(SPAN, end - next) };
    const before = children.oopses();
    let open: number | undefined;
    const failed = await follow(children.start(span), children.patience, (told) => {
      if (typeof told === "number") open = told;
      else {
        next++;
        open = undefined;
        add(told);
      }
      return !enough();
    });
    if (failed !== undefined && open === undefined) throw new Error(`programs from ${next} on: the process ${failed}`);
    if (failed !== undefined) {
      next++;
      if (children.oopses() > before) {
        tally.fallen.push(open!);
        console.log(fallText(seed, open!));
      } else {
        add({ kind: "different", instructions: 0, what: `program ${open} of seed ${seed}: the process ${failed}` });
      }
    }
    console.error(`${next - first} programs from ${first} on, ${tally.differences} differences`);
  }
  return tally;
}

/** Hears a child until it has told all, or `told` has had enough. Gives what became of it where that is neither. */
function follow(
  child: ChildProcess,
  patience: number,
  told: (what: number | Outcome) => boolean,
): Promise<string | undefined> {
  const pipe = child.stdio[TELL_FD] as Readable;
  return new Promise((resolve) => {
    let silence: NodeJS.Timeout;
    const finish = (failed: string | undefined): void => {
      clearTimeout(silence);
      resolve(failed);
    };
    // Nobody waits for its end: what is left of a process whose kernel fell over may have none.
    const abandon = (failed: string | undefined): void => {
      child.kill("SIGKILL");
      child.unref();
      pipe.destroy();
      finish(failed);
    };
    const wait = (): void => {
      clearTimeout(silence);
      silence = setTimeout(() => abandon(`was silent for ${patience / 1000} s`), patience);
    };
    wait();
    createInterface({ input: pipe }).on("line", (line) => {
      wait();
      if (!told(JSON.parse(line) as number | Outcome)) abandon(undefined);
    });
    child.on("error", (error) => finish(`did not start: ${error.message}`));
    child.on("close", (code, signal) => finish(code === 0 ? undefined : `ended with ${signal ?? code}`));
  });
}
