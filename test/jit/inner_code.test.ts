/** Maps in maps: lookups of them and calls on them, in compiled programs against the interpreter. */
import { describe, expect, test } from "vitest";
import type { EmbeddedHost } from "../../src/host/embedded.ts";
import * as asm from "../../src/insn/index.ts";
import * as u from "../../src/uapi/index.ts";
import { randomOf } from "../random.ts";
import { COMMAND, Side } from "./map_code.ts";

const { R0, R1, R2, R3, R4, R7, R8, R9, R10, label } = asm;
type Items = readonly asm.AsmItem[];

const KEY = COMMAND.data;
const VALUE = COMMAND.data + 8;
const FAULT = /^-14 /;
/** Slots of the outer map: two maps, the first one once more, and none. */
const FILLED = [0, 1, 0];
const KEYS = 5;

const words = (...of: number[]): Uint8Array => new Uint8Array(Uint32Array.from(of).buffer);

interface Inner {
  readonly type: number;
  readonly valueSize: number;
  readonly flags?: number;
  /** Elements of the first map, and of the second. */
  readonly entries?: readonly [number, number];
}

const SMALL: Inner = { type: u.BPF_MAP_TYPE_ARRAY, valueSize: 8 };

function makeInner(host: EmbeddedHost, { type, valueSize, flags = 0, entries = [4, 4] }: Inner): number[] {
  const attr = { map_type: type, key_size: 4, value_size: valueSize, map_flags: flags };
  return entries.map((max_entries) => host.bpf(u.BPF_MAP_CREATE, { ...attr, max_entries }));
}

function fill(host: EmbeddedHost, outer: number, fds: readonly number[]): void {
  for (const [slot, which] of FILLED.entries()) {
    const value = words(fds[which]!);
    expect(host.bpf(u.BPF_MAP_UPDATE_ELEM, { map_fd: outer, key: words(slot), value })).toBe(0);
  }
}

/** The two engines, each with an outer map whose slots are filled, another one of small arrays, and a program. */
function sidesOf(
  type: number,
  inner: Inner,
  shared: boolean,
  items: (map: number, other: number) => Items,
): { readonly side: Side; readonly fds: readonly number[] }[] {
  const attr = { map_type: type, key_size: 4, value_size: 4, max_entries: 4 };
  return (["jit", "interp"] as const).map((engine) => {
    let fds: number[] = [];
    let other = 0;
    const make = (host: EmbeddedHost): Record<string, number> => {
      const small = makeInner(host, SMALL);
      other = host.bpf(u.BPF_MAP_CREATE, { ...attr, inner_map_fd: small[0]! });
      fill(host, other, small);
      fds = makeInner(host, inner);
      return { ...attr, inner_map_fd: fds[0]! };
    };
    const side = new Side(engine, shared, make, (map) => items(map, other));
    fill(side.host, side.fd, fds);
    return { side, fds };
  });
}

/** r0 = what is in the outer map under the key in r1. */
const lookUp = (map: number): Items =>
  [
    asm.stx("u32", R10, R1, -4),
    asm.mov64(R2, R10),
    asm.alu64Imm("add", R2, -4),
    asm.ldMapFd(R1, map),
    asm.call(u.BPF_FUNC_map_lookup_elem),
  ].flat();
const key: Items = [asm.mov64(R2, R9), asm.alu64Imm("add", R2, KEY)];
/** r0 = the value of the command's key in the map that r7 holds. */
const lookUpKey: Items = [asm.mov64(R1, R7), ...key, asm.call(u.BPF_FUNC_map_lookup_elem)];

