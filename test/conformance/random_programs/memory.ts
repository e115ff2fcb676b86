/** Pieces that read and write memory: the stack, values of maps, the packet. */

import type { AtomicOp, Reg } from "../../../src/insn/index.ts";
import * as asm from "../../../src/insn/index.ts";
import { fill } from "./arithmetic.ts";
import { maps } from "./maps.ts";
import type { Items, Writer } from "./writer.ts";

const SIZES = { u8: 1, u16: 2, u32: 4, u64: 8 } as const;
const UNSIGNED = ["u8", "u16", "u32", "u64"] as const;
const ATOMICS: readonly AtomicOp[] = [
  "add",
  "or",
  "and",
  "xor",
  "fetchAdd",
  "fetchOr",
  "fetchAnd",
  "fetchXor",
  "xchg",
  "cmpxchg",
  "loadAcq",
  "storeRel",
];

/** Memory of `size` bytes from `reg` + `offset` on; the first one is aligned to 8. */
export interface Place {
  readonly reg: Reg;
  readonly offset: number;
  readonly size: number;
  readonly atomics: boolean;
  readonly write: boolean;
  /** The verifier wants every access aligned. */
  readonly aligned: boolean;
  /** A number may be added to the pointer that is not known before the run. */
  readonly moves: boolean;
}

function offsetIn(w: Writer, { offset, size, aligned }: Place, bytes: number, align: boolean): number {
  const step = aligned || align ? bytes : 1;
  return offset + w.rnd(Math.floor((size - bytes) / step) + 1) * step;
}

function atomicAccess(w: Writer, place: Place): Items {
  const op = w.pick(ATOMICS);
  const ordered = op === "loadAcq" || op === "storeRel";
  const sizes = ordered ? UNSIGNED : (["u32", "u64"] as const);
  const size = w.pick(sizes.filter((each) => SIZES[each] <= place.size));
  const offset = offsetIn(w, place, SIZES[size], true);
  if (op === "loadAcq") {
    const dst = w.target();
    w.set(dst);
    return [asm.atomic(op, size, dst, place.reg, offset)];
  }
  // What fetches overwrites its operand.
  const fetches = op.startsWith("fetch") || op === "xchg";
  const src = fetches ? w.operand() : w.source();
  const access = asm.atomic(op, size, place.reg, src, offset);
  if (op !== "cmpxchg") return fetches ? [access, ...forgotten(w, place, src)] : [access];
  if (place.reg === 0) return [];
  // It compares with r0, which mostly is something else.
  const before = w.chance(50) ? [asm.ldx(size, 0, place.reg, offset)] : [];
  return [...before, access, ...forgotten(w, place, 0)];
}

/**
 * Sends what an atomic operation fetched from the stack through a map, so that the verifier knows nothing of it. Linux 6.18
 * is wrong there: where two ways with different known numbers in the slot meet before a fetch, it follows one of them, and
 * takes away code that only the other one reaches. With a plain load in place of the fetch it does not.
 */
function forgotten(w: Writer, place: Place, reg: Reg): Items {
  if (!place.aligned) return [];
  const { locked } = w;
  w.locked |= 1 << reg;
  const [way] = w.scratch(1);
  w.locked = locked;
  return [...w.value(way!, "globals", 0), asm.stx("u64", way!, reg, 0), asm.ldx("u64", reg, way!, 0)];
}

function oneAccess(w: Writer, place: Place): Items {
  const kind = w.rnd(100);
  if (place.atomics && place.size >= 4 && kind < 30) return atomicAccess(w, place);
  const size = w.pick(UNSIGNED.filter((each) => SIZES[each] <= place.size));
  const offset = offsetIn(w, place, SIZES[size], false);
  if (kind < 60 || !place.write) {
    const dst = w.target();
    w.set(dst);
    const signed = size !== "u64" && w.chance(40) ? (`s${SIZES[size] * 8}` as asm.LoadSize) : size;
    return [asm.ldx(signed, dst, place.reg, offset)];
  }
  return [kind < 75 ? asm.st(size, place.reg, offset, w.imm()) : asm.stx(size, place.reg, w.source(), offset)];
}

/** Some accesses; at the end the pointer may move on by a number that is not known before the run. */
export function accesses(w: Writer, place: Place, count: number): Items {
  const { reg, size, aligned } = place;
  const { locked } = w;
  w.locked |= 1 << reg;
  const items: Items = [];
  for (let i = 0; i < count; i++) items.push(oneAccess(w, place));
  if (place.moves && size >= 16 && w.chance(30)) {
    const index = w.operand();
    // The stack takes no atomic operations at such places.
    const align = aligned || w.chance(50);
    const mask = w.rnd(size - 7) & (align ? -8 : -1);
    items.push([
      asm.alu64Imm("and", index, mask),
      asm.alu64("add", reg, index),
      oneAccess(w, { ...place, size: 8, atomics: align && place.atomics && !aligned }),
    ]);
  }
  w.locked = locked;
  return items;
}

/** A stack slot that r10 reaches. */
export function stackAccess(w: Writer): Items {
  const whole = { offset: -w.stack, size: w.stack, atomics: true, write: true, aligned: true, moves: false };
  if (w.chance(80)) return accesses(w, { reg: 10, ...whole }, 1 + w.rnd(2));
  const [reg] = w.scratch(1);
  return [asm.mov64(reg!, 10), accesses(w, { ...whole, reg: reg!, moves: true }, 1 + w.rnd(2))];
}

/** A global variable: an array's value without a lookup. */
export function globalAccess(w: Writer): Items {
  const [reg] = w.scratch(1);
  const size = maps.globals.valueSize;
  const at = w.rnd(size / 16) * 8;
  const place = { reg: reg!, offset: 0, size: size - at, atomics: true, write: true, aligned: false, moves: true };
  return [...w.value(reg!, "globals", at), accesses(w, place, 1 + w.rnd(3))];
}

/** What r6 points to, where it points to memory. */
export function baseAccess(w: Writer): Items {
  const { base } = w;
  if (typeof base !== "object") return stackAccess(w);
  const place = { offset: 0, size: base.memory, atomics: true, write: true, aligned: true, moves: true };
  if (w.chance(70)) {
    const items: Items = [];
    for (let i = 0; i <= w.rnd(2); i++) items.push(oneAccess(w, { reg: 6, ...place }));
    return items;
  }
  const [reg] = w.scratch(1);
  return [asm.mov64(reg!, 6), accesses(w, { reg: reg!, ...place }, 1)];
}

/** A register goes to the stack and comes back; so does the base, whose place nobody else uses. */
export function spill(w: Writer): Items {
  const at = w.slot(8, 8);
  const src = w.source();
  const dst = w.target();
  w.set(dst);
  const size = w.pick(["u64", "u64", "u32"] as const);
  return [asm.stx("u64", 10, src, at), ...(w.chance(30) ? fill(w, dst) : []), asm.ldx(size, dst, 10, at)];
}
