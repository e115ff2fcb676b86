/**
 * Which element goes when an LRU map needs room. Elements that are used lie in an active and an inactive list; new ones
 * begin in a pending list of the CPU that made them. Each element has a reference bit: who has it set gets a second
 * chance. With BPF_F_NO_COMMON_LRU every CPU has lists and elements of its own and nothing pending.
 *
 * All choices are those of Linux 6.18 (bpf_lru_list.c), so that the same calls evict the same keys. What is free is one
 * as good as another, so free elements are only chained or, when they were never used, counted.
 *
 * Chains of buckets say what is in the map; everything in here can be made again from them (`rebuild`).
 */
import { alloc, free } from "../mem/alloc.ts";
import { lock, slotLives, slotOf, unlock } from "../mem/locks.ts";
import type { Memory } from "../mem/memory.ts";
import { BPF_F_NO_COMMON_LRU, ENOMEM } from "../uapi/index.ts";
import type { MapEnv } from "./env.ts";
import {
  bucketOf,
  forEachUsedNode,
  HT_PRIVATE,
  lockBucket,
  NODE_HASH,
  NODE_HEAD,
  NODE_SEQ,
  takeNode,
  unlinkNode,
  unlockBucket,
} from "./hashtab.ts";
import { MAP_FLAGS, MAP_LOCK, MAP_MAX_ENTRIES } from "./map.ts";

/** In the map's descriptor: address of the lists, and how many elements a refill from common lists gets. */
const LRU_LISTS = HT_PRIVATE;
const LRU_TARGET: number = HT_PRIVATE + 4;
/** Elements that are looked at, and that are wanted, at once; when lists are common and when each CPU has its own. */
const COMMON_SCANS = 128;
const COMMON_TARGET_MAX = 128;
const OWN_SCANS = 4;
const OWN_TARGET = 4;

/**
 * A node's links, behind its head: previous, next, then bytes for the list it is in, the reference bit and the client
 * that works on it; last the CPU that took it. A "link" below is the address of these; list heads are links too.
 */
const PREV = 0;
const NEXT = 4;
const IN = 8;
const REF = 9;
const OWNER = 10;
const CPU = 12;
export const LRU_LINKS = 16;

const ACTIVE = 0;
const INACTIVE = 1;
const FREE = 2;
const PENDING = 3;

/** Lists of a map, or of a CPU: free elements and a number of unused ones; active, inactive; where rotation goes on. */
const FREE_HEAD = 0;
const UNUSED = 4;
const HEADS = 8;
const COUNTS = 24;
const ROTATE = 32;
/** A CPU's share beside common lists: free and unused as above, pending elements, CPU to look at first for spoils. */
const PENDING_HEAD = 8;
const STEAL = 16;
const BLOCK = 64;

function isOwn(mem: Memory, map: number): boolean {
  return (mem.u32[(map + MAP_FLAGS) >>> 2]! & BPF_F_NO_COMMON_LRU) !== 0;
}

/** One block for common lists and one a CPU; or one a CPU, the first of which is never used. */
function blockBytes(cpus: number): number {
  return (cpus + 1) * BLOCK;
}

/** Block of a CPU: its own lists, or its share beside the common ones, which have block 0. */
function cpuBlock(mem: Memory, map: number, cpu: number): number {
  return mem.u32[(map + LRU_LISTS) >>> 2]! + (cpu + 1) * BLOCK;
}

/** Lists for a table that was just allocated with max_entries nodes. 0 or -ENOMEM. */
export function allocLru(env: MapEnv, map: number): number {
  const { mem } = env;
  const { u32 } = mem;
  const lists = alloc(mem, blockBytes(env.cpus));
  if (lists === 0) return -ENOMEM;
  const own = isOwn(mem, map);
  const share = Math.floor(u32[(map + MAP_MAX_ENTRIES) >>> 2]! / env.cpus);
  u32[(map + LRU_LISTS) >>> 2] = lists;
  u32[(map + LRU_TARGET) >>> 2] = Math.min(Math.max(share >>> 1, 1), COMMON_TARGET_MAX);
  clearLists(env, map);
  for (let cpu = 0; cpu < env.cpus; cpu++) {
    if (!own) u32[(cpuBlock(mem, map, cpu) + STEAL) >>> 2] = cpu;
  }
  return 0;
}

