/**
 * Nodes for the elements of LRU maps: taken from what is free, or from what was not used lately. New elements are
 * pending with the CPU that made them, in its share, until it needs more; then they come into the map's common lists.
 * With BPF_F_NO_COMMON_LRU every CPU has lists and elements of its own instead, and nothing is pending.
 *
 * One lock a map, for its lists and all its chains: updates need the lists anyway, and evict from any chain. It is held
 * where nothing else is said. The chains say what is in the map, and all lists can be made again from them.
 */
import { alloc, free } from "../mem/alloc.ts";
import { lock, unlock } from "../mem/locks.ts";
import type { Memory } from "../mem/memory.ts";
import { BPF_F_NO_COMMON_LRU, ENOMEM } from "../uapi/index.ts";
import type { MapEnv } from "./env.ts";
import { dropStale, emptyNode, forEachUsedNode, lockBucket, unlinkNode, unlockBucket } from "./hash_nodes.ts";
import {
  BUCKET_SIZE,
  HT_BUCKETS,
  HT_COUNTED,
  HT_MASK,
  HT_PRIVATE,
  isNode,
  NODE_HEAD,
  NODE_SEQ,
  SEQ_LINKED,
} from "./hashtab.ts";
import {
  CPU,
  enter,
  enterPending,
  flushPending,
  IN,
  INACTIVE,
  initLists,
  initShare,
  LISTS_SIZE,
  leave,
  leavePending,
  moveFree,
  PENDING,
  putFree,
  REF,
  rotate,
  shrink,
  steal,
  takeFree,
  UNUSED,
} from "./lru_list.ts";
import { MAP_FLAGS, MAP_LOCK, MAP_MAX_ENTRIES } from "./map.ts";

/**
 * In the map's descriptor: address of the common lists, behind which each CPU has its share or its own lists; and how
 * many elements a share gets at once.
 */
export const LRU_LISTS: number = HT_PRIVATE;
export const LRU_TARGET: number = HT_PRIVATE + 4;
const TARGET_MAX = 128;
/** Elements that are looked at in one go. */
export const SCANS = 128;
/** The same where each CPU has its own lists, and how many elements those give up at once. */
export const OWN_SCANS = 4;
export const OWN_TARGET = 4;

function hasOwn(mem: Memory, map: number): boolean {
  return (mem.u32[(map + MAP_FLAGS) >>> 2]! & BPF_F_NO_COMMON_LRU) !== 0;
}

/** What a CPU has: its share beside the common lists, or its own lists. */
function cpuLists(mem: Memory, map: number, cpu: number): number {
  return mem.u32[(map + LRU_LISTS) >>> 2]! + (cpu + 1) * LISTS_SIZE;
}

function listsBytes(cpus: number): number {
  return (cpus + 1) * LISTS_SIZE;
}

/** Lists for a table that was just allocated with max_entries nodes. 0 or -ENOMEM. */
export function allocLru(env: MapEnv, map: number): number {
  const { mem } = env;
  const lists = alloc(mem, listsBytes(env.cpus));
  if (lists === 0) return -ENOMEM;
  const half = Math.floor(mem.u32[(map + MAP_MAX_ENTRIES) >>> 2]! / env.cpus) >>> 1;
  mem.u32[(map + LRU_LISTS) >>> 2] = lists;
  mem.u32[(map + LRU_TARGET) >>> 2] = Math.min(Math.max(half, 1), TARGET_MAX);
  clear(env, map);
  return 0;
}

export function freeLru(env: MapEnv, map: number): void {
  free(env.mem, env.mem.u32[(map + LRU_LISTS) >>> 2]!, listsBytes(env.cpus));
}

/** Empty lists; all elements count as never used. */
function clear(env: MapEnv, map: number): void {
  const { mem } = env;
  const { u32 } = mem;
  const own = hasOwn(mem, map);
  const max = u32[(map + MAP_MAX_ENTRIES) >>> 2]!;
  initLists(u32, u32[(map + LRU_LISTS) >>> 2]!, own ? 0 : max);
  for (let cpu = 0; cpu < env.cpus; cpu++) {
    const lists = cpuLists(mem, map, cpu);
    if (own) initLists(u32, lists, max / env.cpus);
    else initShare(u32, lists, cpu);
  }
}

function takeCommon(env: MapEnv, map: number): number {
  const { mem } = env;
  const share = cpuLists(mem, map, env.cpu);
  let link = takeFree(mem, map, share);
  if (link === 0) {
    refill(env, map, share);
    link = takeFree(mem, map, share);
    if (link === 0) link = steal(env, map, cpuLists(mem, map, 0), share);
  }
  return link;
}

/** Fills a share from the common lists: with what is free, and then with what is evicted. */
function refill(env: MapEnv, map: number, share: number): void {
  const { mem } = env;
  const lists = mem.u32[(map + LRU_LISTS) >>> 2]!;
  flushPending(mem, lists, share);
  rotate(mem, lists, SCANS);
  const missing = moveFree(mem, lists, share, mem.u32[(map + LRU_TARGET) >>> 2]!);
  if (missing > 0) shrink(env, map, lists, missing, SCANS, share);
}

