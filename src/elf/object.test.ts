import { expect, test } from "vitest";
import { type FixtureName, readFixture } from "../../test/fixtures/bpf/read.ts";
import { InputError } from "../errors.ts";
import { disassembleAll, validateProgram } from "../insn/index.ts";
import * as uapi from "../uapi/index.ts";
import { dataMapName } from "./data_sections.ts";
import { globalBytes, parseObject, requireSupported } from "./object.ts";
import type { MapSpec, ObjectSpec, ProgramSpec } from "./spec.ts";

const load = (name: FixtureName): ObjectSpec => parseObject(readFixture(name), { name });
const mapOf = (object: ObjectSpec, name: string): MapSpec => object.maps.find((map) => map.name === name)!;
const programOf = (object: ObjectSpec, name: string): ProgramSpec =>
  object.programs.find((program) => program.name === name)!;
const globalOf = (object: ObjectSpec, name: string) => object.globals.find((each) => each.name === name)!;

test("counter: licence, maps, programs", () => {
  const object = load("counter");
  expect(object).toMatchObject({ name: "counter", license: "GPL" });
  expect(object.version).toBeUndefined();
  expect(object.maps.map((map) => map.name)).toEqual(["by_proto", "counter.rodata", "counter.bss", "counter.data"]);
  expect(mapOf(object, "by_proto")).toEqual({
    name: "by_proto",
    section: ".maps",
    type: uapi.BPF_MAP_TYPE_HASH,
    keySize: 4,
    valueSize: 16,
    maxEntries: 256,
    flags: 0,
    mapExtra: 0n,
    pinning: "none",
    keyTypeId: object.btf!.find("u32", "typedef"),
    valueTypeId: object.btf!.find("counts", "struct"),
  });
  expect(object.programs.map((program) => [program.name, program.section, program.type, program.flags])).toEqual([
    ["count_packets", "xdp", uapi.BPF_PROG_TYPE_XDP, 0],
    ["pass_all", "xdp.frags", uapi.BPF_PROG_TYPE_XDP, uapi.BPF_F_XDP_HAS_FRAGS],
  ]);
});

test("counter: data sections are arrays with the compiler's values", () => {
  const object = load("counter");
  expect(mapOf(object, "counter.rodata")).toEqual({
    name: "counter.rodata",
    section: ".rodata",
    type: uapi.BPF_MAP_TYPE_ARRAY,
    keySize: 4,
    valueSize: 10,
    maxEntries: 1,
    flags: uapi.BPF_F_RDONLY_PROG | uapi.BPF_F_MMAPABLE,
    mapExtra: 0n,
    pinning: "none",
    valueTypeId: object.btf!.find(".rodata", "datasec"),
    initialData: Uint8Array.of(1, 0, 0, 0, ...new TextEncoder().encode("hello\0")),
    frozen: true,
  });
  expect(mapOf(object, "counter.bss")).toMatchObject({ valueSize: 12, flags: uapi.BPF_F_MMAPABLE });
  expect(mapOf(object, "counter.bss")).not.toHaveProperty("initialData");
  expect(mapOf(object, "counter.data").initialData).toEqual(Uint8Array.of(0xe8, 3, 0, 0, 7, 0));
  expect(mapOf(object, "counter.data")).not.toHaveProperty("frozen");
});

test("counter: globals by name, offsets filled in, BTF ready to load", () => {
  const object = load("counter");
  expect(object.globals.map(({ name, section, offset, size }) => [name, section, offset, size])).toEqual([
    ["sample_every", ".rodata", 0, 4],
    ["greeting", ".rodata", 4, 6],
    ["total_packets", ".bss", 0, 8],
    ["hits", ".bss", 8, 4],
    ["limit", ".data", 0, 4],
    ["small", ".data", 4, 2],
  ]);
  expect(object.btf!.type(globalOf(object, "small").typeId!)).toMatchObject({ kind: "typedef", name: "u16" });
  const sizes = object.btf!.types.filter((type) => type.kind === "datasec").map((type) => [type.name, type.size]);
  expect(sizes).toEqual([
    [".bss", 12],
    [".data", 6],
    [".maps", 32],
    [".rodata", 10],
    ["license", 4],
  ]);
});

