/**
 * BPF_MAP_TYPE_ARRAY_OF_MAPS: an array whose slots hold maps, all like the one it was created with. Kernel counterpart:
 * arraymap.c, map_in_map.c.
 */
import { nextIndex } from "../struct/array_ops.ts";
import { batchLookup, batchUpdate } from "../struct/batch.ts";
import type { MapEnv } from "../struct/env.ts";
import { allocOuter, freeTemplate, neverInner, takeInner } from "../struct/inner_map.ts";
import { slotsUsage } from "../struct/mem_usage.ts";
import { genArrayOfMaps } from "../struct/outer_gen.ts";
import * as slots from "../struct/slots.ts";
import { BPF_FUNC_map_lookup_elem, ENOTSUPP } from "../uapi/index.ts";
import type { MapTypeEntry } from "./ops.ts";
import { minimalInner, unsupportedOps } from "./ops.ts";

function free(env: MapEnv, map: number): void {
  slots.freeSlots(env, map);
  freeTemplate(env, map);
}

function update(env: MapEnv, map: number, key: number, value: number, flags: number): number {
  return slots.updateSlot(env, map, key, value, flags, takeInner);
}

export const arrayOfMapsMap: MapTypeEntry = {
  since: "4.12",
  traits: {
    checkedEarly: true,
    helpers: [BPF_FUNC_map_lookup_elem],
  },
  minimalAttr: { key_size: 4, value_size: 4, max_entries: 1, inner: minimalInner },
  memUsage: slotsUsage,
  ops: {
    ...unsupportedOps,
    map_alloc_check: slots.allocCheckSlots,
    map_alloc: (env, map, attr) => allocOuter(env, map, attr, slots.allocSlots),
    map_free: free,
    map_meta_equal: neverInner,
    map_check_btf: () => -ENOTSUPP,
    map_lookup_elem: slots.lookupSlot,
    map_gen: genArrayOfMaps,
    map_copy_value: slots.copySlotId,
    map_update_value: update,
    map_delete_value: slots.deleteSlot,
    map_get_next_key: nextIndex,
    map_count: slots.countSlots,
    map_lookup_batch: batchLookup(nextIndex, slots.copySlotId),
    map_update_batch: batchUpdate(update),
  },
};
