/** The descriptor of a map in linear memory: what all types have in common. A type's own fields begin at MAP_PRIVATE. */
import { OBJ_HEAD } from "../mem/layout.ts";
import type { Memory } from "../mem/memory.ts";

export const MAP_TYPE: number = OBJ_HEAD;
export const MAP_KEY_SIZE: number = OBJ_HEAD + 4;
export const MAP_VALUE_SIZE: number = OBJ_HEAD + 8;
export const MAP_MAX_ENTRIES: number = OBJ_HEAD + 12;
/** Creation flags, without RDONLY and WRONLY: those belong to the fd. */
export const MAP_FLAGS: number = OBJ_HEAD + 16;
export const MAP_FROZEN: number = OBJ_HEAD + 20;
/** u64 */
export const MAP_EXTRA: number = OBJ_HEAD + 24;
export const MAP_NAME: number = OBJ_HEAD + 32;
export const MAP_NAME_SIZE = 16;
/** The BTF object, or 0, and the ids of the key's and the value's type in it. */
export const MAP_BTF: number = OBJ_HEAD + 48;
export const MAP_BTF_KEY: number = OBJ_HEAD + 52;
export const MAP_BTF_VALUE: number = OBJ_HEAD + 56;
/** Bytes of one value in the syscall ABI: every CPU's slot for per-CPU types, 4 for those that hold fds. */
export const MAP_ABI_VALUE_SIZE: number = OBJ_HEAD + 60;
/** Lock of the types that have one lock a map. */
export const MAP_LOCK: number = OBJ_HEAD + 64;
/** Writable mappings: what makes FREEZE say EBUSY, beside writing commands under way. */
export const MAP_WRITERS: number = OBJ_HEAD + 68;
/** SHA-256 of the only program that may use the map: 32 bytes, or 0 bytes when any may. */
export const MAP_EXCL: number = OBJ_HEAD + 72;
export const MAP_EXCL_SIZE: number = OBJ_HEAD + 104;
/** The record of the special fields in the values, or 0: see `fields.ts`. */
export const MAP_FIELDS: number = OBJ_HEAD + 108;
export const MAP_PRIVATE: number = OBJ_HEAD + 112;
/** Counters behind what is the types', u64 each: updates that a type refused, and elements that it threw out for others. */
export const MAP_FAILED_UPDATES = 256;
export const MAP_EVICTIONS = 264;
/** Deaths of clients (SB_DEATHS) after which the map's elements were counted. */
export const MAP_DEATHS = 272;
/** Types that hold maps: the template that inner maps are compared with, itself a descriptor. 0: maps of other types. */
export const MAP_INNER = 280;
/** Types that hold programs: for which kind of them the map is; 0: not decided yet. See `kern/owner.ts`. */
export const MAP_OWNER = 284;
/** What the special fields of the elements stand for, out of programs' reach; 0: nothing yet. See `anchors.ts`. */
export const MAP_ANCHORS = 288;
export const MAP_DESC_SIZE = 320;

/** Adds to a counter. Not for paths that are hot. */
export function countUp(mem: Memory, map: number, counter: number, by: number): void {
  const at = map + counter;
  if (!mem.shared) mem.writeU64(at, mem.readU64(at) + by);
  else if (mem.atomics.add32(at, by) >>> 0 > 0xffff_ffff - by) mem.atomics.add32(at + 4, 1);
}

/** A counter. Others may add to it meanwhile: the halves are read until they go together. */
export function counterOf(mem: Memory, map: number, counter: number): number {
  const { u32 } = mem;
  const at = (map + counter) >>> 2;
  for (;;) {
    const high = u32[at + 1]!;
    const low = u32[at]!;
    if (u32[at + 1] === high) return high * 0x1_0000_0000 + low;
  }
}

/** A type's answer to an update, of which failures are counted. */
export function countRefused(mem: Memory, map: number, ret: number): number {
  if (ret !== 0) countUp(mem, map, MAP_FAILED_UPDATES, 1);
  return ret;
}

export function mapField(mem: Memory, map: number, field: number): number {
  return mem.u32[(map + field) >>> 2]!;
}
