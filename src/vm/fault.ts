/** Faults in words: which instruction, which source line, what it tried, and what lies there. */
import { COLUMN_BITS } from "../btf/ext.ts";
import { kfuncTable } from "../helpers/kfunc_table.ts";
import { helperTable } from "../helpers/table.ts";
import { decodeInsns, disassemble, INSN_SIZE, type Insn } from "../insn/index.ts";
import { btfOf } from "../kern/btf.ts";
import {
  FAULT_ALIGNMENT,
  FAULT_CONTEXT,
  FAULT_DEPTH,
  FAULT_HIGH_HALF,
  FAULT_LOCK_TWICE,
  FAULT_MAP,
  FAULT_MAP_HELPER,
  FAULT_NO_MEMORY,
  FAULT_NO_OBJECT,
  FAULT_NO_TEXT,
  FAULT_NOT_CONTEXT,
  FAULT_NOT_DYNPTR,
  FAULT_NOT_FIELD,
  FAULT_NOT_FUNCTION,
  FAULT_NOT_ITERATOR,
  FAULT_NOT_LOCKED,
  FAULT_NOT_OWNED,
  FAULT_NOT_RECORD,
  FAULT_NOT_SOCKET,
  FAULT_NOT_STACK,
  FAULT_NOT_VALUE,
  FAULT_OBJECT_GONE,
  FAULT_OTHER_MAP,
  FAULT_OUTSIDE,
  FAULT_RIGHTS,
  FAULT_SIZE,
} from "../kern/fault_kinds.ts";
import type { Kernel } from "../kern/kernel.ts";
import {
  PROG_BTF,
  PROG_INSN_CNT,
  PROG_INSNS,
  PROG_LINE_INFO,
  PROG_LINE_INFO_CNT,
  PROG_NAME,
  progMap,
} from "../kern/prog.ts";
import {
  holdsReference,
  MAX_FRAMES,
  RUN_CTX,
  RUN_CTX_SIZE,
  RUN_CURRENT,
  RUN_DATA_END,
  RUN_DEPTH,
  RUN_FAULT,
  RUN_FAULT_ARG,
  RUN_FAULT_HIGH,
  RUN_FAULT_LOW,
  RUN_FAULT_SIZE,
  RUN_FAULT_WRITE,
  RUN_META,
  RUN_PACKET,
  RUN_PACKET_END,
  RUN_PC,
  RUN_SPENT,
  RUN_STACK_TOP,
  RUN_STATUS,
  STACK_FRAME,
  STACK_SIZE,
} from "../kern/run_record.ts";
import {
  AREA_BASE,
  AREA_KIND,
  AREA_MAP,
  AREA_METADATA,
  AREA_NODES,
  AREA_OBJECTS,
  AREA_RING,
  AREA_RUN,
  AREA_SIZE,
  AREA_STRIDE,
  AREA_USER,
  AREA_VALUE_SIZE,
  AREA_VALUES,
  areaOf,
} from "../mem/alloc.ts";
import { GRANULE, OBJ_ID } from "../mem/layout.ts";
import type { Memory } from "../mem/memory.ts";
import { MAP_NAME, MAP_NAME_SIZE } from "../struct/map.ts";
import { BPF_PSEUDO_KFUNC_CALL, bpf_line_info } from "../uapi/index.ts";

/** Who misses something by less than this most likely meant it; so far apart are stack, context and packet. */
const NEAR = 256;

export interface RunFault {
  /** Index of the instruction, and what it is. */
  readonly insn: number;
  readonly code: string;
  /** `file:line:column: text`, or empty: the program came without line information. */
  readonly source: string;
  /** FAULT_*, or 0: the budget is spent. */
  readonly kind: number;
  readonly address: bigint;
  readonly what: string;
  /** All of it, in lines. */
  readonly text: string;
}

/** Describes how a run that faulted or spent its budget ended. The run is still open. */
export function describeFault(kernel: Kernel, run: number): RunFault {
  const { mem } = kernel;
  const { u32 } = mem;
  const word = (field: number): number => u32[(run + field) >>> 2]!;
  const prog = word(RUN_CURRENT);
  const insn = word(RUN_PC);
  const [first, second] = insnsAt(mem, prog, insn);
  const code = disassemble(first!, second, { helper: helperName });
  const source = sourceAt(kernel, prog, insn);
  const spent = word(RUN_STATUS) === RUN_SPENT;
  const kind = spent ? 0 : word(RUN_FAULT);
  const address = (BigInt(word(RUN_FAULT_HIGH)) << 32n) | BigInt(word(RUN_FAULT_LOW));
  const what = spent
    ? `stopped: its budget of ${kernel.runBudget} instructions is spent (the host's option runBudget raises it)`
    : words(kernel, run, kind, address);
  const lines = [`program "${text(mem, prog + PROG_NAME)}" (id ${u32[(prog + OBJ_ID) >>> 2]}): ${what}`];
  lines.push(`  at instruction ${insn}: ${code}`);
  if (source !== "") lines.push(`  ${source}`);
  return { insn, code, source, kind, address, what, text: `${lines.join("\n")}\n` };
}

