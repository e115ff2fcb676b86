/**
 * BPF_MAP_TYPE_LRU_PERCPU_HASH: a per-CPU hash that makes room by itself. Kernel counterpart: hashtab.c, bpf_lru_list.c.
 */
import { batchDelete, batchUpdate } from "../struct/batch.ts";
import { PERCPU_FIELDS } from "../struct/fields.ts";
import { lookupBatchPercpu, takeBatchLruPercpu } from "../struct/hash_batch.ts";
import { countLru } from "../struct/hash_count.ts";
import { genPercpuLruElement, genPercpuLruLookup } from "../struct/hash_gen.ts";
import { copyPercpu } from "../struct/hash_ops.ts";
import { walkPercpuHash } from "../struct/hash_walk.ts";
import { nextKey } from "../struct/hashtab.ts";
import { genPercpuLru } from "../struct/lru_gen.ts";
import * as lru from "../struct/lru_ops.ts";
import { lruUsage } from "../struct/mem_usage.ts";
import {
  BPF_FUNC_for_each_map_elem,
  BPF_FUNC_map_delete_elem,
  BPF_FUNC_map_lookup_elem,
  BPF_FUNC_map_lookup_percpu_elem,
  BPF_FUNC_map_update_elem,
} from "../uapi/index.ts";
import type { MapTypeEntry } from "./ops.ts";
import { unsupportedOps } from "./ops.ts";

export const lruPercpuHashMap: MapTypeEntry = {
  since: "4.10",
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
  memUsage: lruUsage("percpu"),
  ops: {
    ...unsupportedOps,
    map_alloc_check: lru.allocCheckLruPercpu,
    map_alloc: lru.allocLruPercpu,
    map_free: lru.freeLruHash,
    map_lookup_elem: lru.lookupLruPercpu,
    map_lookup_percpu_elem: lru.lookupLruPercpuOf,
    map_update_elem: lru.updateLruPercpuOwn,
    map_delete_elem: lru.deleteLru,
    map_for_each: walkPercpuHash,
    map_gen: genPercpuLru,
    map_gen_inner: genPercpuLruLookup,
    map_copy_value: copyPercpu,
    map_update_value: lru.updateLruPercpuAll,
    map_delete_value: lru.deleteLru,
    map_lookup_and_delete_elem: lru.takeLruPercpu,
    map_get_next_key: nextKey,
    map_gen_element: genPercpuLruElement,
    map_count: countLru,
    map_lookup_batch: lookupBatchPercpu,
    map_lookup_and_delete_batch: takeBatchLruPercpu,
    map_update_batch: batchUpdate(lru.updateLruPercpuAll),
    map_delete_batch: batchDelete(lru.deleteLru),
  },
};
