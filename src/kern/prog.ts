/**
 * Programs are data: instructions whose map references are addresses by now, the maps they may use, and what is needed
 * to say where something went wrong. Code made from them is a cache of each client's own.
 */
import { alloc, free } from "../mem/alloc.ts";
import { OBJ_HEAD, OBJ_ID, OBJ_KIND, OBJ_PROG, OBJ_REFS } from "../mem/layout.ts";
import type { Memory } from "../mem/memory.ts";
import { MAP_FLAGS } from "../struct/map.ts";
import {
  BPF_F_RDONLY_PROG,
  BPF_FUNC_map_delete_elem,
  BPF_FUNC_map_pop_elem,
  BPF_FUNC_map_push_elem,
  BPF_FUNC_map_update_elem,
  bpf_func_info,
  bpf_line_info,
} from "../uapi/index.ts";
import type { Kernel } from "./kernel.ts";
import { entryOfMap } from "./map.ts";
import { freeStream, STREAM_SIZE } from "./stream.ts";

export const PROG_TYPE: number = OBJ_HEAD;
/** expected_attach_type */
export const PROG_ATTACH_TYPE: number = OBJ_HEAD + 4;
export const PROG_FLAGS: number = OBJ_HEAD + 8;
/** 1: the licence lets it use helpers that are for GPL programs only. */
export const PROG_GPL: number = OBJ_HEAD + 12;
export const PROG_NAME: number = OBJ_HEAD + 16;
/** SHA-256 of the instructions as they came, fds of maps zeroed. The first 8 bytes are the tag. */
export const PROG_DIGEST: number = OBJ_HEAD + 32;
export const DIGEST_SIZE = 32;
/** u64 */
export const PROG_LOAD_TIME: number = OBJ_HEAD + 64;
export const PROG_INSNS: number = OBJ_HEAD + 72;
export const PROG_INSN_CNT: number = OBJ_HEAD + 76;
/** Maps that it may use, each with a reference: see PROG_MAP_SIZE. */
export const PROG_MAPS: number = OBJ_HEAD + 80;
export const PROG_MAP_CNT: number = OBJ_HEAD + 84;
/** BTF object, or 0; struct bpf_func_info and bpf_line_info records. */
export const PROG_BTF: number = OBJ_HEAD + 88;
export const PROG_FUNC_INFO: number = OBJ_HEAD + 92;
export const PROG_FUNC_INFO_CNT: number = OBJ_HEAD + 96;
export const PROG_LINE_INFO: number = OBJ_HEAD + 100;
export const PROG_LINE_INFO_CNT: number = OBJ_HEAD + 104;
/** Its arena, one of its maps, or 0. */
export const PROG_ARENA: number = OBJ_HEAD + 108;
/** BTF objects that it holds beside its own: one u32 each. */
const PROG_BTFS: number = OBJ_HEAD + 112;
const PROG_BTF_CNT: number = OBJ_HEAD + 116;
/** The first instruction of each of its functions, ascending: one u32 each, SUBPROG_ADDRESSED with those that helpers may call. */
const PROG_SUBPROGS: number = OBJ_HEAD + 120;
const PROG_SUBPROG_CNT: number = OBJ_HEAD + 124;
/** What it is attached to, a type of the kernel's BTF or of another program's; 0: nothing that has a type. */
export const PROG_ATTACH_BTF_ID: number = OBJ_HEAD + 128;
/** Programs with typed arguments: how many words they are, and a bit for each that is a pointer. */
export const PROG_ARG_COUNT: number = OBJ_HEAD + 132;
export const PROG_ARG_POINTERS: number = OBJ_HEAD + 136;
/** The id of the program that it is to be attached to, 0: something of the kernel's. */
export const PROG_TARGET_PROG: number = OBJ_HEAD + 140;
/** Streams 1 (stdout) and 2 (stderr). */
const PROG_STREAMS: number = OBJ_HEAD + 144;
const PROG_SIZE: number = PROG_STREAMS + 2 * STREAM_SIZE;

const INSN_SHIFT = 3;
const BTF_REF_SIZE = 4;
const SUBPROG_SIZE = 4;
/** The program takes the function's address. */
const SUBPROG_ADDRESSED = 0x8000_0000;

