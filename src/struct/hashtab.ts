/**
 * The hash table behind all hash types. Buckets are chains of nodes; a node holds links, hash and key, its value lies
 * in an area of its own. The chains are the truth: counters and free lists follow from them. A chain ends in a marker
 * with its bucket's number, so that a reader who was led into another chain by a node that moved starts again.
 * Writers hold the bucket's lock, readers none. Kernel counterpart: hashtab.c.
 */
import { AREA_NODES, alloc, allocAreas, free, freeAreas } from "../mem/alloc.ts";
import { roundUpPow2, rup8 } from "../mem/layout.ts";
import type { Memory } from "../mem/memory.ts";
import { BPF_F_NO_PREALLOC, BPF_F_ZERO_SEED, ENOENT, ENOMEM } from "../uapi/index.ts";
import type { MapEnv } from "./env.ts";
import { jhash } from "./jhash.ts";
import { MAP_FLAGS, MAP_KEY_SIZE, MAP_MAX_ENTRIES, MAP_PRIVATE, MAP_VALUE_SIZE } from "./map.ts";
import { allocValues, valuesSpan } from "./values.ts";

/** First bucket, and the number of the last. */
export const HT_BUCKETS: number = MAP_PRIVATE;
export const HT_MASK: number = MAP_PRIVATE + 4;
export const HT_SEED: number = MAP_PRIVATE + 8;
/** Elements in chains. */
export const HT_COUNT: number = MAP_PRIVATE + 12;
export const HT_FREE: number = MAP_PRIVATE + 16;
/** The next node of the newest chunk that was never used, the end of them, and the value that goes with the next. */
export const HT_NEXT: number = MAP_PRIVATE + 20;
export const HT_END: number = MAP_PRIVATE + 24;
export const HT_NEXT_VALUE: number = MAP_PRIVATE + 28;
export const HT_NODE_SIZE: number = MAP_PRIVATE + 32;
/** Where the key lies in a node: behind the links that the type needs. */
export const HT_KEY: number = MAP_PRIVATE + 36;
export const HT_CHUNKS: number = MAP_PRIVATE + 40;
/** Elements of each chunk that the table grows by; 0: preallocated, it does not grow. */
export const HT_GROW: number = MAP_PRIVATE + 44;
/** Per-CPU types: distance from one CPU's values to the next one's, the same in all chunks. */
export const HT_SPAN: number = MAP_PRIVATE + 48;
/** CPUs whose values are kept apart: 1, all, or 0 where there are no values. */
export const HT_CPUS: number = MAP_PRIVATE + 52;
/** Lock of the free list, the chunks and the count. Taken inside a bucket's lock, never the other way round. */
export const HT_LOCK: number = MAP_PRIVATE + 56;
/** 1: the table counts its elements and has a free list; 0: the type built on it does that. */
export const HT_COUNTED: number = MAP_PRIVATE + 60;
/** First field that a type built on this table may use for itself. */
export const HT_PRIVATE: number = MAP_PRIVATE + 64;

export const BUCKET_SIZE = 8;

/** A node: next (0 or odd: end of chain), hash, address of the value, sequence number; then the type's links and the key. */
export const NODE_HASH = 4;
export const NODE_VALUE = 8;
/** Odd while the node is in a chain; changes with every use, so that a copy made meanwhile is known to be stale. */
export const NODE_SEQ = 12;
/** Of the sequence number: the node is in a chain; what a use adds. */
export const SEQ_LINKED = 1;
export const SEQ_USE = 4;
export const NODE_HEAD = 16;

// Constants of this module are folded into compiled code; imported ones are read and checked each time.
const W_KEY_SIZE: number = MAP_KEY_SIZE >>> 2;
const W_BUCKETS: number = HT_BUCKETS >>> 2;
const W_MASK: number = HT_MASK >>> 2;
const W_SEED: number = HT_SEED >>> 2;
const W_KEY: number = HT_KEY >>> 2;
const W_HASH: number = NODE_HASH >>> 2;

/** Chunk record: next chunk, nodes, values, number of elements. */
export const CHUNK_NODES = 4;
export const CHUNK_VALUES = 8;
export const CHUNK_COUNT = 12;
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

/** Where the key lies in a node: at a multiple of 8, short ones of 4. */
function keyPlace(links: number, keySize: number): number {
  return keySize > 4 ? rup8(NODE_HEAD + links) : NODE_HEAD + links;
}

/** Bytes of a node. */
export function nodeBytes(links: number, keySize: number): number {
  return rup8(keyPlace(links, keySize) + keySize);
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
  const keySize = u32[d + (MAP_KEY_SIZE >>> 2)]!;
  const nodeSize = nodeBytes(spec.links, keySize);
  u32[d + (HT_BUCKETS >>> 2)] = base;
  u32[d + (HT_MASK >>> 2)] = buckets - 1;
  u32[d + (HT_SEED >>> 2)] = flags & BPF_F_ZERO_SEED ? 0 : env.random32();
  u32[d + (HT_NODE_SIZE >>> 2)] = nodeSize;
  u32[d + (HT_KEY >>> 2)] = keyPlace(spec.links, keySize);
  u32[d + (HT_CPUS >>> 2)] = spec.cpus;
  u32[d + (HT_COUNTED >>> 2)] = spec.counted ? 1 : 0;
  const growing = (flags & BPF_F_NO_PREALLOC) !== 0;
  const stride = rup8(u32[d + (MAP_VALUE_SIZE >>> 2)]!);
  const perChunk = growing ? Math.max(1, Math.floor(GROW_BYTES / Math.max(stride, nodeSize))) : spec.nodes;
  u32[d + (HT_GROW >>> 2)] = growing ? perChunk : 0;
  u32[d + (HT_SPAN >>> 2)] = valuesSpan(perChunk, u32[d + (MAP_VALUE_SIZE >>> 2)]!);
  if (!growing && !addChunk(mem, map, perChunk)) {
    freeTable(env, map);
    return -ENOMEM;
  }
  return 0;
}

/** Adds nodes and values for `count` elements. False: out of memory, nothing was taken. */
export function addChunk(mem: Memory, map: number, count: number): boolean {
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
  u32[c + (CHUNK_NODES >>> 2)] = nodes;
  u32[c + (CHUNK_VALUES >>> 2)] = values;
  u32[c + (CHUNK_COUNT >>> 2)] = count;
  u32[d + (HT_CHUNKS >>> 2)] = chunk;
  u32[d + (HT_NEXT >>> 2)] = nodes;
  u32[d + (HT_END >>> 2)] = nodes + count * nodeSize;
  u32[d + (HT_NEXT_VALUE >>> 2)] = values;
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
export function sameKey(mem: Memory, stored: number, key: number, size: number): boolean {
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

/** False at the end of a chain. */
export function isNode(link: number): boolean {
  return link !== 0 && (link & 1) === 0;
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
