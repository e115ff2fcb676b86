/**
 * Operations that the hash types without eviction share: one element replaces another (HASH), or values are changed in
 * place (per-CPU). Kernel counterpart: hashtab.c.
 */
import { rup8 } from "../mem/layout.ts";
import type { Memory } from "../mem/memory.ts";
import {
  BPF_EXIST,
  BPF_F_LOCK,
  BPF_F_NO_PREALLOC,
  BPF_F_NUMA_NODE,
  BPF_F_ZERO_SEED,
  BPF_NOEXIST,
  E2BIG,
  EEXIST,
  EINVAL,
  ENOENT,
} from "../uapi/index.ts";
import { ACCESS_FLAGS, checkFlags, KMALLOC_MAX, onNode, PERCPU_UNIT_MAX } from "./check.ts";
import { newFields } from "./element_fields.ts";
import type { MapCreateAttr, MapEnv } from "./env.ts";
import { hasSpinLock, readFields, storeInPlace, storeLocked } from "./fields.ts";
import { dropNode, linkHead, lockBucket, replaceNode, takeNode, unlockBucket } from "./hash_nodes.ts";
import { allocTable, bucketOf, findNode, HT_SPAN, hashOf, NODE_SEQ, NODE_VALUE, stillSame } from "./hashtab.ts";
import { MAP_FIELDS, MAP_VALUE_SIZE } from "./map.ts";
import { copyPercpuIn, copyPercpuOut, initPercpu } from "./values.ts";

/** Bytes that the kernel keeps in front of each element's key. */
const KERNEL_ELEM_HEAD = 48;
/** The kernel counts the bytes of its buckets, 16 each, in 32 bits, and the buckets are a power of two. */
export const MAX_BUCKETS: number = 2 ** 27;

// Constants of this module are folded into compiled code; imported ones are read and checked each time.
const W_SEQ: number = NODE_SEQ >>> 2;
const W_VALUE: number = NODE_VALUE >>> 2;
const W_VALUE_SIZE: number = MAP_VALUE_SIZE >>> 2;
const W_FIELDS: number = MAP_FIELDS >>> 2;
const NOT_FOUND: number = -ENOENT;

/** Sizes and flags of any hash type; `flags` are those that the type allows beside the ones for access. */
export function checkHashAttr(attr: MapCreateAttr, flags: number, percpu: boolean): number {
  const bad = checkFlags(attr, flags | ACCESS_FLAGS);
  if (bad !== 0) return bad;
  if (attr.max_entries === 0 || attr.key_size === 0 || attr.value_size === 0) return -EINVAL;
  if (attr.key_size + attr.value_size >= KMALLOC_MAX - KERNEL_ELEM_HEAD) return -E2BIG;
  if (percpu && rup8(attr.value_size) > PERCPU_UNIT_MAX) return -E2BIG;
  return 0;
}

export function allocCheckHash(_env: MapEnv, attr: MapCreateAttr): number {
  return checkHashAttr(attr, BPF_F_NO_PREALLOC | BPF_F_NUMA_NODE | BPF_F_ZERO_SEED, false);
}

export function allocCheckPercpu(_env: MapEnv, attr: MapCreateAttr): number {
  // A node before the sizes.
  if (onNode(attr)) return -EINVAL;
  return checkHashAttr(attr, BPF_F_NO_PREALLOC | BPF_F_NUMA_NODE | BPF_F_ZERO_SEED, true);
}

/** One spare node a CPU: an update of an existing key in a full map takes a node before it gives the old one back. */
export function allocHash(env: MapEnv, map: number, attr: MapCreateAttr): number {
  if (attr.max_entries > MAX_BUCKETS) return -E2BIG;
  return allocTable(env, map, { nodes: attr.max_entries + env.cpus, links: 0, cpus: 1, counted: true });
}

export function allocPercpu(env: MapEnv, map: number, attr: MapCreateAttr): number {
  if (attr.max_entries > MAX_BUCKETS) return -E2BIG;
  return allocTable(env, map, { nodes: attr.max_entries + env.cpus, links: 0, cpus: env.cpus, counted: true });
}

