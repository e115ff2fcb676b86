/** Helpers for dynptrs. Return values and the order of the checks are the kernel's: kernel/bpf/helpers.c, ringbuf.c. */
import { FAULT_NOT_RECORD, FAULT_NOT_VALUE } from "../kern/fault_kinds.ts";
import type { Kernel } from "../kern/kernel.ts";
import { faultHelper, valueArea } from "../kern/reach.ts";
import { findHeld, HELD_RING_DYNPTR } from "../kern/run_record.ts";
import { OBJECT_DYNPTR, stackObject, takeDynptrsWith, takeStackObject } from "../kern/stack_objects.ts";
import {
  BPF_F_INVALIDATE_HASH,
  BPF_F_RECOMPUTE_CSUM,
  BPF_FUNC_dynptr_data,
  BPF_FUNC_dynptr_from_mem,
  BPF_FUNC_dynptr_read,
  BPF_FUNC_dynptr_write,
  BPF_FUNC_ringbuf_discard_dynptr,
  BPF_FUNC_ringbuf_reserve_dynptr,
  BPF_FUNC_ringbuf_submit_dynptr,
  E2BIG,
  EINVAL,
  ENOMEM,
} from "../uapi/index.ts";
import { knownDynptrRead, knownDynptrWrite } from "./bytes_gen.ts";
import { moveBytes } from "./dynptr_bytes.ts";
import {
  addressIn,
  D_BASE,
  D_TYPE,
  DYNPTR_BYTES,
  DYNPTR_LOCAL,
  DYNPTR_NULL,
  DYNPTR_RING,
  DYNPTR_SIZE_MAX,
  DYNPTR_SKB,
  fillDynptr,
  isNull,
  isPacket,
  isReadOnly,
  newDynptr,
  rangeBad,
} from "./dynptr_core.ts";
import { commitRecord, reserveRecord } from "./ring_records.ts";
import type { Helper, HelperArg, HelperFn, HelperResult } from "./types.ts";

/** A dynptr that was set up, and room for one. */
export const DYNPTR: HelperArg = { object: OBJECT_DYNPTR };
export const NEW_DYNPTR: HelperArg = { stack: DYNPTR_BYTES, sets: OBJECT_DYNPTR };

const SKB_STORE_FLAGS: number = BPF_F_RECOMPUTE_CSUM | BPF_F_INVALIDATE_HASH;

/** The entry of an argument that was judged to be a dynptr. */
export function dynptrOf(kernel: Kernel, address: number): number {
  return stackObject(kernel, address, 0, OBJECT_DYNPTR);
}

function fromMem(kernel: Kernel, data: number, size: number, low: number, high: number, to: number): number {
  const from = data >>> 0;
  // Other memory may be gone before the dynptr is: frames end, records are submitted.
  if (valueArea(kernel.mem, from) === 0) {
    faultHelper(kernel, FAULT_NOT_VALUE, data, 0, 1);
    return 0;
  }
  const entry = newDynptr(kernel, to);
  if (entry === 0) return -ENOMEM;
  if (size >>> 0 > DYNPTR_SIZE_MAX) return -E2BIG;
  if ((low | high) !== 0) return -EINVAL;
  fillDynptr(kernel, entry, DYNPTR_LOCAL, from, size >>> 0);
  return 0;
}

function read(
  kernel: Kernel,
  to: number,
  length: number,
  from: number,
  offset: number,
  flagsLow: number,
  flagsHigh: number,
): number {
  const dynptr = dynptrOf(kernel, from);
  if (isNull(kernel, dynptr) || (flagsLow | flagsHigh) !== 0) return -EINVAL;
  const bad = rangeBad(kernel, dynptr, offset >>> 0, length >>> 0);
  return bad !== 0 ? bad : moveBytes(kernel, dynptr, offset >>> 0, to >>> 0, length >>> 0, false);
}

function write(
  kernel: Kernel,
  to: number,
  offset: number,
  from: number,
  length: number,
  flagsLow: number,
  flagsHigh: number,
): number {
  return writeDynptr(kernel, dynptrOf(kernel, to), offset >>> 0, from >>> 0, length >>> 0, flagsLow, flagsHigh);
}

