import { expect, test } from "vitest";
import { buildElf } from "../../test/fixtures/bpf/elf_builder.ts";
import { readFixture } from "../../test/fixtures/bpf/read.ts";
import { InputError } from "../errors.ts";
import { exit } from "../insn/index.ts";
import { parseElf } from "./parse.ts";
import { R_BPF_64_64, SHT_NOBITS, SHT_PROGBITS, STB_LOCAL, STT_FUNC } from "./types.ts";

const counter = readFixture("counter");

function edited(edit: (view: DataView) => void): Uint8Array {
  const bytes = counter.slice();
  edit(new DataView(bytes.buffer));
  return bytes;
}

/** Where the header of a section stands. */
function headerOf(name: string): number {
  const { index } = parseElf(counter).sections.find((section) => section.name === name)!;
  return Number(new DataView(counter.buffer).getBigUint64(40, true)) + index * 64;
}

test("sections with their bytes, symbols, relocations by section", () => {
  const { sections, symbols, relocations } = parseElf(counter);
  const named = (name: string) => sections.find((section) => section.name === name)!;
  expect(sections[0]).toMatchObject({ index: 0, name: "", type: 0, size: 0 });
  expect(named("xdp")).toMatchObject({ type: SHT_PROGBITS, flags: 6, size: 53 * 8, entsize: 0 });
  expect(named("xdp").data).toHaveLength(53 * 8);
  expect(named(".bss")).toMatchObject({ type: SHT_NOBITS, size: 12, data: new Uint8Array(0) });
  expect([...named("license").data]).toEqual([...new TextEncoder().encode("GPL\0")]);
  expect(symbols.find((symbol) => symbol.name === "find")).toMatchObject({
    type: STT_FUNC,
    bind: STB_LOCAL,
    value: 0,
    size: 56,
    section: named(".text").index,
    visibility: 0,
  });
  expect(relocations.get(named(".text").index)).toMatchObject([
    { offset: 24, type: R_BPF_64_64, symbol: { name: "by_proto" } },
  ]);
});

test("it keeps a copy: later writes to the input change nothing", () => {
  const bytes = counter.slice();
  const { sections } = parseElf(bytes);
  bytes.fill(0xff);
  expect(sections.find((section) => section.name === "license")!.data[0]).toBe(0x47);
});

const faults: readonly (readonly [message: string, bytes: Uint8Array])[] = [
  ["header: found 63 bytes, expected at least 64", counter.subarray(0, 63)],
  ["header, byte 0: found magic 0x7f454c47", edited((view) => view.setUint8(3, 0x47))],
  ["header, byte 4: found class 1, expected 2 (64-bit)", edited((view) => view.setUint8(4, 1))],
  ["header, byte 5: found byte order 2", edited((view) => view.setUint8(5, 2))],
  ["header, byte 16: found file type 2", edited((view) => view.setUint16(16, 2, true))],
  ["header, byte 18: found machine 62, expected 247 (BPF)", edited((view) => view.setUint16(18, 62, true))],
  ["header, byte 40: found 34 section headers at", edited((view) => view.setUint32(40, counter.length - 64, true))],
  ["header, byte 40 (section headers): found", edited((view) => view.setUint32(44, 0xffff_ffff, true))],
  ["header, byte 58: found section headers of 40 bytes", edited((view) => view.setUint16(58, 40, true))],
  ["header, byte 60: found no sections", edited((view) => view.setUint16(60, 0, true))],
  ["(section names): found section 99, expected 0..33", edited((view) => view.setUint16(62, 99, true))],
  ["(section names): found section 2 of type 1", edited((view) => view.setUint16(62, 2, true))],
  ["+1000000, expected an end at or before", edited((view) => view.setUint32(headerOf("xdp") + 32, 1_000_000, true))],
  ["at most the file's", edited((view) => view.setUint32(headerOf("xdp") + 32, counter.length - 0x80, true))],
  ["name: found offset 99999, expected less than", edited((view) => view.setUint32(headerOf("xdp"), 99_999, true))],
  ["size: found 18446744069414584", edited((view) => view.setUint32(headerOf(".bss") + 36, 0xffff_ffff, true))],
  ["found 2 symbol tables", edited((view) => view.setUint32(headerOf("xdp") + 4, 2, true))],
  ["found relocations with addends (RELA)", edited((view) => view.setUint32(headerOf("xdp") + 4, 4, true))],
  ["multiple of 24", edited((view) => view.setUint32(headerOf(".symtab") + 32, 25, true))],
  ["(.rel.text), info: found 0", edited((view) => view.setUint32(headerOf(".rel.text") + 44, 0, true))],
  ["(.rel.text), info: found 34", edited((view) => view.setUint32(headerOf(".rel.text") + 44, 34, true))],
  ["(.rel.text), link: found 1", edited((view) => view.setUint32(headerOf(".rel.text") + 40, 1, true))],
  ["a second set of relocations", edited((view) => view.setUint32(headerOf(".rel.text") + 44, 4, true))],
];

const code = { name: "tc", data: [exit()] };
const byHand: readonly (readonly [message: string, bytes: Uint8Array])[] = [
  ["section 1, name: found 5000 characters, expected at most 4096", buildElf([{ ...code, name: "x".repeat(5000) }])],
  ["symbol 1, name: found 5000 characters", buildElf([code], [{ name: "y".repeat(5000), section: "tc", size: 8 }])],
  [
    "section 4 (.reltc), relocation 0: found offset 8, expected less than 8",
    buildElf([code], [{ name: "f", section: "tc", size: 8 }], [{ section: "tc", offset: 8, type: 1, symbol: "f" }]),
  ],
];

test("a symbol's section is one of the file's, or a reserved number", () => {
  const bytes = buildElf([code], [{ name: "f", section: "tc", size: 8 }]);
  const view = new DataView(bytes.buffer);
  // The section of symbol 1: after the file header and the one instruction, in the second symbol.
  const at = 64 + 8 + 24 + 6;
  view.setUint16(at, 0xfff1, true);
  expect(parseElf(bytes).symbols[1]!.section).toBe(0xfff1);
  view.setUint16(at, 4, true);
  expect(() => parseElf(bytes)).toThrow("symbol 1, section: found 4, expected 0..3");
});

test.each([...faults, ...byHand])("a broken file: %s", (message, bytes) => {
  expect(() => parseElf(bytes)).toThrow(InputError);
  expect(() => parseElf(bytes)).toThrow(message);
});
