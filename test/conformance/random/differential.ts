/**
 * The same random calls in several sessions: every answer and, after each batch, the keys in their order must be equal.
 * Where they are not, the sequence is made as short as it can be.
 */
import { createHash } from "node:crypto";
import type { NamedSession } from "../hosts.ts";
import { type RandomOp, World } from "./ops.ts";

export const BATCH = 50;
/** Most runs of a sequence while it is shortened. */
const SHRINK_RUNS = 400;

/** Answers of one session, the keys after each batch among them. */
export function answersOf(named: NamedSession, ops: readonly RandomOp[]): string[] {
  const world = new World(named.session);
  const answers: string[] = [];
  for (const [i, op] of ops.entries()) {
    let answer = world.run(op);
    if (i % BATCH === BATCH - 1 || i === ops.length - 1) answer += ` keys ${world.keys()}`;
    answers.push(answer);
  }
  world.end();
  return answers;
}

/** Index of the first answer that differs, or -1. */
export function differAt(a: readonly string[], b: readonly string[]): number {
  return a.length < b.length ? differAt(b, a) : a.findIndex((answer, i) => answer !== b[i]);
}

/** Undefined, or the difference with the shortest sequence that shows it. */
export function compareSessions(one: NamedSession, other: NamedSession, ops: readonly RandomOp[]): string | undefined {
  const at = differAt(answersOf(one, ops), answersOf(other, ops));
  if (at < 0) return undefined;
  const short = shrink(ops.slice(0, at + 1), (some) => differAt(answersOf(one, some), answersOf(other, some)) >= 0);
  const answers = [answersOf(one, short), answersOf(other, short)] as const;
  const last = differAt(...answers);
  const lines = short.slice(0, last + 1).map((op, i) => `${JSON.stringify(op)} -> ${answers[1][i]}`);
  return [
    `after ${short.length} calls (of ${at + 1}):`,
    ...lines,
    `${one.name}: ${answers[0][last]}`,
    `${other.name}: ${answers[1][last]}`,
  ].join("\n");
}

/** Leaves out ever smaller pieces while the difference stays. */
export function shrink(ops: readonly RandomOp[], differs: (ops: readonly RandomOp[]) => boolean): readonly RandomOp[] {
  let kept = ops;
  let runs = 0;
  for (let piece = Math.ceil(kept.length / 2); piece >= 1; piece = piece === 1 ? 0 : Math.ceil(piece / 2)) {
    for (let from = 0; from < kept.length && runs < SHRINK_RUNS; ) {
      const without = [...kept.slice(0, from), ...kept.slice(from + piece)];
      runs++;
      if (without.length > 0 && differs(without)) kept = without;
      else from += piece;
    }
  }
  return kept;
}

/** A few digits for each batch of answers: what is recorded of the kernel. */
export function digests(answers: readonly string[]): string[] {
  const batches = Math.ceil(answers.length / BATCH);
  return Array.from({ length: batches }, (_, i) => {
    const text = answers.slice(i * BATCH, (i + 1) * BATCH).join("\n");
    return createHash("sha256").update(text).digest("hex").slice(0, 8);
  });
}