/** Address of the value, or 0. Called by programs; takes no lock. */
export function lookupHash(env: MapEnv, map: number, key: number): number {
  const { mem } = env;
  const node = findNode(mem, map, key, hashOf(mem, map, key));
  return node === 0 ? 0 : mem.u32[(node + NODE_VALUE) >>> 2]!;
}

/** Address of the current CPU's value, or 0. */
export function lookupPercpu(env: MapEnv, map: number, key: number): number {
  return lookupPercpuOf(env, map, key, env.cpu);
}

export function lookupPercpuOf(env: MapEnv, map: number, key: number, cpu: number): number {
  if (cpu >= env.cpus) return 0;
  const value = lookupHash(env, map, key);
  return value === 0 ? 0 : value + cpu * env.mem.u32[(map + HT_SPAN) >>> 2]!;
}

/**
 * BPF_MAP_LOOKUP_ELEM; values with special fields under the element's lock if the caller wants that. A node that was
 * reused while it was copied is looked up again.
 */
export function copyHash(env: MapEnv, map: number, key: number, value: number, flags: number): number {
  const { mem } = env;
  const { i32 } = mem;
  const hash = hashOf(mem, map, key);
  for (;;) {
    const node = findNode(mem, map, key, hash);
    if (node === 0) return NOT_FOUND;
    const n = node >>> 2;
    const seq = i32[n + W_SEQ]!;
    const from = i32[n + W_VALUE]! >>> 0;
    if (i32[(map >>> 2) + W_FIELDS] === 0) mem.copy(value, from, i32[(map >>> 2) + W_VALUE_SIZE]!);
    else readFields(mem, map, value, from, flags);
    if (!mem.shared || stillSame(mem, map, key, node, seq)) return 0;
  }
}

export function copyPercpu(env: MapEnv, map: number, key: number, value: number): number {
  const { mem } = env;
  const from = lookupHash(env, map, key);
  if (from === 0) return -ENOENT;
  copyPercpuOut(env, map, value, from, mem.u32[(map + HT_SPAN) >>> 2]!);
  return 0;
}

/** Existence against flags: 0, or the errno. The kernel asks this before it asks whether there is room. */
export function checkExists(old: number, flags: number): number {
  if (old !== 0 && (flags & BPF_NOEXIST) !== 0) return -EEXIST;
  if (old === 0 && (flags & BPF_EXIST) !== 0) return -ENOENT;
  return 0;
}

/** HASH, from commands and programs: a new element goes to the head of its bucket, then the old one leaves. */
export function updateHash(env: MapEnv, map: number, key: number, value: number, flags: number): number {
  if (flags > BPF_EXIST && lockRefused(env.mem, map, flags)) return -EINVAL;
  const { mem } = env;
  const hash = hashOf(mem, map, key);
  const bucket = bucketOf(mem, map, hash);
  lockBucket(mem, map, bucket);
  const ret = replace(env, map, bucket, hash, key, value, flags);
  unlockBucket(mem, bucket);
  return ret;
}

/** Of an update's flags beyond BPF_EXIST only BPF_F_LOCK is one, for values with a bpf_spin_lock. */
function lockRefused(mem: Memory, map: number, flags: number): boolean {
  return flags > (BPF_F_LOCK | BPF_EXIST) || (flags & ~BPF_F_LOCK) > BPF_EXIST || !hasSpinLock(mem, map);
}

function replace(
  env: MapEnv,
  map: number,
  bucket: number,
  hash: number,
  key: number,
  value: number,
  flags: number,
): number {
  const { mem } = env;
  const old = findNode(mem, map, key, hash);
  const bad = checkExists(old, flags);
  if (bad !== 0) return bad;
  if (flags & BPF_F_LOCK && old !== 0) {
    storeLocked(mem, map, mem.u32[(old + NODE_VALUE) >>> 2]!, value);
    return 0;
  }
  const node = takeNode(mem, map, key, hash, old === 0);
  if (node < 0) return node;
  const d = map >>> 2;
  const to = mem.u32[(node >>> 2) + W_VALUE]!;
  mem.copy(to, value, mem.u32[d + W_VALUE_SIZE]!);
  if (mem.u32[d + W_FIELDS] !== 0) newFields(env, map, to);
  if (old === 0) linkHead(mem, map, bucket, node);
  else replaceNode(env, map, bucket, node, old);
  return 0;
}

