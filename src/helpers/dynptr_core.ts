/**
 * What a dynptr is: a piece of memory of some kind, of which the run's table knows where it is and how much of it the
 * program sees (see kern/stack_objects.ts). Packets are looked up again at every access: they may have shrunk since.
 * Kernel counterpart: kernel/bpf/helpers.c.
 */
import type { Kernel } from "../kern/kernel.ts";
import {
  findHeld,
  HELD_WRITABLE,
  hold,
  RUN_DATA,
  RUN_DATA_END,
  RUN_FRAGS,
  RUN_FRAGS_ROOM,
  RUN_FRAGS_SIZE,
} from "../kern/run_record.ts";
import { OBJECT_DYNPTR, OBJECT_STATE, putStackObject } from "../kern/stack_objects.ts";
import { PAGE_SIZE } from "../mem/layout.ts";
import { E2BIG, EFAULT, EINVAL, ENOMEM } from "../uapi/index.ts";

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
/** Offsets and lengths that the kernel takes for packets. */
const PACKET_MAX = 0xffff;

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

/** A dynptr that spans the packet. 0 or an errno. */
export function packetDynptr(kernel: Kernel, to: number, flags: number, type: number, readOnly: boolean): number {
  const entry = newDynptr(kernel, to);
  if (entry === 0) return -ENOMEM;
  if (flags !== 0) return -EINVAL;
  fillDynptr(kernel, entry, type, 0, packetSize(kernel));
  kernel.mem.u32[(entry + D_READ_ONLY) >>> 2] = readOnly ? 1 : 0;
  return 0;
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

function packetSize({ mem: { u32 }, run }: Kernel): number {
  return u32[(run + RUN_DATA_END) >>> 2]! - u32[(run + RUN_DATA) >>> 2]! + u32[(run + RUN_FRAGS_SIZE) >>> 2]!;
}

/**
 * Address of a range of the packet that lies in one piece, so that the program may be pointed at it; 0: it does not, or
 * is not there. Only XDP programs are shown the pages behind the linear part.
 */
export function packetPiece(kernel: Kernel, dynptr: number, offset: number, length: number): number {
  const { mem, run } = kernel;
  const { u32 } = mem;
  const from = offset + u32[(dynptr + D_OFFSET) >>> 2]!;
  const data = u32[(run + RUN_DATA) >>> 2]!;
  const linear = u32[(run + RUN_DATA_END) >>> 2]! - data;
  if (from + length > packetSize(kernel)) return 0;
  if (from + length <= linear) return data + from;
  const inFrags = from - linear;
  const onePage = inFrags >= 0 && (inFrags % PAGE_SIZE) + length <= PAGE_SIZE;
  if (u32[(dynptr + D_TYPE) >>> 2] !== DYNPTR_XDP || !onePage) return 0;
  const frags = u32[(run + RUN_FRAGS) >>> 2]!;
  if (findHeld(mem, run, HELD_WRITABLE, frags) === 0) {
    if (!hold(mem, run, HELD_WRITABLE, 0, frags, u32[(run + RUN_FRAGS_ROOM) >>> 2]!)) return 0;
  }
  return frags + inFrags;
}

/** Moves bytes between memory and the dynptr's, whose range was judged. 0, or what the packet's own helpers say. */
export function moveBytes(
  kernel: Kernel,
  dynptr: number,
  offset: number,
  buffer: number,
  length: number,
  write: boolean,
): number {
  if (isPacket(kernel, dynptr)) return movePacket(kernel, dynptr, offset, buffer, length, write);
  const at = addressIn(kernel, dynptr, offset);
  if (write) kernel.mem.copy(at, buffer, length);
  else kernel.mem.copy(buffer, at, length);
  return 0;
}

function movePacket(
  kernel: Kernel,
  dynptr: number,
  offset: number,
  buffer: number,
  length: number,
  write: boolean,
): number {
  const { mem, run } = kernel;
  const { u32 } = mem;
  const from = offset + u32[(dynptr + D_OFFSET) >>> 2]!;
  const skb = u32[(dynptr + D_TYPE) >>> 2] === DYNPTR_SKB;
  if (from > PACKET_MAX || length > PACKET_MAX) return -EFAULT;
  if (from + length > packetSize(kernel)) return skb ? -EFAULT : -EINVAL;
  const data = u32[(run + RUN_DATA) >>> 2]!;
  const linear = u32[(run + RUN_DATA_END) >>> 2]! - data;
  const first = Math.max(0, Math.min(length, linear - from));
  const rest = u32[(run + RUN_FRAGS) >>> 2]! + from + first - linear;
  if (write) {
    mem.copy(data + from, buffer, first);
    if (first < length) mem.copy(rest, buffer + first, length - first);
  } else {
    mem.copy(buffer, data + from, first);
    if (first < length) mem.copy(buffer + first, rest, length - first);
  }
  return 0;
}
