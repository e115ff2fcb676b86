/** Objects written by hand: what the linker does with code that no compiler would write. */
import { expect, test } from "vitest";
import {
  buildElf,
  type RelocationInput,
  type SectionInput,
  type SymbolInput,
} from "../../test/fixtures/bpf/elf_builder.ts";
import { InputError } from "../errors.ts";
import * as asm from "../insn/index.ts";
import { parseObject } from "./object.ts";
import { R_BPF_64_32, R_BPF_64_64, R_BPF_64_ABS64, SHT_NOBITS, STB_LOCAL, STT_OBJECT, STT_SECTION } from "./types.ts";

const { R0, R1 } = asm;
const end = [asm.mov64Imm(R0, 0), asm.exit()];
const callUnknown = asm.callRel(-1);
const address = asm.ldImm64(R1, 0n).map((insn) => insn);

const main: SymbolInput = { name: "main", section: "xdp", size: 32 };
const sub: SymbolInput = { name: "sub", section: ".text", size: 16 };
const text: SectionInput = { name: ".text", data: end };
const xdp = (...insns: asm.Insn[]): SectionInput => ({ name: "xdp", data: [...insns, ...end].slice(0, 4) });
const relocate = (type: number, symbol: string, offset = 0): RelocationInput => ({
  section: "xdp",
  offset,
  type,
  symbol,
});

test("a call inside one section needs no relocation, its callee is copied", () => {
  const code = [asm.callRel(2), ...end, asm.mov64Imm(R1, 7), ...end];
  const object = parseObject(
    buildElf(
      [{ name: "tc", data: code }],
      [
        { name: "main", section: "tc", size: 24 },
        { name: "local", section: "tc", value: 24, size: 24, bind: STB_LOCAL },
      ],
    ),
  );
  expect(object.programs.map((program) => program.name)).toEqual(["main"]);
  expect(object.programs[0]!.insns).toEqual(code);
  expect(object.programs[0]!.functions).toEqual([
    { name: "main", insn: 0, count: 3 },
    { name: "local", insn: 3, count: 3 },
  ]);
});

test("functions that call each other are copied once", () => {
  const a = [asm.callRel(2), ...end];
  const b = [asm.callRel(-4), ...end];
  const object = parseObject(
    buildElf(
      [{ name: "tc", data: [...a, ...b] }],
      [
        { name: "a", section: "tc", size: 24 },
        { name: "b", section: "tc", value: 24, size: 24 },
      ],
    ),
  );
  expect(object.programs.map((program) => program.functions.map((fn) => fn.name))).toEqual([
    ["a", "b"],
    ["b", "a"],
  ]);
  expect(object.programs[1]!.insns).toEqual([...a, ...b]);
});

test("the only function of an object is a program, even in .text", () => {
  expect(parseObject(buildElf([text], [sub])).programs).toMatchObject([{ name: "sub", section: ".text" }]);
  const two = [sub, { ...main, section: ".text", value: 16, size: 16 }];
  expect(parseObject(buildElf([{ name: ".text", data: [...end, ...end] }], two)).programs).toEqual([]);
});

test("two names of one function are two programs", () => {
  const twins: SymbolInput[] = ["one", "two"].map((name) => ({ name, section: "xdp", size: 16 }));
  expect(parseObject(buildElf([{ name: "xdp", data: end }], twins)).programs.map((each) => each.name)).toEqual([
    "one",
    "two",
  ]);
});

const bss: SectionInput = { name: ".bss", type: SHT_NOBITS, data: new Uint8Array(0), size: 16 };
const variable: SymbolInput = { name: "variable", section: ".bss", value: 8, size: 4, type: STT_OBJECT };

test("the address of a variable is the symbol's place and what the instruction adds", () => {
  const [first, second] = asm.ldImm64(R1, 4n);
  const object = parseObject(
    buildElf([xdp(first, second), bss], [main, variable], [relocate(R_BPF_64_64, "variable")]),
  );
  expect(object.programs[0]!.mapRefs).toEqual([{ insn: 0, map: ".bss", kind: "value", offset: 12 }]);
  expect(object.programs[0]!.insns.slice(0, 2)).toEqual(asm.ldMapValue(R1, 0, 12));
});

test("many programs may share a callee, until they are too many instructions", () => {
  const big = [...new Array<asm.Insn>(50_000).fill(asm.mov64Imm(R0, 0)), asm.exit()];
  const programs = Array.from({ length: 60 }, (_, i) => `p${i}`);
  const code = programs.flatMap(() => [callUnknown, asm.exit()]);
  const build = (count: number): Uint8Array =>
    buildElf(
      [
        { name: ".text", data: big },
        { name: "xdp", data: code },
      ],
      [
        { name: "big", section: ".text", size: big.length * 8 },
        ...programs.slice(0, count).map((name, i) => ({ name, section: "xdp", value: i * 16, size: 16 })),
      ],
      programs.slice(0, count).map((_, i) => relocate(R_BPF_64_32, "big", i * 16)),
    );
  expect(parseObject(build(30)).programs).toHaveLength(30);
  expect(() => parseObject(build(60))).toThrow(/instructions with its callees, expected fewer/);
});

