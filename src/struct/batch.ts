/**
 * The batch commands of types whose cursor is the last key: many single operations in one call. What a command has done
 * when it fails stays done. Kernel counterpart: the generic batch functions of syscall.c.
 */
import { alloc, free } from "../mem/alloc.ts";
import { rup8 } from "../mem/layout.ts";
import type { Memory } from "../mem/memory.ts";
import { BPF_F_LOCK, EFAULT, EINVAL, ENOENT, ENOMEM } from "../uapi/index.ts";
import type { MapEnv } from "./env.ts";
import { hasSpinLock } from "./fields.ts";
import { countRefused, MAP_ABI_VALUE_SIZE, MAP_KEY_SIZE, mapField } from "./map.ts";

/** One batch command: what its attributes say, and the caller's memory. Nothing behind the pointers was checked yet. */
export interface MapBatch {
  /** Pointers of the caller's, 0 for NULL. */
  readonly inBatch: number;
  readonly outBatch: number;
  readonly keys: number;
  readonly values: number;
  /** `count`: elements that are given, or for which there is room. */
  readonly room: number;
  readonly elemFlags: number;
  readonly flags: number;
  /** Whether the caller may read or write all of these bytes. `address` may lie beyond all memory. */
  userOk(address: number, length: number, write: boolean): boolean;
  /** Copies to the caller. False: -EFAULT; what lies before the first bad byte was written, as in the kernel. */
  write(to: number, from: number, length: number): boolean;
  /** Writes `count` into the caller's attributes. False: it cannot be written. */
  putCount(count: number): boolean;
}

export type BatchOp = (env: MapEnv, map: number, batch: MapBatch) => number;

/** What all batch operations begin with: 1 to go on, else the command's result. */
export function beginBatch(mem: Memory, map: number, batch: MapBatch): number {
  if (batch.elemFlags !== 0 && (batch.elemFlags !== BPF_F_LOCK || !hasSpinLock(mem, map))) return -EINVAL;
  if (batch.room === 0) return 0;
  return batch.putCount(0) ? 1 : -EFAULT;
}

/** LOOKUP_BATCH. A slot whose lookup says ENOENT (an empty one, or one that is gone) is passed over. */
export function batchLookup(
  nextKey: (env: MapEnv, map: number, key: number, next: number) => number,
  copyValue: (env: MapEnv, map: number, key: number, value: number, flags: number) => number,
): BatchOp {
  /** Everything goes through memory of its own at `temporary`: a slot that is passed over leaves no trace. */
  function lookup(env: MapEnv, map: number, batch: MapBatch, temporary: number): number {
    const { mem } = env;
    const keySize = mapField(mem, map, MAP_KEY_SIZE);
    const valueSize = mapField(mem, map, MAP_ABI_VALUE_SIZE);
    let key = temporary;
    let other = temporary + rup8(keySize);
    const value = other + rup8(keySize);
    let last = 0;
    if (batch.inBatch !== 0) {
      if (!batch.userOk(batch.inBatch, keySize, false)) return -EFAULT;
      mem.copy(other, batch.inBatch, keySize);
      last = other;
    }
    let done = 0;
    let ret = 0;
    while (done < batch.room) {
      ret = nextKey(env, map, last, key);
      if (ret !== 0) break;
      ret = copyValue(env, map, key, value, batch.elemFlags);
      if (ret === 0) {
        if (!batch.write(batch.keys + done * keySize, key, keySize)) return -EFAULT;
        if (!batch.write(batch.values + done * valueSize, value, valueSize)) return -EFAULT;
        done++;
      } else if (ret !== -ENOENT) {
        return ret;
      }
      last = key;
      key = other;
      other = last;
    }
    if (!batch.putCount(done)) return -EFAULT;
    if (done > 0 && !batch.write(batch.outBatch, last, keySize)) return -EFAULT;
    return ret;
  }

  return (env, map, batch) => {
    const { mem } = env;
    const begun = beginBatch(mem, map, batch);
    if (begun <= 0) return begun;
    const size = 2 * rup8(mapField(mem, map, MAP_KEY_SIZE)) + rup8(mapField(mem, map, MAP_ABI_VALUE_SIZE));
    const temporary = alloc(mem, size);
    if (temporary === 0) return -ENOMEM;
    const ret = lookup(env, map, batch, temporary);
    free(mem, temporary, size);
    return ret;
  };
}

/** UPDATE_BATCH: ends at the first element that cannot be put in. */
export function batchUpdate(
  updateValue: (env: MapEnv, map: number, key: number, value: number, flags: number) => number,
): BatchOp {
  return (env, map, batch) =>
    eachKey(env, map, batch, (key, n) => {
      const valueSize = mapField(env.mem, map, MAP_ABI_VALUE_SIZE);
      const value = batch.values + n * valueSize;
      if (!batch.userOk(value, valueSize, false)) return -EFAULT;
      return countRefused(env.mem, map, updateValue(env, map, key, value, batch.elemFlags));
    });
}

/** DELETE_BATCH: ends at the first key that is not there. */
export function batchDelete(deleteValue: (env: MapEnv, map: number, key: number) => number): BatchOp {
  return (env, map, batch) => eachKey(env, map, batch, (key) => deleteValue(env, map, key));
}

/** Runs `change` for the keys that are given until one fails; `count` is then how many did not. */
function eachKey(env: MapEnv, map: number, batch: MapBatch, change: (key: number, n: number) => number): number {
  const { mem } = env;
  const begun = beginBatch(mem, map, batch);
  if (begun <= 0) return begun;
  const keySize = mapField(mem, map, MAP_KEY_SIZE);
  // On a shared host another thread must not change a key between its hash and the comparison.
  const own = mem.shared ? alloc(mem, keySize) : 0;
  if (mem.shared && own === 0) return -ENOMEM;
  let done = 0;
  let ret = 0;
  for (; done < batch.room; done++) {
    const given = batch.keys + done * keySize;
    if (!batch.userOk(given, keySize, false)) {
      ret = -EFAULT;
      break;
    }
    if (own !== 0) mem.copy(own, given, keySize);
    ret = change(own === 0 ? given : own, done);
    if (ret !== 0) break;
  }
  if (own !== 0) free(mem, own, keySize);
  return batch.putCount(done) ? ret : -EFAULT;
}