function text(mem: Memory, at: number): string {
  let s = "";
  for (let i = 0; i < MAP_NAME_SIZE && mem.u8[at + i] !== 0; i++) s += String.fromCharCode(mem.u8[at + i]!);
  return s;
}

/** The instruction with this index and, unless it is the last, the next one. */
function insnsAt(mem: Memory, prog: number, index: number): readonly Insn[] {
  const at = mem.u32[(prog + PROG_INSNS) >>> 2]! + index * INSN_SIZE;
  const two = index + 1 < mem.u32[(prog + PROG_INSN_CNT) >>> 2]!;
  return decodeInsns(mem.u8.slice(at, at + INSN_SIZE * (two ? 2 : 1)));
}

function helperName(id: number): string | undefined {
  return helperTable[id]?.name;
}

/** The last line record at or before the instruction. */
function sourceAt(kernel: Kernel, prog: number, insn: number): string {
  const { u32 } = kernel.mem;
  const btf = u32[(prog + PROG_BTF) >>> 2]!;
  let found = 0;
  let at = u32[(prog + PROG_LINE_INFO) >>> 2]!;
  for (let left = u32[(prog + PROG_LINE_INFO_CNT) >>> 2]!; left > 0; left--) {
    if (u32[at >>> 2]! > insn) break;
    found = at;
    at += bpf_line_info.size;
  }
  if (found === 0 || btf === 0) return "";
  const strings = btfOf(kernel, btf);
  const column = u32[(found >>> 2) + 3]!;
  const place = `${strings.string(u32[(found >>> 2) + 1]!)}:${column >>> COLUMN_BITS}:${column & ((1 << COLUMN_BITS) - 1)}`;
  return `${place}: ${strings.string(u32[(found >>> 2) + 2]!).trim()}`;
}

function words(kernel: Kernel, run: number, kind: number, address: bigint): string {
  const { u32 } = kernel.mem;
  const size = u32[(run + RUN_FAULT_SIZE) >>> 2]!;
  const arg = u32[(run + RUN_FAULT_ARG) >>> 2]!;
  const access = u32[(run + RUN_FAULT_WRITE) >>> 2] === 1 ? "write" : "read";
  const at = `0x${address.toString(16)}`;
  const who = arg === 0 ? "" : `argument ${arg} of ${calledHelper(kernel.mem, run)}: `;
  const tried = `${who}${access} of ${size} ${size === 1 ? "byte" : "bytes"} at ${at}`;
  const there = (): string => whatIsAt(kernel, run, Number(address), size);
  switch (kind) {
    case FAULT_OUTSIDE:
      return `${tried}, outside of what it may touch: ${there()}`;
    case FAULT_HIGH_HALF:
      return `${tried}, which is no pointer: its upper half is not zero`;
    case FAULT_ALIGNMENT:
      return `${tried}, not aligned to ${size} bytes: ${there()}`;
    case FAULT_RIGHTS:
      return `${tried}, which ${inValue(kernel.mem, Number(address)) ? "the map's flags forbid to programs" : "it may only read"}: ${there()}`;
    case FAULT_CONTEXT:
      return `${tried}, byte ${Number(address) - u32[(run + RUN_CTX) >>> 2]!} of the context: no access that it allows`;
    case FAULT_DEPTH:
      return `a call too deep: ${MAX_FRAMES} frames are the most`;
    case FAULT_MAP:
      return `${who}${at} is no map of this program`;
    case FAULT_MAP_HELPER:
      return `${who}map "${text(kernel.mem, Number(address) + MAP_NAME)}" does not go with this helper`;
    case FAULT_NOT_CONTEXT:
      return `${who}${at} is not the context`;
    case FAULT_NOT_SOCKET:
      return `${who}${at} is no socket that this run holds`;
    case FAULT_NOT_RECORD:
      return `${who}${at} is no ring record that this run has reserved`;
    case FAULT_NOT_FUNCTION:
      return `${who}${at} is no function of this program`;
    case FAULT_NOT_FIELD:
      return `${who}${at} is no such field in a value of a map: ${there()}`;
    case FAULT_NO_TEXT:
      return `${who}the text at ${at} has no end that it may read: ${there()}`;
    case FAULT_NOT_STACK:
      return `${who}${at} is not on the stack, or not at a multiple of 8: ${there()}`;
    case FAULT_NOT_DYNPTR:
      return `${who}${at} is no dynptr that this run has set up: ${there()}`;
    case FAULT_NOT_ITERATOR:
      return `${who}${at} is no iterator of its kind that this run has set up: ${there()}`;
    case FAULT_NOT_VALUE:
      return `${who}${at} is not in a value of a map: ${there()}`;
    case FAULT_SIZE:
      return `${who}${address === 0n ? "a size of 0" : `a size of ${address}`}`;
    case FAULT_OTHER_MAP:
      return `${who}the field is not in a value of map "${text(kernel.mem, Number(address) + MAP_NAME)}"`;
    case FAULT_OBJECT_GONE:
      return `${tried}, in an object that was dropped`;
    case FAULT_NO_MEMORY:
      return `${who}the host's memory is full (its option memory makes it larger)`;
    case FAULT_LOCK_TWICE:
      return `${who}the lock at ${at} is held already, by this run or another one of its thread`;
    case FAULT_NOT_LOCKED:
      return `${who}${at} is no lock that this run holds`;
    case FAULT_NOT_OWNED:
      return `${who}${at} is no object that this run owns`;
    case FAULT_NO_OBJECT:
      return `${who}${at} is no object, or node of an object, that is there and of this kind`;
    default:
      return `fault ${kind} at ${at}`;
  }
}