/** Twice the map, then an update, a lookup with a change in place, and where the command says so a deletion. */
const everything = (map: number): asm.AsmItem[] =>
  [
    lookUp(map),
    asm.jmpImm("jeq", R0, 0, "end"),
    asm.mov64(R7, R0),
    asm.ldx("u64", R1, R9, COMMAND.op),
    lookUp(map),
    asm.jmp("jne", R0, R7, "end"),
    asm.mov64(R1, R7),
    key,
    asm.mov64(R3, R9),
    asm.alu64Imm("add", R3, VALUE),
    asm.ldx("u64", R4, R9, COMMAND.flags),
    asm.call(u.BPF_FUNC_map_update_elem),
    asm.stx("u64", R9, R0, COMMAND.size),
    lookUpKey,
    asm.jmpImm("jeq", R0, 0, "none"),
    asm.ldx("u64", R1, R0, 0),
    asm.stx("u64", R9, R1, VALUE),
    asm.alu64Imm("add", R1, 1),
    asm.stx("u64", R0, R1, 0),
    // Where nothing is known of the address, the run must hold the map.
    asm.stx("u64", R9, R0, COMMAND.op),
    asm.ldx("u64", R1, R9, COMMAND.op),
    asm.st("u64", R9, COMMAND.op, 0),
    asm.ldx("u64", R1, R1, 0),
    asm.stx("u64", R9, R1, VALUE + 8),
    label("none"),
    asm.mov64Imm(R0, 7),
    asm.ldx("u64", R1, R9, COMMAND.more),
    asm.jmpImm("jeq", R1, 0, "end"),
    asm.mov64(R1, R7),
    key,
    asm.call(u.BPF_FUNC_map_delete_elem),
  ].flat();

const outers = [
  ["ARRAY_OF_MAPS", u.BPF_MAP_TYPE_ARRAY_OF_MAPS],
  ["HASH_OF_MAPS", u.BPF_MAP_TYPE_HASH_OF_MAPS],
] as const;

describe.each(outers)("%s", (_name, type) => {
  const inners: readonly (readonly [string, Inner, string])[] = [
    ["ARRAY", { type: u.BPF_MAP_TYPE_ARRAY, valueSize: 8 }, "gen"],
    [
      "ARRAY of any size",
      { type: u.BPF_MAP_TYPE_ARRAY, valueSize: 24, flags: u.BPF_F_INNER_MAP, entries: [2, 4] },
      "gen",
    ],
    ["PERCPU_ARRAY", { type: u.BPF_MAP_TYPE_PERCPU_ARRAY, valueSize: 12 }, "gen"],
    ["HASH", { type: u.BPF_MAP_TYPE_HASH, valueSize: 16, entries: [2, 4] }, "gen"],
    ["PERCPU_HASH", { type: u.BPF_MAP_TYPE_PERCPU_HASH, valueSize: 16, entries: [2, 4] }, "gen"],
    ["LRU_HASH", { type: u.BPF_MAP_TYPE_LRU_HASH, valueSize: 16 }, "direct"],
    ["read-only HASH", { type: u.BPF_MAP_TYPE_HASH, valueSize: 16, flags: u.BPF_F_RDONLY_PROG }, "checked"],
  ];

  test.each(inners)("of %s", (_inner, inner, how) => {
    for (const shared of [false, true]) {
      const sides = sidesOf(type, inner, shared, everything);
      const [jit, interp] = sides.map(({ side }) => side) as [Side, Side];
      expect(jit.plans.get(u.BPF_FUNC_map_update_elem)).toBe(how);
      const random = randomOf(inner.valueSize);
      for (let i = 0; i < 40; i++) {
        const data = Uint8Array.from({ length: 32 }, () => random(256));
        data.set(words(random(KEYS)));
        const flags = BigInt([0, 0, 0, 1, 2, 4][random(6)]!);
        const command = { op: random(5), flags, more: BigInt(random(3) === 0 ? 1 : 0), data };
        expect(jit.run(command)).toBe(interp.run(command));
      }
      for (const which of [0, 1]) {
        const [a, b] = sides.map(({ side: { host }, fds }) =>
          Array.from({ length: KEYS }, (_, i) => {
            const value = new Uint8Array(64);
            return `${host.bpf(u.BPF_MAP_LOOKUP_ELEM, { map_fd: fds[which]!, key: words(i), value })} ${value}`;
          }),
        );
        expect(a).toEqual(b);
      }
      for (const { side } of sides) side.close();
    }
  });
});

