/** bpf_for in compiled programs. */
import { afterAll, expect, test } from "vitest";
import { resultMap } from "../../test/conformance/programs.ts";
import {
  ended,
  type Items,
  inFrame,
  load,
  loadFunction,
  loop,
  openPairs,
  returns,
  runs,
} from "../../test/jit/pairs.ts";
import { parseBtf } from "../btf/index.ts";
import { kernelBtf } from "../helpers/kernel_btf.ts";
import { createEmbeddedHost } from "../host/embedded.ts";
import * as asm from "../insn/index.ts";
import * as u from "../uapi/index.ts";

const { R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, R10, label } = asm;
const { alike, close } = openPairs();
afterAll(close);

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
const setUp = (offset: number, from: number, to: number): Items =>
  [inFrame(R1, offset), asm.mov64Imm(R2, from), asm.mov64Imm(R3, to), kfunc("bpf_iter_num_new")].flat();
const onIterator = (offset: number, name: string): Items => [...inFrame(R1, offset), kfunc(name)];
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
  "nested, the inner one again and again": numbers(
    iterate(0, 3, "a", [
      ...addNumber,
      ...[
        inFrame(R1, -32),
        asm.mov64Imm(R2, 5),
        asm.mov64Imm(R3, 8),
        kfunc("bpf_iter_num_new"),
        inFrame(R1, -32),
        kfunc("bpf_iter_num_next"),
        asm.jmpImm("jeq", R0, 0, 2),
        addNumber,
        inFrame(R1, -32),
        kfunc("bpf_iter_num_destroy"),
      ].flat(),
    ]),
  ),
  "the older of two is destroyed first": numbers([
    ...setUp(-16, 0, 9),
    ...setUp(-32, 3, 4),
    ...onIterator(-16, "bpf_iter_num_destroy"),
    ...onIterator(-32, "bpf_iter_num_next"),
    ...addNumber,
    ...onIterator(-32, "bpf_iter_num_destroy"),
  ]),
  "set up twice": numbers([
    ...setUp(-16, 0, 9),
    ...setUp(-16, 5, 6),
    ...onIterator(-16, "bpf_iter_num_next"),
    ...addNumber,
  ]),
  "too many numbers": numbers([...setUp(-16, 0, 1 << 24), asm.mov64(R7, R0), ...onIterator(-16, "bpf_iter_num_next")]),
  "all numbers that there are": numbers([...setUp(-16, -(2 ** 31), 2 ** 31 - 1), asm.mov64(R7, R0)]),
  "next behind its destruction": numbers([
    ...setUp(-16, 0, 9),
    ...onIterator(-16, "bpf_iter_num_destroy"),
    ...onIterator(-16, "bpf_iter_num_next"),
  ]),
  "destroyed twice": numbers([
    ...setUp(-16, 0, 9),
    ...onIterator(-16, "bpf_iter_num_destroy"),
    ...onIterator(-16, "bpf_iter_num_destroy"),
  ]),
  "the number of one that was destroyed": numbers([
    ...setUp(-16, 0, 9),
    ...onIterator(-16, "bpf_iter_num_next"),
    asm.mov64(R8, R0),
    ...onIterator(-16, "bpf_iter_num_destroy"),
    asm.ldx("u32", R0, R8, 0),
  ]),
  "in a function, in its caller's frame": [
    ...setUp(-16, 2, 9),
    ...inFrame(R1, -16),
    asm.callRel("f"),
    asm.exit(),
    label("f"),
    asm.mov64(R6, R1),
    kfunc("bpf_iter_num_next"),
    asm.mov64(R1, R6),
    kfunc("bpf_iter_num_next"),
    asm.ldx("u32", R0, R0, 0),
    asm.exit(),
  ],
  "from a frame that is closed": [
    asm.callRel("f"),
    ...onIterator(-528, "bpf_iter_num_next"),
    asm.mov64Imm(R0, 0),
    asm.exit(),
    label("f"),
    ...setUp(-16, 2, 9),
    asm.mov64Imm(R0, 0),
    asm.exit(),
  ],
};

test.each(Object.entries(iterators))("an iterator: %s", (_, items) => {
  alike((host) => runs(host, items, 3));
});

test("an iterator of the run before is none, whatever mark is made up for it", () => {
  const ends = alike((host) => {
    const before = runs(host, numbers(setUp(-16, 0, 9)));
    // One place above and one generation before that of this run's own.
    const made = [asm.ldx("u64", R1, R10, -32), asm.ldImm64(R2, (1n << 32n) + 2n), asm.alu64("sub", R1, R2)].flat();
    const forged = [
      ...setUp(-32, 0, 2),
      ...made,
      asm.stx("u64", R10, R1, -16),
      ...onIterator(-16, "bpf_iter_num_next"),
    ];
    return [...before, ...runs(host, numbers(forged))];
  });
  expect(ends.map(([ret]) => ret)).toEqual([0, -u.EFAULT]);
});

