/** bpf_spin_lock and bpf_spin_unlock in compiled programs: where the field is known, and where it is not. */
import { afterAll, expect, test } from "vitest";
import { btfBytes, typeIds } from "../../test/conformance/btf_types.ts";
import { type Ended, type Items, inFrame, openPairs, runs } from "../../test/jit/pairs.ts";
import type { EmbeddedHost } from "../host/embedded.ts";
import * as asm from "../insn/index.ts";
import type { Memory } from "../mem/memory.ts";
import { elementLock } from "../struct/fields.ts";
import * as u from "../uapi/index.ts";

const { R0, R1, R2, R6, R7, R8, R10 } = asm;
const { alike, close } = openPairs();
afterAll(close);

const ELEMENTS = 200;

/** Values with a lock in their first four bytes; `kind`: `locked`, `resLocked`. */
function lockedMap(host: EmbeddedHost, kind: string): number {
  const btf_fd = host.bpf(u.BPF_BTF_LOAD, { btf: btfBytes, btf_size: btfBytes.length });
  const map = host.bpf(u.BPF_MAP_CREATE, {
    map_type: u.BPF_MAP_TYPE_ARRAY,
    key_size: 4,
    value_size: kind === "locked" ? 16 : 32,
    max_entries: ELEMENTS,
    btf_fd,
    btf_key_type_id: typeIds.u32,
    btf_value_type_id: typeIds[kind],
  });
  expect(map).toBeGreaterThan(0);
  host.close(btf_fd);
  return map;
}

/** The value of an index. */
const find = (map: number, index: number, to: asm.Reg): Items =>
  [
    asm.st("u32", R10, -4, index),
    inFrame(R2, -4),
    asm.ldMapFd(R1, map),
    asm.call(u.BPF_FUNC_map_lookup_elem),
    asm.jmpImm("jne", R0, 0, 2),
    asm.mov64Imm(R0, 55),
    asm.exit(),
    asm.mov64(to, R0),
  ].flat();
const take = (value: asm.Reg, offset = 0): Items =>
  [asm.mov64(R1, value), asm.alu64Imm("add", R1, offset), asm.call(u.BPF_FUNC_spin_lock)].flat();
const drop = (value: asm.Reg, offset = 0): Items =>
  [asm.mov64(R1, value), asm.alu64Imm("add", R1, offset), asm.call(u.BPF_FUNC_spin_unlock)].flat();
const done: Items = [asm.mov64Imm(R0, 7), asm.exit()];
const fault: Items = [asm.mov64Imm(R1, 16), asm.ldx("u64", R1, R1, 0)];
const forever: Items = [asm.label("again"), asm.mov64Imm(R1, 1), asm.jmpImm("jne", R1, 0, "again")];
const taken = (n: number): Items => Array.from({ length: n }, () => [...take(R6), ...drop(R6)]).flat();

/** Behind three lookups: r6 and r7 are elements of different locks, r8 one that shares its word with r6. */
const cases: Readonly<Record<string, readonly [items: Items, ret: number]>> = {
  "again and again": [taken(5), 0],
  "what is stored under it": [[...take(R6), asm.st("u32", R6, 4, 9), ...drop(R6)], 0],
  "r0 behind each": [[...take(R6), asm.stx("u32", R6, R0, 4), ...drop(R6), asm.stx("u32", R6, R0, 8)], 0],
  "two of them": [[...take(R6), ...take(R7), ...drop(R7), ...drop(R6), ...taken(1)], 0],
  "two of them, the older goes first": [[...take(R6), ...take(R7), ...drop(R6), ...drop(R7), ...taken(1)], 0],
  "two with one word": [[...take(R6), ...take(R8), ...drop(R8), ...drop(R6), ...taken(1)], 0],
  "two with one word, the older goes first": [[...take(R6), ...take(R8), ...drop(R6), ...drop(R8), ...taken(1)], 0],
  "the older of one word is gone, and comes again": [[...take(R6), ...take(R8), ...drop(R6), ...take(R6)], 0],
  "twice, with another between": [[...take(R6), ...take(R7), ...take(R6)], -u.EFAULT],
  twice: [[...take(R6), ...take(R6)], -u.EFAULT],
  "dropped twice": [[...take(R6), ...drop(R6), ...drop(R6)], -u.EFAULT],
  "never taken": [drop(R6), -u.EFAULT],
  "another's": [[...take(R6), ...drop(R7)], -u.EFAULT],
  "one with the same word": [[...take(R6), ...drop(R8)], -u.EFAULT],
  "not the field": [take(R6, 4), -u.EFAULT],
  "of the value behind": [[...take(R6, 16), ...drop(R7)], 0],
  "a fault under it": [[...take(R6), ...fault], -u.EFAULT],
  "a fault under two of one word": [[...take(R6), ...take(R8), ...drop(R6), ...fault], -u.EFAULT],
  "no end under it": [[...take(R6), ...forever], -u.ETIMEDOUT],
  "the end under it": [take(R6), 0],
  "what the program has written over": [[...take(R6), asm.st("u32", R6, 0, -1), ...drop(R6), ...taken(1)], 0],
  "more of them than a record has room for": [
    [
      ...Array.from({ length: 20 }, () => [...take(R6), asm.alu64Imm("add", R6, 16)]).flat(),
      ...Array.from({ length: 20 }, () => [asm.alu64Imm("add", R6, -16), ...drop(R6)]).flat(),
    ],
    0,
  ],
};

