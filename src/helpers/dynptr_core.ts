/**
 * What a dynptr is: a piece of memory of some kind, of which the run's table knows where it is and how much of it the
 * program sees (see kern/stack_objects.ts). Kernel counterpart: kernel/bpf/helpers.c.
 */
import type { Kernel } from "../kern/kernel.ts";
import { OBJECT_DYNPTR, OBJECT_STATE, putStackObject } from "../kern/stack_objects.ts";
import { E2BIG } from "../uapi/index.ts";

/** Words of a dynptr's entry. The type says what it is made of; DYNPTR_NULL: of nothing. */
export const D_TYPE: number = OBJECT_STATE;
/** Address of the first byte; 0: the packet's. */
export const D_BASE: number = OBJECT_STATE + 4;
/** Bytes from there to what the program sees, and how many it sees. */
export const D_OFFSET: number = OBJECT_STATE + 8;
export const D_SIZE: number = OBJECT_STATE + 12;
/** 1: the program may only read it. */
export const D_READ_ONLY: number = OBJECT_STATE + 16;

/** All of them. */
export const D_BYTES = 20;

export const DYNPTR_NULL = 0;
/** A value of a map, or a sample of a user ring. */
export const DYNPTR_LOCAL = 1;
export const DYNPTR_RING = 2;
export const DYNPTR_SKB = 3;
export const DYNPTR_XDP = 4;

/** Bytes of struct bpf_dynptr. */
export const DYNPTR_BYTES = 16;
/** Largest size of a dynptr: 24 bits. */
export const DYNPTR_SIZE_MAX = 0xff_ffff;

/** Sets a dynptr up, null. Its entry; 0: out of memory. */
export function newDynptr(kernel: Kernel, address: number): number {
  return putStackObject(kernel, address >>> 0, OBJECT_DYNPTR, DYNPTR_BYTES);
}

/** Makes it one of `size` bytes at `base`. */
export function fillDynptr({ mem: { u32 } }: Kernel, entry: number, type: number, base: number, size: number): void {
  u32[(entry + D_TYPE) >>> 2] = type;
  u32[(entry + D_BASE) >>> 2] = base;
  u32[(entry + D_SIZE) >>> 2] = size;
}

export function isNull({ mem: { u32 } }: Kernel, dynptr: number): boolean {
  return u32[(dynptr + D_TYPE) >>> 2] === DYNPTR_NULL;
}

export function isReadOnly({ mem: { u32 } }: Kernel, dynptr: number): boolean {
  return u32[(dynptr + D_READ_ONLY) >>> 2] === 1;
}

export function isPacket({ mem: { u32 } }: Kernel, dynptr: number): boolean {
  return u32[(dynptr + D_TYPE) >>> 2]! >= DYNPTR_SKB;
}

export function sizeOf({ mem: { u32 } }: Kernel, dynptr: number): number {
  return u32[(dynptr + D_SIZE) >>> 2]!;
}

/** 0 when `length` bytes from `offset` on are in what the dynptr spans; else -E2BIG. */
export function rangeBad(kernel: Kernel, dynptr: number, offset: number, length: number): number {
  return offset + length > sizeOf(kernel, dynptr) ? -E2BIG : 0;
}

/** Address of the byte at `offset` of what lies in one piece and has an address of its own; the range was judged. */
export function addressIn({ mem: { u32 } }: Kernel, dynptr: number, offset: number): number {
  return u32[(dynptr + D_BASE) >>> 2]! + u32[(dynptr + D_OFFSET) >>> 2]! + offset;
}
