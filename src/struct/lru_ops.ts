/**
 * Operations of the LRU hash types: an update takes a node first, which may evict another element, and looks for the
 * key only then; so an update that fails can evict as well. Kernel counterpart: hashtab.c.
 */
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
import { ACCESS_FLAGS, checkFlags, onNode } from "./check.ts";
import { newFields } from "./element_fields.ts";
import type { MapCreateAttr, MapEnv } from "./env.ts";
import { readFields } from "./fields.ts";
import { linkHead, setKey } from "./hash_nodes.ts";
import { checkExists, checkHashAttr, MAX_BUCKETS, storePercpu } from "./hash_ops.ts";
import { allocTable, bucketOf, findNode, freeTable, HT_SPAN, hashOf, NODE_VALUE } from "./hashtab.ts";
import {
  allocLru,
  dropLruNode,
  enterLruNode,
  freeLru,
  lockLru,
  referLruNode,
  returnLruNode,
  takeLruNode,
  unlockLru,
} from "./lru.ts";
import { LRU_LINKS } from "./lru_list.ts";
import { MAP_FIELDS, MAP_MAX_ENTRIES, MAP_VALUE_SIZE } from "./map.ts";
import { copyPercpuOut } from "./values.ts";

export function allocCheckLru(_env: MapEnv, attr: MapCreateAttr): number {
  return allocCheck(attr, false);
}

export function allocCheckLruPercpu(_env: MapEnv, attr: MapCreateAttr): number {
  return allocCheck(attr, true);
}

function allocCheck(attr: MapCreateAttr, percpu: boolean): number {
  const allowed = BPF_F_NO_COMMON_LRU | BPF_F_NUMA_NODE | BPF_F_ZERO_SEED;
  const bad = checkFlags(attr, allowed | BPF_F_NO_PREALLOC | ACCESS_FLAGS);
  if (bad !== 0) return bad;
  // Elements always exist from the beginning.
  if (attr.map_flags & BPF_F_NO_PREALLOC) return -ENOTSUPP;
  if (onNode(attr) && (percpu || attr.map_flags & BPF_F_NO_COMMON_LRU)) return -EINVAL;
  return checkHashAttr(attr, allowed, percpu);
}

export function allocLruHash(env: MapEnv, map: number, attr: MapCreateAttr): number {
  return allocTables(env, map, attr, 1);
}

export function allocLruPercpu(env: MapEnv, map: number, attr: MapCreateAttr): number {
  return allocTables(env, map, attr, env.cpus);
}

