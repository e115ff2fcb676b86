/** Updates of arrays: generated code against the type's own function. */
import { expect, test } from "vitest";
import * as asm from "../../src/insn/index.ts";
import { ARRAY_VALUES } from "../../src/struct/array_ops.ts";
import * as u from "../../src/uapi/index.ts";
import { randomOf } from "../random.ts";
import { COMMAND, Side } from "./map_code.ts";

const { R1, R2, R3, R4, R9, R10 } = asm;
const ENTRIES = 3;
/** Plain, of an element that is there, new elements only (all are there), with a lock (there is none), and none that there are. */
const FLAGS: readonly bigint[] = [0n, 0n, 2n, 2n, 1n, 4n, 3n, 1n << 32n];

/** The index is what is to be done. */
const updates = (map: number): asm.AsmItem[] => [
  asm.stx("u32", R10, R1, -4),
  asm.ldMapFd(R1, map),
  asm.mov64(R2, R10),
  asm.alu64Imm("add", R2, -4),
  asm.mov64(R3, R9),
  asm.alu64Imm("add", R3, COMMAND.data),
  asm.ldx("u64", R4, R9, COMMAND.flags),
  asm.call(u.BPF_FUNC_map_update_elem),
];

test.each([false, true])("updates, shared: %s", (shared) => {
  for (let value_size = 1; value_size <= 41; value_size += 1 + (value_size % 3)) {
    const rnd = randomOf(value_size);
    const attr = { map_type: u.BPF_MAP_TYPE_ARRAY, key_size: 4, value_size, max_entries: ENTRIES };
    const [jit, interp] = (["jit", "interp"] as const).map((engine) => new Side(engine, shared, attr, updates));
    expect(jit!.plans.get(u.BPF_FUNC_map_update_elem)).toBe("gen");
    for (let i = 0; i < 40; i++) {
      const data = Uint8Array.from({ length: value_size }, () => rnd(256));
      const command = { op: rnd(ENTRIES + 2), flags: FLAGS[rnd(FLAGS.length)]!, data };
      expect(jit!.run(command)).toBe(interp!.run(command));
    }
    const bytes = ENTRIES * Math.ceil(value_size / 8) * 8;
    expect(jit!.state(ARRAY_VALUES, bytes)).toBe(interp!.state(ARRAY_VALUES, bytes));
    for (const side of [jit!, interp!]) side.close();
  }
});
