/** bpf_for in compiled programs. */
import { afterAll, test } from "vitest";
import { type Items, inFrame, openPairs, runs } from "../../test/jit/pairs.ts";
import { parseBtf } from "../btf/index.ts";
import { kernelBtf } from "../helpers/kernel_btf.ts";
import * as asm from "../insn/index.ts";

const { R0, R1, R2, R3, R7, R8, R10, label } = asm;
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
};

test.each(Object.entries(iterators))("an iterator: %s", (_, items) => {
  alike((host) => runs(host, items, 2));
});