export function freeLru(env: MapEnv, map: number): void {
  free(env.mem, env.mem.u32[(map + LRU_LISTS) >>> 2]!, blockBytes(env.cpus));
}

/** Empty lists; all elements count as never used. */
function clearLists(env: MapEnv, map: number): void {
  const { mem } = env;
  const { u32 } = mem;
  const own = isOwn(mem, map);
  const max = u32[(map + MAP_MAX_ENTRIES) >>> 2]!;
  const common = u32[(map + LRU_LISTS) >>> 2]!;
  clearBlock(u32, common, own ? 0 : max);
  for (let cpu = 0; cpu < env.cpus; cpu++) {
    const block = cpuBlock(mem, map, cpu);
    if (own) {
      clearBlock(u32, block, max / env.cpus);
    } else {
      u32[(block + FREE_HEAD) >>> 2] = 0;
      u32[(block + UNUSED) >>> 2] = 0;
      clearHead(u32, block + PENDING_HEAD);
    }
  }
}

function clearBlock(u32: Uint32Array, lists: number, unused: number): void {
  u32[(lists + FREE_HEAD) >>> 2] = 0;
  u32[(lists + UNUSED) >>> 2] = unused;
  clearHead(u32, lists + HEADS + ACTIVE * 8);
  clearHead(u32, lists + HEADS + INACTIVE * 8);
  u32[(lists + COUNTS + ACTIVE * 4) >>> 2] = 0;
  u32[(lists + COUNTS + INACTIVE * 4) >>> 2] = 0;
  u32[(lists + ROTATE) >>> 2] = lists + HEADS + INACTIVE * 8;
}

function clearHead(u32: Uint32Array, head: number): void {
  u32[(head + PREV) >>> 2] = head;
  u32[(head + NEXT) >>> 2] = head;
}

function attach(u32: Uint32Array, head: number, link: number): void {
  const first = u32[(head + NEXT) >>> 2]!;
  u32[(link + PREV) >>> 2] = head;
  u32[(link + NEXT) >>> 2] = first;
  u32[(first + PREV) >>> 2] = link;
  u32[(head + NEXT) >>> 2] = link;
}

function detach(u32: Uint32Array, link: number): void {
  const prev = u32[(link + PREV) >>> 2]!;
  const next = u32[(link + NEXT) >>> 2]!;
  u32[(prev + NEXT) >>> 2] = next;
  u32[(next + PREV) >>> 2] = prev;
}

/** Puts an element that is in neither list at the head of the active or the inactive one. */
function enter(mem: Memory, lists: number, link: number, list: number): void {
  const { u32, u8 } = mem;
  const count = (lists + COUNTS + list * 4) >>> 2;
  u32[count] = u32[count]! + 1;
  u8[link + IN] = list;
  u8[link + REF] = 0;
  attach(u32, lists + HEADS + list * 8, link);
}

/** Takes an element out of the active or the inactive list. */
function leave(mem: Memory, lists: number, link: number): void {
  const { u32, u8 } = mem;
  // Rotation goes on from the next older place.
  if (u32[(lists + ROTATE) >>> 2] === link) u32[(lists + ROTATE) >>> 2] = u32[(link + PREV) >>> 2]!;
  const count = (lists + COUNTS + u8[link + IN]! * 4) >>> 2;
  u32[count] = u32[count]! - 1;
  detach(u32, link);
}

function move(mem: Memory, lists: number, link: number, list: number): void {
  leave(mem, lists, link);
  enter(mem, lists, link, list);
}

