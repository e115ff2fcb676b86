/** LD_ABS and LD_IND. */
import * as asm from "../../../src/insn/index.ts";
import * as u from "../../../src/uapi/index.ts";
import { indirect, report, type SkbCase, SOCKET } from "./cases.ts";

export const loadCases: readonly SkbCase[] = [
  ["cls", u.BPF_PROG_TYPE_SCHED_CLS] as const,
  ["socket", SOCKET] as const,
].flatMap(([name, type]) =>
  (["u8", "u16", "u32"] as const).flatMap((size) =>
    [
      0,
      1,
      12,
      44,
      45,
      46,
      47,
      48,
      58,
      59,
      60,
      61,
      62,
      0x7fff_ffff,
      -1,
      -14,
      -0x1000,
      -0x10_0000,
      -0x10_0000 + 44,
      -0x10_0000 + 47,
      -0x10_0000 - 1,
      -0x10_0000 - 14,
      -0x20_0000,
      -0x20_0000 + 12,
      -0x20_0000 + 61,
      -0x20_0000 - 1,
      -0x8000_0000,
    ].flatMap((at): SkbCase[] => [
      { id: `ld_abs.${name}.${size}.${at}`, type, code: report([[asm.ldAbs(size, at)]]) },
      {
        id: `ld_ind.${name}.${size}.${at}`,
        type,
        code: report([indirect(size, at, 0), indirect(size, 2, 3), indirect(size, 10, -10), indirect(size, at, 1)]),
      },
    ]),
  ),
);
