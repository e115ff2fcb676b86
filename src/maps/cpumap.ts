/** BPF_MAP_TYPE_CPUMAP: CPUs that take packets over, each with the size of its queue. Kernel counterpart: cpumap.c. */
import { nextIndex } from "../struct/array_ops.ts";
import type { MapCreateAttr, MapEnv } from "../struct/env.ts";
import { redirectUsage } from "../struct/mem_usage.ts";
import * as redirect from "../struct/redirect_slots.ts";
import {
  BPF_F_NUMA_NODE,
  BPF_FUNC_redirect_map,
  BPF_XDP_CPUMAP,
  E2BIG,
  ENODEV,
  ENOMEM,
  ENOTSUPP,
  EOVERFLOW,
} from "../uapi/index.ts";
import type { MapTypeEntry } from "./ops.ts";
import { unsupportedOps } from "./ops.ts";

/** CONFIG_NR_CPUS of the kernel that is compared with: between 256 and 511. */
const NR_CPUS = 256;
const QUEUE_MAX = 16384;

function allocCheck(_env: MapEnv, attr: MapCreateAttr): number {
  return redirect.checkRedirect(attr, BPF_F_NUMA_NODE) || (attr.max_entries > NR_CPUS ? -E2BIG : 0);
}

const cpus: redirect.RedirectKind = {
  judge: (env, index, size) => {
    if (size > QUEUE_MAX) return -EOVERFLOW;
    if (index >= env.cpus) return -ENODEV;
    return size === 0 ? 0 : 1;
  },
  attachType: BPF_XDP_CPUMAP,
  progError: -ENOMEM,
};

export const cpumapMap: MapTypeEntry = {
  since: "4.15",
  traits: {
    holdsPrograms: true,
    checkedEarly: false,
    redirectFlags: 0,
    helpers: [BPF_FUNC_redirect_map],
  },
  minimalAttr: { key_size: 4, value_size: 4, max_entries: 1 },
  memUsage: redirectUsage,
  ops: {
    ...unsupportedOps,
    map_alloc_check: allocCheck,
    map_alloc: redirect.allocRedirect,
    map_free: redirect.freeRedirect,
    map_check_btf: () => -ENOTSUPP,
    map_copy_value: redirect.copyRedirect,
    map_update_value: (env, map, key, value, flags) => redirect.updateRedirect(env, map, key, value, flags, cpus),
    map_delete_value: redirect.deleteRedirect,
    map_get_next_key: nextIndex,
    map_count: redirect.countRedirect,
    map_redirect: (env, map, key) => redirect.redirectAt(env.mem, map, key),
  },
};
