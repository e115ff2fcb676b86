/**
 * Objects that a program keeps on its stack: dynptrs and iterators. The stack shows a mark only; what the object is lies
 * in a table of the run, one entry for each place of the stack where one can begin. An object is good where it was set
 * up, in this run, as long as its mark stands there: one that was scribbled over, copied elsewhere or kept from another
 * run is none. Behind the places of the stack follows one for each frame: the dynptr that a callback is given.
 */
import { alloc } from "../mem/alloc.ts";
import type { Kernel } from "./kernel.ts";
import {
  HELD_STACK_OBJECTS,
  hold,
  MAX_FRAMES,
  RUN_DEPTH,
  RUN_FIRST_GENERATION,
  RUN_GENERATION,
  RUN_OBJECT_TABLE,
  RUN_STACK_OBJECTS,
  RUN_STACK_TOP,
  STACK_FRAME,
  STACK_SIZE,
} from "./run_record.ts";

/** What lies there. */
export type StackObjectKind = typeof OBJECT_DYNPTR | typeof OBJECT_NUM | typeof OBJECT_BITS;
export const OBJECT_DYNPTR = 1;
export const OBJECT_NUM = 2;
export const OBJECT_BITS = 3;

/**
 * An entry begins as the mark does that shows on the stack: the kind above the place, 0 where there is no object any more,
 * and the generation. The other six words are the kind's own.
 */
export const O_PLACE = 0;
const O_GENERATION = 4;
export const OBJECT_STATE = 8;
export const KIND_SHIFT = 16;
export const STACK_OBJECT_SIZE = 32;

/** A place is a multiple of 8 on the stack. */
const PLACES: number = STACK_SIZE >>> 3;
const MARK_SIZE = 8;
/** Where a dynptr, which has more bytes than the mark, shows its generation once more. */
export const DYNPTR_MARK: number = MARK_SIZE;
const TABLE_BYTES: number = (PLACES + MAX_FRAMES) * STACK_OBJECT_SIZE;
/** No run sets up so many objects that generations come round in it. */
const GENERATIONS = 0x8000_0000;

/**
 * The table of the run under way, when its first object is set up; 0: out of memory. It stays with the run record: what
 * earlier runs have left in there has older generations.
 */
function tableOf({ mem, run }: Kernel): number {
  const { u32 } = mem;
  const table = u32[(run + RUN_STACK_OBJECTS) >>> 2]!;
  if (table !== 0) return table;
  const own = u32[(run + RUN_OBJECT_TABLE) >>> 2]! || alloc(mem, TABLE_BYTES);
  if (own === 0) return 0;
  u32[(run + RUN_OBJECT_TABLE) >>> 2] = own;
  if (u32[(run + RUN_GENERATION) >>> 2]! >= GENERATIONS) {
    mem.zero(own, TABLE_BYTES);
    u32[(run + RUN_GENERATION) >>> 2] = 0;
  }
  if (!hold(mem, run, HELD_STACK_OBJECTS, run, 0, 0)) return 0;
  u32[(run + RUN_FIRST_GENERATION) >>> 2] = u32[(run + RUN_GENERATION) >>> 2]! + 1;
  u32[(run + RUN_STACK_OBJECTS) >>> 2] = own;
  return own;
}

/** A new entry of the table for the place, its words zero. */
function newEntry({ mem, run }: Kernel, table: number, place: number, kind: StackObjectKind): number {
  const { u32 } = mem;
  const entry = table + place * STACK_OBJECT_SIZE;
  mem.zero(entry, STACK_OBJECT_SIZE);
  u32[(entry + O_PLACE) >>> 2] = (kind << KIND_SHIFT) | place;
  u32[(entry + O_GENERATION) >>> 2] = ++u32[(run + RUN_GENERATION) >>> 2]!;
  return entry;
}

/**
 * A new object at a place that the program owns (`{ stack: bytes }` of a prototype): its entry, the kind's words zero. 0:
 * out of memory. The mark takes 8 bytes, and shows in the next ones if the object has them.
 */
