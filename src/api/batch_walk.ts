/** Walks with the batch commands, and what chooses between these and the others. */
import type { UserBuffer } from "../host/host.ts";
import { rup8 } from "../mem/layout.ts";
import {
  BPF_MAP_GET_NEXT_KEY,
  BPF_MAP_LOOKUP_AND_DELETE_BATCH,
  BPF_MAP_LOOKUP_BATCH,
  bpf_attr,
  EBADF,
  ENOSPC,
  EPERM,
} from "../uapi/index.ts";
import { CodecBuffer } from "./codec/index.ts";
import type { MapHandle } from "./map_handle.ts";
import { IndexSource, NextKeySource, RESTARTS_MAX, sameKey, VISITS } from "./next_key_walk.ts";
import { BufferedSource, type TakingSource, type WalkSource } from "./walk.ts";

const { batch } = bpf_attr;
export const BATCH_SIZE: number = batch.flags.offset + batch.flags.size;
/** Bytes to keep for the attributes of a batch, so that what follows is aligned. */
export const BATCH_ROOM: number = Math.ceil(BATCH_SIZE / 16) * 16;
/** Bytes of keys and values that a batch aims at. */
export const BATCH_BYTES: number = 128 * 1024;
const BATCH_MIN = 16;

/**
 * Many elements a call. A cursor that is a bucket's number, or an index, stays good whatever happens; one that is a key
 * (`cursorIsKey`) leads back to the first element when it is deleted, which is seen and ends after a while.
 */
export class BatchSource implements TakingSource {
  complete = true;
  restarts = 0;
  readonly skipped = 0;
  /** In private memory: closing the map, which may happen between two elements, gives the lease to somebody else. */
  keys: CodecBuffer;
  values: CodecBuffer;
  keyAt = 0;
  valueAt = 0;
  readonly #handle: MapHandle;
  readonly #cmd: number;
  readonly #keySize: number;
  readonly #valueBytes: number;
  readonly #cursorIsKey: boolean;
  readonly #cursor: Uint8Array;
  /** Elements that are fetched at most, where the cursor is a key. */
  #visitsLeft: number;
  #room: number;
  #lease: UserBuffer;
  #attr: DataView;
  /** Where the lease has keys and values. */
  #keysAt = 0;
  #valuesAt = 0;
  #begun = false;
  #ended = false;
  #count = 0;
  #index = 0;

