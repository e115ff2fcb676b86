/**
 * The bytes of dynptrs. Packets are looked up again at every access: they may have shrunk or moved since, which is then
 * for the packet's own helpers to say.
 */
import type { Kernel } from "../kern/kernel.ts";
import {
  findHeld,
  HELD_READABLE,
  HELD_WRITABLE,
  hold,
  RUN_DATA,
  RUN_DATA_END,
  RUN_FRAGS,
  RUN_FRAGS_ROOM,
  RUN_FRAGS_SIZE,
} from "../kern/run_record.ts";
import { PAGE_SIZE } from "../mem/layout.ts";
import { EFAULT, EINVAL, ENOMEM } from "../uapi/index.ts";
import {
  addressIn,
  D_OFFSET,
  D_READ_ONLY,
  D_TYPE,
  DYNPTR_SKB,
  fillDynptr,
  isPacket,
  newDynptr,
} from "./dynptr_core.ts";
import { loadBytes, storeBytes } from "./skb.ts";
import { SKB_DATA, SKB_DIRECT, skbLength, skbLinear, skbWord } from "./skb_buffer.ts";

/** Offsets and lengths that XDP's helpers take. */
const XDP_MAX = 0xffff;

/** A dynptr that spans the packet. 0 or an errno. */
export function packetDynptr(kernel: Kernel, to: number, flags: number, type: number, readOnly: boolean): number {
  const entry = newDynptr(kernel, to);
  if (entry === 0) return -ENOMEM;
  if (flags !== 0) return -EINVAL;
  fillDynptr(kernel, entry, type, 0, type === DYNPTR_SKB ? skbLength(kernel) : xdpLength(kernel));
  kernel.mem.u32[(entry + D_READ_ONLY) >>> 2] = readOnly ? 1 : 0;
  return 0;
}

/** Address of a range in one piece, so that the program may be pointed at it; 0: it is not, or not there any more. */
export function pieceAt(kernel: Kernel, dynptr: number, offset: number, length: number): number {
  if (!isPacket(kernel, dynptr)) return addressIn(kernel, dynptr, offset);
  const from = fromStart(kernel, dynptr, offset);
  return isSkb(kernel, dynptr) ? skbPiece(kernel, from, length) : xdpPiece(kernel, from, length);
}

/** Moves bytes between memory and the dynptr's, whose range was judged. 0, or what the packet's own helpers say. */
export function moveBytes(
  kernel: Kernel,
  dynptr: number,
  offset: number,
  buffer: number,
  length: number,
  write: boolean,
  flags = 0,
): number {
  const { mem } = kernel;
  if (!isPacket(kernel, dynptr)) {
    const at = addressIn(kernel, dynptr, offset);
    mem.copy(write ? at : buffer, write ? buffer : at, length);
    return 0;
  }
  const from = fromStart(kernel, dynptr, offset);
  if (!isSkb(kernel, dynptr)) return moveXdp(kernel, from, buffer, length, write);
  return write ? storeBytes(kernel, 0, from, buffer, length, flags, 0) : loadBytes(kernel, 0, from, buffer, length);
}

function fromStart({ mem: { u32 } }: Kernel, dynptr: number, offset: number): number {
  return offset + u32[(dynptr + D_OFFSET) >>> 2]!;
}

function isSkb({ mem: { u32 } }: Kernel, dynptr: number): boolean {
  return u32[(dynptr + D_TYPE) >>> 2] === DYNPTR_SKB;
}

/** The linear part only. Programs that do not see it in their context may read it from now on. */
function skbPiece(kernel: Kernel, from: number, length: number): number {
  const { mem, run } = kernel;
  const linear = skbLinear(kernel);
  if (from + length > linear) return 0;
  const data = skbWord(kernel, SKB_DATA);
  if (skbWord(kernel, SKB_DIRECT) === 0 && findHeld(mem, run, HELD_READABLE, data) === 0) {
    if (!hold(mem, run, HELD_READABLE, 0, data, linear)) return 0;
  }
  return data + from;
}

function xdpLength({ mem: { u32 }, run }: Kernel): number {
  return u32[(run + RUN_DATA_END) >>> 2]! - u32[(run + RUN_DATA) >>> 2]! + u32[(run + RUN_FRAGS_SIZE) >>> 2]!;
}

/** The linear part, or one of the pages behind it, which the program may use from now on. */
function xdpPiece(kernel: Kernel, from: number, length: number): number {
  const { mem, run } = kernel;
  const { u32 } = mem;
  const data = u32[(run + RUN_DATA) >>> 2]!;
  const linear = u32[(run + RUN_DATA_END) >>> 2]! - data;
  if (from + length > xdpLength(kernel)) return 0;
  if (from + length <= linear) return data + from;
  const inFrags = from - linear;
  if (inFrags < 0 || (inFrags % PAGE_SIZE) + length > PAGE_SIZE) return 0;
  const frags = u32[(run + RUN_FRAGS) >>> 2]!;
  if (findHeld(mem, run, HELD_WRITABLE, frags) === 0) {
    if (!hold(mem, run, HELD_WRITABLE, 0, frags, u32[(run + RUN_FRAGS_ROOM) >>> 2]!)) return 0;
  }
  return frags + inFrags;
}

function moveXdp(kernel: Kernel, from: number, buffer: number, length: number, write: boolean): number {
  const { mem, run } = kernel;
  const { u32 } = mem;
  if (from > XDP_MAX || length > XDP_MAX) return -EFAULT;
  if (from + length > xdpLength(kernel)) return -EINVAL;
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
