/** Producers of RINGBUF in compiled programs: what `ring.ts` does, for rings that are known when the code is emitted. */
import { BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP, BPF_RINGBUF_BUSY_BIT, BPF_RINGBUF_HDR_SZ } from "../uapi/index.ts";
import { type Code, I32, I64 } from "../wasm/code.ts";
import * as w from "../wasm/opcodes.ts";
import { emitLock, emitUnlock } from "./emit.ts";
import type { AttemptCall, GenCall } from "./gen.ts";
import { MAP_LOCK, MAP_MAX_ENTRIES, mapField } from "./map.ts";
import { KERNEL_PAGES, LENGTH_MASK, PAGE_SHIFT, RING_PENDING, RING_PENDING_POS, RING_PROD } from "./ring.ts";
import { RING_BASE, RING_DATA, RING_PROD_PAGE } from "./ring_map.ts";

/** Code of its own that goes between claiming and publishing a record: its header's address is in the local. */
type Fill = (header: number) => void;

/**
 * A record of `size` (a local) bytes: claimed, its header stored with `busy`, filled, and published, under the ring's
 * lock. `helper` leaves what the helper's own function returns, which decides where the size fits no ring of this size and
 * where the lock is not free; `none` what it returns for a full ring. The block `done` ends with them. Behind this code the
 * record is there.
 */
export function emitRecord(
  call: GenCall,
  done: number,
  size: number,
  busy: boolean,
  none: number,
  fill: Fill | undefined,
): number {
  const { code, mem, map } = call;
  const entries = mapField(mem, map, MAP_MAX_ENTRIES);
  const header = code.local(I32);
  const total = code.local(I32);
  const next = code.local(I64);
  const helper = (): void => {
    call.callHelper();
    code.br(done);
  };
  // No record is longer than the ring; those of which the arithmetic would wrap least of all.
  code.get(size);
  code.i32(Math.min(entries, LENGTH_MASK) - BPF_RINGBUF_HDR_SZ);
  code.op(w.I32_GT_U);
  code.open(w.IF);
  helper();
  code.end();
  code.get(size);
  code.i32(BPF_RINGBUF_HDR_SZ + 7);
  code.op(w.I32_ADD);
  code.i32(~7);
  code.op(w.I32_AND);
  code.set(total);
  emitLock(code, mem, map + MAP_LOCK, done, () => call.callHelper());
  emitRoom(call, total, next, header);
  code.op(w.I32_EQZ);
  code.open(w.IF);
  emitUnlock(code, mem, map + MAP_LOCK);
  code.i32(none);
  code.br(done);
  code.end();
  emitHeader(call, header, size, busy);
  fill?.(header);
  emitPublish(call, next);
  emitUnlock(code, mem, map + MAP_LOCK);
  return header;
}

/**
 * Leaves 1 on the stack where there is room for `total` bytes; `next` is the position behind them, and the lower half of
 * the one before them is in `before`.
 */
function emitRoom({ code, mem, map }: GenCall, total: number, next: number, before: number): void {
  const base = mapField(mem, map, RING_BASE);
  const mask = mapField(mem, map, MAP_MAX_ENTRIES) - 1;
  const prod = code.local(I64);
  const left = code.local(I32);
  code.i32(map + RING_PROD);
  code.memory(w.I64_LOAD);
  code.tee(prod);
  code.op(w.I32_WRAP_I64);
  code.set(before);
  emitPending({ code, base, mask, map }, before, left);
  // Nobody reads it there; the kernel's struct has it beside the producer position, so that user space sees it.
  code.i32(base + RING_PENDING_POS);
  code.get(prod);
  code.get(left);
  code.op(w.I64_EXTEND_I32_U, w.I64_SUB);
  code.memory(w.I64_STORE);
  // Neither may the newest record reach the consumer, nor the oldest that is still busy.
  code.get(left);
  code.get(total);
  code.op(w.I32_ADD);
  code.i32(mask);
  code.op(w.I32_LE_U);
  code.get(prod);
  code.get(total);
  code.op(w.I64_EXTEND_I32_U, w.I64_ADD);
  code.tee(next);
  code.i32(base);
  if (mem.shared) code.atomic(w.I64_ATOMIC_LOAD, 8);
  else code.memory(w.I64_LOAD);
  code.op(w.I64_SUB);
  code.i64(mask, 0);
  code.op(w.I64_LE_U, w.I32_AND);
}

interface Ring {
  readonly code: Code;
  readonly map: number;
  readonly base: number;
  readonly mask: number;
}

