/** Objects on the stack: which call has set up the one that another call is about, while that is certain. */
import { expect, test } from "vitest";
import { end, type Items, map, proofOf, queue } from "../../../test/jit/proofs.ts";
import { kfuncIndex } from "../../helpers/kfunc_table.ts";
import * as asm from "../../insn/index.ts";
import { OBJECT_DYNPTR, OBJECT_NUM } from "../../kern/stack_objects.ts";
import * as u from "../../uapi/index.ts";

const { R0, R1, R2, R3, R4, R6, R10, label } = asm;

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
const submit: Items = [...at(R1, -64), asm.mov64Imm(R2, 0), asm.call(u.BPF_FUNC_ringbuf_submit_dynptr)];
const tail: Items = [...map(R2, queue), asm.mov64Imm(R3, 0), asm.call(u.BPF_FUNC_tail_call)];
const loadByte = (offset: number): Items => [
  ...[asm.mov64(R1, R6), asm.mov64Imm(R2, 0), ...at(R3, offset), asm.mov64Imm(R4, 1)],
  asm.call(u.BPF_FUNC_xdp_load_bytes),
];
/** Gives `f` this place. */
const called = (offset: number): Items => [
  ...[asm.mov64Imm(R1, 1), ...asm.ldFunc(R2, "f"), ...at(R3, offset), asm.mov64Imm(R4, 0)],
  asm.call(u.BPF_FUNC_loop),
];
const destroyGiven: Items = [kfunc("bpf_iter_num_destroy")];

/** Programs, and whether the object is known to the last call that the first function makes. */
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
  "a function may have set up another": [
    [...setUp(-16), ...at(R1, -16), asm.callRel("f"), ...next(-16), ...end, label("f"), kfunc("bpf_iter_num_new")],
    false,
  ],
  "a function that leaves it": [[...setUp(-16), asm.callRel("f"), ...next(-16), ...end, label("f")], true],
  "a callback may have destroyed it": [
    [...setUp(-16), ...called(-16), ...next(-16), ...end, label("f"), asm.mov64(R1, R2), ...destroyGiven],
    false,
  ],
  "a callback may have written it": [
    [...setUp(-16), ...called(-16), ...next(-16), ...end, label("f"), asm.st("u8", R2, 7, 0)],
    false,
  ],
  "a callback that leaves it": [
    [...setUp(-16), ...called(-24), ...next(-16), ...end, label("f"), asm.st("u64", R2, 0, 0)],
    true,
  ],
  "where another program may have come back from": [
    [...setUp(-16), asm.callRel("f"), ...next(-16), ...end, label("f"), ...tail],
    false,
  ],
  "in the last turn, but perhaps in another place": [
    [
      ...[asm.mov64Imm(R6, -32), label("a"), asm.mov64(R1, R10), asm.alu64("add", R1, R6), asm.mov64Imm(R3, 4)],
      ...[kfunc("bpf_iter_num_new"), asm.alu64Imm("add", R6, 16), asm.jmpImm("jne", R6, 0, "a"), ...next(-32)],
    ],
    false,
  ],
  "where no object can begin": [[...setUp(-12), ...next(-12)], false],
  "a helper writes the mark's last byte": [[asm.mov64(R6, R1), ...setUp(-16), ...loadByte(-9), ...next(-16)], false],
  "a helper writes beside it": [
    [asm.mov64(R6, R1), ...setUp(-16), ...loadByte(-8), ...loadByte(-17), ...next(-16)],
    true,
  ],
  "an atomic instruction": [
    [...setUp(-16), asm.mov64Imm(R1, 0), asm.atomic("add", "u32", R10, R1, -12), ...next(-16)],
    false,
  ],
  "a dynptr": [[...dynptr, ...size], true, OBJECT_DYNPTR],
  "a dynptr is given back": [[...dynptr, ...submit, ...size], false, OBJECT_DYNPTR],
  "another iterator is destroyed": [[...dynptr, ...setUp(-48), ...destroy(-48), ...size], false, OBJECT_DYNPTR],
  "a dynptr's second word is written": [[...dynptr, asm.st("u32", R10, -24, 0), ...size], false, OBJECT_DYNPTR],
  "an iterator where a dynptr was": [[...dynptr, ...setUp(-32), ...size], false, OBJECT_DYNPTR],
  "a dynptr where an iterator was": [[...setUp(-32), ...dynptr, ...next(-32)], false],
};

function knows(items: Items, kind: number, func: number): boolean {
  const whole = [...items, ...end];
  const starts = asm.functionStarts(asm.assemble(whole));
  const calls = proofOf(whole).calls.slice(starts[func], starts[func + 1]);
  return calls.findLast((each) => each !== undefined)!.object(1, kind) >= 0;
}

test.each(Object.entries(programs))("%s", (_, [items, known, kind = OBJECT_NUM]) => {
  expect(knows(items, kind, 0)).toBe(known);
});

test("in a caller's frame", () => {
  expect(knows([...setUp(-16), asm.callRel("f"), ...end, label("f"), ...next(512 - 16)], OBJECT_NUM, 1)).toBe(false);
});
