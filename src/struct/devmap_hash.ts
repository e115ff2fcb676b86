/**
 * Devices by any number: a table with chains whose newest entry comes first. All memory is taken when the map is
 * created. Writers and commands take the map's lock, programs none: an entry's memory stays an entry's. Kernel
 * counterpart: the hash part of devmap.c.
 */
import { AREA_NODES, allocAreas, freeAreas } from "../mem/alloc.ts";
import { OBJ_ID, roundUpPow2 } from "../mem/layout.ts";
import { lock, unlock } from "../mem/locks.ts";
import type { Memory } from "../mem/memory.ts";
import { BPF_EXIST, BPF_F_RDONLY_PROG, BPF_NOEXIST, E2BIG, EEXIST, EINVAL, ENOENT, ENOMEM } from "../uapi/index.ts";
import { indexAt } from "./array_ops.ts";
import type { MapCreateAttr, MapEnv } from "./env.ts";
import { MAP_LOCK, MAP_MAX_ENTRIES, MAP_PRIVATE, mapField } from "./map.ts";
import { copyFound, type RedirectKind, takeTargetProg, targetFd } from "./redirect_slots.ts";
import { allocValues } from "./values.ts";

const H_VALUES = MAP_PRIVATE;
const H_NODES: number = MAP_PRIVATE + 4;
const H_BUCKETS: number = MAP_PRIVATE + 8;
/** Buckets less one. */
const H_MASK: number = MAP_PRIVATE + 12;
const H_COUNT: number = MAP_PRIVATE + 16;
/** Entries that were never used begin here; a list of those that were given back. Both count from 1. */
const H_VIRGIN: number = MAP_PRIVATE + 20;
const H_FREE: number = MAP_PRIVATE + 24;

/** An entry: the number of the next one in its chain or in the free list, its key, its program or 0. */
const N_KEY = 4;
const N_PROG = 8;
export const DEVICE_NODE = 16;
const VALUE_SIZE = 8;
const BUCKET_SIZE = 4;

export function allocDevices(env: MapEnv, map: number, { max_entries, value_size }: MapCreateAttr): number {
  const { mem } = env;
  const { u32 } = mem;
  const buckets = roundUpPow2(max_entries);
  const values = allocValues(mem, map, max_entries, value_size, BPF_F_RDONLY_PROG, 1);
  const nodes = values === 0 ? 0 : allocAreas(mem, max_entries * DEVICE_NODE, 1, { kind: AREA_NODES, map });
  const table = nodes === 0 ? 0 : allocAreas(mem, buckets * BUCKET_SIZE, 1, { kind: AREA_NODES, map });
  if (table === 0) {
    if (values !== 0) freeAreas(mem, values, max_entries * VALUE_SIZE, 1);
    if (nodes !== 0) freeAreas(mem, nodes, max_entries * DEVICE_NODE, 1);
    return -ENOMEM;
  }
  u32[(map + H_VALUES) >>> 2] = values;
  u32[(map + H_NODES) >>> 2] = nodes;
  u32[(map + H_BUCKETS) >>> 2] = table;
  u32[(map + H_MASK) >>> 2] = buckets - 1;
  u32[(map + H_VIRGIN) >>> 2] = 1;
  return 0;
}

export function freeDevices(env: MapEnv, map: number): void {
  const { mem } = env;
  const count = mapField(mem, map, MAP_MAX_ENTRIES);
  for (let key = firstKey(mem, map); key !== undefined; key = firstKey(mem, map)) remove(env, map, key);
  freeAreas(mem, mapField(mem, map, H_VALUES), count * VALUE_SIZE, 1);
  freeAreas(mem, mapField(mem, map, H_NODES), count * DEVICE_NODE, 1);
  freeAreas(mem, mapField(mem, map, H_BUCKETS), (mapField(mem, map, H_MASK) + 1) * BUCKET_SIZE, 1);
}

