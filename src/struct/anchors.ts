/**
 * Anchors: what the special fields of a map's elements stand for (a timer, an object, a list), found by the address of
 * the field. A program can write over the field itself; it cannot reach these. An anchor is there from the first use of
 * its field until the element goes or its fields are emptied.
 */
import { alloc, free } from "../mem/alloc.ts";
import { roundUpPow2 } from "../mem/layout.ts";
import { lock, unlock } from "../mem/locks.ts";
import type { Memory } from "../mem/memory.ts";
import { MAP_ANCHORS, MAP_MAX_ENTRIES } from "./map.ts";

/** A map's anchors: lock, number of the last bucket, and the buckets. */
const T_MASK = 4;
const T_BUCKETS = 8;
const BUCKETS_MAX = 0x1_0000;

/** An anchor: the next one of its bucket, the field's address and kind, its map; then what the kind needs. */
const ANCHOR_FIELD = 4;
export const ANCHOR_KIND = 8;
export const ANCHOR_MAP = 12;
export const ANCHOR_STATE = 16;
export const ANCHOR_SIZE = 64;

function bytesOfTable(mask: number): number {
  return T_BUCKETS + (mask + 1) * 4;
}

/** Takes the lock of the map's anchors, which are made if there are none. 0: out of memory, and no lock is taken. */
export function lockAnchors(mem: Memory, map: number): number {
  let table = mem.atomics.load32(map + MAP_ANCHORS) >>> 0;
  if (table === 0) {
    const mask = roundUpPow2(Math.min(mem.u32[(map + MAP_MAX_ENTRIES) >>> 2]!, BUCKETS_MAX)) - 1;
    const made = alloc(mem, bytesOfTable(mask));
    if (made === 0) return 0;
    mem.u32[(made + T_MASK) >>> 2] = mask;
    // The other side: another client with the first field of this map.
    table = mem.atomics.cas32(map + MAP_ANCHORS, 0, made) >>> 0;
    if (table === 0) table = made;
    else free(mem, made, bytesOfTable(mask));
  }
  // One store puts an anchor in or takes it out, so of a client that died in here nothing has to be repaired.
  lock(mem, table);
  return table;
}

export function unlockAnchors(mem: Memory, table: number): void {
  unlock(mem, table);
}

function bucketAt(mem: Memory, table: number, field: number): number {
  return table + T_BUCKETS + ((Math.imul(field >>> 2, 0x9e37_79b1) >>> 8) & mem.u32[(table + T_MASK) >>> 2]!) * 4;
}

/** The anchor of the field at this address, or 0. Called with the lock. */
export function findAnchor(mem: Memory, table: number, field: number): number {
  const { u32 } = mem;
  let anchor = u32[bucketAt(mem, table, field) >>> 2]!;
  while (anchor !== 0 && u32[(anchor + ANCHOR_FIELD) >>> 2] !== field) anchor = u32[anchor >>> 2]!;
  return anchor;
}

/** The anchor of the field, which is made if there is none; 0: out of memory. Called with the lock. */
export function makeAnchor(mem: Memory, map: number, table: number, field: number, kind: number): number {
  const found = findAnchor(mem, table, field);
  if (found !== 0) return found;
  const { u32 } = mem;
  const anchor = alloc(mem, ANCHOR_SIZE);
  if (anchor === 0) return 0;
  const bucket = bucketAt(mem, table, field) >>> 2;
  u32[anchor >>> 2] = u32[bucket]!;
  u32[(anchor + ANCHOR_FIELD) >>> 2] = field;
  u32[(anchor + ANCHOR_KIND) >>> 2] = kind;
  u32[(anchor + ANCHOR_MAP) >>> 2] = map;
  u32[bucket] = anchor;
  return anchor;
}

/** Takes the anchor of a field out, if it has one: the caller ends what it stands for and frees it. With the lock. */
export function takeAnchor(mem: Memory, table: number, field: number): number {
  const { u32 } = mem;
  let at = bucketAt(mem, table, field) >>> 2;
  for (;;) {
    const anchor = u32[at]!;
    if (anchor === 0) return 0;
    if (u32[(anchor + ANCHOR_FIELD) >>> 2] === field) {
      u32[at] = u32[anchor >>> 2]!;
      return anchor;
    }
    at = anchor >>> 2;
  }
}

/** Takes all anchors of these kinds out: a chain of them, each one's first word the next. With the lock. */
export function takeAnchors(mem: Memory, table: number, kinds: number): number {
  const { u32 } = mem;
  const last = u32[(table + T_MASK) >>> 2]!;
  let chain = 0;
  for (let i = 0; i <= last; i++) {
    let at = (table + T_BUCKETS + i * 4) >>> 2;
    while (u32[at] !== 0) {
      const anchor = u32[at]!;
      if ((u32[(anchor + ANCHOR_KIND) >>> 2]! & kinds) === 0) {
        at = anchor >>> 2;
        continue;
      }
      u32[at] = u32[anchor >>> 2]!;
      u32[anchor >>> 2] = chain;
      chain = anchor;
    }
  }
  return chain;
}

export function freeAnchor(mem: Memory, anchor: number): void {
  free(mem, anchor, ANCHOR_SIZE);
}

/** The map ends; its anchors are gone. */
export function freeAnchorTable(mem: Memory, map: number): void {
  const table = mem.u32[(map + MAP_ANCHORS) >>> 2]!;
  if (table !== 0) free(mem, table, bytesOfTable(mem.u32[(table + T_MASK) >>> 2]!));
}
