/**
 * The hash table behind all hash types. Buckets are chains of nodes; a node holds links, hash and key, its value lies
 * in an area of its own. The chains are the truth: counters and free lists follow from them. A chain ends in a marker
 * with its bucket's number, so that a reader who was led into another chain by a node that moved starts again.
 * Writers hold the bucket's lock, readers none. Kernel counterpart: hashtab.c.
 */
import { AREA_NODES, alloc, allocAreas, free, freeAreas } from "../mem/alloc.ts";
import { roundUpPow2, rup8 } from "../mem/layout.ts";
import { lock, ownerLives, unlock } from "../mem/locks.ts";
import type { Memory } from "../mem/memory.ts";
import { BPF_F_NO_PREALLOC, BPF_F_ZERO_SEED, E2BIG, ENOENT, ENOMEM } from "../uapi/index.ts";
import type { MapEnv } from "./env.ts";
import { jhash } from "./jhash.ts";
import { MAP_FLAGS, MAP_KEY_SIZE, MAP_MAX_ENTRIES, MAP_PRIVATE, MAP_VALUE_SIZE } from "./map.ts";
import { allocValues, valuesSpan } from "./values.ts";

/** First bucket, and the number of the last. */
export const HT_BUCKETS: number = MAP_PRIVATE;
export const HT_MASK: number = MAP_PRIVATE + 4;
const HT_SEED: number = MAP_PRIVATE + 8;
/** Elements in chains. */
export const HT_COUNT: number = MAP_PRIVATE + 12;
const HT_FREE: number = MAP_PRIVATE + 16;
/** The next node of the newest chunk that was never used, the end of them, and the value that goes with the next. */
const HT_NEXT: number = MAP_PRIVATE + 20;
const HT_END: number = MAP_PRIVATE + 24;
const HT_NEXT_VALUE: number = MAP_PRIVATE + 28;
const HT_NODE_SIZE: number = MAP_PRIVATE + 32;
/** Where the key lies in a node: behind the links that the type needs. */
export const HT_KEY: number = MAP_PRIVATE + 36;
const HT_CHUNKS: number = MAP_PRIVATE + 40;
/** Elements of each chunk that the table grows by; 0: preallocated, it does not grow. */
const HT_GROW: number = MAP_PRIVATE + 44;
/** Per-CPU types: distance from one CPU's values to the next one's. */
export const HT_SPAN: number = MAP_PRIVATE + 48;
/** CPUs whose values are kept apart: 1, all, or 0 where there are no values. */
const HT_CPUS: number = MAP_PRIVATE + 52;
/** Lock of the free list, the chunks and the count. Taken inside a bucket's lock, never the other way round. */
const HT_LOCK: number = MAP_PRIVATE + 56;
/** 1: the table counts its elements and has a free list; 0: the type built on it does that. */
const HT_COUNTED: number = MAP_PRIVATE + 60;
/** First field that a type built on this table may use for itself. */
export const HT_PRIVATE: number = MAP_PRIVATE + 64;

/**
 * Ends the free list: no bucket has this marker, so a reader who was led from a chain into free nodes starts again. A
 * free list that is empty reads 0, as new memory does.
 */
const FREE_END = 0xffff_ffff;

export const BUCKET_SIZE = 8;
export const BUCKET_LOCK = 4;

/** A node: next (0 or odd: end of chain), hash, address of the value, sequence number; then the type's links and the key. */
export const NODE_HASH = 4;
export const NODE_VALUE = 8;
/** Odd while the node is in a chain; changes with every use, so that a copy made meanwhile is known to be stale. */
export const NODE_SEQ = 12;
/** Of the sequence number: in a chain; taken for an element that is counted already; what a use adds. */
const SEQ_LINKED = 1;
const SEQ_COUNTED = 2;
const SEQ_USE = 4;
/**
 * In the link of a node that was taken and is in no chain yet, with its owner: no bucket's marker, so readers who stand
 * on the node start again, and a repair knows whose it is.
 */
const IN_FLIGHT = 0x8000_0001;
export const NODE_HEAD = 16;