/** Moves the pending position over all records that were committed since; `left`: how far the producer is ahead of it. */
function emitPending({ code, map, base, mask }: Ring, prod: number, left: number): void {
  const pending = code.local(I32);
  const length = code.local(I32);
  code.get(prod);
  code.i32(map + RING_PENDING);
  code.memory(w.I32_LOAD);
  code.tee(pending);
  code.op(w.I32_SUB);
  code.set(left);
  const over = code.open();
  const loop = code.loop();
  code.get(left);
  code.op(w.I32_EQZ);
  code.br(over, true);
  code.get(pending);
  code.i32(mask);
  code.op(w.I32_AND);
  code.memory(w.I32_LOAD, base + RING_DATA);
  code.tee(length);
  // The highest bit: it is busy.
  code.i32(0);
  code.op(w.I32_LT_S);
  code.br(over, true);
  code.get(length);
  code.i32(LENGTH_MASK);
  code.op(w.I32_AND);
  code.i32(BPF_RINGBUF_HDR_SZ + 7);
  code.op(w.I32_ADD);
  code.i32(~7);
  code.op(w.I32_AND);
  code.tee(length);
  // A length that user space spoiled must not lead past the producer.
  code.get(left);
  code.get(length);
  code.get(left);
  code.op(w.I32_LT_U, w.SELECT);
  code.tee(length);
  code.get(pending);
  code.op(w.I32_ADD);
  code.set(pending);
  code.get(left);
  code.get(length);
  code.op(w.I32_SUB);
  code.set(left);
  code.br(loop);
  code.end();
  code.end();
  code.i32(map + RING_PENDING);
  code.get(pending);
  code.memory(w.I32_STORE);
}

/** From the producer position in `header` to the record's address, where its length and page are stored. */
function emitHeader({ code, mem, map }: GenCall, header: number, size: number, busy: boolean): void {
  const data = mapField(mem, map, RING_BASE) + RING_DATA;
  code.get(header);
  code.i32(mapField(mem, map, MAP_MAX_ENTRIES) - 1);
  code.op(w.I32_AND);
  code.tee(header);
  code.get(size);
  if (busy) {
    code.i32(BPF_RINGBUF_BUSY_BIT);
    code.op(w.I32_OR);
  }
  code.memory(w.I32_STORE, data);
  code.get(header);
  code.get(header);
  code.i32(PAGE_SHIFT);
  code.op(w.I32_SHR_U);
  code.i32(KERNEL_PAGES);
  code.op(w.I32_ADD);
  code.memory(w.I32_STORE, data + 4);
  code.get(header);
  code.i32(data);
  code.op(w.I32_ADD);
  code.set(header);
}

/** The truth first, then what user space sees: a consumer that reads the position, then the records before it. */
function emitPublish({ code, mem, map }: GenCall, next: number): void {
  code.i32(map + RING_PROD);
  code.get(next);
  code.memory(w.I64_STORE);
  code.i32(mapField(mem, map, RING_BASE) + RING_PROD_PAGE);
  code.get(next);
  if (mem.shared) code.atomic(w.I64_ATOMIC_STORE, 8);
  else code.memory(w.I64_STORE);
}

/**
 * Completes the record whose header's address is in `header`, or gives it up: `ringCommit` of the ring whose address is in
 * `ring`.
 */
export function emitCommit(call: AttemptCall, ring: number, header: number, flags: number, discard: boolean): void {
  const { code, mem } = call;
  code.get(header);
  code.get(header);
  code.memory(w.I32_LOAD);
  code.i32(LENGTH_MASK);
  code.op(w.I32_AND);
  if (discard) {
    code.i32(LENGTH_MASK + 1);
    code.op(w.I32_OR);
  }
  // The other side: a consumer that reads the length, then the payload.
  if (mem.shared) {
    code.atomic(w.ATOMIC_XCHG, 4);
    code.op(w.DROP);
  } else {
    code.memory(w.I32_STORE);
  }
  emitWake(call, () => code.get(ring), header, flags);
}

/** Wakes the consumer where one is due; `ring` puts the ring's address on the stack. */
export function emitWake(
  { code, mem, wakeRing }: Pick<AttemptCall, "code" | "mem" | "wakeRing">,
  ring: () => void,
  header: number,
  flags: number,
): void {
  const quiet = code.open();
  code.get(flags);
  code.i32(BPF_RB_FORCE_WAKEUP);
  code.op(w.I32_AND, w.I32_EQZ);
  code.open(w.IF);
  code.get(flags);
  code.i32(BPF_RB_NO_WAKEUP);
  code.op(w.I32_AND);
  code.br(quiet, true);
  // The other side: a consumer that stores its position, then looks for the next record before it goes to sleep.
  ring();
  code.memory(w.I32_LOAD, RING_BASE);
  if (mem.shared) code.atomic(w.I32_ATOMIC_LOAD, 4);
  else code.memory(w.I32_LOAD);
  ring();
  code.memory(w.I32_LOAD, MAP_MAX_ENTRIES);
  code.i32(1);
  code.op(w.I32_SUB, w.I32_AND);
  code.get(header);
  ring();
  code.memory(w.I32_LOAD, RING_BASE);
  code.op(w.I32_SUB);
  code.i32(RING_DATA);
  code.op(w.I32_SUB, w.I32_NE);
  code.br(quiet, true);
  code.end();
  ring();
  wakeRing();
  code.end();
}
