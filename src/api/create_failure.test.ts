import { expect, test } from "vitest";
import { laterTypes, mapEntry } from "../maps/registry.ts";
import { BPF_F_NUMA_NODE, BPF_MAP_TYPE_HASH, BPF_MAP_TYPE_INSN_ARRAY, bpfMapTypeNames, EINVAL } from "../uapi/index.ts";
import { createFailure } from "./create_failure.ts";
import type { CreateAttr } from "./create_map.ts";
import { mapTypeName } from "./map_types.ts";

const hash: CreateAttr = {
  map_type: BPF_MAP_TYPE_HASH,
  key_size: 4,
  value_size: 4,
  max_entries: 1,
  map_flags: 0,
  map_name: "m",
  numa_node: 0,
  map_extra: 0n,
};

test("a type that the embedded host lacks is named; the kernel is not blamed for that", () => {
  const map_type = Object.keys(bpfMapTypeNames)
    .map(Number)
    .find((type) => type > 0 && mapEntry(type) === undefined && !(type in laterTypes));
  if (map_type === undefined) return;
  const type = mapTypeName(map_type);
  const lacking = { ...hash, map_type };
  expect(createFailure("embedded", type, lacking, -EINVAL).hint).toBe(
    `the embedded host has no maps of type ${type} yet`,
  );
  expect(createFailure("kernel", type, lacking, -EINVAL).hint).toBeUndefined();
  expect(createFailure("embedded", "hash", hash, -EINVAL).hint).toBeUndefined();
  // The kernel has none of these either.
  const none = createFailure("embedded", "type 99", { ...hash, map_type: 99 }, -EINVAL);
  expect([none.hint, none.message]).toEqual([undefined, expect.stringContaining("has no map type of this number")]);
});

test("a type of a later kernel is told from one that is missing", () => {
  const later = { ...hash, map_type: BPF_MAP_TYPE_INSN_ARRAY };
  expect(createFailure("embedded", "insn_array", later, -EINVAL).hint).toContain("insn_array came with 6.19");
  expect(createFailure("kernel", "insn_array", later, -EINVAL).hint).toBeUndefined();
});

test("a NUMA node is blamed only when one was given", () => {
  const on = (numa_node: number): string =>
    createFailure("kernel", "hash", { ...hash, map_flags: BPF_F_NUMA_NODE, numa_node }, -EINVAL).message;
  expect(on(9)).toContain("NUMA node 9 is not there");
  expect(on(0xffff_ffff)).not.toContain("NUMA");
  expect(on(0)).not.toContain("NUMA");
});