// Constants of this module are folded into compiled code; imported ones are read and checked each time.
const W_KEY_SIZE: number = MAP_KEY_SIZE >>> 2;
const W_BUCKETS: number = HT_BUCKETS >>> 2;
const W_MASK: number = HT_MASK >>> 2;
const W_SEED: number = HT_SEED >>> 2;
const W_KEY: number = HT_KEY >>> 2;
const W_HASH: number = NODE_HASH >>> 2;

/** Chunk record: next chunk, nodes, bytes of them, values, number of elements. */
const CHUNK_SIZE = 32;
/** A table without preallocation grows by about this many bytes of values or nodes. */
export const GROW_BYTES: number = 0x1_0000 - 8;

export interface TableSpec {
  /** Nodes that are there from the beginning when the table is preallocated. */
  readonly nodes: number;
  /** Bytes of links that the type keeps in each node. */
  readonly links: number;
  /** CPUs whose values are kept apart. 0: there are no values; the node's word for their address is the type's. */
  readonly cpus: number;
  /** The table counts elements and keeps free nodes; false: the type does. */
  readonly counted: boolean;
}

/** Takes buckets and, when preallocated, all nodes and values; touches none of them. */
export function allocTable(env: MapEnv, map: number, spec: TableSpec): number {
  const { mem } = env;
  const { u32 } = mem;
  const d = map >>> 2;
  const flags = u32[d + (MAP_FLAGS >>> 2)]!;
  const buckets = roundUpPow2(u32[d + (MAP_MAX_ENTRIES >>> 2)]!);
  const base = allocAreas(mem, buckets * BUCKET_SIZE, 1, { kind: AREA_NODES, map });
  if (base === 0) return -ENOMEM;
  const nodeSize = NODE_HEAD + spec.links + rup8(u32[d + (MAP_KEY_SIZE >>> 2)]!);
  u32[d + (HT_BUCKETS >>> 2)] = base;
  u32[d + (HT_MASK >>> 2)] = buckets - 1;
  u32[d + (HT_SEED >>> 2)] = flags & BPF_F_ZERO_SEED ? 0 : env.random32();
  u32[d + (HT_NODE_SIZE >>> 2)] = nodeSize;
  u32[d + (HT_KEY >>> 2)] = NODE_HEAD + spec.links;
  u32[d + (HT_CPUS >>> 2)] = spec.cpus;
  u32[d + (HT_COUNTED >>> 2)] = spec.counted ? 1 : 0;
  const growing = (flags & BPF_F_NO_PREALLOC) !== 0;
  const stride = rup8(u32[d + (MAP_VALUE_SIZE >>> 2)]!);
  const perChunk = growing ? Math.max(1, Math.floor(GROW_BYTES / Math.max(stride, nodeSize))) : spec.nodes;
  u32[d + (HT_GROW >>> 2)] = growing ? perChunk : 0;
  u32[d + (HT_SPAN >>> 2)] = 0;
  if (!growing && !addChunk(mem, map, perChunk)) {
    freeTable(env, map);
    return -ENOMEM;
  }
  return 0;
}

/** Adds nodes and values for `count` elements. False: out of memory, nothing was taken. */
function addChunk(mem: Memory, map: number, count: number): boolean {
  const { u32 } = mem;
  const d = map >>> 2;
  const nodeSize = u32[d + (HT_NODE_SIZE >>> 2)]!;
  const valueSize = u32[d + (MAP_VALUE_SIZE >>> 2)]!;
  const cpus = u32[d + (HT_CPUS >>> 2)]!;
  const chunk = alloc(mem, CHUNK_SIZE);
  if (chunk === 0) return false;
  const nodes = allocAreas(mem, count * nodeSize, 1, { kind: AREA_NODES, map });
  const wanted = nodes !== 0 && cpus !== 0;
  const values = wanted ? allocValues(mem, map, count, valueSize, u32[d + (MAP_FLAGS >>> 2)]!, cpus) : 0;
  if (nodes === 0 || (wanted && values === 0)) {
    if (nodes !== 0) freeAreas(mem, nodes, count * nodeSize, 1);
    free(mem, chunk, CHUNK_SIZE);
    return false;
  }
  const c = chunk >>> 2;
  u32[c] = u32[d + (HT_CHUNKS >>> 2)]!;
  u32[c + 1] = nodes;
  u32[c + 2] = values;
  u32[c + 3] = count;
  u32[d + (HT_CHUNKS >>> 2)] = chunk;
  u32[d + (HT_NEXT >>> 2)] = nodes;
  u32[d + (HT_END >>> 2)] = nodes + count * nodeSize;
  u32[d + (HT_NEXT_VALUE >>> 2)] = values;
  u32[d + (HT_SPAN >>> 2)] = valuesSpan(count, valueSize);
  return true;
}

