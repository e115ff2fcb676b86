/** What a run holds, in compiled code: `hold` and `letGo` of the newest entry. */
import type { Code } from "../wasm/code.ts";
import { type Expr32, type Local32, local32, type Operand32 } from "../wasm/expr.ts";
import {
  HELD_ADDRESS,
  HELD_BYTES,
  HELD_KIND,
  HELD_MAX,
  HELD_OBJECT,
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
  return typeof n === "number" ? entries.add(n * HELD_SIZE) : entries.add(n.mul(HELD_SIZE));
}

/** An entry behind `count` others, for which there is room. */
export function emitHold(
  code: Code,
  run: Local32,
  count: Local32,
  [kind, object, address, bytes]: readonly [Operand32, Operand32, Operand32, Operand32],
): void {
  const entry = local32(code, heldEntry(run, count));
  entry.store(HELD_KIND, kind);
  entry.store(HELD_OBJECT, object);
  entry.store(HELD_ADDRESS, address);
  entry.store(HELD_BYTES, bytes);
  run.store(RUN_HELD_COUNT, count.add(1));
}
