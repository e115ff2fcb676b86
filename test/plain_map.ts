/** What most maps are made without. */
import type { MapCreateAttr } from "../src/struct/env.ts";

type Rare = "numa_node" | "map_extra_lo" | "map_extra_hi" | "inner_map_fd" | "btf_key_type_id" | "btf_value_type_id";

export const PLAIN_MAP: Pick<MapCreateAttr, Rare> = {
  numa_node: 0,
  map_extra_lo: 0,
  map_extra_hi: 0,
  inner_map_fd: 0,
  btf_key_type_id: 0,
  btf_value_type_id: 0,
};
