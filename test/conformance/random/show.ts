/** Calls and answers of a random sequence in words, for a difference that was found. */
import * as u from "../../../src/uapi/index.ts";
import type { Sides } from "./compare.ts";
import { BAD, BAD_HIGH, LAST, NULL, type RandomOp } from "./op.ts";
import type { TypePlan } from "./plans.ts";
import { play } from "./play.ts";
import { differing, result } from "./show_answer.ts";
import { COMMANDS } from "./tally.ts";

const places: Readonly<Record<number, string>> = {
  [NULL]: "NULL",
  [BAD]: "bad address",
  [BAD_HIGH]: "bad high address",
  [LAST]: "last next_key",
};

/** One call: its name, then everything that is given. */
export function showOp(op: RandomOp): string {
  const facts = Object.entries(op).flatMap(([name, value]) => {
    if (name === "op" || name === "command" || name === "call") return [];
    if ((name === "key" || name === "value") && typeof value === "number") return [`${name}=${places[value] ?? value}`];
    if (name === "attr") return [showAttr(value as Readonly<Record<string, unknown>>)];
    return [`${name}=${JSON.stringify(value)}`];
  });
  const what = op.op === "element" || op.op === "batch" ? `${op.op === "batch" ? "batch " : ""}${op.command}` : op.op;
  return [op.op === "run" ? `run ${op.call}` : what, ...facts].join(" ");
}

function showAttr(attr: Readonly<Record<string, unknown>>): string {
  const parts = Object.entries(attr).map(([name, value]) => {
    if (name === "map_type") return String(u.bpfMapTypeNames[Number(value)]);
    if (name === "map_flags") return `map_flags=0x${Number(value).toString(16)}`;
    return `${name}=${typeof value === "number" ? value : JSON.stringify(value)}`;
  });
  return `{ ${parts.join(", ")} }`;
}

/** What two hosts gave to a short sequence, and what differs in the last answer. */
export function showDifference(plan: TypePlan, sides: Sides, ops: readonly RandomOp[]): string {
  const [one, other] = sides;
  const lines: string[] = [];
  let same = true;
  play(plan, sides, ops, (at, command) => {
    const walk = COMMANDS[command] === "walk";
    const call = walk ? `  (walk after call ${at + 1})` : `${String(at + 1).padStart(3)} ${showOp(ops[at]!)}`;
    same = one.equals(other);
    if (!walk || !same) lines.push(`${call} -> ${result(other)}`);
    if (!same) lines.push(...differing(one, other));
    return same;
  });
  if (same) lines.push("    (this time there was no difference)");
  return lines.join("\n");
}
