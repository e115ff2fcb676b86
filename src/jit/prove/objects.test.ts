/** Objects on the stack: which call has set up the one that another call is about, while that is certain. */
import { expect, test } from "vitest";
import { end, type Items, proofOf } from "../../../test/jit/proofs.ts";
import { kfuncIndex } from "../../helpers/kfunc_table.ts";
import * as asm from "../../insn/index.ts";
import { OBJECT_DYNPTR, OBJECT_NUM } from "../../kern/stack_objects.ts";

const { R0, R1, R2, R3, R6, R10, label } = asm;

const at = (register: asm.Reg, offset: number): Items => [
  asm.mov64(register, R10),
  asm.alu64Imm("add", register, offset),
];
const kfunc = (name: string): asm.AsmItem => asm.callKfunc(kfuncIndex(name));
const setUp = (offset: number): Items => [
  ...at(R1, offset),
  asm.mov64Imm(R2, 0),
  asm.mov64Imm(R3, 4),
  kfunc("bpf_iter_num_new"),
];
const next = (offset: number): Items => [...at(R1, offset), kfunc("bpf_iter_num_next")];
const destroy = (offset: number): Items => [...at(R1, offset), kfunc("bpf_iter_num_destroy")];
const dynptr: Items = [asm.mov64Imm(R2, 0), ...at(R3, -32), kfunc("bpf_dynptr_from_xdp")];
const size: Items = [...at(R1, -32), kfunc("bpf_dynptr_size")];

/** Programs, and for the last call of each but `f` whether the object is known. */
const programs: Readonly<Record<string, readonly [items: Items, known: boolean, kind?: number]>> = {
  "an iterator": [[...setUp(-16), ...next(-16)], true],
  "again and again": [[...setUp(-16), label("a"), ...next(-16), asm.jmpImm("jne", R0, 0, "a"), ...next(-16)], true],
  "another place": [[...setUp(-16), ...next(-24)], false],
  "one inside of the other": [[...setUp(-16), ...next(-16), ...setUp(-24), ...next(-16)], true],
  "set up again": [[...setUp(-16), ...destroy(-16), ...setUp(-16), ...next(-16)], true],
  destroyed: [[...setUp(-16), ...destroy(-16), ...next(-16)], false],
  "on one way only": [[asm.jmpImm("jeq", R1, 0, "a"), ...setUp(-16), label("a"), ...next(-16)], false],
  "by one call or the other": [
    [asm.jmpImm("jeq", R1, 0, "a"), ...setUp(-16), asm.ja("b"), label("a"), ...setUp(-16), label("b"), ...next(-16)],
    false,
  ],
  "half of the mark is written": [[...setUp(-16), asm.st("u8", R10, -9, 0), ...next(-16)], false],
  "what lies beside the mark is written": [
    [...setUp(-16), asm.st("u64", R10, -8, 0), asm.st("u64", R10, -24, 0), ...next(-16)],
    true,
  ],
  "a copy of the mark": [
    [...setUp(-16), asm.ldx("u64", R6, R10, -16), asm.stx("u64", R10, R6, -24), ...next(-24)],
    false,
  ],
  "the mark put back": [
    [...setUp(-16), asm.ldx("u64", R6, R10, -16), asm.stx("u64", R10, R6, -16), ...next(-16)],
    false,
  ],
  "a function may have destroyed it": [
    [...setUp(-16), ...at(R1, -16), asm.callRel("f"), ...next(-16), ...end, label("f"), kfunc("bpf_iter_num_destroy")],
    false,
  ],
  "a dynptr": [[...dynptr, ...size], true, OBJECT_DYNPTR],
  "a dynptr's second word is written": [[...dynptr, asm.st("u32", R10, -24, 0), ...size], false, OBJECT_DYNPTR],
  "an iterator where a dynptr was": [[...dynptr, ...setUp(-32), ...size], false, OBJECT_DYNPTR],
  "a dynptr where an iterator was": [[...setUp(-32), ...dynptr, ...next(-32)], false],
};

test.each(Object.entries(programs))("%s", (_, [items, known, kind = OBJECT_NUM]) => {
  const main = items.indexOf(end[0]!);
  const { calls } = proofOf([...items, ...end]);
  const facts = calls.filter((each) => each !== undefined);
  expect(facts.at(main < 0 ? -1 : -2)!.object(1, kind) >= 0).toBe(known);
});
