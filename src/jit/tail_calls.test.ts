/** Tail calls that compiled code makes by itself. */
import { afterAll, expect, test } from "vitest";
import { readResults, resultMap } from "../../test/conformance/programs.ts";
import {
  addUp,
  type Ended,
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
import type { EmbeddedHost } from "../host/embedded.ts";
import { createEmbedded, u64 } from "../index.ts";
import * as asm from "../insn/index.ts";
import * as u from "../uapi/index.ts";

const { R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, R10, label } = asm;
const { alike, close } = openPairs();
afterAll(close);

const exit: Items = [asm.exit()];

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

/** The address in the register, as one of which nothing is known: whose it is is asked when it is used. */
const forget = (register: asm.Reg): Items => [
  asm.stx("u64", R10, register, -8),
  asm.atomic("xchg", "u64", R10, register, -8),
];
/** r0 = 0 where the address in r7 is the program's. */
const isOwn: Items = [
  ...forget(R7),
  ...inFrame(R1, -16),
  asm.mov64Imm(R2, 8),
  asm.mov64(R3, R7),
  asm.call(u.BPF_FUNC_probe_read_kernel),
];

test("a program that goes on in itself begins as it began", () => {
  const results = alike((host) => {
    const map = array(host, 1);
    const counter = resultMap(host, 8);
    const fd = load(
      host,
      [
        ...keepContext,
        asm.mov64(R9, R1),
        forget(R6),
        asm.st("u64", R10, -8, 0),
        asm.ldMapValue(R7, counter, 0),
        asm.ldx("u64", R8, R7, 0),
        asm.alu64Imm("add", R8, 1),
        asm.ldx("u32", R1, R6, u.xdp_md.fields.rx_queue_index.offset),
        asm.alu64("add", R8, R1),
        // The stack is zero again.
        asm.ldx("u64", R1, R10, -16),
        asm.alu64("add", R8, R1),
        asm.st("u64", R10, -16, 1000),
        asm.stx("u64", R7, R8, 0),
        ...tail(map, 0, R9),
      ].flat(),
    );
    put(host, map, 0, fd);
    const got = [ended(host, fd), ended(host, fd)];
    expect(readResults(host, counter, 8)).toEqual(BigUint64Array.of(68n));
    for (const each of [fd, map, counter]) host.close(each);
    return got;
  });
  expect(results.map(([ret]) => ret)).toEqual([0, 0]);
});

test("who called a function that went on in another program is itself again", () => {
  const results = alike((host) => {
    const map = array(host, 1);
    const own = resultMap(host, 8);
    const target = load(host, returns(5));
    put(host, map, 0, target);
    const begin: Items = [...keepContext, asm.ldMapValue(R7, own, 0), asm.mov64(R1, R6)].flat();
    const behind: Items = [asm.mov64(R8, R0), ...isOwn, asm.alu64("add", R0, R8)];
    const calls: Items = [...begin, asm.callRel("f"), ...behind, asm.exit()];
    const callsBack: Items = [
      ...begin,
      asm.mov64Imm(R1, 1),
      asm.ldFunc(R2, "f"),
      asm.mov64(R3, R6),
      asm.mov64Imm(R4, 0),
      asm.call(u.BPF_FUNC_loop),
      ...behind,
      asm.exit(),
    ].flat();
    const programs = [
      loadFunction(host, calls, [asm.mov64(R6, R1), ...tail(map, 0)]),
      loadFunction(host, callsBack, [asm.mov64(R6, R2), ...tail(map, 0)]),
    ];
    const got = programs.flatMap((fd) => [ended(host, fd), ended(host, fd)]);
    for (const fd of [...programs, target, map, own]) host.close(fd);
    return got;
  });
  const ends = results.map(([ret, retval]) => [ret, retval]);
  expect(ends).toEqual([
    [0, 5],
    [0, 5],
    [0, 1],
    [0, 1],
  ]);
});

test("packets of a batch begin in the program, whichever the packet before ended in", () => {
  for (const shared of [false, true]) {
    using host = createEmbedded({ shared, memory: 16 << 20 });
    const targets = host.createMap({ type: "prog_array", maxEntries: 1 });
    const counts = host.createMap({ type: "array", value: u64, maxEntries: 1 });
    targets.set(0, host.loadProgram({ type: "xdp", insns: asm.assemble(returns(2)) }));
    const insns = asm.assemble(
      [
        ...keepContext,
        asm.ldMapValue(R7, counts.fd, 0),
        isOwn,
        asm.alu64Imm("add", R0, 1),
        asm.ldMapValue(R7, counts.fd, 0),
        asm.atomic("add", "u64", R7, R0, 0),
        ...tail(targets.fd, 0),
      ].flat(),
    );
    const { retvals } = host
      .loadProgram({ type: "xdp", insns, license: "GPL" })
      .runMany([1, 2, 3].map(() => new Uint8Array(60)));
    expect([...retvals]).toEqual([2, 2, 2]);
    expect(counts.get(0)).toBe(3n);
  }
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
