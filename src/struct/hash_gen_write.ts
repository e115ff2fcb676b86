/**
 * Updates and deletions of HASH in compiled programs, and updates in place of PERCPU_HASH: what `hash_ops.ts` does where
 * locks are free, there is room and the flags fit. All else is found out before anything is changed and goes through the
 * helper, which does it from the beginning. Between the look-up and the end there is neither loop nor call: a thread
 * that is terminated never leaves a chain half changed here.
 */

import { rup8 } from "../mem/layout.ts";
import type { Memory } from "../mem/memory.ts";
import { BPF_EXIST, BPF_FUNC_map_update_elem, BPF_NOEXIST, ENOENT } from "../uapi/index.ts";
import { type Code, I32, I64 } from "../wasm/code.ts";
import * as w from "../wasm/opcodes.ts";
import { emitPublish, emitUnlockAt } from "./emit.ts";
import type { MapEnv } from "./env.ts";
import type { GenCall, MapGen } from "./gen.ts";
import { emitHash, emitSameKey } from "./hash_gen_key.ts";
import { BUCKET_LOCK, FREE_END, SEQ_COUNTED } from "./hash_nodes.ts";
import {
  HT_BUCKETS,
  HT_COUNT,
  HT_END,
  HT_FREE,
  HT_KEY,
  HT_LOCK,
  HT_MASK,
  HT_NEXT,
  HT_NEXT_VALUE,
  HT_NODE_SIZE,
  HT_SPAN,
  NODE_HASH,
  NODE_SEQ,
  NODE_VALUE,
  SEQ_LINKED,
  SEQ_USE,
} from "./hashtab.ts";
import { MAP_FIELDS, MAP_KEY_SIZE, MAP_MAX_ENTRIES, MAP_VALUE_SIZE, mapField } from "./map.ts";

/** Bytes of keys and values that are copied without a loop. Larger ones are not for generated code. */
const MAX_COPY = 128;

/** The table's map and what is in locals of the function under construction. */
interface Place {
  readonly code: Code;
  readonly mem: Memory;
  readonly map: number;
  readonly key: number;
  readonly hash: number;
  /** Address of the bucket. */
  readonly bucket: number;
  /** The node with this key, or 0; and the address of the link to it. */
  readonly old: number;
  readonly link: number;
}

/** Whether the map's keys and values are such that writing them is a few moves. */
function isPlain(mem: Memory, map: number): boolean {
  const small = mapField(mem, map, MAP_KEY_SIZE) <= MAX_COPY && mapField(mem, map, MAP_VALUE_SIZE) <= MAX_COPY;
  return small && mapField(mem, map, MAP_FIELDS) === 0;
}

/** Updates and deletions of HASH. */
export function genHashWrite({ mem }: MapEnv, map: number, helper: number): MapGen | undefined {
  if (!isPlain(mem, map)) return undefined;
  return { inline: false, emit: helper === BPF_FUNC_map_update_elem ? emitUpdate : emitDelete };
}

/** Updates of PERCPU_HASH. */
export function genPercpuWrite({ mem }: MapEnv, map: number): MapGen | undefined {
  return isPlain(mem, map) ? { inline: false, emit: emitUpdatePercpu } : undefined;
}

/**
 * The element's bucket is locked while `locked` runs, which leaves by `end` with the result, or by `refuse`: then the
 * helper is called.
 */
function emitWrite(
  call: GenCall,
  flags: boolean,
  locked: (place: Place, refuse: number, end: (result: number) => void) => void,
): void {
  const { code, mem, map, args } = call;
  const local = (): number => code.local(I32);
  const place = { code, mem, map, key: args[0]!, hash: local(), bucket: local(), old: local(), link: local() };
  const { bucket, old, hash, key } = place;
  const done = code.open(w.BLOCK, I32);
  const helper = code.open();
  const [low, high] = [args[2]!, args[3]!];
  if (flags) {
    code.get(high);
    code.br(helper, true);
    code.get(low);
    code.i32(BPF_EXIST);
    code.op(w.I32_GT_U);
    code.br(helper, true);
  }
  emitHash(call, key, hash);
  code.get(hash);
  code.i32(mapField(mem, map, HT_MASK));
  code.op(w.I32_AND);
  code.i32(3);
  code.op(w.I32_SHL);
  code.i32(mapField(mem, map, HT_BUCKETS));
  code.op(w.I32_ADD);
  code.set(bucket);
  const bucketLock = (): void => pushSum(code, bucket, BUCKET_LOCK);
  emitLock(code, mem, bucketLock, helper);
  const refused = code.open();
  emitFind(place);
  if (flags) {
    // BPF_NOEXIST for one that is there, BPF_EXIST for one that is not.
    code.get(low);
    code.i32(BPF_NOEXIST);
    code.i32(BPF_EXIST);
    code.get(old);
    code.op(w.SELECT, w.I32_AND);
    code.br(refused, true);
  }
  locked(place, refused, (result) => {
    emitUnlockAt(code, mem, bucketLock);
    code.i32(result);
    code.br(done);
  });
  code.end();
  emitUnlockAt(code, mem, bucketLock);
  code.end();
  call.callHelper();
  code.end();
}