/** Gives back all memory of the table. */
export function freeTable(env: MapEnv, map: number): void {
  const { mem } = env;
  const { u32 } = mem;
  const d = map >>> 2;
  const nodeSize = u32[d + (HT_NODE_SIZE >>> 2)]!;
  const stride = rup8(u32[d + (MAP_VALUE_SIZE >>> 2)]!);
  const cpus = u32[d + (HT_CPUS >>> 2)]!;
  for (let chunk = u32[d + (HT_CHUNKS >>> 2)]!; chunk !== 0; ) {
    const c = chunk >>> 2;
    const next = u32[c]!;
    const count = u32[c + 3]!;
    freeAreas(mem, u32[c + 1]!, count * nodeSize, 1);
    if (cpus !== 0) freeAreas(mem, u32[c + 2]!, count * stride, cpus);
    free(mem, chunk, CHUNK_SIZE);
    chunk = next;
  }
  freeAreas(mem, u32[d + (HT_BUCKETS >>> 2)]!, (u32[d + (HT_MASK >>> 2)]! + 1) * BUCKET_SIZE, 1);
}

/** The hash of the key at this address, in this table. */
export function hashOf(mem: Memory, map: number, key: number): number {
  const { i32 } = mem;
  const d = map >>> 2;
  return jhash(mem, key, i32[d + W_KEY_SIZE]!, i32[d + W_SEED]!);
}

/** Address of the bucket that a hash falls into: its chain's head. */
export function bucketOf(mem: Memory, map: number, hash: number): number {
  const { i32 } = mem;
  const d = map >>> 2;
  return (i32[d + W_BUCKETS]! + ((hash & i32[d + W_MASK]!) << 3)) >>> 0;
}

/** The node with this key, or 0. Called by readers without a lock and by writers under the bucket's. */
export function findNode(mem: Memory, map: number, key: number, hash: number): number {
  const { i32 } = mem;
  const d = map >>> 2;
  const index = hash & i32[d + W_MASK]!;
  const bucket = (i32[d + W_BUCKETS]! >>> 2) + (index << 1);
  const keyAt = i32[d + W_KEY]!;
  const keySize = i32[d + W_KEY_SIZE]!;
  for (;;) {
    let node = i32[bucket]!;
    for (; node !== 0 && (node & 1) === 0; node = i32[node >>> 2]!) {
      if (i32[(node >>> 2) + W_HASH] === hash && sameKey(mem, node + keyAt, key, keySize)) return node >>> 0;
    }
    if (node === 0 || node === ((index << 1) | 1)) return 0;
  }
}

/**
 * What was read of a node belongs to this key: the node was in its chain when its sequence number was `seq`, and has not
 * left it since, so the key that stands in it was there all the time.
 */
export function stillSame(mem: Memory, map: number, key: number, node: number, seq: number): boolean {
  const { i32 } = mem;
  const d = map >>> 2;
  const same = (seq & SEQ_LINKED) !== 0 && sameKey(mem, node + i32[d + W_KEY]!, key, i32[d + W_KEY_SIZE]!);
  return same && mem.atomics.load32(node + NODE_SEQ) === seq;
}

/** Compares the key in a node, which is aligned, with one anywhere. */
function sameKey(mem: Memory, stored: number, key: number, size: number): boolean {
  const { i32 } = mem;
  if (((key | size) & 3) !== 0) return sameBytes(mem.u8, stored >>> 0, key, size);
  if (i32[stored >>> 2] !== i32[key >>> 2]) return false;
  return size === 4 || sameWords(i32, stored >>> 2, key >>> 2, size >>> 2);
}

