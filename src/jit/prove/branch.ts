/**
 * What a conditional jump tells of its operands on either way. A way that cannot be taken is said to be none. Section 4.3
 * of RFC 9669.
 */
import type { JumpOp } from "../../insn/index.ts";
import type { Op } from "../program.ts";
import { lowHalf } from "./arithmetic.ts";
import type { Context } from "./context.ts";
import type { State } from "./state.ts";
import { operandOf } from "./transfer_alu.ts";
import {
  constant,
  F_META,
  F_NULL,
  isConstant,
  isNear,
  isNumeric,
  isU32,
  K_INNER,
  K_NUMBER,
  K_PACKET,
  K_PACKET_END,
  K_REGION,
  K_STACK,
  K_UNKNOWN,
  narrowed,
  number,
  UNKNOWN,
  Val,
} from "./value.ts";

/** Comparisons as "a is less than b", "a is at most b", "they are equal", and the other ways round. */
type Relation = "lt" | "le" | "gt" | "ge" | "eq" | "ne";

const relations: Readonly<Record<Exclude<JumpOp, "jset">, readonly [taken: Relation, other: Relation]>> = {
  jeq: ["eq", "ne"],
  jne: ["ne", "eq"],
  jlt: ["lt", "ge"],
  jle: ["le", "gt"],
  jgt: ["gt", "le"],
  jge: ["ge", "lt"],
  jslt: ["lt", "ge"],
  jsle: ["le", "gt"],
  jsgt: ["gt", "le"],
  jsge: ["ge", "lt"],
};
const swapped: Readonly<Record<Relation, Relation>> = { lt: "gt", le: "ge", gt: "lt", ge: "le", eq: "eq", ne: "ne" };
const signedOps: ReadonlySet<string> = new Set(["jslt", "jsle", "jsgt", "jsge"]);
const S32_MAX = 0x7fff_ffff;
const LOWEST = Number.NEGATIVE_INFINITY;
const HIGHEST = Number.POSITIVE_INFINITY;

/** Takes over what the jump, taken or not, says. False: it cannot go this way. */
export function refine(context: Context, state: State, op: Op, taken: boolean): boolean {
  if (op.row.op === "jset") return true;
  const relation = relations[op.row.op as Exclude<JumpOp, "jset">][taken ? 0 : 1];
  const a = state.regs[op.dst]!;
  const b = operandOf(state, op);
  const signed = signedOps.has(op.row.op);
  if (op.row.bits === 32) return refine32(context, state, a, b, relation, signed);
  if (a.kind === K_PACKET || b.kind === K_PACKET) {
    if (!signed) packets(state, a, b, relation);
    return true;
  }
  if (nullTest(state, a, b, relation)) return true;
  if (isNumeric(a) && isNumeric(b)) return numbers(context, state, a, b, relation, signed);
  if (!signed && sameBase(a, b)) return compare(context, state, a, b, relation, LOWEST);
  return true;
}

/**
 * Pointers from one address on, whose offsets compare as they do: none of them goes round the end of all addresses, and
 * none is NULL instead.
 */
function sameBase(a: Val, b: Val): boolean {
  if (a.kind !== b.kind || a.min < -32768 || b.min < -32768 || !isNear(a) || !isNear(b)) return false;
  if (((a.flags | b.flags) & F_NULL) !== 0) return false;
  return a.kind === K_STACK || (a.kind === K_REGION && a.id === b.id && a.id < 0);
}

/** Lower halves: they say something of registers whose upper half is 0. */
function refine32(context: Context, state: State, a: Val, b: Val, relation: Relation, signed: boolean): boolean {
  if (nullTest(state, a, b, relation)) return true;
  const mine = isU32(a) ? a : UNKNOWN;
  const other = lowOf(b);
  if (mine === UNKNOWN && other === UNKNOWN) return true;
  if (!signed) {
    const x = mine === UNKNOWN ? number(0, 0xffff_ffff) : mine;
    const y = other === UNKNOWN ? number(0, 0xffff_ffff) : other;
    return compare(context, state, x, y, relation, 0);
  }
  // As signed numbers they are the same where both are below 2^31; else only: at least something that is not negative.
  if (mine.kind === K_NUMBER && other.kind === K_NUMBER && mine.max <= S32_MAX && other.max <= S32_MAX) {
    return compare(context, state, mine, other, relation, 0);
  }
  const least = other.kind === K_NUMBER && isConstant(other) ? (other.min | 0) + (relation === "gt" ? 1 : 0) : -1;
  if ((relation === "gt" || relation === "ge") && least >= 0 && mine !== UNKNOWN) {
    return narrow(state, mine, least, S32_MAX);
  }
  return true;
}