  constructor(handle: MapHandle, cmd: number, cursorIsKey: boolean = false) {
    const { keySize, maxEntries } = handle.info;
    this.#handle = handle;
    this.#cmd = cmd;
    this.#keySize = keySize;
    this.#valueBytes = handle.valueBytes;
    this.#cursorIsKey = cursorIsKey;
    this.#visitsLeft = VISITS * maxEntries;
    // A bucket number for hash types, a key for the rest.
    this.#cursor = new Uint8Array(Math.max(8, keySize));
    const fits = Math.floor(BATCH_BYTES / (keySize + handle.valueBytes));
    this.#room = Math.max(BATCH_MIN, Math.min(fits, maxEntries));
    const { lease, attr } = this.#prepare();
    this.#lease = lease;
    this.#attr = attr;
    this.keys = CodecBuffer.alloc(this.#room * keySize);
    this.values = CodecBuffer.alloc(this.#room * handle.valueBytes);
  }

  #prepare(): { readonly lease: UserBuffer; readonly attr: DataView } {
    this.#keysAt = BATCH_ROOM + rup8(this.#cursor.length);
    this.#valuesAt = this.#keysAt + rup8(this.#room * this.#keySize);
    const lease = this.#handle.lease(this.#valuesAt + this.#room * this.#valueBytes);
    const { bytes, address } = lease;
    const attr = new DataView(bytes.buffer, bytes.byteOffset, BATCH_ROOM);
    attr.setBigUint64(batch.out_batch.offset, address + BigInt(BATCH_ROOM), true);
    attr.setBigUint64(batch.keys.offset, address + BigInt(this.#keysAt), true);
    attr.setBigUint64(batch.values.offset, address + BigInt(this.#valuesAt), true);
    attr.setUint32(batch.map_fd.offset, this.#handle.fd, true);
    return { lease, attr };
  }

  advance(): boolean {
    if (this.#index === this.#count && !this.#fetch()) return false;
    this.keyAt = this.#index * this.#keySize;
    this.valueAt = this.#index * this.#valueBytes;
    this.#index++;
    return true;
  }

  #fetch(): boolean {
    const handle = this.#handle;
    this.#index = 0;
    this.#count = 0;
    while (!this.#ended && this.#count === 0) {
      const { bytes, address } = this.#lease;
      const cursor = bytes.subarray(BATCH_ROOM, BATCH_ROOM + this.#cursor.length);
      this.#attr.setBigUint64(batch.in_batch.offset, this.#begun ? address + BigInt(BATCH_ROOM) : 0n, true);
      this.#attr.setUint32(batch.count.offset, this.#room, true);
      if (handle.closed) return handle.found(this.#cmd, -EBADF);
      const result = handle.host.bpf(this.#cmd, Number(address), BATCH_SIZE);
      if (result === -ENOSPC) {
        // A bucket has more elements than there is room for; the cursor stands at it.
        this.#cursor.set(cursor);
        this.#grow();
      } else {
        // ENOENT: that was the last, and there may be elements with it.
        this.#ended = !handle.found(this.#cmd, result);
        this.#count = this.#attr.getUint32(batch.count.offset, true);
        this.keys.bytes.set(bytes.subarray(this.#keysAt, this.#keysAt + this.#count * this.#keySize));
        this.values.bytes.set(bytes.subarray(this.#valuesAt, this.#valuesAt + this.#count * this.#valueBytes));
        if (this.#cursorIsKey && this.#begun && this.#count > 0) this.#judgeCursor();
      }
      this.#begun = true;
    }
    return this.#count > 0;
  }

  /** What comes behind a key is never the first element, unless that key, and all before, are gone. */
  #judgeCursor(): void {
    const handle = this.#handle;
    this.#visitsLeft -= this.#count;
    if (handle.found(BPF_MAP_GET_NEXT_KEY, handle.firstKey())) {
      if (sameKey(handle.next.bytes, this.keys.bytes)) this.restarts++;
    }
    if (this.restarts <= RESTARTS_MAX && this.#visitsLeft > 0) return;
    this.complete = false;
    this.#ended = true;
  }

  #grow(): void {
    const old = this.#lease;
    this.#room *= 2;
    const { lease, attr } = this.#prepare();
    lease.bytes.set(this.#cursor, BATCH_ROOM);
    this.#lease = lease;
    this.#attr = attr;
    this.keys = CodecBuffer.alloc(this.#room * this.#keySize);
    this.values = CodecBuffer.alloc(this.#room * this.#valueBytes);
    this.#handle.release(old);
  }

  leftover(current: boolean): BufferedSource {
    const from = this.#index - (current ? 1 : 0);
    const keys = this.keys.bytes.subarray(from * this.#keySize, this.#count * this.#keySize);
    const values = this.values.bytes.subarray(from * this.#valueBytes, this.#count * this.#valueBytes);
    return new BufferedSource(keys, values, this.#count - from);
  }

  close(): void {
    this.#handle.release(this.#lease);
  }
}

/**
 * Gives each element after the next one was fetched: one that is deleted when it is given is no cursor any more.
 */
class LookAheadSource implements WalkSource {
  keys: CodecBuffer;
  values: CodecBuffer;
  readonly keyAt = 0;
  readonly valueAt = 0;
  readonly #source: WalkSource;
  #nextKey: CodecBuffer;
  #nextValue: CodecBuffer;
  #begun = false;
  #more = false;

  constructor(source: WalkSource, { info, valueBytes }: MapHandle) {
    this.#source = source;
    this.keys = CodecBuffer.alloc(info.keySize);
    this.values = CodecBuffer.alloc(valueBytes);
    this.#nextKey = CodecBuffer.alloc(info.keySize);
    this.#nextValue = CodecBuffer.alloc(valueBytes);
  }

  get complete(): boolean {
    return this.#source.complete;
  }

  get restarts(): number {
    return this.#source.restarts;
  }

  get skipped(): number {
    return this.#source.skipped;
  }

  advance(): boolean {
    if (!this.#begun) this.#fetch();
    this.#begun = true;
    if (!this.#more) return false;
    const { keys, values } = this;
    this.keys = this.#nextKey;
    this.values = this.#nextValue;
    this.#nextKey = keys;
    this.#nextValue = values;
    this.#fetch();
    return true;
  }

  #fetch(): void {
    const source = this.#source;
    this.#more = source.advance();
    if (!this.#more) return;
    const key = this.#nextKey.bytes;
    const value = this.#nextValue.bytes;
    key.set(source.keys.bytes.subarray(source.keyAt, source.keyAt + key.length));
    value.set(source.values.bytes.subarray(source.valueAt, source.valueAt + value.length));
  }

  close(): void {
    this.#source.close();
  }
}

/** A type and a batch command, in `HostContext.batches`: some types have some of them. */
export function batchKey(type: number, cmd: number): number {
  return (type << 8) | cmd;
}

/**
 * Whether the map's type has this batch command on this host. Asked once a type and command, with a count of 0, which
 * does nothing.
 */
export function hasBatches(handle: MapHandle, cmd: number = BPF_MAP_LOOKUP_BATCH): boolean {
  const { context, info, host, fd } = handle;
  const which = batchKey(info.typeNumber, cmd);
  const known = context.batches.get(which);
  if (known !== undefined) return known;
  const result = host.bpf(cmd, { map_fd: fd, count: 0 });
  // An fd that may not do this says nothing about the type.
  if (result !== -EPERM) context.batches.set(which, result === 0);
  return result === 0;
}

/** Of a map whose batch cursor survives deletions: the hash types. */
export function hashSource(handle: MapHandle): WalkSource {
  return hasBatches(handle) ? new BatchSource(handle, BPF_MAP_LOOKUP_BATCH) : new NextKeySource(handle);
}

/** Of an array, where nothing is deleted. */
export function arraySource(handle: MapHandle): WalkSource {
  return hasBatches(handle) ? new BatchSource(handle, BPF_MAP_LOOKUP_BATCH) : new IndexSource(handle);
}

/** Of a trie. */
export function trieSource(handle: MapHandle): WalkSource {
  if (!hasBatches(handle)) return new NextKeySource(handle, { covering: true });
  return new LookAheadSource(new BatchSource(handle, BPF_MAP_LOOKUP_BATCH, true), handle);
}

/** As `hashSource`, for a walk that empties the map. */
export function takingSource(handle: MapHandle): TakingSource {
  return hasBatches(handle)
    ? new BatchSource(handle, BPF_MAP_LOOKUP_AND_DELETE_BATCH)
    : new NextKeySource(handle, { take: true });
}
