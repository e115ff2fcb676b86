/** Data sections as no compiler orders them. */
import { expect, test } from "vitest";
import { buildElf } from "../../test/fixtures/bpf/elf_builder.ts";
import { BtfBuilder } from "../btf/index.ts";
import { exit } from "../insn/index.ts";
import * as uapi from "../uapi/index.ts";
import { parseObject } from "./object.ts";
import { STT_OBJECT } from "./types.ts";

test("variables come out in the order of their places", () => {
  const btf = new BtfBuilder();
  const int = btf.int("int", 4);
  const variable = (name: string, linkage: "global" | "static" = "global") => btf.var(name, int, linkage);
  btf.datasec(".data", 0, [
    { typeId: variable("last"), offset: 0, size: 4 },
    { typeId: variable("hidden", "static"), offset: 4, size: 4 },
    { typeId: variable("first"), offset: 0, size: 4 },
  ]);
  const object = parseObject(
    buildElf(
      [
        { name: ".data", data: new Uint8Array(12) },
        { name: ".BTF", flags: 0, data: btf.build() },
      ],
      [
        { name: "last", section: ".data", value: 8, size: 4, type: STT_OBJECT },
        { name: "first", section: ".data", value: 0, size: 4, type: STT_OBJECT },
        // Another static variable of that name, as two functions may have.
        { name: "hidden", section: ".data", value: 0, size: 4, type: STT_OBJECT },
      ],
    ),
  );
  expect(object.globals.map((global) => [global.name, global.offset])).toEqual([
    ["first", 0],
    ["hidden", 4],
    ["last", 8],
  ]);
  expect(object.maps[0]!.flags).toBe(uapi.BPF_F_MMAPABLE);
});

test("a section with static variables alone is not for user space to map", () => {
  const btf = new BtfBuilder();
  btf.datasec(".data", 0, [{ typeId: btf.var("own", btf.int("int", 4), "static"), offset: 0, size: 4 }]);
  const bytes = buildElf([
    { name: ".data", data: new Uint8Array(4) },
    { name: ".BTF", flags: 0, data: btf.build() },
  ]);
  expect(parseObject(bytes).maps[0]!.flags).toBe(0);
});

test("static variables that the compiler has moved elsewhere are not the section's", () => {
  const btf = new BtfBuilder();
  const int = btf.int("int", 4);
  const text = btf.array(btf.int("char", 1), int, 6);
  const moved = (name: string) => ({ typeId: btf.var(name, text, "static"), offset: 0, size: 6 });
  btf.datasec(".rodata", 0, [
    moved("get_option.shown"),
    { typeId: btf.var("limit", int), offset: 0, size: 4 },
    { typeId: btf.var("kept", int, "static"), offset: 4, size: 4 },
    // Nowhere at all.
    { ...moved("gone"), offset: 4 },
  ]);
  btf.datasec(".data", 0, [{ typeId: btf.var("other", int), offset: 0, size: 4 }, moved("in_text")]);
  const object = parseObject(
    buildElf(
      [
        { name: ".rodata", data: Uint8Array.of(1, 0, 0, 0, 2, 0, 0, 0) },
        { name: ".rodata.str1.1", data: new Uint8Array(16) },
        { name: ".data", data: new Uint8Array(8) },
        { name: ".BTF", flags: 0, data: btf.build() },
      ],
      [
        { name: "limit", section: ".rodata", value: 0, size: 4, type: STT_OBJECT },
        { name: "get_option.shown", section: ".rodata.str1.1", value: 0, size: 6, type: STT_OBJECT },
        { name: "in_text", section: ".rodata.str1.1", value: 6, size: 6, type: STT_OBJECT },
        { name: "other", section: ".data", value: 0, size: 4, type: STT_OBJECT },
      ],
    ),
  );
  expect(object.globals.map(({ name, map, offset }) => [map, name, offset])).toEqual([
    [".rodata", "limit", 0],
    [".rodata", "kept", 4],
    [".rodata.str1.1", "get_option.shown", 0],
    [".rodata.str1.1", "in_text", 6],
    [".data", "other", 0],
  ]);
  expect(object.btf!.find(".data", "datasec")).toBeDefined();
});

test("a variable outside its section, and BTF of the other byte order", () => {
  const btf = new BtfBuilder();
  btf.datasec(".data", 0, [{ typeId: btf.var("big", btf.int("int", 4)), offset: 0, size: 8 }]);
  const data = { name: ".data", data: new Uint8Array(4) };
  expect(() => parseObject(buildElf([data, { name: ".BTF", flags: 0, data: btf.build() }]))).toThrow(
    "section .data, big: found bytes 0+8, expected 0..4",
  );
  const other = new BtfBuilder({ littleEndian: false }).build();
  expect(() => parseObject(buildElf([data, { name: ".BTF", flags: 0, data: other }]))).toThrow(
    "found big-endian BTF, expected little-endian",
  );
});

test("source lines come out in the order of the instructions", () => {
  const btf = new BtfBuilder();
  const strings = ["tc", "a.c", "second", "first"].map((text) => btf.string(text));
  const bytes = btf.build();
  const [section, file, second, first] = strings;
  const records = [8, file, second, (2 << 10) | 1, 0, file, first, (1 << 10) | 1];
  // Header: magic and version, its length, no func_info, line_info of 44 bytes.
  const words = [0x0001_eb9f, 24, 0, 0, 0, 44, 16, section, 2, ...records];
  const ext = new Uint8Array(Uint32Array.from(words as number[]).buffer);
  const object = parseObject(
    buildElf(
      [
        { name: "tc", data: [exit(), exit()] },
        { name: ".BTF", flags: 0, data: bytes },
        { name: ".BTF.ext", flags: 0, data: ext },
      ],
      [{ name: "main", section: "tc", size: 16 }],
    ),
  );
  expect(object.programs[0]!.lines).toEqual([
    { insn: 0, file: "a.c", line: 1, column: 1, text: "first" },
    { insn: 1, file: "a.c", line: 2, column: 1, text: "second" },
  ]);
});
