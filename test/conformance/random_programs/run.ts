/** Many random programs, on the kernel, as compiled code and on the interpreter. */
import { createEmbeddedHost, type EmbeddedHost } from "../../../src/host/embedded.ts";
import type { Host } from "../../../src/host/host.ts";
import type { Engine } from "../../../src/kern/compiled.ts";
import { EMBEDDED } from "../hosts.ts";
import { compareProgram, type EngineWorlds, runRefused, showProgram, shrinkProgram } from "./compare.ts";
import { generateProgram, insnsOf, type RandomProgram } from "./generate.ts";
import { World } from "./world.ts";
import type { Kind } from "./writer.ts";

/** Program types whose programs are generated. */
export const KINDS: readonly Kind[] = ["xdp", "sched_cls"];

/** What a program of the generator's can need, many times over: what the kernel has refused may go round for ever. */
const RUN_BUDGET = 20_000_000;
/** Classes of refusals that are told. */
const CLASSES = 20;

/** What came of a run. */
export interface ProgramTally {
  readonly seed: number;
  count: number;
  instructions: number;
  differences: number;
  /** Programs that the kernel refused, by the last line of its log with the numbers taken out. */
  readonly refused: Map<string, number>;
  /** Of those that the kernel took and that made no difference: that ran as compiled code. */
  compiled: number;
  /** And why the interpreter ran the others in its place, numbers taken out. */
  readonly fellBack: Map<string, number>;
}

export function refusedOf({ refused }: ProgramTally): number {
  return [...refused.values()].reduce((sum, n) => sum + n, 0);
}

/** That the kernel took. */
export function takenOf(tally: ProgramTally): number {
  return tally.count - refusedOf(tally);
}

/** Per cent of the programs that the kernel took. */
export function acceptedOf(tally: ProgramTally): number {
  return tally.count === 0 ? 0 : (100 * takenOf(tally)) / tally.count;
}

/** The worlds of one kind of programs. */
interface Worlds {
  readonly kernel: World;
  /** One is exclusive, the other shared, in turn: each engine sees both. */
  readonly embedded: readonly EngineWorlds[];
  /** For what the kernel refuses, which may leave anything in maps. */
  readonly scratch: EngineWorlds;
}

export class ProgramRunner {
  readonly tally: ProgramTally;
  readonly #shrink: boolean;
  readonly #hosts: readonly EmbeddedHost[];
  readonly #worlds: ReadonlyMap<Kind, Worlds>;

  /** `shrink`: differences are made short, which takes many runs. */
  constructor(kernel: Host, seed: number, shrink: boolean = true) {
    this.#shrink = shrink;
    this.tally = {
      seed,
      count: 0,
      instructions: 0,
      differences: 0,
      refused: new Map(),
      compiled: 0,
      fellBack: new Map(),
    };
    const options = { ...EMBEDDED, cpus: kernel.possibleCpus, runBudget: RUN_BUDGET };
    const hosts: EmbeddedHost[] = [];
    const open = (engine: Engine, shared: boolean): EmbeddedHost => {
      const host = createEmbeddedHost({ ...options, engine, shared });
      hosts.push(host);
      return host;
    };
    const pairOf = (jit: boolean, interp: boolean): Record<Engine, EmbeddedHost> => ({
      jit: open("jit", jit),
      interp: open("interp", interp),
    });
    const [embedded, scratch] = [[pairOf(false, true), pairOf(true, false)], pairOf(false, false)];
    this.#hosts = hosts;
    const worldsOf = (kind: Kind): Worlds => {
      const both = ({ jit, interp }: Record<Engine, EmbeddedHost>): EngineWorlds => ({
        jit: new World("compiled code", jit, kind),
        interp: new World("the interpreter", interp, kind),
      });
      return { kernel: new World("kernel", kernel, kind), embedded: embedded.map(both), scratch: both(scratch) };
    };
    this.#worlds = new Map(KINDS.map((kind) => [kind, worldsOf(kind)]));
  }

  /** Compares program `index` of the seed; text when there is a difference. */
  compare(index: number): string | undefined {
    const { tally } = this;
    const program = generateProgram(tally.seed, index, KINDS);
    const { kernel, embedded, scratch } = this.#worlds.get(program.kind)!;
    const worlds = embedded[index % embedded.length]!;
    const input = tally.seed * 0x1_0001 + index;
    tally.count++;
    tally.instructions += insnsOf(program).length;
    const verdict = compareProgram(program, worlds, kernel, input);
    if (verdict.kind === "different") {
      tally.differences++;
      return this.#tell(program, worlds, kernel, index, input, verdict.what);
    }
    if (verdict.kind === "refused") {
      const reason = reasonOf(kernel.log(program));
      tally.refused.set(reason, (tally.refused.get(reason) ?? 0) + 1);
      for (const world of [scratch.jit, scratch.interp]) runRefused(program, world, input);
    } else if (verdict.fellBack === undefined) {
      tally.compiled++;
    } else {
      const why = withoutNumbers(verdict.fellBack);
      tally.fellBack.set(why, (tally.fellBack.get(why) ?? 0) + 1);
    }
    return undefined;
  }

  #tell(
    program: RandomProgram,
    worlds: EngineWorlds,
    kernel: World,
    index: number,
    input: number,
    what: string,
  ): string {
    const short = this.#shrink ? shrinkProgram(program, worlds, kernel, input) : program;
    const again = compareProgram(short, worlds, kernel, input);
    return [
      `${program.kind} program ${index} of seed ${this.tally.seed}: ${what}`,
      `${insnsOf(short).length} instructions show it:`,
      showProgram(short),
      ...(again.kind === "different" ? [again.what] : ["not when it is run again"]),
      `again: npm run conformance -- --programs --seed ${this.tally.seed} --first ${index} --count 1`,
    ].join("\n");
  }

  dispose(): void {
    for (const { kernel, embedded, scratch } of this.#worlds.values()) {
      kernel.dispose();
      for (const { jit, interp } of [...embedded, scratch]) for (const world of [jit, interp]) world.dispose();
    }
    for (const host of this.#hosts) {
      const open = host.openFds();
      host.dispose();
      if (open.length > 0) throw new Error(`left open: ${open.join(", ")}`);
    }
  }
}

/** The last line of a verifier's log that is no statistics, without what differs from program to program. */
function reasonOf(log: string): string {
  const lines = log.trim().split("\n");
  const said = lines.filter((line) => !/^(processed|verification time|stack depth|insns_|max_states)/.test(line));
  return withoutNumbers(said.at(-1) ?? "no log");
}

function withoutNumbers(text: string): string {
  return text.replace(/-?0x[0-9a-f]+|-?\d+/g, "N").trim();
}

/** One line for the whole run, and one for each class of refusals. */
export function summary(tally: ProgramTally): string {
  const { seed, count, differences, instructions, refused, compiled, fellBack } = tally;
  const n = (value: number): string => value.toLocaleString("en");
  const reasons = (of: ReadonlyMap<string, number>): string[] =>
    [...of].sort((a, b) => b[1] - a[1]).map(([reason, times]) => `  ${n(times)} x ${reason}`);
  return [
    `random programs of seed ${seed}: ${n(count)}, ${acceptedOf(tally).toFixed(1)} % accepted by the kernel, ${n(differences)} differences`,
    `${(instructions / Math.max(1, count)).toFixed(0)} instructions each; refused: ${n(refusedOf(tally))}`,
    ...reasons(refused).slice(0, CLASSES),
    `${n(compiled)} of ${n(takenOf(tally))} compiled`,
    ...reasons(fellBack),
  ].join("\n");
}
