/** Tail calls that compiled code makes by itself. */
import { afterAll, expect, test } from "vitest";
import { addUp, type Ended, ended, type Items, load, loop, openPairs, returns, runs } from "../../test/jit/pairs.ts";
import type { EmbeddedHost } from "../host/embedded.ts";
import * as asm from "../insn/index.ts";
import * as u from "../uapi/index.ts";

const { R0, R1, R2, R3, R5, R6, R7, R10, label } = asm;
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
