/**
 * LOOKUP_BATCH and LOOKUP_AND_DELETE_BATCH of the hash types: whole buckets, the cursor is a bucket's number (u32). A
 * bucket is locked while it is read, so nothing is missed or seen twice in it. Kernel counterpart: hashtab.c.
 */
import { rup8 } from "../mem/layout.ts";
import type { Memory } from "../mem/memory.ts";
import { EFAULT, EINVAL, ENOENT, ENOSPC } from "../uapi/index.ts";
import { type BatchOp, beginBatch, type MapBatch, writeUser } from "./batch.ts";
import type { MapEnv } from "./env.ts";
import {
  BUCKET_SIZE,
  dropNode,
  HT_BUCKETS,
  HT_KEY,
  HT_MASK,
  HT_SPAN,
  isNode,
  lockBucket,
  NODE_VALUE,
  unlinkNode,
  unlockBucket,
} from "./hashtab.ts";
import { claimLruNode, giveLruNode } from "./lru.ts";
import { MAP_ABI_VALUE_SIZE, MAP_KEY_SIZE, MAP_VALUE_SIZE, mapField } from "./map.ts";

/** Copies a value, as the syscall shows it, to the caller. False: -EFAULT. */
type WriteValue = (env: MapEnv, map: number, batch: MapBatch, to: number, value: number) => boolean;

/** How a type's elements go: `unlink` under the bucket's lock, `give` without it. */
interface Removal {
  unlink(mem: Memory, map: number, bucket: number, node: number): void;
  give(env: MapEnv, map: number, node: number): void;
}

const hashRemoval: Removal = {
  unlink: dropNode,
  give: () => undefined,
};

const lruRemoval: Removal = {
  unlink(mem, _map, bucket, node) {
    claimLruNode(mem, node);
    unlinkNode(mem, bucket, node);
  },
  give: giveLruNode,
};

function writeBytes({ mem }: MapEnv, map: number, batch: MapBatch, to: number, value: number): boolean {
  return writeUser(mem, batch, to, value, mapField(mem, map, MAP_VALUE_SIZE));
}

function writePercpu({ mem, cpus }: MapEnv, map: number, batch: MapBatch, to: number, value: number): boolean {
  const stride = rup8(mapField(mem, map, MAP_VALUE_SIZE));
  const span = mapField(mem, map, HT_SPAN);
  for (let cpu = 0; cpu < cpus; cpu++) {
    if (!writeUser(mem, batch, to + cpu * stride, value + cpu * span, stride)) return false;
  }
  return true;
}

export const lookupBatchHash: BatchOp = (env, map, batch) => walk(env, map, batch, writeBytes, undefined);
export const lookupBatchPercpu: BatchOp = (env, map, batch) => walk(env, map, batch, writePercpu, undefined);
export const takeBatchHash: BatchOp = (env, map, batch) => walk(env, map, batch, writeBytes, hashRemoval);
export const takeBatchPercpu: BatchOp = (env, map, batch) => walk(env, map, batch, writePercpu, hashRemoval);
export const takeBatchLru: BatchOp = (env, map, batch) => walk(env, map, batch, writeBytes, lruRemoval);
export const takeBatchLruPercpu: BatchOp = (env, map, batch) => walk(env, map, batch, writePercpu, lruRemoval);

function walk(env: MapEnv, map: number, batch: MapBatch, writeValue: WriteValue, removal: Removal | undefined): number {
  if (batch.flags !== 0) return -EINVAL;
  const begun = beginBatch(batch);
  if (begun <= 0) return begun;
  const { mem } = env;
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
    const n = takeBucket(env, map, batch, index, done, writeValue, removal);
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
  removal: Removal | undefined,
): number {
  const { mem } = env;
  const { u32 } = mem;
  const bucket = mapField(mem, map, HT_BUCKETS) + index * BUCKET_SIZE;
  if (!isNode(u32[bucket >>> 2]!)) return 0;
  lockBucket(mem, map, bucket);
  let n = 0;
  for (let node = u32[bucket >>> 2]!; isNode(node); node = u32[node >>> 2]!) n++;
  if (n > batch.room - done) {
    unlockBucket(mem, bucket);
    return -ENOSPC;
  }
  const ret = copyBucket(env, map, batch, bucket, done, writeValue) ? n : -EFAULT;
  // An element goes also when the caller did not get it.
  if (removal === undefined) unlockBucket(mem, bucket);
  else removeBucket(env, map, bucket, removal);
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
    if (!writeUser(mem, batch, to, node + keyAt, keySize)) return false;
  }
  to = batch.values + done * valueSize;
  for (let node = u32[bucket >>> 2]!; isNode(node); node = u32[node >>> 2]!, to += valueSize) {
    if (!writeValue(env, map, batch, to, u32[(node + NODE_VALUE) >>> 2]!)) return false;
  }
  return true;
}

/** Empties a bucket, and unlocks it. */
function removeBucket(env: MapEnv, map: number, bucket: number, removal: Removal): void {
  const { mem } = env;
  const gone: number[] = [];
  for (let node = mem.u32[bucket >>> 2]!; isNode(node); node = mem.u32[bucket >>> 2]!) {
    removal.unlink(mem, map, bucket, node);
    gone.push(node);
  }
  unlockBucket(mem, bucket);
  // The last one first: with LRU maps it shows which elements are taken next.
  for (let i = gone.length; i-- > 0; ) removal.give(env, map, gone[i]!);
}

function putCursor(mem: Memory, batch: MapBatch, index: number): boolean {
  const to = batch.outBatch;
  for (let i = 0; i < 4; i++) {
    if (!batch.userOk(to + i, 1, true)) return false;
    mem.u8[to + i] = index >>> (i * 8);
  }
  return true;
}
