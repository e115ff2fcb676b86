/**
 * One linear memory and one client's views of it. All state of a host lies in there; the objects of this file are
 * caches over it and can be made again by any worker that is handed the `WebAssembly.Memory`.
 */
import { Bug } from "../errors.ts";
import { type AtomicOps, compileAtomics } from "./atomics.ts";
import { GRANULE, LAYOUT_VERSION, SB_GRANULES, SB_MAGIC, SB_MAGIC_VALUE, SB_SHARED, SB_VERSION } from "./layout.ts";

/** From this many bytes on `copyWithin` beats a loop of words. */
const COPY_LOOP_MAX = 128;
/** And `fill` a loop of WebAssembly. */
const ZERO_LOOP_MAX = 512;

export class Memory {
  readonly wasm: WebAssembly.Memory;
  readonly u8: Uint8Array;
  readonly u32: Uint32Array;
  readonly i32: Int32Array;
  readonly u64: BigUint64Array;
  readonly view: DataView;
  readonly atomics: AtomicOps;
  /** False: one client only. Locks and reader protection are skipped by one test of this. */
  readonly shared: boolean;
  readonly byteLength: number;
  /** This client's slot + 1: what it writes into lock words. 0 until the client has attached. */
  owner = 0;

  constructor(wasm: WebAssembly.Memory, granules: number, shared: boolean) {
    this.wasm = wasm;
    const { buffer } = wasm;
    this.u8 = new Uint8Array(buffer);
    this.u32 = new Uint32Array(buffer);
    this.i32 = new Int32Array(buffer);
    this.u64 = new BigUint64Array(buffer);
    this.view = new DataView(buffer);
    this.shared = shared;
    this.byteLength = buffer.byteLength;
    this.atomics = compileAtomics(wasm, granules, shared);
  }

  /** Of WebAssembly, 64 KiB each, as modules that import a shared memory have to say; undefined: it is not shared. */
  get sharedPages(): number | undefined {
    return this.shared ? this.byteLength / GRANULE : undefined;
  }

  /**
   * Copies `n` bytes, as if all were read before any is written. On a shared host 8-byte words between aligned
   * addresses move whole, so that a reader on another thread never sees half of one; the wasm function does that
   * without making a BigInt of each.
   */
  copy(dst: number, src: number, n: number): void {
    // One or two aligned words, the usual values and keys: apart and short, so that callers have it inline.
    if ((n === 8 || n === 16) && ((dst | src) & 7) === 0 && !this.shared) {
      const { i32 } = this;
      const d = dst >>> 2;
      const s = src >>> 2;
      const word0 = i32[s]!;
      const word1 = i32[s + 1]!;
      if (n === 16) {
        const word2 = i32[s + 2]!;
        i32[d + 3] = i32[s + 3]!;
        i32[d + 2] = word2;
      }
      i32[d] = word0;
      i32[d + 1] = word1;
    } else {
      this.#copyAny(dst, src, n);
    }
  }

  #copyAny(dst: number, src: number, n: number): void {
    if (((dst | src | n) & 7) === 0 && n <= COPY_LOOP_MAX) {
      if (this.shared) {
        // That function goes downwards: a source that begins inside the destination would be overwritten.
        if ((src - dst) >>> 0 < n) this.#copyWordsUp(dst, src, n);
        else if (n !== 0) this.atomics.copyWords(dst, src, n);
        return;
      }
      if ((dst - src) >>> 0 < n) {
        this.u8.copyWithin(dst, src, src + n);
        return;
      }
      const { u32 } = this;
      let d = dst >>> 2;
      let s = src >>> 2;
      for (const end = d + (n >>> 2); d < end; ) u32[d++] = u32[s++]!;
    } else if (n === 4 && ((dst | src) & 3) === 0) {
      this.u32[dst >>> 2] = this.u32[src >>> 2]!;
    } else if (n <= 8 && (dst - src) >>> 0 >= n) {
      const { u8 } = this;
      for (let i = 0; i < n; i++) u8[dst + i] = u8[src + i]!;
    } else {
      this.u8.copyWithin(dst, src, src + n);
    }
  }

  #copyWordsUp(dst: number, src: number, n: number): void {
    for (let at = 0; at < n; at += 8) this.atomics.copy64(dst + at, src + at);
  }

  zero(address: number, n: number): void {
    if (((address & 7) | (n & 15)) === 0 && n <= ZERO_LOOP_MAX && n !== 0) this.atomics.zeroWords(address, n);
    // Of shared memory `fill` goes byte by byte.
    else if (this.shared && n > ZERO_LOOP_MAX) this.atomics.zeroAll(address, n);
    else this.u8.fill(0, address, address + n);
  }

  /** Reads a u64 whose value is known to stay below 2^53. */
  readU64(address: number): number {
    return this.u32[(address >>> 2) + 1]! * 0x1_0000_0000 + this.u32[address >>> 2]!;
  }

  writeU64(address: number, value: number): void {
    this.u32[address >>> 2] = value >>> 0;
    this.u32[(address >>> 2) + 1] = Math.floor(value / 0x1_0000_0000) >>> 0;
  }
}

/** Reserves a memory of `granules` x 64 KiB, whole: it never grows, so that no view ever goes stale. */
export function reserveMemory(granules: number, shared: boolean): Memory {
  const wasm = new WebAssembly.Memory({ initial: granules, maximum: granules, shared });
  return new Memory(wasm, granules, shared);
}

/** Views of a memory that another thread set up. Throws `Bug` when it is not ours or has another layout. */
export function attachMemory(wasm: WebAssembly.Memory): Memory {
  const head = new Uint32Array(wasm.buffer);
  const at = (address: number): number => head[address >>> 2] ?? 0;
  if (at(SB_MAGIC) !== SB_MAGIC_VALUE)
    throw new Bug("this memory is no bpfmaps host: its superblock has another magic");
  if (at(SB_VERSION) !== LAYOUT_VERSION) {
    throw new Bug(`this host has layout version ${at(SB_VERSION)}, this copy of bpfmaps works with ${LAYOUT_VERSION}`);
  }
  return new Memory(wasm, at(SB_GRANULES), at(SB_SHARED) === 1);
}