test("globals are written before loading, also in .bss", () => {
  const object = load("counter");
  globalBytes(object, globalOf(object, "limit")).set([1, 0, 0, 0]);
  globalBytes(object, globalOf(object, "hits")).set([9]);
  expect(mapOf(object, "counter.data").initialData).toEqual(Uint8Array.of(1, 0, 0, 0, 7, 0));
  expect(mapOf(object, "counter.bss").initialData).toEqual(Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0));
  // Another parse does not see it.
  expect(mapOf(load("counter"), "counter.data").initialData![0]).toBe(0xe8);
});

test("counter: references to maps and variables", () => {
  const program = programOf(load("counter"), "count_packets");
  expect(program.mapRefs.map(({ map, kind, offset }) => [map, kind, offset])).toEqual([
    ["counter.bss", "value", 0],
    ["counter.rodata", "value", 0],
    ["counter.bss", "value", 8],
    ["by_proto", "fd", undefined],
    ["counter.bss", "value", 0],
    ["counter.data", "value", 0],
    ["by_proto", "fd", undefined],
  ]);
  for (const { insn, kind, offset } of program.mapRefs) {
    expect(program.insns[insn]).toMatchObject({ opcode: 0x18, src: kind === "fd" ? 1 : 2, imm: 0 });
    expect(program.insns[insn + 1]).toMatchObject({ opcode: 0, imm: offset ?? 0 });
  }
  expect(validateProgram(program.insns)).toBeUndefined();
});

test("calls: callees follow once each, calls and callbacks point at them", () => {
  const object = load("calls");
  expect(object.version).toBe(0x060c00);
  const names = object.programs.map((program) => [program.name, program.functions.map((fn) => fn.name)]);
  expect(names).toEqual([
    ["use_both", ["use_both", "middle", "leaf"]],
    ["use_callbacks", ["use_callbacks", "step", "visit", "leaf"]],
    ["use_leaf", ["use_leaf", "leaf"]],
  ]);
  const both = programOf(object, "use_both");
  expect(disassembleAll(both.insns).filter((line) => /call|exit|map/.test(line))).toEqual([
    "1: call pc+5",
    "4: call pc+9",
    "6: exit",
    "8: call pc+5",
    "11: call 5",
    "13: exit",
    "19: r1 = map[fd:0]",
    "21: call 1",
    "27: exit",
  ]);
  const callbacks = programOf(object, "use_callbacks");
  expect(disassembleAll(callbacks.insns).filter((line) => /subprog|call pc/.test(line))).toEqual([
    "5: r2 = subprog[+13]",
    "12: r2 = subprog[+12]",
    "28: call pc+9",
  ]);
  for (const program of object.programs) expect(validateProgram(program.insns)).toBeUndefined();
});

test("calls: records for PROG_LOAD and source lines stand at the new places", () => {
  const object = load("calls");
  const program = programOf(object, "use_both");
  const words = (bytes: Uint8Array): number[] => [...new Uint32Array(new Uint8Array(bytes).buffer)];
  const functions = words(program.funcInfo);
  expect(functions.filter((_, i) => i % 2 === 0)).toEqual([0, 7, 14]);
  expect(functions.filter((_, i) => i % 2 === 1).map((id) => object.btf!.type(id).name)).toEqual([
    "use_both",
    "middle",
    "leaf",
  ]);
  expect(words(program.lineInfo).filter((_, i) => i % 4 === 0)).toEqual(program.lines.map((line) => line.insn));
  const [, fileOffset, textOffset, lineColumn] = words(program.lineInfo);
  const first = program.lines[0]!;
  expect([object.btf!.string(fileOffset!), object.btf!.string(textOffset!)]).toEqual([first.file, first.text]);
  expect([lineColumn! >>> 10, lineColumn! & 1023]).toEqual([first.line, first.column]);
  expect(program.lines.find((line) => line.insn === 14)).toMatchObject({ text: "hidden noinline int leaf(int v) {" });
  expect(program.lines.every((line, i) => i === 0 || program.lines[i - 1]!.insn <= line.insn)).toBe(true);
});

test("calls: a hidden function is static in the BTF, so that it is verified with its callers", () => {
  const { btf } = load("calls");
  const linkage = (name: string): string => btf!.findType(name, "func")!.linkage;
  expect(["leaf", "middle", "use_leaf"].map(linkage)).toEqual(["static", "static", "global"]);
});

test("exceptions: a callback belongs to its program, though nobody calls it", () => {
  const functions = load("exceptions").programs.map((program) => program.functions.map((fn) => fn.name));
  expect(functions).toEqual([
    ["guarded", "caught", "risky"],
    ["unguarded", "risky"],
  ]);
});