/** Puts an element that is in no list among the free ones of a block. */
function putFree(mem: Memory, block: number, link: number): void {
  const { u32, u8 } = mem;
  u8[link + IN] = FREE;
  u32[(link + NEXT) >>> 2] = u32[(block + FREE_HEAD) >>> 2]!;
  u32[(block + FREE_HEAD) >>> 2] = link;
}

/** A free element of a block, or 0. */
function takeFree(mem: Memory, map: number, block: number): number {
  const { u32 } = mem;
  const link = u32[(block + FREE_HEAD) >>> 2]!;
  if (link !== 0) {
    u32[(block + FREE_HEAD) >>> 2] = u32[(link + NEXT) >>> 2]!;
    return link;
  }
  const unused = u32[(block + UNUSED) >>> 2]!;
  if (unused === 0) return 0;
  u32[(block + UNUSED) >>> 2] = unused - 1;
  const node = takeNode(mem, map);
  return node === 0 ? 0 : node + NODE_HEAD;
}

/** Takes the element out of the map. False: it is not in there, somebody works on it. */
function evict(mem: Memory, map: number, link: number): boolean {
  const node = link - NODE_HEAD;
  const bucket = bucketOf(mem, map, mem.i32[(node + NODE_HASH) >>> 2]!);
  lockBucket(mem, map, bucket);
  const linked = (mem.u32[(node + NODE_SEQ) >>> 2]! & 1) === 1;
  if (linked) unlinkNode(mem, bucket, node);
  unlockBucket(mem, bucket);
  return linked;
}

/** From the old end of the active list: referenced elements go round to its head, others become inactive. */
function rotateActive(mem: Memory, lists: number, scans: number): void {
  const { u32, u8 } = mem;
  const head = lists + HEADS + ACTIVE * 8;
  const last = u32[(head + NEXT) >>> 2]!;
  let link = u32[(head + PREV) >>> 2]!;
  for (let i = 0; i < scans && link !== head; i++) {
    const prev = u32[(link + PREV) >>> 2]!;
    move(mem, lists, link, u8[link + REF] === 0 ? INACTIVE : ACTIVE);
    if (link === last) return;
    link = prev;
  }
}

/** Referenced elements of the inactive list become active. Goes on where it stopped the last time, at most once round. */
function rotateInactive(mem: Memory, lists: number, scans: number): void {
  const { u32, u8 } = mem;
  const head = lists + HEADS + INACTIVE * 8;
  if (u32[(head + NEXT) >>> 2] === head) return;
  const start = u32[(lists + ROTATE) >>> 2]!;
  let last = u32[(start + NEXT) >>> 2]!;
  if (last === head) last = u32[(last + NEXT) >>> 2]!;
  let link = start;
  let prev = link;
  for (let i = 0; i < scans; ) {
    if (link === head) {
      link = u32[(link + PREV) >>> 2]!;
      continue;
    }
    prev = u32[(link + PREV) >>> 2]!;
    if (u8[link + REF] !== 0) move(mem, lists, link, ACTIVE);
    if (link === last) break;
    link = prev;
    i++;
  }
  u32[(lists + ROTATE) >>> 2] = prev;
}

function rotate(mem: Memory, lists: number, scans: number): void {
  const { u32 } = mem;
  if (u32[(lists + COUNTS + INACTIVE * 4) >>> 2]! < u32[(lists + COUNTS + ACTIVE * 4) >>> 2]!) {
    rotateActive(mem, lists, scans);
  }
  rotateInactive(mem, lists, scans);
}

/**
 * Evicts up to `want` elements into the free ones of `block`: unreferenced inactive ones from the old end, of at most
 * `scans`; when there is none, the oldest inactive or else active element, referenced or not.
 */
