/**
 * What a program may touch, exact to the byte, judged from the address alone: the frames of its stack, its packet
 * between metadata and end, its context, ring records it has reserved, values of its maps, and pages of its arena. Everything else faults,
 * whatever lies there.
 */

import { contextOf } from "../contexts/table.ts";
import {
  FAULT_ALIGNMENT,
  FAULT_CONTEXT,
  FAULT_HIGH_HALF,
  FAULT_MAP,
  FAULT_MAP_HELPER,
  FAULT_OUTSIDE,
  FAULT_RIGHTS,
} from "../kern/fault_kinds.ts";
import { givenAt } from "../kern/given.ts";
import { helperAllowed, innerAllowed, PROG_ARG_POINTERS, PROG_ATTACH_TYPE, PROG_TYPE, progMap } from "../kern/prog.ts";
import { inPacket, mapInReach, otherFault, packetWritable, valueArea, valueFault } from "../kern/reach.ts";
import {
  holdsReference,
  isArenaHigh,
  RUN_ABSENT_READ,
  RUN_ABSENT_WRITE,
  RUN_CASTS,
  RUN_CTX,
  RUN_CTX_SIZE,
  RUN_DATA_END,
  RUN_META,
  RUN_PACKET_READ_ONLY,
  RUN_WORD,
} from "../kern/run_record.ts";
import { AREA_MAP } from "../mem/alloc.ts";
import { GRANULE, OBJ_KIND, OBJ_MAP } from "../mem/layout.ts";
import { ARENA_USER_START, arenaBytes } from "../struct/arena_pages.ts";
import { fault, type Machine } from "./machine.ts";

const FOUR_GIB = 0x1_0000_0000;
/** Upper halves of the kernel's addresses are this or more. */
const KERNEL_HALF = 0xffff_8000;

/**
 * The address that a load or store of `size` bytes (1, 2, 4 or 8) at the pointer high:low plus `off` goes to; 0: it is
 * not allowed, and the run has ended with a fault.
 */
export function accessAt(m: Machine, low: number, high: number, off: number, size: number, write: boolean): number {
  const address = low + off;
  // The stack first: it is what programs touch most.
  if (address >= m.stackLow && address + size <= m.stackTop && high === 0) {
    if ((address & (size - 1)) === 0) return address;
    return refuse(m, FAULT_ALIGNMENT, low, high, off, size, write);
  }
  if (high !== 0 || address >>> 0 !== address) {
    if (m.arena !== 0 && isArenaHigh(high)) return inArena(m, address, size, write);
    return kernelPointer(m, FAULT_HIGH_HALF, low, high, off, size, write);
  }
  const { u32, run } = m;
  if (address >= u32[(run + RUN_META) >>> 2]! && address + size <= u32[(run + RUN_DATA_END) >>> 2]!) {
    if (!write || u32[(run + RUN_PACKET_READ_ONLY) >>> 2] === 0) return address;
    return refuse(m, FAULT_RIGHTS, low, high, off, size, write);
  }
  const ctx = address - u32[(run + RUN_CTX) >>> 2]!;
  if (ctx >= 0 && ctx + size <= u32[(run + RUN_CTX_SIZE) >>> 2]!) {
    const type = u32[(m.prog + PROG_TYPE) >>> 2]!;
    const attachType = u32[(m.prog + PROG_ATTACH_TYPE) >>> 2]!;
    const family = contextOf(type);
    const pointers = u32[(m.prog + PROG_ARG_POINTERS) >>> 2]!;
    if (family?.access(ctx, size, write, attachType, pointers) === true) {
      const { place } = family;
      return place === undefined ? address : address - ctx + place(u32, address - ctx, ctx, size);
    }
    return refuse(m, FAULT_CONTEXT, low, high, off, size, write);
  }
  const kind = memoryKind(m, address, size, write);
  if (kind === 0) return address;
  // Of an arena that begins at a multiple of 4 GiB the first byte has the address that is NULL after the cast.
  if (m.arena !== 0 && address < GRANULE && u32[(m.arena + ARENA_USER_START) >>> 2] === 0) {
    return inArena(m, address, size, write);
  }
  return kernelPointer(m, kind, low, high, off, size, write);
}

/** The arena's bytes at the lower half of their address. Where a page is not there 0 is read, and nothing is written. */
function inArena(m: Machine, address: number, size: number, write: boolean): number {
  const at = address - m.u32[(m.arena + ARENA_USER_START) >>> 2]!;
  return arenaBytes(m.mem, m.arena, at, size) || m.run + (write ? RUN_ABSENT_WRITE : RUN_ABSENT_READ);
}

