/**
 * Nodes of a hash table: into chains, out of them, and the free list between. The chains are the truth; who takes a lock
 * over from a client that died makes count and free list again from them. Kernel counterpart: hashtab.c.
 */
import { rup8 } from "../mem/layout.ts";
import { lock, ownerLives, unlock } from "../mem/locks.ts";
import type { Memory } from "../mem/memory.ts";
import { E2BIG, ENOMEM } from "../uapi/index.ts";
import { emptyFields } from "./element_fields.ts";
import type { MapEnv } from "./env.ts";
import {
  addChunk,
  HT_BUCKETS,
  HT_CHUNKS,
  HT_COUNT,
  HT_CPUS,
  HT_END,
  HT_FREE,
  HT_GROW,
  HT_KEY,
  HT_LOCK,
  HT_NEXT,
  HT_NEXT_VALUE,
  HT_NODE_SIZE,
  HT_SPAN,
  isNode,
  NODE_HASH,
  NODE_SEQ,
  NODE_VALUE,
  SEQ_LINKED,
  SEQ_USE,
  sameKey,
} from "./hashtab.ts";
import { MAP_ANCHORS, MAP_KEY_SIZE, MAP_MAX_ENTRIES, MAP_VALUE_SIZE } from "./map.ts";

/**
 * Ends the free list: no bucket has this marker, so a reader who was led from a chain into free nodes starts again. A
 * free list that is empty reads 0, as new memory does.
 */
export const FREE_END = 0xffff_ffff;

export const BUCKET_LOCK = 4;

// Constants of this module are folded into compiled code; imported ones are read and checked each time.
const W_KEY_SIZE: number = MAP_KEY_SIZE >>> 2;
const W_MAX_ENTRIES: number = MAP_MAX_ENTRIES >>> 2;
const W_ANCHORS: number = MAP_ANCHORS >>> 2;
const W_BUCKETS: number = HT_BUCKETS >>> 2;
const W_COUNT: number = HT_COUNT >>> 2;
const W_FREE: number = HT_FREE >>> 2;
const W_KEY: number = HT_KEY >>> 2;
const W_HASH: number = NODE_HASH >>> 2;
const W_SEQ: number = NODE_SEQ >>> 2;
const LINKED: number = SEQ_LINKED;
const USE: number = SEQ_USE;
const TABLE_LOCK: number = HT_LOCK;

/** Of the sequence number: taken for an element that is counted already. */
export const SEQ_COUNTED = 2;
/**
 * In the link of a node that was taken and is in no chain yet, with its owner: no bucket's marker, so readers who stand
 * on the node start again, and a repair knows whose it is.
 */
const IN_FLIGHT = 0x8000_0001;

/**
 * Takes the bucket's lock. When its owner died with it, the chain may hold the same key twice (a replacement whose old
 * node was not unlinked yet): the later one goes, and count and free list are made again.
 */
export function lockBucket(mem: Memory, map: number, bucket: number): void {
  if (!lock(mem, bucket + BUCKET_LOCK)) return;
  lock(mem, map + TABLE_LOCK);
  dropStale(mem, map, bucket);
  rebuild(mem, map);
  unlock(mem, map + TABLE_LOCK);
}

/** The lock of count and free list, which are made again when its owner died with it. */
function lockTable(mem: Memory, map: number): void {
  if (lock(mem, map + TABLE_LOCK)) rebuild(mem, map);
}

/**
 * Makes count and free list from the nodes: one is in a chain, or on its way there by a client that lives, or free.
 * Called under HT_LOCK, under which nodes leave chains and become free, so none is seen in between.
 */
function rebuild(mem: Memory, map: number): void {
  const { u32 } = mem;
  const d = map >>> 2;
  let count = 0;
  u32[d + (HT_FREE >>> 2)] = 0;
  forEachUsedNode(mem, map, (node) => {
    const seq = u32[(node + NODE_SEQ) >>> 2]!;
    const link = u32[node >>> 2]!;
    if (seq & SEQ_LINKED) count++;
    else if (inFlight(link) && ownerLives(mem, (link & ~IN_FLIGHT) >>> 1)) count += seq & SEQ_COUNTED ? 1 : 0;
    else pushFree(mem, d, node);
  });
  u32[d + (HT_COUNT >>> 2)] = count;
}

