/** What arithmetic, moves and byte swaps make of registers. Sections 4.1, 4.2 and 5.4 of RFC 9669. */
import type { AluOp } from "../../insn/index.ts";
import type { Op } from "../program.ts";
import * as math from "./arithmetic.ts";
import type { Context } from "./context.ts";
import type { State } from "./state.ts";
import {
  anything,
  constant,
  ctx,
  F_META,
  F_NULL,
  gcd,
  isConstant,
  isNear,
  isNumeric,
  isU32,
  K_CTX,
  K_NUMBER,
  K_PACKET,
  K_PACKET_END,
  K_REGION,
  K_STACK,
  linked,
  moved,
  NO_ROOM,
  number,
  packet,
  UNKNOWN,
  type Val,
} from "./value.ts";

/** Where a packet pointer may be from the packet's beginning on: so that its address is one number, whatever it is. */
const PACKET_LOW = -32768;
const PACKET_HIGH: number = 2 ** 41;
/** Numbers that are further apart are not linked. */
const LINK_FAR: number = 2 ** 32;

/** The second operand of an instruction; `imm` is sign-extended. */
export function operandOf(state: State, op: Op): Val {
  return op.row.operand === "reg" ? state.regs[op.src]! : constant(op.imm);
}

export function transferAlu(context: Context, state: State, op: Op): void {
  const { regs } = state;
  const { row, dst } = op;
  const name = row.op as AluOp;
  if (name === "neg") {
    regs[dst] = row.bits === 64 ? math.negate64(regs[dst]!) : math.negate32(regs[dst]!);
    return;
  }
  const operand = operandOf(state, op);
  if (name === "mov") {
    regs[dst] = movedTo(op, operand);
    return;
  }
  const signed = op.variant?.op === "sdiv" || op.variant?.op === "smod";
  const old = regs[dst]!;
  if (row.bits === 64 && (isPointer(old) || isPointer(operand))) {
    regs[dst] = pointerMath(context, name, old, operand);
    return;
  }
  regs[dst] = (row.bits === 32 ? math.operate32 : math.operate64)(name, old, operand, signed);
  if ((name === "add" || name === "sub") && isConstant(operand)) link(context, state, op, old, operand.min);
}

/** A number was made from another by a constant: while that one is there, what is found out of one goes for both. */
function link(context: Context, state: State, { row, dst }: Op, old: Val, operand: number): void {
  const { regs } = state;
  const made = regs[dst]!;
  const by = row.bits === 32 ? operand | 0 : operand;
  const distance = row.op === "add" ? by : -by;
  if (old === UNKNOWN || !isNumeric(old) || isConstant(old) || Math.abs(distance) > LINK_FAR) return;
  // Lower halves: where none of the sums may wrap, and what they are made from has no upper half.
  if (row.bits === 32 && !(isU32(old) && old.min + distance >= 0 && old.max + distance <= 0xffff_ffff)) return;
  const off = old.off + distance;
  if (old.id !== 0) {
    if (Math.abs(off) <= LINK_FAR) regs[dst] = linked(made, old.id, off);
  } else if (state.holds(old)) {
    const id = context.newBase();
    state.replace(old, linked(old, id, 0));
    regs[dst] = linked(made, id, distance);
  }
}

function movedTo({ row, variant }: Op, v: Val): Val {
  if (variant?.op === "addrSpaceCast") return anything();
  const width = variant?.op === "movsx" ? variant.width : 0;
  if (row.bits === 64) return width === 0 ? v : math.signExtended(v, width);
  return math.lowHalf(width === 0 ? v : math.signExtended(v, width));
}

export function transferByteOrder(state: State, op: Op): void {
  const v = state.regs[op.dst]!;
  const width = op.imm;
  const swaps = op.row.variants[0]?.op !== "toLe";
  if (swaps) state.regs[op.dst] = number(0, 2 ** width - 1);
  else if (width !== 64) state.regs[op.dst] = math.zeroExtended(v, width);
}

function isPointer({ kind }: Val): boolean {
  return kind === K_STACK || kind === K_REGION || kind === K_PACKET || kind === K_PACKET_END || kind === K_CTX;
}

function pointerMath(context: Context, op: AluOp, a: Val, b: Val): Val {
  if (op === "add") return isPointer(a) ? shifted(context, a, b, 1) : shifted(context, b, a, 1);
  if (op !== "sub" || !isPointer(a)) return anything();
  return isPointer(b) ? distance(a, b) : shifted(context, a, b, -1);
}

/** The pointer + by, or - by. */
function shifted(context: Context, p: Val, by: Val, sign: 1 | -1): Val {
  const known = by.kind === K_NUMBER;
  const min = known ? (sign === 1 ? by.min : -by.max) : Number.NEGATIVE_INFINITY;
  const max = known ? (sign === 1 ? by.max : -by.min) : Number.POSITIVE_INFINITY;
  switch (p.kind) {
    case K_STACK:
      return moved(p, p.min + min, p.max + max, known ? gcd(p.step, by.step) : 1);
    case K_REGION:
      // Once it has moved, NULL is told from the region by no comparison.
      if ((p.flags & F_NULL) !== 0) return isConstant(by) && by.min === 0 ? p : anything();
      return moved(p, p.min + min, p.max + max, known ? gcd(p.step, by.step) : 1);
    case K_CTX:
      return min === max && Math.abs(p.min + min) < 2 ** 31 ? ctx(p.min + min) : anything();
    case K_PACKET:
      return shiftedPacket(context, p, min, max);
    default:
      return anything();
  }
}

function shiftedPacket(context: Context, p: Val, min: number, max: number): Val {
  const low = p.min + min;
  const high = p.max + max;
  if (!(low >= PACKET_LOW && high <= PACKET_HIGH)) return anything();
  if (min === max) return packet(p.id, p.off + min, low, high, p.room, p.flags);
  // What was known of the bytes behind holds for as many less as it may have moved.
  const room = p.room === NO_ROOM ? NO_ROOM : p.room - p.off - max;
  return packet(context.newBase(), 0, low, high, room, p.flags);
}

function distance(a: Val, b: Val): Val {
  if (a.kind === K_STACK && b.kind === K_STACK && isNear(a) && isNear(b)) return math.subtract(a, b);
  if (b.kind !== K_PACKET || (b.flags & F_META) !== 0) return anything();
  if (a.kind === K_PACKET_END) return number(-b.max, 2 ** 32 - b.min);
  if (a.kind !== K_PACKET || (a.flags & F_META) !== 0) return anything();
  return a.id === b.id ? constant(a.off - b.off) : number(a.min - b.max, a.max - b.min);
}
