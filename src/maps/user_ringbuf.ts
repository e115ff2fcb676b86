/**
 * BPF_MAP_TYPE_USER_RINGBUF: records of any length from user space, which writes them into a mapping, to programs.
 * Commands have nothing to do here. Kernel counterpart: ringbuf.c.
 */
import { ringUsage } from "../struct/mem_usage.ts";
import * as ring from "../struct/ring_map.ts";
import { mmap, poll } from "../struct/user_ring.ts";
import { BPF_FUNC_user_ringbuf_drain } from "../uapi/index.ts";
import type { MapTypeEntry } from "./ops.ts";
import { unsupportedOps } from "./ops.ts";

export const userRingbufMap: MapTypeEntry = {
  since: "6.1",
  traits: {
    mmap: true,
    checkedEarly: false,
    helpers: [BPF_FUNC_user_ringbuf_drain],
  },
  minimalAttr: { key_size: 0, value_size: 0, max_entries: 4096 },
  memUsage: ringUsage,
  ops: {
    ...unsupportedOps,
    map_alloc_check: ring.allocCheck,
    map_alloc: ring.alloc,
    map_free: ring.free,
    map_mmap: mmap,
    map_poll: poll,
  },
};
