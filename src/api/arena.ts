/** ARENA: memory that programs and user space share. */
/// <reference lib="esnext.disposable" preserve="true" />
import { BpfMap } from "./bpf_map.ts";
import type { MapHandle } from "./map_handle.ts";
import { type MmapArrayOptions, mapInto } from "./mapping.ts";

/**
 * An arena's pages as memory, until it is closed, also when the map's handle is closed before. A pointer that a program
 * has stored there, minus `address`, is an index of `bytes`.
 */
export class MappedArena implements Disposable {
  /** All pages. Not to be used after `close`, when it may or may not show the arena still. */
  readonly bytes: Uint8Array;
  /** Where programs know the first byte to be. */
  readonly address: bigint;
  readonly #handle: MapHandle;
  #open = true;

  /** @internal */
  constructor(handle: MapHandle, writable: boolean, address: bigint) {
    const { host, info } = handle;
    this.#handle = handle;
    this.bytes = mapInto(handle, 0, info.maxEntries * host.pageSize, writable, { address });
    this.address = host.mappedAt(this.bytes);
  }

  get closed(): boolean {
    return !this.#open;
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

/**
 * BPF_MAP_TYPE_ARENA: up to 4 GiB of pages that programs and user space share, with the same pointers on both sides.
 * Since Linux 6.9.
 *
 *     const heap = host.createMap({ type: "arena", name: "heap", maxEntries: 16 });
 *     const live = heap.mmap();
 *     live.bytes[0] = 1;
 *     live.close();
 */
export class Arena extends BpfMap {
  readonly type = "arena" as const;
  /** Where it was mapped first: it cannot be mapped anywhere else. */
  #address: bigint | undefined;
  #live: MappedArena | undefined;

  /** Bytes of a page; `maxEntries` counts them. */
  get pageSize(): number {
    return this.handle.host.pageSize;
  }

  /**
   * The pages as live memory: zero until somebody writes them. There is one mapping at a time (`BpfError` EBUSY), always at
   * the same address: the one given at creation, or where this handle mapped it first. An arena that somebody else mapped
   * at an address which was not given at creation cannot be mapped (EINVAL).
   */
  mmap(options: MmapArrayOptions = {}): MappedArena {
    const address = this.#address ?? this.info.mapExtra;
    const mapped = new MappedArena(this.handle, options.access !== "ro", address);
    this.#address = mapped.address;
    this.#live = mapped;
    return mapped;
  }

  /** @internal Works on the pages: by the mapping that this handle has given out, or one that ends with it. */
  withBytes<R>(access: "ro" | "rw", work: (bytes: Uint8Array) => R): R {
    if (this.#live !== undefined && !this.#live.closed) return work(this.#live.bytes);
    const mapped = this.mmap({ access });
    try {
      return work(mapped.bytes);
    } finally {
      mapped.close();
    }
  }
}
