/**
 * The record of a map's special fields, in linear memory: which bytes of a value commands neither see nor write, and the
 * locks of BPF_F_LOCK. These are not the lock words in the values: a program can write those, and who waits for a lock
 * must be able to tell whether its owner lives. Kernel counterpart: struct btf_record.
 */
import {
  FIELD_REFCOUNT,
  FIELD_SPIN_LOCK,
  FIELD_UPTR,
  KPTR_FIELDS,
  LOCK_FIELDS,
  type SpecialFields,
  VALUE_FIELDS,
} from "../btf/special_fields.ts";
import { alloc, free } from "../mem/alloc.ts";
import { holdsLock, lock, unlock } from "../mem/locks.ts";
import type { Memory } from "../mem/memory.ts";
import { BPF_F_LOCK } from "../uapi/index.ts";
import type { Expr32 } from "../wasm/expr.ts";
import { MAP_FIELDS, MAP_VALUE_SIZE } from "./map.ts";

/** What values may hold: of types whose elements are updated one by one; of those that evict; of per-CPU ones. */
export const ELEMENT_FIELDS: number = VALUE_FIELDS & ~FIELD_UPTR;
export const EVICTED_FIELDS: number = ELEMENT_FIELDS & ~LOCK_FIELDS;
export const PERCPU_FIELDS: number = KPTR_FIELDS | FIELD_REFCOUNT;

/** Head: bytes of the record, number of fields, their kinds. */
const R_SIZE = 0;
export const R_COUNT = 4;
export const R_MASK = 8;
export const R_HEAD = 16;
/** A field: kind, offset, size, what it points to (the BTF object or 0 for the kernel's, the type's id), the node's offset. */
export const F_OFFSET = 4;
export const F_BYTES = 8;
export const F_BTF = 12;
export const F_TARGET = 16;
export const F_NODE = 20;
export const FIELD_SIZE = 24;

/** Locks of a map's elements, behind the fields: an element's address says which one is its. */
const LOCK_BITS = 6;
const LOCKS_SIZE: number = 4 << LOCK_BITS;

/** Gives a map the record of what was found in its value's type. False: out of memory. */
export function setFields(mem: Memory, map: number, fields: SpecialFields, btf: number): boolean {
  const record = makeRecord(mem, fields, btf);
  mem.u32[(map + MAP_FIELDS) >>> 2] = record;
  return record !== 0;
}

/** A record of special fields; 0: out of memory. `btf`: the object whose types the fields' targets are. */
export function makeRecord(mem: Memory, { fields, mask }: SpecialFields, btf: number): number {
  const { u32 } = mem;
  const locks = mask & LOCK_FIELDS ? LOCKS_SIZE : 0;
  const size = R_HEAD + fields.length * FIELD_SIZE + locks;
  const record = alloc(mem, size);
  if (record === 0) return 0;
  u32[(record + R_SIZE) >>> 2] = size;
  u32[(record + R_COUNT) >>> 2] = fields.length;
  u32[(record + R_MASK) >>> 2] = mask;
  for (const [i, field] of fields.entries()) {
    const at = record + R_HEAD + i * FIELD_SIZE;
    u32[at >>> 2] = field.kind;
    u32[(at + F_OFFSET) >>> 2] = field.offset;
    u32[(at + F_BYTES) >>> 2] = field.size;
    u32[(at + F_BTF) >>> 2] = field.target > 0 ? btf : 0;
    u32[(at + F_TARGET) >>> 2] = Math.abs(field.target);
    u32[(at + F_NODE) >>> 2] = field.node;
  }
  return record;
}

/** Gives a template the record of the map that it is like. False: out of memory. */
export function copyRecord(mem: Memory, from: number, to: number): boolean {
  const record = mem.u32[(from + MAP_FIELDS) >>> 2]!;
  if (record === 0) return true;
  const size = mem.u32[(record + R_SIZE) >>> 2]!;
  const copy = alloc(mem, size);
  if (copy === 0) return false;
  // Not the locks behind the fields.
  mem.copy(copy, record, R_HEAD + mem.u32[(record + R_COUNT) >>> 2]! * FIELD_SIZE);
  mem.u32[(to + MAP_FIELDS) >>> 2] = copy;
  return true;
}

export function freeFields(mem: Memory, map: number): void {
  freeRecord(mem, mem.u32[(map + MAP_FIELDS) >>> 2]!);
}

export function freeRecord(mem: Memory, record: number): void {
  if (record !== 0) free(mem, record, mem.u32[(record + R_SIZE) >>> 2]!);
}

/** Whether the values of two maps hold the same special fields, which an inner map must. */
export function sameRecord(mem: Memory, mapA: number, mapB: number): boolean {
  const { u32 } = mem;
  const a = u32[(mapA + MAP_FIELDS) >>> 2]!;
  const b = u32[(mapB + MAP_FIELDS) >>> 2]!;
  if (a === 0 || b === 0) return a === b;
  const words = (R_HEAD + u32[(a + R_COUNT) >>> 2]! * FIELD_SIZE) >>> 2;
  for (let i = 0; i < words; i++) if (u32[(a >>> 2) + i] !== u32[(b >>> 2) + i]) return false;
  return true;
}

/** Whether the map's values hold a field of these kinds. */
function hasField(mem: Memory, map: number, kinds: number): boolean {
  const record = mem.u32[(map + MAP_FIELDS) >>> 2]!;
  return record !== 0 && (mem.u32[(record + R_MASK) >>> 2]! & kinds) !== 0;
}

