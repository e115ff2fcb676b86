/**
 * Where things lie in the linear memory: the superblock and the rules that all layers share. Every offset that more
 * than one file needs stands here once.
 */

/** Memory is handed out in granules of this many bytes. */
export const GRANULE = 0x1_0000;
export const GRANULE_SHIFT = 16;
/** What `mmap` counts in, as on x86-64. */
export const PAGE_SIZE = 4096;

/** "BPFM", little endian: a memory of another byte order reads differently and is refused. */
export const SB_MAGIC_VALUE = 0x4d46_5042;
/** Raised with every change of a layout in linear memory; attaching to another version is refused. */
export const LAYOUT_VERSION = 6;

/** The superblock lies in the second granule: the first one is never handed out, so NULL and NULL + offset fault. */
export const SB: number = GRANULE;
export const SB_MAGIC: number = SB + 0;
export const SB_VERSION: number = SB + 4;
export const SB_GRANULE: number = SB + 8;
export const SB_PAGE: number = SB + 12;
/** Size of the memory, in granules. */
export const SB_GRANULES: number = SB + 16;
export const SB_CPUS: number = SB + 20;
export const SB_SHARED: number = SB + 24;
/** major << 16 | minor << 8 */
export const SB_KERNEL_VERSION: number = SB + 28;
/** Lock of the granule and slab allocator. */
export const SB_ALLOC_LOCK: number = SB + 32;
/** Address of the granule table: one u32 a granule, the address of its area descriptor or 0. */
export const SB_TABLE: number = SB + 36;
/** Address of the granule states: one byte a granule, see `alloc.ts`. */
export const SB_STATES: number = SB + 40;
/** No free granule lies below this one. */
export const SB_FIRST_FREE: number = SB + 44;
/** Granules in use. */
export const SB_USED: number = SB + 48;
/** State of the host's random numbers: four u32 (xoshiro128**). */
export const SB_RANDOM: number = SB + 64;
/** u64: nanoseconds of the virtual clock. */
export const SB_CLOCK: number = SB + 80;
/** 1: the clock is virtual and stands still until it is advanced. */
export const SB_CLOCK_VIRTUAL: number = SB + 88;
/** Network devices: lock, address of the list of their numbers, entries, room. See `kern/devices.ts`. */
export const SB_DEVICE_LOCK: number = SB + 304;
export const SB_DEVICES: number = SB + 308;
export const SB_DEVICE_COUNT: number = SB + 312;
export const SB_DEVICE_ROOM: number = SB + 316;
/** Links: lock, and the newest one. See `kern/link.ts`. */
export const SB_LINKS_LOCK: number = SB + 320;
export const SB_LINKS: number = SB + 324;
/** u64: most instructions of one run. */
export const SB_RUN_BUDGET: number = SB + 96;
/** bpffs: its lock, and the directory `/`. */
export const SB_BPFFS_LOCK: number = SB + 104;
export const SB_BPFFS_ROOT: number = SB + 108;
/** Clients that are gone, counted. */
export const SB_DEATHS: number = SB + 112;
/** Timers of all maps that are running, or 0: see `struct/timer_queue.ts`. */
export const SB_TIMERS: number = SB + 116;
/** Lock of all lists and trees of objects of programs: see `struct/objects.ts`. */
export const SB_OBJECTS_LOCK: number = SB + 120;
/** Bytes of the kernel's own BTF and how many: 0, the one that every host of this version has. See `helpers/kernel_btf.ts`. */
export const SB_KERNEL_BTF: number = SB + 288;
export const SB_KERNEL_BTF_SIZE: number = SB + 292;
/** The pool of sets of CPUs that programs make, 0: there were none yet. See `helpers/cpumask.ts`. */
export const SB_CPUMASKS: number = SB + 296;
/** Free-list heads of the slabs: one u32 a size class for metadata, then the same for user memory. */
export const SB_SLABS: number = SB + 128;
export const SLAB_CLASSES = 12;
/** Bytes handed out from metadata and from user memory (u32 pairs: low, high). */
export const SB_SLAB_BYTES: number = SB + 256;
/** f64: milliseconds since 1970 at which the clock of the client that made the host began. */
export const SB_TIME_ORIGIN: number = SB + 272;
/** Area descriptors that belong to no map: see `alloc.ts`. */
export const SB_AREAS: number = SB + 512;
/** Id tables, one for each kind of object: see `kern/ids.ts`. */
export const SB_IDS: number = SB + 1024;
/** Client slots: see `kern/clients.ts`. */
export const SB_CLIENTS: number = SB + 2048;
export const CLIENT_SLOTS = 64;
export const CLIENT_SLOT_SIZE = 64;
/** Threads that sleep on SB_WAKES, or did when they died: none, and a wake-up need not be told to the system. */
export const SB_SLEEPERS: number = SB + 60;
/** Counts wake-ups of any ring of the host: who waits for several rings sleeps on this word. */
export const SB_WAKES: number = SB + 56;
/** Address of the table of virtual CPUs (one u32 lock word and state each): see `kern/cpus.ts`. */
export const SB_CPU_TABLE: number = SB + 52;
/**
 * Head of every object that fds, ids and other objects hold. Objects come from slab classes of 32 bytes and more, so the
 * low five bits of an object's address are free for an fd's mode.
 */
export const OBJ_KIND = 0;
/** References: fds, programs, outer maps, mappings, running operations of shared hosts. */
export const OBJ_REFS = 4;
/** 0: found by fd or path only. */
export const OBJ_ID = 8;
/** References that user space holds: fds and pins. */
export const OBJ_USERS = 12;
export const OBJ_HEAD = 16;

export const OBJ_MAP = 1;
export const OBJ_PROG = 2;
export const OBJ_BTF = 3;
/** A directory of bpffs. It has no id. */
export const OBJ_DIR = 4;
/** What attaches a program. */
export const OBJ_LINK = 5;

/** Rounds up to a multiple of 8: the stride of values, and the size of one CPU's slot in the syscall ABI. */
export function rup8(n: number): number {
  return n > 0x7fff_fff0 ? Math.ceil(n / 8) * 8 : (n + 7) & ~7;
}

/** Smallest power of two >= n, for 1 <= n <= 2^31. */
export function roundUpPow2(n: number): number {
  return n <= 1 ? 1 : 2 ** (32 - Math.clz32(n - 1));
}
