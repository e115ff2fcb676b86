/**
 * bpffs: pins and what can be done with their names. A pin is a user reference (as an fd is) with a name. Results are
 * Linux 6.18's, in its order of checks; files have no permissions here, as for root. Hard and symbolic links are left out.
 */
import { OBJ_KIND, OBJ_MAP, OBJ_PROG, SB_BPFFS_LOCK, SB_BPFFS_ROOT } from "../mem/layout.ts";
import { lock, unlock } from "../mem/locks.ts";
import type { Memory } from "../mem/memory.ts";
import { EBUSY, EEXIST, EINVAL, EISDIR, ENOENT, ENOMEM, ENOTDIR, ENOTEMPTY, EPERM, EXDEV } from "../uapi/index.ts";
import {
  addEntry,
  allocDir,
  contains,
  destroyDir,
  isDir,
  isEmpty,
  isOutside,
  linkOf,
  markRemoved,
  namesIn,
  objectAt,
  objectOf,
  type Place,
  parentOf,
  placeOf,
  removeEntry,
  setObjectAt,
  setParent,
} from "./bpffs_tree.ts";
import type { Kernel } from "./kernel.ts";

/** What relative paths start from: the root, since there is no working directory. */
export function rootDir(kernel: Kernel): number {
  return kernel.mem.u32[SB_BPFFS_ROOT >>> 2]!;
}

/** Whether objects of this kind can be pinned. */
export function canPin(mem: Memory, object: number): boolean {
  const kind = mem.u32[(object + OBJ_KIND) >>> 2];
  return kind === OBJ_MAP || kind === OBJ_PROG;
}

/** Runs what needs the tree. Objects that lost their name are put after it: that may need other locks. */
function locked<T>(kernel: Kernel, operation: () => T): T {
  lock(kernel.mem, SB_BPFFS_LOCK);
  const result = operation();
  unlock(kernel.mem, SB_BPFFS_LOCK);
  return result;
}

/** The directory has an entry less, of which the reference is left: a user's for pins. */
function dropNamed(kernel: Kernel, object: number): void {
  if (isDir(kernel.mem, object)) kernel.put(object);
  else kernel.putUser(object);
}

/** Where something can be made: 0, or the errno. */
function checkNew(mem: Memory, place: Place, isDirectory: boolean): number {
  if (place.kind !== "name") return -EEXIST;
  const link = linkOf(mem, place.dir, place.name);
  if (link < 0) return link;
  if (objectAt(mem, link) !== 0) return -EEXIST;
  if (place.slash && !isDirectory) return -ENOENT;
  return isOutside(mem, place.dir) ? -EPERM : 0;
}

/** Gives an object that the caller holds a name. */
export function pinObject(kernel: Kernel, object: number, start: number, path: Uint8Array): number {
  const { mem } = kernel;
  return locked(kernel, () => {
    const place = placeOf(mem, start, path);
    if (typeof place === "number") return place;
    const bad = checkNew(mem, place, false);
    if (bad !== 0) return bad;
    kernel.holdUser(object);
    if (addEntry(mem, place.dir, place.name, object)) return 0;
    // Not the last one: the caller holds the object.
    kernel.putUser(object);
    return -ENOMEM;
  });
}

/** What is at the path, with one more reference (of user space, if it is a pin), or an errno. */
export function openObject(kernel: Kernel, start: number, path: Uint8Array): number {
  const { mem } = kernel;
  return locked(kernel, () => {
    const place = placeOf(mem, start, path);
    if (typeof place === "number") return place;
    const object = objectOf(mem, place);
    if (object < 0) return object;
    if (isDir(mem, object)) kernel.hold(object);
    else kernel.holdUser(object);
    return object;
  });
}

export function makeDir(kernel: Kernel, path: Uint8Array): number {
  const { mem } = kernel;
  return locked(kernel, () => {
    const place = placeOf(mem, rootDir(kernel), path);
    if (typeof place === "number") return place;
    const bad = checkNew(mem, place, true);
    if (bad !== 0) return bad;
    const dir = allocDir(mem, place.dir);
    if (dir === 0) return -ENOMEM;
    if (addEntry(mem, place.dir, place.name, dir)) return 0;
    destroyDir(kernel, dir);
    return -ENOMEM;
  });
}

