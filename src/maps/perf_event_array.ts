/**
 * BPF_MAP_TYPE_PERF_EVENT_ARRAY: perf events by CPU, for bpf_perf_event_output and bpf_perf_event_read. This host has no
 * perf events and no fds of them: in their place are maps, which `EmbeddedHost.setPerfEvent` puts in. A RINGBUF takes
 * records, an ARRAY of one struct bpf_perf_event_value is a counter. Kernel counterpart: arraymap.c.
 */
import { nextIndex } from "../struct/array_ops.ts";
import { checkFlags } from "../struct/check.ts";
import type { MapCreateAttr, MapEnv } from "../struct/env.ts";
import { MAP_FLAGS, mapField } from "../struct/map.ts";
import { slotsUsage } from "../struct/mem_usage.ts";
import * as slots from "../struct/slots.ts";
import {
  BPF_F_NUMA_NODE,
  BPF_F_PRESERVE_ELEMS,
  BPF_F_RDONLY,
  BPF_F_WRONLY,
  BPF_FUNC_perf_event_output,
  BPF_FUNC_perf_event_read,
  BPF_FUNC_perf_event_read_value,
  BPF_FUNC_skb_output,
  BPF_FUNC_xdp_output,
  EBADF,
  EINVAL,
  ENOTSUPP,
} from "../uapi/index.ts";
import type { MapTypeEntry } from "./ops.ts";
import { unsupportedOps } from "./ops.ts";

function allocCheck(_env: MapEnv, attr: MapCreateAttr): number {
  if (attr.max_entries === 0 || attr.key_size !== slots.FD_SIZE || attr.value_size !== slots.FD_SIZE) return -EINVAL;
  return checkFlags(attr, BPF_F_NUMA_NODE | BPF_F_RDONLY | BPF_F_WRONLY | BPF_F_PRESERVE_ELEMS);
}

/** Nobody uses it by fd any more: its events go, unless they are to stay. */
function releaseUsers(env: MapEnv, map: number): void {
  if ((mapField(env.mem, map, MAP_FLAGS) & BPF_F_PRESERVE_ELEMS) === 0) slots.clearSlots(env, map);
}

export const perfEventArrayMap: MapTypeEntry = {
  since: "4.3",
  traits: {
    checkedEarly: true,
    helpers: [
      BPF_FUNC_perf_event_output,
      BPF_FUNC_perf_event_read,
      BPF_FUNC_perf_event_read_value,
      BPF_FUNC_skb_output,
      BPF_FUNC_xdp_output,
    ],
  },
  minimalAttr: { key_size: 4, value_size: 4, max_entries: 1 },
  memUsage: slotsUsage,
  ops: {
    ...unsupportedOps,
    map_alloc_check: allocCheck,
    map_alloc: slots.allocSlots,
    map_free: slots.freeSlots,
    map_release_uref: releaseUsers,
    map_check_btf: () => -ENOTSUPP,
    // No fd here is a perf event.
    map_update_value: (env, map, key, value, flags) => slots.updateSlot(env, map, key, value, flags, () => -EBADF),
    map_delete_value: slots.deleteSlot,
    map_get_next_key: nextIndex,
    map_count: slots.countSlots,
  },
};