export function writeDynptr(
  kernel: Kernel,
  dynptr: number,
  offset: number,
  from: number,
  length: number,
  flagsLow: number,
  flagsHigh: number,
): number {
  if (isNull(kernel, dynptr) || isReadOnly(kernel, dynptr)) return -EINVAL;
  const bad = rangeBad(kernel, dynptr, offset, length);
  if (bad !== 0) return bad;
  const known = kernel.mem.u32[(dynptr + D_TYPE) >>> 2] === DYNPTR_SKB ? SKB_STORE_FLAGS : 0;
  if (flagsHigh !== 0 || (flagsLow & ~known) !== 0) return -EINVAL;
  return moveBytes(kernel, dynptr, offset, from, length, true, flagsLow);
}

/** A pointer to memory that may be written; packets are for slices. */
function data(kernel: Kernel, from: number, offset: number, length: number): number {
  const dynptr = dynptrOf(kernel, from);
  if (isNull(kernel, dynptr) || rangeBad(kernel, dynptr, offset >>> 0, length >>> 0) !== 0) return 0;
  return isReadOnly(kernel, dynptr) || isPacket(kernel, dynptr) ? 0 : addressIn(kernel, dynptr, offset >>> 0);
}

/** On failure the dynptr is null, and still to be submitted or discarded. */
function reserve(kernel: Kernel, map: number, size: number, low: number, high: number, to: number): number {
  const entry = newDynptr(kernel, to);
  if (entry === 0) return -ENOMEM;
  if ((low | high) !== 0) return -EINVAL;
  if (size >>> 0 > DYNPTR_SIZE_MAX) return -E2BIG;
  const sample = reserveRecord(kernel, map >>> 0, size >>> 0, HELD_RING_DYNPTR);
  if (sample <= 0) return sample === 0 ? -EINVAL : sample;
  fillDynptr(kernel, entry, DYNPTR_RING, sample, size >>> 0);
  return 0;
}

function submit(kernel: Kernel, from: number, flags: number): number {
  return commit(kernel, from, flags, false);
}

function discard(kernel: Kernel, from: number, flags: number): number {
  return commit(kernel, from, flags, true);
}

/** The record goes, and with it the dynptr and all that were made of it. One that is null has nothing to go. */
function commit(kernel: Kernel, from: number, flags: number, discarded: boolean): number {
  const { mem, run } = kernel;
  const dynptr = dynptrOf(kernel, from);
  const type = mem.u32[(dynptr + D_TYPE) >>> 2]!;
  if (type !== DYNPTR_RING && type !== DYNPTR_NULL) {
    faultHelper(kernel, FAULT_NOT_RECORD, from, 0, 1);
    return 0;
  }
  takeStackObject(kernel, dynptr);
  if (type === DYNPTR_NULL) return 0;
  const sample = mem.u32[(dynptr + D_BASE) >>> 2]!;
  takeDynptrsWith(kernel, D_BASE, sample);
  return commitRecord(kernel, findHeld(mem, run, HELD_RING_DYNPTR, sample), flags, discarded);
}

function helper(name: string, since: string, args: readonly HelperArg[], result: HelperResult, fn: HelperFn): Helper {
  return { name, since, gplOnly: false, args, result, fn };
}

export const dynptrHelpers: Readonly<Record<number, Helper>> = {
  [BPF_FUNC_dynptr_from_mem]: helper(
    "bpf_dynptr_from_mem",
    "5.19",
    ["memOut", "sizeOrZero", "u64", NEW_DYNPTR],
    "errno",
    fromMem,
  ),
  [BPF_FUNC_dynptr_read]: {
    ...helper("bpf_dynptr_read", "5.19", ["memOut", "sizeOrZero", DYNPTR, "u32", "u64"], "errno", read),
    known: knownDynptrRead,
  },
  [BPF_FUNC_dynptr_write]: {
    ...helper("bpf_dynptr_write", "5.19", [DYNPTR, "u32", "mem", "sizeOrZero", "u64"], "errno", write),
    known: knownDynptrWrite,
  },
  [BPF_FUNC_dynptr_data]: helper("bpf_dynptr_data", "5.19", [DYNPTR, "u32", "u32"], "pointer", data),
  [BPF_FUNC_ringbuf_reserve_dynptr]: helper(
    "bpf_ringbuf_reserve_dynptr",
    "5.19",
    ["map", "u32", "u64", NEW_DYNPTR],
    "errno",
    reserve,
  ),
  [BPF_FUNC_ringbuf_submit_dynptr]: helper("bpf_ringbuf_submit_dynptr", "5.19", [DYNPTR, "u64"], "void", submit),
  [BPF_FUNC_ringbuf_discard_dynptr]: helper("bpf_ringbuf_discard_dynptr", "5.19", [DYNPTR, "u64"], "void", discard),
};
