/** BPF_MAP_TYPE_ARRAY: max_entries values, all there from the beginning. Kernel counterpart: arraymap.c. */
import { genArray, genArrayElement } from "../struct/array_gen.ts";
import * as array from "../struct/array_ops.ts";
import { batchLookup, batchUpdate } from "../struct/batch.ts";
import { ELEMENT_FIELDS } from "../struct/fields.ts";
import { metaEqualSized } from "../struct/inner_map.ts";
import { arrayUsage } from "../struct/mem_usage.ts";
import {
  BPF_FUNC_for_each_map_elem,
  BPF_FUNC_map_delete_elem,
  BPF_FUNC_map_lookup_elem,
  BPF_FUNC_map_update_elem,
  BPF_FUNC_timer_init,
} from "../uapi/index.ts";
import type { MapTypeEntry } from "./ops.ts";
import { unsupportedOps } from "./ops.ts";

export const arrayMap: MapTypeEntry = {
  since: "3.19",
  traits: {
    mmap: true,
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
  minimalAttr: { key_size: 4, value_size: 1, max_entries: 1 },
  memUsage: arrayUsage,
  ops: {
    ...unsupportedOps,
    map_alloc_check: array.allocCheckArray,
    map_alloc: array.allocArray,
    map_free: array.freeArray,
    map_meta_equal: metaEqualSized,
    map_check_btf: array.checkBtfArray,
    map_gen: genArray,
    map_gen_inner: genArray,
    map_lookup_elem: array.lookupArray,
    map_update_elem: array.updateArray,
    map_delete_elem: array.deleteArray,
    map_for_each: array.walkArray,
    map_key_of: array.keyOfArray,
    map_direct_value_addr: array.directValue,
    map_copy_value: array.copyArray,
    map_update_value: array.updateArray,
    map_delete_value: array.deleteArray,
    map_get_next_key: array.nextIndex,
    map_gen_element: genArrayElement,
    map_count: array.countArray,
    map_lookup_batch: batchLookup(array.nextIndex, array.copyArray),
    map_update_batch: batchUpdate(array.updateArray),
    map_mmap: array.mmapArray,
    map_content: array.contentOfArray,
  },
};