function takeOwn(env: MapEnv, map: number): number {
  const { mem } = env;
  const lists = cpuLists(mem, map, env.cpu);
  rotate(mem, lists, OWN_SCANS);
  let link = takeFree(mem, map, lists);
  if (link === 0) {
    shrink(env, map, lists, OWN_TARGET, OWN_SCANS, lists);
    link = takeFree(mem, map, lists);
  }
  return link;
}

/** Takes the lock. After a client died with it the lists are made again from the chains. */
export function lockLru(env: MapEnv, map: number): void {
  if (lock(env.mem, map + MAP_LOCK)) rebuild(env, map);
}

export function unlockLru(mem: Memory, map: number): void {
  unlock(mem, map + MAP_LOCK);
}

function evicts(mem: Memory, map: number): boolean {
  return mem.u32[(map + HT_COUNTED) >>> 2] === 0;
}

/** Takes the lock of a bucket's chain, of any type: the map's where elements are evicted, else the bucket's. */
export function lockChain(env: MapEnv, map: number, bucket: number): void {
  if (evicts(env.mem, map)) lockLru(env, map);
  else lockBucket(env.mem, map, bucket);
}

export function unlockChain({ mem }: MapEnv, map: number, bucket: number): void {
  if (evicts(mem, map)) unlockLru(mem, map);
  else unlockBucket(mem, bucket);
}

/**
 * A node out of all chains and lists, which goes into use by `enterLruNode`, or back by `returnLruNode`. It may cost
 * other elements their place. 0: none is to be had.
 */
export function takeLruNode(env: MapEnv, map: number): number {
  const link = hasOwn(env.mem, map) ? takeOwn(env, map) : takeCommon(env, map);
  return link === 0 ? 0 : link - NODE_HEAD;
}

/** The node that was taken serves an element now, the newest one. */
export function enterLruNode(env: MapEnv, map: number, node: number): void {
  const { mem } = env;
  const link = node + NODE_HEAD;
  const lists = cpuLists(mem, map, env.cpu);
  if (hasOwn(mem, map)) enter(mem, lists, link, INACTIVE);
  else enterPending(mem, lists, link);
  mem.u8[link + CPU] = env.cpu;
}

/** The node that was taken was not needed. */
export function returnLruNode(env: MapEnv, map: number, node: number): void {
  putFree(env.mem, cpuLists(env.mem, map, env.cpu), node + NODE_HEAD);
}

/** Takes an element out of its chain and gives its node back: to who took it, or from common lists to those. */
export function dropLruNode(env: MapEnv, map: number, bucket: number, node: number): void {
  const { mem } = env;
  unlinkNode(mem, bucket, node);
  emptyNode(env, map, node);
  const link = node + NODE_HEAD;
  let lists = cpuLists(mem, map, mem.u8[link + CPU]!);
  if (mem.u8[link + IN] === PENDING) {
    leavePending(mem, link);
  } else {
    if (!hasOwn(mem, map)) lists = mem.u32[(map + LRU_LISTS) >>> 2]!;
    leave(mem, lists, link);
  }
  putFree(mem, lists, link);
}

/** The element was used. Needs no lock: whoever says so or turns the lists meanwhile, any outcome is fine. */
export function referLruNode(mem: Memory, node: number): void {
  const at = node + NODE_HEAD + REF;
  if (mem.u8[at] === 0) mem.u8[at] = 1;
}

/** Makes all lists again: what is in a chain is inactive, the rest is free. */
function rebuild(env: MapEnv, map: number): void {
  const { mem } = env;
  const { u32, u8 } = mem;
  const own = hasOwn(mem, map);
  clear(env, map);
  forEachUsedNode(mem, map, (node) => {
    u8[node + NODE_HEAD + IN] = PENDING;
  });
  const buckets = u32[(map + HT_BUCKETS) >>> 2]!;
  const end = buckets + (u32[(map + HT_MASK) >>> 2]! + 1) * BUCKET_SIZE;
  for (let bucket = buckets; bucket < end; bucket += BUCKET_SIZE) {
    dropStale(mem, map, bucket);
    for (let node = u32[bucket >>> 2]!; isNode(node); node = u32[node >>> 2]!) u8[node + NODE_HEAD + IN] = INACTIVE;
  }
  forEachUsedNode(mem, map, (node) => {
    const link = node + NODE_HEAD;
    const lists = own ? cpuLists(mem, map, u8[link + CPU]!) : u32[(map + LRU_LISTS) >>> 2]!;
    const unused = u32[(lists + UNUSED) >>> 2]!;
    // One that was never entered does not say whose it is.
    if (unused !== 0) u32[(lists + UNUSED) >>> 2] = unused - 1;
    if (u8[link + IN] === INACTIVE) {
      enter(mem, lists, link, INACTIVE);
      return;
    }
    // It may be that it was about to be put into a chain.
    u32[(node + NODE_SEQ) >>> 2] = u32[(node + NODE_SEQ) >>> 2]! & ~SEQ_LINKED;
    putFree(mem, lists, link);
  });
}
