/** Calls that compiled code makes by itself: of functions that helpers call, of iterators, of programs that go on. */
import { afterAll, expect, test } from "vitest";
import { loadProgram, readStderr, testRun } from "../../test/conformance/programs.ts";
import { parseBtf } from "../btf/index.ts";
import { kernelBtf } from "../helpers/kernel_btf.ts";
import { createEmbeddedHost, type EmbeddedHost } from "../host/embedded.ts";
import * as asm from "../insn/index.ts";
import * as u from "../uapi/index.ts";

const { R0, R1, R2, R3, R4, R5, R6, R7, R8, R10, label } = asm;
type Items = readonly asm.AsmItem[];
type Ended = readonly [ret: number, retval: number, stderr: string];

const BUDGET = 20_000;
const options = { memory: 8 << 20, cpus: 2, seed: 1, runBudget: BUDGET };
const pairs = [false, true].map((shared) =>
  (["interp", "jit"] as const).map((engine) => createEmbeddedHost({ ...options, shared, engine })),
);
afterAll(() => {
  for (const host of pairs.flat()) host.dispose();
});

function load(host: EmbeddedHost, items: Items): number {
  const { fd, log } = loadProgram(host, items);
  if (fd < 0) throw new Error(log);
  return fd;
}

/** Addresses and ids differ from host to host, and where exactly a budget ends from engine to engine. */
function ended(host: EmbeddedHost, fd: number): Ended {
  const { ret, retval } = testRun(host, fd);
  const text = ret === 0 ? "" : readStderr(host, fd).replaceAll(/0x[0-9a-f]{4,}|id \d+/g, "...");
  return [ret, retval >>> 0, ret === -u.ETIMEDOUT ? text.replace(/ *at instruction .*\n/, "") : text];
}

/** The same on both engines, on exclusive and on shared hosts, and what it was. Compiled code has to run it. */
function alike(work: (host: EmbeddedHost) => readonly Ended[]): readonly Ended[] {
  const all = pairs.map(([interp, jit]) => {
    const wanted = work(interp!);
    expect(work(jit!)).toEqual(wanted);
    expect(jit!.ranBy()).toEqual({ engine: "jit", why: undefined });
    // The first work of all makes what stays; from then on whatever is held goes back.
    const after = jit!.memory().metadata;
    expect(work(jit!)).toEqual(wanted);
    expect(jit!.memory().metadata).toBe(after);
    return wanted;
  });
  expect(all[0]).toEqual(all[1]);
  return all[0]!;
}

/** Loads it, runs it so often, and closes it. */
function runs(host: EmbeddedHost, items: Items, times = 1): readonly Ended[] {
  const fd = load(host, items);
  const results = Array.from({ length: times }, () => ended(host, fd));
  host.close(fd);
  return results;
}

const exit: Items = [asm.exit()];
const returns = (value: number): Items => [asm.mov64Imm(R0, value), asm.exit()];
const inFrame = (register: asm.Reg, offset: number): Items => [
  asm.mov64(register, R10),
  asm.alu64Imm("add", register, offset),
];

/** bpf_loop with the frame's word at -8 as what the function is given. */
const loop = (turns: number | bigint, callback: string, flags = 0): Items =>
  [
    asm.ldImm64(R1, BigInt(turns)),
    asm.ldFunc(R2, callback),
    inFrame(R3, -8),
    asm.mov64Imm(R4, flags),
    asm.call(u.BPF_FUNC_loop),
  ].flat();

/** The sum of the turns' numbers, in the caller's frame; ends at turn `last`. */
const addUp = (name: string, last: number): Items => [
  label(name),
  asm.ldx("u64", R3, R2, 0),
  asm.alu64("add", R3, R1),
  asm.stx("u64", R2, R3, 0),
  asm.mov64Imm(R0, 0),
  asm.jmpImm("jne", R1, last, 1),
  asm.mov64Imm(R0, 1),
  asm.exit(),
];

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

/** Programs one after the other in an array, whose last may go on in the first again. */
function array(host: EmbeddedHost, entries: number): number {
  return host.bpf(u.BPF_MAP_CREATE, {
    map_type: u.BPF_MAP_TYPE_PROG_ARRAY,
    key_size: 4,
    value_size: 4,
    max_entries: entries,
  });
}

function put(host: EmbeddedHost, map_fd: number, index: number, fd: number): void {
  const key = new Uint8Array(Uint32Array.of(index).buffer);
  const value = new Uint8Array(Uint32Array.of(fd).buffer);
  expect(host.bpf(u.BPF_MAP_UPDATE_ELEM, { map_fd, key, value, flags: 0 })).toBe(0);
}

/** Goes on at the index; behind it r0 counts as 100. */
const tail = (map: number, index: number, context: asm.Reg = R6): Items => [
  asm.mov64(R1, context),
  asm.ldMapFd(R2, map),
  asm.mov64Imm(R3, index),
  asm.call(u.BPF_FUNC_tail_call),
  asm.alu64Imm("add", R0, 100),
  asm.exit(),
];
const keepContext: Items = [asm.mov64(R6, R1)];

