/** Many random programs, on the kernel, as compiled code and on the interpreter. */
import { createEmbeddedHost, type EmbeddedHost } from "../../../src/host/embedded.ts";
import type { Host } from "../../../src/host/host.ts";
import type { Engine } from "../../../src/kern/compiled.ts";
import { EMBEDDED } from "../hosts.ts";
import { compareProgram, type EngineWorlds, runRefused, showProgram, shrinkProgram } from "./compare.ts";
import { generateProgram, insnsOf, type RandomProgram } from "./generate.ts";
import type { Outcome } from "./tally.ts";
import { World } from "./world.ts";
import type { Kind } from "./writer.ts";

/** Program types whose programs are generated. */
export const KINDS: readonly Kind[] = ["xdp", "sched_cls"];

/** What a program of the generator's can need, many times over: what the kernel has refused may go round for ever. */
const RUN_BUDGET = 20_000_000;
/** The worlds of one kind of programs. */
interface Worlds {
  readonly kernel: World;
  /** One is exclusive, the other shared, in turn: each engine sees both. */
  readonly embedded: readonly EngineWorlds[];
  /** For what the kernel refuses, which may leave anything in maps. */
  readonly scratch: EngineWorlds;
}

export class ProgramRunner {
  readonly #seed: number;
  readonly #shrink: boolean;
  readonly #hosts: readonly EmbeddedHost[];
  readonly #worlds: ReadonlyMap<Kind, Worlds>;

  /** `shrink`: differences are made short, which takes many runs. */
  constructor(kernel: Host, seed: number, shrink: boolean = true) {
    this.#shrink = shrink;
    this.#seed = seed;
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

  /** Compares program `index` of the seed. */
  compare(index: number): Outcome {
    const program = generateProgram(this.#seed, index, KINDS);
    const { kernel, embedded, scratch } = this.#worlds.get(program.kind)!;
    const worlds = embedded[index % embedded.length]!;
    const input = this.#seed * 0x1_0001 + index;
    const instructions = insnsOf(program).length;
    const verdict = compareProgram(program, worlds, kernel, input);
    if (verdict.kind === "different")
      return { kind: "different", instructions, what: this.#tell(program, worlds, kernel, index, input, verdict.what) };
    if (verdict.kind === "refused") {
      const why = reasonOf(kernel.log(program));
      for (const world of [scratch.jit, scratch.interp]) runRefused(program, world, input);
      return { kind: "refused", instructions, why };
    }
    if (verdict.fellBack === undefined) return { kind: "compiled", instructions };
    return { kind: "interpreted", instructions, why: verdict.fellBack };
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
      `${program.kind} program ${index} of seed ${this.#seed}: ${what}`,
      `${insnsOf(short).length} instructions show it:`,
      showProgram(short),
      ...(again.kind === "different" ? [again.what] : ["not when it is run again"]),
      `again: npm run conformance -- --programs --seed ${this.#seed} --first ${index} --count 1`,
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

/** The last line of a verifier's log that is no statistics. */
function reasonOf(log: string): string {
  const lines = log.trim().split("\n");
  const said = lines.filter((line) => !/^(processed|verification time|stack depth|insns_|max_states)/.test(line));
  return said.at(-1) ?? "no log";
}
