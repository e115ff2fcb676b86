/** BPF_MAP_TYPE_PERCPU_ARRAY: an array with one value a CPU. Kernel counterpart: arraymap.c. */
import { genPercpuArray, genPercpuArrayElement } from "../struct/array_gen.ts";
import * as array from "../struct/array_ops.ts";
import { batchLookup, batchUpdate } from "../struct/batch.ts";
import { PERCPU_FIELDS } from "../struct/fields.ts";
import { percpuArrayUsage } from "../struct/mem_usage.ts";
import {
  BPF_FUNC_for_each_map_elem,
  BPF_FUNC_map_delete_elem,
  BPF_FUNC_map_lookup_elem,
  BPF_FUNC_map_lookup_percpu_elem,
  BPF_FUNC_map_update_elem,
} from "../uapi/index.ts";
import type { MapTypeEntry } from "./ops.ts";
import { unsupportedOps } from "./ops.ts";

export const percpuArrayMap: MapTypeEntry = {
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
  minimalAttr: { key_size: 4, value_size: 1, max_entries: 1 },
  memUsage: percpuArrayUsage,
  ops: {
    ...unsupportedOps,
    map_alloc_check: array.allocCheckPercpuArray,
    map_alloc: array.allocPercpuArray,
    map_free: array.freePercpuArray,
    map_check_btf: array.checkBtfPercpuArray,
    map_gen: genPercpuArray,
    map_gen_inner: genPercpuArray,
    map_lookup_elem: array.lookupPercpuArray,
    map_lookup_percpu_elem: array.lookupPercpuArrayOf,
    map_update_elem: array.updatePercpuArrayOwn,
    map_delete_elem: array.deleteArray,
    map_for_each: array.walkPercpuArray,
    map_copy_value: array.copyPercpuArray,
    map_update_value: array.updatePercpuArrayAll,
    map_delete_value: array.deleteArray,
    map_get_next_key: array.nextIndex,
    map_gen_element: genPercpuArrayElement,
    map_count: array.countArray,
    map_lookup_batch: batchLookup(array.nextIndex, array.copyPercpuArray),
    map_update_batch: batchUpdate(array.updatePercpuArrayAll),
  },
};
