/**
 * `element_locks.ts` in compiled programs, for locks whose field is known: what is rare is left to the functions there.
 * A lock lies in a word that holds its owner, so one that its thread's death leaves behind is found by that.
 */
import { emitLock, emitUnlock } from "../struct/emit.ts";
import { emitElementLock } from "../struct/fields.ts";
import { type AttemptCall, UNDONE, type ValuePlace } from "../struct/gen.ts";
import { MAP_FIELDS, mapField } from "../struct/map.ts";
import { blockValue, type Expr32, type Local32, local32, when } from "../wasm/expr.ts";
import { emitHold, heldEntry, heldIsFull } from "./held_gen.ts";
import { HELD_ADDRESS, HELD_KIND, HELD_LOCK, HELD_OBJECT, RUN_HELD_COUNT } from "./run_record.ts";

/** The word of the lock in the value in which the field lies at this place. */
function wordOf({ mem }: AttemptCall, field: Local32, { map, offset }: ValuePlace): Expr32 {
  return emitElementLock(mem, mapField(mem, map, MAP_FIELDS), field.sub(offset));
}

/** Where nobody holds the word no other lock of this run can have it. */
export function emitTakeElementLock(call: AttemptCall, place: ValuePlace): Expr32 {
  const { code, mem, run, args } = call;
  const field = args[0]!;
  return blockValue(code, (end) => {
    const count = local32(code, run.load(RUN_HELD_COUNT));
    when(heldIsFull(run, count), () => end(UNDONE));
    const word = local32(code, wordOf(call, field, place));
    if (mem.shared) {
      emitLock(mem, word, () => end(UNDONE));
    } else {
      when(word.load(), () => end(UNDONE));
      word.store(0, mem.owner);
    }
    emitHold(code, run, count, [HELD_LOCK, word, field, 0]);
    return 0;
  });
}

/** The lock that the run took last, and nothing else since. If others have its word, theirs are the newer entries. */
export function emitDropElementLock({ code, mem, run, args }: AttemptCall): Expr32 {
  const field = args[0]!;
  return blockValue(code, (end) => {
    const count = local32(code, run.load(RUN_HELD_COUNT));
    when(count.eqz(), () => end(UNDONE));
    count.set(count.sub(1));
    const entry = local32(code, heldEntry(run, count));
    const word = local32(code, entry.load(HELD_OBJECT));
    const differs = entry.load(HELD_KIND).xor(HELD_LOCK).or(entry.load(HELD_ADDRESS).xor(field));
    when(differs.or(word.eqz()), () => end(UNDONE));
    run.store(RUN_HELD_COUNT, count);
    if (mem.shared) emitUnlock(mem, word);
    else word.store(0, 0);
    return 0;
  });
}
