/**
 * Stacks by the hash of their return addresses: buckets that each hold one stack or none. Kernel counterpart: stackmap.c.
 *
 * Records are there from the beginning, one more than may be in use: into it goes the stack that comes next. Everything
 * happens under the map's lock; a client that dies in a change can lose one record.
 */
import { AREA_NODES, allocAreas, freeAreas } from "../mem/alloc.ts";
import { roundUpPow2 } from "../mem/layout.ts";
import { lock, unlock } from "../mem/locks.ts";
import type { Memory } from "../mem/memory.ts";
import {
  BPF_F_NUMA_NODE,
  BPF_F_RDONLY,
  BPF_F_STACK_BUILD_ID,
  BPF_F_WRONLY,
  BPF_STACK_BUILD_ID_IP,
  bpf_stack_build_id,
  E2BIG,
  EEXIST,
  EINVAL,
  ENOENT,
  ENOMEM,
} from "../uapi/index.ts";
import { indexAt } from "./array_ops.ts";
import { checkFlags } from "./check.ts";
import type { MapCreateAttr, MapEnv } from "./env.ts";
import { jhash } from "./jhash.ts";
import { MAP_FLAGS, MAP_LOCK, MAP_MAX_ENTRIES, MAP_PRIVATE, MAP_VALUE_SIZE, mapField } from "./map.ts";

/** Address of the buckets, u32 each: a record, or 0. */
const T_BUCKETS = MAP_PRIVATE;
/** How many of them: a power of two. */
const T_COUNT: number = MAP_PRIVATE + 4;
const T_RECORDS: number = MAP_PRIVATE + 8;
/** First record that is not in use. */
const T_FREE: number = MAP_PRIVATE + 12;

/** A record: the next free one, the stack's hash, how many frames; then a u64 for each. */
const R_HASH = 4;
const R_DEPTH = 8;
const R_FRAMES = 16;

const BUCKET_SIZE = 4;
const KEY_SIZE = 4;
export const FRAME_SIZE = 8;
const BUILD_ID_SIZE: number = bpf_stack_build_id.size;
const IP_AT: number = bpf_stack_build_id.fields.ip.offset;
/** The sysctl kernel.perf_event_max_stack. */
export const MAX_STACK = 127;
const MOST_ENTRIES = 2 ** 31;

function withBuildIds(flags: number): boolean {
  return (flags & BPF_F_STACK_BUILD_ID) !== 0;
}

/** Bytes of a frame in values. */
function unitOf(flags: number): number {
  return withBuildIds(flags) ? BUILD_ID_SIZE : FRAME_SIZE;
}

/** Most frames of a stack. */
export function stackDepth(mem: Memory, map: number): number {
  return mapField(mem, map, MAP_VALUE_SIZE) / unitOf(mapField(mem, map, MAP_FLAGS));
}

function recordSize(valueSize: number, flags: number): number {
  return R_FRAMES + (valueSize / unitOf(flags)) * FRAME_SIZE;
}

/** Bytes of buckets and of records. */
export function stackTraceSizes(value_size: number, max_entries: number, map_flags: number): readonly [number, number] {
  return [roundUpPow2(max_entries) * BUCKET_SIZE, (max_entries + 1) * recordSize(value_size, map_flags)];
}

export function allocCheckStacks(_env: MapEnv, attr: MapCreateAttr): number {
  const { key_size, value_size, max_entries, map_flags } = attr;
  const bad = checkFlags(attr, BPF_F_NUMA_NODE | BPF_F_RDONLY | BPF_F_WRONLY | BPF_F_STACK_BUILD_ID);
  if (bad !== 0) return bad;
  const unit = unitOf(map_flags);
  if (max_entries === 0 || key_size !== KEY_SIZE || value_size === 0) return -EINVAL;
  if (value_size % unit !== 0 || value_size / unit > MAX_STACK) return -EINVAL;
  return max_entries > MOST_ENTRIES ? -E2BIG : 0;
}