function inValue(mem: Memory, address: number): boolean {
  return mem.u32[(areaOf(mem, address) + AREA_KIND) >>> 2] === AREA_VALUES;
}

function calledHelper(mem: Memory, run: number): string {
  const [insn] = insnsAt(mem, mem.u32[(run + RUN_CURRENT) >>> 2]!, mem.u32[(run + RUN_PC) >>> 2]!);
  const kfunc = insn!.src === BPF_PSEUDO_KFUNC_CALL ? kfuncTable[insn!.imm] : undefined;
  return kfunc?.name ?? helperName(insn!.imm) ?? "a helper";
}

/** What lies at an address, as the program's author would say it. */
export function whatIsAt(kernel: Kernel, run: number, address: number, size: number): string {
  const { mem } = kernel;
  const word = (field: number): number => mem.u32[(run + field) >>> 2]!;
  if (address < GRANULE) return address === 0 ? "NULL" : `${address} bytes behind NULL`;
  const top = word(RUN_STACK_TOP);
  if (near(address, top - STACK_SIZE - NEAR, top + NEAR)) return stackWords(address, size, top, word(RUN_DEPTH));
  if (word(RUN_META) !== 0 && near(address, word(RUN_PACKET), word(RUN_PACKET_END) + NEAR)) {
    return packetWords(address, size, word(RUN_META), word(RUN_DATA_END));
  }
  const ctx = word(RUN_CTX);
  if (near(address, ctx, ctx + NEAR)) return `byte ${address - ctx} of the context, which has ${word(RUN_CTX_SIZE)}`;
  return areaWords(mem, run, address, size);
}

function near(address: number, from: number, to: number): boolean {
  return address >= from && address < to;
}

function count(n: number): string {
  return n === 1 ? "1 byte" : `${n} bytes`;
}

function stackWords(address: number, size: number, top: number, depth: number): string {
  const low = top - (depth + 1) * STACK_FRAME;
  if (address >= low && address + size <= top) return `its stack, byte ${address - low} of ${top - low}`;
  if (address < low) return `${count(low - address)} below its stack`;
  return address >= top ? `${count(address - top)} behind the end of its stack` : "across the end of its stack";
}

function packetWords(address: number, size: number, meta: number, end: number): string {
  if (address < meta) return `${count(meta - address)} in front of its packet`;
  if (address >= end) return `${count(address - end)} behind the end of its packet`;
  if (address + size <= end) return `its packet, byte ${address - meta} of ${end - meta}`;
  return `across the end of its packet, ${count(end - address)} of ${size} inside`;
}

const kinds: Readonly<Record<number, string>> = {
  [AREA_METADATA]: "memory of the host itself",
  [AREA_USER]: "memory of user space",
  [AREA_RUN]: "stack or packet of another run",
  [AREA_NODES]: "keys and links",
  [AREA_OBJECTS]: "no object of this program, or beside it",
  [AREA_RING]: "a ring record that this run has not reserved",
};

function areaWords(mem: Memory, run: number, address: number, size: number): string {
  const { u32 } = mem;
  const prog = u32[(run + RUN_CURRENT) >>> 2]!;
  const area = areaOf(mem, address) >>> 2;
  if (area === 0) return "memory that is not in use";
  const kind = u32[area + (AREA_KIND >>> 2)]!;
  const map = u32[area + (AREA_MAP >>> 2)]!;
  const name = map === 0 || kind === AREA_OBJECTS ? "" : ` of map "${text(mem, map + MAP_NAME)}"`;
  if (kind !== AREA_VALUES) return `${kinds[kind] ?? "memory"}${name}`;
  if (progMap(mem, prog, map) === 0 && !holdsReference(mem, run, map))
    return `a value${name}, which is none of the program's maps`;
  const stride = u32[area + (AREA_STRIDE >>> 2)]!;
  const valueSize = u32[area + (AREA_VALUE_SIZE >>> 2)]!;
  const at = address - u32[area + (AREA_BASE >>> 2)]!;
  if (at >= u32[area + (AREA_SIZE >>> 2)]!) return `behind the last value${name}`;
  const inside = at % stride;
  if (inside + size <= valueSize) return `byte ${inside} of a value${name}`;
  if (inside >= valueSize) return `${count(inside - valueSize)} behind the end of a value${name} (${count(valueSize)})`;
  return `across the end of a value${name}, ${count(valueSize - inside)} of ${size} inside`;
}
