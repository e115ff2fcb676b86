/** Loops: how far an index, or a pointer, gets in them. */
import { expect, test } from "vitest";
import {
  end,
  firstValue,
  found,
  globals,
  hash,
  lookup,
  map,
  out,
  type Proofs,
  VALUE,
  ways,
} from "../../../test/jit/proofs.ts";
import * as asm from "../../insn/index.ts";

const { R0, R1, R2, R6, R7, R8, label } = asm;

const loops: Proofs = {
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