export function allocStacks(env: MapEnv, map: number, attr: MapCreateAttr): number {
  const { mem } = env;
  const { value_size, max_entries, map_flags } = attr;
  const [bucketBytes, recordBytes] = stackTraceSizes(value_size, max_entries, map_flags);
  const buckets = allocAreas(mem, bucketBytes, 1, { kind: AREA_NODES, map });
  if (buckets === 0) return -ENOMEM;
  const records = allocAreas(mem, recordBytes, 1, { kind: AREA_NODES, map });
  if (records === 0) {
    freeAreas(mem, buckets, bucketBytes, 1);
    return -ENOMEM;
  }
  const { u32 } = mem;
  u32[(map + T_BUCKETS) >>> 2] = buckets;
  u32[(map + T_COUNT) >>> 2] = bucketBytes / BUCKET_SIZE;
  u32[(map + T_RECORDS) >>> 2] = records;
  u32[(map + T_FREE) >>> 2] = records;
  const size = recordSize(value_size, map_flags);
  for (let i = 0; i < max_entries; i++) u32[(records + i * size) >>> 2] = records + (i + 1) * size;
  return 0;
}

export function freeStacks(env: MapEnv, map: number): void {
  const { mem } = env;
  const [bucketBytes, recordBytes] = stackTraceSizes(
    mapField(mem, map, MAP_VALUE_SIZE),
    mapField(mem, map, MAP_MAX_ENTRIES),
    mapField(mem, map, MAP_FLAGS),
  );
  freeAreas(mem, mapField(mem, map, T_BUCKETS), bucketBytes, 1);
  freeAreas(mem, mapField(mem, map, T_RECORDS), recordBytes, 1);
}

/** Address of the bucket, or 0 beyond the end. */
function bucketOf(mem: Memory, map: number, id: number): number {
  return id < mapField(mem, map, T_COUNT) ? mapField(mem, map, T_BUCKETS) + id * BUCKET_SIZE : 0;
}

function giveBack(mem: Memory, map: number, record: number): void {
  const { u32 } = mem;
  u32[record >>> 2] = u32[(map + T_FREE) >>> 2]!;
  u32[(map + T_FREE) >>> 2] = record;
}

/** `sameHash`: the hash is enough to take two stacks for one. `reuse`: a stack that is in the way goes. */
export interface StackRules {
  readonly sameHash: boolean;
  readonly reuse: boolean;
}

/** The id of a stack, which is stored if it is new: -EEXIST where another one is in its place, -ENOMEM. */
export function stackId(env: MapEnv, map: number, frames: readonly bigint[], rules: StackRules): number {
  const { mem } = env;
  lock(mem, map + MAP_LOCK);
  const id = findOrStore(mem, map, frames, rules);
  unlock(mem, map + MAP_LOCK);
  return id;
}

function findOrStore(mem: Memory, map: number, frames: readonly bigint[], rules: StackRules): number {
  const { u32 } = mem;
  const record = u32[(map + T_FREE) >>> 2]!;
  if (record === 0) return -ENOMEM;
  const bytes = frames.length * FRAME_SIZE;
  for (let i = 0; i < frames.length; i++) {
    mem.view.setBigUint64(record + R_FRAMES + i * FRAME_SIZE, BigInt.asUintN(64, frames[i]!), true);
  }
  const hash = jhash(mem, record + R_FRAMES, bytes, 0) >>> 0;
  const id = (hash & (mapField(mem, map, T_COUNT) - 1)) >>> 0;
  const bucket = bucketOf(mem, map, id) >>> 2;
  const old = u32[bucket]!;
  if (old !== 0 && u32[(old + R_HASH) >>> 2] === hash) {
    if (rules.sameHash) return id;
    if (u32[(old + R_DEPTH) >>> 2] === frames.length && sameFrames(mem, old, record, bytes)) return id;
  }
  if (old !== 0 && !rules.reuse) return -EEXIST;
  const next = u32[record >>> 2]!;
  if (next === 0) return -ENOMEM;
  u32[(map + T_FREE) >>> 2] = next;
  u32[(record + R_HASH) >>> 2] = hash;
  u32[(record + R_DEPTH) >>> 2] = frames.length;
  u32[bucket] = record;
  if (old !== 0) giveBack(mem, map, old);
  return id;
}

