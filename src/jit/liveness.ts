/**
 * Registers that a function reads although only the interpreter knows what is in them: the caller's r0 and r6 .. r9, and
 * r1 .. r5 as a function left them. The kernel's verifier refuses such programs.
 */
import { planOfCall } from "../vm/call.ts";
import { type Block, type Func, fetchedInto, type JitProgram, type Op } from "./program.ts";

const R0 = 1;
const SCRATCH = 0b11_1110;
const CALLERS = 0b11_1100_0001;

/** What an instruction does with registers, as one number: a bit for each that it reads, and above them for each it writes. */
const WRITES = 11;
const REGISTERS = 0x7ff;
/** What is in r1 .. r5 afterwards nobody can tell. */
const SPOILS: number = 1 << 22;

function use(reads: number, writes: number, spoils: boolean): number {
  return reads | (writes << WRITES) | (spoils ? SPOILS : 0);
}

/** Which of r1 .. r5 a function reads, as bits, by its first instruction. */
export type ArgumentsRead = ReadonlyMap<number, number>;

function useOf(op: Op): number {
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
    const old = fetchedInto(op);
    if (old >= 0) writes |= 1 << old;
    if (variant?.op === "cmpxchg") reads |= R0;
  }
  if (row.kind === "ldPacket") {
    reads |= 1 << 6;
    writes |= R0 | SCRATCH;
  }
  if (row.kind !== "call") return use(reads, writes, false);
  if (variant?.op === "local") return use(0, R0, true);
  const { callable } = planOfCall(op.src, op.imm);
  const args = ((1 << callable.args.length) - 1) << 1;
  return use(args, R0, callable.callback !== undefined || callable.result === "program");
}

/** A local call's target. */
function calledBy({ row, variant, index, imm }: Op): number | undefined {
  return row.kind === "call" && variant?.op === "local" ? index + 1 + imm : undefined;
}

/** Whether a function of the program calls the one that begins there. */
export function isCalled({ functions }: JitProgram, start: number): boolean {
  return functions.some(({ calls }) => calls.some((op) => calledBy(op) === start));
}

/**
 * Why the program cannot be compiled; undefined: it can. The registers of its first function are known, unless that is
 * called too. `isCallback`: whether helpers may call the function that begins there.
 */
export function readsTheUnknown(
  program: JitProgram,
  args: ArgumentsRead,
  isCallback: (start: number) => boolean,
): string | undefined {
  // All registers of the one function are known.
  if (isAlone(program)) return undefined;
  const { functions } = program;
  const uses = usesOf(program);
  const returned = returnCallers(program, uses, args);
  if (typeof returned === "string") return returned;
  const called = isCalled(program, 0);
  for (const func of functions) {
    const first = func.start === 0 && !called;
    const live = liveAtEntry(func, uses, args, returned, first || isCallback(func.start));
    if (typeof live === "string") return live;
    if (!first && (live & CALLERS) !== 0) return readsCaller(func.start);
  }
  return undefined;
}

/** Whether there is but one function, which is called by none. */
function isAlone({ functions }: JitProgram): boolean {
  return functions.length === 1 && functions[0]!.calls.every((op) => (useOf(op) & SPOILS) === 0);
}

/** By the instruction's index. */
function usesOf({ functions, insnCount }: JitProgram): Int32Array {
  const uses = new Int32Array(insnCount);
  for (const { blocks } of functions) for (const { ops } of blocks) for (const op of ops) uses[op.index] = useOf(op);
  return uses;
}

/** What functions read, and what they hand on to others that do. Or why nothing is compiled. */
export function argumentsRead(program: JitProgram): ArgumentsRead | string {
  const { functions } = program;
  // To give it all costs less than to look which.
  if (isAlone(program)) return new Map([[functions[0]!.start, SCRATCH]]);
  const known = new Map<number, number>();
  const none: ReadonlySet<number> = new Set();
  const uses = usesOf(program);
  for (let changed = true; changed; ) {
    changed = false;
    for (const func of functions) {
      const live = liveAtEntry(func, uses, known, none, false);
      if (typeof live === "string") return live;
      if ((live & SCRATCH) === known.get(func.start)) continue;
      known.set(func.start, live & SCRATCH);
      changed = functions.length > 1;
    }
  }
  return known;
}

function readsCaller(start: number): string {
  return `the function at instruction ${start} reads registers of its caller`;
}

/** First instructions of functions that may return their caller's r0: those without a result. Or why nothing is compiled. */
function returnCallers({ functions }: JitProgram, uses: Int32Array, args: ArgumentsRead): ReadonlySet<number> | string {
  const returned = new Set<number>();
  for (let size = -1; size !== returned.size; ) {
    size = returned.size;
    for (const func of functions) {
      const live = liveAtEntry(func, uses, args, returned, true, true);
      if (typeof live === "string") return live;
      if ((live & R0) !== 0) returned.add(func.start);
    }
  }
  return returned;
}

/**
 * Registers that are read before anything is put into them. `result`: its r0 counts as read at the end. `through`: what a
 * function without a result returns is traced to what was in r0 before the call; else to read it is a reason.
 */
function liveAtEntry(
  func: Func,
  uses: Int32Array,
  args: ArgumentsRead,
  returned: ReadonlySet<number>,
  result: boolean,
  through = false,
): number | string {
  const live: number[] = func.blocks.map(() => 0);
  const walk = ({ ops, next }: Block): number | string => {
    let now = 0;
    for (const to of next) now |= live[to]!;
    for (let i = ops.length - 1; i >= 0; i--) {
      const op = ops[i]!;
      const used = uses[op.index]!;
      const writes = (used >>> WRITES) & REGISTERS;
      if ((used & SPOILS) !== 0 && (now & SCRATCH) !== 0)
        return `what instruction ${op.index} leaves in r1 to r5 is read`;
      const callee = calledBy(op);
      const passes = callee !== undefined && returned.has(callee) && (now & R0) !== 0;
      if (passes && !through) return readsCaller(callee);
      const given = callee === undefined ? 0 : (args.get(callee) ?? 0);
      now = (now & ~(passes ? writes & ~R0 : writes)) | (used & REGISTERS) | given;
      if (result && op.row.kind === "exit") now |= R0;
    }
    return now;
  };
  for (let changed = true; changed; ) {
    changed = false;
    for (let id = func.blocks.length - 1; id >= 0; id--) {
      const before = walk(func.blocks[id]!);
      if (typeof before === "string") return before;
      if (before === live[id]) continue;
      live[id] = before;
      changed = true;
    }
  }
  return live[0]!;
}
