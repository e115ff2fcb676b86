/** The stack: accesses of it, what is kept in it, how deep it is touched. */
import { expect, test } from "vitest";
import {
  end,
  found,
  hash,
  type Items,
  lookup,
  map,
  out,
  type Proofs,
  proofOf,
  queue,
  someNumber,
  ways,
} from "../../../test/jit/proofs.ts";
import * as asm from "../../insn/index.ts";
import * as u from "../../uapi/index.ts";

const { R0, R1, R2, R3, R4, R6, R9, R10, label } = asm;

const spilled: Items = [found(hash), asm.stx("u64", R10, R0, -16)];
const reloaded: Items = [asm.ldx("u64", R3, R10, -16), asm.ldx("u8", R1, R3, 0)];

const frames: Proofs = {
  "stack at its natural alignment": [
    [asm.st("u64", R10, -512, 1), asm.st("u32", R10, -4, 1), asm.ldx("u8", R1, R10, -1), end],
    "proved proved proved",
  ],
  "stack, not aligned, or beyond its ends": [
    [asm.st("u32", R10, -6, 1), asm.st("u8", R10, -513, 1), asm.st("u8", R10, 0, 1), asm.st("u64", R10, -4, 1), end],
    "stack stack check stack",
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
};

test.each(Object.entries(frames))("stack: %s", (_name, [items, expected]) => {
  expect(ways(items)).toBe(expected);
});

const spills: Proofs = {
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

test.each(Object.entries(spills))("what is kept in the stack: %s", (_name, [items, expected]) => {
  expect(ways(items)).toBe(expected);
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