/** The record of the field of these kinds at byte `offset` of the map's values, or 0. */
export function fieldAt(mem: Memory, map: number, offset: number, kind: number): number {
  const { u32 } = mem;
  const record = u32[(map + MAP_FIELDS) >>> 2]!;
  return record === 0 ? 0 : fieldOfRecord(mem, record, offset, kind);
}

/** The field at byte `offset`, if it is of one of these kinds; else 0. */
export function fieldOfRecord({ u32 }: Memory, record: number, offset: number, kinds: number): number {
  const end = record + R_HEAD + u32[(record + R_COUNT) >>> 2]! * FIELD_SIZE;
  for (let at = record + R_HEAD; at < end; at += FIELD_SIZE) {
    if (u32[(at + F_OFFSET) >>> 2] === offset && (u32[at >>> 2]! & kinds) !== 0) return at;
  }
  return 0;
}

/** BPF_F_LOCK is for values with a bpf_spin_lock; a bpf_res_spin_lock does not count. */
export function hasSpinLock(mem: Memory, map: number): boolean {
  return hasField(mem, map, FIELD_SPIN_LOCK);
}

/** Puts the special fields of a value, or of a copy of one, into the state of a new element: zero, one reference. */
export function initFields(mem: Memory, map: number, value: number): void {
  const record = mem.u32[(map + MAP_FIELDS) >>> 2]!;
  if (record !== 0) initByRecord(mem, record, value);
}

export function initByRecord(mem: Memory, record: number, value: number): void {
  const { u32, u8 } = mem;
  const count = u32[(record + R_COUNT) >>> 2]!;
  for (let i = 0, at = record + R_HEAD; i < count; i++, at += FIELD_SIZE) {
    const field = value + u32[(at + F_OFFSET) >>> 2]!;
    mem.zero(field, u32[(at + F_BYTES) >>> 2]!);
    if (u32[at >>> 2] === FIELD_REFCOUNT) u8[field] = 1;
  }
}

/** Copies a value into an element that exists: its special fields stay. */
export function copyBetweenFields(mem: Memory, map: number, to: number, from: number): void {
  const { u32 } = mem;
  const record = u32[(map + MAP_FIELDS) >>> 2]!;
  const count = u32[(record + R_COUNT) >>> 2]!;
  let done = 0;
  for (let i = 0, at = record + R_HEAD; i < count; i++, at += FIELD_SIZE) {
    const offset = u32[(at + F_OFFSET) >>> 2]!;
    mem.copy(to + done, from + done, offset - done);
    done = offset + u32[(at + F_BYTES) >>> 2]!;
  }
  mem.copy(to + done, from + done, u32[(map + MAP_VALUE_SIZE) >>> 2]! - done);
}

/** Overwrites an element in place, all but its special fields; with a bucket's lock held or without. */
export function storeInPlace(mem: Memory, map: number, to: number, from: number): void {
  if (mem.u32[(map + MAP_FIELDS) >>> 2] === 0) mem.copy(to, from, mem.u32[(map + MAP_VALUE_SIZE) >>> 2]!);
  else copyBetweenFields(mem, map, to, from);
}

/** The lock of the element whose value lies here. */
function lockOf(mem: Memory, map: number, value: number): number {
  return elementLock(mem, mem.u32[(map + MAP_FIELDS) >>> 2]!, value);
}

/** The lock of the value or object that lies here; the record is of its special fields, and one of these is a lock. */
export function elementLock({ u32 }: Memory, record: number, value: number): number {
  const locks = record + R_HEAD + u32[(record + R_COUNT) >>> 2]! * FIELD_SIZE;
  return locks + ((Math.imul(value >>> 3, 0x9e37_79b1) >>> (32 - LOCK_BITS)) << 2);
}

/** The same in compiled programs. */
export function emitElementLock({ u32 }: Memory, record: number, value: Expr32): Expr32 {
  const locks = record + R_HEAD + u32[(record + R_COUNT) >>> 2]! * FIELD_SIZE;
  return value
    .shrU(3)
    .mul(0x9e37_79b1)
    .shrU(32 - LOCK_BITS)
    .shl(2)
    .add(locks);
}

/** BPF_F_LOCK: overwrites an element under its lock. Taken inside a bucket's lock, never the other way round. */
export function storeLocked(mem: Memory, map: number, to: number, from: number): void {
  const word = lockOf(mem, map, to);
  // Of a writer that died in here the next one leaves nothing: it writes all bytes again. A program of this thread may
  // hold the lock while it calls here, or while it stands still.
  const taken = !holdsLock(mem, word);
  if (taken) lock(mem, word);
  copyBetweenFields(mem, map, to, from);
  if (taken) unlock(mem, word);
}

/** Copies a value with special fields out, which look as in a new element; with BPF_F_LOCK under the element's lock. */
export function readFields(mem: Memory, map: number, to: number, from: number, flags: number): void {
  let word = flags & BPF_F_LOCK ? lockOf(mem, map, from) : 0;
  if (word !== 0 && holdsLock(mem, word)) word = 0;
  if (word !== 0) lock(mem, word);
  mem.copy(to, from, mem.u32[(map + MAP_VALUE_SIZE) >>> 2]!);
  if (word !== 0) unlock(mem, word);
  initFields(mem, map, to);
}
