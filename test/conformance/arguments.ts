/** The command line of `npm run conformance`. */
import type { Engine } from "../../src/kern/compiled.ts";
import { planOf, plans, type TypePlan } from "./random/plans.ts";

export interface Arguments {
  /** Generated calls a type and seed. */
  readonly calls: number;
  readonly seeds: readonly number[];
  readonly plans: readonly TypePlan[];
  /** Only this one of the sequences. */
  readonly chunk: number | undefined;
  readonly shrink: boolean;
  readonly tables: boolean;
  readonly record: boolean;
  /** Random programs: in a whole run, or alone. */
  readonly programs: ProgramArguments | undefined;
  /** What a run starts for its random programs: they are told of to it, and nothing else is done. Not in `USAGE`. */
  readonly child: ProgramArguments | undefined;
  /** Programs that no verifier has seen, on both engines, and nothing else. */
  readonly unverified: ProgramArguments | undefined;
  /** Whether docs/conformance.md is written: a whole run, or asked for. */
  readonly write: boolean;
  /** The clone of bpf_conformance whose cases are run, and nothing else. */
  readonly suite: string | undefined;
  /** What runs its programs; undefined: one engine after the other. */
  readonly engine: Engine | undefined;
}

export interface ProgramArguments {
  readonly count: number;
  readonly seed: number;
  /** The number of the first one. */
  readonly first: number;
}

const CALLS = 200_000;
const PROGRAMS = 100_000;
const SEEDS = [1, 2, 3, 4, 5];

export const USAGE: string = `npm run conformance -- [options]

Compares the embedded host with this machine's kernel: all tables, then random sequences of calls for each map type,
then random programs.
Where bpf(2) is not permitted the recorded answers of Linux 6.18 stand in.

  --calls N        generated calls a type and seed (${CALLS.toLocaleString("en")})
  --seeds A,B,...  seeds (${SEEDS.join(",")})
  --type A,B,...   map types (all): ${plans.map((plan) => plan.name.toLowerCase()).join(" ")}
  --chunk N        of each seed only the sequence with this number
  --no-shrink      show a difference without making its sequence shorter
  --no-tables      random sequences only
  --programs       random programs only: on the kernel, as compiled code and on the interpreter. Where the kernel falls
                   over the program that did it is told, and left out
  --unverified     only this: random programs that no verifier has seen, as compiled code and on the interpreter, without
                   the kernel
  --count N        programs (${PROGRAMS.toLocaleString("en")})
  --seed N         their seed (1)
  --first N        the number of the first one (0)
  --record         write down what the kernel answers: test/conformance/recorded/*.json
  --write          write docs/conformance.md, which otherwise only a whole run does
  --bpf-conformance DIR
                   only this: the public suite bpf_conformance, of which DIR is a clone
                   (git clone https://github.com/Alan-Jowett/bpf_conformance DIR), through \`bpfmaps exec\`
  --engine ENGINE  what runs its programs: jit, which must compile all of them, or interp (both)

Exit code: 0 no difference, 1 differences, 2 wrong arguments.`;

function numberOf(option: string, text: string | undefined): number {
  const n = Number(text);
  if (text === undefined || !/^\d+$/.test(text) || n > 0xffff_ffff)
    throw new RangeError(`${option} ${text ?? ""}: expected a number from 0 to 4294967295`);
  return n;
}

function engineOf(text = ""): Engine {
  if (text === "jit" || text === "interp") return text;
  throw new RangeError(`--engine ${text}: expected jit or interp`);
}

/** Throws `RangeError` for what it does not understand. */
export function parseArguments(args: readonly string[]): Arguments {
  let calls = CALLS;
  let seeds: readonly number[] = SEEDS;
  let chosen: readonly TypePlan[] = plans;
  let chunk: number | undefined;
  let suite: string | undefined;
  let engine: Engine | undefined;
  const programs = { count: PROGRAMS, seed: 1, first: 0 };
  const flags = new Set<string>();
  let whole = true;
  for (let i = 0; i < args.length; i++) {
    const option = args[i]!;
    if (
      ["--no-shrink", "--no-tables", "--record", "--write", "--programs", "--child", "--unverified"].includes(option)
    ) {
      flags.add(option);
      continue;
    }
    const value = args[++i];
    whole = false;
    if (option === "--calls") calls = numberOf(option, value);
    else if (option === "--seeds") seeds = (value ?? "").split(",").map((text) => numberOf(option, text));
    else if (option === "--count") programs.count = numberOf(option, value);
    else if (option === "--seed") programs.seed = numberOf(option, value);
    else if (option === "--first") programs.first = numberOf(option, value);
    else if (option === "--chunk") chunk = numberOf(option, value);
    else if (option === "--bpf-conformance" && value !== undefined) suite = value;
    else if (option === "--engine") engine = engineOf(value);
    else if (option === "--type") {
      chosen = (value ?? "").split(",").map((name) => {
        const plan = planOf(name);
        if (plan === undefined)
          throw new RangeError(`--type ${name}: expected one of ${plans.map((p) => p.name.toLowerCase()).join(" ")}`);
        return plan;
      });
    } else throw new RangeError(`${option}: no such option`);
  }
  const only = flags.has("--programs");
  return {
    calls,
    seeds,
    plans: only ? [] : chosen,
    chunk,
    shrink: !flags.has("--no-shrink"),
    tables: !flags.has("--no-tables") && !only,
    record: flags.has("--record"),
    suite,
    engine,
    programs: only || whole ? programs : undefined,
    child: flags.has("--child") ? programs : undefined,
    unverified: flags.has("--unverified") ? programs : undefined,
    write: flags.has("--write") || (whole && !flags.has("--no-tables") && !only),
  };
}