test("maps: every shape of a definition", () => {
  const object = load("maps");
  expect(object.license).toBe("Dual MIT/GPL");
  expect(mapOf(object, "routes")).toMatchObject({ type: 11, keySize: 8, valueSize: 8, flags: 1 });
  expect(object.btf!.type(mapOf(object, "routes").keyTypeId!).name).toBe("key_alias");
  expect(mapOf(object, "routes")).not.toHaveProperty("valueTypeId");
  expect(mapOf(object, "pinned")).toMatchObject({ numaNode: 1, pinning: "byName", flags: uapi.BPF_F_NUMA_NODE });
  expect(mapOf(object, "bloom")).toMatchObject({ keySize: 0, valueSize: 8, mapExtra: 7n });
  expect(mapOf(object, "arena")).toMatchObject({ mapExtra: 0x7fff0000n, maxEntries: 10 });
  expect(mapOf(object, "outer")).toMatchObject({
    valueSize: 4,
    innerSpec: { name: "outer.inner", type: uapi.BPF_MAP_TYPE_ARRAY, maxEntries: 3, keySize: 4, valueSize: 8 },
    slots: [
      { index: 0, kind: "map", name: "first" },
      { index: 2, kind: "map", name: "second" },
    ],
  });
  expect(mapOf(object, "jumps").slots).toEqual([{ index: 1, kind: "program", name: "target" }]);
  expect(mapOf(load("huge"), "huge").maxEntries).toBe(2 ** 31);
});

test("sections: data sections with names of their own, and without BTF", () => {
  const places = (object: ObjectSpec) => object.globals.map(({ name, map, offset, size }) => [name, map, offset, size]);
  const expected = [
    ["first", ".data.tuned", 0, 4],
    ["second", ".data.tuned", 8, 8],
    ["table", ".rodata.table", 0, 16],
    ["flag", "sections.data", 0, 1],
    ["wide", "sections.data", 64, 8],
    ["texts", "sections.data", 72, 16],
    ["counters", "sections.data", 88, 12],
    ["buffer", ".bss.scratch", 0, 100],
  ];
  const object = load("sections");
  expect(places(object)).toEqual(expected);
  // Strings of the compiler's own: nothing that user space may map.
  expect(mapOf(object, ".rodata.str1.1")).toMatchObject({ flags: uapi.BPF_F_RDONLY_PROG, frozen: true });
  const bare = parseObject(readFixture("sections_no_btf"), { name: "/tmp/sections.bpf.o" });
  expect(places(bare)).toEqual(expected);
  expect(bare.btf).toBeUndefined();
  expect(bare.programs.map((program) => program.mapRefs)).toEqual(object.programs.map((program) => program.mapRefs));
  expect(programOf(object, "unknown").type).toBeUndefined();
  expect(programOf(object, "on_exit").attachTo).toBe("do_exit");
});

test("what nothing can resolve is refused by name, for the programs that use it", () => {
  const object = load("unsupported");
  const refusal = (name: string): unknown => {
    try {
      requireSupported(programOf(object, name));
      return undefined;
    } catch (error) {
      return error;
    }
  };
  expect(refusal("with_nothing")).toBeUndefined();
  expect(refusal("with_core")).toBeUndefined();
  expect(refusal("with_extern")).toBeInstanceOf(InputError);
  expect(["with_extern"].map((name) => `${refusal(name)}`)).toEqual([
    "InputError: ELF: program with_extern: found extern nowhere, declared without __ksym and __kconfig (with_extern, instruction 0), which nothing can resolve",
  ]);
});

test.each([
  ["traffic", ".rodata", "traffic.rodata"],
  ["traffic", ".bss", "traffic.bss"],
  ["a_long_name", ".rodata", "a_long_n.rodata"],
  ["a_long_name", ".bss", "a_long_n.bss"],
  ["my-prog", ".data", "my_prog.data"],
  ["traffic", ".data.tuned", ".data.tuned"],
  ["", ".data", ".data"],
])("the map of %s, %s is %s", (object, section, name) => {
  expect(dataMapName(object, section)).toBe(name);
});

test("the object's name comes from a path as well", () => {
  expect(parseObject(readFixture("counter"), { name: "/a/b.c/my.bpf.o" }).name).toBe("my");
  expect(parseObject(readFixture("counter")).maps.map((map) => map.name)).toContain(".rodata");
});
