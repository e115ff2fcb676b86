/**
 * An open map: its fd, and the attributes and buffers that all its calls use, allocated once in user memory. Calls are
 * made in raw form, so that nothing is allocated or copied on the way. Only the classes of this folder see it.
 */
import type { Host, MapCounters, UserBuffer } from "../host/host.ts";
import { rup8 } from "../mem/layout.ts";
import {
  BPF_F_LOCK,
  BPF_MAP_DELETE_ELEM,
  BPF_MAP_GET_NEXT_KEY,
  BPF_MAP_LOOKUP_AND_DELETE_ELEM,
  BPF_MAP_LOOKUP_ELEM,
  BPF_MAP_UPDATE_ELEM,
  bpf_attr,
  EBADF,
  ENOENT,
} from "../uapi/index.ts";
import { CodecBuffer } from "./codec/index.ts";
import type { HostContext, Owned } from "./context.ts";
import type { MapInfo } from "./info.ts";
import { mapFailure, type Shown } from "./map_failure.ts";
import type { Access } from "./spec.ts";

const { elem } = bpf_attr;
const ELEM_SIZE = elem.flags.offset + elem.flags.size;
const DELETE_SIZE = elem.key.offset + elem.key.size;
const NEXT_SIZE = elem.next_key.offset + elem.next_key.size;
/** Attributes: of lookup, take and delete; of update, whose flags vary; of the next key; of the first. */
const LOOKUP = 0;
const UPDATE: number = LOOKUP + ELEM_SIZE;
const NEXT: number = UPDATE + ELEM_SIZE;
const FIRST: number = NEXT + ELEM_SIZE;
const KEY: number = FIRST + ELEM_SIZE;

export interface HandleParts {
  readonly fd: number;
  /** Whether closing the handle closes the fd. */
  readonly owned: boolean;
  readonly info: MapInfo;
  /** What the fd allows; undefined when it came from elsewhere. */
  readonly access: Access | "rw" | undefined;
  /** Bytes of a value in bpf(2): every CPU's for per-CPU types. */
  readonly valueBytes: number;
}

export class MapHandle implements Owned {
  readonly kind = "map" as const;
  readonly context: HostContext;
  readonly host: Host;
  readonly info: MapInfo;
  readonly access: Access | "rw" | undefined;
  readonly valueBytes: number;
  /** Where a call finds the key, and leaves the next one and the value. */
  key: CodecBuffer;
  next: CodecBuffer;
  value: CodecBuffer;
  /** True once this handle has frozen the map: nothing else in the API tells. */
  frozen = false;
  #fd: number;
  readonly ownsFd: boolean;
  readonly #block: UserBuffer;
  /** Address of the block; 0 when closed. */
  #at: number;
  /** Index in `#words` of the update's flags. */
  readonly #words: Uint32Array;
  readonly #leases: Set<UserBuffer> = new Set();
  #onClose: (() => void)[] = [];

  constructor(context: HostContext, parts: HandleParts) {
    const { info, valueBytes } = parts;
    this.context = context;
    this.host = context.seam;
    this.info = info;
    this.access = parts.access;
    this.valueBytes = valueBytes;
    this.#fd = parts.fd;
    this.ownsFd = parts.owned;
    const keyBytes = rup8(info.keySize);
    const size = KEY + 2 * keyBytes + rup8(valueBytes);
    this.#block = context.alloc(size);
    const { bytes, address } = this.#block;
    this.#at = Number(address);
    const part = (from: number, length: number): CodecBuffer => new CodecBuffer(bytes.subarray(from, from + length));
    this.key = part(KEY, info.keySize);
    this.next = part(KEY + keyBytes, info.keySize);
    this.value = part(KEY + 2 * keyBytes, valueBytes);
    this.#words = new Uint32Array(bytes.buffer, bytes.byteOffset, KEY / 4);
    const view = new DataView(bytes.buffer, bytes.byteOffset, KEY);
    for (const attr of [LOOKUP, UPDATE, NEXT, FIRST]) view.setUint32(attr + elem.map_fd.offset, parts.fd, true);
    // A map without keys wants no address for one.
    const key = info.keySize === 0 ? 0n : address + BigInt(KEY);
    const value = address + BigInt(KEY + 2 * keyBytes);
    for (const attr of [LOOKUP, UPDATE]) {
      view.setBigUint64(attr + elem.key.offset, key, true);
      view.setBigUint64(attr + elem.value.offset, value, true);
    }
    view.setBigUint64(NEXT + elem.key.offset, key, true);
    for (const attr of [NEXT, FIRST]) {
      view.setBigUint64(attr + elem.next_key.offset, address + BigInt(KEY + keyBytes), true);
    }
    context.owned.add(this);
  }

