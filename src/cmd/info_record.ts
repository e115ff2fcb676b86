/** The records of BPF_OBJ_GET_INFO_BY_FD: sizes that caller and host may see differently. */
import type { Kernel } from "../kern/kernel.ts";
import { E2BIG, EFAULT } from "../uapi/index.ts";
import { putU32 } from "./attr.ts";

const LEN_MAX = 4096;

/** A caller's struct may be longer than ours when what we do not know is zero. */
export function checkInfoTail(kernel: Kernel, to: number, length: number, known: number): number {
  if (length > LEN_MAX) return -E2BIG;
  if (length <= known) return 0;
  if (!kernel.userOk(to + known, length - known, false)) return -EFAULT;
  const { u8 } = kernel.mem;
  for (let i = to + known; i < to + length; i++) if (u8[i] !== 0) return -E2BIG;
  return 0;
}

/** Writes as much of `record` as fits and how much that was. */
export function putInfo(kernel: Kernel, record: Uint8Array, to: number, length: number, ulength: number): number {
  const n = Math.min(length, record.length);
  if (!kernel.userOk(to, n, true)) return -EFAULT;
  // Nothing may be asked for at an address that is none.
  if (n !== 0) kernel.mem.u8.set(record.subarray(0, n), to);
  return putU32(kernel, ulength, n);
}
