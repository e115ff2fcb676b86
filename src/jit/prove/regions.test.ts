/** Values of maps, globals, records of rings, the context. */
import { expect, test } from "vitest";
import {
  end,
  firstValue,
  foreign,
  found,
  globals,
  hash,
  type Items,
  lookup,
  map,
  out,
  type Proofs,
  proofOf,
  readOnly,
  ring,
  small,
  someNumber,
  VALUE,
  ways,
  writeOnly,
} from "../../../test/jit/proofs.ts";
import { kfuncIndex } from "../../helpers/kfunc_table.ts";
import * as asm from "../../insn/index.ts";
import * as u from "../../uapi/index.ts";

const { R0, R1, R2, R3, R4, R5, R6, R7, R10, label } = asm;

const regions: Proofs = {
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
  "arithmetic on half of a pointer leaves no pointer": [
    [found(hash), asm.alu32Imm("add", R0, 0), asm.ldx("u8", R1, R0, 0), out],
    "proved check",
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

const contexts: Readonly<Record<string, readonly [type: number, items: Items, expected: string]>> = {
  "arguments, of which a tracepoint has fewer or more": [
    u.BPF_PROG_TYPE_RAW_TRACEPOINT,
    [
      asm.ldx("u64", R2, R1, 0),
      asm.ldx("u32", R2, R1, 92),
      asm.ldx("u64", R2, R1, 92),
      asm.ldx("u64", R2, R1, 96),
      end,
    ],
    "context context check check",
  ],
  "no stores to a tracepoint's record, and none of its head": [
    u.BPF_PROG_TYPE_TRACEPOINT,
    [asm.ldx("u64", R2, R1, 16), asm.st("u64", R1, 16, 1), asm.ldx("u64", R2, R1, 0), end],
    "context check check",
  ],
  "the caller's memory, also to write": [
    u.BPF_PROG_TYPE_SYSCALL,
    [
      asm.st("u32", R1, 4, 1),
      asm.alu64Imm("add", R1, 8),
      asm.ldx("u8", R2, R1, -8),
      asm.ldx("u8", R2, R1, -9),
      asm.atomic("add", "u64", R1, R2, 0),
      asm.alu64("add", R1, R2),
      asm.ldx("u8", R2, R1, 0),
      end,
    ],
    "context context check check check",
  ],
};

test.each(Object.entries(contexts))("contexts of any size: %s", (_name, [type, items, expected]) => {
  expect(ways(items, type)).toBe(expected);
});

const { sk, flow_keys } = u.__sk_buff.fields;
const keys: Items = [
  asm.ldx("u64", R2, R1, flow_keys.offset),
  asm.ldx("u32", R3, R2, u.bpf_flow_keys.size - 4),
  asm.ldx("u32", R3, R2, u.bpf_flow_keys.size - 3),
  asm.ldx("u8", R3, R2, -1),
  asm.st("u16", R2, 0, 1),
];
const socketShown: Items = [
  asm.ldx("u64", R2, R1, sk.offset),
  asm.ldx("u8", R3, R2, 0),
  asm.jmpImm("jeq", R2, 0, "out"),
  asm.ldx("u32", R3, R2, u.bpf_sock.size - 4),
  asm.ldx("u32", R3, R2, u.bpf_sock.size - 3),
  asm.st("u8", R2, 0, 1),
];
const half: Items = [asm.ldx("u32", R2, R1, flow_keys.offset), asm.ldx("u8", R3, R2, 0)];

test.each([
  ["flow keys, to their last byte", u.BPF_PROG_TYPE_FLOW_DISSECTOR, keys, "proved proved check check proved"],
  ["half of their address", u.BPF_PROG_TYPE_FLOW_DISSECTOR, half, "check check"],
  ["flow keys of a program that has none", u.BPF_PROG_TYPE_SCHED_CLS, half, "check check"],
  [
    "a socket, once NULL is ruled out, to read",
    u.BPF_PROG_TYPE_SCHED_CLS,
    socketShown,
    "proved check proved check check",
  ],
  ["a socket of a program that has none", u.BPF_PROG_TYPE_FLOW_DISSECTOR, socketShown, "check check check check check"],
] as const)("what the context shows: %s", (_name, type, items, expected) => {
  expect(ways([items, out], type)).toBe(expected);
});

test("contexts of any size: near its beginning there is no stack behind it", () => {
  const depth = (offset: number): readonly number[] =>
    proofOf([asm.ldx("u64", R2, R1, offset), end], u.BPF_PROG_TYPE_TRACEPOINT).stackDepth;
  expect([depth(248), depth(256)]).toEqual([[0], [-512]]);
});

test.each(Object.entries(regions))("regions: %s", (_name, [items, expected]) => {
  expect(ways(items)).toBe(expected);
});

const reserve = (size: number): Items => [
  map(R1, ring),
  asm.mov64Imm(R2, size),
  asm.mov64Imm(R3, 0),
  asm.call(u.BPF_FUNC_ringbuf_reserve),
];
const submit = (reg: asm.Reg): Items => [asm.mov64(R1, reg), asm.mov64Imm(R2, 0), asm.call(u.BPF_FUNC_ringbuf_submit)];

const rings: Proofs = {
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
};

const kfunc = (name: string): Items => [
  asm.mov64(R1, R10),
  asm.alu64Imm("add", R1, -24),
  asm.callKfunc(kfuncIndex(name)),
];
/** r0 = the first number of the iterator at r10 - 24, or NULL. */
const numbered: Items = [
  asm.mov64Imm(R2, 0),
  asm.mov64Imm(R3, 4),
  kfunc("bpf_iter_num_new"),
  kfunc("bpf_iter_num_next"),
];
/** r0 = a socket, or NULL. */
const socket: Items = [
  asm.mov64(R2, R10),
  asm.alu64Imm("add", R2, -16),
  asm.mov64Imm(R3, u.bpf_sock_tuple.fields.ipv4.size),
  asm.mov64Imm(R4, -1),
  asm.mov64Imm(R5, 0),
  asm.call(u.BPF_FUNC_sk_lookup_tcp),
];

const held: Proofs = {
  "an iterator's number, until the iterator ends": [
    [
      numbered,
      asm.jmpImm("jeq", R0, 0, "out"),
      asm.mov64(R6, R0),
      asm.ldx("u32", R1, R6, 0),
      asm.ldx("u32", R1, R6, 1),
      asm.st("u32", R6, 0, 1),
      kfunc("bpf_iter_num_next"),
      asm.ldx("u32", R1, R6, 0),
      asm.ldx("u32", R1, R0, 0),
      kfunc("bpf_iter_num_destroy"),
      asm.ldx("u32", R1, R6, 0),
      out,
    ],
    "proved check check proved check check",
  ],
  "an iterator's number that a function may have ended": [
    [
      numbered,
      asm.jmpImm("jeq", R0, 0, "out"),
      asm.mov64(R6, R0),
      asm.mov64(R1, R10),
      asm.callRel("f"),
      asm.ldx("u32", R1, R6, 0),
      out,
      label("f"),
      asm.alu64Imm("add", R1, -24),
      asm.callKfunc(kfuncIndex("bpf_iter_num_destroy")),
      asm.exit(),
    ],
    "check",
  ],
  "what an iterator over numbers leaves alone, and what it writes": [
    [
      found(hash),
      asm.stx("u64", R10, R0, -32),
      asm.stx("u64", R10, R0, -16),
      numbered,
      asm.ldx("u64", R1, R10, -32),
      asm.ldx("u8", R1, R1, 0),
      asm.ldx("u64", R1, R10, -16),
      asm.ldx("u8", R1, R1, 0),
      asm.stx("u64", R10, R1, -24),
      out,
    ],
    "proved proved proved proved proved proved proved proved",
  ],
  "a pointer where an iterator over numbers begins": [
    [found(hash), asm.stx("u64", R10, R0, -24), numbered, asm.ldx("u64", R1, R10, -24), asm.ldx("u8", R1, R1, 0), out],
    "proved proved proved check",
  ],
  "a socket that was looked up, until one is released": [
    [
      asm.mov64(R7, R1),
      socket,
      asm.jmpImm("jeq", R0, 0, "out"),
      asm.mov64(R6, R0),
      asm.ldx("u32", R1, R6, u.bpf_sock.size - 4),
      asm.ldx("u32", R1, R6, u.bpf_sock.size - 3),
      asm.st("u32", R6, 0, 1),
      asm.mov64(R1, R7),
      socket,
      asm.ldx("u32", R1, R6, 4),
      asm.mov64(R1, R0),
      asm.call(u.BPF_FUNC_sk_release),
      asm.ldx("u32", R1, R6, 4),
      out,
    ],
    "proved check check proved check",
  ],
  "a pointer in the stack, beside what a helper of a function's arguments writes": [
    [
      asm.mov64(R7, R1),
      found(hash),
      asm.stx("u64", R10, R0, -32),
      asm.stx("u64", R10, R0, -16),
      asm.mov64(R1, R7),
      asm.mov64Imm(R2, 0),
      asm.mov64(R3, R10),
      asm.alu64Imm("add", R3, -16),
      asm.call(u.BPF_FUNC_get_func_arg),
      asm.ldx("u64", R1, R10, -32),
      asm.ldx("u8", R1, R1, 0),
      asm.ldx("u64", R1, R10, -16),
      asm.ldx("u8", R1, R1, 0),
      out,
    ],
    "proved proved proved proved proved proved check",
  ],
};

test.each(Object.entries(held))("what the run holds: %s", (_name, [items, expected]) => {
  expect(ways(items)).toBe(expected);
});

test.each(Object.entries(rings))("rings: %s", (_name, [items, expected]) => {
  expect(ways(items)).toBe(expected);
});
