/** Kernel functions that give programs pages of their arena. Kernel counterpart: kernel/bpf/arena.c. */
import type { Kernel } from "../kern/kernel.ts";
import { entryOfMap } from "../kern/map.ts";
import { RUN_RESULT_HIGH } from "../kern/run_record.ts";
import { PAGE_SIZE } from "../mem/layout.ts";
import { ARENA_USER_PAGES, ARENA_USER_START, allocPages, givePages, reservePages } from "../struct/arena_pages.ts";
import { MAP_MAX_ENTRIES } from "../struct/map.ts";
import { EINVAL } from "../uapi/index.ts";
import type { Kfunc } from "./types.ts";

/** The only NUMA node of this host; -1: any. */
const NODE = 0;
const ANY_NODE = -1;
const IN_PAGE: number = PAGE_SIZE - 1;

function isArena(kernel: Kernel, map: number): boolean {
  return entryOfMap(kernel, map).traits.userAddresses === true;
}

/** The page that an address of user space's lies in, by its lower half; what is below the arena wraps. */
function pageOf({ mem: { u32 } }: Kernel, map: number, low: number): number {
  return ((low - u32[(map + ARENA_USER_START) >>> 2]!) >>> 0) / PAGE_SIZE;
}

/** User space's address of the first page, a u64; 0: there are none, or what was asked for makes no sense. */
function allocate(
  kernel: Kernel,
  map: number,
  low: number,
  high: number,
  count: number,
  node: number,
  flagsLow: number,
  flagsHigh: number,
): number {
  const { mem, run } = kernel;
  const { u32 } = mem;
  const arena = map >>> 0;
  const pages = count >>> 0;
  u32[(run + RUN_RESULT_HIGH) >>> 2] = 0;
  if (!isArena(kernel, arena) || (flagsLow | flagsHigh) !== 0 || pages === 0) return 0;
  if ((node | 0) !== ANY_NODE && node !== NODE) return 0;
  const most = u32[(arena + ARENA_USER_PAGES) >>> 2]!;
  const anywhere = (low | high) === 0;
  if (pages > most || (low & IN_PAGE) !== 0) return 0;
  const wanted = anywhere ? -1 : pageOf(kernel, arena, low);
  if (wanted > most - pages || wanted + pages > u32[(arena + MAP_MAX_ENTRIES) >>> 2]!) return 0;
  const first = allocPages(mem, arena, wanted, pages);
  if (first < 0) return 0;
  // The range does not cross a multiple of 4 GiB.
  u32[(run + RUN_RESULT_HIGH) >>> 2] = u32[((arena + ARENA_USER_START) >>> 2) + 1]!;
  return u32[(arena + ARENA_USER_START) >>> 2]! + first * PAGE_SIZE;
}

/** Whole pages from that of the address on, as far as there are any. */
function release(kernel: Kernel, map: number, low: number, high: number, count: number): number {
  const { mem } = kernel;
  const arena = map >>> 0;
  if (!isArena(kernel, arena) || count === 0 || (low | high) === 0) return 0;
  const first = Math.floor(pageOf(kernel, arena, low));
  const most = mem.u32[(arena + ARENA_USER_PAGES) >>> 2]!;
  givePages(mem, arena, first, Math.min(count >>> 0, most - first));
  return 0;
}

function reserve(kernel: Kernel, map: number, low: number, _high: number, count: number): number {
  const { mem } = kernel;
  const arena = map >>> 0;
  const pages = count >>> 0;
  if (!isArena(kernel, arena)) return -EINVAL;
  if (pages === 0) return 0;
  const first = Math.floor(pageOf(kernel, arena, low));
  if (first + pages > mem.u32[(arena + ARENA_USER_PAGES) >>> 2]!) return -EINVAL;
  return reservePages(mem, arena, first, pages);
}

export const arenaKfuncs: readonly Kfunc[] = [
  {
    name: "bpf_arena_alloc_pages",
    since: "6.9",
    sleepable: true,
    args: ["map", "u64", "u32", "u32", "u64"],
    result: "u64",
    fn: allocate,
  },
  {
    name: "bpf_arena_free_pages",
    since: "6.9",
    sleepable: true,
    args: ["map", "u64", "u32"],
    result: "void",
    fn: release,
  },
  {
    name: "bpf_arena_reserve_pages",
    since: "6.17",
    sleepable: true,
    args: ["map", "u64", "u32"],
    result: "errno",
    fn: reserve,
  },
];
