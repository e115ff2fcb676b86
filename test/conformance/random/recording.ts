/**
 * What Linux 6.18 answered to the sequences of one seed, as digests that stand in for the kernel where bpf(2) is not
 * permitted. Nothing here needs Node: a browser can replay as well.
 */
import { generate } from "./generate.ts";
import type { TypePlan } from "./plans.ts";
import { play } from "./play.ts";
import type { Side } from "./side.ts";

/** Calls of one sequence, which has maps of its own. */
export const CHUNK = 1000;
/** Calls that one digest stands for. */
const DIGESTED = 250;

export interface Recording {
  readonly release: string;
  readonly possibleCpus: number;
  readonly pageSize: number;
  readonly seed: number;
  /** Sequences of each type. */
  readonly chunks: number;
  /** By type, eight digits for each 250 calls, one after the other. */
  readonly digests: Readonly<Record<string, string>>;
}

/** The digests of some sequences' answers on a host. */
export function digestsOf(plan: TypePlan, side: Side, seed: number, from: number, chunks: number): string {
  let text = "";
  for (let chunk = from; chunk < from + chunks; chunk++) {
    let digest = 0;
    let part = 0;
    const flush = (): void => {
      text += (digest >>> 0).toString(16).padStart(8, "0");
      digest = 0;
    };
    play(plan, [side], generate(plan, seed, chunk, CHUNK), (at) => {
      if (Math.floor(at / DIGESTED) !== part) {
        flush();
        part++;
      }
      digest = side.digest(digest);
      return true;
    });
    flush();
  }
  return text;
}

/** Where two texts of digests differ first, as chunk and calls; undefined: they do not. `from`: the first chunk of both. */
export function differsAt(found: string, recorded: string, from = 0): string | undefined {
  for (let i = 0; i < found.length; i += 8) {
    if (found.slice(i, i + 8) === recorded.slice(i, i + 8)) continue;
    const parts = CHUNK / DIGESTED;
    const chunk = from + Math.floor(i / 8 / parts);
    const first = ((i / 8) % parts) * DIGESTED;
    return `chunk ${chunk}, calls ${first + 1} to ${first + DIGESTED}`;
  }
  return undefined;
}

/** What of a recording stands for some of its chunks. */
export function recordedDigests(recording: Recording, plan: TypePlan, from: number, chunks: number): string {
  const digits = (CHUNK / DIGESTED) * 8;
  return (recording.digests[plan.name] ?? "").slice(from * digits, (from + chunks) * digits);
}
