/**
 * Operations of LPM_TRIE. Writers hold the map's lock. On a shared host readers take none: they look whether a writer
 * was at work meanwhile, by a number that is odd as long as one is, and search again. Kernel counterpart: lpm_trie.c.
 */
import type { Btf } from "../btf/index.ts";
import { lock, unlock } from "../mem/locks.ts";
import type { Memory } from "../mem/memory.ts";
import { BPF_EXIST, BPF_F_NO_PREALLOC, EINVAL, ENOENT } from "../uapi/index.ts";
import { checkFlags, KMALLOC_MAX, keyTypeOf, NUMA_AND_ACCESS } from "./check.ts";
import type { MapCreateAttr, MapEnv } from "./env.ts";
import { DATA, KEY_DATA, LPM_COUNT, LPM_SEQ, lenOf, maxPrefix, prefixOf } from "./lpm_node.ts";
import { searchTrie } from "./lpm_search.ts";
import { freeTrie, initTrie, nextNode, putTrie, removeTrie, repairTrie } from "./lpm_trie.ts";
import { MAP_KEY_SIZE, MAP_LOCK, MAP_VALUE_SIZE } from "./map.ts";

const DATA_MAX = 256;
/** What the kernel puts in front of a node's data. */
const KERNEL_NODE_HEAD = 24;
const VALUE_MAX: number = KMALLOC_MAX - DATA_MAX - KERNEL_NODE_HEAD;
/** Searches that a writer may spoil before a reader waits for it. */
const TRIES = 8;

export function allocCheckLpm(_env: MapEnv, attr: MapCreateAttr): number {
  if (attr.max_entries === 0 || (attr.map_flags & BPF_F_NO_PREALLOC) === 0) return -EINVAL;
  const data = attr.key_size - KEY_DATA;
  if (data < 1 || data > DATA_MAX || attr.value_size < 1 || attr.value_size > VALUE_MAX) return -EINVAL;
  return checkFlags(attr, NUMA_AND_ACCESS | BPF_F_NO_PREALLOC);
}

export function allocLpm(env: MapEnv, map: number): number {
  initTrie(env.mem, map);
  return 0;
}

export function freeLpm(env: MapEnv, map: number): void {
  freeTrie(env.mem, map);
}

/** A key begins with its length, so its type is a struct. */
export function checkBtfLpm(_env: MapEnv, _map: number, btf: Btf, keyId: number, _valueId: number): number {
  return keyTypeOf(btf, keyId).kind === "struct" ? 0 : -EINVAL;
}

function beginChange(mem: Memory, map: number): void {
  if (!mem.shared) return;
  if (lock(mem, map + MAP_LOCK)) repair(mem, map);
  mem.atomics.add32(map + LPM_SEQ, 1);
}

function endChange(mem: Memory, map: number): void {
  if (!mem.shared) return;
  mem.atomics.add32(map + LPM_SEQ, 1);
  unlock(mem, map + MAP_LOCK);
}

/** Who had the lock died with it, perhaps in the middle of a change. */
function repair(mem: Memory, map: number): void {
  const seq = mem.atomics.load32(map + LPM_SEQ);
  if ((seq & 1) === 0) mem.atomics.store32(map + LPM_SEQ, seq + 1);
  repairTrie(mem, map);
  mem.atomics.add32(map + LPM_SEQ, 1);
}

/** Takes the lock for looking only. Pair with `unlock`. */
function lockToRead(mem: Memory, map: number): void {
  if (lock(mem, map + MAP_LOCK)) repair(mem, map);
}

/** Address of the value of the longest prefix, or 0. Called by programs. */
export function lookupLpm(env: MapEnv, map: number, key: number): number {
  const { mem } = env;
  if (!mem.shared) return searchTrie(mem, map, key);
  for (let i = 0; i < TRIES; i++) {
    const seq = mem.atomics.load32(map + LPM_SEQ);
    const value = searchTrie(mem, map, key);
    if ((seq & 1) === 0 && mem.atomics.load32(map + LPM_SEQ) === seq) return value;
  }
  lockToRead(mem, map);
  const value = searchTrie(mem, map, key);
  unlock(mem, map + MAP_LOCK);
  return value;
}

/** BPF_MAP_LOOKUP_ELEM. The copy is good when nobody changed the trie meanwhile. */
export function copyLpm(env: MapEnv, map: number, key: number, value: number): number {
  const { mem } = env;
  const size = mem.u32[(map + MAP_VALUE_SIZE) >>> 2]!;
  for (let i = 0; mem.shared && i < TRIES; i++) {
    const seq = mem.atomics.load32(map + LPM_SEQ);
    if ((seq & 1) === 1) continue;
    const from = searchTrie(mem, map, key);
    // A search that was led astray may end anywhere: nothing is copied from there.
    if (mem.atomics.load32(map + LPM_SEQ) !== seq) continue;
    if (from === 0) return -ENOENT;
    mem.copy(value, from, size);
    if (mem.atomics.load32(map + LPM_SEQ) === seq) return 0;
  }
  lockToRead(mem, map);
  const from = searchTrie(mem, map, key);
  if (from !== 0) mem.copy(value, from, size);
  unlock(mem, map + MAP_LOCK);
  return from === 0 ? -ENOENT : 0;
}

/** From commands and programs. */
export function updateLpm(env: MapEnv, map: number, key: number, value: number, flags: number): number {
  const { mem } = env;
  if (flags > BPF_EXIST || prefixOf(mem, key) > maxPrefix(mem, map)) return -EINVAL;
  beginChange(mem, map);
  const ret = putTrie(mem, map, key, value, flags);
  endChange(mem, map);
  return ret;
}

/** From commands and programs. */
export function deleteLpm(env: MapEnv, map: number, key: number): number {
  const { mem } = env;
  if (prefixOf(mem, key) > maxPrefix(mem, map)) return -EINVAL;
  beginChange(mem, map);
  const ret = removeTrie(mem, map, key);
  endChange(mem, map);
  return ret;
}

/** How many prefixes there are. */
export function countLpm(env: MapEnv, map: number): number {
  const { mem } = env;
  lockToRead(mem, map);
  const count = mem.u32[(map + LPM_COUNT) >>> 2]!;
  unlock(mem, map + MAP_LOCK);
  return count;
}

/** BPF_MAP_GET_NEXT_KEY: longer prefixes before those that they begin with. */
export function nextLpm(env: MapEnv, map: number, key: number, next: number): number {
  const { mem } = env;
  lockToRead(mem, map);
  const node = nextNode(mem, map, key);
  if (node !== 0) {
    mem.view.setUint32(next, lenOf(mem.u32, node), true);
    mem.copy(next + KEY_DATA, node + DATA, mem.u32[(map + MAP_KEY_SIZE) >>> 2]! - KEY_DATA);
  }
  unlock(mem, map + MAP_LOCK);
  return node === 0 ? -ENOENT : 0;
}
