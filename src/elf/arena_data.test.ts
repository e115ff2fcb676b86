/** Variables in arenas, as compilers with address spaces lay them out; test/programs/arena_globals runs some. */
import { expect, test } from "vitest";
import { buildElf, type SectionInput } from "../../test/fixtures/bpf/elf_builder.ts";
import { BtfBuilder } from "../btf/index.ts";
import { InputError } from "../errors.ts";
import * as asm from "../insn/index.ts";
import { BPF_MAP_TYPE_ARENA } from "../uapi/index.ts";
import { globalBytes, parseObject } from "./object.ts";
import type { ObjectSpec } from "./spec.ts";
import { R_BPF_64_64, STT_OBJECT } from "./types.ts";

const { R0, R1 } = asm;
const PAGE = 4096;

function section(name: string, size = 16): SectionInput {
  return { name, data: Uint8Array.from({ length: size }, (_, i) => i) };
}

/** An object with these arenas of one page, these sections of variables, and a program that names `counter` + 4. */
function object(arenas: readonly string[], sections: readonly SectionInput[]): ObjectSpec {
  const b = new BtfBuilder();
  const int = b.int("int", 4, { signed: true });
  const uint = (value: number): number => b.ptr(b.array(int, int, value));
  const struct = b.struct("", 24, [
    { name: "type", typeId: uint(BPF_MAP_TYPE_ARENA), bitOffset: 0 },
    { name: "map_flags", typeId: uint(1024), bitOffset: 64 },
    { name: "max_entries", typeId: uint(1), bitOffset: 128 },
  ]);
  const variables = arenas.map((name, i) => ({ typeId: b.var(name, struct), offset: i * 24, size: 24 }));
  b.datasec(".maps", 0, variables);
  const [first] = sections;
  b.datasec(first!.name, 0, [{ typeId: b.var("counter", int), offset: 0, size: 4 }]);
  const code = [...asm.ldImm64(R1, 4n), asm.mov64Imm(R0, 0), asm.exit()];
  return parseObject(
    buildElf(
      [
        { name: "xdp", data: code },
        ...sections,
        ...(arenas.length === 0 ? [] : [{ name: ".maps", data: new Uint8Array(arenas.length * 24) }]),
        { name: ".BTF", flags: 0, data: b.build() },
      ],
      [
        { name: "main", section: "xdp", size: code.length * 8 },
        { name: "counter", section: first!.name, value: 8, size: 4, type: STT_OBJECT },
        ...arenas.map((name, i) => ({ name, section: ".maps", value: i * 24, size: 24, type: STT_OBJECT })),
      ],
      [{ section: "xdp", offset: 0, type: R_BPF_64_64, symbol: "counter" }],
    ),
  );
}

test.for([".addr_space.1", ".arena.1"])("%s: the first bytes of the arena", (name) => {
  const spec = object(["heap"], [section(name)]);
  expect(spec.maps).toMatchObject([{ name: "heap", section: ".maps", type: BPF_MAP_TYPE_ARENA, valueSize: 0 }]);
  expect(spec.maps[0]!.initialData).toEqual(Uint8Array.from({ length: 16 }, (_, i) => i));
  expect(spec.globals).toMatchObject([{ name: "counter", map: "heap", section: name, offset: 8, size: 4 }]);
  expect(globalBytes(spec, spec.globals[0]!)).toEqual(Uint8Array.of(8, 9, 10, 11));
  expect(spec.programs[0]!.mapRefs).toEqual([{ insn: 0, map: "heap", kind: "value", offset: 12 }]);
});

test("refused: no arena or several, too little room, two sections", () => {
  const one = section(".addr_space.1");
  const cases: readonly (readonly [message: string, arenas: readonly string[], sections: readonly SectionInput[]])[] = [
    ["section .addr_space.1: found no map of type ARENA", [], [one]],
    ["found the arenas heap and pool, expected one", ["heap", "pool"], [one]],
    ["found 4097 bytes, expected at most 4096: map heap has 1 pages", ["heap"], [section(".addr_space.1", PAGE + 1)]],
    ["found variables in .arena.1 as well", ["heap"], [one, section(".arena.1")]],
  ];
  for (const [message, arenas, sections] of cases) {
    expect(() => object(arenas, sections), message).toThrow(InputError);
    expect(() => object(arenas, sections)).toThrow(message);
  }
});
