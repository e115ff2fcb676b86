/**
 * Atomic instructions: on a shared host as WebAssembly has them, on an exclusive one as plain loads and stores. Memory
 * that is not proved goes through the interpreter. RFC 9669, section 5.3; ordered loads and stores of Linux 6.15.
 */
import type { AtomicOp } from "../insn/index.ts";
import * as w from "../wasm/opcodes.ts";
import { emitAddress, emitLoad, emitStore, sizeOf } from "./emit_memory.ts";
import { emitSingle } from "./emit_single.ts";
import type { Emitter } from "./emitter.ts";
import type { Op } from "./program.ts";

interface Operation {
  readonly fetch: boolean;
  /** Of memory that threads share; the 64-bit one is the next opcode. */
  readonly atomic: number;
  /** Old and new value → what is stored, 32 and 64 bits; undefined: the new value. */
  readonly plain?: readonly [number, number];
}

const add = { atomic: w.ATOMIC_ADD, plain: [w.I32_ADD, w.I64_ADD] } as const;
const or = { atomic: w.ATOMIC_OR, plain: [w.I32_OR, w.I64_OR] } as const;
const and = { atomic: w.ATOMIC_AND, plain: [w.I32_AND, w.I64_AND] } as const;
const xor = { atomic: w.ATOMIC_XOR, plain: [w.I32_XOR, w.I64_XOR] } as const;

const operations: Readonly<Record<Exclude<AtomicOp, "loadAcq" | "storeRel" | "cmpxchg">, Operation>> = {
  add: { ...add, fetch: false },
  or: { ...or, fetch: false },
  and: { ...and, fetch: false },
  xor: { ...xor, fetch: false },
  fetchAdd: { ...add, fetch: true },
  fetchOr: { ...or, fetch: true },
  fetchAnd: { ...and, fetch: true },
  fetchXor: { ...xor, fetch: true },
  xchg: { atomic: w.ATOMIC_XCHG, fetch: true },
};

export function emitAtomic(e: Emitter, op: Op): void {
  const name = op.variant!.op as AtomicOp;
  const base = name === "loadAcq" ? op.src : op.dst;
  if (e.unit.facts.access[op.index]?.how !== "proved") {
    throughInterpreter(e, op, name);
    return;
  }
  alignedAddress(e, op, base);
  if (name === "loadAcq") {
    emitLoad(e, op);
    fence(e);
  } else if (name === "storeRel") {
    fence(e);
    emitStore(e, op);
  } else if (name === "cmpxchg") {
    compareExchange(e, op);
  } else {
    modify(e, op, operations[name]);
  }
}

function throughInterpreter(e: Emitter, op: Op, name: AtomicOp): void {
  if (name === "loadAcq") emitSingle(e, op, [op.src], [op.dst]);
  else if (name === "cmpxchg") emitSingle(e, op, [op.dst, op.src, 0], [0]);
  else if (name === "storeRel") emitSingle(e, op, [op.dst, op.src], []);
  else emitSingle(e, op, [op.dst, op.src], operations[name].fetch ? [op.src] : []);
}

function fence({ unit, code }: Emitter): void {
  if (unit.mem.shared) code.fence(w.ATOMIC_FENCE);
}

/** Into `address`. Proved memory may still lie across words: then the interpreter tells what is wrong. */
function alignedAddress(e: Emitter, op: Op, base: number): void {
  const { code } = e;
  const offset = emitAddress(e, op, base);
  code.i32(offset);
  code.op(w.I32_ADD);
  code.tee(e.address);
  code.i32(sizeOf(op) - 1);
  code.op(w.I32_AND);
  code.open(w.IF);
  emitSingle(e, op, [op.dst, op.src, 0], []);
  code.end();
}

/** The operand, cut to the access. */
function value(e: Emitter, register: number, size: number): void {
  e.get(register);
  if (size === 4) e.code.op(w.I32_WRAP_I64);
}

/** The old value on the stack, into a register. */
function keepOld(e: Emitter, register: number, size: number): void {
  if (size === 4) e.code.op(w.I64_EXTEND_I32_U);
  e.set(register);
}

function modify(e: Emitter, op: Op, { fetch, atomic, plain }: Operation): void {
  const { code } = e;
  const size = sizeOf(op) as 4 | 8;
  if (e.unit.mem.shared) {
    code.get(e.address);
    value(e, op.src, size);
    code.atomic(size === 4 ? atomic : atomic + 1, size);
    if (fetch) keepOld(e, op.src, size);
    else code.op(w.DROP);
    return;
  }
  const load = size === 4 ? w.I64_LOAD32_U : w.I64_LOAD;
  if (fetch) {
    code.get(e.address);
    code.memory(load);
    code.set(e.wide);
  }
  code.get(e.address);
  if (plain !== undefined) {
    if (fetch) {
      code.get(e.wide);
    } else {
      code.get(e.address);
      code.memory(load);
    }
  }
  e.get(op.src);
  if (plain !== undefined) code.op(plain[1]);
  code.memory(size === 4 ? w.I64_STORE32 : w.I64_STORE);
  if (!fetch) return;
  code.get(e.wide);
  e.set(op.src);
}

/** Stores src where r0 stands; r0 becomes what stood there. */
function compareExchange(e: Emitter, op: Op): void {
  const { code } = e;
  const size = sizeOf(op) as 4 | 8;
  if (e.unit.mem.shared) {
    code.get(e.address);
    value(e, 0, size);
    value(e, op.src, size);
    code.atomic(size === 4 ? w.ATOMIC_CMPXCHG : w.ATOMIC_CMPXCHG + 1, size);
    keepOld(e, 0, size);
    return;
  }
  code.get(e.address);
  code.memory(size === 4 ? w.I64_LOAD32_U : w.I64_LOAD);
  code.tee(e.wide);
  e.get(0);
  if (size === 4) {
    code.op(w.I32_WRAP_I64, w.I64_EXTEND_I32_U);
  }
  code.op(w.I64_EQ);
  code.open(w.IF);
  code.get(e.address);
  e.get(op.src);
  code.memory(size === 4 ? w.I64_STORE32 : w.I64_STORE);
  code.end();
  code.get(e.wide);
  e.set(0);
}
