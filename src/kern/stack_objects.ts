/**
 * Objects that a program keeps on its stack: dynptrs and iterators. The stack shows a mark only; what the object is lies
 * in a table of the run, one entry for each place of the stack where one can begin. An object is good where it was set
 * up, in this run, as long as its mark stands there: one that was scribbled over, copied elsewhere or kept from another
 * run is none. Behind the places of the stack follows one for each frame: the dynptr that a callback is given.
 */
import { alloc } from "../mem/alloc.ts";
import type { Kernel } from "./kernel.ts";
import {
  dropStackObjects,
  HELD_STACK_OBJECTS,
  hold,
  MAX_FRAMES,
  RUN_DEPTH,
  RUN_GENERATION,
  RUN_STACK_OBJECTS,
  RUN_STACK_TOP,
  STACK_FRAME,
  STACK_OBJECT_SIZE,
  STACK_OBJECTS_BYTES,
  STACK_SIZE,
} from "./run_record.ts";

/** What lies there. */
export type StackObjectKind = typeof OBJECT_DYNPTR | typeof OBJECT_NUM | typeof OBJECT_BITS;
export const OBJECT_DYNPTR = 1;
export const OBJECT_NUM = 2;
export const OBJECT_BITS = 3;

/** An entry: kind and generation; the other six words are the kind's own. */
export const O_KIND = 0;
export const O_GENERATION = 4;
export const OBJECT_STATE = 8;

/** A place is a multiple of 8 on the stack. */
const PLACES: number = STACK_SIZE >>> 3;
const MARK_SIZE = 8;
/** Of the mark's first word: the kind lies above the place. */
export const PLACE_SHIFT = 16;

/** The table of the run under way, made when its first object is set up; 0: out of memory. */
function tableOf({ mem, run }: Kernel): number {
  const { u32 } = mem;
  const table = u32[(run + RUN_STACK_OBJECTS) >>> 2]!;
  if (table !== 0) return table;
  const made = alloc(mem, STACK_OBJECTS_BYTES);
  if (made === 0) return 0;
  u32[(run + RUN_STACK_OBJECTS) >>> 2] = made;
  if (hold(mem, run, HELD_STACK_OBJECTS, run, 0, 0)) return made;
  dropStackObjects(mem, run);
  return 0;
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
  const place = placeOf(mem.u32, run, address);
  const entry = table + place * STACK_OBJECT_SIZE;
  const generation = ++u32[(run + RUN_GENERATION) >>> 2]!;
  mem.zero(entry, STACK_OBJECT_SIZE);
  u32[(entry + O_KIND) >>> 2] = kind;
  u32[(entry + O_GENERATION) >>> 2] = generation;
  u32[address >>> 2] = markOf(place, kind);
  u32[(address + 4) >>> 2] = generation;
  if (bytes > MARK_SIZE) u32[(address + MARK_SIZE) >>> 2] = generation;
  return entry;
}

/** The dynptr of the callback's frame that is open: programs know it by the entry's address. 0: out of memory. */
export function putFrameDynptr(kernel: Kernel): number {
  const table = tableOf(kernel);
  if (table === 0) return 0;
  const { mem, run } = kernel;
  const entry = table + (PLACES + mem.u32[(run + RUN_DEPTH) >>> 2]!) * STACK_OBJECT_SIZE;
  mem.zero(entry, STACK_OBJECT_SIZE);
  mem.u32[(entry + O_KIND) >>> 2] = OBJECT_DYNPTR;
  return entry;
}

/** The entry of the object of this kind at high:low, or 0: there is none. */
export function stackObject(kernel: Kernel, low: number, high: number, kind: StackObjectKind): number {
  const { mem, run } = kernel;
  const { u32 } = mem;
  const table = u32[(run + RUN_STACK_OBJECTS) >>> 2]!;
  const address = low >>> 0;
  if (table === 0 || high !== 0) return 0;
  const frames = table + PLACES * STACK_OBJECT_SIZE;
  if (address >= frames && address < frames + MAX_FRAMES * STACK_OBJECT_SIZE) {
    return (address - frames) % STACK_OBJECT_SIZE === 0 && u32[address >>> 2] === kind ? address : 0;
  }
  const top = u32[(run + RUN_STACK_TOP) >>> 2]!;
  const bottom = top - (u32[(run + RUN_DEPTH) >>> 2]! + 1) * STACK_FRAME;
  if (address < bottom || address + MARK_SIZE > top || (address & 7) !== 0) return 0;
  const place = placeOf(u32, run, address);
  const entry = table + place * STACK_OBJECT_SIZE;
  if (u32[(entry + O_KIND) >>> 2] !== kind || u32[address >>> 2] !== markOf(place, kind)) return 0;
  const generation = u32[(entry + O_GENERATION) >>> 2]!;
  const whole = kind === OBJECT_NUM || u32[(address + MARK_SIZE) >>> 2] === generation;
  return whole && u32[(address + 4) >>> 2] === generation ? entry : 0;
}

/** The object is no more. Its mark may stay: the entry decides. */
export function takeStackObject({ mem }: Kernel, entry: number): void {
  mem.u32[(entry + O_KIND) >>> 2] = 0;
}

/** Ends all dynptrs whose word at `field` of the entry has this value. */
export function takeDynptrsWith({ mem, run }: Kernel, field: number, value: number): void {
  const { u32 } = mem;
  let entry = u32[(run + RUN_STACK_OBJECTS) >>> 2]!;
  for (const end = entry + STACK_OBJECTS_BYTES; entry < end; entry += STACK_OBJECT_SIZE) {
    if (u32[(entry + O_KIND) >>> 2] === OBJECT_DYNPTR && u32[(entry + field) >>> 2] === value) u32[entry >>> 2] = 0;
  }
}

function placeOf(u32: Uint32Array, run: number, address: number): number {
  return ((u32[(run + RUN_STACK_TOP) >>> 2]! - address) >>> 3) - 1;
}

/** The first word of the mark; the second is the generation. */
function markOf(place: number, kind: number): number {
  return (kind << PLACE_SHIFT) | place;
}
