/**
 * What memory a run may reach beside its context, exact to the byte, judged from the address alone: the frames of its
 * stack, its packet between metadata and end, memory that it holds, and values of its program's maps. Helpers ask here
 * about memory that is named indirectly; the interpreter has the same rules with a cache in front (`vm/access.ts`).
 */
import {
  AREA_BASE,
  AREA_KIND,
  AREA_MAP,
  AREA_PROG_READ,
  AREA_PROG_WRITE,
  AREA_RIGHTS,
  AREA_SIZE,
  AREA_STRIDE,
  AREA_VALUE_SIZE,
  AREA_VALUES,
  areaOf,
} from "../mem/alloc.ts";
import { rup8 } from "../mem/layout.ts";
import type { Memory } from "../mem/memory.ts";
import { isLive, objectArea, objectAround, POOL_BTF, POOL_BYTES, POOL_STRUCT_SIZE } from "../struct/objects.ts";
import { FAULT_OBJECT_GONE, FAULT_OUTSIDE, FAULT_RIGHTS } from "./fault_kinds.ts";
import type { Kernel } from "./kernel.ts";
import { PROG_BTF, progMap } from "./prog.ts";
import {
  HELD_ADDRESS,
  HELD_BYTES,
  HELD_KEY,
  HELD_KIND,
  HELD_READABLE,
  HELD_SIZE,
  HELD_SOCKET,
  holdsReference,
  noteFault,
  RUN_CURRENT,
  RUN_DATA_END,
  RUN_DEPTH,
  RUN_HELD,
  RUN_HELD_COUNT,
  RUN_META,
  RUN_PACKET_READ_ONLY,
  RUN_STACK_TOP,
  STACK_FRAME,
} from "./run_record.ts";

/** Whether the run under way may read, or read and write, `size` bytes at high:low. */
export function memoryOk(kernel: Kernel, low: number, high: number, size: number, write: boolean): boolean {
  if (high !== 0) return false;
  const { mem, run } = kernel;
  const { u32 } = mem;
  const address = low >>> 0;
  const top = u32[(run + RUN_STACK_TOP) >>> 2]!;
  if (address >= top - (u32[(run + RUN_DEPTH) >>> 2]! + 1) * STACK_FRAME && address + size <= top) return true;
  if (inPacket(mem, run, address, size)) return !write || packetWritable(mem, run);
  const area = valueArea(mem, address);
  if (area === 0) return otherFault(mem, run, u32[(run + RUN_CURRENT) >>> 2]!, address, size, write) === 0;
  const map = u32[(area + AREA_MAP) >>> 2]!;
  return (
    mapInReach(mem, run, u32[(run + RUN_CURRENT) >>> 2]!, map) && valueFault(mem, area, address, size, write) === 0
  );
}

/** Bytes of the text at high:low without its NUL; -1: it leaves what the run may read before it ends. */
export function textLength(kernel: Kernel, low: number, high: number): number {
  for (let n = 0; ; n++) {
    if (!memoryOk(kernel, low + n, high, 1, false)) return -1;
    if (kernel.mem.u8[low + n] === 0) return n;
  }
}

/** Ends the run under way at the call of a helper: argument `arg`, the number high:low, is wrong as `kind` says. */
export function faultHelper(kernel: Kernel, kind: number, low: number, high: number, arg: number): void {
  noteFault(kernel.mem, kernel.run, kind, low, high, 0, false, arg);
}

export function inPacket(mem: Memory, run: number, address: number, size: number): boolean {
  return address >= mem.u32[(run + RUN_META) >>> 2]! && address + size <= mem.u32[(run + RUN_DATA_END) >>> 2]!;
}

/** Whether the program may write what it may read of its packet. */
export function packetWritable(mem: Memory, run: number): boolean {
  return mem.u32[(run + RUN_PACKET_READ_ONLY) >>> 2] === 0;
}

/** The area of map values that the address lies in, or 0. */
export function valueArea(mem: Memory, address: number): number {
  const area = areaOf(mem, address);
  return mem.u32[(area + AREA_KIND) >>> 2] === AREA_VALUES ? area : 0;
}

/** Whether values of the map are the program's to touch: it refers to the map, or the run came to it through another. */
export function mapInReach(mem: Memory, run: number, prog: number, map: number): boolean {
  return progMap(mem, prog, map) !== 0 || holdsReference(mem, run, map);
}

/** 0 for bytes inside one value of the area, with the rights that the map gives to programs; else FAULT_*. */
export function valueFault(mem: Memory, area: number, address: number, size: number, write: boolean): number {
  const { u32 } = mem;
  const row = area >>> 2;
  const at = address - u32[row + (AREA_BASE >>> 2)]!;
  const inside = at % u32[row + (AREA_STRIDE >>> 2)]!;
  if (inside + size > u32[row + (AREA_VALUE_SIZE >>> 2)]!) return FAULT_OUTSIDE;
  if (at + size > u32[row + (AREA_SIZE >>> 2)]!) return FAULT_OUTSIDE;
  const right = write ? AREA_PROG_WRITE : AREA_PROG_READ;
  return (u32[row + (AREA_RIGHTS >>> 2)]! & right) === 0 ? FAULT_RIGHTS : 0;
}

/** 0 for bytes of an object of the program's BTF, or of something that the run holds; else FAULT_*. */
export function otherFault(
  mem: Memory,
  run: number,
  prog: number,
  address: number,
  size: number,
  write: boolean,
): number {
  const area = objectArea(mem, address);
  return area === 0 ? heldFault(mem, run, address, size, write) : objectFault(mem, area, prog, address, size, write);
}

/**
 * On a shared host another thread may let go of an object that this one came to through a field: as the kernel's RCU
 * does, that leaves its memory as it is, an object of the same struct.
 */
function objectFault(mem: Memory, area: number, prog: number, address: number, size: number, write: boolean): number {
  const { u32 } = mem;
  const pool = u32[(area + AREA_MAP) >>> 2]!;
  const object = objectAround(mem, area, address);
  const btf = u32[(pool + POOL_BTF) >>> 2]!;
  // Objects of the kernel's own belong to no BTF, and are there to be read.
  if (object === 0 || (btf !== 0 && btf !== u32[(prog + PROG_BTF) >>> 2])) return FAULT_OUTSIDE;
  if (btf === 0 && write) return FAULT_RIGHTS;
  const at = address - object;
  if (at < 0 || at + size > u32[(pool + POOL_BYTES) >>> 2]!) return FAULT_OUTSIDE;
  const bytes = u32[(pool + POOL_STRUCT_SIZE) >>> 2]!;
  if ((at % rup8(bytes)) + size > bytes) return FAULT_OUTSIDE;
  return mem.shared || isLive(mem, object) ? 0 : FAULT_OBJECT_GONE;
}

function heldFault(mem: Memory, run: number, address: number, size: number, write: boolean): number {
  const { u32 } = mem;
  let entry = u32[(run + RUN_HELD) >>> 2]! >>> 2;
  for (let left = u32[(run + RUN_HELD_COUNT) >>> 2]!; left > 0; left--) {
    const at = address - u32[entry + (HELD_ADDRESS >>> 2)]!;
    if (at >= 0 && at + size <= u32[entry + (HELD_BYTES >>> 2)]!) {
      const kind = u32[entry + (HELD_KIND >>> 2)];
      return write && (kind === HELD_READABLE || kind === HELD_KEY || kind === HELD_SOCKET) ? FAULT_RIGHTS : 0;
    }
    entry += HELD_SIZE >>> 2;
  }
  return FAULT_OUTSIDE;
}