/** A constant's lower half; a register's where that is all of it. */
function lowOf(v: Val): Val {
  return isU32(v) ? v : isConstant(v) ? lowHalf(v) : UNKNOWN;
}

/** Whether this asks if a region or an inner map is NULL, and what follows. */
function nullTest(state: State, a: Val, b: Val, relation: Relation): boolean {
  const first = mayBeNull(a);
  const p = first ? a : b;
  const zero = first ? b : a;
  if (!mayBeNull(p) || !isConstant(zero) || zero.min !== 0) return false;
  const { kind, min, max, step, id, off, room, size, flags } = p;
  if (relation === "eq") state.replace(p, constant(0));
  else if (relation === "ne") state.replace(p, new Val(kind, min, max, step, id, off, room, size, flags & ~F_NULL));
  return true;
}

function mayBeNull({ kind, flags }: Val): boolean {
  return (kind === K_REGION || kind === K_INNER) && (flags & F_NULL) !== 0;
}

function numbers(context: Context, state: State, a: Val, b: Val, relation: Relation, signed: boolean): boolean {
  if (signed || relation === "eq" || relation === "ne") return compare(context, state, a, b, relation, LOWEST);
  // Without signs all that is negative is larger than everything else.
  const aPlain = isPlain(a);
  const bPlain = isPlain(b);
  if (aPlain && bPlain) return compare(context, state, a, b, relation, 0);
  if (bPlain && (relation === "lt" || relation === "le"))
    return narrow(state, a, 0, b.max - (relation === "lt" ? 1 : 0));
  if (aPlain && (relation === "gt" || relation === "ge"))
    return narrow(state, b, 0, a.max - (relation === "gt" ? 1 : 0));
  return true;
}

function isPlain(v: Val): boolean {
  return v.kind === K_NUMBER && v.min >= 0;
}

/** Numbers, or offsets, that are compared as they are. What is unknown is `lowest` or more. */
function compare(context: Context, state: State, a: Val, b: Val, relation: Relation, lowest: number): boolean {
  learn(context, a);
  learn(context, b);
  switch (relation) {
    case "lt":
      return narrow(state, a, lowest, top(b) - 1) && narrow(state, b, bottom(a) + 1, HIGHEST);
    case "le":
      return narrow(state, a, lowest, top(b)) && narrow(state, b, bottom(a), HIGHEST);
    case "gt":
    case "ge":
      return compare(context, state, b, a, swapped[relation], lowest);
    case "eq":
      return narrow(state, a, bottom(b), top(b)) && narrow(state, b, bottom(a), top(a));
    default:
      return without(state, a, b) && without(state, b, a);
  }
}

/** Loops that end here may grow up to here. */
function learn({ joiner }: Context, v: Val): void {
  if (v.kind !== K_UNKNOWN && v.min === v.max) joiner.stops.add(v.min);
}

function bottom(v: Val): number {
  return v.kind === K_UNKNOWN ? LOWEST : v.min;
}

function top(v: Val): number {
  return v.kind === K_UNKNOWN ? HIGHEST : v.max;
}

/** The value lies in the range too; its bounds may be none. False: it cannot. */
function narrow(state: State, v: Val, min: number, max: number): boolean {
  if (v.kind === K_UNKNOWN && min <= max && (min === LOWEST || max === HIGHEST)) return true;
  const now = narrowed(v, min, max);
  if (now === undefined) return false;
  if (now === v) return true;
  state.replace(v, now);
  if (now.kind === K_NUMBER) state.narrowLinked(now);
  return true;
}

/** They differ: a bound that is the other's only value goes. */
function without(state: State, v: Val, other: Val): boolean {
  if (v.kind === K_UNKNOWN || other.kind === K_UNKNOWN || other.min !== other.max) return true;
  if (v.step === 0) return v.min !== other.min;
  if (v.min === other.min) return narrow(state, v, v.min + v.step, v.max);
  return v.max !== other.min || narrow(state, v, v.min, v.max - v.step);
}

/** A packet pointer against where its bytes end: data_end, or for metadata the beginning of the data. */
function packets(state: State, a: Val, b: Val, relation: Relation): void {
  if (isEndFor(b, a)) room(state, a, relation);
  else if (isEndFor(a, b)) room(state, b, swapped[relation]);
}

function isEndFor(end: Val, p: Val): boolean {
  if (p.kind !== K_PACKET) return false;
  if (end.kind === K_PACKET_END) return true;
  return (p.flags & F_META) !== 0 && end.kind === K_PACKET && end.flags === 0 && end.min === 0 && end.max === 0;
}

function room(state: State, p: Val, relation: Relation): void {
  if (relation === "le" || relation === "eq") state.roomOf(p.id, p.flags, p.off);
  else if (relation === "lt") state.roomOf(p.id, p.flags, p.off + 1);
}
