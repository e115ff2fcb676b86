/** Programs for the prover's tests, made by hand, and what is proved of their accesses. */

import * as asm from "../../src/insn/index.ts";
import type { Facts } from "../../src/jit/facts.ts";
import { readProgram } from "../../src/jit/program.ts";
import { prove, type Watcher } from "../../src/jit/prove/prove.ts";
import { createKernel } from "../../src/kern/create.ts";
import type { Kernel } from "../../src/kern/kernel.ts";
import { allocMap, entryOfMap } from "../../src/kern/map.ts";
import { allocProg, PROG_INSNS, PROG_TYPE, setProgMaps, setProgSubprogs } from "../../src/kern/prog.ts";
import { FUNC_HIGH } from "../../src/kern/run_record.ts";
import { mapEntry } from "../../src/maps/registry.ts";
import { alloc } from "../../src/mem/alloc.ts";
import * as u from "../../src/uapi/index.ts";
import { PLAIN_MAP } from "../plain_map.ts";

const { R0, R1, R2, R3, R6, R7, R10, label } = asm;

export type Items = readonly asm.AsmItem[];
/** By name: a program, and how its accesses get to their memory, in their order. */
export type Proofs = Readonly<Record<string, readonly [Items, string]>>;

export const k: Kernel = createKernel({ memory: 16 << 20, cpus: 2, shared: false, seed: 1, virtualClock: true });
const { mem } = k;

function makeMap(type: number, key: number, value: number, max: number, flags = 0): number {
  return allocMap(k, mapEntry(type)!, {
    map_type: type,
    key_size: key,
    value_size: value,
    max_entries: max,
    map_flags: flags,
    ...PLAIN_MAP,
  });
}

export const VALUE: number = 64;
export const hash: number = makeMap(u.BPF_MAP_TYPE_HASH, 4, VALUE, 8);
export const small: number = makeMap(u.BPF_MAP_TYPE_HASH, 4, 16, 8);
export const readOnly: number = makeMap(u.BPF_MAP_TYPE_HASH, 4, VALUE, 8, u.BPF_F_RDONLY_PROG);
export const writeOnly: number = makeMap(u.BPF_MAP_TYPE_HASH, 4, VALUE, 8, u.BPF_F_WRONLY_PROG);
export const globals: number = makeMap(u.BPF_MAP_TYPE_ARRAY, 4, 100, 1);
export const foreign: number = makeMap(u.BPF_MAP_TYPE_ARRAY, 4, 100, 1);
export const ring: number = makeMap(u.BPF_MAP_TYPE_RINGBUF, 0, 0, 4096);
export const queue: number = makeMap(u.BPF_MAP_TYPE_QUEUE, 0, 8, 4);
const maps = [hash, small, readOnly, writeOnly, globals, ring, queue];
export const firstValue = (map: number): number => entryOfMap(k, map).ops.map_lookup_elem(k, map, alloc(mem, 8));

export function load(items: Items, type: number = u.BPF_PROG_TYPE_XDP): number {
  const insns = asm.assemble(items);
  const bytes = asm.encodeInsns(
    insns.map((insn, at) => {
      if (insn.opcode === asm.LD_IMM64_OPCODE && insn.src === u.BPF_PSEUDO_FUNC)
        return { ...insn, imm: at + 1 + insn.imm };
      const before = insns[at - 1];
      const isHigh = before?.opcode === asm.LD_IMM64_OPCODE && before.src === u.BPF_PSEUDO_FUNC;
      return isHigh ? { ...insn, imm: FUNC_HIGH } : insn;
    }),
  );
  const prog = allocProg(mem, insns.length);
  mem.u8.set(bytes, mem.u32[(prog + PROG_INSNS) >>> 2]!);
  mem.u32[(prog + PROG_TYPE) >>> 2] = type;
  for (const map of maps) k.hold(map);
  setProgMaps(k, prog, maps);
  setProgSubprogs(mem, prog, asm.functionStarts(insns), asm.addressedFunctions(insns));
  return prog;
}

export function proofOf(items: Items, type?: number, watch?: Watcher): Facts {
  const prog = load(items, type);
  const program = readProgram(mem, prog);
  if (typeof program === "string") throw new Error(program);
  return prove(k, prog, program, watch);
}

/** How the program's accesses get to their memory, in their order. */
export function ways(items: Items, type?: number): string {
  return proofOf(items, type)
    .access.filter((each) => each !== undefined)
    .map(({ how }) => how)
    .join(" ");
}

export const end: Items = [asm.mov64Imm(R0, 0), asm.exit()];
export const map = (reg: asm.Reg, handle: number): Items => [asm.ldImm64(reg, BigInt(handle))];
/** r0 = the value of key 0, or NULL. The key is on the stack: one store. */
export const lookup = (handle: number): Items => [
  asm.st("u32", R10, -4, 0),
  map(R1, handle),
  asm.mov64(R2, R10),
  asm.alu64Imm("add", R2, -4),
  asm.call(u.BPF_FUNC_map_lookup_elem),
];
export const found = (handle: number): Items => [lookup(handle), asm.jmpImm("jeq", R0, 0, "out")];
export const out: Items = [label("out"), ...end];
/** r6 = a number nobody knows, of 64 bits; r0 = a value of 64 bytes. */
export const someNumber: Items = [found(hash), asm.ldx("u64", R6, R0, 0)];
/** r2 = data, r3 = data_end. */
export const packet: Items = [asm.mov64(R7, R1), asm.ldx("u32", R2, R7, 0), asm.ldx("u32", R3, R7, 4)];
