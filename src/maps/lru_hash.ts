/**
 * BPF_MAP_TYPE_LRU_HASH: a hash that makes room by itself; what was not used lately goes. Kernel counterpart: hashtab.c,
 * bpf_lru_list.c.
 */
import { batchDelete, batchUpdate } from "../struct/batch.ts";
import { EVICTED_FIELDS } from "../struct/fields.ts";
import { lookupBatchHash, takeBatchLru } from "../struct/hash_batch.ts";
import { countLru } from "../struct/hash_count.ts";
import { genLruElement, genLruLookup } from "../struct/hash_gen.ts";
import { copyHash } from "../struct/hash_ops.ts";
import { keyOfValue, walkHash } from "../struct/hash_walk.ts";
import { nextKey } from "../struct/hashtab.ts";
import { genLru } from "../struct/lru_gen.ts";
import * as lru from "../struct/lru_ops.ts";
import { lruUsage } from "../struct/mem_usage.ts";
import {
  BPF_FUNC_for_each_map_elem,
  BPF_FUNC_map_delete_elem,
  BPF_FUNC_map_lookup_elem,
  BPF_FUNC_map_update_elem,
  BPF_FUNC_timer_init,
} from "../uapi/index.ts";
import type { MapTypeEntry } from "./ops.ts";
import { unsupportedOps } from "./ops.ts";

export const lruHashMap: MapTypeEntry = {
  since: "4.10",
  traits: {
    fields: EVICTED_FIELDS,
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
  memUsage: lruUsage("one"),
  ops: {
    ...unsupportedOps,
    map_alloc_check: lru.allocCheckLru,
    map_alloc: lru.allocLruHash,
    map_free: lru.freeLruHash,
    map_lookup_elem: lru.lookupLru,
    map_update_elem: lru.updateLru,
    map_delete_elem: lru.deleteLru,
    map_for_each: walkHash,
    map_key_of: keyOfValue,
    map_gen: genLru,
    map_gen_inner: genLruLookup,
    map_copy_value: copyHash,
    map_update_value: lru.updateLru,
    map_delete_value: lru.deleteLru,
    map_lookup_and_delete_elem: lru.takeLru,
    map_get_next_key: nextKey,
    map_gen_element: genLruElement,
    map_count: countLru,
    map_lookup_batch: lookupBatchHash,
    map_lookup_and_delete_batch: takeBatchLru,
    map_update_batch: batchUpdate(lru.updateLru),
    map_delete_batch: batchDelete(lru.deleteLru),
  },
};
