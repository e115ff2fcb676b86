/**
 * Nodes for the elements of LRU maps: taken from what is free, or from what was not used lately. New elements are
 * pending with the CPU that made them, in its share, until it needs more; then they come into the map's common lists.
 * With BPF_F_NO_COMMON_LRU every CPU has lists and elements of its own instead, and nothing is pending.
 *
 * One lock a map; a bucket's lock may be taken inside it, never the other way round. The buckets' chains say what is in
 * the map, and all lists can be made again from them.
 */
import { alloc, free } from "../mem/alloc.ts";
import { lock, ownerLives, unlock } from "../mem/locks.ts";
import type { Memory } from "../mem/memory.ts";
import { BPF_F_NO_COMMON_LRU, ENOMEM } from "../uapi/index.ts";
import type { MapEnv } from "./env.ts";
import { forEachUsedNode } from "./hash_nodes.ts";
import { HT_PRIVATE, NODE_HASH, NODE_HEAD, NODE_SEQ } from "./hashtab.ts";
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
  OWNER,
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
const LRU_LISTS = HT_PRIVATE;
const LRU_TARGET: number = HT_PRIVATE + 4;
const TARGET_MAX = 128;
/** Elements that are looked at in one go. */
const SCANS = 128;
/** The same where each CPU has its own lists, and how many elements those give up at once. */
const OWN_SCANS = 4;
const OWN_TARGET = 4;

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
    if (link === 0) return 0;
  }
  enterPending(mem, share, link);
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
    if (link === 0) return 0;
  }
  enter(mem, lists, link, INACTIVE);
  return link;
}

function take(env: MapEnv, map: number): number {
  return hasOwn(env.mem, map) ? takeOwn(env, map) : takeCommon(env, map);
}

/**
 * A node out of all chains, for an element with this hash; it may cost other elements their place. 0: none is to be
 * had, others work on all of them. Called without a bucket's lock.
 */
export function takeLruNode(env: MapEnv, map: number, hash: number): number {
  const { mem } = env;
  if (lock(mem, map + MAP_LOCK)) rebuild(env, map);
  let link = take(env, map);
  if (link === 0 && mem.shared) {
    // Clients that died may have kept elements to themselves.
    rebuild(env, map);
    link = take(env, map);
  }
  if (link !== 0) {
    // Who holds this lock may ask to which bucket any node in the lists belongs.
    mem.i32[(link - NODE_HEAD + NODE_HASH) >>> 2] = hash;
    mem.u8[link + CPU] = env.cpu;
    mem.u32[(link + OWNER) >>> 2] = mem.owner;
  }
  unlock(mem, map + MAP_LOCK);
  return link === 0 ? 0 : link - NODE_HEAD;
}

/** Gives back a node that is out of its chain. Called without a bucket's lock. */
export function giveLruNode(env: MapEnv, map: number, node: number): void {
  const { mem } = env;
  const link = node + NODE_HEAD;
  if (lock(mem, map + MAP_LOCK)) rebuild(env, map);
  mem.u32[(link + OWNER) >>> 2] = 0;
  let lists = cpuLists(mem, map, mem.u8[link + CPU]!);
  if (mem.u8[link + IN] === PENDING) {
    leavePending(mem, link);
  } else {
    if (!hasOwn(mem, map)) lists = mem.u32[(map + LRU_LISTS) >>> 2]!;
    leave(mem, lists, link);
  }
  putFree(mem, lists, link);
  unlock(mem, map + MAP_LOCK);
}

/** Says that this client works on a node that is about to leave its chain; `giveLruNode` ends that. */
export function claimLruNode(mem: Memory, node: number): void {
  mem.u32[(node + NODE_HEAD + OWNER) >>> 2] = mem.owner;
}

/** The node that this client took is in a chain now. */
export function settleLruNode(mem: Memory, node: number): void {
  mem.u32[(node + NODE_HEAD + OWNER) >>> 2] = 0;
}

/** The element was used. Races with others who say the same, and with rotation: any outcome is fine. */
export function referLruNode(mem: Memory, node: number): void {
  const at = node + NODE_HEAD + REF;
  if (mem.u8[at] === 0) mem.u8[at] = 1;
}

/**
 * Makes all lists again after a client died changing them. What is in a chain is inactive, and so is what a client that
 * lives works on: nobody can evict it there. The rest is free.
 */
function rebuild(env: MapEnv, map: number): void {
  const { mem } = env;
  const { u32, u8 } = mem;
  const own = hasOwn(mem, map);
  clear(env, map);
  forEachUsedNode(mem, map, (node) => {
    const link = node + NODE_HEAD;
    const lists = own ? cpuLists(mem, map, u8[link + CPU]!) : u32[(map + LRU_LISTS) >>> 2]!;
    const unused = u32[(lists + UNUSED) >>> 2]!;
    if (unused !== 0) u32[(lists + UNUSED) >>> 2] = unused - 1;
    const owner = u32[(link + OWNER) >>> 2]!;
    const linked = (u32[(node + NODE_SEQ) >>> 2]! & 1) === 1;
    if (linked || ownerLives(mem, owner)) enter(mem, lists, link, INACTIVE);
    else putFree(mem, lists, link);
  });
}
