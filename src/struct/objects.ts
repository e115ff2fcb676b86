/**
 * Objects that programs allocate (bpf_obj_new). The objects of one struct of one BTF come from a pool, whose memory serves
 * nothing else while that BTF lives: a stale pointer reaches an object of the same struct at worst. Each object lies
 * behind a head that programs do not reach: whether it lives, its references, and for each special field a slot with what
 * the field stands for. Kernel counterpart: bpf_obj_new_impl, struct btf_struct_meta.
 */
import type { SpecialFields } from "../btf/special_fields.ts";
import {
  AREA_BASE,
  AREA_KIND,
  AREA_MAP,
  AREA_OBJECTS,
  AREA_SIZE,
  AREA_STRIDE,
  alloc,
  allocAreas,
  areaOf,
  free,
  freeAreas,
} from "../mem/alloc.ts";
import { rup8 } from "../mem/layout.ts";
import { lock, unlock } from "../mem/locks.ts";
import type { Memory } from "../mem/memory.ts";
import { FIELD_SIZE, fieldOfRecord, freeRecord, initByRecord, makeRecord, R_COUNT, R_HEAD } from "./fields.ts";

/** A pool: the next one of the BTF object, that object, the struct's id, 1 for objects with a copy for each CPU. */
const P_NEXT = 0;
export const POOL_BTF = 4;
export const POOL_TYPE = 8;
export const POOL_PERCPU = 12;
/** Bytes of the struct, of all its copies, of the head, and the distance of two objects. */
export const POOL_STRUCT_SIZE = 16;
export const POOL_BYTES = 20;
const POOL_HEAD = 24;
const P_STRIDE = 28;
/** The record of the special fields, or 0. */
export const POOL_RECORD = 32;
const P_LOCK = 36;
/** Free objects: the first, each one's link the next. */
const P_FREE = 40;
/** Areas: the first, each one's base in a block with the next. */
const P_CHUNKS = 44;
const P_SIZE = 64;

/** An object's head: 1 while it lives, references, a link for lists of objects that are free or about to go; then slots. */
const O_LIVE = 0;
export const OBJECT_REFS = 4;
export const OBJECT_LINK = 8;
const O_SLOTS = 16;
export const SLOT_SIZE = 16;

const CHUNK_BYTES = 0x1_0000 - 8;
const CHUNK_SIZE = 16;

export interface PoolSpec {
  readonly btf: number;
  readonly type: number;
  readonly size: number;
  /** 1, or how many copies each object has. */
  readonly cpus: number;
  readonly percpu: boolean;
  readonly fields: SpecialFields | undefined;
}

/** The pool of a struct in a chain of pools, or 0. */
export function findPool(mem: Memory, first: number, type: number, percpu: boolean): number {
  const { u32 } = mem;
  for (let pool = first; pool !== 0; pool = u32[(pool + P_NEXT) >>> 2]!) {
    if (u32[(pool + POOL_TYPE) >>> 2] === type && (u32[(pool + POOL_PERCPU) >>> 2] === 1) === percpu) return pool;
  }
  return 0;
}

/** A pool that goes in front of `next`; 0: out of memory. */
export function makePool(mem: Memory, spec: PoolSpec, next: number): number {
  const { u32 } = mem;
  const record = spec.fields === undefined ? 0 : makeRecord(mem, spec.fields, spec.btf);
  const pool = spec.fields !== undefined && record === 0 ? 0 : alloc(mem, P_SIZE);
  if (pool === 0) {
    freeRecord(mem, record);
    return 0;
  }
  const head = O_SLOTS + (spec.fields?.fields.length ?? 0) * SLOT_SIZE;
  const bytes = spec.percpu ? spec.cpus * rup8(spec.size) : spec.size;
  u32[(pool + P_NEXT) >>> 2] = next;
  u32[(pool + POOL_BTF) >>> 2] = spec.btf;
  u32[(pool + POOL_TYPE) >>> 2] = spec.type;
  u32[(pool + POOL_PERCPU) >>> 2] = spec.percpu ? 1 : 0;
  u32[(pool + POOL_STRUCT_SIZE) >>> 2] = spec.size;
  u32[(pool + POOL_BYTES) >>> 2] = bytes;
  u32[(pool + POOL_HEAD) >>> 2] = head;
  // Bytes that nobody touches lie between two objects.
  u32[(pool + P_STRIDE) >>> 2] = rup8(head + bytes) + 8;
  u32[(pool + POOL_RECORD) >>> 2] = record;
  return pool;
}

/** The BTF object ends: none of its objects lives. */
export function freePools(mem: Memory, first: number): void {
  const { u32 } = mem;
  for (let pool = first; pool !== 0; ) {
    const next = u32[(pool + P_NEXT) >>> 2]!;
    for (let chunk = u32[(pool + P_CHUNKS) >>> 2]!; chunk !== 0; ) {
      const other = u32[chunk >>> 2]!;
      freeAreas(mem, u32[(chunk + 4) >>> 2]!, u32[(chunk + 8) >>> 2]!, 1);
      free(mem, chunk, CHUNK_SIZE);
      chunk = other;
    }
    freeRecord(mem, u32[(pool + POOL_RECORD) >>> 2]!);
    free(mem, pool, P_SIZE);
    pool = next;
  }
}

