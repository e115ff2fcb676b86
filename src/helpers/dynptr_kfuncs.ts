/** Kernel functions for dynptrs. Return values and the order of the checks are the kernel's: kernel/bpf/helpers.c. */
import type { Kernel } from "../kern/kernel.ts";
import { RUN_PACKET_READ_ONLY } from "../kern/run_record.ts";
import {
  BPF_PROG_TYPE_CGROUP_SKB,
  BPF_PROG_TYPE_LWT_IN,
  BPF_PROG_TYPE_LWT_OUT,
  BPF_PROG_TYPE_LWT_SEG6LOCAL,
  BPF_PROG_TYPE_LWT_XMIT,
  BPF_PROG_TYPE_SCHED_ACT,
  BPF_PROG_TYPE_SCHED_CLS,
  BPF_PROG_TYPE_SK_SKB,
  BPF_PROG_TYPE_SOCKET_FILTER,
  BPF_PROG_TYPE_XDP,
  E2BIG,
  EINVAL,
  ENOMEM,
  ERANGE,
} from "../uapi/index.ts";
import { knownDynptrSlice } from "./bytes_gen.ts";
import { DYNPTR, dynptrOf, NEW_DYNPTR, writeDynptr } from "./dynptr.ts";
import { moveBytes, packetDynptr, pieceAt } from "./dynptr_bytes.ts";
import {
  D_BYTES,
  D_OFFSET,
  D_SIZE,
  D_TYPE,
  DYNPTR_SKB,
  DYNPTR_XDP,
  isNull,
  isReadOnly,
  newDynptr,
  rangeBad,
  sizeOf,
} from "./dynptr_core.ts";
import type { HelperArg, HelperFn, HelperResult, Kfunc } from "./types.ts";

/** Those whose context is an skb. */
const skbPrograms: readonly number[] = [
  BPF_PROG_TYPE_SOCKET_FILTER,
  BPF_PROG_TYPE_SCHED_CLS,
  BPF_PROG_TYPE_SCHED_ACT,
  BPF_PROG_TYPE_CGROUP_SKB,
  BPF_PROG_TYPE_LWT_IN,
  BPF_PROG_TYPE_LWT_OUT,
  BPF_PROG_TYPE_LWT_XMIT,
  BPF_PROG_TYPE_LWT_SEG6LOCAL,
  BPF_PROG_TYPE_SK_SKB,
];

export const DYNPTR_FROM_XDP = "bpf_dynptr_from_xdp";
export const DYNPTR_FROM_SKB = "bpf_dynptr_from_skb";
export const DYNPTR_ADJUST = "bpf_dynptr_adjust";
export const DYNPTR_CLONE = "bpf_dynptr_clone";
export const DYNPTR_IS_NULL = "bpf_dynptr_is_null";
export const DYNPTR_IS_READ_ONLY = "bpf_dynptr_is_rdonly";
export const DYNPTR_SIZE = "bpf_dynptr_size";
export const DYNPTR_SLICE = "bpf_dynptr_slice";
export const DYNPTR_SLICE_TO_WRITE = "bpf_dynptr_slice_rdwr";

/** What is moved at a time between dynptrs that do not lie in one piece. */
const CHUNK = 256;

function fromXdp(kernel: Kernel, _ctx: number, low: number, high: number, to: number): number {
  return packetDynptr(kernel, to, low | high, DYNPTR_XDP, false);
}

/** To be read only where the program's pointers into the packet are. */
function fromSkb(kernel: Kernel, _ctx: number, low: number, high: number, to: number): number {
  const readOnly = kernel.mem.u32[(kernel.run + RUN_PACKET_READ_ONLY) >>> 2] !== 0;
  return packetDynptr(kernel, to, low | high, DYNPTR_SKB, readOnly);
}