function shrink(mem: Memory, map: number, lists: number, want: number, scans: number, block: number): void {
  const { u32, u8 } = mem;
  const inactive = lists + HEADS + INACTIVE * 8;
  let evicted = 0;
  let link = u32[(inactive + PREV) >>> 2]!;
  for (let i = 0; i < scans && link !== inactive && evicted < want; i++) {
    const prev = u32[(link + PREV) >>> 2]!;
    if (u8[link + REF] !== 0) {
      move(mem, lists, link, ACTIVE);
    } else if (evict(mem, map, link)) {
      leave(mem, lists, link);
      putFree(mem, block, link);
      evicted++;
    }
    link = prev;
  }
  if (evicted > 0) return;
  const head = u32[(inactive + NEXT) >>> 2] !== inactive ? inactive : lists + HEADS + ACTIVE * 8;
  for (link = u32[(head + PREV) >>> 2]!; link !== head; link = u32[(link + PREV) >>> 2]!) {
    if (!evict(mem, map, link)) continue;
    leave(mem, lists, link);
    putFree(mem, block, link);
    return;
  }
}

/** Fills a CPU's share from the common lists: what it has pending becomes common, then free elements, then evictions. */
function refill(mem: Memory, map: number, block: number): void {
  const { u32, u8 } = mem;
  const lists = u32[(map + LRU_LISTS) >>> 2]!;
  const pending = block + PENDING_HEAD;
  for (let link = u32[(pending + PREV) >>> 2]!; link !== pending; ) {
    const prev = u32[(link + PREV) >>> 2]!;
    detach(u32, link);
    enter(mem, lists, link, u8[link + REF] === 0 ? INACTIVE : ACTIVE);
    link = prev;
  }
  rotate(mem, lists, COMMON_SCANS);
  let want = u32[(map + LRU_TARGET) >>> 2]!;
  for (let link = u32[(lists + FREE_HEAD) >>> 2]!; want > 0 && link !== 0; want--) {
    const next = u32[(link + NEXT) >>> 2]!;
    putFree(mem, block, link);
    u32[(lists + FREE_HEAD) >>> 2] = next;
    link = next;
  }
  const unused = Math.min(want, u32[(lists + UNUSED) >>> 2]!);
  u32[(lists + UNUSED) >>> 2] = u32[(lists + UNUSED) >>> 2]! - unused;
  u32[(block + UNUSED) >>> 2] = u32[(block + UNUSED) >>> 2]! + unused;
  if (want > unused) shrink(mem, map, lists, want - unused, COMMON_SCANS, block);
}

/** The oldest pending element of a CPU that can be evicted, unreferenced ones first; or 0. */
function takePending(mem: Memory, map: number, block: number): number {
  const { u32, u8 } = mem;
  const head = block + PENDING_HEAD;
  for (let any = 0; any < 2; any++) {
    for (let link = u32[(head + PREV) >>> 2]!; link !== head; link = u32[(link + PREV) >>> 2]!) {
      if ((any === 0 && u8[link + REF] !== 0) || !evict(mem, map, link)) continue;
      detach(u32, link);
      return link;
    }
  }
  return 0;
}

/** Nothing in the common lists: an element that another CPU (or this one) has free or pending. */
function steal(mem: Memory, map: number, block: number, cpus: number): number {
  const { u32 } = mem;
  const first = u32[(block + STEAL) >>> 2]!;
  let link = 0;
  let cpu = first;
  do {
    const from = cpuBlock(mem, map, cpu);
    link = takeFree(mem, map, from);
    if (link === 0) link = takePending(mem, map, from);
    cpu = cpu + 1 < cpus ? cpu + 1 : 0;
  } while (link === 0 && cpu !== first);
  u32[(block + STEAL) >>> 2] = cpu;
  return link;
}

function takeCommon(env: MapEnv, map: number): number {
  const { mem } = env;
  const block = cpuBlock(mem, map, env.cpu);
  let link = takeFree(mem, map, block);
  if (link === 0) {
    refill(mem, map, block);
    link = takeFree(mem, map, block);
    if (link === 0) link = steal(mem, map, block, env.cpus);
    if (link === 0) return 0;
  }
  mem.u8[link + IN] = PENDING;
  mem.u8[link + REF] = 0;
  attach(mem.u32, block + PENDING_HEAD, link);
  return link;
}