function sameWords(i32: Int32Array, a: number, b: number, count: number): boolean {
  for (let i = 0; i < count; i++) if (i32[a + i] !== i32[b + i]) return false;
  return true;
}

function sameBytes(u8: Uint8Array, a: number, b: number, size: number): boolean {
  for (let i = 0; i < size; i++) if (u8[a + i] !== u8[b + i]) return false;
  return true;
}

/**
 * Takes the bucket's lock. When its owner died with it, the chain may hold the same key twice (a replacement whose old
 * node was not unlinked yet): the later one goes, and count and free list are made again.
 */
export function lockBucket(mem: Memory, map: number, bucket: number): void {
  if (!lock(mem, bucket + BUCKET_LOCK)) return;
  lock(mem, map + HT_LOCK);
  dropStale(mem, map, bucket);
  rebuild(mem, map);
  unlock(mem, map + HT_LOCK);
}

/** The lock of count and free list, which are made again when its owner died with it. */
function lockTable(mem: Memory, map: number): void {
  if (lock(mem, map + HT_LOCK)) rebuild(mem, map);
}

/**
 * Makes count and free list from the nodes: one is in a chain, or on its way there by a client that lives, or free.
 * Called under HT_LOCK, under which nodes leave chains and become free, so none is seen in between.
 */
function rebuild(mem: Memory, map: number): void {
  const { u32 } = mem;
  const d = map >>> 2;
  if (u32[d + (HT_COUNTED >>> 2)] === 0) return;
  let count = 0;
  u32[d + (HT_FREE >>> 2)] = 0;
  forEachUsedNode(mem, map, (node) => {
    const seq = u32[(node + NODE_SEQ) >>> 2]!;
    const link = u32[node >>> 2]!;
    if (seq & SEQ_LINKED) count++;
    else if (inFlight(link) && ownerLives(mem, (link & ~IN_FLIGHT) >>> 1)) count += seq & SEQ_COUNTED ? 1 : 0;
    else pushFree(u32, d, node);
  });
  u32[d + (HT_COUNT >>> 2)] = count;
}

function inFlight(link: number): boolean {
  return link !== FREE_END && (link & IN_FLIGHT) === (IN_FLIGHT | 0);
}

export function unlockBucket(mem: Memory, bucket: number): void {
  unlock(mem, bucket + BUCKET_LOCK);
}

