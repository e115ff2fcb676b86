/**
 * The ring of values behind QUEUE and STACK. There is one slot more than elements, so that equal indices mean empty and
 * every operation becomes visible with one store: a client that dies holding the lock leaves nothing to repair.
 * Kernel counterpart: queue_stack_maps.c.
 *
 * Values lie packed in an area of nodes, not of values: elements come and go by copies only, nobody is ever handed the
 * address of one, so no pointer of a program may reach them.
 */
import { AREA_NODES, allocAreas, freeAreas } from "../mem/alloc.ts";
import { lock, unlock } from "../mem/locks.ts";
import { BPF_EXIST, E2BIG, EINVAL, ENOENT, ENOMEM } from "../uapi/index.ts";
import { checkFlags, KMALLOC_MAX, NUMA_AND_ACCESS } from "./check.ts";
import type { MapCreateAttr, MapEnv } from "./env.ts";
import { countUp, MAP_EVICTIONS, MAP_LOCK, MAP_MAX_ENTRIES, MAP_PRIVATE, MAP_VALUE_SIZE } from "./map.ts";

export const QS_VALUES: number = MAP_PRIVATE;
/** Slot that the next push fills. */
export const QS_HEAD: number = MAP_PRIVATE + 4;
/** Slot of the oldest element. */
export const QS_TAIL: number = MAP_PRIVATE + 8;

export function allocCheck(_env: MapEnv, attr: MapCreateAttr): number {
  if (attr.max_entries === 0 || attr.key_size !== 0 || attr.value_size === 0) return -EINVAL;
  const bad = checkFlags(attr, NUMA_AND_ACCESS);
  if (bad !== 0) return bad;
  return attr.value_size > KMALLOC_MAX ? -E2BIG : 0;
}

export function alloc(env: MapEnv, map: number, attr: MapCreateAttr): number {
  const bytes = (attr.max_entries + 1) * attr.value_size;
  const values = allocAreas(env.mem, bytes, 1, { kind: AREA_NODES, map });
  if (values === 0) return -ENOMEM;
  env.mem.u32[(map + QS_VALUES) >>> 2] = values;
  return 0;
}

export function free(env: MapEnv, map: number): void {
  const { u32 } = env.mem;
  const bytes = (u32[(map + MAP_MAX_ENTRIES) >>> 2]! + 1) * u32[(map + MAP_VALUE_SIZE) >>> 2]!;
  freeAreas(env.mem, u32[(map + QS_VALUES) >>> 2]!, bytes, 1);
}

/** From commands and programs. With BPF_EXIST a full map drops its oldest element, which on a stack is the bottom. */
export function push(env: MapEnv, map: number, value: number, flags: number): number {
  if (flags !== 0 && flags !== BPF_EXIST) return -EINVAL;
  const { mem } = env;
  const { u32 } = mem;
  const d = map >>> 2;
  const last = u32[d + (MAP_MAX_ENTRIES >>> 2)]!;
  const size = u32[d + (MAP_VALUE_SIZE >>> 2)]!;
  lock(mem, map + MAP_LOCK);
  const head = u32[d + (QS_HEAD >>> 2)]!;
  const next = head === last ? 0 : head + 1;
  const full = next === u32[d + (QS_TAIL >>> 2)];
  if (full && flags !== 0) {
    u32[d + (QS_TAIL >>> 2)] = next === last ? 0 : next + 1;
    countUp(mem, map, MAP_EVICTIONS, 1);
  }
  if (!full || flags !== 0) {
    mem.copy(u32[d + (QS_VALUES >>> 2)]! + head * size, value, size);
    u32[d + (QS_HEAD >>> 2)] = next;
  }
  unlock(mem, map + MAP_LOCK);
  return full && flags === 0 ? -E2BIG : 0;
}

/**
 * Copies the element at one end into `value`: QUEUE takes the oldest (the tail), STACK the newest (the head). -ENOENT
 * leaves `value` as it is: what commands want. Takes the map's lock.
 */
export function take(env: MapEnv, map: number, value: number, end: "head" | "tail", remove: boolean): number {
  const { mem } = env;
  const { u32 } = mem;
  const d = map >>> 2;
  const last = u32[d + (MAP_MAX_ENTRIES >>> 2)]!;
  const size = u32[d + (MAP_VALUE_SIZE >>> 2)]!;
  lock(mem, map + MAP_LOCK);
  const head = u32[d + (QS_HEAD >>> 2)]!;
  const tail = u32[d + (QS_TAIL >>> 2)]!;
  if (head === tail) {
    unlock(mem, map + MAP_LOCK);
    return -ENOENT;
  }
  const newest = head === 0 ? last : head - 1;
  const slot = end === "head" ? newest : tail;
  mem.copy(value, u32[d + (QS_VALUES >>> 2)]! + slot * size, size);
  if (remove) {
    if (end === "head") u32[d + (QS_HEAD >>> 2)] = newest;
    else u32[d + (QS_TAIL >>> 2)] = tail === last ? 0 : tail + 1;
  }
  unlock(mem, map + MAP_LOCK);
  return 0;
}

/** From a program: an empty map zeroes the program's buffer. */
export function takeOrZero(env: MapEnv, map: number, value: number, end: "head" | "tail", remove: boolean): number {
  const ret = take(env, map, value, end, remove);
  if (ret !== 0) env.mem.zero(value, env.mem.u32[(map + MAP_VALUE_SIZE) >>> 2]!);
  return ret;
}

/** How many elements there are. */
export function count(env: MapEnv, map: number): number {
  const { mem } = env;
  const { u32 } = mem;
  const d = map >>> 2;
  lock(mem, map + MAP_LOCK);
  const used = u32[d + (QS_HEAD >>> 2)]! - u32[d + (QS_TAIL >>> 2)]!;
  unlock(mem, map + MAP_LOCK);
  return used < 0 ? used + u32[d + (MAP_MAX_ENTRIES >>> 2)]! + 1 : used;
}

/** What has no keys has nothing to update, delete or walk by key. */
export function noKeys(): number {
  return -EINVAL;
}