/** More objects for a pool, all free. Called with its lock. */
function addObjects(mem: Memory, pool: number): boolean {
  const { u32 } = mem;
  const stride = u32[(pool + P_STRIDE) >>> 2]!;
  const count = Math.max(1, Math.floor(CHUNK_BYTES / stride));
  const chunk = alloc(mem, CHUNK_SIZE);
  if (chunk === 0) return false;
  const base = allocAreas(mem, count * stride, 1, { kind: AREA_OBJECTS, map: pool, stride });
  if (base === 0) {
    free(mem, chunk, CHUNK_SIZE);
    return false;
  }
  u32[chunk >>> 2] = u32[(pool + P_CHUNKS) >>> 2]!;
  u32[(chunk + 4) >>> 2] = base;
  u32[(chunk + 8) >>> 2] = count * stride;
  u32[(pool + P_CHUNKS) >>> 2] = chunk;
  const head = u32[(pool + POOL_HEAD) >>> 2]!;
  for (let i = count - 1; i >= 0; i--) pushFree(mem, pool, base + i * stride + head);
  return true;
}

function pushFree({ u32 }: Memory, pool: number, object: number): void {
  const head = object - u32[(pool + POOL_HEAD) >>> 2]!;
  u32[(head + OBJECT_LINK) >>> 2] = u32[(pool + P_FREE) >>> 2]!;
  u32[(pool + P_FREE) >>> 2] = object;
}

/** A new object of the pool, zero but for its special fields, with one reference: the caller's. 0: out of memory. */
export function newObject(mem: Memory, pool: number): number {
  const { u32 } = mem;
  lock(mem, pool + P_LOCK);
  if (u32[(pool + P_FREE) >>> 2] === 0 && !addObjects(mem, pool)) {
    unlock(mem, pool + P_LOCK);
    return 0;
  }
  const object = u32[(pool + P_FREE) >>> 2]!;
  const size = u32[(pool + POOL_HEAD) >>> 2]!;
  const head = object - size;
  u32[(pool + P_FREE) >>> 2] = u32[(head + OBJECT_LINK) >>> 2]!;
  mem.zero(head, size + u32[(pool + POOL_BYTES) >>> 2]!);
  u32[(head + O_LIVE) >>> 2] = 1;
  u32[(head + OBJECT_REFS) >>> 2] = 1;
  unlock(mem, pool + P_LOCK);
  const record = u32[(pool + POOL_RECORD) >>> 2]!;
  if (record !== 0) initByRecord(mem, record, object);
  return object;
}

/** Nothing holds the object any more, and its fields are empty. */
export function freeObject(mem: Memory, object: number): void {
  const pool = poolOf(mem, object);
  lock(mem, pool + P_LOCK);
  mem.u32[(headOf(mem, object) + O_LIVE) >>> 2] = 0;
  pushFree(mem, pool, object);
  unlock(mem, pool + P_LOCK);
}

/** The area of objects that the address lies in, or 0. */
export function objectArea(mem: Memory, address: number): number {
  const area = areaOf(mem, address);
  return mem.u32[(area + AREA_KIND) >>> 2] === AREA_OBJECTS ? area : 0;
}

/** The pool of something inside an area of objects. */
export function poolOf(mem: Memory, address: number): number {
  return mem.u32[(areaOf(mem, address) + AREA_MAP) >>> 2]!;
}

/** The object of which this is a byte, or a byte of its head; 0: none lies here. */
export function objectAround(mem: Memory, area: number, address: number): number {
  const { u32 } = mem;
  const at = address - u32[(area + AREA_BASE) >>> 2]!;
  if (at >= u32[(area + AREA_SIZE) >>> 2]!) return 0;
  const pool = u32[(area + AREA_MAP) >>> 2]!;
  return address - (at % u32[(area + AREA_STRIDE) >>> 2]!) + u32[(pool + POOL_HEAD) >>> 2]!;
}

export function headOf(mem: Memory, object: number): number {
  return object - mem.u32[(poolOf(mem, object) + POOL_HEAD) >>> 2]!;
}

export function isLive(mem: Memory, object: number): boolean {
  return mem.u32[(headOf(mem, object) + O_LIVE) >>> 2] === 1;
}

/** The object that begins at the address, if one that lives does; else 0. */
export function liveObjectAt(mem: Memory, address: number): number {
  const area = objectArea(mem, address);
  return area !== 0 && objectAround(mem, area, address) === address && isLive(mem, address) ? address : 0;
}

/** The slot of the special field of this kind at an address inside an object that lives; 0: there is none. */
export function slotAt(mem: Memory, address: number, kinds: number): number {
  const area = objectArea(mem, address);
  const object = area === 0 ? 0 : objectAround(mem, area, address);
  if (object === 0 || address < object || !isLive(mem, object)) return 0;
  const record = mem.u32[(mem.u32[(area + AREA_MAP) >>> 2]! + POOL_RECORD) >>> 2]!;
  const field = record === 0 ? 0 : fieldOfRecord(mem, record, address - object, kinds);
  if (field === 0) return 0;
  return headOf(mem, object) + O_SLOTS + ((field - record - R_HEAD) / FIELD_SIZE) * SLOT_SIZE;
}

/** The record of the field that a slot belongs to. */
export function fieldOfSlot(mem: Memory, slot: number): number {
  const head = headOf(mem, objectOfSlot(mem, slot));
  const record = mem.u32[(poolOf(mem, slot) + POOL_RECORD) >>> 2]!;
  return record + R_HEAD + ((slot - head - O_SLOTS) / SLOT_SIZE) * FIELD_SIZE;
}

/** The object that a slot belongs to. */
export function objectOfSlot(mem: Memory, slot: number): number {
  return objectAround(mem, areaOf(mem, slot), slot);
}

/** First slot of an object, and how many it has. */
export function slotsOf(mem: Memory, object: number): readonly [first: number, count: number] {
  const record = mem.u32[(poolOf(mem, object) + POOL_RECORD) >>> 2]!;
  return [headOf(mem, object) + O_SLOTS, record === 0 ? 0 : mem.u32[(record + R_COUNT) >>> 2]!];
}