/** The same with the table's lock beside the bucket's. */
function emitTableWrite(
  { code, mem, map }: Place,
  refuse: number,
  locked: (refuse: number) => void,
  end: (result: number) => void,
): void {
  const tableLock = (): void => code.i32(map + HT_LOCK);
  emitLock(code, mem, tableLock, refuse);
  const refused = code.open();
  locked(refused);
  emitUnlockAt(code, mem, tableLock);
  end(0);
  code.end();
  emitUnlockAt(code, mem, tableLock);
  code.br(refuse);
}

function emitUpdate(call: GenCall): void {
  emitWrite(call, true, (place, refuse, end) => {
    emitTableWrite(place, refuse, (full) => emitReplace(place, call.args[1]!, full), end);
  });
}

function emitDelete(call: GenCall): void {
  emitWrite(call, false, (place, refuse, end) => {
    const { code, old } = place;
    code.get(old);
    code.op(w.I32_EQZ);
    code.open(w.IF);
    end(-ENOENT);
    code.end();
    const drop = (): void => {
      emitBypass(place);
      emitLeft(place);
      emitFreeOld(place);
      addToCount(place, -1);
    };
    emitTableWrite(place, refuse, drop, end);
  });
}

/** An element that is not there yet is the helper's. */
function emitUpdatePercpu(call: GenCall): void {
  emitWrite(call, true, ({ code, mem, map, old, link }, refuse, end) => {
    code.get(old);
    code.op(w.I32_EQZ);
    code.br(refuse, true);
    code.get(old);
    code.memory(w.I32_LOAD, NODE_VALUE);
    call.cpu();
    code.i32(mapField(mem, map, HT_SPAN));
    code.op(w.I32_MUL, w.I32_ADD);
    code.set(link);
    emitCopy(code, link, 0, call.args[1]!, mapField(mem, map, MAP_VALUE_SIZE));
    end(0);
  });
}

/** A new element at the head of the bucket, in the place of the old one if there is one. */
function emitReplace(place: Place, value: number, full: number): void {
  const { code, mem, map, key, hash, bucket, old, link } = place;
  const node = code.local(I32);
  const to = code.local(I32);
  code.get(old);
  code.op(w.I32_EQZ);
  code.i32(map);
  code.memory(w.I32_LOAD, HT_COUNT);
  code.i32(mapField(mem, map, MAP_MAX_ENTRIES));
  code.op(w.I32_GE_U, w.I32_AND);
  code.br(full, true);
  emitTake(place, node, full);
  code.get(node);
  code.get(hash);
  code.memory(w.I32_STORE, NODE_HASH);
  emitCopy(code, node, mapField(mem, map, HT_KEY), key, mapField(mem, map, MAP_KEY_SIZE));
  code.get(node);
  code.memory(w.I32_LOAD, NODE_VALUE);
  code.set(to);
  emitCopy(code, to, 0, value, mapField(mem, map, MAP_VALUE_SIZE));
  setSeq(code, node, () => {
    code.i32(~SEQ_COUNTED);
    code.op(w.I32_AND);
    code.i32(SEQ_LINKED);
    code.op(w.I32_OR);
  });
  // What is next: the head, the end of an empty bucket, or what is behind an old element that is the head itself.
  code.get(node);
  code.get(old);
  code.get(bucket);
  code.get(link);
  code.get(bucket);
  code.op(w.I32_EQ);
  code.get(old);
  code.i32(0);
  code.op(w.I32_NE, w.I32_AND, w.SELECT);
  code.memory(w.I32_LOAD);
  code.tee(to);
  pushMarker(place);
  code.get(to);
  code.op(w.SELECT);
  code.memory(w.I32_STORE);
  emitPublish(code, mem, bucket, node);
  code.get(old);
  code.open(w.IF);
  code.get(link);
  code.get(bucket);
  code.op(w.I32_NE);
  code.open(w.IF);
  emitBypass(place);
  code.end();
  emitLeft(place);
  emitFreeOld(place);
  code.op(w.ELSE);
  addToCount(place, 1);
  code.end();
}

/** `findNode` for who holds the bucket's lock; keeps the link too. */
function emitFind({ code, mem, map, key, hash, bucket, old, link }: Place): void {
  code.get(bucket);
  code.set(link);
  const found = code.open();
  const next = code.loop();
  pushNext(code, link);
  code.tee(old);
  code.i32(1);
  code.op(w.I32_AND);
  code.get(old);
  code.op(w.I32_EQZ, w.I32_OR);
  code.open(w.IF);
  code.i32(0);
  code.set(old);
  code.br(found);
  code.end();
  code.get(old);
  code.memory(w.I32_LOAD, NODE_HASH);
  code.get(hash);
  code.op(w.I32_EQ);
  code.open(w.IF);
  emitSameKey(code, mem, map, old, key);
  code.br(found, true);
  code.end();
  code.get(old);
  code.set(link);
  code.br(next);
  code.end();
  code.end();
}

