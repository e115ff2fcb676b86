/**
 * BPF_MAP_TYPE_RINGBUF: records of any length from programs to user space, which reads them from a mapping. Commands
 * have nothing to do here. Kernel counterpart: ringbuf.c.
 */
import { ringUsage } from "../struct/mem_usage.ts";
import { mmap, poll } from "../struct/ring.ts";
import * as ring from "../struct/ring_map.ts";
import {
  BPF_FUNC_ringbuf_output,
  BPF_FUNC_ringbuf_query,
  BPF_FUNC_ringbuf_reserve,
  BPF_FUNC_ringbuf_reserve_dynptr,
} from "../uapi/index.ts";
import type { MapTypeEntry } from "./ops.ts";
import { unsupportedOps } from "./ops.ts";

export const ringbufMap: MapTypeEntry = {
  since: "5.8",
  traits: {
    mmap: true,
    checkedEarly: false,
    helpers: [
      BPF_FUNC_ringbuf_output,
      BPF_FUNC_ringbuf_reserve,
      BPF_FUNC_ringbuf_query,
      BPF_FUNC_ringbuf_reserve_dynptr,
    ],
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
