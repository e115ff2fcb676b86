/**
 * Records of rings that a run answers for: one that it neither submits nor discards is discarded when it ends, however it
 * ends. So the record becomes busy in the same moment as the run holds it, and no sooner does it let go: between the two
 * its thread could be terminated, and the ring's consumer would wait for ever.
 */
import type { Kernel } from "../kern/kernel.ts";
import { findHeld, HELD_ADDRESS, HELD_KIND, HELD_NOTHING, HELD_OBJECT, hold, letGo } from "../kern/run_record.ts";
import { ringCommit, ringReserve } from "../struct/ring.ts";
import { ENOMEM } from "../uapi/index.ts";

/** `ringReserve` by a run, which holds it as this kind. -ENOMEM: it holds as much as it can. */
export function reserveRecord(kernel: Kernel, map: number, size: number, kind: number): number {
  const { mem, run } = kernel;
  let isFull = false;
  const sample = ringReserve(kernel, map, size, (address) => {
    isFull = !hold(mem, run, HELD_NOTHING, map, address, size);
    return isFull ? undefined : { at: findHeld(mem, run, HELD_NOTHING, address) + HELD_KIND, word: kind };
  });
  return isFull ? -ENOMEM : sample;
}

/** `ringCommit` of the record that the run holds by this entry. */
export function commitRecord(kernel: Kernel, entry: number, flags: number, discard: boolean): number {
  const { mem, run } = kernel;
  const [map, sample] = [HELD_OBJECT, HELD_ADDRESS].map((field) => mem.u32[(entry + field) >>> 2]!) as [number, number];
  const ret = ringCommit(kernel, map, sample, flags, discard, { at: entry + HELD_KIND, word: HELD_NOTHING });
  letGo(mem, run, entry);
  return ret;
}
