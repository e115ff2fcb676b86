/** Producers of RINGBUF in compiled programs: what `ring.ts` does, for rings that are known when the code is emitted. */
import { BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP, BPF_RINGBUF_BUSY_BIT, BPF_RINGBUF_HDR_SZ } from "../uapi/index.ts";
import {
  block,
  const32,
  type Expr32,
  type Local32,
  type Local64,
  local32,
  local64,
  loop,
  type Operand32,
  pair,
  select,
  when,
} from "../wasm/expr.ts";
import * as w from "../wasm/opcodes.ts";
import { emitLock, emitUnlock } from "./emit.ts";
import type { AttemptCall, GenCall } from "./gen.ts";
import { MAP_MAX_ENTRIES, mapField } from "./map.ts";
import {
  KERNEL_PAGES,
  LENGTH_MASK,
  MARK_SHIFT,
  PAGE_SHIFT,
  RING_LEFT,
  RING_LOCK,
  RING_PENDING,
  RING_PENDING_POS,
  RING_PROD,
  WAKEUP_FLAGS,
} from "./ring.ts";
import { RING_BASE, RING_DATA, RING_PROD_PAGE } from "./ring_map.ts";

/** Code of its own that goes between claiming and publishing a record, whose header's address it gets. */
type Fill = (header: Local32) => void;

/**
 * A record of `size` bytes: claimed, filled, published, and unless `busy` complete, under the ring's lock. What
 * `end` is given is what the helper returns: what its own function returns where the size fits no ring of this size and
 * where the lock is not free, and `none` for a full ring. Behind this code the record is there. Returns its header's
 * address.
 */
export function emitRecord(
  call: GenCall,
  end: (result: Operand32) => void,
  size: Local32,
  busy: boolean,
  none: number,
  fill: Fill | undefined,
): Local32 {
  const { code, mem, map } = call;
  const lock = const32(code, map + RING_LOCK);
  const entries = mapField(mem, map, MAP_MAX_ENTRIES);
  block(code, (locked) => {
    block(code, (refused) => {
      // No record is longer than the ring; those of which the arithmetic would wrap least of all.
      refused.when(size.gtU(Math.min(entries, LENGTH_MASK) - BPF_RINGBUF_HDR_SZ));
      emitLock(mem, lock, () => refused.go());
      locked.when(isPublished(call));
      emitUnlock(mem, lock);
    });
    end(call.helper);
  });
  const total = local32(code, recordSize(size));
  const prod = local64(code, const32(code, map).load64(RING_PROD));
  const next = local64(code, prod.add(total.extendU()));
  when(hasRoom(call, prod, total, next).eqz(), () => {
    emitUnlock(mem, lock);
    end(none);
  });
  const data = mapField(mem, map, RING_BASE) + RING_DATA;
  const offset = local32(code, prod.wrap().and(entries - 1));
  const header = local32(code, offset.add(data));
  const page = offset.shrU(PAGE_SHIFT).add(KERNEL_PAGES);
  fill?.(header);
  emitMarkBehind(call, next);
  // Where others look on, it is completed behind the position (see `ring.ts`); no thread is terminated in between.
  header.store64(0, pair(code, busy || mem.shared ? size.or(BPF_RINGBUF_BUSY_BIT) : size, page));
  const32(code, map).store64(RING_PROD, next);
  const32(code, mapField(mem, map, RING_BASE)).store64(RING_PROD_PAGE, next);
  if (mem.shared && !busy) emitComplete(call, header, size);
  emitRelease(call, lock, next);
  return header;
}

/** Whether all is seen that `awaitPublished` waits for. */
function isPublished({ code, mem, map }: GenCall): Expr32 {
  if (!mem.shared) return const32(code, 1);
  const at = const32(code, map);
  const base = mapField(mem, map, RING_BASE);
  const left = local32(code, at.load(RING_LEFT));
  const next = left.and(mapField(mem, map, MAP_MAX_ENTRIES) - 1).load(base + RING_DATA);
  const differs = at
    .load(RING_PROD)
    .xor(left)
    .or(
      const32(code, base + RING_PROD_PAGE)
        .load()
        .xor(left),
    );
  return differs.or(next.xor(emitMark(left))).eqz();
}

/** `markOf`. */
function emitMark(position: Expr32): Expr32 {
  return position.shrU(MARK_SHIFT).or(BPF_RINGBUF_BUSY_BIT);
}

/** There are 8 bytes: with them the ring would be full. */
function emitMarkBehind({ code, mem, map }: GenCall, next: Local64): void {
  if (!mem.shared) return;
  const place = local32(code, next.wrap().and(mapField(mem, map, MAP_MAX_ENTRIES) - 1));
  place.store(mapField(mem, map, RING_BASE) + RING_DATA, emitMark(next.wrap()));
}

