/** bpf_for in compiled programs. */
import { afterAll, expect, test } from "vitest";
import { type Items, inFrame, openPairs, runs } from "../../test/jit/pairs.ts";
import { parseBtf } from "../btf/index.ts";
import { kernelBtf } from "../helpers/kernel_btf.ts";
import * as asm from "../insn/index.ts";
import * as u from "../uapi/index.ts";

const { R0, R1, R2, R3, R6, R7, R8, R10, label } = asm;
const { alike, close } = openPairs();
afterAll(close);

const types = parseBtf(kernelBtf()).types;
const kfunc = (name: string): asm.AsmItem =>
  asm.callKfunc(types.findIndex((type) => type.kind === "func" && type.name === name));
const iterate = (from: number, to: number, name: string, body: Items): Items =>
  [
    inFrame(R1, -16),
    asm.mov64Imm(R2, from),
    asm.mov64Imm(R3, to),
    kfunc("bpf_iter_num_new"),
    label(name),
    inFrame(R1, -16),
    kfunc("bpf_iter_num_next"),
    asm.jmpImm("jeq", R0, 0, `${name}.end`),
    body,
    asm.ja(name),
    label(`${name}.end`),
    inFrame(R1, -16),
    kfunc("bpf_iter_num_destroy"),
  ].flat();
const setUp = (offset: number, from: number, to: number): Items =>
  [inFrame(R1, offset), asm.mov64Imm(R2, from), asm.mov64Imm(R3, to), kfunc("bpf_iter_num_new")].flat();
const onIterator = (offset: number, name: string): Items => [...inFrame(R1, offset), kfunc(name)];
const addNumber: Items = [asm.ldx("s32", R1, R0, 0), asm.alu64("add", R7, R1)];
const numbers = (items: Items): Items => [asm.mov64Imm(R7, 1000), ...items, asm.mov64(R0, R7), asm.exit()];

const iterators: Readonly<Record<string, Items>> = {
  "from 0": numbers(iterate(0, 9, "a", addNumber)),
  "below 0": numbers(iterate(-5, 3, "a", addNumber)),
  "the smallest numbers": numbers(iterate(-(2 ** 31), -(2 ** 31) + 3, "a", addNumber)),
  none: numbers(iterate(4, 4, "a", addNumber)),
  refused: numbers(iterate(4, 3, "a", addNumber)),
  "a scribbled mark": numbers(iterate(0, 9, "a", [...addNumber, asm.st("u32", R10, -12, 7)])),
  "again at its end": numbers([...iterate(0, 3, "a", addNumber), ...iterate(0, 4, "b", addNumber)]),
  "the number of the turn before": numbers(
    iterate(
      0,
      4,
      "a",
      [
        asm.mov64(R8, R0),
        inFrame(R1, -16),
        kfunc("bpf_iter_num_next"),
        asm.ldx("s32", R1, R8, 0),
        asm.alu64("add", R7, R1),
      ].flat(),
    ),
  ),
  "a number that is written": numbers(iterate(0, 4, "a", [asm.st("u32", R0, 0, 1)])),
  "the number behind": numbers(iterate(0, 4, "a", [asm.ldx("u32", R1, R0, 4)])),
  "nested, the inner one again and again": numbers(
    iterate(0, 3, "a", [
      ...addNumber,
      ...[
        inFrame(R1, -32),
        asm.mov64Imm(R2, 5),
        asm.mov64Imm(R3, 8),
        kfunc("bpf_iter_num_new"),
        inFrame(R1, -32),
        kfunc("bpf_iter_num_next"),
        asm.jmpImm("jeq", R0, 0, 2),
        addNumber,
        inFrame(R1, -32),
        kfunc("bpf_iter_num_destroy"),
      ].flat(),
    ]),
  ),
  "the older of two is destroyed first": numbers([
    ...setUp(-16, 0, 9),
    ...setUp(-32, 3, 4),
    ...onIterator(-16, "bpf_iter_num_destroy"),
    ...onIterator(-32, "bpf_iter_num_next"),
    ...addNumber,
    ...onIterator(-32, "bpf_iter_num_destroy"),
  ]),
  "set up twice": numbers([
    ...setUp(-16, 0, 9),
    ...setUp(-16, 5, 6),
    ...onIterator(-16, "bpf_iter_num_next"),
    ...addNumber,
  ]),
  "too many numbers": numbers([...setUp(-16, 0, 1 << 24), asm.mov64(R7, R0), ...onIterator(-16, "bpf_iter_num_next")]),
  "all numbers that there are": numbers([...setUp(-16, -(2 ** 31), 2 ** 31 - 1), asm.mov64(R7, R0)]),
  "next behind its destruction": numbers([
    ...setUp(-16, 0, 9),
    ...onIterator(-16, "bpf_iter_num_destroy"),
    ...onIterator(-16, "bpf_iter_num_next"),
  ]),
  "destroyed twice": numbers([
    ...setUp(-16, 0, 9),
    ...onIterator(-16, "bpf_iter_num_destroy"),
    ...onIterator(-16, "bpf_iter_num_destroy"),
  ]),
  "the number of one that was destroyed": numbers([
    ...setUp(-16, 0, 9),
    ...onIterator(-16, "bpf_iter_num_next"),
    asm.mov64(R8, R0),
    ...onIterator(-16, "bpf_iter_num_destroy"),
    asm.ldx("u32", R0, R8, 0),
  ]),
  "in a function, in its caller's frame": [
    ...setUp(-16, 2, 9),
    ...inFrame(R1, -16),
    asm.callRel("f"),
    asm.exit(),
    label("f"),
    asm.mov64(R6, R1),
    kfunc("bpf_iter_num_next"),
    asm.mov64(R1, R6),
    kfunc("bpf_iter_num_next"),
    asm.ldx("u32", R0, R0, 0),
    asm.exit(),
  ],
  "from a frame that is closed": [
    asm.callRel("f"),
    ...onIterator(-528, "bpf_iter_num_next"),
    asm.mov64Imm(R0, 0),
    asm.exit(),
    label("f"),
    ...setUp(-16, 2, 9),
    asm.mov64Imm(R0, 0),
    asm.exit(),
  ],
};

test.each(Object.entries(iterators))("an iterator: %s", (_, items) => {
  alike((host) => runs(host, items, 3));
});

test("an iterator of the run before is none, whatever mark is made up for it", () => {
  const ends = alike((host) => {
    const before = runs(host, numbers(setUp(-16, 0, 9)));
    // One place above and one generation before that of this run's own.
    const made = [asm.ldx("u64", R1, R10, -32), asm.ldImm64(R2, (1n << 32n) + 2n), asm.alu64("sub", R1, R2)].flat();
    const forged = [
      ...setUp(-32, 0, 2),
      ...made,
      asm.stx("u64", R10, R1, -16),
      ...onIterator(-16, "bpf_iter_num_next"),
    ];
    return [...before, ...runs(host, numbers(forged))];
  });
  expect(ends.map(([ret]) => ret)).toEqual([0, -u.EFAULT]);
});
