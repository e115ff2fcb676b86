/**
 * The tree of bpffs in linear memory: directories with lists of named entries, and the way from a path to a place in it.
 * It is mounted at /sys/fs/bpf; of what is around that, only the way there exists, and nothing can be made in it.
 *
 * One lock (SB_BPFFS_LOCK) covers the tree, and the functions here are called with it held. An entry appears and goes by
 * one store, and no reference is dropped before its entry is gone: so when a client dies with the lock, who takes it over
 * finds a tree that is good, at worst with something that nobody gives back, or a renamed file under both names.
 */
import { alloc, free } from "../mem/alloc.ts";
import { OBJ_DIR, OBJ_HEAD, OBJ_KIND, OBJ_REFS, SB_BPFFS_ROOT } from "../mem/layout.ts";
import type { Memory } from "../mem/memory.ts";
import { ENAMETOOLONG, ENOENT, ENOTDIR, EPERM } from "../uapi/index.ts";
import type { Kernel } from "./kernel.ts";

const BPFFS_MOUNT = "/sys/fs/bpf";
/** Most bytes of a name, and of a path with its NUL. */
const NAME_MAX = 255;
export const PATH_MAX = 4096;

/** Directory: an object, so that fds can hold it. Its entry holds it too, and it holds the directory that it is in. */
const DIR_PARENT: number = OBJ_HEAD;
/** Its newest entry. */
const DIR_FIRST: number = OBJ_HEAD + 4;
const DIR_STATE: number = OBJ_HEAD + 8;
const DIR_SIZE = 32;

const OUTSIDE = 0;
const MOUNTED = 1;
/** No longer in the tree; nothing can be made in it. */
const REMOVED = 2;

/** Entry: a name for a directory, or for what is pinned. */
const ENTRY_NEXT = 0;
const ENTRY_OBJECT = 4;
const ENTRY_LENGTH = 8;
const ENTRY_NAME = 12;

const SLASH = 0x2f;
const DOT = 0x2e;

/** Makes the way to the mount and the empty file system. False: out of memory. */
export function mountBpffs(mem: Memory): boolean {
  const names = BPFFS_MOUNT.slice(1).split("/");
  let dir = newDir(mem, 0, OUTSIDE);
  mem.u32[SB_BPFFS_ROOT >>> 2] = dir;
  names.forEach((name, i) => {
    const child = dir === 0 ? 0 : newDir(mem, dir, i === names.length - 1 ? MOUNTED : OUTSIDE);
    dir = child !== 0 && addEntry(mem, dir, new TextEncoder().encode(name), child) ? child : 0;
  });
  return dir !== 0;
}

/** An empty directory with one reference, which is for its entry. `parent` 0: it is its own. 0: out of memory. */
function newDir(mem: Memory, parent: number, state: number): number {
  const dir = alloc(mem, DIR_SIZE);
  if (dir === 0) return 0;
  const { u32 } = mem;
  u32[(dir + OBJ_KIND) >>> 2] = OBJ_DIR;
  u32[(dir + OBJ_REFS) >>> 2] = 1;
  u32[(dir + DIR_PARENT) >>> 2] = parent === 0 ? dir : parent;
  u32[(dir + DIR_STATE) >>> 2] = state;
  if (parent !== 0) mem.atomics.add32(parent + OBJ_REFS, 1);
  return dir;
}

/** A new directory for an entry in `parent`; 0: out of memory. */
export function allocDir(mem: Memory, parent: number): number {
  return newDir(mem, parent, MOUNTED);
}

/** Nothing refers to the directory any more, so it is empty and in no other. */
export function destroyDir(kernel: Kernel, dir: number): void {
  const parent = parentOf(kernel.mem, dir);
  free(kernel.mem, dir, DIR_SIZE);
  kernel.put(parent);
}

export function isDir(mem: Memory, object: number): boolean {
  return mem.u32[(object + OBJ_KIND) >>> 2] === OBJ_DIR;
}

export function isOutside(mem: Memory, dir: number): boolean {
  return mem.u32[(dir + DIR_STATE) >>> 2] === OUTSIDE;
}

export function isEmpty(mem: Memory, dir: number): boolean {
  return mem.u32[(dir + DIR_FIRST) >>> 2] === 0;
}

export function parentOf(mem: Memory, dir: number): number {
  return mem.u32[(dir + DIR_PARENT) >>> 2]!;
}

/** The directory moved, with its reference to the one that it was in. */
export function setParent(mem: Memory, dir: number, parent: number): void {
  mem.u32[(dir + DIR_PARENT) >>> 2] = parent;
}

/** The directory's entry is gone. */
export function markRemoved(mem: Memory, dir: number): void {
  mem.u32[(dir + DIR_STATE) >>> 2] = REMOVED;
}

/** `dir` is `inner`, or somewhere above it. */
export function contains(mem: Memory, dir: number, inner: number): boolean {
  for (let at = inner; ; at = parentOf(mem, at)) {
    if (at === dir) return true;
    if (parentOf(mem, at) === at) return false;
  }
}

