/** What must be proved, and for each rule that keeps a proof right what must not be. */
import { expect, test } from "vitest";
import * as asm from "../../insn/index.ts";
import { createKernel } from "../../kern/create.ts";
import { allocMap, entryOfMap } from "../../kern/map.ts";
import { allocProg, PROG_INSNS, PROG_TYPE, setProgMaps, setProgSubprogs } from "../../kern/prog.ts";
import { FUNC_HIGH } from "../../kern/run_record.ts";
import { mapEntry } from "../../maps/registry.ts";
import { alloc } from "../../mem/alloc.ts";
import * as u from "../../uapi/index.ts";
import type { Facts } from "../facts.ts";
import { readProgram } from "../program.ts";
import { prove, type Watcher } from "./prove.ts";
import { F_WRITE, region, stack, UNKNOWN, type Val } from "./value.ts";

const { R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, R10, label } = asm;
type Items = readonly asm.AsmItem[];

const k = createKernel({ memory: 16 << 20, cpus: 2, shared: false, seed: 1, virtualClock: true });
const { mem } = k;

function makeMap(type: number, key: number, value: number, max: number, flags = 0): number {
  return allocMap(k, mapEntry(type)!, {
    map_type: type,
    key_size: key,
    value_size: value,
    max_entries: max,
    map_flags: flags,
    numa_node: 0,
    map_extra_lo: 0,
    map_extra_hi: 0,
    inner_map_fd: 0,
    btf_key_type_id: 0,
    btf_value_type_id: 0,
  });
}

const VALUE = 64;
const hash = makeMap(u.BPF_MAP_TYPE_HASH, 4, VALUE, 8);
const small = makeMap(u.BPF_MAP_TYPE_HASH, 4, 16, 8);
const readOnly = makeMap(u.BPF_MAP_TYPE_HASH, 4, VALUE, 8, u.BPF_F_RDONLY_PROG);
const writeOnly = makeMap(u.BPF_MAP_TYPE_HASH, 4, VALUE, 8, u.BPF_F_WRONLY_PROG);
const globals = makeMap(u.BPF_MAP_TYPE_ARRAY, 4, 100, 1);
const foreign = makeMap(u.BPF_MAP_TYPE_ARRAY, 4, 100, 1);
const ring = makeMap(u.BPF_MAP_TYPE_RINGBUF, 0, 0, 4096);
const queue = makeMap(u.BPF_MAP_TYPE_QUEUE, 0, 8, 4);
const maps = [hash, small, readOnly, writeOnly, globals, ring, queue];
const firstValue = (map: number): number => entryOfMap(k, map).ops.map_lookup_elem(k, map, alloc(mem, 8));

