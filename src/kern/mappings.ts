/**
 * mmap of maps. A mapping holds its map until munmap. The view that user space was given cannot be taken away from it,
 * so the area's granules are not used for anything else until the view is known to be gone: a late write can spoil only
 * what nobody reads any more. Records lie in linear memory, so that those of a thread that died can be cleaned up.
 */
import {
  AREA_BASE,
  AREA_MAPPED,
  AREA_MAPPED_RW,
  AREA_READ_END,
  AREA_SIZE,
  AREA_WRITE_END,
  addView,
  alloc,
  areaOf,
  dropView,
  free,
} from "../mem/alloc.ts";
import { OBJ_KIND, OBJ_MAP, PAGE_SIZE } from "../mem/layout.ts";
import { lock, unlock } from "../mem/locks.ts";
import { MAP_FIELDS, MAP_FLAGS, MAP_FROZEN, MAP_WRITERS } from "../struct/map.ts";
import {
  BPF_F_RDONLY_PROG,
  EACCES,
  EBADF,
  EINVAL,
  ENODEV,
  ENOMEM,
  ENOTSUPP,
  EPERM,
  PROT_EXEC,
  PROT_WRITE,
} from "../uapi/index.ts";
import type { ClientSlot } from "./clients.ts";
import { entryMode, entryObject, FMODE_READ, FMODE_WRITE, getEntry, PROCESS_LOCK, PROCESS_MAPPINGS } from "./fds.ts";
import type { Kernel } from "./kernel.ts";
import { entryOfMap } from "./map.ts";

const M_NEXT = 0;
/** 0 after munmap: the record stays until the view is gone. */
const M_MAP = 4;
const M_AREA = 8;
const M_SLOT = 12;
const M_GENERATION = 16;
const M_WRITABLE = 20;
const MAPPING_SIZE = 32;

/** What mmap(2) takes. */
export interface MmapRequest {
  readonly offset: number;
  readonly length: number;
  readonly prot: number;
  /** A wish of the caller's, in user space's addresses; 0: none. Few types ask for it. */
  readonly hint: bigint;
}

export interface Mapping {
  readonly address: number;
  /** Bytes that are there: a mapping may reach beyond what it shows. */
  readonly length: number;
  /** Where user space believes it to be. */
  readonly userAddress: bigint;
  /** For `unmap` and `forgetView`. */
  readonly record: number;
}

/** Maps a part of what the fd's map offers; or a negative errno. */
export function mapMemory(kernel: Kernel, fd: number, request: MmapRequest): Mapping | number {
  if (request.offset % PAGE_SIZE !== 0) return -EINVAL;
  const entry = getEntry(kernel.mem, kernel.process, fd);
  if (entry === 0) return -EBADF;
  const object = entryObject(entry);
  const mapping =
    kernel.mem.u32[(object + OBJ_KIND) >>> 2] === OBJ_MAP
      ? mapObject(kernel, object, entryMode(entry), request)
      : -ENODEV;
  kernel.done(object);
  return mapping;
}

function mapObject(kernel: Kernel, map: number, mode: number, request: MmapRequest): Mapping | number {
  const { u32 } = kernel.mem;
  const { offset, length, prot, hint } = request;
  const writable = (prot & PROT_WRITE) !== 0;
  if (length <= 0 || offset < 0) return -EINVAL;
  const pages = Math.ceil(length / PAGE_SIZE) * PAGE_SIZE;
  const misplaced = entryOfMap(kernel, map).ops.map_get_unmapped_area(kernel, map, hint, offset, pages);
  if (misplaced !== 0) return misplaced;
  if ((mode & FMODE_READ) === 0 || (writable && (mode & FMODE_WRITE) === 0)) return -EACCES;
  if (prot & PROT_EXEC) return -EPERM;
  const record = alloc(kernel.mem, MAPPING_SIZE);
  if (record === 0) return -ENOMEM;
  const address = mapPages(kernel, map, mode, offset, pages, writable, hint);
  if (address < 0) {
    free(kernel.mem, record, MAPPING_SIZE);
    return address;
  }
  const area = areaOf(kernel.mem, address);
  const base = u32[(area + AREA_BASE) >>> 2]!;
  // The last page of an area is whole, whatever of it is used.
  const end = Math.min(address + pages, base + Math.ceil(u32[(area + AREA_SIZE) >>> 2]! / PAGE_SIZE) * PAGE_SIZE);
  const userAddress = userAddressOf(kernel, map, address, record);
  fillRecord(kernel, record, map, area, writable, end - base);
  return { address, length: Math.min(length, end - address), userAddress, record };
}

/** The kernel's order: no mmap at all, or not of values with special fields, no longer shared (a read-only fd), frozen, programs only read. */
function mapPages(
  kernel: Kernel,
  map: number,
  mode: number,
  offset: number,
  pages: number,
  writable: boolean,
  hint: bigint,
): number {
  const { u32, atomics } = kernel.mem;
  const { ops, traits } = entryOfMap(kernel, map);
  if (!traits.mmap || u32[(map + MAP_FIELDS) >>> 2] !== 0) return -ENOTSUPP;
  if ((mode & FMODE_WRITE) === 0) return -EINVAL;
  if (!writable) return ops.map_mmap(kernel, map, offset, pages, false, hint);
  // First the count, then the look at the mark: one who freezes in between sees the count.
  atomics.add32(map + MAP_WRITERS, 1);
  let address = -EPERM;
  if (atomics.load32(map + MAP_FROZEN) === 0) {
    const readOnly = (u32[(map + MAP_FLAGS) >>> 2]! & BPF_F_RDONLY_PROG) !== 0;
    address = readOnly ? -EACCES : ops.map_mmap(kernel, map, offset, pages, true, hint);
  }
  if (address < 0) atomics.add32(map + MAP_WRITERS, -1);
  return address;
}

