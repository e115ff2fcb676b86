/**
 * The run record: all that a run of a program is, in linear memory and out of the program's reach. It says where the
 * run stands, what it may touch and what it holds; helpers believe it, never the bytes of the context. It lies in this
 * layer because whatever ends a run, the death of its client too, undoes what the run holds.
 */
import { alloc, free } from "../mem/alloc.ts";
import { rup8 } from "../mem/layout.ts";
import { holdsLock, unlock } from "../mem/locks.ts";
import type { Memory } from "../mem/memory.ts";
import type { MapEnv } from "../struct/env.ts";
import { dropObject } from "../struct/object_owner.ts";
import { ringCommit } from "../struct/ring.ts";
import { endDrain } from "../struct/user_ring.ts";

/** RUN_RUNNING, or how the run ended. */
export const RUN_STATUS = 0;
/** The program that was run. */
export const RUN_PROG = 4;
/** Index of the instruction that is next; after a fault, of the one that faulted. */
export const RUN_PC = 8;
/** Calls that are open: the current frame's index. */
export const RUN_DEPTH = 12;
/** End of frame 0's stack; frame n lies STACK_FRAME bytes lower than frame n - 1. */
export const RUN_STACK_TOP = 16;
/** The context as the program sees it, 0: none, as functions of timers have it. */
export const RUN_CTX = 20;
export const RUN_CTX_SIZE = 24;
/** The packet's buffer: headroom from here on, and where the tail room ends. 0: this kind of program has no packet. */
export const RUN_PACKET = 28;
export const RUN_PACKET_END = 32;
/** What the program may touch of it, metadata in front of data, and where data begins. */
export const RUN_META = 36;
export const RUN_DATA = 40;
export const RUN_DATA_END = 44;
/** The rest of a packet that does not fit into the buffer: reached through helpers only. Pages, one behind the other. */
export const RUN_FRAGS = 48;
export const RUN_FRAGS_SIZE = 52;
/** Bytes that were allocated for it; they go back when the run ends. */
export const RUN_FRAGS_ROOM = 56;
/** High half of a helper's u64 result; the low half is what the helper returns. */
export const RUN_RESULT_HIGH = 60;
/** u64: where a helper may put a u64 together. */
export const RUN_WORD = 64;
/** Resources held, oldest first: address of the list, entries, room. */
export const RUN_HELD = 72;
export const RUN_HELD_COUNT = 76;
export const RUN_HELD_ROOM = 80;
/** The run inside which this one runs, and the CPU that the client was on before. */
export const RUN_OUTER = 84;
export const RUN_HOME_CPU = 88;
/** The fault: kind, address (two words), size, FAULT_WRITE or 0, number of the helper's argument or 0. See `vm/fault.ts`. */
export const RUN_FAULT = 92;
export const RUN_FAULT_LOW = 96;
export const RUN_FAULT_HIGH = 100;
export const RUN_FAULT_SIZE = 104;
export const RUN_FAULT_WRITE = 108;
export const RUN_FAULT_ARG = 112;
/** The program whose instructions are executed: RUN_PROG, or one that a tail call went on in. */
export const RUN_CURRENT = 116;
/** Tail calls of this run. */
export const RUN_TAIL_CALLS = 120;
/** 1: the program may read its packet, but not write it. */
export const RUN_PACKET_READ_ONLY = 124;
/** r0 .. r10, each a u64. */
export const RUN_REGS = 128;
/** The id of the timer whose function this run is, or 0. */
export const RUN_TIMER = 216;
/** 1: the run has called bpf_rdonly_cast, and may read through pointers of the kernel's. */
export const RUN_CASTS = 220;
/** u64: instructions that compiled code may still execute; less than 0, as i64: too many were. */
export const RUN_BUDGET = 224;
/** The virtual CPU that the run is on. */
export const RUN_CPU = 256;
/** Where in its batch's column of ends that of the packet is. */
export const RUN_BATCH_AT = 260;
/** u64: what programs read and write where a page of their arena is not there. The first is always 0. */
export const RUN_ABSENT_READ = 232;
export const RUN_ABSENT_WRITE = 248;
/** Dynptrs and iterators on its stack, 0: there were none yet, and the generation of the first; see stack_objects.ts. */
export const RUN_STACK_OBJECTS = 240;
export const RUN_FIRST_GENERATION = 244;
/** Not 0: the run has moved where its packet begins, and may have written in front of where that was. */
export const RUN_PACKET_MOVED = 264;
/** Who ended the run before and kept the record as runs begin, but for what he knows of: `jit/whole_run.ts`. 0: nobody. */
export const RUN_KEPT = 268;
/** The type of programs that it kept the record for. */
export const RUN_KEPT_FOR = 272;
/** One record a call that may be open. */
export const RUN_FRAMES = 280;
export const MAX_FRAMES = 8;
export const FRAME_SIZE = 136;
const RUN_HELD_FIRST: number = RUN_FRAMES + MAX_FRAMES * FRAME_SIZE;
export const HELD_FIRST_ROOM = 16;

