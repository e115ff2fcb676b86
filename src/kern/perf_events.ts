/** What stands for perf events on this host: maps, put into the slots of a PERF_EVENT_ARRAY. */
import { OBJ_MAP } from "../mem/layout.ts";
import { MAP_MAX_ENTRIES, MAP_TYPE, MAP_VALUE_SIZE, mapField } from "../struct/map.ts";
import { setSlot } from "../struct/slots.ts";
import {
  BPF_MAP_TYPE_ARRAY,
  BPF_MAP_TYPE_PERF_EVENT_ARRAY,
  BPF_MAP_TYPE_RINGBUF,
  EBADF,
  EINVAL,
} from "../uapi/index.ts";
import { FMODE_WRITE } from "./fds.ts";
import type { Kernel } from "./kernel.ts";

/** Bytes of a struct bpf_perf_event_value. */
const COUNTER_SIZE = 24;

function isEvent({ mem }: Kernel, map: number): boolean {
  const type = mapField(mem, map, MAP_TYPE);
  const counter =
    type === BPF_MAP_TYPE_ARRAY &&
    mapField(mem, map, MAP_VALUE_SIZE) === COUNTER_SIZE &&
    mapField(mem, map, MAP_MAX_ENTRIES) === 1;
  return counter || type === BPF_MAP_TYPE_RINGBUF;
}

/**
 * The event of CPU `cpu`, in that slot: a RINGBUF for records, or an ARRAY of one struct bpf_perf_event_value as a counter.
 * 0 or an errno: -EBADF, -EINVAL (no such array, no such event), -E2BIG, -EPERM.
 */
export function setPerfEvent(kernel: Kernel, mapFd: number, cpu: number, eventFd: number): number {
  const map = kernel.getMap(mapFd, FMODE_WRITE);
  if (map < 0) return map;
  const ret =
    mapField(kernel.mem, map, MAP_TYPE) === BPF_MAP_TYPE_PERF_EVENT_ARRAY ? put(kernel, map, cpu, eventFd) : -EINVAL;
  kernel.endMap();
  return ret;
}

function put(kernel: Kernel, map: number, cpu: number, eventFd: number): number {
  const event = kernel.take(eventFd, OBJ_MAP);
  if (event < 0) return -EBADF;
  const ret = isEvent(kernel, event) ? setSlot(kernel, map, cpu, event) : -EINVAL;
  if (ret !== 0) kernel.put(event);
  return ret;
}