function inFlight(link: number): boolean {
  return link !== FREE_END && (link & IN_FLIGHT) === (IN_FLIGHT | 0);
}

export function unlockBucket(mem: Memory, bucket: number): void {
  unlock(mem, bucket + BUCKET_LOCK);
}

/**
 * A node that was in a chain with the sequence number `was` has left it, and neither serves another element yet nor was
 * taken for one: the key that was read before this is its own.
 */
export function leftChain(mem: Memory, node: number, was: number): boolean {
  // In this order: who takes a node marks its link, fills in the key, and only then changes the number.
  if (inFlight(mem.atomics.load32(node) >>> 0)) return false;
  const is = mem.atomics.load32(node + NODE_SEQ);
  return (is & ~SEQ_COUNTED) === (((was & ~(LINKED | SEQ_COUNTED)) + USE) | 0);
}

/** Of elements with the same key only the first in the chain stays. */
export function dropStale(mem: Memory, map: number, bucket: number): void {
  const { u32, i32 } = mem;
  const keyAt = u32[(map + HT_KEY) >>> 2]!;
  const keySize = u32[(map + MAP_KEY_SIZE) >>> 2]!;
  for (let node = u32[bucket >>> 2]!; isNode(node); node = u32[node >>> 2]!) {
    for (let other = u32[node >>> 2]!; isNode(other); ) {
      const next = u32[other >>> 2]!;
      const same = i32[(other + NODE_HASH) >>> 2] === i32[(node + NODE_HASH) >>> 2];
      if (same && sameKey(mem, other + keyAt, node + keyAt, keySize)) unlinkNode(mem, bucket, other);
      other = next;
    }
  }
}

/** Puts a node with its key, hash and value filled in at the head of its bucket. One store makes it visible. */
export function linkHead(mem: Memory, map: number, bucket: number, node: number): void {
  const { i32 } = mem;
  const n = node >>> 2;
  const head = i32[bucket >>> 2]!;
  i32[n + W_SEQ] = (i32[n + W_SEQ]! & ~SEQ_COUNTED) | LINKED;
  i32[n] = head !== 0 ? head : ((bucket - i32[(map >>> 2) + W_BUCKETS]!) >>> 2) | 1;
  if (mem.shared) mem.atomics.store32(bucket, node);
  else i32[bucket >>> 2] = node;
}

/**
 * Takes a node out of its chain. Its own link stays, for readers who stand on it. They may see this late, but not after
 * the node got another element: between the two comes an atomic operation of this client.
 */
export function unlinkNode(mem: Memory, bucket: number, node: number): void {
  const { i32 } = mem;
  const n = node >>> 2;
  let at = bucket >>> 2;
  while (i32[at] !== (node | 0)) at = i32[at]! >>> 2;
  i32[at] = i32[n]!;
  i32[n + W_SEQ] = (i32[n + W_SEQ]! & ~LINKED) + USE;
}

/** A node that was never used, or 0, for a type with free lists, and a lock for them, of its own. */
export function takeUnused(mem: Memory, map: number): number {
  return virgin(mem, map);
}

/**
 * A node with this key, in no chain: for one more element, which is counted, or to replace one. -E2BIG: the map is
 * full; -ENOMEM.
 */
export function takeNode(mem: Memory, map: number, key: number, hash: number, more: boolean): number {
  lockTable(mem, map);
  const node = takeLocked(mem, map, more);
  unlock(mem, map + TABLE_LOCK);
  if (node > 0) setKey(mem, map, node, key, hash);
  return node;
}

function takeLocked(mem: Memory, map: number, more: boolean): number {
  const { i32 } = mem;
  const d = map >>> 2;
  const count = i32[d + W_COUNT]!;
  if (more && count >= mem.u32[d + W_MAX_ENTRIES]!) return -E2BIG;
  let node = i32[d + W_FREE]! >>> 0;
  if (node !== 0) {
    const next = i32[node >>> 2]!;
    i32[d + W_FREE] = next === (FREE_END | 0) ? 0 : next;
  } else {
    node = virgin(mem, map);
    if (node === 0) return -ENOMEM;
  }
  if (mem.shared) i32[node >>> 2] = IN_FLIGHT | (mem.owner << 1);
  if (more) {
    const seq = (node >>> 2) + W_SEQ;
    i32[seq] = i32[seq]! | SEQ_COUNTED;
    i32[d + W_COUNT] = count + 1;
  }
  return node;
}