/** What a frame is, FRAME_*; frame 0 is the program itself. */
export const FRAME_KIND = 0;
/** Where to go on in the caller. */
export const FRAME_RETURN = 4;
/** Turns that may_goto loops of this frame have left. */
export const FRAME_TURNS = 8;
/** The caller's program: a tail call may have gone on in another one since. */
export const FRAME_PROG = 12;
/** The caller's r6 .. r9. */
export const FRAME_SAVED = 16;
/** Callbacks: where the helper's plan is found (FRAME_PLAN), and the first instruction of the function that it calls. */
export const FRAME_PLAN = 48;
export const FRAME_CALLBACK = 52;
/** u64: what the helper returns when it calls no more. */
export const FRAME_RESULT = 56;
/** r1 .. r5 of the next call, each a u64. */
export const FRAME_ARGS = 64;
/** Eight words of the helper's own. */
export const FRAME_STATE = 104;
/** A function of the program that another called. */
export const FRAME_CALL = 1;
/** A function of the program that a helper calls, once or again and again. */
export const FRAME_HELPER = 2;

/** Bytes of stack of one frame. */
export const STACK_FRAME = 512;
export const STACK_SIZE: number = MAX_FRAMES * STACK_FRAME;

export const RUN_RUNNING = 0;
export const RUN_EXITED = 1;
export const RUN_FAULTED = 2;
/** The budget of instructions is spent. */
export const RUN_SPENT = 3;

/** A resource that a run holds: kind, the object it belongs to, and the memory that the program may touch by it. */
export const HELD_KIND = 0;
export const HELD_OBJECT = 4;
export const HELD_ADDRESS = 8;
export const HELD_BYTES = 12;
export const HELD_SIZE = 16;
/** A ring record that was reserved and neither submitted nor discarded. */
export const HELD_RING = 1;
/** A reference to an object that the program found in a map: an inner map, or a program of a tail call. */
export const HELD_REFERENCE = 2;
/** Dynptrs and iterators on the stack; the object is the run. */
export const HELD_STACK_OBJECTS = 32;
/** A ring record that was reserved as a dynptr. */
export const HELD_RING_DYNPTR = 33;
/** What is being taken, or given back: not held yet, or no more. */
export const HELD_NOTHING = 36;
/** A USER_RINGBUF that is being drained. */
export const HELD_DRAIN = 34;
/** Memory that a helper has allocated for itself: its size is the object, no access comes with it. */
export const HELD_ALLOCATED = 35;
/** Memory around the context, such as a socket behind a pointer in it. */
export const HELD_READABLE = 3;
export const HELD_WRITABLE = 4;
/** A block of memory of the run's own, at the end of which a key lies that the program may read. */
export const HELD_KEY = 5;
/** A lock in a value or object: its word, 0 where another lock that the run holds has the same; the field. */
export const HELD_LOCK = 6;
/** A reference to an object of the program's BTF. */
export const HELD_OWNED = 7;

/** A block that was allocated for the run: its size stands in the address's place, so nothing of it is in reach. */
export const HELD_BLOCK = 20;
/** A socket that the program looked up and has not released. The object is its index, the memory its struct bpf_sock. */
export const HELD_SOCKET = 15;

type Undo = (env: MapEnv, object: number, address: number, bytes: number) => void;

/** How each kind is given back when a run ends without having done it. */
const undo: Readonly<Record<number, Undo>> = {
  [HELD_RING]: (env, map, sample) => {
    ringCommit(env, map, sample, 0, true);
  },
  [HELD_REFERENCE]: (env, object) => env.put(object),
  [HELD_STACK_OBJECTS]: ({ mem: { u32 } }, run) => {
    u32[(run + RUN_STACK_OBJECTS) >>> 2] = 0;
  },
  [HELD_RING_DYNPTR]: (env, map, sample) => {
    ringCommit(env, map, sample, 0, true);
  },
  [HELD_DRAIN]: ({ mem }, map) => endDrain(mem, map),
  [HELD_ALLOCATED]: ({ mem }, size, address) => free(mem, address, size),
  [HELD_BLOCK]: (env, block, size) => free(env.mem, block, size),
  [HELD_NOTHING]: () => {},
  [HELD_READABLE]: () => {},
  [HELD_WRITABLE]: () => {},
  [HELD_LOCK]: ({ mem }, word) => {
    // Of a client that died somebody else may have taken the lock over by now.
    if (word === 0 || !holdsLock(mem, word)) return;
    if (mem.shared) unlock(mem, word);
    else mem.u32[word >>> 2] = 0;
  },
  [HELD_OWNED]: (env, _, address) => dropObject(env, address),
  [HELD_SOCKET]: (env, _index, address, bytes) => free(env.mem, address, bytes),
  [HELD_KEY]: (env, block, key, bytes) => free(env.mem, block, key - block + rup8(bytes)),
};

