/** Bytes of dynptrs: how long they are known to be there, and where a copy of them may lie. */
import { expect, test } from "vitest";
import { end, found, hash, type Items, map, out, type Proofs, queue, ring, ways } from "../../../test/jit/proofs.ts";
import { kfuncIndex } from "../../helpers/kfunc_table.ts";
import * as asm from "../../insn/index.ts";
import * as u from "../../uapi/index.ts";

const { R0, R1, R2, R3, R4, R6, R7, R8, R10, label } = asm;

const DYNPTR = -24;
const inFrame = (register: asm.Reg, offset: number): Items => [
  asm.mov64(register, R10),
  asm.alu64Imm("add", register, offset),
];
const begin: Items = [
  asm.mov64(R7, R1),
  asm.mov64Imm(R2, 0),
  ...inFrame(R3, DYNPTR),
  asm.callKfunc(kfuncIndex("bpf_dynptr_from_xdp")),
];
const NO_BUFFER: Items = [asm.mov64Imm(R3, 0)];
/** r0 = 8 bytes of the packet. */
const sliced = (buffer: Items = NO_BUFFER, name = "bpf_dynptr_slice"): Items => [
  ...inFrame(R1, DYNPTR),
  asm.mov64Imm(R2, 0),
  ...buffer,
  asm.mov64Imm(R4, 8),
  asm.callKfunc(kfuncIndex(name)),
];
const notNull: Items = [asm.jmpImm("jeq", R0, 0, "out")];
const kept: Items = [...sliced(), ...notNull, asm.mov64(R6, R0)];
const copied = (offset: number): Items => [...begin, ...sliced(inFrame(R3, offset)), ...notNull];
const moveHead: Items = [asm.mov64(R1, R7), asm.mov64Imm(R2, 4), asm.call(u.BPF_FUNC_xdp_adjust_head)];
const reserved: Items = [
  map(R1, ring),
  asm.mov64Imm(R2, 16),
  asm.mov64Imm(R3, 0),
  ...inFrame(R4, DYNPTR),
  asm.call(u.BPF_FUNC_ringbuf_reserve_dynptr),
].flat();
const data: Items = [
  ...inFrame(R1, DYNPTR),
  asm.mov64Imm(R2, 0),
  asm.mov64Imm(R3, 8),
  asm.call(u.BPF_FUNC_dynptr_data),
];
const submit: Items = [...inFrame(R1, DYNPTR), asm.mov64Imm(R2, 0), asm.call(u.BPF_FUNC_ringbuf_submit_dynptr)];
const tail: Items = [map(R2, queue), asm.mov64Imm(R3, 0), asm.call(u.BPF_FUNC_tail_call)].flat();