/** Puts a filled node at the head of its bucket in the place of `old`, which becomes free. */
export function replaceNode(env: MapEnv, map: number, bucket: number, node: number, old: number): void {
  const { mem } = env;
  lockTable(mem, map);
  linkHead(mem, map, bucket, node);
  unlinkNode(mem, bucket, old);
  emptyNode(env, map, old);
  pushFree(mem, map >>> 2, old);
  unlock(mem, map + TABLE_LOCK);
}

/** Takes an element out of its chain and the count; its node is free and serves elements of this map only. */
export function dropNode(env: MapEnv, map: number, bucket: number, node: number): void {
  const { mem } = env;
  const { i32 } = mem;
  const d = map >>> 2;
  lockTable(mem, map);
  unlinkNode(mem, bucket, node);
  emptyNode(env, map, node);
  pushFree(mem, d, node);
  i32[d + W_COUNT] = i32[d + W_COUNT]! - 1;
  unlock(mem, map + TABLE_LOCK);
}

/** The element of a node that has left its chain: what its special fields hold ends, on all CPUs. */
export function emptyNode(env: MapEnv, map: number, node: number): void {
  const { i32 } = env.mem;
  const d = map >>> 2;
  if (i32[d + W_ANCHORS] === 0) return;
  const value = i32[(node + NODE_VALUE) >>> 2]! >>> 0;
  const cpus = i32[d + (HT_CPUS >>> 2)]!;
  for (let cpu = 0; cpu < cpus; cpu++) emptyFields(env, map, value + cpu * i32[d + (HT_SPAN >>> 2)]!);
}

function pushFree({ i32 }: Memory, d: number, node: number): void {
  const n = node >>> 2;
  const first = i32[d + W_FREE]!;
  i32[n + W_SEQ] = i32[n + W_SEQ]! & ~SEQ_COUNTED;
  i32[n] = first === 0 ? FREE_END : first;
  i32[d + W_FREE] = node;
}

function virgin(mem: Memory, map: number): number {
  const { u32 } = mem;
  const d = map >>> 2;
  const grow = u32[d + (HT_GROW >>> 2)]!;
  if (u32[d + (HT_NEXT >>> 2)] === u32[d + (HT_END >>> 2)] && (grow === 0 || !addChunk(mem, map, grow))) return 0;
  return takeVirgin(u32, d);
}

function takeVirgin(u32: Uint32Array, d: number): number {
  const node = u32[d + (HT_NEXT >>> 2)]!;
  const value = u32[d + (HT_NEXT_VALUE >>> 2)]!;
  u32[d + (HT_NEXT >>> 2)] = node + u32[d + (HT_NODE_SIZE >>> 2)]!;
  u32[d + (HT_NEXT_VALUE >>> 2)] = value + rup8(u32[d + (MAP_VALUE_SIZE >>> 2)]!);
  u32[(node + NODE_VALUE) >>> 2] = value;
  return node;
}

/** Calls back for every node that was ever taken, in a chain or not. */
export function forEachUsedNode(mem: Memory, map: number, visit: (node: number) => void): void {
  const { u32 } = mem;
  const d = map >>> 2;
  const nodeSize = u32[d + (HT_NODE_SIZE >>> 2)]!;
  // Only the newest chunk, the first in the chain, can have nodes that were never taken.
  let end = u32[d + (HT_NEXT >>> 2)]!;
  for (let chunk = u32[d + (HT_CHUNKS >>> 2)]!; chunk !== 0; chunk = u32[chunk >>> 2]!) {
    const first = u32[(chunk >>> 2) + 1]!;
    if (end === 0) end = first + u32[(chunk >>> 2) + 3]! * nodeSize;
    for (let node = first; node < end; node += nodeSize) visit(node);
    end = 0;
  }
}

/** Fills in hash and key of a node that is in no chain. */
export function setKey(mem: Memory, map: number, node: number, key: number, hash: number): void {
  const { i32 } = mem;
  const d = map >>> 2;
  const size = i32[d + W_KEY_SIZE]!;
  i32[(node >>> 2) + W_HASH] = hash;
  if (size === 4 && (key & 3) === 0) i32[(node + i32[d + W_KEY]!) >>> 2] = i32[key >>> 2]!;
  else mem.copy(node + i32[d + W_KEY]!, key, size);
}