/** An entry of the map table: the map, then one bit a helper that the program may call with it. */
export const PROG_MAP_SIZE = 32;
const PROG_MAP_HELPERS = 4;
const HELPER_BITS = 224;

/** What a map created with BPF_F_RDONLY_PROG refuses to programs. */
const writingHelpers: readonly number[] = [
  BPF_FUNC_map_update_elem,
  BPF_FUNC_map_delete_elem,
  BPF_FUNC_map_push_elem,
  BPF_FUNC_map_pop_elem,
];

/** An empty program with one reference, the caller's, and room for so many instructions. 0: out of memory. */
export function allocProg(mem: Memory, insnCount: number): number {
  const insns = alloc(mem, insnCount << INSN_SHIFT);
  const prog = insns === 0 ? 0 : alloc(mem, PROG_SIZE);
  if (prog === 0) {
    if (insns !== 0) free(mem, insns, insnCount << INSN_SHIFT);
    return 0;
  }
  const { u32 } = mem;
  u32[(prog + OBJ_KIND) >>> 2] = OBJ_PROG;
  u32[(prog + OBJ_REFS) >>> 2] = 1;
  u32[(prog + PROG_INSNS) >>> 2] = insns;
  u32[(prog + PROG_INSN_CNT) >>> 2] = insnCount;
  return prog;
}

/** Room for `count` records of `size` bytes behind the field `at` of the program. False: out of memory. */
export function allocRecords(mem: Memory, prog: number, at: number, count: number, size: number): boolean {
  if (count === 0) return true;
  const records = alloc(mem, count * size);
  if (records === 0) return false;
  mem.u32[(prog + at) >>> 2] = records;
  mem.u32[(prog + at + 4) >>> 2] = count;
  return true;
}

/** Gives the program these maps, with the caller's reference of each. False: out of memory, nothing was taken. */
export function setProgMaps(kernel: Kernel, prog: number, maps: readonly number[]): boolean {
  const { mem } = kernel;
  if (!allocRecords(mem, prog, PROG_MAPS, maps.length, PROG_MAP_SIZE)) return false;
  let entry = mem.u32[(prog + PROG_MAPS) >>> 2]!;
  for (const map of maps) {
    mem.u32[entry >>> 2] = map;
    const { helpers, userAddresses } = entryOfMap(kernel, map).traits;
    for (const helper of helpers) allow(mem, entry, map, helper);
    if (userAddresses === true) mem.u32[(prog + PROG_ARENA) >>> 2] = map;
    entry += PROG_MAP_SIZE;
  }
  return true;
}

/** Gives the program these BTF objects, with the caller's reference of each. False: out of memory, nothing was taken. */
export function setProgBtfs(mem: Memory, prog: number, btfs: readonly number[]): boolean {
  if (!allocRecords(mem, prog, PROG_BTFS, btfs.length, BTF_REF_SIZE)) return false;
  mem.u32.set(btfs, mem.u32[(prog + PROG_BTFS) >>> 2]! >>> 2);
  return true;
}

/** Tells the program where its functions begin, and whose addresses it takes. False: out of memory. */
export function setProgSubprogs(
  mem: Memory,
  prog: number,
  starts: readonly number[],
  addressed: ReadonlySet<number>,
): boolean {
  if (!allocRecords(mem, prog, PROG_SUBPROGS, starts.length, SUBPROG_SIZE)) return false;
  const records = starts.map((start) => (addressed.has(start) ? start | SUBPROG_ADDRESSED : start));
  mem.u32.set(records, mem.u32[(prog + PROG_SUBPROGS) >>> 2]! >>> 2);
  return true;
}

/** Where its functions begin. */
export function progSubprogs(mem: Memory, prog: number): number[] {
  const first = mem.u32[(prog + PROG_SUBPROGS) >>> 2]! >>> 2;
  const records = mem.u32.subarray(first, first + mem.u32[(prog + PROG_SUBPROG_CNT) >>> 2]!);
  return Array.from(records, (record) => (record & ~SUBPROG_ADDRESSED) >>> 0);
}

/**
 * Whether a function that helpers may call begins at this instruction. A number that a program has made of another one is
 * not taken for one: compiled code knows what functions are given that are only called.
 */
