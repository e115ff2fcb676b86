/** Maps in forms other than ".maps": struct bpf_map_def of before BTF, and struct_ops. */
import { expect, test } from "vitest";
import { buildElf, type SectionInput, type SymbolInput } from "../../test/fixtures/bpf/elf_builder.ts";
import { readFixture } from "../../test/fixtures/bpf/read.ts";
import * as uapi from "../uapi/index.ts";
import { parseObject } from "./object.ts";
import { STT_OBJECT } from "./types.ts";

test("legacy: definitions of any size, types by annotation, members that nobody knows", () => {
  const object = parseObject(readFixture("legacy"), { name: "legacy" });
  const { btf } = object;
  expect(object.maps).toMatchObject([
    { name: "old", section: "maps", type: 2, keySize: 4, valueSize: 8, maxEntries: 1, flags: 0 },
    { name: "annotated", type: 1, maxEntries: 16, keyTypeId: btf!.find("u32"), valueTypeId: btf!.find("u64") },
    { name: "strange", section: "maps/strange", unknownBytes: Uint8Array.of(7, 0, 0, 0) },
  ]);
  expect(object.maps[0]).not.toHaveProperty("unknownBytes");
  expect(object.programs[0]!.mapRefs.map((ref) => ref.map)).toEqual(["annotated", "old"]);
});

const map = (name: string, value: number): SymbolInput => ({
  name,
  section: "maps",
  value,
  size: 20,
  type: STT_OBJECT,
});
const definitions = (bytes: number): SectionInput => ({ name: "maps", data: new Uint8Array(bytes) });

test.each<[string, SectionInput, SymbolInput[], RegExp]>([
  ["no symbols", definitions(20), [], /section maps: found no symbols/],
  ["too small", definitions(16), [map("a", 0)], /16 bytes for 1 maps, expected as many for each, at least 20/],
  ["of different sizes", definitions(45), [map("a", 0), map("b", 20)], /45 bytes for 2 maps/],
  ["not where they should be", definitions(40), [map("a", 0), map("b", 16)], /found b at byte 16, expected 20/],
  ["two at one place", definitions(40), [map("a", 0), map("b", 0)], /found b at byte 0, expected 20/],
])("legacy: %s", (_, section, symbols, message) => {
  expect(() => parseObject(buildElf([section], symbols))).toThrow(message);
});

test("struct_ops: the source's struct, and its members that are programs", () => {
  const object = parseObject(readFixture("struct_ops"), { name: "struct_ops" });
  const typeId = object.btf!.find("tcp_congestion_ops", "struct");
  const [linked, later] = object.maps;
  expect(linked).toMatchObject({
    name: "linked",
    type: uapi.BPF_MAP_TYPE_STRUCT_OPS,
    flags: uapi.BPF_F_LINK,
    valueSize: 48,
    structOps: {
      typeId,
      programs: [
        { member: "ssthresh", program: "fixed_ssthresh" },
        { member: "undo_cwnd", program: "fixed_undo" },
        { member: "cong_avoid", program: "fixed_avoid" },
      ],
    },
  });
  expect(new TextDecoder().decode(linked!.initialData!.subarray(32, 41))).toBe("bpf_fixed");
  expect(linked).not.toHaveProperty("autocreate");
  expect(later).toMatchObject({ flags: 0, autocreate: false, section: "?.struct_ops" });
  expect(later!.initialData![0]).toBe(2);
  expect(object.programs.map(({ name, type }) => [name, type])).toEqual([
    ["fixed_ssthresh", uapi.BPF_PROG_TYPE_STRUCT_OPS],
    ["fixed_undo", uapi.BPF_PROG_TYPE_STRUCT_OPS],
    ["fixed_avoid", uapi.BPF_PROG_TYPE_STRUCT_OPS],
  ]);
});
