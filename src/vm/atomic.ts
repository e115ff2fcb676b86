/**
 * Atomic instructions: on memory that other threads see through JS `Atomics`, on an exclusive host as plain arithmetic.
 * Section 5.3 of RFC 9669, and the ordered loads and stores of Linux 6.15.
 */
import type { AtomicOp, InsnVariant } from "../insn/index.ts";
import { RUN_ABSENT_WRITE, RUN_WORD } from "../kern/run_record.ts";
import { accessAt, alignedAt } from "./access.ts";
import type { Handler } from "./handler.ts";
import { loads, stores } from "./load_store.ts";
import type { Machine } from "./machine.ts";

/** What becomes of a half of the old value; `add` also carries, `xchg` and `cmpxchg` store what they are given. */
type Modify = "add" | "or" | "and" | "xor" | "xchg" | "cmpxchg";

interface Operation {
  readonly modify: Modify;
  readonly fetch: boolean;
}

const operations: Readonly<Record<Exclude<AtomicOp, "loadAcq" | "storeRel">, Operation>> = {
  add: { modify: "add", fetch: false },
  or: { modify: "or", fetch: false },
  and: { modify: "and", fetch: false },
  xor: { modify: "xor", fetch: false },
  fetchAdd: { modify: "add", fetch: true },
  fetchOr: { modify: "or", fetch: true },
  fetchAnd: { modify: "and", fetch: true },
  fetchXor: { modify: "xor", fetch: true },
  xchg: { modify: "xchg", fetch: true },
  cmpxchg: { modify: "cmpxchg", fetch: true },
};

/** The handler of an opcode whose operation stands in imm. */
export function atomicHandler(size: 1 | 2 | 4 | 8, variants: readonly InsnVariant[]): Handler {
  const byImm = new Map<number, Handler>();
  for (const { value, op } of variants) byImm.set(value, variantHandler(size, op as AtomicOp));
  return (m, d, low, high, w, imm) => byImm.get(imm)!(m, d, low, high, w, imm);
}

function variantHandler(size: 1 | 2 | 4 | 8, op: AtomicOp): Handler {
  if (op === "loadAcq") return loadAcquire(size);
  if (op === "storeRel") return storeRelease(size);
  const { modify, fetch } = operations[op];
  return size === 4 ? atomic32(modify, fetch) : atomic64(modify, fetch);
}

function loadAcquire(size: 1 | 2 | 4 | 8): Handler {
  const load = loads[size];
  return (m, d, low, high, w, imm) => {
    if (alignedAt(m, low >>> 0, high, w >> 16, size, false) === 0) return;
    load(m, d, low, high, w, imm);
    if (m.mem.shared) fence(m);
  };
}

function storeRelease(size: 1 | 2 | 4 | 8): Handler {
  const store = stores[size];
  return (m, d, low, high, w, imm) => {
    if (alignedAt(m, m.u32[d]!, m.i32[d + 1]!, w >> 16, size, true) === 0) return;
    if (m.mem.shared) fence(m);
    store(m, d, low, high, w, imm);
  };
}

/** Orders this thread's accesses around here: what it wrote before is seen before what it writes from now on. */
function fence(m: Machine): void {
  Atomics.add(m.u32, (m.run + RUN_WORD) >>> 2, 0);
}

/**
 * Address of the word; an atomic instruction reads and writes, so both rights are needed. 0 without a fault: it lies in a
 * page of the arena that is not there, and no register changes.
 */
function wordAt(m: Machine, d: number, w: number, size: number): number {
  const low = m.u32[d]!;
  const high = m.i32[d + 1]!;
  const at = alignedAt(m, low, high, w >> 16, size, true);
  return at === 0 || at === m.run + RUN_ABSENT_WRITE ? 0 : accessAt(m, low, high, w >> 16, size, false);
}

function source(m: Machine, w: number): number {
  return m.regs + ((w >>> 11) & 30);
}

function atomic32(modify: Modify, fetch: boolean): Handler {
  return (m, d, low, _high, w) => {
    const at = wordAt(m, d, w, 4) >>> 2;
    if (at === 0) return;
    const expected = m.u32[m.regs]!;
    const old = m.mem.shared ? shared32(m.u32, at, modify, low, expected) : plain32(m.u32, at, modify, low, expected);
    if (!fetch) return;
    const to = modify === "cmpxchg" ? m.regs : source(m, w);
    m.u32[to] = old;
    m.u32[to + 1] = 0;
  };
}

function plain32(u32: Uint32Array, at: number, modify: Modify, value: number, expected: number): number {
  const old = u32[at]!;
  if (modify !== "cmpxchg" || old === expected) u32[at] = modifiedHalf(modify, old, value);
  return old;
}

function shared32(u32: Uint32Array, at: number, modify: Modify, value: number, expected: number): number {
  switch (modify) {
    case "add":
      return Atomics.add(u32, at, value);
    case "or":
      return Atomics.or(u32, at, value);
    case "and":
      return Atomics.and(u32, at, value);
    case "xor":
      return Atomics.xor(u32, at, value);
    case "xchg":
      return Atomics.exchange(u32, at, value);
    case "cmpxchg":
      return Atomics.compareExchange(u32, at, expected, value);
    default:
      return modify satisfies never;
  }
}

function modifiedHalf(modify: Modify, old: number, value: number): number {
  switch (modify) {
    case "add":
      return old + value;
    case "or":
      return old | value;
    case "and":
      return old & value;
    case "xor":
      return old ^ value;
    case "xchg":
    case "cmpxchg":
      return value;
    default:
      return modify satisfies never;
  }
}

function atomic64(modify: Modify, fetch: boolean): Handler {
  return (m, d, low, high, w) => {
    const at = wordAt(m, d, w, 8) >>> 2;
    if (at === 0) return;
    const to = modify === "cmpxchg" ? m.regs : source(m, w);
    if (m.mem.shared) {
      const { u64 } = m.mem;
      const old = shared64(u64, at >>> 1, modify, u64[source(m, w) >>> 1]!, u64[m.regs >>> 1]!);
      if (fetch) u64[to >>> 1] = old;
      return;
    }
    const { u32 } = m;
    const oldLow = u32[at]!;
    const oldHigh = u32[at + 1]!;
    if (modify !== "cmpxchg" || (oldLow === u32[m.regs] && oldHigh === u32[m.regs + 1])) {
      const sum = modifiedHalf(modify, oldLow, low >>> 0);
      u32[at] = sum;
      u32[at + 1] = modifiedHalf(modify, oldHigh, high) + (modify === "add" && sum > 0xffff_ffff ? 1 : 0);
    }
    if (!fetch) return;
    u32[to] = oldLow;
    u32[to + 1] = oldHigh;
  };
}

function shared64(u64: BigUint64Array, at: number, modify: Modify, value: bigint, expected: bigint): bigint {
  switch (modify) {
    case "add":
      return Atomics.add(u64, at, value);
    case "or":
      return Atomics.or(u64, at, value);
    case "and":
      return Atomics.and(u64, at, value);
    case "xor":
      return Atomics.xor(u64, at, value);
    case "xchg":
      return Atomics.exchange(u64, at, value);
    case "cmpxchg":
      return Atomics.compareExchange(u64, at, expected, value);
    default:
      return modify satisfies never;
  }
}