  get fd(): number {
    return this.#fd;
  }

  get name(): string {
    return this.info.name;
  }

  get id(): number {
    return this.info.id;
  }

  get closed(): boolean {
    return this.#at === 0;
  }

  /** Copies the value of the key in `key` to `value`. 0 or an errno, as all of these. */
  lookup(): number {
    return this.#at === 0 ? -EBADF : this.host.bpf(BPF_MAP_LOOKUP_ELEM, this.#at, ELEM_SIZE);
  }

  /** As `lookup`, under the element's bpf_spin_lock. */
  lookupLocked(): number {
    if (this.#at === 0) return -EBADF;
    const flags = (LOOKUP + elem.flags.offset) / 4;
    this.#words[flags] = BPF_F_LOCK;
    const result = this.host.bpf(BPF_MAP_LOOKUP_ELEM, this.#at, ELEM_SIZE);
    this.#words[flags] = 0;
    return result;
  }

  /** As `lookup`, and the element is gone. */
  take(): number {
    return this.#at === 0 ? -EBADF : this.host.bpf(BPF_MAP_LOOKUP_AND_DELETE_ELEM, this.#at, ELEM_SIZE);
  }

  delete(): number {
    return this.#at === 0 ? -EBADF : this.host.bpf(BPF_MAP_DELETE_ELEM, this.#at, DELETE_SIZE);
  }

  /** Puts `value` at `key`. */
  update(flags: number): number {
    if (this.#at === 0) return -EBADF;
    this.#words[(UPDATE + elem.flags.offset) / 4] = flags;
    return this.host.bpf(BPF_MAP_UPDATE_ELEM, this.#at + UPDATE, ELEM_SIZE);
  }

  /** The key behind `key`, to `next`. */
  nextKey(): number {
    return this.#at === 0 ? -EBADF : this.host.bpf(BPF_MAP_GET_NEXT_KEY, this.#at + NEXT, NEXT_SIZE);
  }

  /** The first key, to `next`. */
  firstKey(): number {
    return this.#at === 0 ? -EBADF : this.host.bpf(BPF_MAP_GET_NEXT_KEY, this.#at + FIRST, NEXT_SIZE);
  }

  /** What the host has counted; undefined: it does not count. */
  counters(): MapCounters | undefined {
    const counters = this.closed ? -EBADF : this.host.mapCounters?.(this.#fd);
    return typeof counters === "number" ? this.fail("stats", counters) : counters;
  }

  /** Throws the error for a call that failed. `shown` says more about it. */
  fail(cmd: number | string, errno: number, shown: Shown = {}): never {
    const { info: map, access, closed, frozen } = this;
    throw mapFailure({ ...shown, cmd, errno, map, access, closed, frozen, embedded: this.host.kind === "embedded" });
  }

  /** True for 0, false for -ENOENT; throws for the rest. */
  found(cmd: number, result: number, shown?: Shown): boolean {
    if (result === 0) return true;
    if (result === -ENOENT) return false;
    return this.fail(cmd, result, shown);
  }

  /** User memory for a walk, given back with `release` or when the map is closed. */
  lease(bytes: number): UserBuffer {
    if (this.closed) this.fail("user.alloc", EBADF);
    const buffer = this.context.alloc(bytes);
    this.#leases.add(buffer);
    return buffer;
  }

  release(buffer: UserBuffer): void {
    this.#leases.delete(buffer);
    buffer.free();
  }

  /** Something to be done when the map is closed, before its fd is. */
  onClose(action: () => void): void {
    this.#onClose.push(action);
  }

  close(): void {
    if (this.#at === 0) return;
    this.#at = 0;
    const actions = this.#onClose;
    this.#onClose = [];
    for (const action of actions) action();
    this.context.owned.delete(this);
    if (this.ownsFd) this.host.close(this.#fd);
    this.#fd = -1;
    // Codecs may write here still, on their way to a call that fails; the block can soon be somebody else's.
    this.key = CodecBuffer.alloc(this.info.keySize);
    this.next = CodecBuffer.alloc(this.info.keySize);
    this.value = CodecBuffer.alloc(this.valueBytes);
    this.#block.free();
    for (const buffer of this.#leases) buffer.free();
    this.#leases.clear();
  }
}