type Case = readonly [
  message: string,
  sections: readonly SectionInput[],
  symbols: readonly SymbolInput[],
  relocations?: readonly RelocationInput[],
];
const cases: readonly Case[] = [
  ["main, instruction 0: found a call of instruction 1 of section 1", [xdp(asm.callRel(0), ...end)], [main]],
  [
    "main, instruction 0: found a call of instruction 1 of section 2",
    [xdp(asm.callRel(0)), text],
    [{ ...main, size: 24 }, sub],
    [relocate(R_BPF_64_32, "sub")],
  ],
  ["found a call relocation on opcode 0xb7", [xdp(...end, ...end), text], [main, sub], [relocate(R_BPF_64_32, "sub")]],
  [
    "found an address relocation on opcode 0xb7",
    [xdp(...end, ...end), text],
    [main, sub],
    [relocate(R_BPF_64_64, "sub")],
  ],
  [
    "found relocation type 2, expected 1 or 10",
    [xdp(...address), text],
    [main, sub],
    [relocate(R_BPF_64_ABS64, "sub")],
  ],
  [
    "found an address relocation on opcode 0x18",
    [{ name: "xdp", data: [asm.exit(), address[0]!] }],
    [{ ...main, size: 16 }, sub],
    [relocate(R_BPF_64_64, "main", 8)],
  ],
  [
    "found one at byte 4, expected one for each",
    [xdp(...address), text],
    [main, sub],
    [relocate(R_BPF_64_64, "sub", 4)],
  ],
  [
    "found one at byte 0, expected one for each",
    [xdp(...address), text],
    [main, sub],
    [relocate(R_BPF_64_64, "sub"), relocate(R_BPF_64_64, "sub")],
  ],
  [
    "found byte 24 of section .bss, expected 0..16",
    [xdp(...asm.ldImm64(R1, 16n)), bss],
    [main, variable],
    [relocate(R_BPF_64_64, "variable")],
  ],
  [
    "found the address of there, expected a map, a variable or a function",
    [xdp(...address), { name: "other", data: new Uint8Array(8) }],
    [main, { name: "there", section: "other", type: STT_OBJECT }],
    [relocate(R_BPF_64_64, "there")],
  ],
  [
    "found the address of section 2, expected a map",
    [xdp(...address), { name: "other", data: new Uint8Array(8) }],
    [main, { name: "other", section: "other", type: STT_SECTION }],
    [relocate(R_BPF_64_64, "other")],
  ],
  [
    "found a call of instruction 0.5 of section 2",
    [xdp(...asm.ldImm64(R1, 4n)), text],
    [main, sub],
    [relocate(R_BPF_64_64, "sub")],
  ],
  [
    "function main: found bytes 0+48 of section xdp, expected whole instructions in 0..32",
    [xdp(...end, ...end)],
    [{ ...main, size: 48 }],
  ],
  ["function main: found bytes 0+0", [xdp(...end, ...end)], [{ ...main, size: 0 }]],
  ["function main: found bytes 4+8", [xdp(...end, ...end)], [{ ...main, value: 4, size: 8 }]],
  ["section xdp: found 12 bytes, expected a multiple of 8", [{ name: "xdp", flags: 6, data: new Uint8Array(12) }], []],
  [
    "program main: found a second one of that name",
    [xdp(...end, ...end)],
    [
      { ...main, size: 16 },
      { ...main, value: 16, size: 16 },
    ],
  ],
  ["section .bss: found a second one of that name", [bss, bss], []],
  ["section .bss: found 4294967296 bytes", [{ ...bss, size: 2 ** 32 }], []],
  ["section .bss, variable: found bytes 8+12", [bss], [{ ...variable, size: 12 }]],
  ["section version: found 3 bytes, expected 4", [{ name: "version", data: new Uint8Array(3) }], []],
  ["section .struct_ops: found no .BTF section", [{ name: ".struct_ops", data: new Uint8Array(8) }], []],
  [".maps: found no .BTF section", [{ name: ".maps", data: new Uint8Array(8) }], []],
];

test.each(cases.map((each) => ({ message: each[0], each })))("$message", ({ each }) => {
  const [message, sections, symbols, relocations] = each;
  const bytes = buildElf(sections, symbols, relocations);
  expect(() => parseObject(bytes)).toThrow(InputError);
  expect(() => parseObject(bytes)).toThrow(message);
});