/**
 * An access through a pointer that is none of the program's own. Programs that have pointers of the kernel's see the
 * memory that the run was given there; what is not there, and NULL, reads zero as in the kernel (PROBE_MEM).
 */
function kernelPointer(
  m: Machine,
  kind: number,
  low: number,
  high: number,
  off: number,
  size: number,
  write: boolean,
): number {
  const { u32, run } = m;
  const sum = low + off;
  const top = (high + Math.floor(sum / FOUR_GIB)) >>> 0;
  const isNull = top === 0 && sum < GRANULE;
  if (!isNull && top < KERNEL_HALF) return refuse(m, kind, low, high, off, size, write);
  const casts = u32[(run + RUN_CASTS) >>> 2] !== 0 && !write;
  if (!casts && contextOf(u32[(m.prog + PROG_TYPE) >>> 2]!)?.kernelPointers !== true) {
    return refuse(m, kind, low, high, off, size, write);
  }
  const at = isNull ? 0 : givenAt(m.kernel, sum, top, size, write);
  if (at !== 0 || write) return at === 0 ? refuse(m, kind, low, high, off, size, write) : at;
  u32[(run + RUN_WORD) >>> 2] = 0;
  u32[(run + RUN_WORD + 4) >>> 2] = 0;
  return run + RUN_WORD;
}

/** As `accessAt`, for instructions that need natural alignment everywhere. */
export function alignedAt(m: Machine, low: number, high: number, off: number, size: number, write: boolean): number {
  if (((low + off) & (size - 1)) !== 0) return refuse(m, FAULT_ALIGNMENT, low, high, off, size, write);
  return accessAt(m, low, high, off, size, write);
}

function refuse(
  m: Machine,
  kind: number,
  low: number,
  high: number,
  off: number,
  size: number,
  write: boolean,
): number {
  const address = low + off;
  const top = high + Math.floor(address / 0x1_0000_0000);
  // 64-bit arithmetic wraps: a pointer far below zero may come round to an address that is merely outside.
  const wrapped = top >>> 0;
  const what = kind === FAULT_HIGH_HALF && wrapped === 0 ? FAULT_OUTSIDE : kind;
  fault(m, what, address >>> 0, wrapped, size, write, 0);
  return 0;
}

/** Memory that helpers may be pointed at: stack, packet, ring records, values; `size` bytes from argument `arg` on. */
export function argumentOk(
  m: Machine,
  address: number,
  high: number,
  size: number,
  write: boolean,
  arg: number,
): boolean {
  const kind = high !== 0 ? FAULT_HIGH_HALF : rangeKind(m, address, size, write);
  if (kind === 0) return true;
  fault(m, kind, address, high, size, write, arg);
  return false;
}

function rangeKind(m: Machine, address: number, size: number, write: boolean): number {
  if (address >= m.stackLow && address + size <= m.stackTop) return 0;
  if (inPacket(m.mem, m.run, address, size)) return write && !packetWritable(m.mem, m.run) ? FAULT_RIGHTS : 0;
  return memoryKind(m, address, size, write);
}

/** 0 for something that the run holds, or a value of a map of this program; else what is wrong. */
function memoryKind(m: Machine, address: number, size: number, write: boolean): number {
  const { mem } = m;
  const area = valueArea(mem, address);
  if (area === 0) return otherFault(mem, m.run, m.prog, address, size, write);
  const map = m.u32[(area + AREA_MAP) >>> 2]!;
  if (map !== m.lastMap) {
    if (!mapInReach(mem, m.run, m.prog, map)) return FAULT_OUTSIDE;
    m.lastMap = map;
  }
  return valueFault(mem, area, address, size, write);
}

/**
 * Whether high:low is the handle of a map that goes with the helper (-1: a kernel function, which takes any): one of this program, or one that the run reached
 * through another map; else the run has faulted.
 */
export function mapOk(m: Machine, low: number, high: number, helper: number, arg: number): boolean {
  const entry = high === 0 ? progMap(m.mem, m.prog, low) : 0;
  const inner = entry === 0 && high === 0 && reached(m, low);
  if (helper < 0 && (entry !== 0 || inner)) return true;
  if (entry !== 0 ? helperAllowed(m.mem, entry, helper) : inner && innerAllowed(m.kernel, low, helper)) return true;
  fault(m, entry !== 0 || inner ? FAULT_MAP_HELPER : FAULT_MAP, low, high, 0, false, arg);
  return false;
}

function reached(m: Machine, map: number): boolean {
  return holdsReference(m.mem, m.run, map) && m.u32[(map + OBJ_KIND) >>> 2] === OBJ_MAP;
}
