/** LOOKUP, UPDATE, DELETE, GET_NEXT_KEY and LOOKUP_AND_DELETE of one element. The order of the checks is the kernel's. */
import { FMODE_READ, FMODE_WRITE } from "../kern/fds.ts";
import type { Kernel } from "../kern/kernel.ts";
import { entryOfMap } from "../kern/map.ts";
import type { MapOps } from "../maps/ops.ts";
import { hasSpinLock } from "../struct/fields.ts";
import { countRefused, MAP_ABI_VALUE_SIZE, MAP_FROZEN, MAP_KEY_SIZE } from "../struct/map.ts";
import { BPF_F_LOCK, bpf_attr, EFAULT, EINVAL, EPERM } from "../uapi/index.ts";
import { intoNowhere, keyAt, pointerAt, u64At } from "./attr.ts";

const { elem } = bpf_attr;
const FD = elem.map_fd.offset;
const KEY = elem.key.offset;
const VALUE = elem.value.offset;
const NEXT_KEY = elem.next_key.offset;
const FLAGS = elem.flags.offset;

// Constants of this module are folded into compiled code; imported ones are read and checked each time.
const W_ABI_VALUE_SIZE: number = MAP_ABI_VALUE_SIZE >>> 2;
const FROZEN: number = MAP_FROZEN;
const READ: number = FMODE_READ;
const WRITE: number = FMODE_WRITE;
const LOCK: number = BPF_F_LOCK;

/** The map for a writing command, in use until `endMap`: -EPERM also when it is frozen. */
export function beginWrite(kernel: Kernel, fd: number, mode: number): number {
  const map = kernel.getMap(fd, mode);
  if (map < 0) return map;
  const { mem } = kernel;
  if ((mem.shared ? mem.atomics.load32(map + FROZEN) : mem.i32[(map + FROZEN) >>> 2]) === 0) return map;
  kernel.endMap();
  return -EPERM;
}

/** Flags of a lookup: none, or BPF_F_LOCK. */
function lookupFlagsBad(kernel: Kernel, attr: number): boolean {
  const { i32 } = kernel.mem;
  return ((i32[(attr + FLAGS) >>> 2]! & ~LOCK) | i32[(attr + FLAGS + 4) >>> 2]!) !== 0;
}

/** BPF_F_LOCK needs a bpf_spin_lock in the value. */
function lockRefused(kernel: Kernel, map: number, attr: number): boolean {
  return (kernel.mem.i32[(attr + FLAGS) >>> 2]! & LOCK) !== 0 && !hasSpinLock(kernel.mem, map);
}

export function mapLookupElem(kernel: Kernel, attr: number): number {
  if (lookupFlagsBad(kernel, attr)) return -EINVAL;
  const { i32 } = kernel.mem;
  const map = kernel.getMap(i32[(attr + FD) >>> 2]!, READ);
  if (map < 0) return map;
  const ret = lookup(kernel, map, attr, i32[(attr + FLAGS) >>> 2]!);
  kernel.endMap();
  return ret;
}

function lookup(kernel: Kernel, map: number, attr: number, flags: number): number {
  if (flags !== 0 && !hasSpinLock(kernel.mem, map)) return -EINVAL;
  const key = keyAt(kernel, map, attr + KEY);
  if (key < 0) return key;
  const { ops, traits } = entryOfMap(kernel, map);
  const value = pointerAt(kernel, attr + VALUE);
  const size = kernel.mem.i32[(map >>> 2) + W_ABI_VALUE_SIZE]! >>> 0;
  const reads = traits.lookupReadsValue;
  if (kernel.userOk(value, size, !reads)) return ops.map_copy_value(kernel, map, key, value, flags);
  return reads ? -EFAULT : lookupNowhere(kernel, ops, map, key, value, flags);
}

