/**
 * Lookups of maps in outer maps, in compiled programs. A map that the run holds already is found without a lock: nobody
 * can take that reference from it. The first time the helper takes it.
 */
import { BPF_FUNC_map_lookup_elem } from "../uapi/index.ts";
import { choose, type Expr32, type Local32, local32 } from "../wasm/expr.ts";
import type { MapEnv } from "./env.ts";
import type { GenCall, MapGen } from "./gen.ts";
import { findThen } from "./hash_gen.ts";
import { emitHash } from "./hash_gen_key.ts";
import { NODE_VALUE } from "./hashtab.ts";
import { MAP_MAX_ENTRIES, mapField } from "./map.ts";
import { SLOT_SIZE, SLOTS } from "./slots.ts";

function heldOrHelper(call: GenCall, at: Expr32): Expr32 {
  const inner = local32(call.code, at);
  return choose(
    inner,
    () =>
      choose(
        call.holds(inner),
        () => inner,
        () => call.helper,
      ),
    () => 0,
  );
}

const ofArray: MapGen = {
  inline: true,
  emit: (call) => {
    const { code, mem, map, args } = call;
    const index = local32(code, (args[0] as Local32).load());
    return choose(
      index.ltU(mapField(mem, map, MAP_MAX_ENTRIES)),
      () =>
        heldOrHelper(
          call,
          index
            .mul(SLOT_SIZE)
            .add(mapField(mem, map, SLOTS))
            .load(),
        ),
      () => 0,
    );
  },
};

const ofHash: MapGen = {
  inline: false,
  emit: (call) => {
    const key = call.args[0]!;
    return findThen(call, key, emitHash(call, key), (node) => heldOrHelper(call, node.load(NODE_VALUE)));
  },
};

export function genArrayOfMaps(_env: MapEnv, _map: number, helper: number): MapGen | undefined {
  return helper === BPF_FUNC_map_lookup_elem ? ofArray : undefined;
}

export function genHashOfMaps(_env: MapEnv, _map: number, helper: number): MapGen | undefined {
  return helper === BPF_FUNC_map_lookup_elem ? ofHash : undefined;
}
