/** A map on a host, worked on with one prebuilt attribute for each command and buffers in user memory. */
import type { Host, UserBuffer } from "../src/host/host.ts";
import * as u from "../src/uapi/index.ts";
import type { KeySet } from "./keys.ts";
import { inProcess, overAll, type Side } from "./measure.ts";

export interface MapShape {
  readonly type: number;
  readonly valueSize: number;
  readonly maxEntries: number;
  readonly flags: number;
}

/** Bytes of the attributes of commands on elements, and of the batch commands. */
const ELEM_SIZE = 32;
/** Of DELETE, which refuses a value. */
const KEY_ONLY_SIZE = 16;
const BATCH_SIZE = 56;
const BATCH = 512;
const ENOENT = 2;

export function createFd(name: string, host: Host, shape: MapShape, keySize: number): number {
  const fd = host.bpf(u.BPF_MAP_CREATE, {
    map_type: shape.type,
    key_size: keySize,
    value_size: shape.valueSize,
    max_entries: shape.maxEntries,
    map_flags: shape.flags,
  });
  if (fd < 0) throw new Error(`${name}: MAP_CREATE gave ${fd}`);
  return fd;
}

interface Buffers {
  readonly attr: number;
  readonly key: Uint32Array;
  readonly value: Uint32Array;
  readonly buffers: readonly UserBuffer[];
}

export class RawMap {
  readonly name: string;
  readonly host: Host;
  readonly fd: number;
  /** Bytes of a value in bpf(2): those of every CPU. */
  readonly valueBytes: number;
  readonly #elem: Buffers;
  /** Words of one CPU's value. */
  readonly #cpuWords: number;
  #at = 0;

  constructor(name: string, host: Host, shape: MapShape, keys: KeySet, percpu: boolean) {
    this.name = name;
    this.host = host;
    this.fd = createFd(name, host, shape, keys.stride * 4);
    this.valueBytes = percpu ? Math.ceil(shape.valueSize / 8) * 8 * host.possibleCpus : shape.valueSize;
    this.#elem = this.#buffers(keys.stride * 4);
    this.#cpuWords = percpu ? Math.ceil(shape.valueSize / 8) * 2 : this.#elem.value.length;
    this.fill(keys);
  }

  /** The value's first word, on every CPU, is the key's number. */
  fill(keys: KeySet): void {
    const { attr, key, value } = this.#elem;
    const { words, stride } = keys;
    for (let i = 0; i < keys.count; i++) {
      for (let w = 0; w < stride; w++) key[w] = words[i * stride + w]!;
      for (let w = 0; w < value.length; w += this.#cpuWords) value[w] = i;
      const ret = this.host.bpf(u.BPF_MAP_UPDATE_ELEM, attr, ELEM_SIZE);
      if (ret !== 0) throw new Error(`${this.name}: update ${i} gave ${ret}`);
    }
  }

  #buffers(keySize: number): Buffers {
    const attr = this.host.user.alloc(64);
    const key = this.host.user.alloc(Math.ceil(keySize / 8) * 8);
    const value = this.host.user.alloc(this.valueBytes);
    const view = new DataView(attr.bytes.buffer, attr.bytes.byteOffset, 64);
    view.setUint32(0, this.fd, true);
    view.setBigUint64(8, key.address, true);
    view.setBigUint64(16, value.address, true);
    return {
      attr: Number(attr.address),
      key: new Uint32Array(key.bytes.buffer, key.bytes.byteOffset, Math.ceil(keySize / 4)),
      value: new Uint32Array(value.bytes.buffer, value.bytes.byteOffset, Math.ceil(this.valueBytes / 4)),
      buffers: [attr, key, value],
    };
  }

