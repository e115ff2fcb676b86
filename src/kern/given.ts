/**
 * Memory that a run is given beside context and maps, at addresses of 64 bits: it lies in blocks of linear memory while
 * the run lasts, which hold what the run sees and go with it.
 */
import { alloc, free } from "../mem/alloc.ts";
import { CONTEXT_ROOM } from "./cpus.ts";
import type { Kernel } from "./kernel.ts";
import { HELD_BLOCK, hold, RUN_CTX, RUN_CTX_SIZE } from "./run_record.ts";
import type { GivenMemory, PlacedMemory } from "./scene.ts";

const FOUR_GIB = 0x1_0000_0000;

/** A block of the run's own with these bytes at its beginning. 0: out of memory. */
export function placeBytes(kernel: Kernel, run: number, bytes: Uint8Array): number {
  const block = placeBlock(kernel, run, Math.max(bytes.length, 1));
  if (block !== 0) kernel.mem.u8.set(bytes, block);
  return block;
}

function placeBlock({ mem }: Kernel, run: number, size: number): number {
  const block = alloc(mem, size);
  if (block === 0 || hold(mem, run, HELD_BLOCK, block, size, 0)) return block;
  free(mem, block, size);
  return 0;
}

/**
 * Gives the run a context of `size` bytes, which begin with these and go on with zeros: where contexts lie as a rule, a
 * large one in a block. False: out of memory.
 */
export function placeContext(kernel: Kernel, run: number, bytes: Uint8Array, size: number = bytes.length): boolean {
  const { mem } = kernel;
  const { u32 } = mem;
  const at = size > CONTEXT_ROOM ? placeBlock(kernel, run, size) : u32[(run + RUN_CTX) >>> 2]!;
  if (at === 0) return false;
  mem.u8.set(bytes, at);
  mem.zero(at + bytes.length, size - bytes.length);
  u32[(run + RUN_CTX) >>> 2] = at;
  u32[(run + RUN_CTX_SIZE) >>> 2] = size;
  return true;
}

/** Shows the run this memory. False: out of memory. */
export function placeMemory(kernel: Kernel, run: number, given: readonly GivenMemory[]): boolean {
  const placed: PlacedMemory[] = [];
  kernel.scene.placed = placed;
  for (const { address, bytes, writable = false } of given) {
    const at = placeBytes(kernel, run, bytes);
    if (at === 0) return false;
    const low = Number(BigInt.asUintN(32, address));
    const high = Number(BigInt.asUintN(32, address >> 32n));
    placed.push({ low, high, size: bytes.length, writable, at });
  }
  return true;
}

/** Copies what programs left back into the caller's bytes. */
export function takeMemoryBack(kernel: Kernel, given: readonly GivenMemory[]): void {
  kernel.scene.placed.forEach(({ at, size, writable }, i) => {
    if (writable) given[i]!.bytes.set(kernel.mem.u8.subarray(at, at + size));
  });
}

/** Where `size` bytes at high:low lie, or 0: not all of them are given memory (that may be written). */
export function givenAt(kernel: Kernel, low: number, high: number, size: number, write: boolean): number {
  for (const range of kernel.scene.placed) {
    const at = ((high >>> 0) - range.high) * FOUR_GIB + (low >>> 0) - range.low;
    if (at >= 0 && at + size <= range.size && (range.writable || !write)) return range.at + at;
  }
  return 0;
}
