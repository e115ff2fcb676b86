/** How many elements a hash table has: the table's own count, or by its nodes where the type on it keeps none. */
import { SB_DEATHS } from "../mem/layout.ts";
import type { Memory } from "../mem/memory.ts";
import type { MapEnv } from "./env.ts";
import { BUCKET_LOCK, forEachUsedNode, lockBucket, unlockBucket } from "./hash_nodes.ts";
import { BUCKET_SIZE, HT_BUCKETS, HT_COUNT, HT_MASK, NODE_SEQ, SEQ_LINKED } from "./hashtab.ts";
import { lockLru, unlockLru } from "./lru.ts";
import { MAP_DEATHS, mapField } from "./map.ts";

export function countHash(env: MapEnv, map: number): number {
  settle(env.mem, map);
  return mapField(env.mem, map, HT_COUNT);
}

/** By the nodes in chains; taking the lock sets right what a client left that died with it. */
export function countLru(env: MapEnv, map: number): number {
  const { mem } = env;
  lockLru(env, map);
  let count = 0;
  forEachUsedNode(mem, map, (node) => {
    count += mem.u32[(node + NODE_SEQ) >>> 2]! & SEQ_LINKED;
  });
  unlockLru(mem, map);
  return count;
}

/**
 * After the death of a client: a bucket that it had locked may be half changed, and nobody has been there since. Taking
 * its lock repairs it, and the count with it.
 */
function settle(mem: Memory, map: number): void {
  if (!mem.shared) return;
  const deaths = mem.atomics.load32(SB_DEATHS);
  if (mem.atomics.load32(map + MAP_DEATHS) === deaths) return;
  let bucket = mapField(mem, map, HT_BUCKETS);
  const end = bucket + (mapField(mem, map, HT_MASK) + 1) * BUCKET_SIZE;
  for (; bucket < end; bucket += BUCKET_SIZE) {
    if (mem.u32[(bucket + BUCKET_LOCK) >>> 2] === 0) continue;
    lockBucket(mem, map, bucket);
    unlockBucket(mem, bucket);
  }
  mem.atomics.store32(map + MAP_DEATHS, deaths);
}