/** `takeLocked` without its count. */
function emitTake({ code, mem, map }: Place, node: number, full: number): void {
  const at = (): void => code.i32(map);
  at();
  at();
  code.memory(w.I32_LOAD, HT_FREE);
  code.tee(node);
  code.open(w.IF, I32);
  // The next free one; 0 behind the last.
  code.i32(0);
  pushNext(code, node);
  pushNext(code, node);
  code.i32(FREE_END);
  code.op(w.I32_EQ, w.SELECT);
  code.op(w.ELSE);
  at();
  code.memory(w.I32_LOAD, HT_NEXT);
  code.tee(node);
  at();
  code.memory(w.I32_LOAD, HT_END);
  code.op(w.I32_EQ);
  code.br(full, true);
  at();
  pushSum(code, node, mapField(mem, map, HT_NODE_SIZE));
  code.memory(w.I32_STORE, HT_NEXT);
  code.get(node);
  at();
  code.memory(w.I32_LOAD, HT_NEXT_VALUE);
  code.memory(w.I32_STORE, NODE_VALUE);
  at();
  at();
  code.memory(w.I32_LOAD, HT_NEXT_VALUE);
  code.i32(rup8(mapField(mem, map, MAP_VALUE_SIZE)));
  code.op(w.I32_ADD);
  code.memory(w.I32_STORE, HT_NEXT_VALUE);
  code.i32(0);
  code.end();
  code.memory(w.I32_STORE, HT_FREE);
}

/** The link to the old node goes behind it. */
function emitBypass({ code, mem, old, link }: Place): void {
  const next = code.local(I32);
  pushNext(code, old);
  code.set(next);
  emitPublish(code, mem, link, next);
}

/** The old node's sequence number, once it has left its chain. */
function emitLeft({ code, old }: Place): void {
  setSeq(code, old, () => {
    code.i32(~(SEQ_LINKED | SEQ_COUNTED));
    code.op(w.I32_AND);
    code.i32(SEQ_USE);
    code.op(w.I32_ADD);
  });
}

/** The old node's link to the free ones. */
function emitFreeOld({ code, map, old }: Place): void {
  const first = code.local(I32);
  code.get(old);
  code.i32(map);
  code.memory(w.I32_LOAD, HT_FREE);
  code.tee(first);
  code.i32(FREE_END);
  code.get(first);
  code.op(w.SELECT);
  code.memory(w.I32_STORE);
  code.i32(map);
  code.get(old);
  code.memory(w.I32_STORE, HT_FREE);
}

function addToCount({ code, map }: Place, n: number): void {
  code.i32(map);
  code.i32(map);
  code.memory(w.I32_LOAD, HT_COUNT);
  code.i32(n);
  code.op(w.I32_ADD);
  code.memory(w.I32_STORE, HT_COUNT);
}

function setSeq(code: Code, node: number, change: () => void): void {
  code.get(node);
  code.get(node);
  code.memory(w.I32_LOAD, NODE_SEQ);
  change();
  code.memory(w.I32_STORE, NODE_SEQ);
}

function pushNext(code: Code, node: number): void {
  code.get(node);
  code.memory(w.I32_LOAD);
}

/** What ends the bucket's chain. */
function pushMarker({ code, mem, map, bucket }: Place): void {
  pushSum(code, bucket, -mapField(mem, map, HT_BUCKETS));
  code.i32(2);
  code.op(w.I32_SHR_U);
  code.i32(1);
  code.op(w.I32_OR);
}

function pushSum(code: Code, local: number, n: number): void {
  code.get(local);
  code.i32(n);
  code.op(w.I32_ADD);
}

/** Takes a free lock; out of the block `taken` when it is somebody's. */
function emitLock(code: Code, mem: Memory, pushAddress: () => void, taken: number): void {
  if (!mem.shared) return;
  pushAddress();
  code.i32(0);
  code.i32(mem.owner);
  code.atomic(w.ATOMIC_CMPXCHG, 4);
  code.br(taken, true);
}

/** [bytes, load, store, type], the largest first. */
const pieces = [
  [8, w.I64_LOAD, w.I64_STORE, I64],
  [4, w.I32_LOAD, w.I32_STORE, I32],
  [2, w.I32_LOAD16_U, w.I32_STORE16, I32],
  [1, w.I32_LOAD8_U, w.I32_STORE8, I32],
] as const;

/** As `Memory.copy`: all is read before any is written, and aligned words move whole. */
function emitCopy(code: Code, to: number, offset: number, from: number, size: number): void {
  const stores: (() => void)[] = [];
  let at = 0;
  for (const [bytes, load, store, type] of pieces) {
    for (; at + bytes <= size; at += bytes) {
      const local = code.local(type);
      code.get(from);
      code.memory(load, at);
      code.set(local);
      const place = offset + at;
      stores.push(() => {
        code.get(to);
        code.get(local);
        code.memory(store, place);
      });
    }
  }
  for (const store of stores) store();
}