function takeOwn(env: MapEnv, map: number): number {
  const { mem } = env;
  const lists = cpuBlock(mem, map, env.cpu);
  rotate(mem, lists, OWN_SCANS);
  let link = takeFree(mem, map, lists);
  if (link === 0) {
    shrink(mem, map, lists, OWN_TARGET, OWN_SCANS, lists);
    link = takeFree(mem, map, lists);
    if (link === 0) return 0;
  }
  enter(mem, lists, link, INACTIVE);
  return link;
}

function take(env: MapEnv, map: number): number {
  return isOwn(env.mem, map) ? takeOwn(env, map) : takeCommon(env, map);
}

/**
 * A node out of all chains, for an element with this hash; it may cost other elements their place. 0: none is to be
 * had, others work on all of them. Called without a bucket's lock: evictions take those.
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
    // Others who hold this lock may ask which bucket the node belongs to.
    mem.i32[(link - NODE_HEAD + NODE_HASH) >>> 2] = hash;
    mem.u32[(link + CPU) >>> 2] = env.cpu;
    mem.u8[link + OWNER] = slotOf(mem.owner) + 1;
  }
  unlock(mem, map + MAP_LOCK);
  return link === 0 ? 0 : link - NODE_HEAD;
}

/** Gives back a node that is out of its chain. Called without a bucket's lock. */
export function giveLruNode(env: MapEnv, map: number, node: number): void {
  const { mem } = env;
  const link = node + NODE_HEAD;
  if (lock(mem, map + MAP_LOCK)) rebuild(env, map);
  mem.u8[link + OWNER] = 0;
  const block = cpuBlock(mem, map, mem.u32[(link + CPU) >>> 2]!);
  if (mem.u8[link + IN] === PENDING) {
    detach(mem.u32, link);
    putFree(mem, block, link);
  } else {
    const lists = isOwn(mem, map) ? block : mem.u32[(map + LRU_LISTS) >>> 2]!;
    leave(mem, lists, link);
    putFree(mem, lists, link);
  }
  unlock(mem, map + MAP_LOCK);
}

/** Says that this client works on a node that is about to leave its chain; `giveLruNode` ends that. */
export function claimLruNode(mem: Memory, node: number): void {
  mem.u8[node + NODE_HEAD + OWNER] = slotOf(mem.owner) + 1;
}

/** The node that this client took is in a chain now. */
export function settleLruNode(mem: Memory, node: number): void {
  mem.u8[node + NODE_HEAD + OWNER] = 0;
}

/** The element was used. Races with others who say the same, and with rotation: either outcome is fine. */
export function referLruNode(mem: Memory, node: number): void {
  const at = node + NODE_HEAD + REF;
  if (mem.u8[at] === 0) mem.u8[at] = 1;
}

/**
 * Makes all lists again after a client died changing them. What is in a chain is inactive; what a client that lives
 * works on stays out of reach of others, in its place; the rest is free.
 */
function rebuild(env: MapEnv, map: number): void {
  const { mem } = env;
  const { u32, u8 } = mem;
  const own = isOwn(mem, map);
  clearLists(env, map);
  forEachUsedNode(mem, map, (node) => {
    const link = node + NODE_HEAD;
    const block = cpuBlock(mem, map, u32[(link + CPU) >>> 2]!);
    const lists = own ? block : u32[(map + LRU_LISTS) >>> 2]!;
    const unused = u32[(lists + UNUSED) >>> 2]!;
    if (unused !== 0) u32[(lists + UNUSED) >>> 2] = unused - 1;
    const owner = u8[link + OWNER]!;
    const linked = (u32[(node + NODE_SEQ) >>> 2]! & 1) === 1;
    if (linked || (owner !== 0 && slotLives(mem, owner - 1))) enter(mem, lists, link, INACTIVE);
    else putFree(mem, lists, link);
  });
}