export function putStackObject(kernel: Kernel, address: number, kind: StackObjectKind, bytes: number): number {
  const { mem, run } = kernel;
  const { u32 } = mem;
  mem.zero(address, bytes);
  const table = tableOf(kernel);
  if (table === 0) return 0;
  const entry = newEntry(kernel, table, placeOf(u32, run, address), kind);
  const generation = u32[(entry + O_GENERATION) >>> 2]!;
  u32[address >>> 2] = u32[(entry + O_PLACE) >>> 2]!;
  u32[(address + 4) >>> 2] = generation;
  if (bytes > MARK_SIZE) u32[(address + MARK_SIZE) >>> 2] = generation;
  return entry;
}

/** The dynptr of the callback's frame that is open: programs know it by the entry's address. 0: out of memory. */
export function putFrameDynptr(kernel: Kernel): number {
  const table = tableOf(kernel);
  if (table === 0) return 0;
  const depth = kernel.mem.u32[(kernel.run + RUN_DEPTH) >>> 2]!;
  return newEntry(kernel, table, PLACES + depth, OBJECT_DYNPTR);
}

/** The entry of the object of this kind at high:low, or 0: there is none. */
export function stackObject(kernel: Kernel, low: number, high: number, kind: StackObjectKind): number {
  const { mem, run } = kernel;
  const { u32 } = mem;
  const table = u32[(run + RUN_STACK_OBJECTS) >>> 2]!;
  const address = low >>> 0;
  if (table === 0 || high !== 0) return 0;
  const frame = address - (table + PLACES * STACK_OBJECT_SIZE);
  if (frame >= 0 && frame < MAX_FRAMES * STACK_OBJECT_SIZE) {
    const place = PLACES + frame / STACK_OBJECT_SIZE;
    return frame % STACK_OBJECT_SIZE === 0 && isObject(u32, run, address, (kind << KIND_SHIFT) | place) ? address : 0;
  }
  const top = u32[(run + RUN_STACK_TOP) >>> 2]!;
  const bottom = top - (u32[(run + RUN_DEPTH) >>> 2]! + 1) * STACK_FRAME;
  if (address < bottom || address + MARK_SIZE > top || (address & 7) !== 0) return 0;
  const place = placeOf(u32, run, address);
  const entry = table + place * STACK_OBJECT_SIZE;
  const mark = (kind << KIND_SHIFT) | place;
  if (u32[address >>> 2] !== mark || !isObject(u32, run, entry, mark)) return 0;
  const generation = u32[(entry + O_GENERATION) >>> 2]!;
  const whole = kind === OBJECT_NUM || u32[(address + MARK_SIZE) >>> 2] === generation;
  return whole && u32[(address + 4) >>> 2] === generation ? entry : 0;
}

/** Whether the entry is one of this run, of such a mark. */
function isObject(u32: Uint32Array, run: number, entry: number, mark: number): boolean {
  return (
    u32[(entry + O_PLACE) >>> 2] === mark &&
    u32[(entry + O_GENERATION) >>> 2]! >= u32[(run + RUN_FIRST_GENERATION) >>> 2]!
  );
}

/** The object is no more. Its mark may stay: the entry decides. */
export function takeStackObject({ mem }: Kernel, entry: number): void {
  mem.u32[(entry + O_PLACE) >>> 2] = 0;
}

/** Ends all dynptrs whose word at `field` of the entry has this value. */
export function takeDynptrsWith({ mem, run }: Kernel, field: number, value: number): void {
  const { u32 } = mem;
  let entry = u32[(run + RUN_STACK_OBJECTS) >>> 2]!;
  for (const end = entry + TABLE_BYTES; entry < end; entry += STACK_OBJECT_SIZE) {
    const kind = u32[(entry + O_PLACE) >>> 2]! >>> KIND_SHIFT;
    if (kind === OBJECT_DYNPTR && u32[(entry + field) >>> 2] === value) u32[(entry + O_PLACE) >>> 2] = 0;
  }
}

function placeOf(u32: Uint32Array, run: number, address: number): number {
  return ((u32[(run + RUN_STACK_TOP) >>> 2]! - address) >>> 3) - 1;
}