function load(items: Items, type: number = u.BPF_PROG_TYPE_XDP): number {
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

function proofOf(items: Items, type?: number, watch?: Watcher): Facts {
  const prog = load(items, type);
  const program = readProgram(mem, prog);
  if (typeof program === "string") throw new Error(program);
  return prove(k, prog, program, watch);
}

/** How the program's accesses get to their memory, in their order. */
function ways(items: Items, type?: number): string {
  return proofOf(items, type)
    .access.filter((each) => each !== undefined)
    .map(({ how }) => how)
    .join(" ");
}

const end: Items = [asm.mov64Imm(R0, 0), asm.exit()];
const map = (reg: asm.Reg, handle: number): Items => [asm.ldImm64(reg, BigInt(handle))];
/** r0 = the value of key 0, or NULL. The key is on the stack: one store. */
const lookup = (handle: number): Items => [
  asm.st("u32", R10, -4, 0),
  map(R1, handle),
  asm.mov64(R2, R10),
  asm.alu64Imm("add", R2, -4),
  asm.call(u.BPF_FUNC_map_lookup_elem),
];
const found = (handle: number): Items => [lookup(handle), asm.jmpImm("jeq", R0, 0, "out")];
const out: Items = [label("out"), ...end];
/** r6 = a number nobody knows, of 64 bits; r0 = a value of 64 bytes. */
const someNumber: Items = [found(hash), asm.ldx("u64", R6, R0, 0)];
/** r2 = data, r3 = data_end. */
const packet: Items = [asm.mov64(R7, R1), asm.ldx("u32", R2, R7, 0), asm.ldx("u32", R3, R7, 4)];

const proofs: Readonly<Record<string, readonly [Items, string]>> = {
  "stack at its natural alignment": [
    [asm.st("u64", R10, -512, 1), asm.st("u32", R10, -4, 1), asm.ldx("u8", R1, R10, -1), end],
    "proved proved proved",
  ],
  "stack, not aligned, or beyond its ends": [
    [asm.st("u32", R10, -6, 1), asm.st("u8", R10, -513, 1), asm.st("u8", R10, 0, 1), asm.st("u64", R10, -4, 1), end],
    "stack stack check stack",
  ],
  "a value, once NULL is ruled out, to its last byte": [
    [found(hash), asm.ldx("u64", R1, R0, VALUE - 8), asm.ldx("u8", R1, R0, VALUE), out],
    "proved proved window",
  ],
  "a value that may be NULL": [[lookup(hash), asm.ldx("u64", R1, R0, 0), end], "proved check"],
  "NULL ruled out of a copy": [
    [lookup(hash), asm.mov64(R6, R0), asm.jmpImm("jne", R6, 0, 1), asm.ja("out"), asm.ldx("u8", R1, R0, 0), out],
    "proved proved",
  ],
  "NULL ruled out of a spilled copy": [
    [
      lookup(hash),
      asm.stx("u64", R10, R0, -16),
      asm.jmpImm("jeq", R0, 0, "out"),
      asm.ldx("u64", R3, R10, -16),
      asm.ldx("u8", R1, R3, 0),
      out,
    ],
    "proved proved proved proved",
  ],
  "a value, or NULL from elsewhere": [
    [
      asm.mov64Imm(R6, 0),
      lookup(small),
      asm.jmpImm("jeq", R0, 0, "none"),
      asm.ldx("u8", R1, R0, 0),
      asm.jmpImm("jeq", R1, 0, "none"),
      asm.mov64(R6, R0),
      label("none"),
      asm.ldx("u64", R1, R6, 0),
      asm.jmpImm("jeq", R6, 0, "out"),
      asm.ldx("u64", R1, R6, 8),
      asm.ldx("u64", R1, R6, 16),
      out,
    ],
    "proved proved check proved window",
  ],
  "NULL + 8 is not NULL, and no value": [
    [lookup(hash), asm.alu64Imm("add", R0, 8), asm.jmpImm("jeq", R0, 0, "out"), asm.ldx("u8", R1, R0, 0), out],
    "proved check",
  ],
  "of one lookup NULL ruled out, of the next not": [
    [found(hash), asm.mov64(R6, R0), lookup(hash), asm.ldx("u8", R1, R6, 0), asm.ldx("u8", R1, R0, 0), out],
    "proved proved proved check",
  ],
  "a map that programs may only read": [
    [found(readOnly), asm.ldx("u8", R1, R0, 0), asm.st("u8", R0, 0, 1), out],
    "proved proved check",
  ],
  "a map that programs may only write": [
    [found(writeOnly), asm.st("u8", R0, 0, 1), asm.ldx("u8", R1, R0, 0), out],
    "proved check check",
  ],
  "a map that is none of the program's": [[found(foreign), asm.ldx("u8", R1, R0, 0), out], "proved check"],
  "two values of different sizes in one register": [
    [
      lookup(small),
      asm.mov64(R6, R0),
      lookup(hash),
      asm.mov64(R7, R0),
      asm.call(u.BPF_FUNC_get_prandom_u32),
      asm.jmpImm("jeq", R0, 5, "first"),
      asm.mov64(R6, R7),
      label("first"),
      asm.jmpImm("jeq", R6, 0, "out"),
      asm.ldx("u64", R1, R6, 8),
      asm.ldx("u64", R1, R6, 16),
      out,
    ],
    "proved proved proved check",
  ],
  "globals by their address, to the end of the value": [
    [
      map(R1, firstValue(globals) + 40),
      asm.ldx("u32", R2, R1, 56),
      asm.ldx("u32", R2, R1, 57),
      asm.ldx("u32", R2, R1, -41),
      asm.ldx("u32", R2, R1, -40),
      end,
    ],
    "proved window window proved",
  ],
  "values of another program's map by their address": [
    [map(R1, firstValue(foreign)), asm.ldx("u32", R2, R1, 0), end],
    "check",
  ],
  "an index that was compared": [
    [
      someNumber,
      asm.jmpImm("jgt", R6, 60, "out"),
      asm.alu64("add", R0, R6),
      asm.ldx("u32", R1, R0, 0),
      asm.ldx("u32", R1, R0, 1),
      out,
    ],
    "proved proved proved window",
  ],
  "an index that was compared as a signed number may be negative": [
    [someNumber, asm.jmpImm("jsgt", R6, 60, "out"), asm.alu64("add", R0, R6), asm.ldx("u8", R1, R0, 0), out],
    "proved proved window",
  ],
  "an index between 0 and 60, both compared with their signs": [
    [
      someNumber,
      asm.movsx64(R6, R6, 32),
      asm.jmpImm("jsgt", R6, 60, "out"),
      asm.jmpImm("jslt", R6, 0, "out"),
      asm.alu64("add", R0, R6),
      asm.ldx("u32", R1, R0, 0),
      out,
    ],
    "proved proved proved",
  ],
  "a comparison of lower halves says nothing of a dirty upper half": [
    [someNumber, asm.jmp32Imm("jgt", R6, 60, "out"), asm.alu64("add", R0, R6), asm.ldx("u8", R1, R0, 0), out],
    "proved proved window",
  ],
  "a comparison of lower halves once the upper half is 0": [
    [
      someNumber,
      asm.mov32(R6, R6),
      asm.jmp32Imm("jgt", R6, 60, "out"),
      asm.alu64("add", R0, R6),
      asm.ldx("u8", R1, R0, 0),
      out,
    ],
    "proved proved proved",
  ],
  "the upper half is dirty again": [
    [
      someNumber,
      asm.mov32(R7, R6),
      asm.jmp32Imm("jgt", R7, 60, "out"),
      asm.alu64("add", R0, R6),
      asm.ldx("u8", R1, R0, 0),
      out,
    ],
    "proved proved window",
  ],
  "an index cut by a mask, by shifts, by a remainder": [
    [
      someNumber,
      asm.mov64(R1, R6),
      asm.alu64Imm("and", R1, 63),
      asm.alu64("add", R1, R0),
      asm.ldx("u8", R2, R1, 0),
      asm.mov64(R1, R6),
      asm.alu64Imm("rsh", R1, 58),
      asm.alu64("add", R1, R0),
      asm.ldx("u8", R2, R1, 0),
      asm.alu64Imm("mod", R6, 64),
      asm.alu64("add", R6, R0),
      asm.ldx("u8", R2, R6, 0),
      out,
    ],
    "proved proved proved proved proved",
  ],
  "a mask that is negative cuts nothing": [
    [someNumber, asm.alu64Imm("and", R6, -8), asm.alu64("add", R0, R6), asm.ldx("u8", R1, R0, 0), out],
    "proved proved window",
  ],
  "a sum that may wrap": [
    [
      someNumber,
      asm.alu64Imm("add", R6, 8),
      asm.jmpImm("jgt", R6, 60, "out"),
      asm.alu64Imm("sub", R6, 8),
      asm.alu64("add", R0, R6),
      asm.ldx("u8", R1, R0, 0),
      out,
    ],
    "proved proved window",
  ],
  "a sum of 32 bits that may wrap": [
    [
      someNumber,
      asm.mov32(R6, R6),
      asm.alu32Imm("add", R6, 8),
      asm.jmpImm("jgt", R6, 60, "out"),
      asm.alu64Imm("sub", R6, 8),
      asm.alu64("add", R0, R6),
      asm.ldx("u8", R1, R0, 0),
      asm.ldx("u8", R1, R0, 8),
      out,
    ],
    "proved proved window proved",
  ],
  "the next index, of which the last one is compared": [
    [
      found(hash),
      asm.mov64Imm(R3, 0),
      label("loop"),
      asm.mov64(R1, R3),
      asm.mov64(R4, R0),
      asm.alu64("add", R4, R1),
      asm.ldx("u8", R5, R4, 0),
      asm.jmpImm("jeq", R5, 0, "out"),
      asm.mov64(R3, R1),
      asm.alu64Imm("add", R3, 1),
      asm.jmpImm("jne", R1, VALUE - 1, "loop"),
      out,
    ],
    "proved proved",
  ],
  "the next index, in 32 bits and spilled, of which the same one from elsewhere is compared": [
    [
      found(hash),
      asm.mov64Imm(R3, 0),
      label("loop"),
      asm.mov64(R1, R3),
      asm.mov64(R4, R0),
      asm.alu64("add", R4, R1),
      asm.ldx("u8", R5, R4, 0),
      asm.ldx("u8", R5, R4, 1),
      asm.mov64(R3, R1),
      asm.alu32Imm("add", R3, 1),
      asm.stx("u64", R10, R3, -16),
      asm.alu64Imm("add", R1, 1),
      asm.ldx("u64", R3, R10, -16),
      asm.jmpImm("jlt", R1, VALUE, "loop"),
      out,
    ],
    "proved proved window proved proved",
  ],
  "a sum that is compared, and what it was made from: it may be negative": [
    [
      someNumber,
      asm.mov64(R3, R6),
      asm.alu64Imm("add", R3, 8),
      asm.jmpImm("jgt", R3, 60, "out"),
      asm.mov64(R4, R0),
      asm.alu64("add", R0, R6),
      asm.ldx("u8", R1, R0, 0),
      asm.ldx("u8", R1, R0, 8),
      out,
    ],
    "proved proved window proved",
  ],
  "a number whose sum may go round at 2^64": [
    [
      someNumber,
      asm.mov64(R3, R6),
      asm.alu64Imm("add", R3, 8),
      asm.jmpImm("jlt", R3, 8, "out"),
      asm.jmpImm("jgt", R6, 60, "out"),
      asm.alu64("add", R3, R0),
      asm.ldx("u8", R1, R3, 0),
      asm.ldx("u8", R1, R3, -8),
      out,
    ],
    "proved proved window proved",
  ],
  "a number whose sum may go round at 2^63, compared on one side only": [
    [
      someNumber,
      asm.mov64(R3, R6),
      asm.alu64Imm("add", R3, 8),
      asm.jmpImm("jslt", R6, 0, "out"),
      asm.jmpImm("jsgt", R3, 60, "out"),
      asm.alu64("add", R3, R0),
      asm.ldx("u8", R1, R3, 0),
      out,
    ],
    "proved proved window",
  ],
  "a sum of lower halves that may go round is not linked": [
    [
      someNumber,
      asm.mov32(R6, R6),
      asm.mov64(R3, R6),
      asm.alu32Imm("add", R3, 8),
      asm.jmpImm("jgt", R3, 15, "out"),
      asm.alu64("add", R0, R6),
      asm.ldx("u8", R1, R0, 0),
      out,
    ],
    "proved proved window",
  ],
  "a sum of lower halves whose upper half is dirty is not linked": [
    [
      someNumber,
      asm.mov64(R3, R6),
      asm.alu32Imm("add", R3, 0),
      asm.jmpImm("jgt", R3, 15, "out"),
      asm.alu64("add", R0, R6),
      asm.ldx("u8", R1, R0, 0),
      out,
    ],
    "proved proved window",
  ],
  "a difference of lower halves that does not go round": [
    [
      someNumber,
      asm.alu64Imm("and", R6, 0xffff),
      asm.alu64Imm("add", R6, 8),
      asm.mov64(R3, R6),
      asm.alu32Imm("sub", R3, 8),
      asm.jmpImm("jgt", R3, 55, "out"),
      asm.alu64("add", R0, R6),
      asm.ldx("u8", R1, R0, 0),
      asm.ldx("u8", R1, R0, 1),
      out,
    ],
    "proved proved proved window",
  ],
  "sums that are equal to, or not, what is compared": [
    [
      someNumber,
      asm.mov64(R3, R6),
      asm.alu64Imm("add", R3, 8),
      asm.mov64(R4, R0),
      asm.alu64("add", R4, R6),
      asm.jmpImm("jne", R3, 18, "other"),
      asm.alu64("add", R6, R0),
      asm.ldx("u8", R1, R6, 53),
      asm.ldx("u8", R1, R6, 54),
      asm.ja("out"),
      label("other"),
      asm.alu64("add", R6, R0),
      asm.ldx("u8", R1, R6, 0),
      out,
    ],
    "proved proved proved window window",
  ],
  "different distances on two ways are no link": [
    [
      someNumber,
      asm.mov64(R3, R6),
      asm.call(u.BPF_FUNC_get_prandom_u32),
      asm.mov64(R7, R6),
      asm.mov64(R8, R6),
      asm.alu64Imm("add", R7, 1),
      asm.jmpImm("jeq", R0, 5, "joined"),
      asm.mov64(R7, R6),
      asm.alu64Imm("add", R7, 2),
      label("joined"),
      asm.jmpImm("jgt", R7, 20, "out"),
      asm.jmpImm("jslt", R7, 2, "out"),
      lookup(hash),
      asm.jmpImm("jeq", R0, 0, "out"),
      asm.alu64("add", R6, R0),
      asm.ldx("u8", R1, R6, 0),
      out,
    ],
    "proved proved proved window",
  ],
  "the same distance on two ways, of different numbers, is a link": [
    [
      found(hash),
      asm.ldx("u64", R6, R0, 0),
      asm.ldx("u64", R8, R0, 8),
      asm.mov64(R9, R0),
      asm.call(u.BPF_FUNC_get_prandom_u32),
      asm.jmpImm("jeq", R0, 5, "second"),
      asm.mov64(R7, R6),
      asm.alu64Imm("add", R7, 1),
      asm.ja("joined"),
      label("second"),
      asm.mov64(R6, R8),
      asm.mov64(R7, R6),
      asm.alu64Imm("sub", R7, -1),
      label("joined"),
      asm.jmpImm("jgt", R6, 20, "out"),
      asm.alu64("add", R7, R9),
      asm.ldx("u8", R1, R7, 42),
      asm.ldx("u8", R1, R7, 43),
      out,
    ],
    "proved proved proved proved window",
  ],
  "one of the two has changed since": [
    [
      someNumber,
      asm.ldx("u64", R4, R0, 8),
      asm.mov64(R3, R6),
      asm.alu64Imm("add", R3, 1),
      asm.alu64("add", R3, R4),
      asm.jmpImm("jgt", R6, 20, "out"),
      asm.alu64("add", R3, R0),
      asm.ldx("u8", R1, R3, 0),
      out,
    ],
    "proved proved proved window",
  ],
  "a product that may wrap": [
    [someNumber, asm.alu64Imm("mul", R6, 8), asm.alu64("add", R0, R6), asm.ldx("u8", R1, R0, 0), out],
    "proved proved window",
  ],
  "a negative offset": [
    [found(hash), asm.alu64Imm("add", R0, -8), asm.ldx("u64", R1, R0, 8), asm.ldx("u64", R1, R0, 7), out],
    "proved proved window",
  ],
  "a pointer less an index": [
    [
      someNumber,
      asm.alu64Imm("and", R6, 7),
      asm.alu64Imm("add", R0, 8),
      asm.alu64("sub", R0, R6),
      asm.ldx("u8", R1, R0, 0),
      asm.ldx("u8", R1, R0, -2),
      out,
    ],
    "proved proved proved window",
  ],
  "sign extension of a byte": [
    [someNumber, asm.movsx64(R6, R6, 8), asm.alu64("add", R0, R6), asm.ldx("u8", R1, R0, 0), out],
    "proved proved window",
  ],
  "a sum that may be negative": [
    [
      someNumber,
      asm.movsx64(R6, R6, 8),
      asm.alu64Imm("add", R6, 100),
      asm.jmpImm("jsgt", R6, 60, "out"),
      asm.alu64("add", R0, R6),
      asm.ldx("u8", R1, R0, 0),
      out,
    ],
    "proved proved window",
  ],
  "a byte loaded with its sign": [
    [found(hash), asm.ldx("s8", R6, R0, 0), asm.alu64("add", R0, R6), asm.ldx("u8", R1, R0, 0), out],
    "proved proved window",
  ],
  "arithmetic on half of a pointer leaves no pointer": [
    [found(hash), asm.alu32Imm("add", R0, 0), asm.ldx("u8", R1, R0, 0), out],
    "proved check",
  ],
  "the stack by an index of whole words": [
    [
      someNumber,
      asm.alu64Imm("and", R6, 7),
      asm.alu64Imm("lsh", R6, 3),
      asm.alu64("add", R6, R10),
      asm.st("u64", R6, -64, 1),
      asm.st("u64", R6, -60, 1),
      asm.st("u64", R6, -56, 1),
      out,
    ],
    "proved proved proved stack stack",
  ],
  "the stack by an index that is not whole words": [
    [
      someNumber,
      asm.alu64Imm("and", R6, 63),
      asm.alu64("add", R6, R10),
      asm.st("u64", R6, -128, 1),
      asm.st("u8", R6, -128, 1),
      out,
    ],
    "proved proved stack proved",
  ],
  "atomic instructions need alignment and both rights": [
    [
      found(hash),
      asm.atomic("add", "u64", R0, R0, 8),
      asm.atomic("add", "u64", R0, R0, 4),
      asm.atomic("fetchAdd", "u32", R0, R1, 4),
      found(readOnly),
      asm.atomic("add", "u64", R0, R0, 8),
      out,
    ],
    "proved proved check proved proved check",
  ],
  "the context, field by field": [
    [asm.ldx("u32", R2, R1, 12), asm.ldx("u32", R2, R1, 24), asm.ldx("u8", R2, R1, 12), asm.st("u32", R1, 12, 1), end],
    "proved check check check",
  ],
};

test.each(Object.entries(proofs))("%s", (_name, [items, expected]) => {
  expect(ways(items)).toBe(expected);
});

const loops: Readonly<Record<string, readonly [Items, string]>> = {
  "a loop whose beginning stands behind its test": [
    [
      found(hash),
      asm.mov64Imm(R6, 0),
      asm.ja("turn"),
      label("test"),
      asm.alu64Imm("add", R6, 1),
      asm.jmpImm("jeq", R6, 64 * 64, "out"),
      label("turn"),
      asm.mov64(R1, R6),
      asm.alu64Imm("rsh", R1, 6),
      asm.alu64("add", R1, R0),
      asm.ldx("u8", R2, R1, 0),
      asm.jmpImm("jeq", R2, 9, "test"),
      asm.ja("out"),
      out,
    ],
    "proved proved",
  ],
  "a value that the same call returned a turn before: it is not in the region that is kept": [
    [
      asm.mov64Imm(R8, 0),
      label("again"),
      lookup(hash),
      asm.jmpImm("jeq", R0, 0, "out"),
      asm.jmpImm("jeq", R8, 0, "first"),
      asm.ldx("u8", R1, R8, VALUE),
      label("first"),
      asm.mov64(R8, R0),
      asm.ldx("u8", R1, R8, VALUE),
      asm.ja("again"),
      out,
    ],
    "proved check window",
  ],
  "over an array, to the end and not beyond": [
    [
      found(hash),
      asm.mov64Imm(R6, 0),
      label("again"),
      asm.mov64(R1, R0),
      asm.alu64("add", R1, R6),
      asm.ldx("u8", R2, R1, 0),
      asm.ldx("u8", R2, R1, 1),
      asm.alu64Imm("add", R6, 1),
      asm.jmpImm("jlt", R6, 64, "again"),
      out,
    ],
    "proved proved window",
  ],
  "that ends where the index is the length": [
    [
      found(hash),
      asm.mov64Imm(R6, 0),
      label("again"),
      asm.mov64(R1, R0),
      asm.alu64("add", R1, R6),
      asm.ldx("u64", R2, R1, 0),
      asm.alu64Imm("add", R6, 8),
      asm.jmpImm("jne", R6, 64, "again"),
      out,
    ],
    "proved proved",
  ],
  "that jumps over the length": [
    [
      found(hash),
      asm.mov64Imm(R6, 0),
      label("again"),
      asm.mov64(R1, R0),
      asm.alu64("add", R1, R6),
      asm.ldx("u8", R2, R1, 0),
      asm.alu64Imm("add", R6, 3),
      asm.jmpImm("jne", R6, 64, "again"),
      out,
    ],
    "proved window",
  ],
  "down to 0": [
    [
      found(hash),
      asm.mov64Imm(R6, 63),
      label("again"),
      asm.mov64(R1, R0),
      asm.alu64("add", R1, R6),
      asm.ldx("u8", R2, R1, 0),
      asm.alu64Imm("add", R6, -1),
      asm.jmpImm("jsge", R6, 0, "again"),
      out,
    ],
    "proved proved",
  ],
  "by a pointer that nothing stops": [
    [
      found(hash),
      asm.mov64(R6, R0),
      label("again"),
      asm.ldx("u64", R2, R6, 0),
      asm.alu64Imm("add", R6, 8),
      asm.jmpImm("jne", R2, 0, "again"),
      out,
    ],
    "proved window",
  ],
  "by a pointer to globals, to the end": [
    [
      map(R6, firstValue(globals)),
      map(R7, firstValue(globals) + 96),
      label("again"),
      asm.ldx("u64", R2, R6, 0),
      asm.alu64Imm("add", R6, 8),
      asm.jmp("jne", R6, R7, "again"),
      end,
    ],
    "proved",
  ],
  "a lookup in a loop is another value each time": [
    [
      asm.mov64Imm(R7, 0),
      asm.mov64Imm(R6, 0),
      label("again"),
      lookup(hash),
      asm.mov64(R8, R6),
      asm.mov64(R6, R0),
      asm.jmpImm("jeq", R0, 0, "out"),
      asm.ldx("u8", R1, R8, 0),
      asm.ldx("u8", R1, R6, 0),
      asm.alu64Imm("add", R7, 1),
      asm.jmpImm("jlt", R7, 5, "again"),
      out,
    ],
    "proved check proved",
  ],
};

test.each(Object.entries(loops))("loops: %s", (_name, [items, expected]) => {
  expect(ways(items)).toBe(expected);
});

/** data + 14 is inside the packet. */
const header: Items = [packet, asm.mov64(R1, R2), asm.alu64Imm("add", R1, 14), asm.jmp("jgt", R1, R3, "out")];

const packets: Readonly<Record<string, readonly [Items, string]>> = {
  "up to where it was compared": [
    [header, asm.ldx("u16", R4, R2, 12), asm.ldx("u16", R4, R2, 13), asm.st("u8", R2, 0, 1), out],
    "proved proved proved check proved",
  ],
  "the comparison on its other way": [
    [header, asm.ja("out"), label("out"), asm.ldx("u8", R4, R2, 13), ...end],
    "proved proved check",
  ],
  "all forms of the comparison": [
    (["jgt", "jge", "jlt", "jle"] as const)
      .flatMap((op): Items => {
        const inside = op === "jgt" || op === "jge" ? [asm.ja(0)] : [asm.ja("out")];
        return [
          packet,
          asm.mov64(R1, R2),
          asm.alu64Imm("add", R1, 14),
          asm.jmp(op, R1, R3, op === "jgt" || op === "jge" ? "out" : 1),
          ...inside,
          asm.ldx("u8", R4, R2, 13),
          asm.ldx("u8", R4, R2, 14),
          asm.mov64(R1, R7),
        ];
      })
      .concat(out),
    ["check", "proved", "proved", "check"].map((last) => `proved proved proved ${last}`).join(" "),
  ],
  "the end on the left": [
    [
      packet,
      asm.mov64(R1, R2),
      asm.alu64Imm("add", R1, 14),
      asm.jmp("jlt", R3, R1, "out"),
      asm.ldx("u8", R4, R2, 13),
      out,
    ],
    "proved proved proved",
  ],
  "a comparison with signs, or of lower halves, says nothing": [
    [
      packet,
      asm.mov64(R1, R2),
      asm.alu64Imm("add", R1, 14),
      asm.jmp("jsgt", R1, R3, "out"),
      asm.jmp32("jgt", R1, R3, "out"),
      asm.ldx("u8", R4, R2, 13),
      out,
    ],
    "proved proved check",
  ],
  "in front of the data": [[header, asm.ldx("u8", R4, R2, -1), out], "proved proved check"],
  "a header of variable length": [
    [
      header,
      asm.ldx("u8", R4, R2, 0),
      asm.alu64Imm("and", R4, 15),
      asm.alu64Imm("lsh", R4, 2),
      asm.mov64(R5, R2),
      asm.alu64("add", R5, R4),
      asm.ldx("u8", R1, R5, 0),
      asm.mov64(R1, R5),
      asm.alu64Imm("add", R1, 8),
      asm.jmp("jgt", R1, R3, "out"),
      asm.ldx("u64", R1, R5, 0),
      asm.ldx("u64", R1, R5, 1),
      out,
    ],
    "proved proved proved check proved check",
  ],
  "a length of 64 bits may go round": [
    [
      header,
      asm.ldx("u64", R4, R2, 0),
      asm.mov64(R5, R2),
      asm.alu64("add", R5, R4),
      asm.mov64(R1, R5),
      asm.alu64Imm("add", R1, 8),
      asm.jmp("jgt", R1, R3, "out"),
      asm.ldx("u64", R1, R5, 0),
      out,
    ],
    "proved proved proved check",
  ],
  "what was compared of one address says nothing of another": [
    [
      header,
      asm.ldx("u8", R4, R2, 0),
      asm.mov64(R5, R2),
      asm.alu64("add", R5, R4),
      asm.ldx("u8", R4, R2, 1),
      asm.mov64(R6, R2),
      asm.alu64("add", R6, R4),
      asm.mov64(R1, R5),
      asm.alu64Imm("add", R1, 8),
      asm.jmp("jgt", R1, R3, "out"),
      asm.ldx("u64", R1, R5, 0),
      asm.ldx("u64", R1, R6, 0),
      out,
    ],
    "proved proved proved proved proved check",
  ],
  "two pointers in one register": [
    [
      packet,
      asm.mov64(R5, R2),
      asm.ldx("u32", R4, R7, 12),
      asm.jmpImm("jeq", R4, 1, "join"),
      asm.alu64Imm("add", R5, 4),
      label("join"),
      asm.mov64(R1, R2),
      asm.alu64Imm("add", R1, 8),
      asm.jmp("jgt", R1, R3, "out"),
      asm.ldx("u64", R4, R5, 0),
      asm.mov64(R1, R5),
      asm.alu64Imm("add", R1, 8),
      asm.jmp("jgt", R1, R3, "out"),
      asm.ldx("u64", R4, R5, 0),
      out,
    ],
    "proved proved proved check proved",
  ],
  "a walk that looks at the end each time": [
    [
      packet,
      asm.mov64(R6, R2),
      label("again"),
      asm.mov64(R1, R6),
      asm.alu64Imm("add", R1, 4),
      asm.jmp("jgt", R1, R3, "out"),
      asm.ldx("u32", R4, R6, 0),
      asm.ldx("u32", R4, R6, 1),
      asm.mov64(R6, R1),
      asm.ja("again"),
      out,
    ],
    "proved proved proved check",
  ],
  "a walk that looks at the end once": [
    [
      packet,
      asm.mov64(R6, R2),
      asm.mov64(R1, R6),
      asm.alu64Imm("add", R1, 64),
      asm.jmp("jgt", R1, R3, "out"),
      label("again"),
      asm.ldx("u32", R4, R6, 0),
      asm.alu64Imm("add", R6, 4),
      asm.jmpImm("jne", R4, 0, "again"),
      out,
    ],
    "proved proved check",
  ],
  "helpers that leave it alone": [
    [header, asm.mov64(R6, R2), asm.call(u.BPF_FUNC_ktime_get_ns), asm.ldx("u8", R1, R6, 0), out],
    "proved proved proved",
  ],
  "after adjust_head": [
    [
      header,
      asm.mov64(R6, R2),
      asm.mov64(R8, R3),
      asm.mov64(R1, R7),
      asm.mov64Imm(R2, 4),
      asm.call(u.BPF_FUNC_xdp_adjust_head),
      asm.ldx("u8", R1, R6, 0),
      asm.ldx("u32", R2, R7, 0),
      asm.mov64(R1, R2),
      asm.alu64Imm("add", R1, 14),
      asm.jmp("jgt", R1, R8, "out"),
      asm.ldx("u8", R1, R2, 0),
      out,
    ],
    "proved proved check proved check",
  ],
  "after a function that moves it": [
    [
      header,
      asm.mov64(R6, R2),
      asm.mov64(R1, R7),
      asm.callRel("f"),
      asm.ldx("u8", R1, R6, 0),
      out,
      label("f"),
      asm.mov64Imm(R2, 4),
      asm.call(u.BPF_FUNC_xdp_adjust_head),
      asm.exit(),
    ],
    "proved proved check",
  ],
  "after a function that may go on in another program": [
    [
      header,
      asm.mov64(R6, R2),
      asm.mov64(R1, R7),
      asm.callRel("f"),
      asm.ldx("u8", R1, R6, 0),
      out,
      label("f"),
      map(R2, queue),
      asm.mov64Imm(R3, 4),
      asm.call(u.BPF_FUNC_tail_call),
      asm.exit(),
    ],
    "proved proved check",
  ],
  "metadata against the data's beginning": [
    [
      packet,
      asm.ldx("u32", R4, R7, 8),
      asm.mov64(R1, R4),
      asm.alu64Imm("add", R1, 4),
      asm.jmp("jgt", R1, R2, "out"),
      asm.ldx("u32", R5, R4, 0),
      asm.ldx("u32", R5, R4, 4),
      out,
    ],
    "proved proved proved proved check",
  ],
};

test.each(Object.entries(packets))("packets: %s", (_name, [items, expected]) => {
  expect(ways(items)).toBe(expected);
});

test("packets: one that the program may not write", () => {
  const items = [
    asm.ldx("u32", R2, R1, u.__sk_buff.fields.data.offset),
    asm.ldx("u32", R3, R1, u.__sk_buff.fields.data_end.offset),
    asm.mov64(R4, R2),
    asm.alu64Imm("add", R4, 8),
    asm.jmp("jgt", R4, R3, "out"),
    asm.ldx("u8", R4, R2, 0),
    asm.st("u8", R2, 0, 1),
    out,
  ];
  expect(ways(items, u.BPF_PROG_TYPE_CGROUP_SKB)).toBe("proved proved proved check");
  expect(ways(items, u.BPF_PROG_TYPE_SCHED_CLS)).toBe("proved proved proved proved");
});

const reserve = (size: number): Items => [
  map(R1, ring),
  asm.mov64Imm(R2, size),
  asm.mov64Imm(R3, 0),
  asm.call(u.BPF_FUNC_ringbuf_reserve),
];
const submit = (reg: asm.Reg): Items => [asm.mov64(R1, reg), asm.mov64Imm(R2, 0), asm.call(u.BPF_FUNC_ringbuf_submit)];
const spilled: Items = [found(hash), asm.stx("u64", R10, R0, -16)];
const reloaded: Items = [asm.ldx("u64", R3, R10, -16), asm.ldx("u8", R1, R3, 0)];

const calls: Readonly<Record<string, readonly [Items, string]>> = {
  "a ring's record, until it is submitted": [
    [
      reserve(16),
      asm.jmpImm("jeq", R0, 0, "out"),
      asm.mov64(R6, R0),
      asm.st("u64", R6, 8, 1),
      asm.st("u64", R6, 9, 1),
      submit(R6),
      asm.st("u64", R6, 0, 1),
      out,
    ],
    "proved check check",
  ],
  "a ring's record, when another one is submitted": [
    [
      reserve(16),
      asm.jmpImm("jeq", R0, 0, "out"),
      asm.mov64(R6, R0),
      reserve(16),
      asm.jmpImm("jeq", R0, 0, "out"),
      submit(R0),
      asm.st("u64", R6, 0, 1),
      out,
    ],
    "check",
  ],
  "a ring's record of a size that is not known": [
    [
      someNumber,
      map(R1, ring),
      asm.mov64(R2, R6),
      asm.mov64Imm(R3, 0),
      asm.call(u.BPF_FUNC_ringbuf_reserve),
      asm.jmpImm("jeq", R0, 0, "out"),
      asm.st("u8", R0, 0, 1),
      out,
    ],
    "proved proved check",
  ],
  "a ring's record that a function may have submitted": [
    [
      reserve(16),
      asm.jmpImm("jeq", R0, 0, "out"),
      asm.mov64(R6, R0),
      asm.mov64(R1, R0),
      asm.callRel("f"),
      asm.st("u64", R6, 0, 1),
      out,
      label("f"),
      submit(R1),
      asm.exit(),
    ],
    "check",
  ],
  "a value stays good": [
    [
      found(hash),
      asm.mov64(R6, R0),
      asm.call(u.BPF_FUNC_ktime_get_ns),
      asm.callRel("f"),
      asm.ldx("u8", R1, R6, 0),
      out,
      label("f"),
      ...end,
    ],
    "proved proved",
  ],
  "a pointer in the stack": [[spilled, reloaded, out], "proved proved proved proved"],
  "a pointer in the stack, of which a byte was written": [
    [spilled, asm.st("u8", R10, -9, 1), reloaded, out],
    "proved proved proved proved check",
  ],
  "half of it is read": [
    [spilled, asm.ldx("u32", R3, R10, -16), asm.ldx("u8", R1, R3, 0), out],
    "proved proved proved check",
  ],
  "it was written through an alias": [
    [spilled, asm.mov64(R6, R10), asm.alu64Imm("add", R6, -24), asm.st("u64", R6, 8, 1), reloaded, out],
    "proved proved proved proved check",
  ],
  "it was perhaps written through an index": [
    [
      found(hash),
      asm.stx("u64", R10, R0, -16),
      asm.ldx("u8", R6, R0, 0),
      asm.alu64Imm("and", R6, 31),
      asm.alu64("add", R6, R10),
      asm.st("u8", R6, -32, 1),
      reloaded,
      out,
    ],
    "proved proved proved proved proved check",
  ],
  "it was perhaps written through a pointer of which nothing is known": [
    [found(hash), asm.stx("u64", R10, R0, -16), asm.ldx("u64", R6, R0, 0), asm.st("u8", R6, 0, 1), reloaded, out],
    "proved proved proved check proved check",
  ],
  "something else was written": [
    [spilled, asm.st("u64", R10, -24, 1), asm.st("u8", R0, 0, 1), reloaded, out],
    "proved proved proved proved proved proved",
  ],
  "a helper has written it": [
    [
      spilled,
      map(R1, queue),
      asm.mov64(R2, R10),
      asm.alu64Imm("add", R2, -16),
      asm.call(u.BPF_FUNC_map_pop_elem),
      reloaded,
      out,
    ],
    "proved proved proved check",
  ],
  "a helper has written beside it": [
    [
      spilled,
      map(R1, queue),
      asm.mov64(R2, R10),
      asm.alu64Imm("add", R2, -24),
      asm.call(u.BPF_FUNC_map_pop_elem),
      reloaded,
      out,
    ],
    "proved proved proved proved",
  ],
  "a helper has read it": [
    [
      spilled,
      map(R1, queue),
      asm.mov64(R2, R10),
      asm.alu64Imm("add", R2, -16),
      asm.mov64Imm(R3, 0),
      asm.call(u.BPF_FUNC_map_push_elem),
      reloaded,
      out,
    ],
    "proved proved proved proved",
  ],
  "a function has written it": [
    [spilled, asm.mov64(R1, R10), asm.callRel("f"), reloaded, out, label("f"), asm.st("u64", R1, -16, 1), ...end],
    "proved proved proved check proved",
  ],
  "a function's function has written it": [
    [
      spilled,
      asm.mov64(R1, R10),
      asm.callRel("f"),
      reloaded,
      out,
      label("f"),
      asm.callRel("g"),
      ...end,
      label("g"),
      asm.st("u64", R1, -16, 1),
      ...end,
    ],
    "proved proved proved check proved",
  ],
  "a function has written something else": [
    [spilled, asm.mov64(R1, R10), asm.callRel("f"), reloaded, out, label("f"), asm.st("u64", R1, -24, 1), ...end],
    "proved proved proved proved proved",
  ],
  "a function has written somewhere": [
    [spilled, asm.ldx("u64", R1, R0, 0), asm.callRel("f"), reloaded, out, label("f"), asm.st("u64", R1, 0, 1), ...end],
    "proved proved proved proved check check",
  ],
  "a function is called twice, with values of different sizes": [
    [
      found(hash),
      asm.mov64(R1, R0),
      asm.callRel("f"),
      found(small),
      asm.mov64(R1, R0),
      asm.callRel("f"),
      out,
      label("f"),
      asm.ldx("u64", R2, R1, 8),
      asm.ldx("u64", R2, R1, 16),
      ...end,
    ],
    "proved proved proved check",
  ],
  "the frame of the caller, and what is above it": [
    [
      asm.mov64(R1, R10),
      asm.callRel("f"),
      end,
      label("f"),
      asm.st("u64", R1, -512, 1),
      asm.st("u64", R1, 0, 1),
      asm.st("u64", R10, 0, 1),
      asm.st("u64", R10, -520, 1),
      ...end,
    ],
    "proved check proved stack",
  ],
  "a frame that is there only sometimes": [
    [
      asm.mov64(R1, R10),
      asm.callRel("g"),
      asm.mov64(R1, R10),
      asm.callRel("f"),
      end,
      label("f"),
      asm.mov64(R1, R10),
      asm.callRel("g"),
      ...end,
      label("g"),
      asm.st("u64", R10, 504, 1),
      asm.st("u64", R10, 512, 1),
      ...end,
    ],
    "proved check",
  ],
  "what a caller has in r6 a function does not see": [
    [found(hash), asm.mov64(R6, R0), asm.callRel("f"), out, label("f"), asm.ldx("u8", R1, R6, 0), ...end],
    "proved check",
  ],
  "r1 to r5 after a call": [
    [
      found(hash),
      asm.mov64(R1, R0),
      asm.mov64(R6, R0),
      asm.call(u.BPF_FUNC_ktime_get_ns),
      asm.ldx("u8", R2, R1, 0),
      out,
    ],
    "proved check",
  ],
  "a turn of bpf_loop, with its number and the caller's frame": [
    [
      asm.mov64Imm(R1, 4),
      asm.ldFunc(R2, "turn"),
      asm.mov64(R3, R10),
      asm.mov64Imm(R4, 0),
      asm.call(u.BPF_FUNC_loop),
      end,
      label("turn"),
      asm.alu64Imm("lsh", R1, 3),
      asm.alu64("add", R1, R2),
      asm.st("u64", R1, -32, 1),
      asm.st("u64", R1, -24, 1),
      ...end,
    ],
    "proved check",
  ],
  "a function that is called by an address that was made up": [
    [
      found(hash),
      asm.mov64(R1, R0),
      asm.callRel("f"),
      asm.mov64Imm(R1, 4),
      asm.ldImm64(R2, (BigInt(FUNC_HIGH) << 32n) | 5n),
      asm.alu64Imm("add", R2, 1),
      asm.mov64Imm(R3, 0),
      asm.mov64Imm(R4, 0),
      asm.call(u.BPF_FUNC_loop),
      out,
      label("f"),
      asm.ldx("u8", R2, R1, 0),
      ...end,
    ],
    "proved check",
  ],
  "a function of each element, with key and value": [
    [
      map(R1, hash),
      asm.ldFunc(R2, "each"),
      asm.mov64Imm(R3, 0),
      asm.mov64Imm(R4, 0),
      asm.call(u.BPF_FUNC_for_each_map_elem),
      end,
      label("each"),
      asm.ldx("u32", R5, R2, 0),
      asm.st("u32", R2, 0, 1),
      asm.ldx("u64", R5, R3, VALUE - 8),
      asm.st("u64", R3, 0, 1),
      asm.ldx("u64", R5, R3, VALUE),
      ...end,
    ],
    "proved check proved proved check",
  ],
  "what a turn of bpf_loop writes in the caller's frame": [
    [
      spilled,
      asm.mov64Imm(R1, 4),
      asm.ldFunc(R2, "turn"),
      asm.mov64(R3, R10),
      asm.mov64Imm(R4, 0),
      asm.call(u.BPF_FUNC_loop),
      reloaded,
      out,
      label("turn"),
      asm.st("u64", R2, -16, 1),
      ...end,
    ],
    "proved proved proved check proved",
  ],
};

test.each(Object.entries(calls))("calls: %s", (_name, [items, expected]) => {
  expect(ways(items)).toBe(expected);
});

test("arguments that are memory", () => {
  const items = [
    found(hash),
    asm.mov64(R1, R0),
    asm.mov64(R2, R10),
    asm.alu64Imm("add", R2, -16),
    asm.call(u.BPF_FUNC_ktime_get_ns),
    out,
  ];
  let known: readonly Val[] = [];
  const facts = proofOf(items, undefined, (op, { regs }) => {
    if (op.row.kind === "call") known = regs.slice(1, 4);
  });
  const at = facts.calls.length - 1;
  const ok = (register: number, size: number): boolean => facts.calls[at]!.memory(register, size, true);
  expect([ok(1, VALUE), ok(1, VALUE + 1), ok(2, 16), ok(2, 17), ok(3, 1)]).toEqual([true, false, true, false, false]);
  expect(known).toEqual([region(at - 5, VALUE, 0, F_WRITE), stack(-16, -16), UNKNOWN]);
});

test("arguments that are maps and numbers", () => {
  const number: Items = [someNumber, asm.mov64(R1, R6), asm.mov64(R2, R6), asm.alu64Imm("and", R2, 7)];
  const constants: Items = [map(R3, hash), map(R4, foreign), asm.mov64Imm(R5, -1), asm.call(u.BPF_FUNC_ktime_get_ns)];
  const call = proofOf([number, constants, out]).calls.at(-1)!;
  expect([1, 2, 3, 4, 5].map((register) => call.map(register))).toEqual([0, 0, hash, 0, 0]);
  const ranges = [1, 2, 3, 5].map((register) => call.range(register));
  expect(ranges.map((range) => range && [range.min, range.max])).toEqual([undefined, [0, 7], undefined, undefined]);
});

test("how deep the stack is touched", () => {
  const depth = (...items: Items): readonly number[] => proofOf([items, end]).stackDepth;
  expect(depth(asm.st("u32", R10, -20, 1))).toEqual([-24]);
  expect(depth(lookup(hash))).toEqual([-8]);
  expect(depth(lookup(hash), asm.ldx("u64", R1, R0, 0))).toEqual([-8]);
  expect(depth(found(hash), asm.ldx("u64", R1, R0, 0), asm.ldx("u8", R1, R1, 0), label("out"))).toEqual([-512]);
  const callee = [label("f"), asm.st("u64", R1, -40, 1), ...end];
  expect(proofOf([asm.mov64(R1, R10), asm.callRel("f"), end, callee]).stackDepth).toEqual([-40, -40]);
});

test("how deep the stack is touched, when another program goes on in a function's place", () => {
  const call = [map(R2, queue), asm.mov64Imm(R3, 0), asm.call(u.BPF_FUNC_tail_call)];
  expect(proofOf([call, end]).stackDepth).toEqual([0]);
  expect(proofOf([asm.callRel("f"), end, label("f"), call, end]).stackDepth).toEqual([-512, -512]);
});

test("registers of the program that a tail call left are not zero", () => {
  expect(ways([asm.alu64("add", R9, R10), asm.st("u8", R9, -8, 1), end])).toBe("stack");
});

test("ten thousand instructions are proved quickly", () => {
  const blocks: asm.AsmItem[] = [];
  for (let i = 0; blocks.length < 2000; i++) {
    blocks.push([
      asm.ldx("u8", R6, R7, i % 64),
      asm.jmpImm("jgt", R6, i % 50, `skip${i}`),
      asm.alu64Imm("and", R6, 31),
      asm.mov64(R8, R7),
      asm.alu64("add", R8, R6),
      asm.stx("u8", R8, R6, 1),
      asm.stx("u64", R10, R6, -8 * (1 + (i % 60))),
      label(`skip${i}`),
      asm.ldx("u64", R9, R10, -8 * (1 + (i % 60))),
    ]);
  }
  const items = [found(hash), asm.mov64(R7, R0), ...blocks, out];
  expect(ways(items)).not.toMatch("check");
  const prog = load(items);
  const program = readProgram(mem, prog);
  if (typeof program === "string") throw new Error(program);
  const times = Array.from({ length: 2 }, () => {
    const before = process.cpuUsage();
    prove(k, prog, program);
    const { user, system } = process.cpuUsage(before);
    return (user + system) / 1000;
  });
  // 45 on a quiet machine; eight tests at once on two cores take more than twice as long.
  expect(Math.min(...times)).toBeLessThan(300);
});
