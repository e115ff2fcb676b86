/** Functions that helpers call, in compiled code. */
import { afterAll, expect, test } from "vitest";
import { addUp, type Items, inFrame, loop, openPairs, returns, runs } from "../../test/jit/pairs.ts";
import type { EmbeddedHost } from "../host/embedded.ts";
import * as asm from "../insn/index.ts";
import * as u from "../uapi/index.ts";

const { R0, R1, R2, R3, R4, R5, R6, R7, R8, R10, label } = asm;

const { alike, close } = openPairs();
afterAll(close);

/** r0 of the loop in the upper half, whether it is below 0, and the sum. */
const loopResult: Items = [
  asm.ldx("u64", R1, R10, -8),
  asm.mov64(R2, R0),
  asm.alu64Imm("rsh", R2, 32),
  asm.alu64Imm("and", R2, 1),
  asm.alu64Imm("lsh", R0, 16),
  asm.alu64("add", R0, R1),
  asm.alu64Imm("lsh", R0, 1),
  asm.alu64("or", R0, R2),
  asm.exit(),
];

const loops: readonly (readonly [turns: number | bigint, last: number, flags: number])[] = [
  [0, 99, 0],
  [1, 99, 0],
  [7, 99, 0],
  [7, 2, 0],
  [7, 0, 0],
  [7, 6, 0],
  [7, 99, 1],
  [2 ** 23, 20, 0],
  [2 ** 23 + 1, 20, 0],
  [2 ** 23 + 1, 20, 1],
  [1n << 32n, 20, 0],
  [0xffff_ffff_ffff_ffffn, 20, 0],
  // Longer than the budget.
  [2 ** 23, -1, 0],
];

test.each(loops)("bpf_loop: %s turns, the last is %s, flags %s", (turns, last, flags) => {
  const items = [asm.st("u64", R10, -8, 0), loop(turns, "f", flags), loopResult, addUp("f", last)].flat();
  const [first] = alike((host) => runs(host, items));
  expect(first![0]).toBe(last < 0 ? -u.ETIMEDOUT : 0);
});

/** Functions that call each other by bpf_loop, `levels` of them; the last has this in it. */
const nested = (levels: number, inner: Items): Items =>
  [
    asm.st("u64", R10, -8, 0),
    loop(2, "f1"),
    returns(7),
    ...Array.from({ length: levels }, (_, i) => [
      label(`f${i + 1}`),
      asm.st("u64", R10, -8, 0),
      ...(i + 1 < levels ? [loop(2, `f${i + 2}`), returns(0)] : [inner, returns(0)]),
    ]),
  ].flat(2) as Items;

const inner: Readonly<Record<string, readonly [items: Items, ret: number]>> = {
  nothing: [[], 0],
  "a fault": [[asm.mov64Imm(R5, 16), asm.ldx("u64", R5, R5, 0)], -u.EFAULT],
  "a loop without an end": [[label("again"), asm.mov64Imm(R5, 1), asm.jmpImm("jne", R5, 0, "again")], -u.ETIMEDOUT],
  "a write to the caller's word": [[asm.st("u64", R2, 0, 5)], 0],
  "a write above all frames": [[asm.st("u64", R2, 8 * 512, 5)], -u.EFAULT],
  "a refused argument": [[asm.mov64Imm(R1, 1), asm.mov64Imm(R2, 1), asm.call(u.BPF_FUNC_map_lookup_elem)], -u.EFAULT],
};

test.each(Object.entries(inner))("functions in functions, in the innermost: %s", (_, [items, ret]) => {
  for (const levels of [1, 2, 3, 7]) {
    const [first] = alike((host) => runs(host, nested(levels, items), 2));
    expect(first![0]).toBe(ret);
  }
});

test("a function that is called by itself runs out of frames", () => {
  const items = [
    asm.st("u64", R10, -8, 0),
    loop(3, "f"),
    returns(7),
    label("f"),
    asm.st("u64", R10, -8, 0),
    loop(3, "f"),
    returns(0),
  ];
  const [first] = alike((host) => runs(host, items.flat()));
  expect(first![0]).toBe(-u.EFAULT);
  expect(first![2]).toContain("8");
});

