/** What generated code of several map types is made of: locks of a shared host, and copies of a known size. */
import type { Memory } from "../mem/memory.ts";
import type { Code } from "../wasm/code.ts";
import * as w from "../wasm/opcodes.ts";

/** More bytes than this go through one instruction for all, which is slow to begin. */
const MAX_UNROLLED = 128;

/**
 * Takes the lock as `lock` does where nobody holds it. Else `contended` leaves the operation's result on the stack, and
 * that is what the block `done` ends with.
 */
export function emitLock(code: Code, mem: Memory, address: number, done: number, contended: () => void): void {
  if (!mem.shared) return;
  code.i32(address);
  code.i32(0);
  code.i32(mem.owner);
  code.atomic(w.ATOMIC_CMPXCHG, 4);
  code.open(w.IF);
  contended();
  code.br(done);
  code.end();
}

/** Drops the lock and wakes one who sleeps on it. */
export function emitUnlock(code: Code, mem: Memory, address: number): void {
  emitUnlockAt(code, mem, () => code.i32(address));
}

/** The same for an address that is known at run time only: it is put on the stack, twice. */
export function emitUnlockAt(code: Code, mem: Memory, pushAddress: () => void): void {
  if (!mem.shared) return;
  pushAddress();
  code.i32(0);
  code.atomic(w.ATOMIC_XCHG, 4);
  code.i32(0);
  code.op(w.I32_LT_S);
  code.open(w.IF);
  pushAddress();
  code.i32(1);
  code.atomic(w.ATOMIC_NOTIFY, 4);
  code.op(w.DROP);
  code.end();
}

/** Stores the i32 in a local so that who sees it sees all that was stored before. */
export function emitPublish(code: Code, mem: Memory, address: number, value: number): void {
  code.get(address);
  code.get(value);
  if (mem.shared) code.atomic(w.I32_ATOMIC_STORE, 4);
  else code.memory(w.I32_STORE);
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

/** Copies `size` bytes between places that do not overlap, whose addresses are in locals: to `offset` behind the first. */
export function emitCopy(code: Code, to: number, from: number, size: number, offset = 0): void {
  if (size > MAX_UNROLLED) {
    code.get(to);
    code.i32(offset);
    code.op(w.I32_ADD);
    code.get(from);
    code.i32(size);
    code.bulk(w.MEMORY_COPY);
    return;
  }
  eachPiece(size, ([, load, store], at) => {
    code.get(to);
    code.get(from);
    code.memory(load, at);
    code.memory(store, offset + at);
  });
}

export function emitZero(code: Code, at: number, size: number): void {
  if (size > MAX_UNROLLED) {
    code.get(at);
    code.i32(0);
    code.i32(size);
    code.bulk(w.MEMORY_FILL);
    return;
  }
  eachPiece(size, ([bytes, , store], offset) => {
    code.get(at);
    if (bytes === 8) code.i64(0, 0);
    else code.i32(0);
    code.memory(store, offset);
  });
}