/** A closure here, not in `lookup`: that one stays free of allocations. */
function lookupNowhere(kernel: Kernel, ops: MapOps, map: number, key: number, value: number, flags: number): number {
  const size = kernel.mem.u32[(map + MAP_ABI_VALUE_SIZE) >>> 2]!;
  return intoNowhere(kernel, value, size, (to) => ops.map_copy_value(kernel, map, key, to, flags));
}

export function mapUpdateElem(kernel: Kernel, attr: number): number {
  const map = beginWrite(kernel, kernel.mem.i32[(attr + FD) >>> 2]!, WRITE);
  if (map < 0) return map;
  const ret = update(kernel, map, attr);
  kernel.endMap();
  return ret;
}

function update(kernel: Kernel, map: number, attr: number): number {
  if (lockRefused(kernel, map, attr)) return -EINVAL;
  const key = keyAt(kernel, map, attr + KEY);
  if (key < 0) return key;
  const value = pointerAt(kernel, attr + VALUE);
  const size = kernel.mem.i32[(map >>> 2) + W_ABI_VALUE_SIZE]! >>> 0;
  if (!kernel.userOk(value, size, false)) return -EFAULT;
  const { ops } = entryOfMap(kernel, map);
  const ret = ops.map_update_value(kernel, map, key, value, u64At(kernel, attr + FLAGS));
  return countRefused(kernel.mem, map, ret);
}

export function mapDeleteElem(kernel: Kernel, attr: number): number {
  const map = beginWrite(kernel, kernel.mem.u32[(attr + FD) >>> 2]!, WRITE);
  if (map < 0) return map;
  const key = keyAt(kernel, map, attr + KEY);
  const ret = key < 0 ? key : entryOfMap(kernel, map).ops.map_delete_value(kernel, map, key);
  kernel.endMap();
  return ret;
}

export function mapLookupAndDeleteElem(kernel: Kernel, attr: number): number {
  if (lookupFlagsBad(kernel, attr)) return -EINVAL;
  const map = beginWrite(kernel, kernel.mem.u32[(attr + FD) >>> 2]!, FMODE_READ | FMODE_WRITE);
  if (map < 0) return map;
  const ret = lookupAndDelete(kernel, map, attr);
  kernel.endMap();
  return ret;
}

/** The element goes before the value is copied to the caller: a bad pointer loses it, as in the kernel. */
function lookupAndDelete(kernel: Kernel, map: number, attr: number): number {
  if (lockRefused(kernel, map, attr)) return -EINVAL;
  const key = keyAt(kernel, map, attr + KEY);
  if (key < 0) return key;
  const { ops } = entryOfMap(kernel, map);
  const value = pointerAt(kernel, attr + VALUE);
  const size = kernel.mem.u32[(map >>> 2) + W_ABI_VALUE_SIZE]!;
  const flags = kernel.mem.u32[(attr + FLAGS) >>> 2]!;
  if (kernel.userOk(value, size, true)) return ops.map_lookup_and_delete_elem(kernel, map, key, value, flags);
  return intoNowhere(kernel, value, size, (to) => ops.map_lookup_and_delete_elem(kernel, map, key, to, flags));
}

export function mapGetNextKey(kernel: Kernel, attr: number): number {
  const map = kernel.getMap(kernel.mem.u32[(attr + FD) >>> 2]!, FMODE_READ);
  if (map < 0) return map;
  const ret = getNextKey(kernel, map, attr);
  kernel.endMap();
  return ret;
}

function getNextKey(kernel: Kernel, map: number, attr: number): number {
  const key = pointerAt(kernel, attr + KEY) === 0 ? 0 : keyAt(kernel, map, attr + KEY);
  if (key < 0) return key;
  const { ops } = entryOfMap(kernel, map);
  const next = pointerAt(kernel, attr + NEXT_KEY);
  const size = kernel.mem.u32[(map + MAP_KEY_SIZE) >>> 2]!;
  if (kernel.userOk(next, size, true)) return ops.map_get_next_key(kernel, map, key, next);
  return intoNowhere(kernel, next, size, (to) => ops.map_get_next_key(kernel, map, key, to));
}
