/** What generated code of several map types is made of: locks of a shared host, and copies of a known size. */
import type { Memory } from "../mem/memory.ts";
import { type Expr32, type Local32, local32, local64, type Operand32, when } from "../wasm/expr.ts";
import * as w from "../wasm/opcodes.ts";

/** More bytes than this go through one instruction for all, which is slow to begin. */
const MAX_UNROLLED = 128;
/** Values of more CPUs than this are copied in TypeScript. */
export const MAX_CPUS = 16;

/** Takes the lock as `lock` does where nobody holds it. Else `contended` is done, which must leave. */
export function emitLock(mem: Memory, lock: Expr32, contended: () => void): void {
  if (mem.shared) when(lock.cmpxchg(0, 0, mem.owner), contended);
}

/** Drops the lock and wakes one who sleeps on it. */
export function emitUnlock(mem: Memory, lock: Expr32): void {
  if (!mem.shared) return;
  const { code } = lock;
  when(lock.atomic(w.ATOMIC_XCHG, 0, 0).ltS(0), () => {
    lock.atomic(w.ATOMIC_NOTIFY, 0, 1).push();
    code.op(w.DROP);
  });
}

/** Stores the i32 so that who sees it sees all that was stored before. */
export function emitPublish(mem: Memory, address: Expr32, value: Expr32): void {
  if (mem.shared) address.atomicStore(0, value);
  else address.store(0, value);
}

/** `countUp` (map.ts). */
export function emitCountUp(mem: Memory, counter: Expr32, by: Local32): void {
  if (!mem.shared) {
    counter.store64(0, counter.load64().add(by.extendU()));
    return;
  }
  when(counter.atomic(w.ATOMIC_ADD, 0, by).add(by).ltU(by), () => {
    counter.atomic(w.ATOMIC_ADD, 4, 1).push();
    counter.code.op(w.DROP);
  });
}

/** [bytes, load, store], the largest first. */
const pieces = [
  [8, w.I64_LOAD, w.I64_STORE],
  [4, w.I32_LOAD, w.I32_STORE],
  [2, w.I32_LOAD16_U, w.I32_STORE16],
  [1, w.I32_LOAD8_U, w.I32_STORE8],
] as const;

/** Calls back with each piece of `size` bytes and its offset. */
function eachPiece(size: number, visit: (piece: (typeof pieces)[number], offset: number) => void): void {
  let offset = 0;
  for (const piece of pieces) for (; offset + piece[0] <= size; offset += piece[0]) visit(piece, offset);
}

/** Copies `size` bytes between places that do not overlap, unless they are many: to `offset` behind `to`. */
export function emitCopy(to: Local32, from: Local32, size: number, offset = 0): void {
  const { code } = to;
  if (size > MAX_UNROLLED) {
    to.add(offset).push();
    from.push();
    code.i32(size);
    code.bulk(w.MEMORY_COPY);
    return;
  }
  eachPiece(size, ([, load, store], at) => {
    to.push();
    from.push();
    code.memory(load, at);
    code.memory(store, offset + at);
  });
}

/** As `Memory.copy`: the places may overlap. All is read before any is written, and aligned words move whole. */
export function emitMove(to: Local32, from: Local32, size: number, offset = 0): void {
  const { code } = to;
  if (size > MAX_UNROLLED) {
    emitCopy(to, from, size, offset);
    return;
  }
  const stores: (() => void)[] = [];
  eachPiece(size, ([bytes, load, store], at) => {
    const local = bytes === 8 ? local64(code) : local32(code);
    from.push();
    code.memory(load, at);
    code.set(local.index);
    stores.push(() => {
      to.push();
      local.push();
      code.memory(store, offset + at);
    });
  });
  for (const store of stores) store();
}

/** The values of all CPUs, so far apart, one behind the other: see `copyPercpuOut`. */
export function emitCopyCpus(to: Local32, from: Local32, stride: number, span: Operand32, cpus: number): void {
  for (let cpu = 0; cpu < cpus; cpu++) {
    emitCopy(to, from, stride, cpu * stride);
    from.set(from.add(span));
  }
}

export function emitZero(at: Local32, size: number): void {
  const { code } = at;
  if (size > MAX_UNROLLED) {
    at.push();
    code.i32(0);
    code.i32(size);
    code.bulk(w.MEMORY_FILL);
    return;
  }
  eachPiece(size, ([bytes, , store], offset) => {
    at.push();
    if (bytes === 8) code.i64(0, 0);
    else code.i32(0);
    code.memory(store, offset);
  });
}
