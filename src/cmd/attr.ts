/**
 * Reading attributes and user pointers. A handler is given `attr`, the address of a copy of union bpf_attr that nobody
 * else writes (bytes that the caller did not give read as zero), and `uattr`, where the caller's own lies: outputs go
 * there.
 */
import { entryObject, getEntry } from "../kern/fds.ts";
import type { Kernel } from "../kern/kernel.ts";
import { alloc, free } from "../mem/alloc.ts";
import { PAGE_SIZE } from "../mem/layout.ts";
import { MAP_KEY_SIZE } from "../struct/map.ts";
import { EBADF, EFAULT, EINVAL, ENOMEM } from "../uapi/index.ts";

/** An address that is never user memory: what pointers beyond 4 GiB are read as. */
const NOWHERE = 1;
const W_KEY_SIZE: number = MAP_KEY_SIZE >>> 2;

/** A u64 pointer field of the attributes. */
export function pointerAt(kernel: Kernel, address: number): number {
  const { i32 } = kernel.mem;
  const a = address >>> 2;
  return i32[a + 1] === 0 ? i32[a]! >>> 0 : NOWHERE;
}

/** A u64 pointer field of a record that was copied. */
export function pointerIn(record: DataView, offset: number): number {
  return record.getUint32(offset + 4, true) === 0 ? record.getUint32(offset, true) : NOWHERE;
}

/** A pointer moved by so many bytes; what leaves the 4 GiB is nowhere. */
export function movedBy(pointer: number, bytes: number): number {
  const to = pointer + bytes;
  return pointer === NOWHERE || to < 0 || to > 0xffff_ffff ? NOWHERE : to;
}

/** A u64 field as a number: exact below 2^53, and above it still larger than any legal value. */
export function u64At(kernel: Kernel, address: number): number {
  const { i32 } = kernel.mem;
  const a = address >>> 2;
  return i32[a + 1] === 0 ? i32[a]! >>> 0 : kernel.mem.readU64(address);
}

/** Writes a u32 output into the caller's attributes, wherever they end. */
export function putU32(kernel: Kernel, address: number, value: number): number {
  if (!kernel.userOk(address, 4, true)) return -EFAULT;
  kernel.mem.view.setUint32(address, value, true);
  return 0;
}

/**
 * What a token's fd gives. A token is a file of a kind of its own, which this host does not have: -EBADF when nothing is
 * open, -EINVAL for whatever else it is.
 */
export function tokenError(kernel: Kernel, fd: number): number {
  const entry = getEntry(kernel.mem, kernel.process, fd);
  if (entry === 0) return -EBADF;
  kernel.done(entryObject(entry));
  return -EINVAL;
}

/**
 * The key of an element command, from the pointer field at `field`: its address, or 0 for NULL on a map without keys;
 * -EINVAL for a key given to such a map, -EFAULT. On a shared host the key is copied first: another thread must not
 * change it between the hash and the comparison.
 */
export function keyAt(kernel: Kernel, map: number, field: number): number {
  const key = pointerAt(kernel, field);
  const size = kernel.mem.i32[(map >>> 2) + W_KEY_SIZE]!;
  if (size === 0) return key === 0 ? 0 : -EINVAL;
  if (!kernel.userOk(key, size, false)) return -EFAULT;
  return kernel.mem.shared ? copiedKey(kernel, key, size) : key;
}

function copiedKey(kernel: Kernel, key: number, size: number): number {
  const copy = kernel.scratch(size);
  if (copy === 0) return -ENOMEM;
  kernel.mem.copy(copy, key, size);
  return copy;
}

/** Copies to the caller. False: -EFAULT; what lies before the first bad byte was written, as in the kernel. */
export function copyToUser(kernel: Kernel, to: number, from: number, length: number): boolean {
  const { mem } = kernel;
  if (to + length <= mem.byteLength && kernel.userOk(to, length, true)) {
    mem.copy(to, from, length);
    return true;
  }
  for (let at = 0; at < length; ) {
    const piece = Math.min(length - at, PAGE_SIZE - ((to + at) % PAGE_SIZE));
    if (to + at >= mem.byteLength || !kernel.userOk(to + at, piece, true)) return false;
    mem.copy(to + at, from + at, piece);
    at += piece;
  }
  return true;
}

/**
 * Runs an operation whose result, of `size` bytes, has no room at `to`, as the kernel does: into memory of its own. When
 * it succeeded, -EFAULT.
 */
export function intoNowhere(kernel: Kernel, to: number, size: number, operation: (to: number) => number): number {
  const temporary = alloc(kernel.mem, size);
  if (temporary === 0) return -ENOMEM;
  const ret = operation(temporary);
  if (ret >= 0) copyToUser(kernel, to, temporary, size);
  free(kernel.mem, temporary, size);
  return ret < 0 ? ret : -EFAULT;
}