function sameFrames({ u32 }: Memory, a: number, b: number, bytes: number): boolean {
  for (let at = R_FRAMES; at < R_FRAMES + bytes; at += 4) {
    if (u32[(a + at) >>> 2] !== u32[(b + at) >>> 2]) return false;
  }
  return true;
}

/** BPF_MAP_LOOKUP_ELEM: all frames, zeros behind them. Files have no build ids here: frames tell their address. */
export function copyStack(env: MapEnv, map: number, key: number, value: number): number {
  return take(env, map, key, value, false);
}

export function takeStack(env: MapEnv, map: number, key: number, value: number): number {
  return take(env, map, key, value, true);
}

function take(env: MapEnv, map: number, key: number, value: number, remove: boolean): number {
  const { mem } = env;
  const bucket = bucketOf(mem, map, indexAt(env, key));
  if (bucket === 0) return -ENOENT;
  lock(mem, map + MAP_LOCK);
  const record = mem.u32[bucket >>> 2]!;
  if (record !== 0) {
    show(mem, map, record, value);
    if (remove) {
      mem.u32[bucket >>> 2] = 0;
      giveBack(mem, map, record);
    }
  }
  unlock(mem, map + MAP_LOCK);
  return record === 0 ? -ENOENT : 0;
}

function show(mem: Memory, map: number, record: number, value: number): void {
  const { u8, u32, view } = mem;
  const depth = u32[(record + R_DEPTH) >>> 2]!;
  u8.fill(0, value, value + mapField(mem, map, MAP_VALUE_SIZE));
  if (!withBuildIds(mapField(mem, map, MAP_FLAGS))) {
    mem.copy(value, record + R_FRAMES, depth * FRAME_SIZE);
    return;
  }
  for (let i = 0; i < depth; i++) {
    const to = value + i * BUILD_ID_SIZE;
    view.setInt32(to, BPF_STACK_BUILD_ID_IP, true);
    mem.copy(to + IP_AT, record + R_FRAMES + i * FRAME_SIZE, FRAME_SIZE);
  }
}

export function deleteStack(env: MapEnv, map: number, key: number): number {
  const { mem } = env;
  const bucket = bucketOf(mem, map, indexAt(env, key));
  if (bucket === 0) return -E2BIG;
  lock(mem, map + MAP_LOCK);
  const record = mem.u32[bucket >>> 2]!;
  if (record !== 0) {
    mem.u32[bucket >>> 2] = 0;
    giveBack(mem, map, record);
  }
  unlock(mem, map + MAP_LOCK);
  return record === 0 ? -ENOENT : 0;
}

/** Ids in use, ascending; one that is not in use starts again. */
export function nextStack(env: MapEnv, map: number, key: number, next: number): number {
  const { mem } = env;
  const { u32 } = mem;
  const count = mapField(mem, map, T_COUNT);
  const buckets = mapField(mem, map, T_BUCKETS) >>> 2;
  const after = key === 0 ? count : indexAt(env, key);
  let id = after >= count || u32[buckets + after] === 0 ? 0 : after + 1;
  while (id < count && u32[buckets + id] === 0) id++;
  if (id >= count) return -ENOENT;
  mem.view.setUint32(next, id, true);
  return 0;
}

export function countStacks(env: MapEnv, map: number): number {
  const { mem } = env;
  const buckets = mapField(mem, map, T_BUCKETS) >>> 2;
  const end = buckets + mapField(mem, map, T_COUNT);
  let count = 0;
  for (let at = buckets; at < end; at++) if (mem.u32[at] !== 0) count++;
  return count;
}
