/** Queues, stacks and bloom filters: generated code against the types' own functions. */
import { expect, test } from "vitest";
import * as asm from "../../src/insn/index.ts";
import { BF_BITS, bitsOf } from "../../src/struct/bloom.ts";
import { MAP_LOCK } from "../../src/struct/map.ts";
import { QS_VALUES } from "../../src/struct/queue_stack.ts";
import * as u from "../../src/uapi/index.ts";
import { randomOf } from "../random.ts";
import { type Command, callWithData, DEAD, Side } from "./map_code.ts";

const { R1 } = asm;
const PUSH = 0;
const POP = 1;
const PEEK = 2;
const helpers = [u.BPF_FUNC_map_push_elem, u.BPF_FUNC_map_pop_elem, u.BPF_FUNC_map_peek_elem];
/** The last two are refused. */
const FLAGS: readonly bigint[] = [0n, 0n, 0n, BigInt(u.BPF_EXIST), BigInt(u.BPF_EXIST), 1n, 1n << 32n];

/** A program that calls the helper whose number the command is. */
const calls =
  (count: readonly number[]) =>
  (map: number): asm.AsmItem[] =>
    count.flatMap((op) => [
      asm.jmpImm("jne", R1, op, `not ${op}`),
      ...callWithData(map, helpers[op]!),
      asm.ja("end"),
      asm.label(`not ${op}`),
    ]);

function compare(shared: boolean, attr: Record<string, number>, ops: readonly number[], field: number, bytes: number) {
  const rnd = randomOf(attr.value_size! * 16 + attr.map_type!);
  const [jit, interp] = (["jit", "interp"] as const).map((engine) => new Side(engine, shared, attr, calls(ops)));
  for (const op of ops) expect(jit!.plans.get(helpers[op]!)).toBe("gen");
  for (let i = 0; i < 60; i++) {
    // Fewer values than there are operations: filters are asked for what they have.
    const data = new Uint8Array(attr.value_size!).fill(rnd(12));
    data[0] = i % 8;
    const command: Command = { op: ops[rnd(ops.length)]!, flags: FLAGS[rnd(FLAGS.length)]!, data };
    expect(jit!.run(command), `${i}: ${JSON.stringify(attr)}`).toBe(interp!.run(command));
  }
  expect(jit!.state(field, bytes)).toBe(interp!.state(field, bytes));
  for (const side of [jit!, interp!]) side.close();
}

const sizes = [...Array.from({ length: 40 }, (_, i) => i + 1), 136, 192];

test.each([false, true])("queues and stacks, shared: %s", (shared) => {
  for (const [i, value_size] of sizes.entries()) {
    // The code that a shared host has besides has nothing to do with sizes.
    if (shared && i % 4 !== 0) continue;
    const map_type = (i >> 2) % 2 === 0 ? u.BPF_MAP_TYPE_QUEUE : u.BPF_MAP_TYPE_STACK;
    const max_entries = 1 + (i % 5);
    compare(
      shared,
      { map_type, key_size: 0, value_size, max_entries },
      [PUSH, POP, PEEK],
      QS_VALUES,
      (max_entries + 1) * value_size,
    );
  }
});

test.each([false, true])("bloom filters, shared: %s", (shared) => {
  for (const [i, value_size] of sizes.slice(0, 40).entries()) {
    if (shared && i % 4 !== 0) continue;
    const max_entries = 1 + ((7 * i) % 50);
    const map_extra = i % 16;
    const bytes = bitsOf(max_entries, map_extra) / 8;
    const attr = { map_type: u.BPF_MAP_TYPE_BLOOM_FILTER, key_size: 0, value_size, max_entries, map_extra };
    compare(shared, attr, [PUSH, PEEK], BF_BITS, bytes);
  }
});

/** What the lock's word says when somebody else has it, and when who had it is gone. */
test("a lock that is taken is left to the helper", () => {
  const attr = { map_type: u.BPF_MAP_TYPE_QUEUE, key_size: 0, value_size: 8, max_entries: 4 };
  const side = new Side("jit", true, attr, calls([PUSH, POP, PEEK]));
  const { mem } = side.kernel;
  const word = (side.map + MAP_LOCK) >>> 2;
  for (const op of [PUSH, PEEK, POP]) {
    mem.u32[word] = DEAD;
    expect(side.run({ op, data: new Uint8Array(8).fill(7) })).toMatch(/^0 0 /);
    expect(mem.u32[word]).toBe(0);
  }
  side.close();
});
