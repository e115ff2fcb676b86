/**
 * Mappings of maps by the kernel host. A view of one can be read for as long as its ArrayBuffer lives, so the range is
 * never given back before: munmap puts zero pages over it, and it goes when the ArrayBuffer has been collected.
 */
import { EINVAL, ENOMEM } from "../uapi/index.ts";
import type { MmapOptions } from "./host.ts";
import type { Libc } from "./kernel_libc.ts";

const PROT_READ_WRITE = 3;
const MAP_SHARED = 0x1;
/** MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS | MAP_NORESERVE */
const MAP_ZERO_PAGES_OVER = 0x2 | 0x10 | 0x20 | 0x4000;

interface Mapping {
  readonly address: number;
  /** Whole pages. */
  readonly length: number;
}

export class Mappings {
  readonly #libc: Libc;
  /** Those that show a map. */
  readonly #live: Set<Mapping> = new Set();
  readonly #byBuffer: WeakMap<ArrayBufferLike, Mapping> = new WeakMap();
  readonly #collected: FinalizationRegistry<Mapping>;

  constructor(libc: Libc) {
    this.#libc = libc;
    this.#collected = new FinalizationRegistry((mapping) => {
      this.#live.delete(mapping);
      libc.munmap(mapping.address, mapping.length);
    });
  }

  map(fd: number, { offset, length, prot }: MmapOptions): Uint8Array | number {
    if (!Number.isSafeInteger(length) || !Number.isSafeInteger(offset) || length < 0 || offset < 0) return -EINVAL;
    const libc = this.#libc;
    const address = libc.mmap(0, length, prot | 0, MAP_SHARED, fd | 0, offset);
    if (address === -1) return -libc.errno();
    const mapping: Mapping = { address, length: Math.ceil(length / libc.pageSize) * libc.pageSize };
    let buffer: ArrayBuffer;
    try {
      buffer = libc.view(address, length);
    } catch {
      // More than an ArrayBuffer can be.
      libc.munmap(address, mapping.length);
      return -ENOMEM;
    }
    this.#live.add(mapping);
    this.#byBuffer.set(buffer, mapping);
    this.#collected.register(buffer, mapping);
    return new Uint8Array(buffer);
  }

  /** Any view of the mapping will do. A mapping that has been ended is left alone, as munmap(2) leaves a free range. */
  unmap(view: ArrayBufferView): number {
    const mapping = this.#byBuffer.get(view.buffer);
    if (mapping === undefined) return -EINVAL;
    return this.#live.has(mapping) ? this.#end(mapping) : 0;
  }

  endAll(): void {
    for (const mapping of this.#live) this.#end(mapping);
  }

  #end(mapping: Mapping): number {
    const { address, length } = mapping;
    const at = this.#libc.mmap(address, length, PROT_READ_WRITE, MAP_ZERO_PAGES_OVER, -1, 0);
    if (at === -1) return -this.#libc.errno();
    this.#live.delete(mapping);
    return 0;
  }

  /** Address of a view of a live mapping, else -1. */
  addressOf(view: ArrayBufferView): number {
    const mapping = this.#byBuffer.get(view.buffer);
    return mapping !== undefined && this.#live.has(mapping) ? mapping.address + view.byteOffset : -1;
  }

  /** Bytes from an address to the end of its live mapping, else 0. */
  roomAt(address: number): number {
    for (const m of this.#live)
      if (address >= m.address && address < m.address + m.length) return m.address + m.length - address;
    return 0;
  }

  /** Whether all of the range lies in one live mapping. */
  holds(address: number, length: number): boolean {
    for (const m of this.#live) if (address >= m.address && address + length <= m.address + m.length) return true;
    return false;
  }

  /** A view of a part of a live mapping that `holds` knows. */
  bytesAt(address: number, length: number): Uint8Array {
    return new Uint8Array(this.#libc.view(address, length));
  }
}