export function isCallback(mem: Memory, prog: number, insn: number): boolean {
  const at = mem.u32[(prog + PROG_SUBPROGS) >>> 2]! >>> 2;
  const end = at + mem.u32[(prog + PROG_SUBPROG_CNT) >>> 2]!;
  const record = (insn | SUBPROG_ADDRESSED) >>> 0;
  for (let i = at; i < end; i++) if (mem.u32[i] === record) return true;
  return false;
}

function allow(mem: Memory, entry: number, map: number, helper: number): void {
  const readOnly = (mem.u32[(map + MAP_FLAGS) >>> 2]! & BPF_F_RDONLY_PROG) !== 0;
  if (helper >= HELPER_BITS || (readOnly && writingHelpers.includes(helper))) return;
  mem.u32[((entry + PROG_MAP_HELPERS) >>> 2) + (helper >>> 5)]! |= 1 << (helper & 31);
}

/** True when the map refuses this helper because programs may only read it. */
export function readOnlyFor(mem: Memory, map: number, helper: number): boolean {
  return (mem.u32[(map + MAP_FLAGS) >>> 2]! & BPF_F_RDONLY_PROG) !== 0 && writingHelpers.includes(helper);
}

/** The program's entry for this map, or 0: it has no such map. */
export function progMap(mem: Memory, prog: number, map: number): number {
  const { u32 } = mem;
  let entry = u32[(prog + PROG_MAPS) >>> 2]!;
  for (let left = u32[(prog + PROG_MAP_CNT) >>> 2]!; left > 0; left--) {
    if (u32[entry >>> 2] === map) return entry;
    entry += PROG_MAP_SIZE;
  }
  return 0;
}

/** Whether a map that a run reached through another one goes with the helper. */
export function innerAllowed(kernel: Kernel, map: number, helper: number): boolean {
  return entryOfMap(kernel, map).traits.helpers.includes(helper) && !readOnlyFor(kernel.mem, map, helper);
}

/** Whether the map of this entry goes with the helper. */
export function helperAllowed(mem: Memory, entry: number, helper: number): boolean {
  return (mem.u32[((entry + PROG_MAP_HELPERS) >>> 2) + (helper >>> 5)]! & (1 << (helper & 31))) !== 0;
}

/** Address of stream 1 or 2. */
export function progStream(prog: number, id: number): number {
  return prog + PROG_STREAMS + (id - 1) * STREAM_SIZE;
}

export function destroyProg(kernel: Kernel, prog: number): void {
  const { mem } = kernel;
  const { u32 } = mem;
  for (let i = u32[(prog + PROG_MAP_CNT) >>> 2]! - 1; i >= 0; i--) {
    kernel.put(u32[(u32[(prog + PROG_MAPS) >>> 2]! + i * PROG_MAP_SIZE) >>> 2]!);
  }
  const btf = u32[(prog + PROG_BTF) >>> 2]!;
  if (btf !== 0) kernel.put(btf);
  for (let i = u32[(prog + PROG_BTF_CNT) >>> 2]! - 1; i >= 0; i--) {
    kernel.put(u32[(u32[(prog + PROG_BTFS) >>> 2]! + i * BTF_REF_SIZE) >>> 2]!);
  }
  freeRecords(mem, prog, PROG_BTFS, BTF_REF_SIZE);
  freeRecords(mem, prog, PROG_MAPS, PROG_MAP_SIZE);
  freeRecords(mem, prog, PROG_FUNC_INFO, bpf_func_info.size);
  freeRecords(mem, prog, PROG_LINE_INFO, bpf_line_info.size);
  freeRecords(mem, prog, PROG_SUBPROGS, SUBPROG_SIZE);
  freeRecords(mem, prog, PROG_INSNS, 1 << INSN_SHIFT);
  kernel.codeCache.delete(u32[(prog + OBJ_ID) >>> 2]!);
  kernel.compiled.delete(u32[(prog + OBJ_ID) >>> 2]!);
  kernel.tailCalls?.forget(u32[(prog + OBJ_ID) >>> 2]!);
  freeStream(mem, progStream(prog, 1));
  freeStream(mem, progStream(prog, 2));
  free(mem, prog, PROG_SIZE);
}

function freeRecords(mem: Memory, prog: number, at: number, size: number): void {
  const records = mem.u32[(prog + at) >>> 2]!;
  if (records !== 0) free(mem, records, mem.u32[(prog + at + 4) >>> 2]! * size);
}
