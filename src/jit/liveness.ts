/**
 * Registers that a function reads although only the interpreter knows what is in them: the caller's r0 and r6 .. r9, and
 * r1 .. r5 as a function left them. The kernel's verifier refuses such programs.
 */
import type { AtomicOp } from "../insn/index.ts";
import { planOfCall } from "../vm/call.ts";
import type { Func, Op } from "./program.ts";

const R0 = 1;
const SCRATCH = 0b11_1110;
const CALLERS = 0b11_1100_0001;

interface Use {
  readonly reads: number;
  readonly writes: number;
  /** What is in r1 .. r5 afterwards nobody can tell. */
  readonly spoils: boolean;
}

const FETCHES: ReadonlySet<AtomicOp> = new Set<AtomicOp>(["fetchAdd", "fetchOr", "fetchAnd", "fetchXor", "xchg"]);

function useOf(op: Op): Use {
  const { row, variant } = op;
  const dst = variant?.dst ?? row.dst;
  const src = variant?.src ?? row.src;
  let reads = 0;
  let writes = 0;
  if (dst === "read" || dst === "readWrite") reads |= 1 << op.dst;
  if (dst === "write" || dst === "readWrite") writes |= 1 << op.dst;
  if (src === "read" || src === "readWrite") reads |= 1 << op.src;
  if (src === "write" || src === "readWrite") writes |= 1 << op.src;
  if (row.kind === "atomic") {
    const name = variant!.op as AtomicOp;
    if (FETCHES.has(name)) writes |= 1 << op.src;
    if (name === "cmpxchg") {
      reads |= R0;
      writes |= R0;
    }
  }
  if (row.kind === "ldPacket") {
    reads |= 1 << 6;
    writes |= R0 | SCRATCH;
  }
  if (row.kind !== "call") return { reads, writes, spoils: false };
  if (variant?.op === "local") return { reads: 0, writes: R0, spoils: true };
  const { callable } = planOfCall(op.src, op.imm);
  const args = ((1 << callable.args.length) - 1) << 1;
  return { reads: args, writes: R0, spoils: callable.callback !== undefined || callable.result === "program" };
}

/** Why the function cannot be compiled; undefined: it can. `first`: it is the program's first, whose registers are known. */
export function readsTheUnknown(func: Func, first: boolean): string | undefined {
  const live: number[] = func.blocks.map(() => 0);
  for (let changed = true; changed; ) {
    changed = false;
    for (let id = func.blocks.length - 1; id >= 0; id--) {
      const before = walk(func, id, live);
      if (typeof before === "string") return before;
      if (before === live[id]) continue;
      live[id] = before;
      changed = true;
    }
  }
  if (first || (live[0]! & CALLERS) === 0) return undefined;
  return `the function at instruction ${func.start} reads registers of its caller`;
}

function walk(func: Func, id: number, live: readonly number[]): number | string {
  const block = func.blocks[id]!;
  let now = 0;
  for (const to of block.next) now |= live[to]!;
  for (let i = block.ops.length - 1; i >= 0; i--) {
    const op = block.ops[i]!;
    const { reads, writes, spoils } = useOf(op);
    if (spoils && (now & SCRATCH) !== 0) {
      return `what instruction ${op.index} leaves in r1 to r5 is read`;
    }
    now = (now & ~writes) | reads;
  }
  return now;
}
