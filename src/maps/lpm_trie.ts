/** BPF_MAP_TYPE_LPM_TRIE: prefixes to values; a lookup finds the longest that fits. Kernel counterpart: lpm_trie.c. */
import { batchDelete, batchLookup, batchUpdate } from "../struct/batch.ts";
import { genLpm, genLpmElement } from "../struct/lpm_gen.ts";
import * as lpm from "../struct/lpm_ops.ts";
import { lpmTrieUsage } from "../struct/mem_usage.ts";
import {
  BPF_F_NO_PREALLOC,
  BPF_FUNC_map_delete_elem,
  BPF_FUNC_map_lookup_elem,
  BPF_FUNC_map_update_elem,
} from "../uapi/index.ts";
import type { MapTypeEntry } from "./ops.ts";
import { unsupportedOps } from "./ops.ts";

export const lpmTrieMap: MapTypeEntry = {
  since: "4.11",
  traits: {
    checkedEarly: false,
    helpers: [BPF_FUNC_map_lookup_elem, BPF_FUNC_map_update_elem, BPF_FUNC_map_delete_elem],
  },
  minimalAttr: { key_size: 5, value_size: 1, max_entries: 1, map_flags: BPF_F_NO_PREALLOC },
  memUsage: lpmTrieUsage,
  ops: {
    ...unsupportedOps,
    map_alloc_check: lpm.allocCheckLpm,
    map_alloc: lpm.allocLpm,
    map_free: lpm.freeLpm,
    map_check_btf: lpm.checkBtfLpm,
    map_lookup_elem: lpm.lookupLpm,
    map_update_elem: lpm.updateLpm,
    map_delete_elem: lpm.deleteLpm,
    map_copy_value: lpm.copyLpm,
    map_update_value: lpm.updateLpm,
    map_delete_value: lpm.deleteLpm,
    map_get_next_key: lpm.nextLpm,
    map_gen_element: genLpmElement,
    map_count: lpm.countLpm,
    map_lookup_batch: batchLookup(lpm.nextLpm, lpm.copyLpm),
    map_update_batch: batchUpdate(lpm.updateLpm),
    map_delete_batch: batchDelete(lpm.deleteLpm),
    map_gen: genLpm,
  },
};
