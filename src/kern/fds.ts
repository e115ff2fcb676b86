/**
 * The fd table of a process, in linear memory: the lowest free number from 3 on. An entry is the object's address with
 * the fd's mode in its low bits. A process is a browser page, or a Node process, with all its workers.
 */
import { alloc, free } from "../mem/alloc.ts";
import { OBJ_REFS, OBJ_USERS } from "../mem/layout.ts";
import { lock, unlock } from "../mem/locks.ts";
import type { Memory } from "../mem/memory.ts";
import { EBADF, EMFILE, ENOMEM } from "../uapi/index.ts";

/** Process record. */
export const PROCESS_LOCK = 0;
/** Address of the entries; the table moves when it grows. */
export const PROCESS_TABLE = 4;
export const PROCESS_CAPACITY = 8;
/** No free number lies below this one. */
const P_LOWEST = 12;
/** Clients (threads) that are attached. */
export const PROCESS_CLIENTS = 16;
const P_OPEN = 20;
/** First mapping record: see `mappings.ts`. */
export const PROCESS_MAPPINGS = 24;
const PROCESS_SIZE = 32;
const W_TABLE: number = PROCESS_TABLE >>> 2;
const W_CAPACITY: number = PROCESS_CAPACITY >>> 2;

/** 0, 1 and 2 are a process's standard streams. */
const FIRST_FD = 3;
const FIRST_CAPACITY = 64;
/** As the kernel's sysctl fs.nr_open. */
const FD_LIMIT = 1_048_576;

export const FMODE_READ = 1;
export const FMODE_WRITE = 2;
export const MODE_MASK = 3;

export function newProcess(mem: Memory): number {
  const process = alloc(mem, PROCESS_SIZE);
  if (process !== 0) mem.u32[(process + P_LOWEST) >>> 2] = FIRST_FD;
  return process;
}

/** Gives back the table of a process whose fds are all closed. */
export function freeProcess(mem: Memory, process: number): void {
  const { u32 } = mem;
  const capacity = u32[(process + PROCESS_CAPACITY) >>> 2]!;
  if (capacity !== 0) free(mem, u32[(process + PROCESS_TABLE) >>> 2]!, capacity * 4);
  free(mem, process, PROCESS_SIZE);
}

/** Number of open fds. */
export function openFds(mem: Memory, process: number): number {
  return mem.u32[(process + P_OPEN) >>> 2]!;
}

/**
 * A new fd for the object: the caller's reference becomes one of user space. Or -EMFILE, -ENOMEM, and the reference
 * stays the caller's.
 */
export function installFd(mem: Memory, process: number, object: number, mode: number): number {
  lock(mem, process + PROCESS_LOCK);
  const fd = lowestFree(mem, process);
  if (fd >= 0) {
    const { u32 } = mem;
    u32[(u32[(process + PROCESS_TABLE) >>> 2]! >>> 2) + fd] = object | mode;
    u32[(process + P_LOWEST) >>> 2] = fd + 1;
    u32[(process + P_OPEN) >>> 2] = u32[(process + P_OPEN) >>> 2]! + 1;
    mem.atomics.add32(object + OBJ_USERS, 1);
  }
  unlock(mem, process + PROCESS_LOCK);
  return fd;
}

function lowestFree(mem: Memory, process: number): number {
  const { u32 } = mem;
  const capacity = u32[(process + PROCESS_CAPACITY) >>> 2]!;
  const table = u32[(process + PROCESS_TABLE) >>> 2]! >>> 2;
  let fd = u32[(process + P_LOWEST) >>> 2]!;
  while (fd < capacity && u32[table + fd] !== 0) fd++;
  if (fd < capacity) return fd;
  if (fd >= FD_LIMIT) return -EMFILE;
  return growTable(mem, process, capacity) ? fd : -ENOMEM;
}

function growTable(mem: Memory, process: number, capacity: number): boolean {
  const { u32 } = mem;
  const larger = capacity === 0 ? FIRST_CAPACITY : capacity * 2;
  const table = alloc(mem, larger * 4);
  if (table === 0) return false;
  const old = u32[(process + PROCESS_TABLE) >>> 2]!;
  if (capacity !== 0) {
    mem.u8.copyWithin(table, old, old + capacity * 4);
  }
  u32[(process + PROCESS_TABLE) >>> 2] = table;
  u32[(process + PROCESS_CAPACITY) >>> 2] = larger;
  if (capacity !== 0) free(mem, old, capacity * 4);
  return true;
}

/** What the fd refers to, with its mode in the low bits; 0: it is not open. Call with the lock, where it is shared. */
export function entryOf(mem: Memory, process: number, fd: number): number {
  const { i32 } = mem;
  const p = process >>> 2;
  const index = fd >>> 0;
  if (index >= i32[p + W_CAPACITY]! >>> 0) return 0;
  return i32[(i32[p + W_TABLE]! >>> 2) + index]! >>> 0;
}

/**
 * Looks an fd up. On a shared host the object gets one reference more, which the caller drops when its operation is
 * over, since another thread may close the fd meanwhile; on an exclusive host nobody can.
 */
export function getEntry(mem: Memory, process: number, fd: number): number {
  return mem.shared ? getHeld(mem, process, fd) : entryOf(mem, process, fd);
}

/** What the fd refers to now; other threads may close it at any time. */
export function peekEntry(mem: Memory, process: number, fd: number): number {
  lock(mem, process + PROCESS_LOCK);
  const entry = entryOf(mem, process, fd);
  unlock(mem, process + PROCESS_LOCK);
  return entry;
}

function getHeld(mem: Memory, process: number, fd: number): number {
  lock(mem, process + PROCESS_LOCK);
  const entry = entryOf(mem, process, fd);
  if (entry !== 0) mem.atomics.add32(entryObject(entry) + OBJ_REFS, 1);
  unlock(mem, process + PROCESS_LOCK);
  return entry;
}

export function entryObject(entry: number): number {
  return (entry & ~MODE_MASK) >>> 0;
}

export function entryMode(entry: number): number {
  return entry & MODE_MASK;
}

/** Frees the number. Returns the object, whose user reference the caller has to drop (`putUser`) now, or -EBADF. */
export function removeFd(mem: Memory, process: number, fd: number): number {
  const { u32 } = mem;
  lock(mem, process + PROCESS_LOCK);
  const entry = entryOf(mem, process, fd);
  if (entry !== 0) {
    u32[(u32[(process + PROCESS_TABLE) >>> 2]! >>> 2) + fd] = 0;
    if (fd < u32[(process + P_LOWEST) >>> 2]!) u32[(process + P_LOWEST) >>> 2] = fd;
    u32[(process + P_OPEN) >>> 2] = u32[(process + P_OPEN) >>> 2]! - 1;
  }
  unlock(mem, process + PROCESS_LOCK);
  return entry === 0 ? -EBADF : entryObject(entry);
}

/** The lowest open fd at or above `from`, or -1: for closing all and for telling what was left open. */
export function nextOpenFd(mem: Memory, process: number, from: number): number {
  const capacity = mem.u32[(process + PROCESS_CAPACITY) >>> 2]!;
  for (let fd = from; fd < capacity; fd++) if (entryOf(mem, process, fd) !== 0) return fd;
  return -1;
}