/** A view has no address but the linear memory's; user space may know it by another. `room`: for a u64. */
function userAddressOf(kernel: Kernel, map: number, address: number, room: number): bigint {
  const { ops, traits } = entryOfMap(kernel, map);
  if (traits.userAddresses !== true) return BigInt(address);
  ops.map_direct_value_addr(kernel, map, 0, room);
  return kernel.mem.u64[room >>> 3]!;
}

/** `end`: how far from the area's base on the mapping reaches. */
function fillRecord(kernel: Kernel, record: number, map: number, area: number, writable: boolean, end: number): void {
  const { mem, process } = kernel;
  const { u32 } = mem;
  kernel.hold(map);
  addView(mem, area);
  lock(mem, process + PROCESS_LOCK);
  count(u32, area, AREA_MAPPED, AREA_READ_END, 1, end);
  if (writable) count(u32, area, AREA_MAPPED_RW, AREA_WRITE_END, 1, end);
  unlock(mem, process + PROCESS_LOCK);
  u32[(record + M_MAP) >>> 2] = map;
  u32[(record + M_AREA) >>> 2] = area;
  u32[(record + M_SLOT) >>> 2] = kernel.client.slot;
  u32[(record + M_GENERATION) >>> 2] = kernel.client.generation;
  u32[(record + M_WRITABLE) >>> 2] = writable ? 1 : 0;
  lock(mem, process + PROCESS_LOCK);
  u32[(record + M_NEXT) >>> 2] = u32[(process + PROCESS_MAPPINGS) >>> 2]!;
  u32[(process + PROCESS_MAPPINGS) >>> 2] = record;
  unlock(mem, process + PROCESS_LOCK);
}

/** One mapping more or less; the last one to go takes the reach with it. */
function count(u32: Uint32Array, area: number, counter: number, reach: number, by: number, end: number): void {
  const n = u32[(area + counter) >>> 2]! + by;
  u32[(area + counter) >>> 2] = n;
  u32[(area + reach) >>> 2] = n === 0 ? 0 : Math.max(u32[(area + reach) >>> 2]!, end);
}

/** munmap: lets go of the map; the area stays out of use until `forgetView`. */
export function unmap(kernel: Kernel, record: number): void {
  const { mem, process } = kernel;
  const { u32, atomics } = mem;
  const map = u32[(record + M_MAP) >>> 2]!;
  if (map === 0) return;
  const writable = u32[(record + M_WRITABLE) >>> 2] === 1;
  u32[(record + M_MAP) >>> 2] = 0;
  const area = u32[(record + M_AREA) >>> 2]!;
  lock(mem, process + PROCESS_LOCK);
  count(u32, area, AREA_MAPPED, AREA_READ_END, -1, 0);
  if (writable) count(u32, area, AREA_MAPPED_RW, AREA_WRITE_END, -1, 0);
  unlock(mem, process + PROCESS_LOCK);
  if (writable) atomics.add32(map + MAP_WRITERS, -1);
  kernel.put(map);
}

/** The views of a mapping are gone for good: their holder said so, or its thread ended. */
export function forgetView(kernel: Kernel, record: number): void {
  const { mem, process } = kernel;
  const { u32 } = mem;
  unmap(kernel, record);
  lock(mem, process + PROCESS_LOCK);
  let link = process + PROCESS_MAPPINGS;
  while (u32[link >>> 2] !== record) link = u32[link >>> 2]! + M_NEXT;
  u32[link >>> 2] = u32[(record + M_NEXT) >>> 2]!;
  unlock(mem, process + PROCESS_LOCK);
  dropView(mem, u32[(record + M_AREA) >>> 2]!);
  free(mem, record, MAPPING_SIZE);
}

/** A thread ended, and its views with it. */
export function dropMappingsOf(kernel: Kernel, client: ClientSlot): void {
  for (let record = mappingOf(kernel, client); record !== 0; record = mappingOf(kernel, client)) {
    forgetView(kernel, record);
  }
}

/** A mapping of this client's, or 0. Each search begins anew: other threads end theirs meanwhile. */
function mappingOf({ mem, process }: Kernel, client: ClientSlot): number {
  const { u32 } = mem;
  lock(mem, process + PROCESS_LOCK);
  let record = u32[(process + PROCESS_MAPPINGS) >>> 2]!;
  while (record !== 0 && !belongsTo(u32, record, client)) record = u32[(record + M_NEXT) >>> 2]!;
  unlock(mem, process + PROCESS_LOCK);
  return record;
}

function belongsTo(u32: Uint32Array, record: number, { slot, generation }: ClientSlot): boolean {
  return u32[(record + M_SLOT) >>> 2] === slot && u32[(record + M_GENERATION) >>> 2] === generation;
}
