/** BPF_OBJ_PIN and BPF_OBJ_GET: names in bpffs for maps and programs. */
import { canPin, openObject, pinObject, rootDir } from "../kern/bpffs.ts";
import { isDir, PATH_MAX } from "../kern/bpffs_tree.ts";
import { entryObject, FMODE_READ, FMODE_WRITE, getEntry } from "../kern/fds.ts";
import type { Kernel } from "../kern/kernel.ts";
import { OBJ_KIND, OBJ_MAP } from "../mem/layout.ts";
import {
  BPF_F_PATH_FD,
  bpf_attr,
  EACCES,
  EBADF,
  EFAULT,
  EINVAL,
  ENAMETOOLONG,
  ENOENT,
  ENOTDIR,
} from "../uapi/index.ts";
import { pointerAt } from "./attr.ts";
import { modeOf } from "./ids.ts";

const { obj } = bpf_attr;
const SLASH = 0x2f;
/** As a path_fd: the working directory. */
const AT_FDCWD = -100;

/** A copy of the path at an address; -EFAULT, -ENAMETOOLONG for one without an end, -ENOENT for an empty one. */
function readPath(kernel: Kernel, address: number): Uint8Array | number {
  const { u8 } = kernel.mem;
  const path = new Uint8Array(PATH_MAX);
  for (let length = 0; length < PATH_MAX; length++) {
    if (!kernel.userOk(address + length, 1, false)) return -EFAULT;
    const byte = u8[address + length]!;
    if (byte === 0) return length === 0 ? -ENOENT : path.subarray(0, length);
    path[length] = byte;
  }
  return -ENAMETOOLONG;
}

/**
 * Does something with the directory that the path starts from: with BPF_F_PATH_FD, and unless the path is absolute, that
 * is the directory open as path_fd.
 */
function fromPath(kernel: Kernel, attr: number, operation: (start: number, path: Uint8Array) => number): number {
  const { u32, i32 } = kernel.mem;
  const path = readPath(kernel, pointerAt(kernel, attr + obj.pathname.offset));
  if (typeof path === "number") return path;
  const flags = u32[(attr + obj.file_flags.offset) >>> 2]!;
  const fd = i32[(attr + obj.path_fd.offset) >>> 2]!;
  if ((flags & BPF_F_PATH_FD) === 0 || fd === AT_FDCWD || path[0] === SLASH) return operation(rootDir(kernel), path);
  const entry = getEntry(kernel.mem, kernel.process, fd);
  if (entry === 0) return -EBADF;
  const start = entryObject(entry);
  const result = isDir(kernel.mem, start) ? operation(start, path) : -ENOTDIR;
  kernel.done(start);
  return result;
}

/** path_fd without the flag that gives it a meaning. */
function strayPathFd(kernel: Kernel, attr: number, flags: number): boolean {
  return (flags & BPF_F_PATH_FD) === 0 && kernel.mem.u32[(attr + obj.path_fd.offset) >>> 2] !== 0;
}

/** The fd's mode does not matter: a pin gives whatever access is asked for. */
export function objPin(kernel: Kernel, attr: number): number {
  const { u32 } = kernel.mem;
  const flags = u32[(attr + obj.file_flags.offset) >>> 2]!;
  if ((flags & ~BPF_F_PATH_FD) !== 0 || strayPathFd(kernel, attr, flags)) return -EINVAL;
  const entry = getEntry(kernel.mem, kernel.process, u32[(attr + obj.bpf_fd.offset) >>> 2]!);
  if (entry === 0) return -EINVAL;
  const object = entryObject(entry);
  const result = canPin(kernel.mem, object)
    ? fromPath(kernel, attr, (start, path) => pinObject(kernel, object, start, path))
    : -EINVAL;
  kernel.done(object);
  return result;
}

export function objGet(kernel: Kernel, attr: number): number {
  const { u32 } = kernel.mem;
  const flags = u32[(attr + obj.file_flags.offset) >>> 2]!;
  const mode = modeOf(flags & ~BPF_F_PATH_FD);
  if (mode < 0 || u32[(attr + obj.bpf_fd.offset) >>> 2] !== 0 || strayPathFd(kernel, attr, flags)) return -EINVAL;
  const object = fromPath(kernel, attr, (start, path) => openObject(kernel, start, path));
  if (object < 0) return object;
  if (isDir(kernel.mem, object)) {
    kernel.put(object);
    return -EACCES;
  }
  // A program's fd has no mode.
  const isMap = u32[(object + OBJ_KIND) >>> 2] === OBJ_MAP;
  kernel.hold(object);
  const fd = kernel.install(object, isMap ? mode : FMODE_READ | FMODE_WRITE);
  // Its users are counted all the time: an unlink meanwhile does not take the last one.
  kernel.putUser(object);
  return fd;
}
