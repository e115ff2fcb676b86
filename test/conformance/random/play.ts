/** Makes the calls of a sequence on one host, or on several in step, with walks through the keys in between. */
import { SLOTS } from "./generate.ts";
import { LAST, NULL, type RandomOp } from "./op.ts";
import type { TypePlan } from "./plans.ts";
import type { Side } from "./side.ts";
import { commandOf, WALK } from "./tally.ts";
import { WALK_FD, World } from "./world.ts";

/** After so many calls the keys and values of one map are walked through; at the end of a sequence those of all. */
const WALK_EVERY = 64;
/** Most elements of a walk. */
const WALK_MOST = 400;

/** Told after each call, when its answers are in the sides; false ends the sequence. `at`: the call, or what was before the walk. */
export type After = (at: number, command: number) => boolean;

export function play(plan: TypePlan, sides: readonly Side[], ops: readonly RandomOp[], after: After): void {
  const worlds = sides.map((side) => new World(side, plan));
  try {
    for (let at = 0; at < ops.length; at++) {
      const op = ops[at]!;
      for (const world of worlds) world.run(op);
      if (!after(at, commandOf(op))) return;
      if ((at + 1) % WALK_EVERY === 0 && !walk(worlds, ((at + 1) / WALK_EVERY) % SLOTS, at, after)) return;
    }
    for (let slot = 0; slot < SLOTS; slot++) if (!walk(worlds, slot, ops.length - 1, after)) return;
  } finally {
    for (const world of worlds) world.end();
  }
}

const next = { op: "element", command: "next", fd: WALK_FD, value: 0, flags: 0 } as const;
const lookup = { op: "element", command: "lookup", fd: WALK_FD, key: LAST, value: 0, flags: 0 } as const;

function walk(worlds: readonly World[], slot: number, at: number, after: After): boolean {
  const first = worlds[0]!;
  if (!first.hasKeys(slot)) return true;
  for (const world of worlds) world.beginWalk(slot);
  let going = after(at, WALK);
  for (let n = 0, key = NULL; going && n < WALK_MOST; n++, key = LAST) {
    for (const world of worlds) world.run({ ...next, slot, key });
    going = after(at, WALK);
    if (first.side.ret !== 0) break;
    if (!going) break;
    for (const world of worlds) world.run({ ...lookup, slot });
    going = after(at, WALK);
  }
  for (const world of worlds) world.endWalk(slot);
  return going;
}