  /** One command on `count` keys, going on where the last one stopped. Returns the sum of the results. */
  #each(cmd: number, keys: KeySet, count: number, second = 0): number {
    const { host } = this;
    const { attr, key } = this.#elem;
    const { words, stride } = keys;
    const size = cmd === u.BPF_MAP_DELETE_ELEM ? KEY_ONLY_SIZE : ELEM_SIZE;
    let at = this.#at < words.length ? this.#at : 0;
    let sum = 0;
    for (let i = 0; i < count; i++) {
      for (let w = 0; w < stride; w++) key[w] = words[at + w]!;
      sum += host.bpf(cmd, attr, size);
      if (second !== 0) sum += host.bpf(second, attr, ELEM_SIZE);
      at += stride;
      if (at === words.length) at = 0;
    }
    this.#at = at;
    return sum;
  }

  #side(cmd: number, keys: KeySet, second?: number): Side {
    return inProcess(this.name, (count) => {
      const sum = this.#each(cmd, keys, count, second);
      if (sum !== 0) throw new Error(`${this.name}: command ${cmd} gave ${sum} over ${count} keys`);
      return sum + this.#elem.value[0]!;
    });
  }

  lookup(keys: KeySet): Side {
    return this.#side(u.BPF_MAP_LOOKUP_ELEM, keys);
  }

  /** What a lookup of each key gives: the value's first word + 1, or 0 where there is none. */
  answers(keys: KeySet): Uint32Array {
    const { attr, key, value } = this.#elem;
    return Uint32Array.from({ length: keys.count }, (_, i) => {
      key.set(keys.words.subarray(i * keys.stride, (i + 1) * keys.stride));
      return this.host.bpf(u.BPF_MAP_LOOKUP_ELEM, attr, ELEM_SIZE) === 0 ? value[0]! + 1 : 0;
    });
  }

  update(keys: KeySet): Side {
    return this.#side(u.BPF_MAP_UPDATE_ELEM, keys);
  }

  /** Two commands an operation: the element goes, and comes again. */
  deleteAndInsert(keys: KeySet): Side {
    return this.#side(u.BPF_MAP_DELETE_ELEM, keys, u.BPF_MAP_UPDATE_ELEM);
  }

  /** Over the whole map, with GET_NEXT_KEY and LOOKUP for every element. */
  iterate(): Side {
    return overAll(this.name, () => this.walk(() => undefined));
  }

  /** Calls back with each key, in the map's order. Returns how many they were. */
  walk(visit: (key: Uint32Array) => void): number {
    const { host } = this;
    const { attr, key, buffers } = this.#elem;
    const [attrBytes, keyBuffer, valueBuffer] = buffers;
    const next = host.user.alloc(key.byteLength);
    const nextKey = new Uint32Array(next.bytes.buffer, next.bytes.byteOffset, key.length);
    const view = new DataView(attrBytes!.bytes.buffer, attrBytes!.bytes.byteOffset, 64);
    let count = 0;
    view.setBigUint64(8, 0n, true);
    for (;;) {
      view.setBigUint64(16, next.address, true);
      if (host.bpf(u.BPF_MAP_GET_NEXT_KEY, attr, 24) !== 0) break;
      key.set(nextKey);
      view.setBigUint64(8, keyBuffer!.address, true);
      view.setBigUint64(16, valueBuffer!.address, true);
      if (host.bpf(u.BPF_MAP_LOOKUP_ELEM, attr, ELEM_SIZE) === 0) count++;
      visit(key);
    }
    view.setBigUint64(8, keyBuffer!.address, true);
    view.setBigUint64(16, valueBuffer!.address, true);
    next.free();
    return count;
  }

  /** Over the whole map, in batches. */
  batchLookup(): Side {
    return this.#batchSide((batch) => this.#walkBatches(batch));
  }

  /** How many elements LOOKUP_BATCH finds. */
  countInBatches(): number {
    return this.#walkBatches(this.#batch());
  }

  #walkBatches(batch: Batch): number {
    let elements = 0;
    let ret = 0;
    for (batch.begin(); ret === 0; batch.goOn()) {
      ret = this.host.bpf(u.BPF_MAP_LOOKUP_BATCH, batch.attr, BATCH_SIZE);
      elements += batch.count;
    }
    if (ret !== -ENOENT) throw new Error(`${this.name}: LOOKUP_BATCH gave ${ret}`);
    return elements;
  }

  updateAll(keys: KeySet): void {
    this.#inBatches(this.#batch(), keys, [u.BPF_MAP_UPDATE_BATCH]);
  }

  deleteAll(keys: KeySet): void {
    this.#inBatches(this.#batch(), keys, [u.BPF_MAP_DELETE_BATCH]);
  }

  batchUpdate(keys: KeySet): Side {
    return this.#batchSide((batch) => this.#inBatches(batch, keys, [u.BPF_MAP_UPDATE_BATCH]));
  }

  batchDeleteAndInsert(keys: KeySet): Side {
    return this.#batchSide((batch) => this.#inBatches(batch, keys, [u.BPF_MAP_DELETE_BATCH, u.BPF_MAP_UPDATE_BATCH]));
  }

  #inBatches(batch: Batch, keys: KeySet, cmds: readonly number[]): number {
    for (let at = 0; at < keys.words.length; at += BATCH * keys.stride) {
      const some = keys.words.subarray(at, at + BATCH * keys.stride);
      batch.keys.set(some);
      for (const cmd of cmds) {
        batch.count = some.length / keys.stride;
        const ret = this.host.bpf(cmd, batch.attr, BATCH_SIZE);
        if (ret !== 0) throw new Error(`${this.name}: batch command ${cmd} gave ${ret}`);
      }
    }
    return keys.count;
  }

  #batch(): Batch {
    return new Batch(this.host, this.fd, this.#elem.key.length * 4, this.valueBytes);
  }

  #batchSide(run: (batch: Batch) => number): Side {
    const batch = this.#batch();
    return overAll(this.name, () => run(batch));
  }

  close(): void {
    this.host.close(this.fd);
    for (const buffer of this.#elem.buffers) buffer.free();
  }
}

/** Attributes and buffers of the batch commands, kept for the run of the benchmark. */
class Batch {
  readonly attr: number;
  readonly keys: Uint32Array;
  readonly #view: DataView;
  readonly #cursor: bigint;

  constructor(host: Host, fd: number, keySize: number, valueBytes: number) {
    const attr = host.user.alloc(64);
    const cursor = host.user.alloc(64);
    const keys = host.user.alloc(BATCH * keySize);
    const values = host.user.alloc(BATCH * valueBytes);
    this.attr = Number(attr.address);
    this.keys = new Uint32Array(keys.bytes.buffer, keys.bytes.byteOffset, (BATCH * keySize) / 4);
    this.#view = new DataView(attr.bytes.buffer, attr.bytes.byteOffset, 64);
    this.#cursor = cursor.address;
    this.#view.setBigUint64(8, cursor.address, true);
    this.#view.setBigUint64(16, keys.address, true);
    this.#view.setBigUint64(24, values.address, true);
    this.#view.setUint32(36, fd, true);
  }

  get count(): number {
    return this.#view.getUint32(32, true);
  }

  set count(count: number) {
    this.#view.setUint32(32, count, true);
    // Updates and deletions have no cursor.
    this.#view.setBigUint64(0, 0n, true);
  }

  begin(): void {
    this.#view.setBigUint64(0, 0n, true);
    this.#view.setUint32(32, BATCH, true);
  }

  goOn(): void {
    this.#view.setBigUint64(0, this.#cursor, true);
    this.#view.setUint32(32, BATCH, true);
  }
}