/** Names the object, whose reference the caller has taken for it. False: out of memory. */
export function addEntry(mem: Memory, dir: number, name: Uint8Array, object: number): boolean {
  const entry = alloc(mem, ENTRY_NAME + name.length);
  if (entry === 0) return false;
  const { u32 } = mem;
  u32[(entry + ENTRY_OBJECT) >>> 2] = object;
  u32[(entry + ENTRY_LENGTH) >>> 2] = name.length;
  mem.u8.set(name, entry + ENTRY_NAME);
  u32[(entry + ENTRY_NEXT) >>> 2] = u32[(dir + DIR_FIRST) >>> 2]!;
  u32[(dir + DIR_FIRST) >>> 2] = entry;
  return true;
}

/** Takes the entry behind this link away; its reference is the caller's now. Links found before are no longer good. */
export function removeEntry(mem: Memory, link: number): void {
  const { u32 } = mem;
  const entry = u32[link >>> 2]!;
  u32[link >>> 2] = u32[(entry + ENTRY_NEXT) >>> 2]!;
  free(mem, entry, ENTRY_NAME + u32[(entry + ENTRY_LENGTH) >>> 2]!);
}

/** What is behind a link; 0: nothing. */
export function objectAt(mem: Memory, link: number): number {
  const entry = mem.u32[link >>> 2]!;
  return entry === 0 ? 0 : mem.u32[(entry + ENTRY_OBJECT) >>> 2]!;
}

/** Gives the entry behind the link another object. */
export function setObjectAt(mem: Memory, link: number, object: number): void {
  mem.u32[(mem.u32[link >>> 2]! + ENTRY_OBJECT) >>> 2] = object;
}

/** The names in a directory, in no order. */
export function namesIn(mem: Memory, dir: number): Uint8Array[] {
  const { u32, u8 } = mem;
  const names: Uint8Array[] = [];
  for (let entry = u32[(dir + DIR_FIRST) >>> 2]!; entry !== 0; entry = u32[(entry + ENTRY_NEXT) >>> 2]!) {
    const at = entry + ENTRY_NAME;
    names.push(u8.slice(at, at + u32[(entry + ENTRY_LENGTH) >>> 2]!));
  }
  return names;
}

/**
 * The link (address of the u32 that leads to the entry) of this name in a directory; where there is no such entry it
 * leads to 0. Or what the file system says of the name itself: -EPERM for a dot in it, -ENAMETOOLONG; -ENOENT for any
 * name in a directory that was removed.
 */
export function linkOf(mem: Memory, dir: number, name: Uint8Array): number {
  const { u32 } = mem;
  const state = u32[(dir + DIR_STATE) >>> 2];
  if (state === REMOVED) return -ENOENT;
  if (state === MOUNTED) {
    if (name.includes(DOT)) return -EPERM;
    if (name.length > NAME_MAX) return -ENAMETOOLONG;
  }
  let link = dir + DIR_FIRST;
  for (let entry = u32[link >>> 2]!; entry !== 0; entry = u32[link >>> 2]!) {
    if (isNamed(mem, entry, name)) break;
    link = entry + ENTRY_NEXT;
  }
  return link;
}

function isNamed(mem: Memory, entry: number, name: Uint8Array): boolean {
  if (mem.u32[(entry + ENTRY_LENGTH) >>> 2] !== name.length) return false;
  for (let i = 0; i < name.length; i++) if (mem.u8[entry + ENTRY_NAME + i] !== name[i]) return false;
  return true;
}

/** Where a path leads: its last component, in a directory. */
export interface Place {
  readonly dir: number;
  readonly name: Uint8Array;
  /** `/` is the path of slashes alone. */
  readonly kind: "name" | "." | ".." | "/";
  /** There is a slash behind it. */
  readonly slash: boolean;
}

function kindOf(name: Uint8Array): Place["kind"] {
  if (name[0] !== DOT || name.length > 2) return "name";
  if (name.length === 1) return ".";
  return name[1] === DOT ? ".." : "name";
}

/** The place that a path leads to, from `start` on if it is relative; -ENOENT, -ENOTDIR, or what `linkOf` says. */
export function placeOf(mem: Memory, start: number, path: Uint8Array): Place | number {
  if (path.length === 0) return -ENOENT;
  if (path.length >= PATH_MAX) return -ENAMETOOLONG;
  let dir = path[0] === SLASH ? mem.u32[SB_BPFFS_ROOT >>> 2]! : start;
  let at = 0;
  for (;;) {
    while (path[at] === SLASH) at++;
    if (at === path.length) return { dir, name: path.subarray(at), kind: "/", slash: true };
    const end = path.indexOf(SLASH, at);
    const name = path.subarray(at, end < 0 ? path.length : end);
    at += name.length;
    let next = at;
    while (path[next] === SLASH) next++;
    const kind = kindOf(name);
    if (next === path.length) return { dir, name, kind, slash: next > at };
    const found = objectOf(mem, { dir, name, kind, slash: true });
    if (found < 0) return found;
    dir = found;
    at = next;
  }
}

/** What is at a place; -ENOENT, and -ENOTDIR where a slash follows what is no directory. */
export function objectOf(mem: Memory, place: Place): number {
  const { dir, name, kind, slash } = place;
  if (kind === "..") return parentOf(mem, dir);
  if (kind !== "name") return dir;
  const link = linkOf(mem, dir, name);
  if (link < 0) return link;
  const object = objectAt(mem, link);
  if (object === 0) return -ENOENT;
  return slash && !isDir(mem, object) ? -ENOTDIR : object;
}