const bucketOf = (mem: Memory, map: number, key: number): number =>
  mapField(mem, map, H_BUCKETS) + (key & mapField(mem, map, H_MASK)) * BUCKET_SIZE;
const nodeAt = (mem: Memory, map: number, n: number): number => mapField(mem, map, H_NODES) + (n - 1) * DEVICE_NODE;
const valueAt = (mem: Memory, map: number, n: number): number => mapField(mem, map, H_VALUES) + (n - 1) * VALUE_SIZE;

/** Number of the entry with this key, or 0. */
function find(mem: Memory, map: number, key: number): number {
  const { u32 } = mem;
  for (let n = u32[bucketOf(mem, map, key) >>> 2]!; n !== 0; n = u32[nodeAt(mem, map, n) >>> 2]!) {
    if (u32[(nodeAt(mem, map, n) + N_KEY) >>> 2] === key) return n;
  }
  return 0;
}

/** Address of the value with this key, or 0. */
export function deviceAt(mem: Memory, map: number, key: number): number {
  const n = find(mem, map, key);
  return n === 0 ? 0 : valueAt(mem, map, n);
}

export function lookupDevice(env: MapEnv, map: number, key: number): number {
  return deviceAt(env.mem, map, indexAt(env, key));
}

export function copyDevice(env: MapEnv, map: number, key: number, value: number): number {
  return copyFound(env, map, key, value, lookupDevice);
}

/** Takes the entry out of its chain. The caller holds the lock. */
function unlink(mem: Memory, map: number, n: number): void {
  const { u32 } = mem;
  const node = nodeAt(mem, map, n);
  let at = bucketOf(mem, map, u32[(node + N_KEY) >>> 2]!);
  while (u32[at >>> 2] !== n) at = nodeAt(mem, map, u32[at >>> 2]!);
  u32[at >>> 2] = u32[node >>> 2]!;
}

function takeEntry(mem: Memory, map: number): number {
  const { u32 } = mem;
  const free = mapField(mem, map, H_FREE);
  if (free === 0) return u32[(map + H_VIRGIN) >>> 2]!++;
  u32[(map + H_FREE) >>> 2] = u32[nodeAt(mem, map, free) >>> 2]!;
  return free;
}

/** An entry that is there is as good as a new one: it too comes first in its chain. */
export function updateDevice(
  env: MapEnv,
  map: number,
  keyAt: number,
  value: number,
  flags: number,
  kind: RedirectKind,
): number {
  if (flags > BPF_EXIST) return -EINVAL;
  const { mem } = env;
  const key = indexAt(env, keyAt);
  const number = mem.view.getUint32(value, true);
  if (number === 0) return -EINVAL;
  if (flags === BPF_NOEXIST && find(mem, map, key) !== 0) return -EEXIST;
  const judged = kind.judge(env, key, number, false);
  if (judged < 0) return judged;
  const prog = takeTargetProg(env, map, targetFd(env, map, value), kind);
  if (prog < 0) return prog;
  lock(mem, map + MAP_LOCK);
  const old = store(mem, map, key, number, prog, flags);
  unlock(mem, map + MAP_LOCK);
  const unused = old < 0 ? prog : old;
  if (unused !== 0) env.put(unused);
  return Math.min(old, 0);
}

/** Returns the program that was there before, 0, or an errno. */
function store(mem: Memory, map: number, key: number, number: number, prog: number, flags: number): number {
  const { u32 } = mem;
  let n = find(mem, map, key);
  if (n !== 0 && flags === BPF_NOEXIST) return -EEXIST;
  if (n === 0 && mapField(mem, map, H_COUNT) === mapField(mem, map, MAP_MAX_ENTRIES)) return -E2BIG;
  let old = 0;
  if (n === 0) {
    n = takeEntry(mem, map);
    u32[(map + H_COUNT) >>> 2]!++;
  } else {
    old = u32[(nodeAt(mem, map, n) + N_PROG) >>> 2]!;
    unlink(mem, map, n);
  }
  const node = nodeAt(mem, map, n);
  const at = valueAt(mem, map, n) >>> 2;
  u32[at] = number;
  u32[at + 1] = prog === 0 ? 0 : u32[(prog + OBJ_ID) >>> 2]!;
  u32[(node + N_KEY) >>> 2] = key;
  u32[(node + N_PROG) >>> 2] = prog;
  const bucket = bucketOf(mem, map, key) >>> 2;
  u32[node >>> 2] = u32[bucket]!;
  u32[bucket] = n;
  return old;
}

