/** What a program's first function begins with: as the start of the program, and where others call it. */
import { afterAll, expect, test } from "vitest";
import { type Items, openPairs, runs } from "../../test/jit/pairs.ts";
import * as asm from "../insn/index.ts";
import * as u from "../uapi/index.ts";

const { R0, R1, R2, R3, R4, label } = asm;
const { alike, close } = openPairs();
afterAll(close);

/** r1 is less than any address: no context. */
const unlessContext = (to: string): asm.AsmItem => asm.jmpImm("jlt", R1, 100, to);
/** Of the context in r1. */
const packetLength: Items = [
  asm.ldx("u32", R2, R1, u.xdp_md.fields.data.offset),
  asm.ldx("u32", R0, R1, u.xdp_md.fields.data_end.offset),
  asm.alu64("sub", R0, R2),
];

const programs: Readonly<Record<string, readonly [items: readonly (Items | asm.AsmItem)[], retval: number]>> = {
  "is called by none": [[asm.mov64(R3, R2), packetLength, asm.alu64("add", R0, R3), asm.exit()], 64],
  "is called by one that a helper calls": [
    [
      label("first"),
      unlessContext("called"),
      asm.mov64Imm(R1, 5),
      asm.ldFunc(R2, "other"),
      asm.mov64Imm(R3, 0),
      asm.mov64Imm(R4, 0),
      asm.call(u.BPF_FUNC_loop),
      asm.exit(),
      label("called"),
      asm.mov64(R0, R1),
      asm.exit(),
      label("other"),
      asm.mov64Imm(R1, 1),
      asm.callRel("first"),
      asm.exit(),
    ],
    1,
  ],
  "is called by a helper": [
    [
      label("first"),
      unlessContext("called"),
      asm.mov64Imm(R1, 5),
      asm.ldFunc(R2, "first"),
      asm.mov64Imm(R3, 0),
      asm.mov64Imm(R4, 0),
      asm.call(u.BPF_FUNC_loop),
      asm.exit(),
      label("called"),
      asm.mov64Imm(R0, 0),
      asm.jmpImm("jlt", R1, 2, "out"),
      asm.mov64Imm(R0, 1),
      label("out"),
      asm.exit(),
    ],
    3,
  ],
};

test.each(Object.entries(programs))("the first function %s", (_, [items, retval]) => {
  expect(alike((host) => runs(host, (items as asm.AsmItem[]).flat() as Items, 3))).toEqual(
    new Array(3).fill([0, retval, ""]),
  );
});