/** PERCPU_HASH from a command: `value` holds every CPU's slot. */
export function updatePercpuAll(env: MapEnv, map: number, key: number, value: number, flags: number): number {
  return updatePercpu(env, map, key, value, flags, true);
}

/** PERCPU_HASH from a program: this CPU's slot; in a new element the other CPUs' slots are zero. */
export function updatePercpuOwn(env: MapEnv, map: number, key: number, value: number, flags: number): number {
  return updatePercpu(env, map, key, value, flags, false);
}

function updatePercpu(env: MapEnv, map: number, key: number, src: number, flags: number, all: boolean): number {
  if (flags > BPF_EXIST) return -EINVAL;
  const { mem } = env;
  const hash = hashOf(mem, map, key);
  const bucket = bucketOf(mem, map, hash);
  lockBucket(mem, map, bucket);
  let node = findNode(mem, map, key, hash);
  let ret = checkExists(node, flags);
  if (ret === 0) {
    const isNew = node === 0;
    if (isNew) node = takeNode(mem, map, key, hash, true);
    if (node < 0) {
      ret = node;
    } else {
      storePercpu(env, map, mem.u32[(node + NODE_VALUE) >>> 2]!, src, all, isNew);
      if (isNew) linkHead(mem, map, bucket, node);
    }
  }
  unlockBucket(mem, bucket);
  return ret;
}

/**
 * Writes every CPU's slot, or this CPU's; in an element that is new the values that are not written are zeroed. As in
 * the kernel the bytes behind value_size, which commands read and write too, keep what the element had before.
 */
export function storePercpu(env: MapEnv, map: number, value: number, src: number, all: boolean, isNew: boolean): void {
  const { mem } = env;
  const span = mem.u32[(map + HT_SPAN) >>> 2]!;
  if (isNew && (!all || mem.u32[(map + MAP_FIELDS) >>> 2] !== 0)) initPercpu(env, map, value, span, all ? -1 : env.cpu);
  if (all) copyPercpuIn(env, map, value, src, span);
  else storeInPlace(mem, map, value + env.cpu * span, src);
}

/** From commands and programs. */
export function deleteHash(env: MapEnv, map: number, key: number): number {
  return remove(env, map, key, 0, 0, false);
}

/** BPF_MAP_LOOKUP_AND_DELETE_ELEM: reads and removes under the bucket's lock. */
export function takeHash(env: MapEnv, map: number, key: number, value: number, flags: number): number {
  return remove(env, map, key, value, flags, false);
}

export function takePercpu(env: MapEnv, map: number, key: number, value: number): number {
  return remove(env, map, key, value, 0, true);
}

/** Removes an element, after its value (every CPU's of a per-CPU type) was copied to `value`, unless that is 0. */
function remove(env: MapEnv, map: number, key: number, value: number, flags: number, percpu: boolean): number {
  const { mem } = env;
  const { u32 } = mem;
  const hash = hashOf(mem, map, key);
  const bucket = bucketOf(mem, map, hash);
  lockBucket(mem, map, bucket);
  const node = findNode(mem, map, key, hash);
  if (node !== 0) {
    const from = u32[(node + NODE_VALUE) >>> 2]!;
    if (percpu) copyPercpuOut(env, map, value, from, u32[(map + HT_SPAN) >>> 2]!);
    else if (value !== 0 && u32[(map + MAP_FIELDS) >>> 2] !== 0) readFields(mem, map, value, from, flags);
    else if (value !== 0) mem.copy(value, from, u32[(map + MAP_VALUE_SIZE) >>> 2]!);
    dropNode(env, map, bucket, node);
  }
  unlockBucket(mem, bucket);
  return node === 0 ? -ENOENT : 0;
}