export function deleteDevice(env: MapEnv, map: number, key: number): number {
  return remove(env, map, indexAt(env, key)) ? 0 : -ENOENT;
}

function remove(env: MapEnv, map: number, key: number): boolean {
  const { mem } = env;
  const { u32 } = mem;
  lock(mem, map + MAP_LOCK);
  const n = find(mem, map, key);
  let prog = 0;
  if (n !== 0) {
    const node = nodeAt(mem, map, n);
    prog = u32[(node + N_PROG) >>> 2]!;
    unlink(mem, map, n);
    u32[node >>> 2] = mapField(mem, map, H_FREE);
    u32[(map + H_FREE) >>> 2] = n;
    u32[(map + H_COUNT) >>> 2]!--;
  }
  unlock(mem, map + MAP_LOCK);
  if (prog !== 0) env.put(prog);
  return n !== 0;
}

/** Key of the first entry of bucket `from` or one behind it. */
function keyFrom(mem: Memory, map: number, from: number): number | undefined {
  const { u32 } = mem;
  const buckets = mapField(mem, map, H_BUCKETS) >>> 2;
  const mask = mapField(mem, map, H_MASK);
  for (let b = from; b <= mask; b++) {
    const n = u32[buckets + b]!;
    if (n !== 0) return u32[(nodeAt(mem, map, n) + N_KEY) >>> 2]!;
  }
  return undefined;
}

function firstKey(mem: Memory, map: number): number | undefined {
  return keyFrom(mem, map, 0);
}

/** A key that is not there is followed by the first one. */
export function nextDevice(env: MapEnv, map: number, key: number, next: number): number {
  const { mem } = env;
  lock(mem, map + MAP_LOCK);
  const found = key === 0 ? firstKey(mem, map) : keyBehind(mem, map, indexAt(env, key));
  unlock(mem, map + MAP_LOCK);
  if (found === undefined) return -ENOENT;
  mem.view.setUint32(next, found, true);
  return 0;
}

function keyBehind(mem: Memory, map: number, key: number): number | undefined {
  const { u32 } = mem;
  const n = find(mem, map, key);
  if (n === 0) return firstKey(mem, map);
  const next = u32[nodeAt(mem, map, n) >>> 2]!;
  if (next !== 0) return u32[(nodeAt(mem, map, next) + N_KEY) >>> 2]!;
  return keyFrom(mem, map, (key & mapField(mem, map, H_MASK)) + 1);
}

export function countDevices(env: MapEnv, map: number): number {
  return mapField(env.mem, map, H_COUNT);
}

/** Removes every entry of this device: it is gone. */
export function dropDevices(env: MapEnv, map: number, ifindex: number): void {
  const { mem } = env;
  const { u32 } = mem;
  const gone: number[] = [];
  lock(mem, map + MAP_LOCK);
  for (let b = mapField(mem, map, H_MASK); b >= 0; b--) {
    for (let n = u32[(mapField(mem, map, H_BUCKETS) >>> 2) + b]!; n !== 0; n = u32[nodeAt(mem, map, n) >>> 2]!) {
      if (u32[valueAt(mem, map, n) >>> 2] === ifindex) gone.push(u32[(nodeAt(mem, map, n) + N_KEY) >>> 2]!);
    }
  }
  unlock(mem, map + MAP_LOCK);
  for (const key of gone) remove(env, map, key);
}
