/**
 * bpf_for_each_map_elem over a hash table: buckets ascending, chains from the head. No lock is held while the program's
 * function runs, so any element may go meanwhile, or come back as another one. Kernel counterpart: hashtab.c.
 */
import { rup8 } from "../mem/layout.ts";
import type { Memory } from "../mem/memory.ts";
import type { MapEnv } from "./env.ts";
import { leftChain } from "./hash_nodes.ts";
import {
  BUCKET_SIZE,
  CHUNK_COUNT,
  CHUNK_NODES,
  CHUNK_VALUES,
  HT_BUCKETS,
  HT_CHUNKS,
  HT_KEY,
  HT_MASK,
  HT_NODE_SIZE,
  HT_SPAN,
  isNode,
  NODE_SEQ,
  NODE_VALUE,
} from "./hashtab.ts";
import { lockChain, unlockChain } from "./lru.ts";
import { MAP_KEY_SIZE, MAP_VALUE_SIZE } from "./map.ts";

/**
 * The walk's state: the next bucket, how many nodes of the present one are known to follow, and these, each with its
 * sequence number: when the function removes some of them, the others tell where to go on.
 */
export const S_BUCKET = 0;
export const S_COUNT = 4;
export const S_NODES = 16;
export const WINDOW = 14;
export const WALK_SIZE: number = S_NODES + WINDOW * 8;

/** Address of the next element's value, its key copied to `key`; 0: there is none. */
export function walkHash(env: MapEnv, map: number, state: number, key: number): number {
  const node = nextNode(env, map, state, key);
  return node === 0 ? 0 : env.mem.u32[(node + NODE_VALUE) >>> 2]!;
}

/** The same, with the current CPU's value. */
export function walkPercpuHash(env: MapEnv, map: number, state: number, key: number): number {
  const value = walkHash(env, map, state, key);
  return value === 0 ? 0 : value + env.cpu * env.mem.u32[(map + HT_SPAN) >>> 2]!;
}

/** The key of the element whose value lies here, copied to `key`: nodes and values of a chunk have the same order. */
export function keyOfValue({ mem }: MapEnv, map: number, value: number, key: number): void {
  const { u32 } = mem;
  const stride = rup8(u32[(map + MAP_VALUE_SIZE) >>> 2]!);
  for (let chunk = u32[(map + HT_CHUNKS) >>> 2]!; chunk !== 0; chunk = u32[chunk >>> 2]!) {
    const index = (value - u32[(chunk + CHUNK_VALUES) >>> 2]!) / stride;
    if (index < 0 || index >= u32[(chunk + CHUNK_COUNT) >>> 2]!) continue;
    const node = u32[(chunk + CHUNK_NODES) >>> 2]! + index * u32[(map + HT_NODE_SIZE) >>> 2]!;
    copyKey(mem, map, node, key);
    return;
  }
}

function copyKey(mem: Memory, map: number, node: number, key: number): void {
  const { u32 } = mem;
  mem.copy(key, node + u32[(map + HT_KEY) >>> 2]!, u32[(map + MAP_KEY_SIZE) >>> 2]!);
}

function nextNode(env: MapEnv, map: number, state: number, key: number): number {
  const { u32 } = env.mem;
  const last = u32[(map + HT_MASK) >>> 2]!;
  let node = followingNode(env, map, state, key);
  while (node === 0) {
    const index = u32[(state + S_BUCKET) >>> 2]!;
    if (index > last) return 0;
    const bucket = bucketAt(env.mem, map, index);
    if (isNode(u32[bucket >>> 2]!)) node = firstNode(env, map, state, bucket, key);
    u32[(state + S_BUCKET) >>> 2] = index + 1;
  }
  return node;
}

function bucketAt({ u32 }: Memory, map: number, index: number): number {
  return u32[(map + HT_BUCKETS) >>> 2]! + index * BUCKET_SIZE;
}

/** The first node of the bucket, or 0. */
function firstNode(env: MapEnv, map: number, state: number, bucket: number, key: number): number {
  lockChain(env, map, bucket);
  const node = env.mem.u32[bucket >>> 2]!;
  const found = isNode(node);
  if (found) visit(env.mem, map, state, node, key);
  unlockChain(env, map, bucket);
  return found ? node : 0;
}

/**
 * The next node of the present bucket. As in the kernel the one that came next when the function was called is visited
 * even if the function removed it, unless it holds another element by now.
 */
function followingNode(env: MapEnv, map: number, state: number, key: number): number {
  const { mem } = env;
  const { u32 } = mem;
  const count = u32[(state + S_COUNT) >>> 2]!;
  for (let i = 0; i < count; i++) {
    const at = (state + S_NODES + i * 8) >>> 2;
    const node = u32[at]!;
    const was = u32[at + 1]!;
    if (u32[(node + NODE_SEQ) >>> 2] === was && isLinked(env, map, state, node, was, key)) return node;
    if (i > 0 || !isUnused(env, map, state, node, was, key)) continue;
    forgetFirst(mem, state, count);
    return node;
  }
  u32[(state + S_COUNT) >>> 2] = 0;
  return 0;
}

/** Whether the node is still what it was, now that nobody else changes the chain; then it is visited. */
function isLinked(env: MapEnv, map: number, state: number, node: number, was: number, key: number): boolean {
  const bucket = presentBucket(env.mem, map, state);
  lockChain(env, map, bucket);
  const linked = env.mem.u32[(node + NODE_SEQ) >>> 2] === was;
  if (linked) visit(env.mem, map, state, node, key);
  unlockChain(env, map, bucket);
  return linked;
}

/**
 * Whether the node has left the chain and is still that element's; its key is copied before this is asked. The lock keeps
 * LRU types from using it, and other types from putting it back into this chain.
 */
function isUnused(env: MapEnv, map: number, state: number, node: number, was: number, key: number): boolean {
  const bucket = presentBucket(env.mem, map, state);
  lockChain(env, map, bucket);
  copyKey(env.mem, map, node, key);
  const unused = leftChain(env.mem, node, was);
  unlockChain(env, map, bucket);
  return unused;
}

function presentBucket(mem: Memory, map: number, state: number): number {
  return bucketAt(mem, map, mem.u32[(state + S_BUCKET) >>> 2]! - 1);
}

/** The first of the known nodes is behind us. */
function forgetFirst({ u32, u8 }: Memory, state: number, count: number): void {
  u8.copyWithin(state + S_NODES, state + S_NODES + 8, state + S_NODES + count * 8);
  u32[(state + S_COUNT) >>> 2] = count - 1;
}

/** Copies the key of this node of a locked chain, while nobody else can use the node, and notes which nodes follow. */
function visit(mem: Memory, map: number, state: number, from: number, key: number): void {
  const { u32 } = mem;
  copyKey(mem, map, from, key);
  let count = 0;
  for (let node = u32[from >>> 2]!; isNode(node) && count < WINDOW; node = u32[node >>> 2]!) {
    const at = (state + S_NODES + count * 8) >>> 2;
    u32[at] = node;
    u32[at + 1] = u32[(node + NODE_SEQ) >>> 2]!;
    count++;
  }
  u32[(state + S_COUNT) >>> 2] = count;
}
