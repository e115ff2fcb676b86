/** What one packet of a batch leaves behind is not there for the next one. */
import { expect, test } from "vitest";
import { createEmbedded, u32, u64 } from "../index.ts";
import * as asm from "../insn/index.ts";
import * as u from "../uapi/index.ts";

const { R0, R1, R2, R3, R4, R7, R9, R10, label } = asm;
const FIND = 1;
const TOUCH = 2;

/** r0 = what the map in r1 has under key 0, where that is anything. */
const lookUp: readonly asm.AsmItem[] = [
  asm.st("u32", R10, -4, 0),
  asm.mov64(R2, R10),
  asm.alu64Imm("add", R2, -4),
  asm.call(u.BPF_FUNC_map_lookup_elem),
  asm.jmpImm("jeq", R0, 0, "end"),
];

test("a value of a map that an earlier packet found in another map", () => {
  using host = createEmbedded({ memory: 16 << 20 });
  const inner = { type: "array", key: u32, value: u64, maxEntries: 1 } as const;
  const outer = host.createMap({ type: "array_of_maps", inner, maxEntries: 1 });
  outer.set(0, host.createMap(inner));
  // Byte 13 says whether the address of the value is found and written down, or only touched.
  const insns = asm.assemble(
    [
      asm.ldMapValue(R9, host.createMap(inner).fd, 0),
      asm.ldx("u32", R2, R1, 0),
      asm.ldx("u32", R3, R1, 4),
      asm.mov64(R4, R2),
      asm.alu64Imm("add", R4, 14),
      asm.mov64Imm(R0, 99),
      asm.jmp("jgt", R4, R3, "end"),
      asm.ldx("u8", R7, R2, 13),
      asm.jmpImm("jeq", R7, TOUCH, "touch"),
      asm.ldMapFd(R1, outer.fd),
      ...lookUp,
      asm.mov64(R1, R0),
      ...lookUp,
      asm.stx("u64", R9, R0, 0),
      label("touch"),
      asm.ldx("u64", R1, R9, 0),
      asm.ldx("u64", R0, R1, 0),
      asm.mov64Imm(R0, 2),
      label("end"),
      asm.exit(),
    ].flat(),
  );
  const packets = [FIND, TOUCH, FIND, TOUCH].map((what) => new Uint8Array(60).fill(what, 13));
  const { retvals, failures, engine } = host.loadProgram({ type: "xdp", insns }).runMany(packets);
  expect(engine).toBe("jit");
  expect(failures.map(({ packet, error }) => [packet, error.code])).toEqual([
    [1, "EFAULT"],
    [3, "EFAULT"],
  ]);
  expect([...retvals]).toEqual([2, 0, 2, 0]);
});
