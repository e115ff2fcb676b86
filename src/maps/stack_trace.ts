/** BPF_MAP_TYPE_STACK_TRACE: stacks by id, stored by bpf_get_stackid. Kernel counterpart: stackmap.c. */
import { stackTraceUsage } from "../struct/mem_usage.ts";
import * as stacks from "../struct/stack_traces.ts";
import { BPF_FUNC_get_stackid, EINVAL, ENOTSUPP } from "../uapi/index.ts";
import type { MapTypeEntry } from "./ops.ts";
import { unsupportedOps } from "./ops.ts";

export const stackTraceMap: MapTypeEntry = {
  since: "4.6",
  traits: { checkedEarly: false, helpers: [BPF_FUNC_get_stackid] },
  minimalAttr: { key_size: 4, value_size: 8, max_entries: 1 },
  memUsage: stackTraceUsage,
  ops: {
    ...unsupportedOps,
    map_alloc_check: stacks.allocCheckStacks,
    map_alloc: stacks.allocStacks,
    map_free: stacks.freeStacks,
    map_check_btf: () => -ENOTSUPP,
    map_copy_value: stacks.copyStack,
    map_update_value: () => -EINVAL,
    map_delete_value: stacks.deleteStack,
    map_lookup_and_delete_elem: stacks.takeStack,
    map_get_next_key: stacks.nextStack,
    map_count: stacks.countStacks,
  },
};
