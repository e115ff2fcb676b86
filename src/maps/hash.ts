/** BPF_MAP_TYPE_HASH: any key to any value; an update replaces the whole element. Kernel counterpart: hashtab.c. */
import { batchDelete, batchUpdate } from "../struct/batch.ts";
import { ELEMENT_FIELDS } from "../struct/fields.ts";
import { lookupBatchHash, takeBatchHash } from "../struct/hash_batch.ts";
import { countHash } from "../struct/hash_count.ts";
import { genHash, genHashElement } from "../struct/hash_gen.ts";
import * as hash from "../struct/hash_ops.ts";
import { keyOfValue, walkHash } from "../struct/hash_walk.ts";
import { freeTable, nextKey } from "../struct/hashtab.ts";
import { hashUsage } from "../struct/mem_usage.ts";
import {
  BPF_FUNC_for_each_map_elem,
  BPF_FUNC_map_delete_elem,
  BPF_FUNC_map_lookup_elem,
  BPF_FUNC_map_update_elem,
  BPF_FUNC_timer_init,
} from "../uapi/index.ts";
import type { MapTypeEntry } from "./ops.ts";
import { unsupportedOps } from "./ops.ts";

export const hashMap: MapTypeEntry = {
  since: "3.19",
  traits: {
    offload: true,
    fields: ELEMENT_FIELDS,
    checkedEarly: true,
    helpers: [
      BPF_FUNC_map_lookup_elem,
      BPF_FUNC_map_update_elem,
      BPF_FUNC_map_delete_elem,
      BPF_FUNC_for_each_map_elem,
      BPF_FUNC_timer_init,
    ],
  },
  minimalAttr: { key_size: 1, value_size: 1, max_entries: 1 },
  memUsage: hashUsage("one"),
  ops: {
    ...unsupportedOps,
    map_alloc_check: hash.allocCheckHash,
    map_alloc: hash.allocHash,
    map_free: freeTable,
    map_lookup_elem: hash.lookupHash,
    map_update_elem: hash.updateHash,
    map_delete_elem: hash.deleteHash,
    map_for_each: walkHash,
    map_key_of: keyOfValue,
    map_gen: genHash,
    map_gen_inner: genHash,
    map_copy_value: hash.copyHash,
    map_update_value: hash.updateHash,
    map_delete_value: hash.deleteHash,
    map_lookup_and_delete_elem: hash.takeHash,
    map_get_next_key: nextKey,
    map_gen_element: genHashElement,
    map_count: countHash,
    map_lookup_batch: lookupBatchHash,
    map_lookup_and_delete_batch: takeBatchHash,
    map_update_batch: batchUpdate(hash.updateHash),
    map_delete_batch: batchDelete(hash.deleteHash),
  },
};