/** Takes an entry away. What it named, or an errno. */
function detach(kernel: Kernel, path: Uint8Array, judge: (place: Place, object: number) => number): number {
  const { mem } = kernel;
  const object = locked(kernel, () => {
    const place = placeOf(mem, rootDir(kernel), path);
    if (typeof place === "number") return place;
    const link = place.kind === "name" ? linkOf(mem, place.dir, place.name) : 0;
    if (link < 0) return link;
    const found = link === 0 ? 0 : objectAt(mem, link);
    if (link !== 0 && found === 0) return -ENOENT;
    const bad = judge(place, found);
    if (bad !== 0) return bad;
    removeEntry(mem, link);
    if (isDir(mem, found)) markRemoved(mem, found);
    return found;
  });
  if (object < 0) return object;
  dropNamed(kernel, object);
  return 0;
}

export function removeDir(kernel: Kernel, path: Uint8Array): number {
  const { mem } = kernel;
  return detach(kernel, path, ({ kind, dir }, object) => {
    if (kind === "..") return -ENOTEMPTY;
    if (kind !== "name") return kind === "." ? -EINVAL : -EBUSY;
    if (isOutside(mem, dir)) return isOutside(mem, object) ? -EPERM : -EBUSY;
    if (!isDir(mem, object)) return -ENOTDIR;
    return isEmpty(mem, object) ? 0 : -ENOTEMPTY;
  });
}

/** Drops a pin. */
export function unlinkPin(kernel: Kernel, path: Uint8Array): number {
  return detach(kernel, path, ({ kind, slash }, object) => {
    if (kind !== "name" || isDir(kernel.mem, object)) return -EISDIR;
    return slash ? -ENOTDIR : 0;
  });
}

/** Moves a name; what had the new name loses it in the same moment. */
export function renamePin(kernel: Kernel, from: Uint8Array, to: Uint8Array): number {
  const { mem } = kernel;
  /** What to put when the lock is free. */
  const drop: number[] = [];
  const result = locked(kernel, () => {
    const source = placeOf(mem, rootDir(kernel), from);
    if (typeof source === "number") return source;
    const target = placeOf(mem, rootDir(kernel), to);
    if (typeof target === "number") return target;
    if (isOutside(mem, source.dir) !== isOutside(mem, target.dir)) return -EXDEV;
    if (source.kind !== "name" || target.kind !== "name") return -EBUSY;
    return move(kernel, source, target, drop);
  });
  for (const object of drop) dropNamed(kernel, object);
  return result;
}

function move(kernel: Kernel, source: Place, target: Place, drop: number[]): number {
  const { mem } = kernel;
  const link = linkOf(mem, source.dir, source.name);
  if (link < 0) return link;
  const object = objectAt(mem, link);
  if (object === 0) return -ENOENT;
  const newLink = linkOf(mem, target.dir, target.name);
  if (newLink < 0) return newLink;
  const old = objectAt(mem, newLink);
  const directory = isDir(mem, object);
  if (!directory && (source.slash || target.slash)) return -ENOTDIR;
  if (directory && contains(mem, object, target.dir)) return -EINVAL;
  if (old !== 0 && isDir(mem, old) && contains(mem, old, source.dir)) return -ENOTEMPTY;
  if (link === newLink) return 0;
  if (isOutside(mem, source.dir)) return -EPERM;
  if (old !== 0) {
    if (directory !== isDir(mem, old)) return directory ? -ENOTDIR : -EISDIR;
    if (directory && !isEmpty(mem, old)) return -ENOTEMPTY;
  }
  // For a moment both names hold the object: whenever this client dies, no name is left without a reference.
  if (directory) kernel.hold(object);
  else kernel.holdUser(object);
  if (old !== 0) {
    setObjectAt(mem, newLink, object);
    if (directory) markRemoved(mem, old);
    drop.push(old);
  } else if (!addEntry(mem, target.dir, target.name, object)) {
    drop.push(object);
    return -ENOMEM;
  }
  // A new entry may have moved the link.
  removeEntry(mem, linkOf(mem, source.dir, source.name));
  drop.push(object);
  if (directory && parentOf(mem, object) !== target.dir) {
    kernel.hold(target.dir);
    setParent(mem, object, target.dir);
    drop.push(source.dir);
  }
  return 0;
}

/** The names in a directory, in no order. */
export function listDir(kernel: Kernel, path: Uint8Array): Uint8Array[] | number {
  const { mem } = kernel;
  return locked(kernel, () => {
    const place = placeOf(mem, rootDir(kernel), path);
    const dir = typeof place === "number" ? place : objectOf(mem, place);
    if (dir < 0) return dir;
    return isDir(mem, dir) ? namesIn(mem, dir) : -ENOTDIR;
  });
}
