/** Loads, stores and atomic instructions: whether the interpreter's exact check would say yes, and what they change. */
import { FUNC_HIGH, STACK_FRAME } from "../../kern/run_record.ts";
import type { Access } from "../facts.ts";
import { fetchedInto, type Op } from "../program.ts";
import type { Context } from "./context.ts";
import type { State } from "./state.ts";
import { operandOf } from "./transfer_alu.ts";
import {
  anything,
  constant,
  ELSEWHERE,
  F_COPY,
  F_HELD,
  F_NULL,
  F_WRITE,
  isNear,
  K_CTX,
  K_NUMBER,
  K_OBJECT,
  K_PACKET,
  K_REGION,
  K_STACK,
  number,
  type Val,
} from "./value.ts";

const GRANULE = 65536;

const PROVED: Access = { how: "proved" };
const STACK: Access = { how: "stack" };
const CHECK: Access = { how: "check" };

interface Place {
  /** The pointer, and what the instruction adds to it. */
  readonly pointer: Val;
  readonly off: number;
  readonly size: number;
  readonly write: boolean;
  /** It needs its natural alignment everywhere, and memory that may be both read and written. */
  readonly atomic: boolean;
}

/** Executes a load, store or atomic instruction, and says how it gets to its memory. */
export function transferMemory(context: Context, state: State, op: Op): Access {
  const { kind } = op.row;
  const size = op.row.size as number;
  if (kind === "load") {
    const place = { pointer: state.regs[op.src]!, off: op.off, size, write: false, atomic: false };
    const access = judge(context, place);
    state.regs[op.dst] = loaded(context, state, place, op.row.signed);
    return access;
  }
  if (kind === "store") {
    const place = { pointer: state.regs[op.dst]!, off: op.off, size, write: true, atomic: false };
    const access = judge(context, place);
    stored(context, state, place, operandOf(state, op));
    return access;
  }
  return transferAtomic(context, state, op, size);
}

function transferAtomic(context: Context, state: State, op: Op, size: number): Access {
  const name = op.variant?.op;
  const loads = name === "loadAcq";
  const place = {
    pointer: state.regs[loads ? op.src : op.dst]!,
    off: op.off,
    size,
    write: !loads,
    atomic: true,
  };
  const access = judge(context, place);
  if (loads) {
    state.regs[op.dst] = loaded(context, state, place, false);
    return access;
  }
  stored(context, state, place, name === "storeRel" ? state.regs[op.src]! : anything());
  const to = fetchedInto(op);
  // Where there is no page of the arena the register stays as it was.
  if (to >= 0) state.regs[to] = access === PROVED && size < 8 ? number(0, 2 ** (size * 8) - 1) : anything();
  return access;
}

/** Whether the bytes are right to touch; says to the context where the stack may be touched. */
function judge(context: Context, place: Place): Access {
  const { pointer, off, size } = place;
  const low = pointer.min + off;
  const high = pointer.max + off + size;
  context.astray = false;
  switch (pointer.kind) {
    case K_STACK:
      return judgeStack(context, place, low, high);
    case K_CTX:
      return judgeContext(context, place, low);
    case K_PACKET:
      if (packetOk(context, pointer, off, size, place.write) && (!place.atomic || size === 1)) return PROVED;
      break;
    case K_REGION:
      return judgeRegion(context, place, low, high);
    case K_NUMBER:
      if (low >= 0 && high <= GRANULE) return CHECK;
      break;
    default:
  }
  context.touchAll();
  return CHECK;
}

/** Beyond the end of a shorter context, where the interpreter goes on, may be the stack. */
function judgeContext(context: Context, { size, write, atomic }: Place, low: number): Access {
  const how = atomic ? "check" : context.contextAccess(low, size, write);
  if (how === "proved") return PROVED;
  if (!context.besideStack(low, size)) context.touchAll();
  return how === "context" ? { how, size: low + size } : CHECK;
}

function judgeStack(context: Context, { pointer, size, atomic }: Place, low: number, high: number): Access {
  if (!isNear(pointer)) {
    context.touchAll();
    return atomic ? CHECK : STACK;
  }
  context.touch(low, high);
  const aligned = low % size === 0 && pointer.step % size === 0;
  if (aligned && low >= -STACK_FRAME && high <= context.frames * STACK_FRAME) return PROVED;
  return atomic || low >= 0 ? CHECK : STACK;
}

function judgeRegion(context: Context, place: Place, low: number, high: number): Access {
  const { pointer, size, write, atomic } = place;
  const { flags } = pointer;
  const inside = low >= 0 && high <= pointer.size;
  const allowed = (!write && !atomic) || (flags & F_WRITE) !== 0;
  const copy = (flags & F_COPY) !== 0;
  if (inside && (flags & F_NULL) === 0 && allowed) {
    const even = low % size === 0 && pointer.step % size === 0;
    if ((!atomic && !copy) || (even && (size === 1 || (flags & (size * F_COPY)) === 0))) return PROVED;
  }
  // The check says yes to a store into the frame's own bytes.
  if (!inside || (write && copy)) context.touchAll();
  if (!allowed || atomic || (flags & (F_NULL | F_HELD)) !== 0 || pointer.id === ELSEWHERE || size > pointer.size) {
    return CHECK;
  }
  return { how: "window", from: pointer.id, size: pointer.size };
}

/** Whether memory at this value may lie on the stack. */
export function mayBeStack(v: Val, size: number): boolean {
  if (v.kind === K_NUMBER) return v.min < 0 || v.max + size > GRANULE;
  if (v.kind === K_REGION) return (v.flags & F_COPY) !== 0 || v.min < 0 || v.max + size > v.size;
  return v.kind !== K_PACKET || v.min < 0 || v.off + size > v.room;
}

export function packetOk(context: Context, p: Val, off: number, size: number, write: boolean): boolean {
  return p.min + off >= 0 && p.off + off + size <= p.room && (!write || context.packetWritable);
}

function loaded(context: Context, state: State, { pointer, off, size }: Place, signed: boolean): Val {
  const at = pointer.min + off;
  if (!signed) {
    if (pointer.kind === K_CTX) {
      // Another kind of program's field: the access is refused, and nothing goes on.
      const known = context.packetBound(at, size) ?? context.shownBy(at, size);
      if (known !== undefined) return known;
    }
    if (pointer.kind === K_STACK && pointer.step === 0 && at >= -STACK_FRAME && at + size <= 0) {
      const kept = state.get(at, size);
      if (kept !== undefined && kept.kind !== K_OBJECT) return kept;
    }
  }
  if (size === 8) return anything();
  const half = 2 ** (size * 8 - 1);
  return signed ? number(-half, half - 1) : number(0, 2 * half - 1);
}

/** What a store that was judged changes of the frame. */
function stored(context: Context, state: State, { pointer, off, size }: Place, v: Val): void {
  if (pointer.kind !== K_STACK) {
    if (context.astray) {
      state.dropSlots();
      context.wroteAnywhere();
    }
    return;
  }
  const low = pointer.min + off;
  const constantPlace = pointer.step === 0 && low >= -STACK_FRAME && low + size <= 0 && low % size === 0;
  if (constantPlace) state.put(low, size, v);
  else context.wrote(state, low, pointer.max + off + size);
}

/** A 64-bit immediate. */
export function transferImmediate(context: Context, state: State, op: Op): void {
  const low = op.imm >>> 0;
  const known = op.high === 0 ? context.address(low) : op.high === FUNC_HIGH ? context.functionAt(low) : undefined;
  state.regs[op.dst] = known ?? constant((op.high | 0) * 2 ** 32 + low);
}
