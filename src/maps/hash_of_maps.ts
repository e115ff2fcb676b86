/**
 * BPF_MAP_TYPE_HASH_OF_MAPS: a hash whose values are maps, all like the one it was created with. Kernel counterpart:
 * hashtab.c, map_in_map.c.
 */
import { batchDelete, batchUpdate } from "../struct/batch.ts";
import type { MapEnv } from "../struct/env.ts";
import { lookupBatchObjects, takeBatchObjects } from "../struct/hash_batch.ts";
import { countHash } from "../struct/hash_count.ts";
import * as objects from "../struct/hash_objects.ts";
import { nextKey } from "../struct/hashtab.ts";
import { allocOuter, freeTemplate, neverInner, takeInner } from "../struct/inner_map.ts";
import { hashUsage } from "../struct/mem_usage.ts";
import { genHashOfMaps } from "../struct/outer_gen.ts";
import { BPF_FUNC_map_lookup_elem, ENOTSUPP } from "../uapi/index.ts";
import type { MapTypeEntry } from "./ops.ts";
import { minimalInner, unsupportedOps } from "./ops.ts";

function free(env: MapEnv, map: number): void {
  objects.freeObjects(env, map);
  freeTemplate(env, map);
}

function update(env: MapEnv, map: number, key: number, value: number, flags: number): number {
  return objects.updateObject(env, map, key, value, flags, takeInner);
}

export const hashOfMapsMap: MapTypeEntry = {
  since: "4.12",
  traits: {
    checkedEarly: true,
    helpers: [BPF_FUNC_map_lookup_elem],
  },
  minimalAttr: { key_size: 1, value_size: 4, max_entries: 1, inner: minimalInner },
  memUsage: hashUsage("none"),
  ops: {
    ...unsupportedOps,
    map_alloc_check: objects.allocCheckObjects,
    map_alloc: (env, map, attr) => allocOuter(env, map, attr, objects.allocObjects),
    map_free: free,
    map_meta_equal: neverInner,
    map_check_btf: () => -ENOTSUPP,
    map_lookup_elem: objects.lookupObject,
    map_gen: genHashOfMaps,
    map_copy_value: objects.copyObjectId,
    map_update_value: update,
    map_delete_value: objects.deleteObject,
    map_get_next_key: nextKey,
    map_count: countHash,
    map_lookup_batch: lookupBatchObjects,
    map_lookup_and_delete_batch: takeBatchObjects,
    map_update_batch: batchUpdate(update),
    map_delete_batch: batchDelete(objects.deleteObject),
  },
};
