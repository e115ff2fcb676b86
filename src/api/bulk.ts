/**
 * Writing and deleting many elements: UPDATE_BATCH and DELETE_BATCH where the host has them, element by element
 * otherwise. What the caller's iterable gives is dealt with in its order; memory does not grow with how much it gives.
 */
import type { UserBuffer } from "../host/host.ts";
import { rup8 } from "../mem/layout.ts";
import {
  BPF_ANY,
  BPF_MAP_DELETE_BATCH,
  BPF_MAP_DELETE_ELEM,
  BPF_MAP_UPDATE_BATCH,
  BPF_MAP_UPDATE_ELEM,
  bpf_attr,
  EBADF,
  ENOENT,
} from "../uapi/index.ts";
import { BATCH_BYTES, BATCH_ROOM, BATCH_SIZE, hasBatches } from "./batch_walk.ts";
import { nested } from "./codec/error.ts";
import { CodecBuffer } from "./codec/index.ts";
import type { Io } from "./keyed_map.ts";
import type { MapHandle } from "./map_handle.ts";
import type { WalkSource } from "./walk.ts";

const { batch } = bpf_attr;

/** What is done with each item of an iterable. */
interface Job<E> {
  /** The batch command, and the one for a single element. */
  readonly batch: number;
  readonly single: number;
  /** Of an update. */
  readonly flags: number;
  /** Bytes of a value; 0: the command has none. */
  readonly valueBytes: number;
  /** Puts the key into one buffer and the value, if there is one, into the other. */
  write(item: E, keys: CodecBuffer, keyAt: number, values: CodecBuffer, valueAt: number): void;
  keyOf(item: E): unknown;
}

/** Takes items one after the other; `flush` carries out what was only collected. */
interface Worker<E> {
  readonly done: number;
  add(item: E): void;
  flush(): void;
  close(): void;
}

/** Each element with a command of its own. */
class Singles<E> implements Worker<E> {
  done = 0;
  #index = 0;
  readonly #handle: MapHandle;
  readonly #job: Job<E>;

  constructor(handle: MapHandle, job: Job<E>) {
    this.#handle = handle;
    this.#job = job;
  }

  add(item: E): void {
    const handle = this.#handle;
    const { single, flags, keyOf } = this.#job;
    const index = this.#index++;
    encode(this.#job, item, index, handle.key, 0, handle.value, 0);
    const result = single === BPF_MAP_DELETE_ELEM ? handle.delete() : handle.update(flags);
    if (result === 0) this.done++;
    else if (result !== -ENOENT || single !== BPF_MAP_DELETE_ELEM)
      handle.fail(single, result, { key: keyOf(item), bulk: { done: this.done, index, rest: [item] } });
  }

  flush(): void {}

  close(): void {}
}

/**
 * Chunks of elements, each with one command. They are collected in private memory: the caller's iterable may close the
 * map, whose user memory then is somebody else's.
 */
class Chunks<E> implements Worker<E> {
  done = 0;
  readonly #handle: MapHandle;
  readonly #job: Job<E>;
  readonly #keySize: number;
  readonly #room: number;
  readonly #keys: CodecBuffer;
  readonly #values: CodecBuffer;
  readonly #valuesAt: number;
  readonly #lease: UserBuffer;
  readonly #attr: DataView;
  #items: E[] = [];
  /** Items that earlier chunks dealt with. */
  #before = 0;

  constructor(handle: MapHandle, job: Job<E>, expected: number) {
    const { keySize } = handle.info;
    this.#handle = handle;
    this.#job = job;
    this.#keySize = keySize;
    this.#room = Math.max(1, Math.min(Math.floor(BATCH_BYTES / (keySize + job.valueBytes)), expected));
    this.#keys = CodecBuffer.alloc(this.#room * keySize);
    this.#values = CodecBuffer.alloc(this.#room * job.valueBytes);
    this.#valuesAt = BATCH_ROOM + rup8(this.#room * keySize);
    this.#lease = handle.lease(this.#valuesAt + this.#room * job.valueBytes);
    const { bytes } = this.#lease;
    this.#attr = new DataView(bytes.buffer, bytes.byteOffset, BATCH_ROOM);
    this.#attr.setUint32(batch.map_fd.offset, handle.fd, true);
  }