const next = (offset: number): Items => onIterator(offset, "bpf_iter_num_next");
const destroy = (offset: number): Items => onIterator(offset, "bpf_iter_num_destroy");
/** r8 = 0 or, for all that is known, `most`, a power of two. */
const zero = (most: number): Items => [
  asm.ldx("u32", R8, R6, 12),
  asm.alu64Imm("rsh", R8, 31),
  asm.alu64Imm("lsh", R8, Math.log2(most)),
];
const dynptr = (offset: number): Items =>
  [asm.mov64(R1, R6), asm.mov64Imm(R2, 0), inFrame(R3, offset), kfunc("bpf_dynptr_from_xdp")].flat();
/** r0 = what reading a byte of the dynptr at -32 to -40 says. */
const readDynptr: Items = [
  inFrame(R1, -40),
  asm.mov64Imm(R2, 1),
  inFrame(R3, -32),
  asm.mov64Imm(R4, 0),
  asm.mov64Imm(R5, 0),
  asm.call(u.BPF_FUNC_dynptr_read),
].flat();
const loadBytes = (offset: number, size: number): Items =>
  [asm.mov64(R1, R6), asm.mov64Imm(R2, 0), inFrame(R3, offset), asm.mov64Imm(R4, size)]
    .flat()
    .concat(asm.call(u.BPF_FUNC_xdp_load_bytes));
const inFunction: Items = [...inFrame(R1, -16), asm.callRel("f")];
const inCallback: Items = loop(1, "f");
const exit0: Items = returns(0);
const f = (items: Items): Items => [label("f"), ...items, ...exit0];
const destroyGiven: Items = [kfunc("bpf_iter_num_destroy")];
/** As a callback is given the frame's word at -8. */
const destroyBefore: Items = [asm.alu64Imm("add", R2, -8), asm.mov64(R1, R2), ...destroyGiven];

/** What ends the iterator at -16, whose entry the code has kept; and functions. */
const ends: Readonly<Record<string, readonly [items: Items, functions?: Items]>> = {
  "its destruction": [destroy(-16)],
  "its destruction, and another place for the next one": [[...destroy(-16), ...setUp(-32, 3, 5)]],
  "a byte at its beginning": [[asm.st("u8", R10, -16, 77)]],
  "a byte at its end": [[asm.st("u8", R10, -9, 77)]],
  "two bytes": [[asm.st("u16", R10, -12, 77)]],
  "four bytes": [[asm.st("u32", R10, -16, 77)]],
  "eight bytes": [[asm.st("u64", R10, -16, 77)]],
  "a store that may be to another word": [
    [...zero(8), asm.mov64(R1, R10), asm.alu64("add", R1, R8), asm.st("u64", R1, -16, 77)],
  ],
  "a store to where nobody knows": [
    [...zero(8), asm.mov64(R1, R10), asm.alu64("xor", R1, R8), asm.st("u8", R1, -16, 77)],
  ],
  "an atomic instruction": [[asm.mov64Imm(R1, 77), asm.atomic("add", "u32", R10, R1, -12)]],
  "bytes of the packet": [loadBytes(-16, 8)],
  "one byte of the packet": [loadBytes(-16, 1)],
  "a dynptr whose second word is its mark": [dynptr(-24)],
  "a dynptr in its place": [dynptr(-16)],
  "a function that destroys it": [inFunction, f(destroyGiven)],
  "a function that writes it": [inFunction, f([asm.st("u8", R1, 3, 77)])],
  "a function of a function": [inFunction, [...f([asm.callRel("g")]), label("g"), ...destroyGiven, ...exit0]],
  "a function that makes something else of it": [
    [...inFrame(R1, -16), asm.mov64(R2, R6), asm.callRel("f")],
    f([asm.mov64(R3, R1), asm.mov64(R1, R2), asm.mov64Imm(R2, 0), kfunc("bpf_dynptr_from_xdp")]),
  ],
  "a callback that destroys it": [inCallback, f(destroyBefore)],
  "a callback that writes it": [inCallback, f([asm.st("u32", R2, -4, 77)])],
  "one of two ways": [[...zero(1), asm.jmpImm("jne", R8, 0, "behind"), ...destroy(-16), label("behind")]],
};

test.each(Object.entries(ends))("an iterator ends by %s", (_, [items, functions = []]) => {
  const [first] = alike((host) =>
    runs(host, [
      ...[asm.mov64(R6, R1), ...setUp(-16, 0, 9), ...next(-16), ...items, ...next(-16)],
      ...[...returns(1), ...functions],
    ]),
  );
  expect(first![0]).toBe(-u.EFAULT);
  expect(first![2]).toContain("bpf_iter_num_next");
});