/** An index of a value whose lock is in the same word as that of index 0. */
function sharesFirst(host: EmbeddedHost, map: number): number {
  const wordAt = (address: number): number => elementLock({ u32: new Uint32Array(8) } as Memory, 0, address);
  const [[, first]] = runs(host, [...find(map, 0, R0), asm.exit()]) as [Ended];
  const found = Array.from({ length: ELEMENTS }, (_, i) => i).find(
    (i) => i > 1 && wordAt(first + i * 16) === wordAt(first),
  );
  expect(found).toBeGreaterThan(1);
  return found!;
}

test.each(Object.entries(cases))("a lock that is known: %s", (_, [items, ret]) => {
  const [first] = alike((host) => {
    const map = lockedMap(host, "locked");
    const same = sharesFirst(host, map);
    const results = runs(
      host,
      [...find(map, 0, R6), ...find(map, 1, R7), ...find(map, same, R8), ...items, ...done],
      3,
    );
    host.close(map);
    return results;
  });
  expect(first!.slice(0, 2)).toEqual([ret, ret === 0 ? 7 : first![1]]);
});

const others: Readonly<
  Record<string, readonly [kind: string, items: (maps: readonly number[]) => Items, ret: number]>
> = {
  "of another kind": ["resLocked", ([map]) => [...find(map!, 0, R6), ...take(R6)], -u.EFAULT],
  "of one of two maps": [
    "locked",
    (maps) => [
      ...find(maps[0]!, 0, R6),
      ...find(maps[1]!, 0, R7),
      asm.st("u32", R6, 4, 1),
      asm.st("u32", R7, 4, 2),
      ...[0, 1].flatMap((bit) => [
        asm.mov64(R8, R6),
        asm.call(u.BPF_FUNC_get_prandom_u32),
        asm.alu64Imm("and", R0, 1),
        asm.jmpImm("jeq", R0, bit, 1),
        asm.mov64(R8, R7),
        ...take(R8),
        ...drop(R8),
        ...take(R6),
        ...drop(R6),
      ]),
    ],
    0,
  ],
  "in a function": [
    "locked",
    ([map]) => [...find(map!, 0, R6), asm.mov64(R1, R6), asm.callRel("f"), asm.mov64(R1, R6), asm.callRel("f")],
    0,
  ],
};
/** Takes and drops the lock in r1. */
const inFunction: Items = [asm.label("f"), asm.mov64(R6, R1), ...taken(2), asm.mov64Imm(R0, 0), asm.exit()];

test.each(Object.entries(others))("a lock %s", (_, [kind, items, ret]) => {
  const [first] = alike((host) => {
    const maps = [0, 1].map(() => lockedMap(host, kind));
    const called = items === others["in a function"]![1] ? inFunction : [];
    const results = runs(host, [...items(maps), ...done, ...called], 4);
    for (const map of maps) host.close(map);
    return results;
  });
  expect(first![0]).toBe(ret);
});

/** So many locks that several have one word, taken in one order and dropped in another. */
test("many locks at a time", () => {
  const COUNT = 70;
  const order = (step: number): number[] => Array.from({ length: COUNT }, (_, i) => (i * step) % COUNT);
  const each = (map: number, step: number, what: typeof take): Items =>
    order(step).flatMap((index) => [...find(map, index, R6), ...what(R6)]);
  for (const [first, second] of [
    [1, 1],
    [1, 69],
    [3, 11],
  ] as const) {
    const [result] = alike((host) => {
      const map = lockedMap(host, "locked");
      const items = [...each(map, first, take), ...each(map, second, drop), ...each(map, second, take), ...done];
      const results = runs(host, items, 2);
      host.close(map);
      return results;
    });
    expect(result).toEqual([0, 7, ""]);
  }
});
