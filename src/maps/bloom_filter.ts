/**
 * BPF_MAP_TYPE_BLOOM_FILTER: answers whether a value may have been pushed. An update pushes; a lookup asks about the
 * value in the caller's buffer. Kernel counterpart: bloom_filter.c.
 */
import * as bloom from "../struct/bloom.ts";
import { genBloom } from "../struct/bloom_gen.ts";
import { bloomFilterUsage } from "../struct/mem_usage.ts";
import { BPF_FUNC_map_peek_elem, BPF_FUNC_map_push_elem, EINVAL, EOPNOTSUPP } from "../uapi/index.ts";
import type { MapTypeEntry } from "./ops.ts";
import { unsupportedOps } from "./ops.ts";

export const bloomFilterMap: MapTypeEntry = {
  since: "5.16",
  traits: {
    mapExtra: true,
    lookupReadsValue: true,
    checkedEarly: true,
    helpers: [BPF_FUNC_map_push_elem, BPF_FUNC_map_peek_elem],
  },
  minimalAttr: { key_size: 0, value_size: 1, max_entries: 1 },
  memUsage: bloomFilterUsage,
  ops: {
    ...unsupportedOps,
    map_alloc_check: bloom.allocCheck,
    map_alloc: bloom.alloc,
    map_free: bloom.free,
    map_check_btf: bloom.checkBtf,
    map_update_elem: () => -EINVAL,
    map_push_elem: bloom.push,
    map_peek_elem: bloom.peek,
    map_gen: genBloom,
    map_copy_value: (env, map, _key, value) => bloom.peek(env, map, value),
    map_update_value: (env, map, _key, value, flags) => bloom.push(env, map, value, flags),
    map_delete_value: () => -EOPNOTSUPP,
    map_get_next_key: () => -EOPNOTSUPP,
  },
};
