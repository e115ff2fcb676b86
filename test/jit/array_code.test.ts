/** Updates of arrays, and lookups of any CPU's: generated code against the type's own function. */
import { describe, expect, test } from "vitest";
import * as asm from "../../src/insn/index.ts";
import { ARRAY_SPAN, ARRAY_VALUES } from "../../src/struct/array_ops.ts";
import { mapField } from "../../src/struct/map.ts";
import * as u from "../../src/uapi/index.ts";
import { randomOf } from "../random.ts";
import { COMMAND, Side } from "./map_code.ts";

const { R0, R1, R2, R3, R4, R9, R10 } = asm;
const ENTRIES = 3;
/** Plain, of an element that is there, new elements only (all are there), with a lock (there is none), and none that there are. */
const FLAGS: readonly bigint[] = [0n, 0n, 2n, 2n, 1n, 4n, 3n, 1n << 32n];

const CPUS = 2;
const indexAt = [asm.mov64(R2, R10), asm.alu64Imm("add", R2, -4)];

/** The index is what is to be done. */
const updates = (map: number): asm.AsmItem[] =>
  [
    asm.stx("u32", R10, R1, -4),
    asm.ldMapFd(R1, map),
    indexAt,
    asm.mov64(R3, R9),
    asm.alu64Imm("add", R3, COMMAND.data),
    asm.ldx("u64", R4, R9, COMMAND.flags),
    asm.call(u.BPF_FUNC_map_update_elem),
  ].flat();

/** Then the address of the same element on another CPU. */
const updatesAndLookups = (map: number): asm.AsmItem[] => [
  ...updates(map),
  asm.stx("u64", R9, R0, COMMAND.size),
  asm.ldMapFd(R1, map),
  ...indexAt,
  asm.ldx("u64", R3, R9, COMMAND.more),
  asm.call(u.BPF_FUNC_map_lookup_percpu_elem),
];

const kinds = [
  ["array", u.BPF_MAP_TYPE_ARRAY, updates, [u.BPF_FUNC_map_update_elem]],
  [
    "percpu_array",
    u.BPF_MAP_TYPE_PERCPU_ARRAY,
    updatesAndLookups,
    [u.BPF_FUNC_map_update_elem, u.BPF_FUNC_map_lookup_percpu_elem],
  ],
] as const;

describe.each(kinds)("%s", (_name, map_type, items, helpers) => {
  test.each([false, true])("shared: %s", (shared) => {
    for (const value_size of [1, 4, 7, 8, 12, 16, 23, 41, 160]) {
      const rnd = randomOf(value_size);
      const attr = { map_type, key_size: 4, value_size, max_entries: ENTRIES };
      const sides = (["jit", "interp"] as const).map((engine) => new Side(engine, shared, attr, items));
      const [jit, interp] = sides as [Side, Side];
      for (const helper of helpers) expect(jit.plans.get(helper)).toBe("gen");
      for (let i = 0; i < 40; i++) {
        const data = Uint8Array.from({ length: value_size }, () => rnd(256));
        const command = {
          op: rnd(ENTRIES + 2),
          flags: FLAGS[rnd(FLAGS.length)]!,
          more: BigInt(rnd(CPUS + 2) - 1),
          data,
        };
        expect(jit.run(command)).toBe(interp.run(command));
      }
      const bytes = mapField(jit.kernel.mem, jit.map, ARRAY_SPAN) + ENTRIES * Math.ceil(value_size / 8) * 8;
      expect(jit.state(ARRAY_VALUES, bytes)).toBe(interp.state(ARRAY_VALUES, bytes));
      for (const side of sides) side.close();
    }
  });
});