/** Drops the lock: by one plain store, unless somebody sleeps on it (see `ring.ts`). */
function emitRelease({ code, mem, map }: GenCall, lock: Expr32, next: Local64): void {
  if (!mem.shared) return;
  when(
    // An atomic load: no compiler moves the plain store, or those before it, past it.
    lock.atomicLoad().eq(mem.owner),
    () => lock.store64(0, next.shl(32)),
    () => {
      const32(code, map).store(RING_LEFT, next.wrap());
      emitUnlock(mem, lock);
    },
  );
}

/** Bytes of a record with its header. */
function recordSize(payload: Expr32): Expr32 {
  return payload.add(BPF_RINGBUF_HDR_SZ + 7).and(~7);
}

/** Whether there is room for `total` bytes behind position `prod`, up to position `next`. */
function hasRoom(call: GenCall, prod: Local64, total: Local32, next: Local64): Expr32 {
  const { code, mem, map } = call;
  const base = const32(code, mapField(mem, map, RING_BASE));
  const mask = mapField(mem, map, MAP_MAX_ENTRIES) - 1;
  const left = emitPending(call, prod.wrap());
  // Nobody reads it there; the kernel's struct has it beside the producer position, so that user space sees it.
  base.store64(RING_PENDING_POS, prod.sub(left.extendU()));
  const consumer = mem.shared ? base.atomicLoad64() : base.load64();
  // Neither may the newest record reach the consumer, nor the oldest that is still busy.
  return left.add(total).leU(mask).and(next.sub(consumer).leU(mask));
}

/** Moves the pending position over all records that were committed since. Returns how far the producer is ahead of it. */
function emitPending({ code, mem, map }: GenCall, prod: Expr32): Local32 {
  const at = const32(code, map);
  const data = mapField(mem, map, RING_BASE) + RING_DATA;
  const mask = mapField(mem, map, MAP_MAX_ENTRIES) - 1;
  const pending = local32(code, at.load(RING_PENDING));
  const left = local32(code, prod.sub(pending));
  const length = local32(code);
  block(code, (over) => {
    loop(code, (again) => {
      over.when(left.eqz());
      length.set(pending.and(mask).load(data));
      // The highest bit: it is busy.
      over.when(length.ltS(0));
      length.set(recordSize(length.and(LENGTH_MASK)));
      // A length that user space spoiled must not lead past the producer.
      length.set(select(left.ltU(length), left, length));
      pending.set(pending.add(length));
      left.set(left.sub(length));
      again.go();
    });
  });
  at.store(RING_PENDING, pending);
  return left;
}

/** Stores the word that says that the record is complete. The other side: a consumer that reads it, then the payload. */
function emitComplete({ code, mem }: Pick<AttemptCall, "code" | "mem">, header: Local32, word: Expr32): void {
  if (!mem.shared) {
    header.store(0, word);
    return;
  }
  header.atomic(w.ATOMIC_XCHG, 0, word).push();
  code.op(w.DROP);
}

/** Completes the record, or gives it up: `ringCommit`. */
export function emitCommit(call: AttemptCall, ring: Expr32, header: Local32, flags: Operand32, discard: boolean): void {
  const length = header.load().and(LENGTH_MASK);
  emitComplete(call, header, discard ? length.or(LENGTH_MASK + 1) : length);
  emitWake(call, ring, header, flags);
}

/** Wakes the consumer where one is due. */
export function emitWake(
  { code, mem, wakeRing }: Pick<AttemptCall, "code" | "mem" | "wakeRing">,
  map: Expr32,
  header: Local32,
  given: Operand32,
): void {
  const known = typeof given === "number" ? given & WAKEUP_FLAGS : -1;
  if (known === BPF_RB_NO_WAKEUP) return;
  const flags = typeof given === "number" ? const32(code, given) : given;
  const ring = local32(code, map);
  block(code, (quiet) => {
    when(flags.and(BPF_RB_FORCE_WAKEUP).eqz(), () => {
      quiet.when(flags.and(BPF_RB_NO_WAKEUP));
      // The other side: a consumer that stores its position, then looks for the next record before it goes to sleep.
      const base = ring.load(RING_BASE);
      const consumer = mem.shared ? base.atomicLoad() : base.load();
      const offset = header.sub(ring.load(RING_BASE)).sub(RING_DATA);
      quiet.when(consumer.and(ring.load(MAP_MAX_ENTRIES).sub(1)).ne(offset));
    });
    wakeRing(ring);
  });
}
