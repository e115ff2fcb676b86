/** How long a proof takes. */
import { expect, test } from "vitest";
import { found, hash, k, load, out, ways } from "../../../test/jit/proofs.ts";
import * as asm from "../../insn/index.ts";
import { readProgram } from "../program.ts";
import { prove } from "./prove.ts";

const { R0, R6, R7, R8, R9, R10, label } = asm;

test("ten thousand instructions are proved quickly", () => {
  const blocks: asm.AsmItem[] = [];
  for (let i = 0; blocks.length < 2000; i++) {
    blocks.push([
      asm.ldx("u8", R6, R7, i % 64),
      asm.jmpImm("jgt", R6, i % 50, `skip${i}`),
      asm.alu64Imm("and", R6, 31),
      asm.mov64(R8, R7),
      asm.alu64("add", R8, R6),
      asm.stx("u8", R8, R6, 1),
      asm.stx("u64", R10, R6, -8 * (1 + (i % 60))),
      label(`skip${i}`),
      asm.ldx("u64", R9, R10, -8 * (1 + (i % 60))),
    ]);
  }
  const items = [found(hash), asm.mov64(R7, R0), ...blocks, out];
  expect(ways(items)).not.toMatch("check");
  const prog = load(items);
  const program = readProgram(k.mem, prog);
  if (typeof program === "string") throw new Error(program);
  const times = Array.from({ length: 2 }, () => {
    const before = process.cpuUsage();
    prove(k, prog, program);
    const { user, system } = process.cpuUsage(before);
    return (user + system) / 1000;
  });
  // 45 on a quiet machine; eight tests at once on two cores take more than twice as long.
  expect(Math.min(...times)).toBeLessThan(300);
});
