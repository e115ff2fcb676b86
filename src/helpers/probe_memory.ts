/**
 * Memory by addresses that nobody vouches for. What the program may touch anyway counts as the kernel's, wherever it lies;
 * everything else is what the run was given.
 */
import { givenAt } from "../kern/given.ts";
import type { Kernel } from "../kern/kernel.ts";
import { memoryOk } from "../kern/reach.ts";
import { RUN_CTX, RUN_CTX_SIZE } from "../kern/run_record.ts";
import { EFAULT, ERANGE } from "../uapi/index.ts";

export type Space = "kernel" | "user" | "any";

/** Addresses of user space end a page before 2^47; those of the kernel begin with this upper half. */
const USER_END_HIGH = 0x7fff;
const USER_END_LOW = 0xffff_f000;
const KERNEL_START = 0xffff_8000;

/** Whether it is an address of user space. */
export function isUser(low: number, high: number): boolean {
  const top = high >>> 0;
  return top < USER_END_HIGH || (top === USER_END_HIGH && low >>> 0 < USER_END_LOW);
}

/** Stack, packet, values, records, and the context, whose fields have no rules here. */
function ownMemory(kernel: Kernel, low: number, high: number, size: number): boolean {
  if (memoryOk(kernel, low, high, size, false)) return true;
  const { u32 } = kernel.mem;
  const at = (low >>> 0) - u32[(kernel.run + RUN_CTX) >>> 2]!;
  return high === 0 && at >= 0 && at + size <= u32[(kernel.run + RUN_CTX_SIZE) >>> 2]!;
}

/** 0 when an address is one of this kind of memory, whether there is any or not; else an errno. */
export function wrongSpace(kernel: Kernel, low: number, high: number, space: Space): number {
  const own = ownMemory(kernel, low, high, 1);
  const user = !own && isUser(low, high);
  // The end itself is no error until something is read there.
  const end = high >>> 0 === USER_END_HIGH && low >>> 0 === USER_END_LOW;
  if (space === "user") return user || end ? 0 : -EFAULT;
  return own || high >>> 0 >= KERNEL_START || (user && space === "any") ? 0 : -ERANGE;
}

/** Where `size` bytes at high:low can be read, or 0. */
export function readableAt(kernel: Kernel, low: number, high: number, size: number, space: Space): number {
  if (space !== "user" && ownMemory(kernel, low, high, size)) return low >>> 0;
  return wrongSpace(kernel, low, high, space) === 0 ? givenAt(kernel, low, high, size, false) : 0;
}

/** Length of the text at high:low without its NUL, at most `room`; or an errno: what can be read ends before. */
export function textLengthAt(kernel: Kernel, low: number, high: number, room: number, space: Space): number {
  let block = 0;
  for (let n = 0; n < room; n++) {
    // One look for each byte: ranges end anywhere.
    block = readableAt(kernel, (low + n) >>> 0, low >>> 0 > 0xffff_ffff - n ? high + 1 : high, 1, space);
    if (block === 0) return n === 0 ? wrongSpace(kernel, low, high, space) || -EFAULT : -EFAULT;
    if (kernel.mem.u8[block] === 0) return n;
  }
  return room;
}
