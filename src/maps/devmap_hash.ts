/** BPF_MAP_TYPE_DEVMAP_HASH: network devices by any number, for bpf_redirect_map. Kernel counterpart: devmap.c. */

import * as table from "../struct/devmap_hash.ts";
import type { MapCreateAttr, MapEnv } from "../struct/env.ts";
import { devmapHashUsage } from "../struct/mem_usage.ts";
import { programsOnlyRead } from "../struct/redirect_slots.ts";
import { BPF_F_BROADCAST, BPF_F_EXCLUDE_INGRESS, EINVAL, ENOTSUPP } from "../uapi/index.ts";
import { allocCheckDevmap, devices, devmapHelpers } from "./devmap.ts";
import type { MapTypeEntry } from "./ops.ts";
import { unsupportedOps } from "./ops.ts";

const MAX_ENTRIES = 0x8000_0000;

export const devmapHashMap: MapTypeEntry = {
  since: "5.4",
  traits: {
    checkedEarly: true,
    redirectFlags: BPF_F_BROADCAST | BPF_F_EXCLUDE_INGRESS,
    helpers: devmapHelpers,
  },
  minimalAttr: { key_size: 4, value_size: 4, max_entries: 1 },
  memUsage: devmapHashUsage,
  ops: {
    ...unsupportedOps,
    map_alloc_check: (env: MapEnv, attr: MapCreateAttr) =>
      allocCheckDevmap(env, attr) || (attr.max_entries > MAX_ENTRIES ? -EINVAL : 0),
    map_alloc: (env, map, attr) => {
      programsOnlyRead(env.mem, map);
      return table.allocDevices(env, map, attr);
    },
    map_free: table.freeDevices,
    map_check_btf: () => -ENOTSUPP,
    map_lookup_elem: table.lookupDevice,
    map_copy_value: table.copyDevice,
    map_update_value: (env, map, key, value, flags) => table.updateDevice(env, map, key, value, flags, devices),
    map_delete_value: table.deleteDevice,
    map_get_next_key: table.nextDevice,
    map_count: table.countDevices,
    map_redirect: (env, map, key) => table.deviceAt(env.mem, map, key),
    map_device_gone: table.dropDevices,
  },
};
