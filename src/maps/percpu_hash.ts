/**
 * BPF_MAP_TYPE_PERCPU_HASH: a hash whose values are one a CPU; updates change them in place. Kernel counterpart:
 * hashtab.c.
 */
import { batchDelete, batchUpdate } from "../struct/batch.ts";
import { PERCPU_FIELDS } from "../struct/fields.ts";
import { lookupBatchPercpu, takeBatchPercpu } from "../struct/hash_batch.ts";
import { countHash } from "../struct/hash_count.ts";
import { genPercpuHash, genPercpuHashElement } from "../struct/hash_gen.ts";
import * as hash from "../struct/hash_ops.ts";
import { walkPercpuHash } from "../struct/hash_walk.ts";
import { freeTable, nextKey } from "../struct/hashtab.ts";
import { hashUsage } from "../struct/mem_usage.ts";
import {
  BPF_FUNC_for_each_map_elem,
  BPF_FUNC_map_delete_elem,
  BPF_FUNC_map_lookup_elem,
  BPF_FUNC_map_lookup_percpu_elem,
  BPF_FUNC_map_update_elem,
} from "../uapi/index.ts";
import type { MapTypeEntry } from "./ops.ts";
import { unsupportedOps } from "./ops.ts";

export const percpuHashMap: MapTypeEntry = {
  since: "4.6",
  traits: {
    fields: PERCPU_FIELDS,
    checkedEarly: true,
    helpers: [
      BPF_FUNC_map_lookup_elem,
      BPF_FUNC_map_update_elem,
      BPF_FUNC_map_delete_elem,
      BPF_FUNC_map_lookup_percpu_elem,
      BPF_FUNC_for_each_map_elem,
    ],
  },
  minimalAttr: { key_size: 1, value_size: 1, max_entries: 1 },
  memUsage: hashUsage("percpu"),
  ops: {
    ...unsupportedOps,
    map_alloc_check: hash.allocCheckPercpu,
    map_alloc: hash.allocPercpu,
    map_free: freeTable,
    map_lookup_elem: hash.lookupPercpu,
    map_lookup_percpu_elem: hash.lookupPercpuOf,
    map_update_elem: hash.updatePercpuOwn,
    map_delete_elem: hash.deleteHash,
    map_for_each: walkPercpuHash,
    map_gen: genPercpuHash,
    map_gen_inner: genPercpuHash,
    map_copy_value: hash.copyPercpu,
    map_update_value: hash.updatePercpuAll,
    map_delete_value: hash.deleteHash,
    map_lookup_and_delete_elem: hash.takePercpu,
    map_get_next_key: nextKey,
    map_gen_element: genPercpuHashElement,
    map_count: countHash,
    map_lookup_batch: lookupBatchPercpu,
    map_lookup_and_delete_batch: takeBatchPercpu,
    map_update_batch: batchUpdate(hash.updatePercpuAll),
    map_delete_batch: batchDelete(hash.deleteHash),
  },
};