test("a record that is reserved goes back when a function in a function faults", () => {
  const attr = { map_type: u.BPF_MAP_TYPE_RINGBUF, key_size: 0, value_size: 0, max_entries: 4096 };
  const reserve = (ring: number): Items =>
    [
      asm.ldMapFd(R1, ring),
      asm.mov64Imm(R2, 1200),
      asm.mov64Imm(R3, 0),
      asm.call(u.BPF_FUNC_ringbuf_reserve),
      // A second one has no room in the same run: 1 is where it is looked for.
      asm.jmpImm("jne", R0, 0, 2),
      asm.mov64Imm(R5, 1),
      asm.ldx("u8", R5, R5, 0),
    ].flat();
  alike((host) => {
    const ring = host.bpf(u.BPF_MAP_CREATE, attr);
    const results = runs(host, nested(2, reserve(ring)), 3);
    host.close(ring);
    return results;
  });
});

const maps: Readonly<Record<string, number>> = { array: u.BPF_MAP_TYPE_ARRAY, hash: u.BPF_MAP_TYPE_HASH };
const ELEMENTS = 6;

function filled(host: EmbeddedHost, map_type: number): number {
  const shape = { map_type, key_size: 4, value_size: 8, max_entries: ELEMENTS };
  // The same order everywhere.
  const map_flags = map_type === u.BPF_MAP_TYPE_HASH ? u.BPF_F_ZERO_SEED : 0;
  const map_fd = host.bpf(u.BPF_MAP_CREATE, { ...shape, map_flags });
  for (let i = 0; i < ELEMENTS; i++) {
    const [key, value] = [Uint8Array.of(i, 0, 0, 0), Uint8Array.of(i + 1, 0, 0, 0, 0, 0, 0, 0)];
    expect(host.bpf(u.BPF_MAP_UPDATE_ELEM, { map_fd, key, value, flags: 0 })).toBe(0);
  }
  return map_fd;
}

/** What the function does with (map, key, value, word). */
const visits: Readonly<Record<string, Items>> = {
  "adds up": [asm.mov64Imm(R0, 0), asm.exit()],
  "ends at the third": [
    asm.mov64Imm(R0, 1),
    asm.ldx("u64", R5, R4, 0),
    asm.jmpImm("jge", R5, 1003, 1),
    asm.mov64Imm(R0, 0),
    asm.exit(),
  ],
  "takes each away": [asm.mov64(R2, R6), asm.call(u.BPF_FUNC_map_delete_elem), asm.mov64Imm(R0, 0), asm.exit()],
  "writes the value": [asm.st("u64", R3, 0, 9), asm.mov64Imm(R0, 0), asm.exit()],
  "writes the key": [asm.st("u32", R6, 0, 9), asm.mov64Imm(R0, 0), asm.exit()],
  "reads behind the value": [asm.ldx("u64", R0, R3, 8 * ELEMENTS * 4096), asm.exit()],
};

for (const [kind, type] of Object.entries(maps)) {
  test.each(Object.entries(visits))(`bpf_for_each_map_elem, ${kind}: a function that %s`, (_, rest) => {
    const items = (map: number, flags: number): Items =>
      [
        asm.st("u64", R10, -8, 0),
        asm.ldMapFd(R1, map),
        asm.ldFunc(R2, "f"),
        inFrame(R3, -8),
        asm.mov64Imm(R4, flags),
        asm.call(u.BPF_FUNC_for_each_map_elem),
        loopResult,
        label("f"),
        asm.mov64(R6, R2),
        asm.ldx("u32", R7, R2, 0),
        asm.ldx("u64", R8, R3, 0),
        asm.ldx("u64", R5, R4, 0),
        asm.alu64("add", R5, R7),
        asm.alu64("add", R5, R8),
        asm.alu64Imm("add", R5, 500),
        asm.stx("u64", R4, R5, 0),
        rest,
      ].flat();
    alike((host) => {
      const map = filled(host, type);
      const results = [0, 1].flatMap((flags) => runs(host, items(map, flags), 2));
      host.close(map);
      return results;
    });
  });
}
