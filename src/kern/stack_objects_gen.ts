/** `stack_objects.ts` in compiled programs, where it is known that the address is a word of a frame that is open. */
import type { AttemptCall } from "../struct/gen.ts";
import { type Expr32, type Local32, local32, local64, when } from "../wasm/expr.ts";
import { RUN_FIRST_GENERATION, RUN_GENERATION, RUN_STACK_OBJECTS, RUN_STACK_TOP } from "./run_record.ts";
import {
  DYNPTR_MARK,
  KIND_SHIFT,
  O_PLACE,
  OBJECT_DYNPTR,
  OBJECT_STATE,
  STACK_OBJECT_SIZE,
  type StackObjectKind,
} from "./stack_objects.ts";

/** The entry of the place, with the first word that its mark has when an object of this kind is there. */
function placeAt(
  { code, run }: Place,
  address: Local32,
  kind: StackObjectKind,
  missing: () => void,
): { readonly entry: Local32; readonly mark: Expr32 } {
  const table = local32(code, run.load(RUN_STACK_OBJECTS));
  when(table.eqz(), missing);
  const place = local32(code, run.load(RUN_STACK_TOP).sub(address).shrU(3).sub(1));
  return { entry: local32(code, table.add(place.mul(STACK_OBJECT_SIZE))), mark: place.or(kind << KIND_SHIFT) };
}

/** Where an object that was set up is looked for. */
type Place = Pick<AttemptCall, "code" | "run">;

/** The entry of the object that the call is about, at `address`; `missing` leaves where there is none. */
export function emitObjectOf(call: AttemptCall, address: Local32, kind: StackObjectKind, missing: () => void): Local32 {
  const { object } = call;
  if (object === undefined) return emitStackObject(call, address, kind, missing);
  when(object.eqz(), missing);
  return object;
}

/** `stackObject`: the entry of the object at `address`; `missing` leaves where there is none. */
export function emitStackObject(call: Place, address: Local32, kind: StackObjectKind, missing: () => void): Local32 {
  const { code, run } = call;
  const { entry, mark } = placeAt(call, address, kind, missing);
  const shown = local64(code, address.load64());
  const generation = local32(code, shown.shrU(32).wrap());
  const isOther = shown
    .wrap()
    .xor(mark)
    .or(shown.ne(entry.load64(O_PLACE)));
  when(isOther.or(generation.ltU(run.load(RUN_FIRST_GENERATION))), missing);
  if (kind === OBJECT_DYNPTR) when(address.load(DYNPTR_MARK).ne(generation), missing);
  return entry;
}

/** `putStackObject` for an object of 8 bytes, where the run has set up one before. `judge` may leave as `missing` does. */
export function emitPutStackObject(
  call: AttemptCall,
  address: Local32,
  kind: StackObjectKind,
  missing: () => void,
  judge: (entry: Local32) => void,
): Local32 {
  const { code, run } = call;
  const { entry, mark } = placeAt(call, address, kind, missing);
  judge(entry);
  const generation = local32(code, run.load(RUN_GENERATION).add(1));
  run.store(RUN_GENERATION, generation);
  const shown = local64(code, generation.extendU().shl(32).or(mark.extendU()));
  entry.store64(O_PLACE, shown);
  address.store64(0, shown);
  for (let at = OBJECT_STATE; at < STACK_OBJECT_SIZE; at += 8) entry.store64(at, 0);
  return entry;
}

export function emitTakeStackObject(entry: Local32): void {
  entry.store(O_PLACE, 0);
}
