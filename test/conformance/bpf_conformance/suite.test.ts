/** The reader of bpf_conformance's files, on cases of our own; the suite itself is run by `npm run conformance`. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { disassembleAll } from "../../../src/insn/index.ts";
import { assembleText } from "./assembly.ts";
import { recordedSuite, suiteSection } from "./record.ts";
import { parseCase, runSuiteCase } from "./suite.ts";

test("every form of the language", () => {
  const text = `
# a comment
mov %r0, -1            # another
mov32 %r1, 0x80000000
lddw %r2, 0x1122334455667788
add %r0, %r1
neg32 %r0
sdiv %r0, 2
smod32 %r0, %r1
movsx1632 %r3, %r4
be16 %r5
le64 %r5
bswap32 %r5
again:
ldxdw %r0, [%r10-8]
ldxsb %r0, [%r1]
stb [%r10-1], 0x7f
stxw [%r1+4], %r2
lock fetch add32 [%r10-4], %r1
lock cmpxchg [%r10-8], %r1
jsgt %r0, %r1, again
jset32 %r0, 3, +1
ja exit
ja32 again
call 5
call local again
exit
exit
`;
  expect(disassembleAll(assembleText(text)).map((line) => line.replace(/^\d+: /, ""))).toEqual([
    "r0 = -1",
    "w1 = -2147483648",
    "r2 = 1234605616436508552 ll",
    "r0 += r1",
    "w0 = -w0",
    "r0 s/= 2",
    "w0 s%= w1",
    "w3 = (s16)w4",
    "r5 = be16 r5",
    "r5 = le64 r5",
    "r5 = bswap32 r5",
    "r0 = *(u64 *)(r10 - 8)",
    "r0 = *(s8 *)(r1 + 0)",
    "*(u8 *)(r10 - 1) = 127",
    "*(u32 *)(r1 + 4) = r2",
    "w1 = atomic_fetch_add((u32 *)(r10 - 4), w1)",
    "r0 = cmpxchg_64(r10 - 8, r0, r1)",
    "if r0 s> r1 goto -7",
    "if w0 & 3 goto +1",
    "goto +3",
    "gotol -10",
    "call 5",
    "call pc-12",
    "exit",
    "exit",
  ]);
});

test.each(["mov %r11, 1", "mov %r0", "frob %r0, 1", "ldxw %r0, %r1", "mov %r0, 0x100000000", "lock nand [%r1], %r2"])(
  "%s is refused",
  (line) => expect(() => assembleText(`${line}\nexit`)).toThrow(/found /),
);

const sum = `
-- asm
ldxh %r0, [%r1]
add %r0, %r2
exit
-- mem
01 02 03
-- result
0x204
`;

test("a case: memory, program, result", async () => {
  const one = parseCase(sum);
  expect(one).toMatchObject({ memory: "01 02 03", result: 0x204n });
  expect(await runSuiteCase(one)).toBeUndefined();
  expect(await runSuiteCase({ ...one, result: 5n })).toBe("gave 0x204, expected 0x5");
  expect(await runSuiteCase({ ...one, memory: "01" })).toMatch(/^instruction 0, .*read of 2 bytes/);
});

test("a case that must be refused", async () => {
  const wrong = parseCase("-- raw\n95 00 01 00 00 00 00 00\n-- error\n");
  expect(await runSuiteCase(wrong)).toBeUndefined();
  const right = parseCase("-- raw\n0x00000007000000b7\n0x0000000000000095\n-- error\n");
  expect(await runSuiteCase(right)).toBe("ran and gave 0x7, expected that it is refused");
  expect(() => parseCase("-- asm\nexit\n")).toThrow("neither result nor error");
});

test("what RFC 9669 gives a meaning and Linux refuses", async () => {
  const gives = (asm: string, result: bigint) => runSuiteCase({ insns: assembleText(asm), memory: "", result });
  expect(await gives("mov %r0, 7\ndiv %r0, 0\nexit", 0n)).toBeUndefined();
  expect(await gives("mov %r0, 7\nsmod %r0, 0\nexit", 7n)).toBeUndefined();
  expect(await gives("mov %r0, 1\nlsh %r0, 65\nexit", 2n)).toBeUndefined();
  expect(await gives("mov32 %r0, 1\nlsh32 %r0, 33\nexit", 2n)).toBeUndefined();
  expect(await gives("mov %r0, 1\nja +1\nmov %r0, 2\nexit", 1n)).toBeUndefined();
});

test("docs/conformance.md says what is recorded", () => {
  const page = readFileSync(join(import.meta.dirname, "../../../docs/conformance.md"), "utf8");
  expect(page).toContain(suiteSection(recordedSuite()));
  const { cases, passed } = recordedSuite();
  expect(passed).toBe(cases);
});