/** Drops `start` bytes in front, and what lies behind `end`. */
function adjust(kernel: Kernel, address: number, start: number, end: number): number {
  const { u32 } = kernel.mem;
  const dynptr = dynptrOf(kernel, address);
  const from = start >>> 0;
  const to = end >>> 0;
  if (isNull(kernel, dynptr) || from > to) return -EINVAL;
  if (to > sizeOf(kernel, dynptr)) return -ERANGE;
  u32[(dynptr + D_OFFSET) >>> 2]! += from;
  u32[(dynptr + D_SIZE) >>> 2] = to - from;
  return 0;
}

function clone(kernel: Kernel, from: number, to: number): number {
  const { mem } = kernel;
  const dynptr = dynptrOf(kernel, from);
  const copy = newDynptr(kernel, to);
  if (copy === 0) return -ENOMEM;
  if (isNull(kernel, dynptr)) return -EINVAL;
  mem.copy(copy + D_TYPE, dynptr + D_TYPE, D_BYTES);
  return 0;
}

function isNullFn(kernel: Kernel, address: number): number {
  return isNull(kernel, dynptrOf(kernel, address)) ? 1 : 0;
}

function isReadOnlyFn(kernel: Kernel, address: number): number {
  return isReadOnly(kernel, dynptrOf(kernel, address)) ? 1 : 0;
}

/** A null one has the size -EINVAL, as a u32. */
function size(kernel: Kernel, address: number): number {
  const dynptr = dynptrOf(kernel, address);
  return isNull(kernel, dynptr) ? -EINVAL : sizeOf(kernel, dynptr);
}

/** Address of a range in one piece, as the program may use it; 0: there is none. */
function pieceOf(kernel: Kernel, dynptr: number, offset: number, length: number, write: boolean): number {
  if (isNull(kernel, dynptr) || (write && isReadOnly(kernel, dynptr))) return 0;
  if (rangeBad(kernel, dynptr, offset, length) !== 0) return 0;
  return pieceAt(kernel, dynptr, offset, length);
}

function slice(kernel: Kernel, address: number, offset: number, buffer: number, length: number): number {
  return sliceOf(kernel, dynptrOf(kernel, address), offset >>> 0, buffer >>> 0, length >>> 0, false);
}

function sliceToWrite(kernel: Kernel, address: number, offset: number, buffer: number, length: number): number {
  return sliceOf(kernel, dynptrOf(kernel, address), offset >>> 0, buffer >>> 0, length >>> 0, true);
}

/** The bytes where they lie, or else a copy of them in the buffer. */
function sliceOf(
  kernel: Kernel,
  dynptr: number,
  offset: number,
  buffer: number,
  length: number,
  write: boolean,
): number {
  const piece = pieceOf(kernel, dynptr, offset, length, write);
  if (piece !== 0 || buffer === 0 || isNull(kernel, dynptr)) return piece;
  if ((write && isReadOnly(kernel, dynptr)) || rangeBad(kernel, dynptr, offset, length) !== 0) return 0;
  const bad = moveBytes(kernel, dynptr, offset, buffer, length, false);
  // As in the kernel an XDP packet that has become too short is not noticed.
  return bad === 0 || kernel.mem.u32[(dynptr + D_TYPE) >>> 2] === DYNPTR_XDP ? buffer : 0;
}

function copy(kernel: Kernel, to: number, toOffset: number, from: number, fromOffset: number, count: number): number {
  const { mem } = kernel;
  const [target, source] = [dynptrOf(kernel, to), dynptrOf(kernel, from)];
  const [there, here, length] = [toOffset >>> 0, fromOffset >>> 0, count >>> 0];
  const sourcePiece = pieceOf(kernel, source, here, length, false);
  const targetPiece = pieceOf(kernel, target, there, length, true);
  if (sourcePiece !== 0 && targetPiece !== 0) {
    mem.copy(targetPiece, sourcePiece, length);
    return 0;
  }
  if (sourcePiece !== 0) return writeDynptr(kernel, target, there, sourcePiece, length, 0, 0);
  if (targetPiece !== 0) return readAll(kernel, source, here, targetPiece, length);
  return copyChunks(kernel, target, there, source, here, length);
}