/** What stays from run to run: the table for RUN_STACK_OBJECTS, 0: none yet, and the last generation that it was given. */
export const RUN_OBJECT_TABLE: number = RUN_HELD_FIRST + HELD_FIRST_ROOM * HELD_SIZE;
export const RUN_GENERATION: number = RUN_OBJECT_TABLE + 4;

export const RUN_SIZE: number = RUN_OBJECT_TABLE + 8;

/**
 * The upper half of a function's address in a register; the lower half is the index of its first instruction. No
 * memory lies there, and a plain number is not likely to look like it.
 */
export const FUNC_HIGH = 0x0bf0_0000;
/** The upper half of the address of a kernel's function or variable, the lower half is its BTF id. No memory lies there. */
export const KERNEL_HIGH = 0xffff_ffff;

/**
 * The upper half of a pointer into the program's arena, once it was cast to the kernel's address space; the lower half is
 * that of user space's address. Arithmetic may carry into it: all numbers of the same upper 12 bits count.
 */
export const ARENA_HIGH = 0x0ae8_0000;
const ARENA_HIGH_MASK = 0xfff0_0000;

export function isArenaHigh(high: number): boolean {
  return (high & ARENA_HIGH_MASK) === (ARENA_HIGH & ARENA_HIGH_MASK);
}

/** Writes down what is wrong with the instruction under way: FAULT_*, the access, argument `arg` of a helper or 0. */
export function noteFault(
  mem: Memory,
  run: number,
  kind: number,
  low: number,
  high: number,
  size: number,
  write: boolean,
  arg: number,
): void {
  const { u32 } = mem;
  u32[(run + RUN_FAULT) >>> 2] = kind;
  u32[(run + RUN_FAULT_LOW) >>> 2] = low;
  u32[(run + RUN_FAULT_HIGH) >>> 2] = high;
  u32[(run + RUN_FAULT_SIZE) >>> 2] = size;
  u32[(run + RUN_FAULT_WRITE) >>> 2] = write ? 1 : 0;
  u32[(run + RUN_FAULT_ARG) >>> 2] = arg;
  u32[(run + RUN_STATUS) >>> 2] = RUN_FAULTED;
}

/** Bytes of a record that a new run finds as all do: up to what frames of calls begin with by themselves. */
export const RUN_IMAGE: number = RUN_FRAMES + FRAME_SIZE;

/** Makes a record ready for a new run: zero, and nothing held. */
export function resetRun(mem: Memory, run: number): void {
  mem.zero(run, RUN_IMAGE);
  mem.u32[(run + RUN_HELD) >>> 2] = run + RUN_HELD_FIRST;
  mem.u32[(run + RUN_HELD_ROOM) >>> 2] = HELD_FIRST_ROOM;
}

/**
 * What a run may hold at a time, objects that it reached aside: the kernel's verifier lets no program collect references
 * in a loop, and lists without an end would be searched for ever.
 */
export const HELD_MAX = 1024;

/** Notes a resource. False: out of memory, or too many; the caller gives the resource back. */
export function hold(mem: Memory, run: number, kind: number, object: number, address: number, bytes: number): boolean {
  const { u32 } = mem;
  const count = u32[(run + RUN_HELD_COUNT) >>> 2]!;
  if (count >= HELD_MAX && kind !== HELD_REFERENCE) return false;
  if (count === u32[(run + RUN_HELD_ROOM) >>> 2] && !growHeld(mem, run, count)) return false;
  const entry = (u32[(run + RUN_HELD) >>> 2]! + count * HELD_SIZE) >>> 2;
  u32[entry] = kind;
  u32[entry + 1] = object;
  u32[entry + 2] = address;
  u32[entry + 3] = bytes;
  u32[(run + RUN_HELD_COUNT) >>> 2] = count + 1;
  return true;
}

function growHeld(mem: Memory, run: number, count: number): boolean {
  const { u32 } = mem;
  const old = u32[(run + RUN_HELD) >>> 2]!;
  const list = alloc(mem, count * 2 * HELD_SIZE);
  if (list === 0) return false;
  mem.copy(list, old, count * HELD_SIZE);
  // A client may die in between: the list that the record names is whole at all times, and is freed once at most.
  u32[(run + RUN_HELD_ROOM) >>> 2] = HELD_FIRST_ROOM;
  u32[(run + RUN_HELD) >>> 2] = list;
  u32[(run + RUN_HELD_ROOM) >>> 2] = count * 2;
  if (count > HELD_FIRST_ROOM) free(mem, old, count * HELD_SIZE);
  return true;
}

