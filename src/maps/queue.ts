/** BPF_MAP_TYPE_QUEUE: first in, first out. Kernel counterpart: queue_stack_maps.c. */
import { queueStackUsage } from "../struct/mem_usage.ts";
import * as queueStack from "../struct/queue_stack.ts";
import { genQueue } from "../struct/queue_stack_gen.ts";
import { BPF_FUNC_map_peek_elem, BPF_FUNC_map_pop_elem, BPF_FUNC_map_push_elem } from "../uapi/index.ts";
import type { MapTypeEntry } from "./ops.ts";
import { unsupportedOps } from "./ops.ts";

export const queueMap: MapTypeEntry = {
  since: "4.20",
  traits: {
    checkedEarly: true,
    helpers: [BPF_FUNC_map_push_elem, BPF_FUNC_map_pop_elem, BPF_FUNC_map_peek_elem],
  },
  minimalAttr: { key_size: 0, value_size: 1, max_entries: 1 },
  memUsage: queueStackUsage,
  ops: {
    ...unsupportedOps,
    map_alloc_check: queueStack.allocCheck,
    map_alloc: queueStack.alloc,
    map_free: queueStack.free,
    map_update_elem: queueStack.noKeys,
    map_delete_elem: queueStack.noKeys,
    map_push_elem: queueStack.push,
    map_pop_elem: (env, map, value) => queueStack.takeOrZero(env, map, value, "tail", true),
    map_peek_elem: (env, map, value) => queueStack.takeOrZero(env, map, value, "tail", false),
    map_gen: genQueue,
    map_copy_value: (env, map, _key, value) => queueStack.take(env, map, value, "tail", false),
    map_update_value: (env, map, _key, value, flags) => queueStack.push(env, map, value, flags),
    map_delete_value: queueStack.noKeys,
    map_lookup_and_delete_elem: (env, map, _key, value) => queueStack.take(env, map, value, "tail", true),
    map_get_next_key: queueStack.noKeys,
    map_count: queueStack.count,
  },
};