/** With BPF_F_NO_COMMON_LRU every CPU gets as many elements as every other, one at least. */
function allocTables(env: MapEnv, map: number, attr: MapCreateAttr, valueCpus: number): number {
  let nodes = attr.max_entries;
  if (attr.map_flags & BPF_F_NO_COMMON_LRU) nodes = Math.ceil(nodes / env.cpus) * env.cpus;
  if (nodes > MAX_BUCKETS) return -E2BIG;
  env.mem.u32[(map + MAP_MAX_ENTRIES) >>> 2] = nodes;
  const bad = allocTable(env, map, { nodes, links: LRU_LINKS, cpus: valueCpus, counted: false });
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

/** From programs: the same, the current CPU's value. */
export function lookupLruPercpu(env: MapEnv, map: number, key: number): number {
  return lookupLruPercpuOf(env, map, key, env.cpu);
}

export function lookupLruPercpuOf(env: MapEnv, map: number, key: number, cpu: number): number {
  if (cpu >= env.cpus) return 0;
  const value = lookupLru(env, map, key);
  return value === 0 ? 0 : value + cpu * env.mem.u32[(map + HT_SPAN) >>> 2]!;
}

/** From commands and programs: a new element takes the old one's place. */
export function updateLru(env: MapEnv, map: number, key: number, value: number, flags: number): number {
  if (flags > BPF_EXIST) return -EINVAL;
  const { mem } = env;
  const hash = hashOf(mem, map, key);
  lockLru(env, map);
  const ret = replace(env, map, hash, key, value, flags);
  unlockLru(mem, map);
  return ret;
}

function replace(env: MapEnv, map: number, hash: number, key: number, value: number, flags: number): number {
  const { mem } = env;
  const node = takeLruNode(env, map);
  if (node === 0) return -ENOMEM;
  const old = findNode(mem, map, key, hash);
  const bad = checkExists(old, flags);
  if (bad !== 0) {
    returnLruNode(env, map, node);
    return bad;
  }
  setKey(mem, map, node, key, hash);
  const to = mem.u32[(node + NODE_VALUE) >>> 2]!;
  mem.copy(to, value, mem.u32[(map + MAP_VALUE_SIZE) >>> 2]!);
  if (mem.u32[(map + MAP_FIELDS) >>> 2] !== 0) newFields(env, map, to);
  const bucket = bucketOf(mem, map, hash);
  linkHead(mem, map, bucket, node);
  enterLruNode(env, map, node);
  if (old !== 0) {
    referLruNode(mem, node);
    dropLruNode(env, map, bucket, old);
  }
  return 0;
}

/** LRU_PERCPU_HASH from a command: `value` holds every CPU's slot. */
export function updateLruPercpuAll(env: MapEnv, map: number, key: number, value: number, flags: number): number {
  return updatePercpu(env, map, key, value, flags, true);
}

/** LRU_PERCPU_HASH from a program: this CPU's slot; in a new element the other CPUs' slots are zero. */
export function updateLruPercpuOwn(env: MapEnv, map: number, key: number, value: number, flags: number): number {
  return updatePercpu(env, map, key, value, flags, false);
}

function updatePercpu(env: MapEnv, map: number, key: number, src: number, flags: number, all: boolean): number {
  if (flags > BPF_EXIST) return -EINVAL;
  const { mem } = env;
  const hash = hashOf(mem, map, key);
  lockLru(env, map);
  const ret = storeOrAdd(env, map, hash, key, src, flags, all);
  unlockLru(mem, map);
  return ret;
}

/** Values change in place; a node is taken first all the same, unless the key must be there already. */
function storeOrAdd(
  env: MapEnv,
  map: number,
  hash: number,
  key: number,
  src: number,
  flags: number,
  all: boolean,
): number {
  const { mem } = env;
  let node = 0;
  if (flags !== BPF_EXIST) {
    node = takeLruNode(env, map);
    if (node === 0) return -ENOMEM;
  }
  const old = findNode(mem, map, key, hash);
  const bad = checkExists(old, flags);
  if (bad === 0) {
    const to = old !== 0 ? old : node;
    // The key may lie in the value that the node had.
    if (old === 0) setKey(mem, map, node, key, hash);
    storePercpu(env, map, mem.u32[(to + NODE_VALUE) >>> 2]!, src, all, old === 0);
    if (old === 0) {
      linkHead(mem, map, bucketOf(mem, map, hash), node);
      enterLruNode(env, map, node);
      return 0;
    }
    referLruNode(mem, old);
  }
  if (node !== 0) returnLruNode(env, map, node);
  return bad;
}

/** From commands and programs. */
export function deleteLru(env: MapEnv, map: number, key: number): number {
  return remove(env, map, key, 0, false);
}

/** BPF_MAP_LOOKUP_AND_DELETE_ELEM. */
export function takeLru(env: MapEnv, map: number, key: number, value: number): number {
  return remove(env, map, key, value, false);
}

export function takeLruPercpu(env: MapEnv, map: number, key: number, value: number): number {
  return remove(env, map, key, value, true);
}

/** Removes an element, after its value (every CPU's of a per-CPU type) was copied to `value`, unless that is 0. */
function remove(env: MapEnv, map: number, key: number, value: number, percpu: boolean): number {
  const { mem } = env;
  const { u32 } = mem;
  const hash = hashOf(mem, map, key);
  lockLru(env, map);
  const node = findNode(mem, map, key, hash);
  if (node !== 0) {
    const from = u32[(node + NODE_VALUE) >>> 2]!;
    if (percpu) copyPercpuOut(env, map, value, from, u32[(map + HT_SPAN) >>> 2]!);
    else if (value !== 0 && u32[(map + MAP_FIELDS) >>> 2] !== 0) readFields(mem, map, value, from, 0);
    else if (value !== 0) mem.copy(value, from, u32[(map + MAP_VALUE_SIZE) >>> 2]!);
    dropLruNode(env, map, bucketOf(mem, map, hash), node);
  }
  unlockLru(mem, map);
  return node === 0 ? -ENOENT : 0;
}
