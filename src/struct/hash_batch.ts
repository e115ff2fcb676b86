/**
 * LOOKUP_BATCH and LOOKUP_AND_DELETE_BATCH of the hash types: whole buckets, the cursor is a bucket's number (u32). A
 * bucket is locked while it is read, so nothing is missed or seen twice in it. Kernel counterpart: hashtab.c.
 */
import { alloc, free } from "../mem/alloc.ts";
import { OBJ_ID, rup8 } from "../mem/layout.ts";
import type { Memory } from "../mem/memory.ts";
import { EFAULT, EINVAL, ENOENT, ENOSPC } from "../uapi/index.ts";
import { type BatchOp, beginBatch, type MapBatch } from "./batch.ts";
import type { MapEnv } from "./env.ts";
import { readFields } from "./fields.ts";
import { dropNode, unlockBucket } from "./hash_nodes.ts";
import { BUCKET_SIZE, HT_BUCKETS, HT_KEY, HT_MASK, HT_SPAN, isNode, NODE_VALUE } from "./hashtab.ts";
import { dropLruNode, lockChain, unlockChain, unlockLru } from "./lru.ts";
import { MAP_ABI_VALUE_SIZE, MAP_FIELDS, MAP_KEY_SIZE, MAP_VALUE_SIZE, mapField } from "./map.ts";

/** Copies a value, as the syscall shows it, to the caller. `value` is what stands in the node. False: -EFAULT. */
type WriteValue = (env: MapEnv, map: number, batch: MapBatch, to: number, value: number) => boolean;

/** Takes all elements out of a bucket. Called with its lock, returns without. */
type EmptyBucket = (env: MapEnv, map: number, bucket: number) => void;

function emptyHash(env: MapEnv, map: number, bucket: number): void {
  const { mem } = env;
  const { u32 } = mem;
  for (let node = u32[bucket >>> 2]!; isNode(node); node = u32[bucket >>> 2]!) dropNode(env, map, bucket, node);
  unlockBucket(mem, bucket);
}

function emptyLru(env: MapEnv, map: number, bucket: number): void {
  const { mem } = env;
  const { u32 } = mem;
  for (let node = u32[bucket >>> 2]!; isNode(node); node = u32[bucket >>> 2]!) dropLruNode(env, map, bucket, node);
  unlockLru(mem, map);
}

/** Objects are let go without the lock: the last reference may end a whole map. */
function emptyObjects(env: MapEnv, map: number, bucket: number): void {
  const { mem } = env;
  const { u32 } = mem;
  const objects: number[] = [];
  for (let node = u32[bucket >>> 2]!; isNode(node); node = u32[bucket >>> 2]!) {
    objects.push(u32[(node + NODE_VALUE) >>> 2]!);
    dropNode(env, map, bucket, node);
  }
  unlockBucket(mem, bucket);
  for (const object of objects) env.put(object);
}

function writeBytes({ mem }: MapEnv, map: number, batch: MapBatch, to: number, value: number): boolean {
  const write = mapField(mem, map, MAP_FIELDS) === 0 ? writePlain : writeFields;
  return write(mem, map, batch, to, value, mapField(mem, map, MAP_VALUE_SIZE));
}

function writePercpu({ mem, cpus }: MapEnv, map: number, batch: MapBatch, to: number, value: number): boolean {
  const stride = rup8(mapField(mem, map, MAP_VALUE_SIZE));
  const span = mapField(mem, map, HT_SPAN);
  const write = mapField(mem, map, MAP_FIELDS) === 0 ? writePlain : writeFields;
  for (let cpu = 0; cpu < cpus; cpu++) {
    if (!write(mem, map, batch, to + cpu * stride, value + cpu * span, stride)) return false;
  }
  return true;
}

function writePlain(_mem: Memory, _map: number, batch: MapBatch, to: number, value: number, size: number): boolean {
  return batch.write(to, value, size);
}

/** A value with special fields, by way of memory of its own: writing to the caller can end too soon. */
function writeFields(mem: Memory, map: number, batch: MapBatch, to: number, value: number, size: number): boolean {
  const temporary = alloc(mem, size);
  if (temporary === 0) return false;
  readFields(mem, map, temporary, value, batch.elemFlags);
  const ok = batch.write(to, temporary, size);
  free(mem, temporary, size);
  return ok;
}

/** Where nodes hold objects: the id. */
function writeId(_env: MapEnv, _map: number, batch: MapBatch, to: number, object: number): boolean {
  return batch.write(to, object + OBJ_ID, 4);
}