function freeHeld(mem: Memory, run: number): void {
  const { u32 } = mem;
  const room = u32[(run + RUN_HELD_ROOM) >>> 2]!;
  // First: who ends the run once more, as of a client that died in here, must not free it again.
  u32[(run + RUN_HELD_ROOM) >>> 2] = 0;
  if (room > HELD_FIRST_ROOM) free(mem, u32[(run + RUN_HELD) >>> 2]!, room * HELD_SIZE);
}

/** The entry of the resource of this kind whose memory begins at `address`, or 0. */
export function findHeld(mem: Memory, run: number, kind: number, address: number): number {
  const { u32 } = mem;
  const list = u32[(run + RUN_HELD) >>> 2]!;
  for (let i = u32[(run + RUN_HELD_COUNT) >>> 2]! - 1; i >= 0; i--) {
    const entry = list + i * HELD_SIZE;
    if (u32[(entry + HELD_ADDRESS) >>> 2] === address && u32[(entry + HELD_KIND) >>> 2] === kind) return entry;
  }
  return 0;
}

/** The oldest entry behind `after` (0: of all) of a lock that the run holds by this word, or 0. */
export function heldLock({ u32 }: Memory, run: number, word: number, after = 0): number {
  const list = u32[(run + RUN_HELD) >>> 2]!;
  const end = list + u32[(run + RUN_HELD_COUNT) >>> 2]! * HELD_SIZE;
  for (let entry = after === 0 ? list : after + HELD_SIZE; entry < end; entry += HELD_SIZE) {
    if (u32[(entry + HELD_KIND) >>> 2] === HELD_LOCK && u32[(entry + HELD_OBJECT) >>> 2] === word) return entry;
  }
  return 0;
}

/** Whether the run holds a reference to the object. */
export function holdsReference(mem: Memory, run: number, object: number): boolean {
  const { u32 } = mem;
  const list = u32[(run + RUN_HELD) >>> 2]!;
  for (let i = u32[(run + RUN_HELD_COUNT) >>> 2]! - 1; i >= 0; i--) {
    const entry = list + i * HELD_SIZE;
    if (u32[(entry + HELD_OBJECT) >>> 2] === object && u32[(entry + HELD_KIND) >>> 2] === HELD_REFERENCE) return true;
  }
  return false;
}

/** Notes a reference to an object that cannot go meanwhile, once for each object. Returns it; 0: out of memory. */
export function keepReference(env: MapEnv, run: number, object: number): number {
  if (holdsReference(env.mem, run, object)) return object;
  env.hold(object);
  if (hold(env.mem, run, HELD_REFERENCE, object, 0, 0)) return object;
  env.put(object);
  return 0;
}

/** Forgets a resource that was given back; the order of the others stays. */
export function letGo(mem: Memory, run: number, entry: number): void {
  const { u32 } = mem;
  const count = u32[(run + RUN_HELD_COUNT) >>> 2]! - 1;
  const end = u32[(run + RUN_HELD) >>> 2]! + count * HELD_SIZE;
  if (entry < end) mem.u8.copyWithin(entry, entry + HELD_SIZE, end + HELD_SIZE);
  u32[(run + RUN_HELD_COUNT) >>> 2] = count;
}

/** Undoes what a run holds but for the oldest `kept`, newest first. */
export function dropHeld(env: MapEnv, run: number, kept = 0): void {
  const { u32 } = env.mem;
  const list = u32[(run + RUN_HELD) >>> 2]!;
  for (let i = u32[(run + RUN_HELD_COUNT) >>> 2]! - 1; i >= kept; i--) {
    const entry = list + i * HELD_SIZE;
    u32[(run + RUN_HELD_COUNT) >>> 2] = i;
    const at = entry >>> 2;
    undo[u32[at]!]!(env, u32[at + 1]!, u32[at + 2]!, u32[at + 3]!);
  }
}

/** Undoes what a run holds, and gives its memory back. However a run ends, this is done. */
export function endRun(env: MapEnv, run: number): void {
  const { mem } = env;
  const { u32 } = mem;
  dropHeld(env, run);
  freeHeld(mem, run);
  const frags = u32[(run + RUN_FRAGS_ROOM) >>> 2]!;
  u32[(run + RUN_FRAGS_ROOM) >>> 2] = 0;
  if (frags !== 0) free(mem, u32[(run + RUN_FRAGS) >>> 2]!, frags);
}