function readAll(kernel: Kernel, dynptr: number, offset: number, to: number, length: number): number {
  if (isNull(kernel, dynptr)) return -EINVAL;
  return rangeBad(kernel, dynptr, offset, length) || moveBytes(kernel, dynptr, offset, to, length, false);
}

function copyChunks(
  kernel: Kernel,
  target: number,
  there: number,
  source: number,
  here: number,
  length: number,
): number {
  if (rangeBad(kernel, target, there, length) !== 0 || rangeBad(kernel, source, here, length) !== 0) return -E2BIG;
  const buffer = kernel.scratch(CHUNK);
  if (buffer === 0) return -ENOMEM;
  for (let done = 0; done < length; done += CHUNK) {
    const n = Math.min(CHUNK, length - done);
    const bad =
      readAll(kernel, source, here + done, buffer, n) || writeDynptr(kernel, target, there + done, buffer, n, 0, 0);
    if (bad !== 0) return bad;
  }
  return 0;
}

function fill(kernel: Kernel, address: number, offset: number, count: number, value: number): number {
  const { mem } = kernel;
  const dynptr = dynptrOf(kernel, address);
  const [from, length] = [offset >>> 0, count >>> 0];
  const piece = pieceOf(kernel, dynptr, from, length, true);
  if (piece !== 0) {
    mem.u8.fill(value, piece, piece + length);
    return 0;
  }
  if (isReadOnly(kernel, dynptr)) return -EINVAL;
  const bad = rangeBad(kernel, dynptr, from, length);
  if (bad !== 0) return bad;
  const buffer = kernel.scratch(CHUNK);
  if (buffer === 0) return -ENOMEM;
  mem.u8.fill(value, buffer, buffer + CHUNK);
  for (let done = 0; done < length; done += CHUNK) {
    const wrong = writeDynptr(kernel, dynptr, from + done, buffer, Math.min(CHUNK, length - done), 0, 0);
    if (wrong !== 0) return wrong;
  }
  return 0;
}

function kfunc(name: string, since: string, args: readonly HelperArg[], result: HelperResult, fn: HelperFn): Kfunc {
  return { name, since, args, result, fn };
}

export const dynptrKfuncs: readonly Kfunc[] = [
  {
    ...kfunc(DYNPTR_FROM_XDP, "6.4", ["ctx", "u64", NEW_DYNPTR], "errno", fromXdp),
    programs: [BPF_PROG_TYPE_XDP],
  },
  {
    ...kfunc(DYNPTR_FROM_SKB, "6.4", ["ctx", "u64", NEW_DYNPTR], "errno", fromSkb),
    programs: skbPrograms,
  },
  kfunc(DYNPTR_ADJUST, "6.5", [DYNPTR, "u32", "u32"], "errno", adjust),
  kfunc(DYNPTR_CLONE, "6.5", [DYNPTR, NEW_DYNPTR], "errno", clone),
  kfunc(DYNPTR_IS_NULL, "6.5", [DYNPTR], "u32", isNullFn),
  kfunc(DYNPTR_IS_READ_ONLY, "6.5", [DYNPTR], "u32", isReadOnlyFn),
  kfunc(DYNPTR_SIZE, "6.5", [DYNPTR], "u32", size),
  {
    ...kfunc(DYNPTR_SLICE, "6.4", [DYNPTR, "u32", "buffer", "size"], "pointer", slice),
    known: knownDynptrSlice(false),
  },
  {
    ...kfunc(DYNPTR_SLICE_TO_WRITE, "6.4", [DYNPTR, "u32", "buffer", "size"], "pointer", sliceToWrite),
    known: knownDynptrSlice(true),
  },
  kfunc("bpf_dynptr_copy", "6.17", [DYNPTR, "u32", DYNPTR, "u32", "u32"], "errno", copy),
  kfunc("bpf_dynptr_memset", "6.17", [DYNPTR, "u32", "u32", "u32"], "errno", fill),
];
