/** What the instructions of a new program refer to: maps, their values, kernel functions and addresses. */

import { kernelBtfOf, kfuncNameOf } from "../helpers/kernel_btf.ts";
import { kfuncIndex } from "../helpers/kfunc_table.ts";
import { type Insn, insnTable, LD_IMM64_OPCODE, type VariantOp, variantOf } from "../insn/index.ts";
import type { Kernel } from "../kern/kernel.ts";
import { entryOfMap } from "../kern/map.ts";
import { FUNC_HIGH, KERNEL_HIGH } from "../kern/run_record.ts";
import { OBJ_MAP } from "../mem/layout.ts";
import { MAP_EXCL, MAP_EXCL_SIZE } from "../struct/map.ts";
import {
  BPF_PSEUDO_BTF_ID,
  BPF_PSEUDO_FUNC,
  BPF_PSEUDO_MAP_FD,
  BPF_PSEUDO_MAP_VALUE,
  E2BIG,
  EACCES,
  EBUSY,
  EFAULT,
  EINVAL,
  ENOENT,
  ENOMEM,
  EPROTO,
} from "../uapi/index.ts";
import { movedBy } from "./attr.ts";

/** Most maps of a program. */
const MAX_MAPS = 64;
const MAX_BTFS = 64;
/** Largest offset into a value that an instruction may name. */
const MAX_VALUE_OFFSET = 1 << 29;

export interface Refs {
  readonly kernel: Kernel;
  /** Relocations change them, before anything else looks. */
  readonly insns: Insn[];
  /** The same instructions as words, in memory: addresses of maps and values are put in there. */
  readonly code: number;
  /** What exclusive maps are compared with. */
  readonly digest: Uint8Array;
  /** fd_array of the attributes, or 0. */
  readonly fdArray: number;
  /** Maps found so far, in order, each with a reference: another thread may close its fd meanwhile. */
  readonly maps: number[];
  /** BTF objects of fd_array, likewise. */
  readonly btfs: number[];
  readonly log: (line: string) => void;
}

/** Adds the map if the program may use it. 0 or an errno. */
export function useMap(refs: Refs, map: number): number {
  const { mem } = refs.kernel;
  if (refs.maps.includes(map)) return 0;
  const size = mem.u32[(map + MAP_EXCL_SIZE) >>> 2]!;
  for (let i = 0; i < size; i++) {
    if (mem.u8[map + MAP_EXCL + i] === refs.digest[i]) continue;
    refs.log("the map is exclusive to a program with another hash");
    return -EACCES;
  }
  if (refs.maps.length === MAX_MAPS) {
    refs.log(`more than ${MAX_MAPS} maps`);
    return -E2BIG;
  }
  const bad = judgeAddresses(refs, map);
  if (bad !== 0) return bad;
  refs.kernel.hold(map);
  refs.maps.push(map);
  return 0;
}

/** A program has one map that is known by user space's addresses, and these are known when it is loaded. */
function judgeAddresses({ kernel, maps, log }: Refs, map: number): number {
  const { ops, traits } = entryOfMap(kernel, map);
  if (traits.userAddresses !== true) return 0;
  if (maps.some((other) => entryOfMap(kernel, other).traits.userAddresses)) {
    log("Only one arena per program");
    return -EBUSY;
  }
  const to = kernel.scratch(8);
  if (to === 0) return -ENOMEM;
  if (ops.map_direct_value_addr(kernel, map, 0, to) === 0) return 0;
  log("arena's user address must be set via map_extra or mmap()");
  return -EINVAL;
}

/** Adds a BTF object of fd_array. 0 or an errno. */
export function useBtf(refs: Refs, btf: number): number {
  if (refs.btfs.includes(btf)) return 0;
  if (refs.btfs.length === MAX_BTFS) {
    refs.log(`more than ${MAX_BTFS} BTF objects`);
    return -E2BIG;
  }
  refs.kernel.hold(btf);
  refs.btfs.push(btf);
  return 0;
}

/** The map behind an fd, whatever the fd's mode; or an errno. */
function mapOfFd(refs: Refs, fd: number): number {
  const map = refs.kernel.get(fd, OBJ_MAP);
  if (map < 0) {
    refs.log(`fd ${fd} is not pointing to valid bpf_map`);
    return map;
  }
  const bad = useMap(refs, map);
  refs.kernel.done(map);
  return bad === 0 ? map : bad;
}

