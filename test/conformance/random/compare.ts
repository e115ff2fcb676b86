/**
 * The same calls on two hosts: after each the result and every byte that it could see must be equal. Where they are
 * not, the sequence is made as short as it can be.
 */
import type { RandomOp } from "./op.ts";
import type { TypePlan } from "./plans.ts";
import { play } from "./play.ts";
import { differing } from "./show_answer.ts";
import type { Side } from "./side.ts";
import { COMMANDS, type Command, type Tally } from "./tally.ts";

/** Most runs of a sequence while it is shortened. */
const SHRINK_RUNS = 600;

/** Two hosts: the one that is judged, and the one that is right. */
export type Sides = readonly [Side, Side];

export interface Difference {
  /** Index of the call, or of the one that a walk came after. */
  readonly at: number;
  /** Whose answers differ. */
  readonly command: Command;
  /** One line a host. */
  readonly answers: readonly string[];
}

/** The first difference; undefined: there is none. */
export function compare(plan: TypePlan, sides: Sides, ops: readonly RandomOp[], tally?: Tally): Difference | undefined {
  const [one, other] = sides;
  let found: Difference | undefined;
  play(plan, sides, ops, (at, command) => {
    const same = one.equals(other);
    tally?.count(command, other.ret >= 0, same);
    if (!same) found = { at, command: COMMANDS[command]!, answers: differing(one, other) };
    return same;
  });
  return found;
}

/** The shortest sequence that shows a difference; `at`: where `ops` shows it. */
export function shrink(plan: TypePlan, sides: Sides, ops: readonly RandomOp[], at: number): readonly RandomOp[] {
  let kept = ops.slice(0, at + 1);
  let runs = 0;
  // Leaves out ever smaller pieces while a difference stays.
  for (let piece = Math.ceil(kept.length / 2); piece >= 1; piece = piece === 1 ? 0 : Math.ceil(piece / 2)) {
    for (let from = 0; from < kept.length && runs < SHRINK_RUNS; ) {
      const without = [...kept.slice(0, from), ...kept.slice(from + piece)];
      runs++;
      const shows = without.length === 0 ? undefined : compare(plan, sides, without);
      if (shows === undefined) from += piece;
      else kept = without.slice(0, shows.at + 1);
    }
  }
  return kept;
}
