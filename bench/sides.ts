/** The sides of one comparison from user space: `Map`, embedded maps, the kernel's from C and through koffi. */
import type { CLoops, Operation } from "./c_loop.ts";
import type { JsMap } from "./js_map.ts";
import type { KeySet } from "./keys.ts";
import type { Side } from "./measure.ts";
import type { RawMap } from "./raw_map.ts";
import type { TypedMap } from "./typed_map.ts";

function rawSide(map: RawMap, operation: Operation, keys: KeySet): Side {
  switch (operation) {
    case "lookup":
      return map.lookup(keys);
    case "update":
      return map.update(keys);
    case "delete+insert":
      return map.deleteAndInsert(keys);
    case "iterate":
      return map.iterate();
    case "batch lookup":
      return map.batchLookup();
    case "batch update":
      return map.batchUpdate(keys);
    default:
      return map.batchDeleteAndInsert(keys);
  }
}

/** These have no batches: one element after the other is their way to go over all. */
function plainSide(map: JsMap | TypedMap, operation: Operation, keys: KeySet): Side {
  switch (operation) {
    case "lookup":
      return map.lookup(keys);
    case "iterate":
    case "batch lookup":
      return map.iterate();
    case "update":
    case "batch update":
      return map.update(keys);
    default:
      return map.deleteAndInsert(keys);
  }
}

export interface Maps {
  readonly js: readonly JsMap[];
  readonly raw: readonly RawMap[];
  readonly typed?: TypedMap | undefined;
  readonly kernel: RawMap | undefined;
  readonly typedKernel?: TypedMap | undefined;
  readonly c: CLoops | undefined;
}

export function sidesOf(maps: Maps, operation: Operation, keys: KeySet): Side[] {
  const { js, raw, typed, kernel, typedKernel, c } = maps;
  return [
    ...js.map((m) => plainSide(m, operation, keys)),
    ...raw.map((m) => rawSide(m, operation, keys)),
    typed && plainSide(typed, operation, keys),
    kernel && c?.side(operation, kernel, keys),
    kernel && rawSide(kernel, operation, keys),
    typedKernel && plainSide(typedKernel, operation, keys),
  ].filter((s) => s !== undefined);
}