export const lookupBatchHash: BatchOp = (env, map, batch) => walk(env, map, batch, writeBytes, undefined);
export const lookupBatchPercpu: BatchOp = (env, map, batch) => walk(env, map, batch, writePercpu, undefined);
export const takeBatchHash: BatchOp = (env, map, batch) => walk(env, map, batch, writeBytes, emptyHash);
export const takeBatchPercpu: BatchOp = (env, map, batch) => walk(env, map, batch, writePercpu, emptyHash);
export const lookupBatchObjects: BatchOp = (env, map, batch) => walk(env, map, batch, writeId, undefined);
export const takeBatchObjects: BatchOp = (env, map, batch) => walk(env, map, batch, writeId, emptyObjects);
export const takeBatchLru: BatchOp = (env, map, batch) => walk(env, map, batch, writeBytes, emptyLru);
export const takeBatchLruPercpu: BatchOp = (env, map, batch) => walk(env, map, batch, writePercpu, emptyLru);

function walk(
  env: MapEnv,
  map: number,
  batch: MapBatch,
  writeValue: WriteValue,
  empty: EmptyBucket | undefined,
): number {
  if (batch.flags !== 0) return -EINVAL;
  const { mem } = env;
  const begun = beginBatch(mem, map, batch);
  if (begun <= 0) return begun;
  let index = 0;
  if (batch.inBatch !== 0) {
    if (!batch.userOk(batch.inBatch, 4, false)) return -EFAULT;
    index = mem.view.getUint32(batch.inBatch, true);
  }
  const last = mapField(mem, map, HT_MASK);
  if (index > last) return -ENOENT;
  let done = 0;
  let ret = -ENOENT;
  for (; index <= last; index++) {
    const n = takeBucket(env, map, batch, index, done, writeValue, empty);
    if (n === -EFAULT) return n;
    if (n === -ENOSPC) {
      ret = done === 0 ? n : 0;
      break;
    }
    done += n;
  }
  return putCursor(mem, batch, index) && batch.putCount(done) ? ret : -EFAULT;
}

/** Copies one bucket's elements behind the `done` first, and removes them: how many, -EFAULT, or -ENOSPC with nothing done. */
function takeBucket(
  env: MapEnv,
  map: number,
  batch: MapBatch,
  index: number,
  done: number,
  writeValue: WriteValue,
  empty: EmptyBucket | undefined,
): number {
  const { mem } = env;
  const { u32 } = mem;
  const bucket = mapField(mem, map, HT_BUCKETS) + index * BUCKET_SIZE;
  if (!isNode(u32[bucket >>> 2]!)) return 0;
  lockChain(env, map, bucket);
  let n = 0;
  for (let node = u32[bucket >>> 2]!; isNode(node); node = u32[node >>> 2]!) n++;
  if (n > batch.room - done) {
    unlockChain(env, map, bucket);
    return -ENOSPC;
  }
  const ret = copyBucket(env, map, batch, bucket, done, writeValue) ? n : -EFAULT;
  // An element goes also when the caller did not get it.
  if (empty === undefined) unlockChain(env, map, bucket);
  else empty(env, map, bucket);
  return ret;
}

/** All keys, then all values, as the kernel does: to be seen when one of the buffers ends too soon. */
function copyBucket(
  env: MapEnv,
  map: number,
  batch: MapBatch,
  bucket: number,
  done: number,
  writeValue: WriteValue,
): boolean {
  const { mem } = env;
  const { u32 } = mem;
  const keySize = mapField(mem, map, MAP_KEY_SIZE);
  const keyAt = mapField(mem, map, HT_KEY);
  const valueSize = mapField(mem, map, MAP_ABI_VALUE_SIZE);
  let to = batch.keys + done * keySize;
  for (let node = u32[bucket >>> 2]!; isNode(node); node = u32[node >>> 2]!, to += keySize) {
    if (!batch.write(to, node + keyAt, keySize)) return false;
  }
  to = batch.values + done * valueSize;
  for (let node = u32[bucket >>> 2]!; isNode(node); node = u32[node >>> 2]!, to += valueSize) {
    if (!writeValue(env, map, batch, to, u32[(node + NODE_VALUE) >>> 2]!)) return false;
  }
  return true;
}

function putCursor(mem: Memory, batch: MapBatch, index: number): boolean {
  const to = batch.outBatch;
  for (let i = 0; i < 4; i++) {
    if (!batch.userOk(to + i, 1, true)) return false;
    mem.u8[to + i] = index >>> (i * 8);
  }
  return true;
}
