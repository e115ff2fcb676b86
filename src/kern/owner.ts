/**
 * For which kind of programs a map that holds programs is: the first program decides that is stored in it, or loaded
 * with it. It stays so when the map is emptied.
 */
import type { Memory } from "../mem/memory.ts";
import { MAP_OWNER } from "../struct/map.ts";
import { BPF_F_XDP_HAS_FRAGS } from "../uapi/index.ts";
import type { Kernel } from "./kernel.ts";
import { entryOfMap } from "./map.ts";
import { PROG_ATTACH_TYPE, PROG_FLAGS, PROG_TYPE } from "./prog.ts";

/** One word, so that it is set once: type, expected attach type or 0, and whether packets may come in pieces. */
const OWNER_SET = 1 << 31;
const FRAGS = 1 << 30;
const TYPE_BITS = 8;
const TYPE_MASK: number = (1 << TYPE_BITS) - 1;

function kindOf(kernel: Kernel, map: number, prog: number): number {
  const { u32 } = kernel.mem;
  const frags = (u32[(prog + PROG_FLAGS) >>> 2]! & BPF_F_XDP_HAS_FRAGS) === 0 ? 0 : FRAGS;
  const byAttachType = entryOfMap(kernel, map).traits.ownerAttachType === true;
  const attachType = byAttachType ? u32[(prog + PROG_ATTACH_TYPE) >>> 2]! << TYPE_BITS : 0;
  return OWNER_SET | frags | attachType | u32[(prog + PROG_TYPE) >>> 2]!;
}

/** Whether the program is of the map's kind; a map without one gets it from this program. */
export function ownerFits(kernel: Kernel, map: number, prog: number): boolean {
  const kind = kindOf(kernel, map, prog);
  const owner = kernel.mem.atomics.cas32(map + MAP_OWNER, 0, kind);
  return owner === 0 || owner === kind;
}

/** The type of programs that the map is for; undefined: not decided yet, or the map holds none. */
export function ownerType(mem: Memory, map: number): number | undefined {
  const owner = mem.u32[(map + MAP_OWNER) >>> 2]!;
  return owner === 0 ? undefined : owner & TYPE_MASK;
}