function dropStale(mem: Memory, map: number, bucket: number): void {
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

/** False at the end of a chain. */
export function isNode(link: number): boolean {
  return link !== 0 && (link & 1) === 0;
}

/** Puts a node with its key, hash and value filled in at the head of its bucket. One store makes it visible. */
export function linkHead(mem: Memory, map: number, bucket: number, node: number): void {
  const { u32 } = mem;
  const head = u32[bucket >>> 2]!;
  const d = map >>> 2;
  u32[(node + NODE_SEQ) >>> 2] = (u32[(node + NODE_SEQ) >>> 2]! & ~SEQ_COUNTED) | SEQ_LINKED;
  u32[node >>> 2] = head !== 0 ? head : (((bucket - u32[d + (HT_BUCKETS >>> 2)]!) >>> 2) | 1) >>> 0;
  if (mem.shared) mem.atomics.store32(bucket, node);
  else u32[bucket >>> 2] = node;
}

/** Takes a node out of its chain. Its own link stays, for readers who stand on it. */
export function unlinkNode(mem: Memory, bucket: number, node: number): void {
  const { u32 } = mem;
  let at = bucket;
  while (u32[at >>> 2] !== node) at = u32[at >>> 2]!;
  if (mem.shared) mem.atomics.store32(at, u32[node >>> 2]!);
  else u32[at >>> 2] = u32[node >>> 2]!;
  u32[(node + NODE_SEQ) >>> 2] = ((u32[(node + NODE_SEQ) >>> 2]! & ~SEQ_LINKED) + SEQ_USE) >>> 0;
}

/** A node that was never used, for a type with free lists of its own; 0: there is none, or memory is out. */
export function takeUnused(mem: Memory, map: number): number {
  lock(mem, map + HT_LOCK);
  const node = virgin(mem, map);
  unlock(mem, map + HT_LOCK);
  return node;
}

/**
 * A node with this key, in no chain: for one more element, which is counted, or to replace one. -E2BIG: the map is
 * full; -ENOMEM.
 */
export function takeNode(mem: Memory, map: number, key: number, hash: number, more: boolean): number {
  lockTable(mem, map);
  const node = takeLocked(mem, map, more);
  unlock(mem, map + HT_LOCK);
  if (node > 0) setKey(mem, map, node, key, hash);
  return node;
}

function takeLocked(mem: Memory, map: number, more: boolean): number {
  const { u32 } = mem;
  const d = map >>> 2;
  const count = u32[d + (HT_COUNT >>> 2)]!;
  if (more && count >= u32[d + (MAP_MAX_ENTRIES >>> 2)]!) return -E2BIG;
  let node = u32[d + (HT_FREE >>> 2)]!;
  if (node !== 0) {
    const next = u32[node >>> 2]!;
    u32[d + (HT_FREE >>> 2)] = next === FREE_END ? 0 : next;
  } else {
    node = virgin(mem, map);
    if (node === 0) return -ENOMEM;
  }
  if (mem.shared) u32[node >>> 2] = IN_FLIGHT | (mem.owner << 1);
  if (more) {
    u32[(node + NODE_SEQ) >>> 2] = u32[(node + NODE_SEQ) >>> 2]! | SEQ_COUNTED;
    u32[d + (HT_COUNT >>> 2)] = count + 1;
  }
  return node;
}

/** Puts a filled node at the head of its bucket in the place of `old`, which becomes free. */
export function replaceNode(mem: Memory, map: number, bucket: number, node: number, old: number): void {
  lockTable(mem, map);
  linkHead(mem, map, bucket, node);
  unlinkNode(mem, bucket, old);
  pushFree(mem.u32, map >>> 2, old);
  unlock(mem, map + HT_LOCK);
}

/** Takes an element out of its chain and the count; its node is free and serves elements of this map only. */
export function dropNode(mem: Memory, map: number, bucket: number, node: number): void {
  const { u32 } = mem;
  const d = map >>> 2;
  lockTable(mem, map);
  unlinkNode(mem, bucket, node);
  pushFree(u32, d, node);
  u32[d + (HT_COUNT >>> 2)] = u32[d + (HT_COUNT >>> 2)]! - 1;
  unlock(mem, map + HT_LOCK);
}

function pushFree(u32: Uint32Array, d: number, node: number): void {
  const first = u32[d + (HT_FREE >>> 2)]!;
  u32[(node + NODE_SEQ) >>> 2] = u32[(node + NODE_SEQ) >>> 2]! & ~SEQ_COUNTED;
  u32[node >>> 2] = first === 0 ? FREE_END : first;
  u32[d + (HT_FREE >>> 2)] = node;
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

/** BPF_MAP_GET_NEXT_KEY: buckets ascending, chains from the head; a key that is not there starts from the first. */
export function nextKey(env: MapEnv, map: number, key: number, next: number): number {
  const { mem } = env;
  const { u32 } = mem;
  const d = map >>> 2;
  let index = 0;
  if (key !== 0) {
    const hash = hashOf(mem, map, key);
    const node = findNode(mem, map, key, hash);
    if (node !== 0) {
      const after = u32[node >>> 2]!;
      if (isNode(after)) return copyKey(mem, map, after, next);
      index = (hash & u32[d + (HT_MASK >>> 2)]!) + 1;
    }
  }
  const buckets = u32[d + (HT_BUCKETS >>> 2)]! >>> 2;
  const mask = u32[d + (HT_MASK >>> 2)]!;
  for (; index <= mask; index++) {
    const head = u32[buckets + index * 2]!;
    if (isNode(head)) return copyKey(mem, map, head, next);
  }
  return -ENOENT;
}

function copyKey(mem: Memory, map: number, node: number, to: number): number {
  const d = map >>> 2;
  mem.copy(to, node + mem.u32[d + (HT_KEY >>> 2)]!, mem.u32[d + (MAP_KEY_SIZE >>> 2)]!);
  return 0;
}
