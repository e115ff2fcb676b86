/**
 * Network devices: numbers that packets can be sent to. A host begins with its loopback; the user adds others. They lie in
 * linear memory as a list that only grows: the number of a device that was removed is 0. Kernel counterpart: dev.c.
 */
import { alloc, free } from "../mem/alloc.ts";
import { OBJ_MAP, SB_DEVICE_COUNT, SB_DEVICE_LOCK, SB_DEVICE_ROOM, SB_DEVICES } from "../mem/layout.ts";
import { lock, unlock } from "../mem/locks.ts";
import type { Memory } from "../mem/memory.ts";
import { EEXIST, ENODEV, ENOMEM } from "../uapi/index.ts";
import { getById, nextId } from "./ids.ts";
import type { Kernel } from "./kernel.ts";
import { entryOfMap } from "./map.ts";

/** The device that every network namespace has. */
export const LOOPBACK = 1;
const ENTRY = 4;
const FIRST_ROOM = 16;

/** Index in the list, or -1. The caller holds the lock. */
function find(mem: Memory, ifindex: number): number {
  const list = mem.u32[SB_DEVICES >>> 2]! >>> 2;
  for (let i = mem.u32[SB_DEVICE_COUNT >>> 2]! - 1; i >= 0; i--) if (mem.u32[list + i] === ifindex) return i;
  return -1;
}

export function deviceExists(mem: Memory, ifindex: number): boolean {
  if (ifindex === LOOPBACK) return true;
  if (ifindex === 0) return false;
  lock(mem, SB_DEVICE_LOCK);
  const found = find(mem, ifindex) >= 0;
  unlock(mem, SB_DEVICE_LOCK);
  return found;
}

/** A new device with this number. 0, -EEXIST or -ENOMEM. */
export function addDevice(mem: Memory, ifindex: number): number {
  if (ifindex === LOOPBACK) return -EEXIST;
  lock(mem, SB_DEVICE_LOCK);
  const ret = find(mem, ifindex) >= 0 ? -EEXIST : append(mem, ifindex);
  unlock(mem, SB_DEVICE_LOCK);
  return ret;
}

function append(mem: Memory, ifindex: number): number {
  const { u32 } = mem;
  const count = u32[SB_DEVICE_COUNT >>> 2]!;
  const room = u32[SB_DEVICE_ROOM >>> 2]!;
  if (count === room) {
    const bigger = room === 0 ? FIRST_ROOM : room * 2;
    const list = alloc(mem, bigger * ENTRY);
    if (list === 0) return -ENOMEM;
    const old = u32[SB_DEVICES >>> 2]!;
    mem.copy(list, old, count * ENTRY);
    u32[SB_DEVICES >>> 2] = list;
    u32[SB_DEVICE_ROOM >>> 2] = bigger;
    if (room !== 0) free(mem, old, room * ENTRY);
  }
  u32[(u32[SB_DEVICES >>> 2]! >>> 2) + count] = ifindex;
  u32[SB_DEVICE_COUNT >>> 2] = count + 1;
  return 0;
}

/** Takes a device away, and out of all maps. 0 or -ENODEV. */
export function removeDevice(kernel: Kernel, ifindex: number): number {
  const { mem } = kernel;
  const { u32 } = mem;
  lock(mem, SB_DEVICE_LOCK);
  const at = find(mem, ifindex);
  if (at >= 0) {
    const list = u32[SB_DEVICES >>> 2]! >>> 2;
    const last = --u32[SB_DEVICE_COUNT >>> 2]!;
    u32[list + at] = u32[list + last]!;
  }
  unlock(mem, SB_DEVICE_LOCK);
  if (at < 0) return -ENODEV;
  dropFromMaps(kernel, ifindex);
  return 0;
}

function dropFromMaps(kernel: Kernel, ifindex: number): void {
  const { mem } = kernel;
  for (let id = nextId(mem, OBJ_MAP, 0); id > 0; id = nextId(mem, OBJ_MAP, id)) {
    const map = getById(mem, OBJ_MAP, id);
    if (map < 0) continue;
    entryOfMap(kernel, map).ops.map_device_gone(kernel, map, ifindex);
    kernel.put(map);
  }
}