/** Programs that come to their end, and what they return. */
const kept: Readonly<Record<string, readonly [items: Items, retval: number]>> = {
  "words around it": [
    numbers([
      ...[...setUp(-16, 4, 9), asm.st("u64", R10, -8, 77), asm.st("u64", R10, -24, 77)],
      ...[...next(-16), ...addNumber],
    ]),
    1004,
  ],
  "another one in turns": [
    numbers([
      ...[...setUp(-16, 4, 9), ...setUp(-32, 40, 90), ...next(-16), ...addNumber],
      ...[...next(-32), ...addNumber, ...next(-16), ...addNumber],
    ]),
    1049,
  ],
  "set up by the one call or the other": [
    numbers([
      asm.mov64(R6, R1),
      ...[...zero(1), asm.jmpImm("jeq", R8, 0, "a"), ...setUp(-16, 4, 9), asm.ja("b"), label("a")],
      ...[...setUp(-16, 6, 9), label("b"), ...next(-16), ...addNumber],
    ]),
    1006,
  ],
  "by one call in two places": [
    numbers([
      ...[asm.mov64Imm(R9, -32), label("a"), asm.mov64(R1, R10), asm.alu64("add", R1, R9)],
      ...[asm.mov64(R2, R9), asm.mov64Imm(R3, 9), kfunc("bpf_iter_num_new")],
      ...[asm.alu64Imm("add", R9, 16), asm.jmpImm("jne", R9, 0, "a"), ...next(-32), ...addNumber],
    ]),
    1000 - 32,
  ],
  "in a callback within itself": [
    [
      ...[asm.st("u64", R10, -8, 2), ...loop(1, "f"), asm.ldx("u64", R0, R10, -8), asm.exit(), label("f")],
      ...[asm.mov64(R6, R2), asm.ldx("u64", R7, R6, 0), ...inFrame(R1, -16), asm.mov64(R2, R7)],
      ...[asm.mov64Imm(R3, 9), kfunc("bpf_iter_num_new"), asm.jmpImm("jeq", R7, 0, "end")],
      ...[asm.alu64Imm("add", R7, -1), asm.stx("u64", R6, R7, 0), ...loop(1, "f").slice(0, -4), asm.mov64(R3, R6)],
      ...[asm.mov64Imm(R4, 0), asm.call(u.BPF_FUNC_loop), label("end"), ...next(-16), asm.ldx("u64", R7, R6, 0)],
      ...[...addNumber, asm.stx("u64", R6, R7, 0), ...exit0],
    ],
    3,
  ],
  "set up again by a function": [
    [
      ...[...setUp(-16, 4, 9), asm.mov64Imm(R7, 0), ...inFunction, ...next(-16), ...addNumber, asm.mov64(R0, R7)],
      ...[asm.exit(), ...f([asm.mov64Imm(R2, 7), asm.mov64Imm(R3, 9), kfunc("bpf_iter_num_new")])],
    ],
    7,
  ],
  "the number of one that was set up again, or has another around it": [
    numbers([
      ...[asm.mov64(R6, R1), ...setUp(-16, 4, 9), ...next(-16), asm.mov64(R8, R0), ...setUp(-16, 7, 9)],
      ...[...setUp(-32, 7, 9), asm.mov64(R0, R8), ...addNumber, ...dynptr(-16), asm.ldx("s32", R1, R8, 0)],
    ]),
    1006,
  ],
  "too many numbers, one after the other": [
    numbers([
      ...[...setUp(-16, 0, 1 << 24), ...next(-16), asm.alu64("add", R7, R0), ...next(-16), asm.alu64("add", R7, R0)],
      ...destroy(-16),
    ]),
    1000,
  ],
  "a dynptr, though the rest of its second word is written": [
    [asm.mov64(R6, R1), ...dynptr(-32), asm.st("u32", R10, -20, 77), ...readDynptr, asm.exit()],
    0,
  ],
  "a dynptr that was refused": [
    [asm.mov64Imm(R2, 1), ...inFrame(R3, -32), kfunc("bpf_dynptr_from_xdp"), ...readDynptr, asm.exit()],
    -u.EINVAL >>> 0,
  ],
};

test.each(Object.entries(kept))("goes on: %s", (_, [items, retval]) => {
  const [first] = alike((host) => runs(host, items));
  expect(first).toEqual([0, retval, ""]);
});

/** The last call of each finds no dynptr at -32 any more. */
const gone: Readonly<Record<string, Items>> = {
  "its first word is written": [...dynptr(-32), ...readDynptr, asm.st("u8", R10, -32, 77), ...readDynptr],
  "its second word is written": [...dynptr(-32), ...readDynptr, asm.st("u8", R10, -24, 77), ...readDynptr],
  "an iterator is set up in its place": [...dynptr(-32), ...setUp(-32, 0, 9), ...readDynptr],
  "an iterator is set up in its second word": [...dynptr(-32), ...setUp(-24, 0, 9), ...readDynptr],
};

