/** Packets: how far they were compared with their end, and what makes that void. */
import { expect, test } from "vitest";
import { end, found, hash, type Items, map, out, type Proofs, packet, queue, ways } from "../../../test/jit/proofs.ts";
import * as asm from "../../insn/index.ts";
import * as u from "../../uapi/index.ts";

const { R0, R1, R2, R3, R4, R5, R6, R7, R8, label } = asm;

/** data + 14 is inside the packet. */
const header: Items = [packet, asm.mov64(R1, R2), asm.alu64Imm("add", R1, 14), asm.jmp("jgt", R1, R3, "out")];

const packets: Proofs = {
  "up to where it was compared": [
    [header, asm.ldx("u16", R4, R2, 12), asm.ldx("u16", R4, R2, 13), asm.st("u8", R2, 0, 1), out],
    "proved proved proved check proved",
  ],
  "the comparison on its other way": [
    [header, asm.ja("out"), label("out"), asm.ldx("u8", R4, R2, 13), ...end],
    "proved proved check",
  ],
  "all forms of the comparison": [
    (["jgt", "jge", "jlt", "jle"] as const)
      .flatMap((op): Items => {
        const inside = op === "jgt" || op === "jge" ? [asm.ja(0)] : [asm.ja("out")];
        return [
          packet,
          asm.mov64(R1, R2),
          asm.alu64Imm("add", R1, 14),
          asm.jmp(op, R1, R3, op === "jgt" || op === "jge" ? "out" : 1),
          ...inside,
          asm.ldx("u8", R4, R2, 13),
          asm.ldx("u8", R4, R2, 14),
          asm.mov64(R1, R7),
        ];
      })
      .concat(out),
    ["check", "proved", "proved", "check"].map((last) => `proved proved proved ${last}`).join(" "),
  ],
  "the end on the left": [
    [
      packet,
      asm.mov64(R1, R2),
      asm.alu64Imm("add", R1, 14),
      asm.jmp("jlt", R3, R1, "out"),
      asm.ldx("u8", R4, R2, 13),
      out,
    ],
    "proved proved proved",
  ],
  "a comparison with signs, or of lower halves, says nothing": [
    [
      packet,
      asm.mov64(R1, R2),
      asm.alu64Imm("add", R1, 14),
      asm.jmp("jsgt", R1, R3, "out"),
      asm.jmp32("jgt", R1, R3, "out"),
      asm.ldx("u8", R4, R2, 13),
      out,
    ],
    "proved proved check",
  ],
  "in front of the data": [[header, asm.ldx("u8", R4, R2, -1), out], "proved proved check"],
  "a header of variable length": [
    [
      header,
      asm.ldx("u8", R4, R2, 0),
      asm.alu64Imm("and", R4, 15),
      asm.alu64Imm("lsh", R4, 2),
      asm.mov64(R5, R2),
      asm.alu64("add", R5, R4),
      asm.ldx("u8", R1, R5, 0),
      asm.mov64(R1, R5),
      asm.alu64Imm("add", R1, 8),
      asm.jmp("jgt", R1, R3, "out"),
      asm.ldx("u64", R1, R5, 0),
      asm.ldx("u64", R1, R5, 1),
      out,
    ],
    "proved proved proved check proved check",
  ],
  "a length of 64 bits may go round": [
    [
      header,
      asm.ldx("u64", R4, R2, 0),
      asm.mov64(R5, R2),
      asm.alu64("add", R5, R4),
      asm.mov64(R1, R5),
      asm.alu64Imm("add", R1, 8),
      asm.jmp("jgt", R1, R3, "out"),
      asm.ldx("u64", R1, R5, 0),
      out,
    ],
    "proved proved proved check",
  ],
  "what was compared of one address says nothing of another": [
    [
      header,
      asm.ldx("u8", R4, R2, 0),
      asm.mov64(R5, R2),
      asm.alu64("add", R5, R4),
      asm.ldx("u8", R4, R2, 1),
      asm.mov64(R6, R2),
      asm.alu64("add", R6, R4),
      asm.mov64(R1, R5),
      asm.alu64Imm("add", R1, 8),
      asm.jmp("jgt", R1, R3, "out"),
      asm.ldx("u64", R1, R5, 0),
      asm.ldx("u64", R1, R6, 0),
      out,
    ],
    "proved proved proved proved proved check",
  ],
  "two pointers in one register": [
    [
      packet,
      asm.mov64(R5, R2),
      asm.ldx("u32", R4, R7, 12),
      asm.jmpImm("jeq", R4, 1, "join"),
      asm.alu64Imm("add", R5, 4),
      label("join"),
      asm.mov64(R1, R2),
      asm.alu64Imm("add", R1, 8),
      asm.jmp("jgt", R1, R3, "out"),
      asm.ldx("u64", R4, R5, 0),
      asm.mov64(R1, R5),
      asm.alu64Imm("add", R1, 8),
      asm.jmp("jgt", R1, R3, "out"),
      asm.ldx("u64", R4, R5, 0),
      out,
    ],
    "proved proved proved check proved",
  ],
  "a walk that looks at the end each time": [
    [
      packet,
      asm.mov64(R6, R2),
      label("again"),
      asm.mov64(R1, R6),
      asm.alu64Imm("add", R1, 4),
      asm.jmp("jgt", R1, R3, "out"),
      asm.ldx("u32", R4, R6, 0),
      asm.ldx("u32", R4, R6, 1),
      asm.mov64(R6, R1),
      asm.ja("again"),
      out,
    ],
    "proved proved proved check",
  ],
  "a walk that looks at the end once": [
    [
      packet,
      asm.mov64(R6, R2),
      asm.mov64(R1, R6),
      asm.alu64Imm("add", R1, 64),
      asm.jmp("jgt", R1, R3, "out"),
      label("again"),
      asm.ldx("u32", R4, R6, 0),
      asm.alu64Imm("add", R6, 4),
      asm.jmpImm("jne", R4, 0, "again"),
      out,
    ],
    "proved proved check",
  ],
  "helpers that leave it alone": [
    [header, asm.mov64(R6, R2), asm.call(u.BPF_FUNC_ktime_get_ns), asm.ldx("u8", R1, R6, 0), out],
    "proved proved proved",
  ],
  "a timer that calls a function which moves it, later": [
    [
      header,
      asm.mov64(R6, R2),
      asm.mov64(R8, R7),
      found(hash),
      asm.mov64(R1, R0),
      asm.ldFunc(R2, "later"),
      asm.call(u.BPF_FUNC_timer_set_callback),
      asm.ldx("u8", R1, R6, 0),
      asm.mov64(R1, R8),
      asm.callRel("later"),
      asm.ldx("u8", R1, R6, 0),
      out,
      label("later"),
      asm.mov64Imm(R2, 4),
      asm.call(u.BPF_FUNC_xdp_adjust_head),
      asm.exit(),
    ],
    "proved proved proved proved check",
  ],
  "after adjust_head": [
    [
      header,
      asm.mov64(R6, R2),
      asm.mov64(R8, R3),
      asm.mov64(R1, R7),
      asm.mov64Imm(R2, 4),
      asm.call(u.BPF_FUNC_xdp_adjust_head),
      asm.ldx("u8", R1, R6, 0),
      asm.ldx("u32", R2, R7, 0),
      asm.mov64(R1, R2),
      asm.alu64Imm("add", R1, 14),
      asm.jmp("jgt", R1, R8, "out"),
      asm.ldx("u8", R1, R2, 0),
      out,
    ],
    "proved proved check proved check",
  ],
  "after a function that moves it": [
    [
      header,
      asm.mov64(R6, R2),
      asm.mov64(R1, R7),
      asm.callRel("f"),
      asm.ldx("u8", R1, R6, 0),
      out,
      label("f"),
      asm.mov64Imm(R2, 4),
      asm.call(u.BPF_FUNC_xdp_adjust_head),
      asm.exit(),
    ],
    "proved proved check",
  ],
  "after a function that may go on in another program": [
    [
      header,
      asm.mov64(R6, R2),
      asm.mov64(R1, R7),
      asm.callRel("f"),
      asm.ldx("u8", R1, R6, 0),
      out,
      label("f"),
      map(R2, queue),
      asm.mov64Imm(R3, 4),
      asm.call(u.BPF_FUNC_tail_call),
      asm.exit(),
    ],
    "proved proved check",
  ],
  "metadata against the data's beginning": [
    [
      packet,
      asm.ldx("u32", R4, R7, 8),
      asm.mov64(R1, R4),
      asm.alu64Imm("add", R1, 4),
      asm.jmp("jgt", R1, R2, "out"),
      asm.ldx("u32", R5, R4, 0),
      asm.ldx("u32", R5, R4, 4),
      out,
    ],
    "proved proved proved proved check",
  ],
};

test.each(Object.entries(packets))("packets: %s", (_name, [items, expected]) => {
  expect(ways(items)).toBe(expected);
});

test("packets: one that the program may not write", () => {
  const items = [
    asm.ldx("u32", R2, R1, u.__sk_buff.fields.data.offset),
    asm.ldx("u32", R3, R1, u.__sk_buff.fields.data_end.offset),
    asm.mov64(R4, R2),
    asm.alu64Imm("add", R4, 8),
    asm.jmp("jgt", R4, R3, "out"),
    asm.ldx("u8", R4, R2, 0),
    asm.st("u8", R2, 0, 1),
    out,
  ];
  expect(ways(items, u.BPF_PROG_TYPE_CGROUP_SKB)).toBe("proved proved proved check");
  expect(ways(items, u.BPF_PROG_TYPE_SCHED_CLS)).toBe("proved proved proved proved");
});