/** Puts the addresses of maps and their values into all 64-bit immediates. 0 or an errno. */
export function resolveImmediates(refs: Refs): number {
  const { insns, log } = refs;
  for (let at = 0; at < insns.length; at++) {
    const insn = insns[at]!;
    if (isKfuncCall(insn)) putKfunc(refs, at);
    if (insn.opcode !== LD_IMM64_OPCODE) continue;
    const op = variantOf(insnTable[insn.opcode]!, insn)?.op;
    const ret = resolveOne(refs, at, op);
    if (ret < 0) {
      log(`at instruction ${at}`);
      return ret;
    }
    at++;
  }
  return 0;
}

function resolveOne(refs: Refs, at: number, op: VariantOp | undefined): number {
  const { imm } = refs.insns[at]!;
  switch (op) {
    case "imm64":
      return 0;
    case "mapFd":
      return putMap(refs, at, mapOfFd(refs, imm));
    case "mapIdx":
      return putMap(refs, at, mapOfIndex(refs, imm));
    case "mapValue":
      return putValue(refs, at, mapOfFd(refs, imm));
    case "mapIdxValue":
      return putValue(refs, at, mapOfIndex(refs, imm));
    case "func":
      return put(refs, at, BPF_PSEUDO_FUNC, at + 1 + imm, FUNC_HIGH);
    default:
      return putKernelAddress(refs, at, imm);
  }
}

/**
 * A function or variable of the kernel's BTF: programs ask whether it is there, so it has an address. Nothing lies there
 * that a program could read.
 */
function putKernelAddress(refs: Refs, at: number, id: number): number {
  const btf = kernelBtfOf(refs.kernel);
  if (id <= 0 || id >= btf.count || refs.insns[at + 1]!.imm !== 0) {
    refs.log(`btf_id ${id} is none of the kernel's BTF`);
    return -ENOENT;
  }
  const { kind } = btf.type(id);
  if (kind === "func" || kind === "var") return put(refs, at, BPF_PSEUDO_BTF_ID, id, KERNEL_HIGH);
  refs.log(`btf_id ${id} is neither a function nor a variable`);
  return -EINVAL;
}

function mapOfIndex(refs: Refs, index: number): number {
  const { kernel, fdArray } = refs;
  if (fdArray === 0) {
    refs.log("fd_idx without fd_array is invalid");
    return -EPROTO;
  }
  const at = movedBy(fdArray, index * 4);
  if (!kernel.userOk(at, 4, false)) return -EFAULT;
  return mapOfFd(refs, kernel.mem.view.getInt32(at, true));
}

function putMap(refs: Refs, at: number, map: number): number {
  return map < 0 ? map : put(refs, at, BPF_PSEUDO_MAP_FD, map, 0);
}

function putValue(refs: Refs, at: number, map: number): number {
  if (map < 0) return map;
  const { kernel, insns, log } = refs;
  const offset = insns[at + 1]!.imm >>> 0;
  if (offset >= MAX_VALUE_OFFSET) {
    log(`direct value offset of ${offset} is not allowed`);
    return -EINVAL;
  }
  const { ops, traits } = entryOfMap(kernel, map);
  const to = kernel.scratch(8);
  if (to === 0) return -ENOMEM;
  const bad = ops.map_direct_value_addr(kernel, map, offset, to);
  if (bad < 0) {
    log(`no direct access to byte ${offset} of this map's value`);
    return bad;
  }
  const { u32 } = kernel.mem;
  // An address of user space is a plain number, also for who reads the program.
  const src = traits.userAddresses === true ? 0 : BPF_PSEUDO_MAP_VALUE;
  return put(refs, at, src, u32[to >>> 2]!, u32[(to >>> 2) + 1]!);
}

function isKfuncCall(insn: Insn): boolean {
  const row = insnTable[insn.opcode];
  return row?.kind === "call" && variantOf(row, insn)?.op === "kfunc";
}

/** The index in the table of the function that a call names by its BTF id, or -1: this host has no such function. */
export function kfuncOf(refs: Refs, at: number): number {
  const { imm, off } = refs.insns[at]!;
  const name = off === 0 ? kfuncNameOf(refs.kernel, imm) : undefined;
  return name === undefined ? -1 : kfuncIndex(name);
}

/** A call of a kernel function gets its index in the table; what is not there is refused when calls are judged. */
function putKfunc(refs: Refs, at: number): void {
  refs.kernel.mem.i32[(refs.code + at * 8 + 4) >>> 2] = kfuncOf(refs, at);
}

/** Both words of the immediate; an index into fd_array has become what it stood for. */
function put(refs: Refs, at: number, src: number, low: number, high: number): number {
  const { u32, u8 } = refs.kernel.mem;
  const insn = refs.code + at * 8;
  u8[insn + 1] = (u8[insn + 1]! & 0xf) | (src << 4);
  u32[(insn + 4) >>> 2] = low;
  u32[(insn + 12) >>> 2] = high;
  return 0;
}
