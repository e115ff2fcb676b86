/**
 * Mappings of maps by the kernel host. A view of one can be read for as long as its ArrayBuffer lives, so the range is
 * never given back before: munmap puts zero pages over it, and it goes when the ArrayBuffer has been collected.
 */
import { EINVAL, ENOMEM, PROT_EXEC, PROT_READ, PROT_WRITE } from "../uapi/index.ts";
import type { MmapOptions } from "./host.ts";
import type { Libc } from "./kernel_libc.ts";

const PROT_ANY = PROT_READ | PROT_WRITE | PROT_EXEC;
const MAP_SHARED = 0x1;
const MAP_FIXED = 0x10;
/** MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS | MAP_NORESERVE */
const MAP_ZERO_PAGES_OVER = 0x2 | 0x10 | 0x20 | 0x4000;

interface Mapping {
  readonly address: number;
  /** Whole pages. */
  readonly length: number;
  /** Bytes from the start on that may be looked at: those that are not behind an arena's end. */
  readonly shown: number;
  /** Of an arena. */
  readonly arena: boolean;
  readonly buffer: WeakRef<ArrayBuffer>;
  /** Another mapping has taken the range over. */
  replaced: boolean;
}

export class Mappings {
  readonly #libc: Libc;
  /** Those that show a map. */
  readonly #live: Set<Mapping> = new Set();
  /** Those of arenas that were ended, by address. */
  readonly #ended: Map<number, Mapping> = new Map();
  readonly #byBuffer: WeakMap<ArrayBufferLike, Mapping> = new WeakMap();
  readonly #collected: FinalizationRegistry<Mapping>;

  constructor(libc: Libc) {
    this.#libc = libc;
    this.#collected = new FinalizationRegistry((mapping) => {
      this.#live.delete(mapping);
      if (mapping.replaced) return;
      this.#ended.delete(mapping.address);
      libc.munmap(mapping.address, mapping.length);
    });
  }

  map(fd: number, options: MmapOptions): Uint8Array | number {
    const address = this.#mmap(fd, options, 0);
    const whole = this.#wholePages(options.length);
    return address < 0 ? address : this.#show({ address, length: whole, shown: whole, arena: false }, options.length);
  }

  /**
   * The view ends with the arena's last page: behind it the mapping ends the process that looks. An arena can be mapped
   * at one address only, where zero pages may lie that keep the place of a mapping that was ended, its own or another
   * arena's: they make room. Views of that one then show this one.
   */
  mapArena(fd: number, options: MmapOptions, pages: number): Uint8Array | number {
    const { address: hint = 0n, length } = options;
    const range = this.#wholePages(length);
    const bytes = Math.min(length, pages * this.#libc.pageSize);
    const shown = this.#wholePages(bytes);
    // The kernel rounds a wish down to its page, but not where it must.
    const at = hint - (hint % BigInt(this.#libc.pageSize));
    const ended = this.#ended.get(Number(at));
    const buffer = ended?.buffer.deref();
    const fits = ended !== undefined && range <= ended.length && (buffer === undefined || shown <= buffer.byteLength);
    const address = this.#mmap(fd, { ...options, address: at }, fits ? MAP_FIXED : 0);
    if (!fits) return address < 0 ? address : this.#show({ address, length: range, shown, arena: true }, bytes);
    if (address < 0) {
      // Old kernels have taken the zero pages away before they refuse.
      this.#coverWithZeroes(ended);
      return address;
    }
    this.#ended.delete(address);
    if (buffer === undefined) {
      ended.replaced = true;
      return this.#show({ address, length: ended.length, shown, arena: true }, bytes);
    }
    this.#live.add(ended);
    return new Uint8Array(buffer, 0, bytes);
  }

  #wholePages(length: number): number {
    const { pageSize } = this.#libc;
    return Math.ceil(length / pageSize) * pageSize;
  }

  #mmap(fd: number, { offset, length, prot, address: hint = 0n }: MmapOptions, flags: number): number {
    if (!Number.isSafeInteger(length) || !Number.isSafeInteger(offset) || length < 0 || offset < 0) return -EINVAL;
    const libc = this.#libc;
    // What may not even be read would end the process at the first look. The kernel judges both by the same rules.
    const given = (prot & PROT_ANY) === 0 ? PROT_READ : prot | 0;
    const address = libc.mmap(Number(BigInt.asUintN(63, hint)), length, given, MAP_SHARED | flags, fd | 0, offset);
    return address === -1 ? -libc.errno() : address;
  }

  /** A view of the first `bytes` bytes of a new mapping. */
  #show(range: Pick<Mapping, "address" | "length" | "shown" | "arena">, bytes: number): Uint8Array | number {
    const libc = this.#libc;
    let buffer: ArrayBuffer;
    try {
      buffer = libc.view(range.address, range.shown);
    } catch {
      // More than an ArrayBuffer can be.
      libc.munmap(range.address, range.length);
      return -ENOMEM;
    }
    const mapping: Mapping = { ...range, buffer: new WeakRef(buffer), replaced: false };
    this.#live.add(mapping);
    this.#byBuffer.set(buffer, mapping);
    this.#collected.register(buffer, mapping);
    return new Uint8Array(buffer, 0, bytes);
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
    const error = this.#coverWithZeroes(mapping);
    if (error !== 0) return error;
    this.#live.delete(mapping);
    if (mapping.arena) this.#ended.set(mapping.address, mapping);
    return 0;
  }

  #coverWithZeroes({ address, length }: Mapping): number {
    const at = this.#libc.mmap(address, length, PROT_READ | PROT_WRITE, MAP_ZERO_PAGES_OVER, -1, 0);
    return at === -1 ? -this.#libc.errno() : 0;
  }

  /** Address of a view of a live mapping, else -1. */
  addressOf(view: ArrayBufferView): number {
    const mapping = this.#byBuffer.get(view.buffer);
    return mapping !== undefined && this.#live.has(mapping) ? mapping.address + view.byteOffset : -1;
  }

  /** Bytes from an address to the end of its live mapping, else 0. */
  roomAt(address: number): number {
    for (const m of this.#live)
      if (address >= m.address && address < m.address + m.shown) return m.address + m.shown - address;
    return 0;
  }

  /** Whether all of the range lies in one live mapping. */
  holds(address: number, length: number): boolean {
    for (const m of this.#live) if (address >= m.address && address + length <= m.address + m.shown) return true;
    return false;
  }

  /** A view of a part of a live mapping that `holds` knows. */
  bytesAt(address: number, length: number): Uint8Array {
    return new Uint8Array(this.#libc.view(address, length));
  }
}
