/**
 * Arrays whose slots hold references to objects: maps, or programs. Commands write fds and read ids; a slot holds the
 * object's address, which no program can reach. A slot has a lock: who reads it takes a reference before anybody can
 * drop the slot's own. Kernel counterpart: the fd arrays of arraymap.c.
 */
import { AREA_NODES, allocAreas, freeAreas } from "../mem/alloc.ts";
import { OBJ_ID } from "../mem/layout.ts";
import { lock, unlock } from "../mem/locks.ts";
import type { Memory } from "../mem/memory.ts";
import { BPF_F_NUMA_NODE, BPF_F_RDONLY, BPF_F_WRONLY, E2BIG, EINVAL, ENOENT, ENOMEM } from "../uapi/index.ts";
import { indexAt } from "./array_ops.ts";
import { checkFlags } from "./check.ts";
import type { MapCreateAttr, MapEnv } from "./env.ts";
import { MAP_MAX_ENTRIES, MAP_PRIVATE, mapField } from "./map.ts";

/** Address of the first slot. */
export const SLOTS: number = MAP_PRIVATE;
/** The object, or 0; the lock. */
const SLOT_LOCK = 4;
export const SLOT_SIZE = 8;

/** Address of the map's first slot. */
export function slotsOf(mem: Memory, map: number): number {
  return mem.u32[(map + SLOTS) >>> 2]!;
}
/** Bytes of a value in commands: an fd, or an id. */
export const FD_SIZE = 4;

/** `map_fd_get_ptr`: the object that an fd stands for, with a reference for the slot, or an errno. */
export type TakeObject = (env: MapEnv, map: number, fd: number) => number;

export function allocCheckSlots(_env: MapEnv, attr: MapCreateAttr): number {
  if (attr.max_entries === 0 || attr.key_size !== FD_SIZE || attr.value_size !== FD_SIZE) return -EINVAL;
  return checkFlags(attr, BPF_F_NUMA_NODE | BPF_F_RDONLY | BPF_F_WRONLY);
}

export function allocSlots(env: MapEnv, map: number, attr: MapCreateAttr): number {
  const slots = allocAreas(env.mem, attr.max_entries * SLOT_SIZE, 1, { kind: AREA_NODES, map });
  if (slots === 0) return -ENOMEM;
  env.mem.u32[(map + SLOTS) >>> 2] = slots;
  return 0;
}

export function freeSlots(env: MapEnv, map: number): void {
  clearSlots(env, map);
  const { u32 } = env.mem;
  freeAreas(env.mem, u32[(map + SLOTS) >>> 2]!, u32[(map + MAP_MAX_ENTRIES) >>> 2]! * SLOT_SIZE, 1);
}

/** Empties all slots. The caller holds the map: the last reference to an object in it may be what holds the map. */
export function clearSlots(env: MapEnv, map: number): void {
  const { u32 } = env.mem;
  const slots = u32[(map + SLOTS) >>> 2]!;
  const end = slots + u32[(map + MAP_MAX_ENTRIES) >>> 2]! * SLOT_SIZE;
  for (let slot = slots; slot < end; slot += SLOT_SIZE) if (u32[slot >>> 2] !== 0) store(env, slot, 0);
}

/** How many slots are not empty. */
export function countSlots(env: MapEnv, map: number): number {
  const { u32 } = env.mem;
  const slots = mapField(env.mem, map, SLOTS);
  const end = slots + mapField(env.mem, map, MAP_MAX_ENTRIES) * SLOT_SIZE;
  let count = 0;
  for (let slot = slots; slot < end; slot += SLOT_SIZE) if (u32[slot >>> 2] !== 0) count++;
  return count;
}

/** Address of the slot, or 0 beyond the end. */
function slotOf(env: MapEnv, map: number, index: number): number {
  const { u32 } = env.mem;
  return index < u32[(map + MAP_MAX_ENTRIES) >>> 2]! ? u32[(map + SLOTS) >>> 2]! + index * SLOT_SIZE : 0;
}

/** Puts an object, or nothing, into a slot and lets go of what was there. Returns whether there was something. */
function store(env: MapEnv, slot: number, object: number): boolean {
  const { mem } = env;
  const { u32 } = mem;
  lock(mem, slot + SLOT_LOCK);
  const old = u32[slot >>> 2]!;
  u32[slot >>> 2] = object;
  unlock(mem, slot + SLOT_LOCK);
  if (old !== 0) env.put(old);
  return old !== 0;
}

/** For a program: the object at an index, which the run then holds; 0: there is none. */
export function keepSlot(env: MapEnv, map: number, index: number): number {
  const { mem } = env;
  const slot = slotOf(env, map, index);
  if (slot === 0) return 0;
  lock(mem, slot + SLOT_LOCK);
  const object = mem.u32[slot >>> 2]!;
  const kept = object === 0 ? 0 : env.keep(object);
  unlock(mem, slot + SLOT_LOCK);
  return kept;
}

/** The object at an index, with a reference; 0: there is none. */
export function takeSlot(env: MapEnv, map: number, index: number): number {
  const { mem } = env;
  const slot = slotOf(env, map, index);
  if (slot === 0) return 0;
  lock(mem, slot + SLOT_LOCK);
  const object = mem.u32[slot >>> 2]!;
  if (object !== 0) env.hold(object);
  unlock(mem, slot + SLOT_LOCK);
  return object;
}

/** Puts an object into a slot, with the caller's reference. 0 or -E2BIG, and the reference stays the caller's. */
export function setSlot(env: MapEnv, map: number, index: number, object: number): number {
  const slot = slotOf(env, map, index);
  if (slot === 0) return -E2BIG;
  store(env, slot, object);
  return 0;
}

export function lookupSlot(env: MapEnv, map: number, key: number): number {
  return keepSlot(env, map, indexAt(env, key));
}

/** BPF_MAP_LOOKUP_ELEM: the object's id. */
export function copySlotId(env: MapEnv, map: number, key: number, value: number): number {
  const { mem } = env;
  const slot = slotOf(env, map, indexAt(env, key));
  if (slot === 0) return -ENOENT;
  lock(mem, slot + SLOT_LOCK);
  const object = mem.u32[slot >>> 2]!;
  const id = object === 0 ? 0 : mem.u32[(object + OBJ_ID) >>> 2]!;
  unlock(mem, slot + SLOT_LOCK);
  if (object === 0) return -ENOENT;
  mem.view.setUint32(value, id, true);
  return 0;
}

/** BPF_MAP_UPDATE_ELEM: the object behind the fd that the value is. */
export function updateSlot(
  env: MapEnv,
  map: number,
  key: number,
  value: number,
  flags: number,
  takeObject: TakeObject,
): number {
  if (flags !== 0) return -EINVAL;
  const slot = slotOf(env, map, indexAt(env, key));
  if (slot === 0) return -E2BIG;
  const object = takeObject(env, map, env.mem.view.getInt32(value, true));
  if (object < 0) return object;
  store(env, slot, object);
  return 0;
}

export function deleteSlot(env: MapEnv, map: number, key: number): number {
  const slot = slotOf(env, map, indexAt(env, key));
  if (slot === 0) return -E2BIG;
  return store(env, slot, 0) ? 0 : -ENOENT;
}
