/**
 * Operations of the LRU hash types: an update takes a node first, which may evict another element, and looks for the
 * key only then; so an update that fails can evict as well. Kernel counterpart: hashtab.c.
 */
import type { Memory } from "../mem/memory.ts";
import {
  BPF_EXIST,
  BPF_F_NO_COMMON_LRU,
  BPF_F_NO_PREALLOC,
  BPF_F_NUMA_NODE,
  BPF_F_ZERO_SEED,
  E2BIG,
  EINVAL,
  ENOENT,
  ENOMEM,
  ENOTSUPP,
} from "../uapi/index.ts";
import { ACCESS_FLAGS, checkFlags } from "./check.ts";
import type { MapCreateAttr, MapEnv } from "./env.ts";
import { checkExists, checkHashAttr, MAX_BUCKETS } from "./hash_ops.ts";
import {
  allocTable,
  bucketOf,
  findNode,
  freeTable,
  hashOf,
  linkHead,
  lockBucket,
  NODE_VALUE,
  setKey,
  unlinkNode,
  unlockBucket,
} from "./hashtab.ts";
import { allocLru, claimLruNode, freeLru, giveLruNode, referLruNode, settleLruNode, takeLruNode } from "./lru.ts";
import { LRU_LINKS } from "./lru_list.ts";
import { MAP_MAX_ENTRIES, MAP_VALUE_SIZE } from "./map.ts";

/** numa_node of "none". */
const NO_NODE = 0xffff_ffff;

export function allocCheckLru(_env: MapEnv, attr: MapCreateAttr): number {
  const allowed = BPF_F_NO_COMMON_LRU | BPF_F_NUMA_NODE | BPF_F_ZERO_SEED;
  const bad = checkFlags(attr, allowed | BPF_F_NO_PREALLOC | ACCESS_FLAGS);
  if (bad !== 0) return bad;
  // Elements always exist from the beginning.
  if (attr.map_flags & BPF_F_NO_PREALLOC) return -ENOTSUPP;
  const node = attr.map_flags & BPF_F_NUMA_NODE ? attr.numa_node : NO_NODE;
  if (node !== NO_NODE && attr.map_flags & BPF_F_NO_COMMON_LRU) return -EINVAL;
  return checkHashAttr(attr, allowed, false);
}

export function allocLruHash(env: MapEnv, map: number, attr: MapCreateAttr): number {
  return allocTables(env, map, attr, 1);
}

/** With BPF_F_NO_COMMON_LRU every CPU gets as many elements as every other, one at least. */
function allocTables(env: MapEnv, map: number, attr: MapCreateAttr, valueCpus: number): number {
  let nodes = attr.max_entries;
  if (attr.map_flags & BPF_F_NO_COMMON_LRU) nodes = Math.ceil(nodes / env.cpus) * env.cpus;
  if (nodes > MAX_BUCKETS) return -E2BIG;
  env.mem.u32[(map + MAP_MAX_ENTRIES) >>> 2] = nodes;
  const bad = allocTable(env, map, { nodes, links: LRU_LINKS, cpus: valueCpus });
  if (bad !== 0) return bad;
  if (allocLru(env, map) === 0) return 0;
  freeTable(env, map);
  return -ENOMEM;
}

export function freeLruHash(env: MapEnv, map: number): void {
  freeLru(env, map);
  freeTable(env, map);
}

/** From programs: address of the value, or 0; says that the element was used. */
export function lookupLru(env: MapEnv, map: number, key: number): number {
  const { mem } = env;
  const node = findNode(mem, map, key, hashOf(mem, map, key));
  if (node === 0) return 0;
  referLruNode(mem, node);
  return mem.u32[(node + NODE_VALUE) >>> 2]!;
}

/** From commands and programs: a new element takes the old one's place. */
export function updateLru(env: MapEnv, map: number, key: number, value: number, flags: number): number {
  if (flags > BPF_EXIST) return -EINVAL;
  const { mem } = env;
  const hash = hashOf(mem, map, key);
  const node = takeLruNode(env, map, hash);
  if (node === 0) return -ENOMEM;
  setKey(mem, map, node, key, hash);
  mem.copy(mem.u32[(node + NODE_VALUE) >>> 2]!, value, mem.u32[(map + MAP_VALUE_SIZE) >>> 2]!);
  const bucket = bucketOf(mem, map, hash);
  lockBucket(mem, map, bucket);
  const old = findNode(mem, map, key, hash);
  const bad = checkExists(old, flags);
  if (bad === 0) {
    linkHead(mem, map, bucket, node);
    settleLruNode(mem, node);
    if (old !== 0) {
      referLruNode(mem, node);
      unlink(mem, bucket, old);
    }
  }
  unlockBucket(mem, bucket);
  if (bad !== 0) giveLruNode(env, map, node);
  else if (old !== 0) giveLruNode(env, map, old);
  return bad;
}

function unlink(mem: Memory, bucket: number, node: number): void {
  claimLruNode(mem, node);
  unlinkNode(mem, bucket, node);
}

/** From commands and programs. */
export function deleteLru(env: MapEnv, map: number, key: number): number {
  const { mem } = env;
  const hash = hashOf(mem, map, key);
  const bucket = bucketOf(mem, map, hash);
  lockBucket(mem, map, bucket);
  const node = findNode(mem, map, key, hash);
  if (node !== 0) unlink(mem, bucket, node);
  unlockBucket(mem, bucket);
  if (node === 0) return -ENOENT;
  giveLruNode(env, map, node);
  return 0;
}

/** BPF_MAP_LOOKUP_AND_DELETE_ELEM. */
export function takeLru(env: MapEnv, map: number, key: number, value: number): number {
  const { mem } = env;
  const hash = hashOf(mem, map, key);
  const bucket = bucketOf(mem, map, hash);
  lockBucket(mem, map, bucket);
  const node = findNode(mem, map, key, hash);
  if (node !== 0) {
    mem.copy(value, mem.u32[(node + NODE_VALUE) >>> 2]!, mem.u32[(map + MAP_VALUE_SIZE) >>> 2]!);
    unlink(mem, bucket, node);
  }
  unlockBucket(mem, bucket);
  if (node === 0) return -ENOENT;
  giveLruNode(env, map, node);
  return 0;
}
