/** BPF_MAP_TYPE_DEVMAP: network devices by index, for bpf_redirect_map. Kernel counterpart: devmap.c. */
import { nextIndex } from "../struct/array_ops.ts";
import type { MapCreateAttr, MapEnv } from "../struct/env.ts";
import { redirectUsage } from "../struct/mem_usage.ts";
import * as redirect from "../struct/redirect_slots.ts";
import {
  BPF_F_BROADCAST,
  BPF_F_EXCLUDE_INGRESS,
  BPF_F_NUMA_NODE,
  BPF_F_RDONLY,
  BPF_F_WRONLY,
  BPF_FUNC_map_delete_elem,
  BPF_FUNC_map_lookup_elem,
  BPF_FUNC_map_update_elem,
  BPF_FUNC_redirect_map,
  BPF_XDP_DEVMAP,
  EINVAL,
  ENOTSUPP,
} from "../uapi/index.ts";
import type { MapTypeEntry } from "./ops.ts";
import { unsupportedOps } from "./ops.ts";

export function allocCheckDevmap(_env: MapEnv, attr: MapCreateAttr): number {
  return redirect.checkRedirect(attr, BPF_F_NUMA_NODE | BPF_F_RDONLY | BPF_F_WRONLY);
}

/** Programs read a device's value; update and delete are named so that they are refused as writes. */
export const devmapHelpers: readonly number[] = [
  BPF_FUNC_map_lookup_elem,
  BPF_FUNC_map_update_elem,
  BPF_FUNC_map_delete_elem,
  BPF_FUNC_redirect_map,
];

export const devices: redirect.RedirectKind = {
  judge: (env, _index, ifindex, hasProg) => {
    if (ifindex === 0) return hasProg ? -EINVAL : 0;
    return env.deviceExists(ifindex) ? 1 : -EINVAL;
  },
  attachType: BPF_XDP_DEVMAP,
  progError: -EINVAL,
};

export const devmapMap: MapTypeEntry = {
  since: "4.14",
  traits: {
    holdsPrograms: true,
    checkedEarly: true,
    redirectFlags: BPF_F_BROADCAST | BPF_F_EXCLUDE_INGRESS,
    helpers: devmapHelpers,
  },
  minimalAttr: { key_size: 4, value_size: 4, max_entries: 1 },
  memUsage: redirectUsage,
  ops: {
    ...unsupportedOps,
    map_alloc_check: allocCheckDevmap,
    map_alloc: (env, map, attr) => {
      redirect.programsOnlyRead(env.mem, map);
      return redirect.allocRedirect(env, map, attr);
    },
    map_free: redirect.freeRedirect,
    map_check_btf: () => -ENOTSUPP,
    map_lookup_elem: redirect.lookupRedirect,
    map_copy_value: redirect.copyRedirect,
    map_update_value: (env, map, key, value, flags) => redirect.updateRedirect(env, map, key, value, flags, devices),
    map_delete_value: redirect.deleteRedirect,
    map_get_next_key: nextIndex,
    map_count: redirect.countRedirect,
    map_redirect: (env, map, key) => redirect.redirectAt(env.mem, map, key),
    map_device_gone: redirect.dropRedirects,
  },
};
