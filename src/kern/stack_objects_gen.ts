/** `stackObject` for objects of 8 bytes on the stack, in compiled code. */
import type { AttemptCall } from "../struct/gen.ts";
import { type Local32, local32, when } from "../wasm/expr.ts";
import { RUN_DEPTH, RUN_STACK_OBJECTS, RUN_STACK_TOP, STACK_FRAME, STACK_OBJECT_SIZE } from "./run_record.ts";
import { O_GENERATION, O_KIND, PLACE_SHIFT, type StackObjectKind } from "./stack_objects.ts";

/** The entry of the object at `address`; `missing` leaves where there is none. */
export function emitStackObject(
  { code, run }: AttemptCall,
  address: Local32,
  high: Local32,
  kind: StackObjectKind,
  missing: () => void,
): Local32 {
  const table = local32(code, run.load(RUN_STACK_OBJECTS));
  const below = local32(code, run.load(RUN_STACK_TOP).sub(address));
  const open = run.load(RUN_DEPTH).add(1).mul(STACK_FRAME);
  when(high.or(table.eqz()).or(below.and(7)).or(below.sub(8).geU(open)), missing);
  const place = local32(code, below.shrU(3).sub(1));
  const entry = local32(code, table.add(place.mul(STACK_OBJECT_SIZE)));
  const isUnmarked = address.load().xor(place.or(kind << PLACE_SHIFT));
  const isOld = address.load(4).xor(entry.load(O_GENERATION));
  when(entry.load(O_KIND).xor(kind).or(isUnmarked).or(isOld), missing);
  return entry;
}