describe("what no verifier would let pass", () => {
  const array: Inner = { type: u.BPF_MAP_TYPE_ARRAY, valueSize: 16 };
  const found = (map: number): Items => [...lookUp(map), asm.jmpImm("jeq", R0, 0, "end"), asm.mov64(R7, R0)];
  const element: Items = [...lookUpKey, asm.jmpImm("jeq", R0, 0, "end")];

  /** Both engines do the same, in two runs; how the second one ends. */
  function same(items: (map: number, other: number) => Items, op = 0, inner = array): string {
    const sides = sidesOf(u.BPF_MAP_TYPE_ARRAY_OF_MAPS, inner, false, items);
    const ends = sides.map(({ side }) => {
      const first = side.run({ op });
      return [first, side.run({ op })];
    });
    for (const { side } of sides) side.close();
    expect(ends[0]).toEqual(ends[1]);
    return ends[0]![1]!;
  }

  test("no map where one is expected", () => {
    const untested = (map: number): Items => [...lookUp(map), asm.mov64(R7, R0), ...lookUpKey];
    expect(same(untested, 3)).toMatch(FAULT);
    expect(same(untested, 0)).not.toMatch(FAULT);
    expect(same((map) => [...found(map), asm.alu64Imm("add", R7, 8), ...lookUpKey])).toMatch(FAULT);
    // NULL on this way, said to be none by a comparison with something else.
    const other = (map: number): Items => [
      ...lookUp(map),
      asm.jmpImm("jeq", R0, 1, "end"),
      asm.mov64(R7, R0),
      ...lookUpKey,
    ];
    expect(same(other, 3)).toMatch(FAULT);
  });

  test("a map or another", () => {
    // One that is in the outer map, and the outer map itself.
    const either = (map: number): Items => [
      ...found(map),
      asm.ldx("u64", R8, R9, COMMAND.op),
      asm.jmpImm("jeq", R8, 0, "go"),
      asm.ldMapFd(R7, map),
      label("go"),
      ...element,
      asm.ldx("u64", R0, R0, 8),
    ];
    expect(same(either, 0)).not.toMatch(FAULT);
    expect(same(either, 1)).toMatch(FAULT);
    // From one outer map or from the other, whose arrays have smaller values.
    const small = (map: number, other: number): Items => [
      asm.mov64(R8, R1),
      ...found(map),
      asm.jmpImm("jeq", R8, 0, "go"),
      asm.mov64Imm(R1, 0),
      ...found(other),
      label("go"),
      ...element,
      asm.ldx("u64", R0, R0, 7),
    ];
    expect(same(small, 0)).not.toMatch(FAULT);
    expect(same(small, 1)).toMatch(FAULT);
  });

  test("bytes beyond a value, and of a map that is not to be written", () => {
    const load = (at: number) => (map: number) => [...found(map), ...element, asm.ldx("u64", R0, R0, at)];
    expect(same(load(8))).not.toMatch(FAULT);
    expect(same(load(9))).toMatch(FAULT);
    expect(same(load(15))).toMatch(FAULT);
    const store = (map: number): Items => [...found(map), ...element, asm.st("u64", R0, 8, 1)];
    expect(same(store)).not.toMatch(FAULT);
    expect(same(store, 0, { ...array, flags: u.BPF_F_RDONLY_PROG })).toMatch(FAULT);
    expect(same(load(8), 0, { ...array, flags: u.BPF_F_WRONLY_PROG })).toMatch(FAULT);
  });

  test("a helper that does not go with the map", () => {
    const push = (map: number): Items => [
      ...found(map),
      asm.mov64(R1, R7),
      ...key,
      asm.mov64Imm(R3, 0),
      asm.call(u.BPF_FUNC_map_push_elem),
    ];
    expect(same(push)).toMatch(FAULT);
  });
});
