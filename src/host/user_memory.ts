/**
 * User memory of the kernel host. It is the inside of WebAssembly memories, whose address V8 never changes: they go
 * when their last view goes, so no view can outlive its bytes, and unmapped guard pages follow them, so a write beyond
 * the end is -EFAULT and not somebody's heap.
 */
import { Bug } from "../errors.ts";
import type { UserBuffer, UserMemory } from "./host.ts";
import type { Libc } from "./kernel_libc.ts";
import type { Mappings } from "./kernel_mappings.ts";

const WASM_PAGE = 64 * 1024;
/** Reserved at once, touched as it is used. */
const ARENA_BYTES = 64 * 1024 * 1024;
const ARENA_MAX = 2 ** 32 - 2 * WASM_PAGE;
const GRAIN = 16;

interface Hole {
  readonly offset: number;
  readonly size: number;
}

/** One memory: first fit over the holes that were given back, then what was never used. */
export class Arena {
  readonly buffer: ArrayBuffer;
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly address: number;
  readonly size: number;
  /** Offset 0 is never given out: see Marshal. */
  #top = GRAIN;
  /** Sorted by offset, no two of them adjacent. */
  readonly #holes: Hole[] = [];

  constructor(libc: Libc, size: number) {
    const pages = size / WASM_PAGE;
    this.buffer = new WebAssembly.Memory({ initial: pages, maximum: pages }).buffer;
    this.bytes = new Uint8Array(this.buffer);
    this.view = new DataView(this.buffer);
    this.address = libc.address(this.buffer);
    this.size = size;
  }

  /** Offset of `size` zeroed bytes, or -1. */
  take(size: number): number {
    const at = this.#holes.findIndex((h) => h.size >= size);
    const hole = this.#holes[at];
    if (hole === undefined) {
      if (this.#top + size > this.size) return -1;
      this.#top += size;
      return this.#top - size;
    }
    if (hole.size === size) this.#holes.splice(at, 1);
    else this.#holes[at] = { offset: hole.offset + size, size: hole.size - size };
    this.bytes.fill(0, hole.offset, hole.offset + size);
    return hole.offset;
  }

  give(offset: number, size: number): void {
    const found = this.#holes.findIndex((h) => h.offset > offset);
    const at = found < 0 ? this.#holes.length : found;
    const before = this.#holes[at - 1];
    const after = this.#holes[at];
    const joinsBefore = before !== undefined && before.offset + before.size === offset;
    const joinsAfter = after !== undefined && offset + size === after.offset;
    const start = joinsBefore ? before.offset : offset;
    const end = joinsAfter ? after.offset + after.size : offset + size;
    this.#holes.splice(at - Number(joinsBefore), Number(joinsBefore) + Number(joinsAfter), {
      offset: start,
      size: end - start,
    });
  }
}

export class NativeMemory implements UserMemory {
  readonly #libc: Libc;
  readonly #mappings: Mappings;
  readonly #arenas: Arena[];
  // The first arena in fields of its own: almost every address is in it.
  readonly view: DataView;
  readonly words: Uint32Array;
  readonly base: number;
  readonly size: number;

  constructor(libc: Libc, mappings: Mappings) {
    this.#libc = libc;
    this.#mappings = mappings;
    const first = new Arena(libc, ARENA_BYTES);
    this.#arenas = [first];
    this.view = first.view;
    this.words = new Uint32Array(first.buffer);
    this.base = first.address;
    this.size = first.size;
  }

  alloc(bytes: number): UserBuffer {
    if (!Number.isSafeInteger(bytes) || bytes < 0 || bytes > ARENA_MAX) {
      throw new RangeError(`user.alloc(${bytes}): expected a number of bytes from 0 to ${ARENA_MAX}`);
    }
    const size = Math.ceil(Math.max(bytes, 1) / GRAIN) * GRAIN;
    for (const arena of this.#arenas) {
      const offset = arena.take(size);
      if (offset >= 0) return bufferIn(arena, offset, bytes, size);
    }
    const pages = Math.ceil(Math.max(size + GRAIN, ARENA_BYTES) / WASM_PAGE);
    const arena = new Arena(this.#libc, pages * WASM_PAGE);
    this.#arenas.push(arena);
    const offset = arena.take(size);
    if (offset < 0) throw new Bug(`a new arena of ${arena.size} bytes has no room for ${size}`);
    return bufferIn(arena, offset, bytes, size);
  }

  addressOf(view: ArrayBufferView): number {
    const { buffer } = view;
    if (buffer === this.view.buffer) return this.base + view.byteOffset;
    for (const arena of this.#arenas) if (buffer === arena.buffer) return arena.address + view.byteOffset;
    return this.#mappings.addressOf(view);
  }

  /** Whether all of the range is user memory or a live mapping. */
  holds(address: number, length: number): boolean {
    const offset = address - this.base;
    if (offset >= 0 && offset + length <= this.size) return true;
    return this.arenaOf(address, length) !== undefined || this.#mappings.holds(address, length);
  }

  /** Bytes from an address to the end of its arena or mapping; 0 when it is in none. */
  roomAt(address: number): number {
    const arena = this.arenaOf(address, 0);
    return arena === undefined ? this.#mappings.roomAt(address) : arena.address + arena.size - address;
  }

  /** The bytes of a range that `holds` knows. */
  bytesAt(address: number, length: number): Uint8Array {
    const arena = this.arenaOf(address, length);
    if (arena === undefined) return this.#mappings.bytesAt(address, length);
    return arena.bytes.subarray(address - arena.address, address - arena.address + length);
  }

  /** The arena that all of the range lies in. */
  arenaOf(address: number, length: number): Arena | undefined {
    return this.#arenas.find((a) => address >= a.address && address + length <= a.address + a.size);
  }
}

function bufferIn(arena: Arena, offset: number, bytes: number, size: number): UserBuffer {
  let live = true;
  return {
    address: BigInt(arena.address + offset),
    bytes: arena.bytes.subarray(offset, offset + bytes),
    free: () => {
      if (live) arena.give(offset, size);
      live = false;
    },
  };
}
