/**
 * A hash table whose nodes hold references to objects: commands write fds and read ids. A program's lookup takes the
 * bucket's lock, so that it has its reference before anybody can drop the node's own. Kernel counterpart: the fd hash
 * of hashtab.c.
 */
import { OBJ_ID } from "../mem/layout.ts";
import { BPF_EXIST, E2BIG, EINVAL, ENOENT } from "../uapi/index.ts";
import type { MapCreateAttr, MapEnv } from "./env.ts";
import { dropNode, linkHead, lockBucket, takeNode, unlockBucket } from "./hash_nodes.ts";
import { allocCheckHash, checkExists, MAX_BUCKETS } from "./hash_ops.ts";
import {
  allocTable,
  BUCKET_SIZE,
  bucketOf,
  findNode,
  freeTable,
  HT_BUCKETS,
  HT_MASK,
  hashOf,
  isNode,
  NODE_VALUE,
} from "./hashtab.ts";
import { mapField } from "./map.ts";
import { FD_SIZE, type TakeObject } from "./slots.ts";

export function allocCheckObjects(env: MapEnv, attr: MapCreateAttr): number {
  return attr.value_size === FD_SIZE ? allocCheckHash(env, attr) : -EINVAL;
}

export function allocObjects(env: MapEnv, map: number, attr: MapCreateAttr): number {
  if (attr.max_entries > MAX_BUCKETS) return -E2BIG;
  return allocTable(env, map, { nodes: attr.max_entries + env.cpus, links: 0, cpus: 0, counted: true });
}

export function freeObjects(env: MapEnv, map: number): void {
  const { u32 } = env.mem;
  const buckets = mapField(env.mem, map, HT_BUCKETS);
  const end = buckets + (mapField(env.mem, map, HT_MASK) + 1) * BUCKET_SIZE;
  for (let bucket = buckets; bucket < end; bucket += BUCKET_SIZE) {
    for (let node = u32[bucket >>> 2]!; isNode(node); node = u32[node >>> 2]!) env.put(u32[(node + NODE_VALUE) >>> 2]!);
  }
  freeTable(env, map);
}

/** For a program: the object, which the run then holds; 0: there is none. */
export function lookupObject(env: MapEnv, map: number, key: number): number {
  const { mem } = env;
  const hash = hashOf(mem, map, key);
  const bucket = bucketOf(mem, map, hash);
  lockBucket(mem, map, bucket);
  const node = findNode(mem, map, key, hash);
  const object = node === 0 ? 0 : env.keep(mem.u32[(node + NODE_VALUE) >>> 2]!);
  unlockBucket(mem, bucket);
  return object;
}

/** BPF_MAP_LOOKUP_ELEM: the object's id. */
export function copyObjectId(env: MapEnv, map: number, key: number, value: number): number {
  const { mem } = env;
  const hash = hashOf(mem, map, key);
  const bucket = bucketOf(mem, map, hash);
  lockBucket(mem, map, bucket);
  const node = findNode(mem, map, key, hash);
  const id = node === 0 ? 0 : mem.u32[(mem.u32[(node + NODE_VALUE) >>> 2]! + OBJ_ID) >>> 2]!;
  unlockBucket(mem, bucket);
  if (node === 0) return -ENOENT;
  mem.view.setUint32(value, id, true);
  return 0;
}

/** BPF_MAP_UPDATE_ELEM: an element that is there keeps its place in the bucket. The fd is judged before the flags. */
export function updateObject(
  env: MapEnv,
  map: number,
  key: number,
  value: number,
  flags: number,
  takeObject: TakeObject,
): number {
  const object = takeObject(env, map, env.mem.view.getInt32(value, true));
  if (object < 0) return object;
  const gone = flags > BPF_EXIST ? -EINVAL : exchange(env, map, key, object, flags);
  if (gone > 0) env.put(gone);
  if (gone < 0) env.put(object);
  return Math.min(gone, 0);
}

/** Puts the object into the element: what was there before, 0 where there was none, or an errno with nothing changed. */
function exchange(env: MapEnv, map: number, key: number, object: number, flags: number): number {
  const { mem } = env;
  const { u32 } = mem;
  const hash = hashOf(mem, map, key);
  const bucket = bucketOf(mem, map, hash);
  lockBucket(mem, map, bucket);
  const old = findNode(mem, map, key, hash);
  let ret = checkExists(old, flags);
  if (ret === 0) {
    const node = old === 0 ? takeNode(mem, map, key, hash, true) : old;
    if (node < 0) {
      ret = node;
    } else {
      if (old !== 0) ret = u32[(node + NODE_VALUE) >>> 2]!;
      u32[(node + NODE_VALUE) >>> 2] = object;
      if (old === 0) linkHead(mem, map, bucket, node);
    }
  }
  unlockBucket(mem, bucket);
  return ret;
}

export function deleteObject(env: MapEnv, map: number, key: number): number {
  const { mem } = env;
  const hash = hashOf(mem, map, key);
  const bucket = bucketOf(mem, map, hash);
  lockBucket(mem, map, bucket);
  const node = findNode(mem, map, key, hash);
  const object = node === 0 ? 0 : mem.u32[(node + NODE_VALUE) >>> 2]!;
  if (node !== 0) dropNode(env, map, bucket, node);
  unlockBucket(mem, bucket);
  if (node === 0) return -ENOENT;
  env.put(object);
  return 0;
}