test("tail calls end after 33, each counted, from whatever program", () => {
  const [first] = alike((host) => {
    const map = array(host, 3);
    const counter = host.bpf(u.BPF_MAP_CREATE, {
      map_type: u.BPF_MAP_TYPE_ARRAY,
      key_size: 4,
      value_size: 8,
      max_entries: 1,
    });
    const fds = [1, 2, 0].map((to) =>
      load(
        host,
        [
          ...keepContext,
          asm.ldMapValue(R7, counter, 0),
          asm.mov64Imm(R1, 1),
          asm.atomic("add", "u64", R7, R1, 0),
          asm.mov64(R1, R6),
          asm.ldMapFd(R2, map),
          asm.mov64Imm(R3, to),
          asm.call(u.BPF_FUNC_tail_call),
          asm.ldx("u64", R0, R7, 0),
          asm.exit(),
        ].flat(),
      ),
    );
    for (const [i, fd] of fds.entries()) put(host, map, i, fd);
    const results = [ended(host, fds[0]!), ended(host, fds[1]!)];
    for (const fd of [...fds, map, counter]) host.close(fd);
    return results;
  });
  expect(first).toEqual([0, 34, ""]);
});

test("a tail call goes on in what the slot holds at that time", () => {
  const results = alike((host) => {
    const map = array(host, 2);
    const caller = load(host, [...keepContext, ...tail(map, 0)]);
    const got: Ended[] = [ended(host, caller)];
    for (let value = 1; value <= 4; value++) {
      const target = load(host, returns(value));
      put(host, map, 0, target);
      // Only the slot holds it now.
      host.close(target);
      got.push(ended(host, caller), ended(host, caller));
    }
    expect(host.bpf(u.BPF_MAP_DELETE_ELEM, { map_fd: map, key: new Uint8Array(4) })).toBe(0);
    got.push(ended(host, caller));
    for (const fd of [caller, map]) host.close(fd);
    return got;
  });
  expect(results.map(([, retval]) => retval)).toEqual([100, 1, 1, 2, 2, 3, 3, 4, 4, 100]);
});

/** What the program does that is gone on in. */
const targets: Readonly<Record<string, readonly [items: Items, ret: number]>> = {
  "reads its context": [[asm.ldx("u32", R0, R1, u.xdp_md.fields.ingress_ifindex.offset), ...exit], 0],
  faults: [[asm.mov64Imm(R1, 8), asm.ldx("u64", R0, R1, 0), ...exit], -u.EFAULT],
  "loops for ever": [
    [label("again"), asm.mov64Imm(R5, 1), asm.jmpImm("jne", R5, 0, "again"), asm.exit()],
    -u.ETIMEDOUT,
  ],
  "reads what a call left, and is interpreted": [
    [asm.callRel("f"), asm.mov64(R0, R1), asm.exit(), label("f"), ...returns(0)],
    0,
  ],
  "calls functions": [
    [asm.st("u64", R10, -8, 3), loop(4, "f"), asm.ldx("u64", R0, R10, -8), asm.exit(), addUp("f", 9)].flat(),
    0,
  ],
};

test.each(Object.entries(targets))("a tail call to a program that %s", (_, [items, ret]) => {
  const [first] = alike((host) => {
    const map = array(host, 1);
    const target = load(host, items);
    put(host, map, 0, target);
    const results = runs(host, [...keepContext, ...tail(map, 0)], 2);
    for (const fd of [target, map]) host.close(fd);
    return results;
  });
  expect(first![0]).toBe(ret);
});

const types = parseBtf(kernelBtf()).types;
const kfunc = (name: string): asm.AsmItem =>
  asm.callKfunc(types.findIndex((type) => type.kind === "func" && type.name === name));
const iterate = (from: number, to: number, name: string, body: Items): Items =>
  [
    inFrame(R1, -16),
    asm.mov64Imm(R2, from),
    asm.mov64Imm(R3, to),
    kfunc("bpf_iter_num_new"),
    label(name),
    inFrame(R1, -16),
    kfunc("bpf_iter_num_next"),
    asm.jmpImm("jeq", R0, 0, `${name}.end`),
    body,
    asm.ja(name),
    label(`${name}.end`),
    inFrame(R1, -16),
    kfunc("bpf_iter_num_destroy"),
  ].flat();
const addNumber: Items = [asm.ldx("s32", R1, R0, 0), asm.alu64("add", R7, R1)];
const numbers = (items: Items): Items => [asm.mov64Imm(R7, 1000), ...items, asm.mov64(R0, R7), asm.exit()];

const iterators: Readonly<Record<string, Items>> = {
  "from 0": numbers(iterate(0, 9, "a", addNumber)),
  "below 0": numbers(iterate(-5, 3, "a", addNumber)),
  "the smallest numbers": numbers(iterate(-(2 ** 31), -(2 ** 31) + 3, "a", addNumber)),
  none: numbers(iterate(4, 4, "a", addNumber)),
  refused: numbers(iterate(4, 3, "a", addNumber)),
  "a scribbled mark": numbers(iterate(0, 9, "a", [...addNumber, asm.st("u32", R10, -12, 7)])),
  "again at its end": numbers([...iterate(0, 3, "a", addNumber), ...iterate(0, 4, "b", addNumber)]),
  "the number of the turn before": numbers(
    iterate(
      0,
      4,
      "a",
      [
        asm.mov64(R8, R0),
        inFrame(R1, -16),
        kfunc("bpf_iter_num_next"),
        asm.ldx("s32", R1, R8, 0),
        asm.alu64("add", R7, R1),
      ].flat(),
    ),
  ),
  "a number that is written": numbers(iterate(0, 4, "a", [asm.st("u32", R0, 0, 1)])),
  "the number behind": numbers(iterate(0, 4, "a", [asm.ldx("u32", R1, R0, 4)])),
};

test.each(Object.entries(iterators))("an iterator: %s", (_, items) => {
  alike((host) => runs(host, items, 2));
});