const proofs: Proofs = {
  "a slice, once NULL is ruled out, to its last byte, wherever it lies": [
    [begin, kept, asm.ldx("u8", R1, R6, 7), asm.ldx("u32", R1, R6, 1), asm.ldx("u64", R1, R6, 1), out],
    "proved proved check",
  ],
  "a slice that may be NULL": [[begin, sliced(), asm.ldx("u8", R1, R0, 0), end], "check"],
  "a slice that is written": [[begin, kept, asm.st("u8", R6, 0, 1), out], "check"],
  "a slice to be written, which only the packet may allow": [
    [begin, sliced(NO_BUFFER, "bpf_dynptr_slice_rdwr"), notNull, asm.ldx("u8", R1, R0, 0), asm.st("u8", R0, 0, 1), out],
    "proved check",
  ],
  "what leaves it where it is": [
    [begin, kept, sliced(), asm.ldx("u8", R1, R6, 0), found(hash), asm.ldx("u8", R1, R6, 0), out],
    "proved proved proved",
  ],
  "once the packet may have moved": [[begin, kept, moveHead, asm.ldx("u8", R1, R6, 0), out], "check"],
  "once the packet may have been written, and moved by that": [
    [
      begin,
      kept,
      inFrame(R1, DYNPTR),
      asm.mov64Imm(R2, 0),
      inFrame(R3, -40),
      asm.mov64Imm(R4, 8),
      asm.mov64Imm(asm.R5, 0),
      asm.call(u.BPF_FUNC_dynptr_write),
      asm.ldx("u8", R1, R6, 0),
      out,
    ],
    "check",
  ],
  "once a function may have moved the packet": [
    [
      begin,
      kept,
      asm.mov64(R1, R7),
      asm.callRel("f"),
      asm.ldx("u8", R1, R6, 0),
      out,
      label("f"),
      asm.mov64Imm(R2, 4),
      asm.call(u.BPF_FUNC_xdp_adjust_head),
      asm.exit(),
    ],
    "check",
  ],
  "a slice that is given to a function, and to one that is called while the packet moves": [
    [
      begin,
      kept,
      asm.mov64(R1, R6),
      asm.callRel("f"),
      asm.mov64Imm(R1, 2),
      asm.ldFunc(R2, "g"),
      asm.mov64(R3, R6),
      asm.mov64Imm(R4, 0),
      asm.call(u.BPF_FUNC_loop),
      out,
      label("f"),
      asm.ldx("u8", R0, R1, 0),
      asm.exit(),
      label("g"),
      asm.ldx("u8", R6, R2, 0),
      asm.mov64Imm(R2, 4),
      asm.call(u.BPF_FUNC_xdp_adjust_tail),
      asm.mov64Imm(R0, 0),
      asm.exit(),
    ],
    "proved check",
  ],
  "bytes of a record, until any is given back": [
    [reserved, data, notNull, asm.mov64(R6, R0), asm.st("u8", R6, 7, 1), submit, asm.st("u8", R6, 7, 1), out],
    "proved check",
  ],
  "a slice of a record, once any was given back": [
    [reserved, kept, asm.ldx("u8", R1, R6, 0), submit, asm.ldx("u8", R1, R6, 0), out],
    "proved check",
  ],
  "of a size that is not known": [
    [
      begin,
      asm.ldx("u32", R8, R7, 12),
      inFrame(R1, DYNPTR),
      asm.mov64Imm(R2, 0),
      asm.mov64Imm(R3, 0),
      asm.mov64(R4, R8),
      asm.callKfunc(kfuncIndex("bpf_dynptr_slice")),
      notNull,
      asm.ldx("u8", R1, R0, 0),
      out,
    ],
    "proved check",
  ],
  "a copy on the stack, at its natural alignment": [
    [copied(-40), asm.ldx("u64", R1, R0, 0), asm.ldx("u32", R1, R0, 4), asm.ldx("u32", R1, R0, 2), out],
    "proved proved check",
  ],
  "a copy at 4 bytes, at 2, at 1": [
    [
      [copied(-44), asm.ldx("u64", R1, R0, 0), asm.ldx("u32", R1, R0, 4)],
      [copied(-46), asm.ldx("u32", R1, R0, 0), asm.ldx("u16", R1, R0, 2)],
      [copied(-47), asm.ldx("u16", R1, R0, 0), asm.ldx("u8", R1, R0, 1)],
      out,
    ].flat(),
    "check proved check proved check proved",
  ],
  "copies of two buffers": [
    [
      begin,
      sliced(inFrame(R3, -40)),
      notNull,
      asm.mov64(R6, R0),
      sliced(inFrame(R3, -44)),
      notNull,
      asm.ldx("u8", R1, R0, 0),
      asm.jmpImm("jeq", R1, 0, 1),
      asm.mov64(R0, R6),
      asm.ldx("u64", R1, R0, 0),
      asm.ldx("u32", R1, R0, 0),
      out,
    ],
    "proved check proved",
  ],
  "a copy where nobody knows": [
    [begin, asm.ldx("u32", R6, R7, 12), sliced([asm.mov64(R3, R6)]), notNull, asm.ldx("u8", R1, R0, 0), out],
    "proved check",
  ],
  "a copy in a value": [
    [
      found(hash),
      asm.mov64(R8, R0),
      begin,
      sliced([asm.mov64(R3, R8)]),
      notNull,
      asm.ldx("u64", R1, R0, 0),
      asm.ldx("u32", R1, R0, 1),
      out,
    ],
    "proved proved proved",
  ],
  "what is stored into a copy may be a spilled pointer": [
    [
      found(hash),
      asm.mov64(R8, R0),
      copied(-40),
      asm.stx("u64", R10, R8, -40),
      asm.stx("u64", R0, R7, 0),
      asm.ldx("u64", R1, R10, -40),
      asm.ldx("u8", R1, R1, 0),
      out,
    ],
    "proved proved check proved check",
  ],
  "what a helper writes into a copy may be a spilled pointer": [
    [
      found(hash),
      asm.mov64(R8, R0),
      copied(-40),
      asm.stx("u64", R10, R8, -40),
      asm.mov64(R1, R0),
      asm.mov64Imm(R2, 8),
      asm.mov64(R3, R10),
      asm.call(u.BPF_FUNC_probe_read_kernel),
      asm.ldx("u64", R1, R10, -40),
      asm.ldx("u8", R1, R1, 0),
      out,
    ],
    "proved proved proved check",
  ],
  "the buffer is written": [
    [
      found(hash),
      asm.stx("u64", R10, R0, -40),
      asm.stx("u64", R10, R0, -48),
      copied(-40),
      asm.ldx("u64", R1, R10, -48),
      asm.ldx("u8", R1, R1, 0),
      asm.ldx("u64", R1, R10, -40),
      asm.ldx("u8", R1, R1, 0),
      out,
    ],
    "proved proved proved proved proved proved check",
  ],
  "a dynptr that may be one of a value that must not be read": [
    [
      found(hash),
      asm.mov64(R1, R0),
      asm.mov64Imm(R2, 8),
      asm.mov64Imm(R3, 0),
      inFrame(R4, DYNPTR),
      asm.call(u.BPF_FUNC_dynptr_from_mem),
      kept,
      asm.ldx("u8", R1, R6, 0),
      out,
    ],
    "proved check",
  ],
  "a dynptr in a frame that may be another program's": [
    [
      inFrame(R1, -DYNPTR),
      asm.mov64Imm(R2, 0),
      asm.mov64Imm(R3, 0),
      asm.mov64Imm(R4, 8),
      asm.callKfunc(kfuncIndex("bpf_dynptr_slice")),
      notNull,
      asm.ldx("u8", R1, R0, 0),
      out,
    ],
    "check",
  ],
  "a dynptr that may be another program's, which came back": [
    [begin, asm.mov64(R1, R7), asm.callRel("f"), kept, asm.ldx("u8", R1, R6, 0), out, label("f"), tail, asm.exit()],
    "check",
  ],
  "a program that goes on in another one, and stays there": [
    [begin, kept, asm.mov64(R1, R7), tail, asm.ldx("u8", R1, R6, 0), out],
    "proved",
  ],
};

test.each(Object.entries(proofs))("%s", (_name, [items, expected]) => {
  expect(ways(items.flat())).toBe(expected);
});
