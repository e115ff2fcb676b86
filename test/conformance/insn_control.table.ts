/** Control flow, 64-bit immediates and calls: programs and what r0 is at the end. */
import * as asm from "../../src/insn/index.ts";

const { R0, R1, R2, R6, R7, R8, R10 } = asm;

/** `functions` stand behind the program's exit. */
export type ControlRow = readonly [
  id: string,
  body: readonly asm.AsmItem[],
  r0: bigint,
  functions?: readonly asm.AsmItem[],
];

export const controlRows: readonly ControlRow[] = [
  ["ldImm64", [asm.ldImm64(R0, 0x8877_6655_4433_2211n)], 0x8877_6655_4433_2211n],
  ["ldImm64.lower-half-negative", [asm.ldImm64(R0, 0xffff_ffffn)], 0xffff_ffffn],
  ["ldImm64.upper-half-negative", [asm.ldImm64(R0, 0xffff_ffff_0000_0000n)], 0xffff_ffff_0000_0000n],
  ["mov64.imm-negative", [asm.mov64Imm(R0, -1)], 0xffff_ffff_ffff_ffffn],
  ["mov32.imm-negative", [asm.mov32Imm(R0, -1)], 0xffff_ffffn],
  ["mov32.reg", [asm.ldImm64(R1, -1n), asm.mov32(R0, R1)], 0xffff_ffffn],
  [
    "ja",
    [
      asm.mov64Imm(R0, 1),
      asm.jmpImm("jne", R0, 1, "other"),
      asm.ja("end"),
      asm.label("other"),
      asm.mov64Imm(R0, 2),
      asm.label("end"),
    ],
    1n,
  ],
  [
    "ja.back",
    [
      asm.mov64Imm(R0, 0),
      asm.ja("test"),
      asm.label("loop"),
      asm.alu64Imm("add", R0, 3),
      asm.label("test"),
      asm.jmpImm("jlt", R0, 10, "loop"),
    ],
    12n,
  ],
  [
    "gotol",
    [
      asm.mov64Imm(R0, 1),
      asm.jmpImm("jne", R0, 1, "other"),
      asm.jal("end"),
      asm.label("other"),
      asm.mov64Imm(R0, 2),
      asm.label("end"),
    ],
    1n,
  ],
  [
    "gotol.back",
    [
      asm.mov64Imm(R0, 0),
      asm.jal("test"),
      asm.label("loop"),
      asm.alu64Imm("add", R0, 7),
      asm.label("test"),
      asm.jmpImm("jgt", R0, 20, "end"),
      asm.jal("loop"),
      asm.label("end"),
    ],
    21n,
  ],
  ["jump.over-wide", [asm.mov64Imm(R0, 1), asm.jmpImm("jeq", R0, 1, "end"), asm.ldImm64(R0, 5n), asm.label("end")], 1n],
  [
    "loop.sum",
    [
      asm.mov64Imm(R0, 0),
      asm.mov64Imm(R1, 100),
      asm.label("loop"),
      asm.alu64("add", R0, R1),
      asm.alu64Imm("sub", R1, 1),
      asm.jmpImm("jne", R1, 0, "loop"),
    ],
    5050n,
  ],
  [
    "mayGoto.loop-that-ends-itself",
    [
      asm.mov64Imm(R0, 0),
      asm.label("loop"),
      asm.mayGoto("end"),
      asm.alu64Imm("add", R0, 1),
      asm.jmpImm("jne", R0, 10, "loop"),
      asm.label("end"),
    ],
    10n,
  ],
  [
    "registers.r6-r9-and-stack",
    [
      asm.mov64Imm(R6, 1),
      asm.mov64Imm(R7, 2),
      asm.mov64Imm(R8, 4),
      asm.stx("u64", R10, R6, -512),
      asm.stx("u64", R10, R7, -8),
      asm.ldx("u64", R0, R10, -512),
      asm.ldx("u64", R2, R10, -8),
      asm.alu64("add", R0, R2),
      asm.alu64("add", R0, R8),
    ],
    7n,
  ],
  [
    "call.arguments-and-result",
    [asm.mov64Imm(R1, 40), asm.mov64Imm(R2, 2), asm.callRel("sum")],
    42n,
    [asm.label("sum"), asm.mov64(R0, R1), asm.alu64("add", R0, R2), asm.exit()],
  ],
  [
    "call.keeps-r6-r9",
    [
      asm.mov64Imm(R6, 1),
      asm.mov64Imm(R7, 2),
      asm.mov64Imm(R8, 4),
      asm.callRel("spoil"),
      asm.alu64("add", R0, R6),
      asm.alu64("add", R0, R7),
      asm.alu64("add", R0, R8),
    ],
    1007n,
    [
      asm.label("spoil"),
      asm.mov64Imm(R6, 100),
      asm.mov64Imm(R7, 100),
      asm.mov64Imm(R8, 100),
      asm.mov64Imm(R0, 1000),
      asm.exit(),
    ],
  ],
  [
    "call.pointer-into-the-caller's-stack",
    [
      asm.st("u64", R10, -8, 5),
      asm.mov64(R1, R10),
      asm.alu64Imm("add", R1, -8),
      asm.callRel("double"),
      asm.ldx("u64", R0, R10, -8),
    ],
    10n,
    [
      asm.label("double"),
      asm.ldx("u64", R2, R1, 0),
      asm.alu64("add", R2, R2),
      asm.stx("u64", R10, R2, -8),
      asm.ldx("u64", R0, R10, -8),
      asm.stx("u64", R1, R0, 0),
      asm.exit(),
    ],
  ],
  [
    "call.nested-eight-frames",
    [asm.mov64Imm(R1, 1), asm.callRel("f1")],
    8n,
    [1, 2, 3, 4, 5, 6, 7].flatMap((n) => [
      asm.label(`f${n}`),
      asm.alu64Imm("add", R1, 1),
      ...(n === 7 ? [asm.mov64(R0, R1)] : [asm.callRel(`f${n + 1}`)]),
      asm.exit(),
    ]),
  ],
];
