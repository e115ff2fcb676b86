/** What a run holds, in compiled code: `hold` and `letGo` of the newest entry. */
import type { Code } from "../wasm/code.ts";
import { blockValue, type Expr32, type Local32, local32, loop, type Operand32, pair, when } from "../wasm/expr.ts";
import {
  HELD_ADDRESS,
  HELD_KIND,
  HELD_MAX,
  HELD_OBJECT,
  HELD_REFERENCE,
  HELD_SIZE,
  RUN_HELD,
  RUN_HELD_COUNT,
  RUN_HELD_ROOM,
} from "./run_record.ts";

/** Whether there is no room for one entry more, or there are too many. */
export function heldIsFull(run: Local32, count: Local32): Expr32 {
  return count.geU(run.load(RUN_HELD_ROOM)).or(count.geU(HELD_MAX));
}

/** Address of the n-th entry. */
export function heldEntry(run: Local32, n: Operand32): Expr32 {
  const entries = run.load(RUN_HELD);
  return entries.add(typeof n === "number" ? n * HELD_SIZE : n.mul(HELD_SIZE));
}

/** `findHeld`. */
export function emitFindHeld(code: Code, run: Local32, kind: number, address: Operand32): Expr32 {
  return searchHeld(code, run, (entry) => entry.load(HELD_KIND).xor(kind).or(entry.load(HELD_ADDRESS).xor(address)));
}

/** `holdsReference`. */
export function emitHoldsReference(code: Code, run: Local32, object: Local32): Expr32 {
  return searchHeld(code, run, (entry) =>
    entry.load(HELD_KIND).xor(HELD_REFERENCE).or(entry.load(HELD_OBJECT).xor(object)),
  );
}

/** The newest entry that does not differ, or 0. */
function searchHeld(code: Code, run: Local32, differs: (entry: Local32) => Expr32): Expr32 {
  return blockValue(code, (end) => {
    const first = local32(code, heldEntry(run, 0));
    const entry = local32(code, heldEntry(run, run.load(RUN_HELD_COUNT)));
    loop(code, (again) => {
      when(entry.eq(first), () => end(0));
      entry.set(entry.sub(HELD_SIZE));
      again.when(differs(entry));
    });
    return entry;
  });
}

/** `letGo` of the newest entry. */
export function emitLetGo(run: Local32): void {
  run.store(RUN_HELD_COUNT, run.load(RUN_HELD_COUNT).sub(1));
}

/** An entry behind `count` others, for which there is room. Two words go by one store: who takes a lock waits for all. */
export function emitHold(
  code: Code,
  run: Local32,
  count: Local32,
  [kind, object, address, bytes]: readonly [Operand32, Operand32, Operand32, Operand32],
): void {
  const entry = local32(code, heldEntry(run, count));
  entry.store64(HELD_KIND, pair(code, kind, object));
  entry.store64(HELD_ADDRESS, pair(code, address, bytes));
  run.store(RUN_HELD_COUNT, count.add(1));
}
