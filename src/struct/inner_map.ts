/**
 * Maps inside maps: the template that an outer map is created with, and which maps may take its place. Kernel
 * counterpart: map_in_map.c.
 */
import { alloc, free } from "../mem/alloc.ts";
import { OBJ_MAP } from "../mem/layout.ts";
import type { Memory } from "../mem/memory.ts";
import { BPF_F_INNER_MAP, EINVAL, ENOMEM, ENOTSUPP } from "../uapi/index.ts";
import type { MapCreateAttr, MapEnv } from "./env.ts";
import { copyRecord, freeFields, sameRecord } from "./fields.ts";
import {
  MAP_BTF,
  MAP_DESC_SIZE,
  MAP_EXCL_SIZE,
  MAP_FLAGS,
  MAP_INNER,
  MAP_KEY_SIZE,
  MAP_MAX_ENTRIES,
  MAP_TYPE,
  MAP_VALUE_SIZE,
  mapField,
} from "./map.ts";

/** What a template takes over from the map behind inner_map_fd. */
const copied: readonly number[] = [MAP_TYPE, MAP_KEY_SIZE, MAP_VALUE_SIZE, MAP_MAX_ENTRIES, MAP_FLAGS, MAP_BTF];
const compared: readonly number[] = [MAP_TYPE, MAP_KEY_SIZE, MAP_VALUE_SIZE, MAP_FLAGS];

/** `map_alloc` of an outer map: the template, then what `allocElements` takes for its elements. */
export function allocOuter(
  env: MapEnv,
  outer: number,
  attr: MapCreateAttr,
  allocElements: (env: MapEnv, outer: number, attr: MapCreateAttr) => number,
): number {
  const bad = setTemplate(env, outer, attr.inner_map_fd);
  if (bad !== 0) return bad;
  const ret = allocElements(env, outer, attr);
  if (ret !== 0) freeTemplate(env, outer);
  return ret;
}

/** What the map behind inner_map_fd looks like; it is not held. 0 or an errno. */
function setTemplate(env: MapEnv, outer: number, fd: number): number {
  const inner = env.take(fd, OBJ_MAP);
  if (inner < 0) return inner;
  const ret = copyTemplate(env, outer, inner);
  env.put(inner);
  return ret;
}

function copyTemplate(env: MapEnv, outer: number, inner: number): number {
  const { mem } = env;
  const { u32 } = mem;
  if (u32[(inner + MAP_INNER) >>> 2] !== 0) return -EINVAL;
  const bad = env.metaEqual(inner, inner);
  if (bad !== 0) return bad;
  if (isExclusive(mem, inner)) return -ENOTSUPP;
  const template = alloc(mem, MAP_DESC_SIZE);
  if (template === 0) return -ENOMEM;
  if (!copyRecord(mem, inner, template)) {
    free(mem, template, MAP_DESC_SIZE);
    return -ENOMEM;
  }
  for (const field of copied) u32[(template + field) >>> 2] = u32[(inner + field) >>> 2]!;
  // The record of special fields refers to types in it.
  const btf = u32[(template + MAP_BTF) >>> 2]!;
  if (btf !== 0) env.hold(btf);
  u32[(outer + MAP_INNER) >>> 2] = template;
  return 0;
}

export function freeTemplate(env: MapEnv, outer: number): void {
  const { mem } = env;
  const template = mapField(mem, outer, MAP_INNER);
  const btf = mapField(mem, template, MAP_BTF);
  freeFields(mem, template);
  free(mem, template, MAP_DESC_SIZE);
  if (btf !== 0) env.put(btf);
}

/**
 * UPDATE of an outer map: the map behind an fd with a reference for the slot. Or an errno: -EINVAL when it does not fit,
 * -ENOTSUPP for an exclusive map.
 */
export function takeInner(env: MapEnv, outer: number, fd: number): number {
  const map = env.take(fd, OBJ_MAP);
  if (map < 0) return map;
  const fits = env.metaEqual(env.mem.u32[(outer + MAP_INNER) >>> 2]!, map) === 0;
  const exclusive = isExclusive(env.mem, map);
  if (fits && !exclusive) return map;
  env.put(map);
  return exclusive ? -ENOTSUPP : -EINVAL;
}

/** A map that only one program may use: who reaches it through another map is not known beforehand. */
function isExclusive(mem: Memory, map: number): boolean {
  return mapField(mem, map, MAP_EXCL_SIZE) !== 0;
}

/** Most types: type, sizes, flags and special fields are the same. */
export function metaEqual(mem: Memory, template: number, map: number): number {
  for (const field of compared) if (mapField(mem, template, field) !== mapField(mem, map, field)) return -EINVAL;
  return sameRecord(mem, template, map) ? 0 : -EINVAL;
}

/** Programs know the bound of an array's index: max_entries is the same, unless the flag says that it may differ. */
export function metaEqualSized(mem: Memory, template: number, map: number): number {
  const { u32 } = mem;
  const bad = metaEqual(mem, template, map);
  if (bad !== 0 || (u32[(template + MAP_FLAGS) >>> 2]! & BPF_F_INNER_MAP) !== 0) return bad;
  return u32[(template + MAP_MAX_ENTRIES) >>> 2] === u32[(map + MAP_MAX_ENTRIES) >>> 2] ? 0 : -EINVAL;
}

/** Types that are never inside another map. */
export function neverInner(): number {
  return -ENOTSUPP;
}