test.each(Object.entries(gone))("a dynptr is gone: %s", (_, items) => {
  const [first] = alike((host) => runs(host, [asm.mov64(R6, R1), ...items, ...exit0]));
  expect(first![0]).toBe(-u.EFAULT);
});

test("a record's dynptr that was submitted", () => {
  const [first] = alike((host) => {
    const ring = host.bpf(u.BPF_MAP_CREATE, { map_type: u.BPF_MAP_TYPE_RINGBUF, max_entries: 4096 });
    const reserve = [asm.ldMapFd(R1, ring), asm.mov64Imm(R2, 8), asm.mov64Imm(R3, 0), inFrame(R4, -32)].flat();
    const submit = [...inFrame(R1, -32), asm.mov64Imm(R2, 0), asm.call(u.BPF_FUNC_ringbuf_submit_dynptr)];
    const items = [reserve, asm.call(u.BPF_FUNC_ringbuf_reserve_dynptr), readDynptr, submit, readDynptr, exit0].flat();
    const results = runs(host, items);
    host.close(ring);
    return results;
  });
  expect(first![0]).toBe(-u.EFAULT);
});

const above: Readonly<Record<string, Items>> = {
  destroys: [...inFrame(R1, 512 - 16), kfunc("bpf_iter_num_destroy")],
  "writes over": [asm.st("u8", R10, 512 - 16, 77)],
};

test.each(Object.entries(above))("another program comes back, which %s the iterator", (_, items) => {
  const [first] = alike((host) => {
    const array = host.bpf(u.BPF_MAP_CREATE, {
      map_type: u.BPF_MAP_TYPE_PROG_ARRAY,
      key_size: 4,
      value_size: 4,
      max_entries: 1,
    });
    const target = load(host, [...items, ...exit0]);
    const value = new Uint8Array(Uint32Array.of(target).buffer);
    host.bpf(u.BPF_MAP_UPDATE_ELEM, { map_fd: array, key: new Uint8Array(4), value, flags: 0 });
    const caller = loadFunction(
      host,
      [asm.mov64(R6, R1), ...setUp(-16, 0, 9), asm.mov64(R1, R6), asm.callRel("f"), ...next(-16), ...exit0],
      [asm.ldMapFd(R2, array), asm.mov64Imm(R3, 0), asm.call(u.BPF_FUNC_tail_call), asm.exit()],
    );
    const results = [ended(host, caller)];
    for (const fd of [caller, target, array]) host.close(fd);
    return results;
  });
  expect(first![0]).toBe(-u.EFAULT);
});

test("a function throws, and the next run has none of the iterator", () => {
  const [first] = alike((host) =>
    runs(
      host,
      [setUp(-16, 0, 9), inFunction, next(-16), exit0, f([asm.mov64Imm(R1, 5), kfunc("bpf_throw")])].flat(),
      2,
    ),
  );
  expect(first).toEqual([0, 5, ""]);
});

test("the turns end where the budget does", () => {
  const [first] = alike((host) => runs(host, [...setUp(-16, 0, 9), label("a"), ...next(-16), asm.ja("a")]));
  expect(first![0]).toBe(-u.ETIMEDOUT);
});

test("where there is no memory for it there is no iterator", () => {
  const size = 8192;
  const results = (["interp", "jit"] as const).map((engine) => {
    const host = createEmbeddedHost({ memory: 2 << 20, cpus: 1, seed: 1, engine });
    const array = resultMap(host, size);
    const hash = host.bpf(u.BPF_MAP_CREATE, {
      map_type: u.BPF_MAP_TYPE_HASH,
      key_size: 4,
      value_size: size,
      max_entries: 1024,
      map_flags: u.BPF_F_NO_PREALLOC,
    });
    const fill = [asm.stx("u32", R10, R6, -4), asm.ldMapFd(R1, hash), inFrame(R2, -4), asm.ldMapValue(R3, array, 0)];
    const items = [
      [asm.mov64Imm(R6, 0), label("a"), fill, asm.mov64Imm(R4, 0), asm.call(u.BPF_FUNC_map_update_elem)],
      [asm.alu64Imm("add", R6, 1), asm.jmpImm("jeq", R0, 0, "a"), setUp(-16, 0, 9)],
      [asm.jmpImm("jne", R0, -u.ENOMEM, "out"), next(-16), label("out"), exit0],
    ];
    const result = ended(host, load(host, items.flat(3)));
    expect(host.ranBy()).toEqual({ engine, why: undefined });
    host.dispose();
    return result;
  });
  expect(results[0]![0]).toBe(-u.EFAULT);
  expect(results[1]).toEqual(results[0]);
});