  add(item: E): void {
    const { length } = this.#items;
    const { valueBytes } = this.#job;
    encode(
      this.#job,
      item,
      this.#before + length,
      this.#keys,
      length * this.#keySize,
      this.#values,
      length * valueBytes,
    );
    this.#items.push(item);
    if (length + 1 === this.#room) this.flush();
  }

  flush(): void {
    const items = this.#items;
    const count = items.length;
    if (count === 0) return;
    this.#items = [];
    const handle = this.#handle;
    const { batch: cmd, valueBytes, keyOf } = this.#job;
    if (!handle.closed) {
      const { bytes } = this.#lease;
      bytes.set(this.#keys.bytes.subarray(0, count * this.#keySize), BATCH_ROOM);
      bytes.set(this.#values.bytes.subarray(0, count * valueBytes), this.#valuesAt);
    }
    for (let at = 0; at < count; ) {
      const result = this.#call(at, count - at);
      const told = result === -EBADF && handle.closed ? 0 : this.#attr.getUint32(batch.count.offset, true);
      // The count is as it was when the command was refused as a whole.
      const done = result < 0 && told === count - at ? 0 : told;
      this.done += done;
      at += done;
      if (result === -ENOENT && cmd === BPF_MAP_DELETE_BATCH) {
        at++;
      } else if (result !== 0) {
        const bulk = { done: this.done, index: this.#before + at, rest: items.slice(at) };
        handle.fail(cmd, result, { key: keyOf(items[at]!), bulk });
      }
    }
    this.#before += count;
  }

  #call(at: number, count: number): number {
    const handle = this.#handle;
    if (handle.closed) return -EBADF;
    const { address } = this.#lease;
    const { batch: cmd, valueBytes } = this.#job;
    const values = valueBytes === 0 ? 0n : address + BigInt(this.#valuesAt + at * valueBytes);
    this.#attr.setBigUint64(batch.keys.offset, address + BigInt(BATCH_ROOM + at * this.#keySize), true);
    this.#attr.setBigUint64(batch.values.offset, values, true);
    this.#attr.setUint32(batch.count.offset, count, true);
    return handle.host.bpf(cmd, Number(address), BATCH_SIZE);
  }

  close(): void {
    this.#handle.release(this.#lease);
  }
}

/** Errors of codecs get the item's place in front: `[12].key.sport`. */
function encode<E>(
  job: Job<E>,
  item: E,
  index: number,
  keys: CodecBuffer,
  keyAt: number,
  values: CodecBuffer,
  valueAt: number,
): void {
  try {
    job.write(item, keys, keyAt, values, valueAt);
  } catch (error) {
    throw nested(error, `[${index}]`);
  }
}

/** How many items an iterable is going to give, where it says so. */
function lengthOf(items: Iterable<unknown>): number {
  if (Array.isArray(items)) return items.length;
  return items instanceof Map || items instanceof Set ? items.size : Number.POSITIVE_INFINITY;
}

/** Returns how many elements were written or deleted. */
function run<E>(handle: MapHandle, items: Iterable<E>, job: Job<E>): number {
  // No batch command can say what is to be if an element is there already.
  const batches = job.flags === BPF_ANY && !handle.closed && hasBatches(handle, job.batch);
  const worker = batches ? new Chunks(handle, job, lengthOf(items)) : new Singles(handle, job);
  try {
    for (const item of items) worker.add(item);
    worker.flush();
  } catch (error) {
    // Items before the one that the iterable, or a codec, stumbled over.
    worker.flush();
    throw error;
  } finally {
    worker.close();
  }
  return worker.done;
}

/** Puts a key, or a value, into a buffer. */
type Write<T> = Io<unknown, T>["write"];

function put<T>(write: Write<T>, part: string, to: CodecBuffer, offset: number, value: T): void {
  try {
    write(to, offset, value);
  } catch (error) {
    throw nested(error, part);
  }
}

/** How keys and values of one map are written. */
export interface BulkWriters<K, V> {
  /** What messages call the key: `key`, `index`. */
  readonly keyName: string;
  readonly key: Write<K>;
  readonly value: Write<V>;
}

/** The values of many keys, in their order. Errors of codecs get the key's place in front. */
export function getMany<K, V>(keys: Iterable<K>, get: (key: K) => V | undefined): (V | undefined)[] {
  const values: (V | undefined)[] = [];
  for (const key of keys) {
    try {
      values.push(get(key));
    } catch (error) {
      throw nested(error, `[${values.length}]`);
    }
  }
  return values;
}

export function setMany<K, V>(
  handle: MapHandle,
  entries: Iterable<readonly [K, V]>,
  writers: BulkWriters<K, V>,
  flags: number,
): number {
  return run(handle, entries, {
    batch: BPF_MAP_UPDATE_BATCH,
    single: BPF_MAP_UPDATE_ELEM,
    flags,
    valueBytes: handle.valueBytes,
    write([key, value], keys, keyAt, values, valueAt) {
      put(writers.key, writers.keyName, keys, keyAt, key);
      put(writers.value, "value", values, valueAt, value);
    },
    keyOf: ([key]) => key,
  });
}

export function deleteMany<K>(handle: MapHandle, given: Iterable<K>, writeKey: Write<K>): number {
  return run(handle, given, {
    batch: BPF_MAP_DELETE_BATCH,
    single: BPF_MAP_DELETE_ELEM,
    flags: BPF_ANY,
    valueBytes: 0,
    write: (key, keys, keyAt) => put(writeKey, "key", keys, keyAt, key),
    keyOf: (key) => key,
  });
}

/** Deletes every element that a walk finds. */
export function deleteWalked(handle: MapHandle, source: WalkSource): number {
  try {
    return deleteMany(handle, keysOf(source, handle.info.keySize), (to, offset, key: Uint8Array) =>
      to.bytes.set(key, offset),
    );
  } finally {
    source.close();
  }
}

function* keysOf(source: WalkSource, keySize: number): Generator<Uint8Array, void, undefined> {
  while (source.advance()) yield source.keys.bytes.slice(source.keyAt, source.keyAt + keySize);
}
