/** The memory of an array, mapped: the one place where the API gives live views. */
/// <reference lib="esnext.disposable" preserve="true" />

import type { MmapOptions } from "../host/host.ts";
import { rup8 } from "../mem/layout.ts";
import { PROT_READ, PROT_WRITE } from "../uapi/index.ts";
import { nested } from "./codec/error.ts";
import { CodecBuffer } from "./codec/index.ts";
import type { Io } from "./keyed_map.ts";
import type { MapHandle } from "./map_handle.ts";

/** Maps `length` bytes of what the map offers, shared. Throws `BpfError`. */
export function mapInto(
  handle: MapHandle,
  offset: number,
  length: number,
  writable: boolean,
  options: Pick<MmapOptions, "dropsViews" | "address"> = {},
): Uint8Array {
  const prot = writable ? PROT_READ | PROT_WRITE : PROT_READ;
  const bytes = handle.closed ? -1 : handle.host.mmap(handle.fd, { ...options, offset, length, prot });
  return typeof bytes === "number" ? handle.fail("mmap", bytes, { writable }) : bytes;
}

/** How an array or an arena is mapped. */
export interface MmapArrayOptions {
  /** `ro`: the view must not be written. Default `rw`. */
  readonly access?: "ro" | "rw";
}

/**
 * An array's elements as memory: reads and writes make no call and are seen by programs at once. Words of 8 bytes are
 * never torn; larger values can be. It holds the map until it is closed, also when the map's handle is closed before.
 *
 *     const live = stats.mmap();
 *     live.set(0, live.get(0)! + 1n);
 *     live.close();
 */
export class MappedArray<V, VIn = V> implements Disposable {
  /** All elements, `stride` bytes apart. Not to be used after `close`, when it may or may not show the map still. */
  readonly bytes: Uint8Array;
  /** Bytes from one element to the next: the value's size, rounded up to 8. */
  readonly stride: number;
  /** Elements. */
  readonly length: number;
  readonly #handle: MapHandle;
  readonly #buffer: CodecBuffer;
  readonly #value: Io<V, VIn>;
  readonly #writable: boolean;
  #open = true;

  /** @internal */
  constructor(handle: MapHandle, value: Io<V, VIn>, options: MmapArrayOptions) {
    const { valueSize, maxEntries } = handle.info;
    this.#handle = handle;
    this.#value = value;
    this.#writable = options.access !== "ro";
    this.stride = rup8(valueSize);
    this.length = maxEntries;
    this.bytes = mapInto(handle, 0, this.stride * maxEntries, this.#writable);
    this.#buffer = new CodecBuffer(this.bytes);
  }

  /** A copy of element `index`; undefined outside the array. After `close`: `RangeError`. */
  get(index: number): V | undefined {
    this.#requireOpen();
    return this.#has(index) ? this.#value.read(this.#buffer, index * this.stride) : undefined;
  }

  /** Writes element `index`. Outside the array, through a read-only mapping or after `close`: `RangeError`. */
  set(index: number, value: VIn): this {
    this.#requireOpen();
    if (!this.#writable) throw new RangeError("this mapping is read-only");
    if (!this.#has(index)) throw new RangeError(`index ${index} is outside the mapping: 0 to ${this.length - 1}`);
    try {
      this.#value.write(this.#buffer, index * this.stride, value);
    } catch (error) {
      throw nested(error, "value");
    }
    return this;
  }

  #requireOpen(): void {
    if (!this.#open) throw new RangeError("this mapping is closed");
  }

  #has(index: number): boolean {
    return Number.isInteger(index) && index >= 0 && index < this.length;
  }

  /** Ends the mapping. A second call does nothing. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#handle.host.munmap(this.bytes);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
