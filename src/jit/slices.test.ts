/** What bpf_dynptr_slice and bpf_dynptr_data point at, in compiled programs: also when it is there no more. */
import { afterAll, expect, test } from "vitest";
import { resultMap } from "../../test/conformance/programs.ts";
import { ended, type Items, inFrame, load, loadFunction, openPairs, returns, runs } from "../../test/jit/pairs.ts";
import { parseBtf } from "../btf/index.ts";
import { kernelBtf } from "../helpers/kernel_btf.ts";
import type { EmbeddedHost } from "../host/embedded.ts";
import * as asm from "../insn/index.ts";
import * as u from "../uapi/index.ts";

const { R0, R1, R2, R3, R4, R6, R7, R8, R10, label } = asm;
const { alike, close } = openPairs();
afterAll(close);

const PACKET = 64;
const DYNPTR = -24;
const types = parseBtf(kernelBtf()).types;
const kfunc = (name: string): asm.AsmItem =>
  asm.callKfunc(types.findIndex((type) => type.kind === "func" && type.name === name));
const begin: Items = [asm.mov64(R7, R1), asm.mov64Imm(R2, 0), ...inFrame(R3, DYNPTR), kfunc("bpf_dynptr_from_xdp")];
/** r6 = r0 = 8 bytes of the dynptr from there on. */
const sliced = (offset: number, buffer = 0): Items => [
  ...inFrame(R1, DYNPTR),
  asm.mov64Imm(R2, offset),
  ...(buffer === 0 ? [asm.mov64Imm(R3, 0)] : inFrame(R3, buffer)),
  asm.mov64Imm(R4, 8),
  kfunc("bpf_dynptr_slice"),
  asm.mov64(R6, R0),
  asm.jmpImm("jeq", R0, 0, "out"),
];
const out: Items = [label("out"), asm.mov64Imm(R0, 7), asm.exit()];
const adjust = (helper: number, by: number): Items => [asm.mov64(R1, R7), asm.mov64Imm(R2, by), asm.call(helper)];
/** So that the bytes at the packet's end are copied, though they are there no more. */
const shorter: Items = [...begin, ...adjust(u.BPF_FUNC_xdp_adjust_tail, -8)];
const copied = (buffer: number): Items => [...shorter, ...sliced(PACKET - 8, buffer)];
const addUp: Items = [asm.ldx("u64", R0, R6, 0), asm.exit()];

const slices: Readonly<Record<string, readonly [items: Items, ret: number]>> = {
  "read to its end": [[...begin, ...sliced(3), asm.ldx("u32", R0, R6, 4), asm.exit(), ...out], 0],
  "read beyond its end, where the packet goes on": [
    [...begin, ...sliced(0), asm.ldx("u64", R0, R6, 1), asm.exit(), ...out],
    0,
  ],
  "read beyond the packet's end": [
    [...begin, ...sliced(PACKET - 8), asm.ldx("u64", R0, R6, 1), asm.exit(), ...out],
    -u.EFAULT,
  ],
  "read though the packet has become shorter": [
    [...begin, ...sliced(PACKET - 8), ...adjust(u.BPF_FUNC_xdp_adjust_tail, -8), ...addUp, ...out],
    -u.EFAULT,
  ],
  "read though the packet begins behind it": [
    [...begin, ...sliced(0), ...adjust(u.BPF_FUNC_xdp_adjust_head, 12), ...addUp, ...out],
    -u.EFAULT,
  ],
  "NULL is read": [
    [...begin, ...inFrame(R1, DYNPTR), asm.mov64Imm(R2, 60), asm.mov64Imm(R3, 0), asm.mov64Imm(R4, 8)]
      .concat(kfunc("bpf_dynptr_slice"), asm.mov64(R6, R0))
      .concat(addUp),
    -u.EFAULT,
  ],
  "a copy": [[...copied(-40), ...addUp, ...out], 0],
  "a copy that is not aligned": [[...copied(-36), ...addUp, ...out], -u.EFAULT],
  "half of a copy that is not aligned": [
    [...copied(-36), asm.ldx("u32", R0, R6, 4), asm.ldx("u16", R1, R6, 2), asm.exit(), ...out],
    0,
  ],
  "a copy with a spilled pointer in it that is written": [
    [
      ...copied(-40),
      asm.stx("u64", R10, R7, -40),
      asm.mov64Imm(R1, 4096),
      asm.stx("u64", R6, R1, 0),
      asm.ldx("u64", R1, R10, -40),
      asm.ldx("u32", R0, R1, 12),
      asm.exit(),
      ...out,
    ],
    -u.EFAULT,
  ],
};

test.each(Object.entries(slices))("a slice: %s", (_, [items, ret]) => {
  const [first] = alike((host) => runs(host, items));
  expect(first![0]).toBe(ret);
});

/** On a host with what the program needs. */
const others: Readonly<Record<string, readonly [(host: EmbeddedHost) => readonly [Items, ...number[]], number]>> = {
  "a record's, once it was submitted": [
    (host) => {
      const ring = host.bpf(u.BPF_MAP_CREATE, { map_type: u.BPF_MAP_TYPE_RINGBUF, max_entries: 4096 });
      const items = [
        asm.ldMapFd(R1, ring),
        asm.mov64Imm(R2, 16),
        asm.mov64Imm(R3, 0),
        inFrame(R4, DYNPTR),
        asm.call(u.BPF_FUNC_ringbuf_reserve_dynptr),
        inFrame(R1, DYNPTR),
        asm.mov64Imm(R2, 8),
        asm.mov64Imm(R3, 8),
        asm.call(u.BPF_FUNC_dynptr_data),
        asm.jmpImm("jeq", R0, 0, "out"),
        asm.mov64Imm(R1, 9),
        asm.stx("u64", R0, R1, 0),
        sliced(8),
        asm.ldx("u64", R8, R6, 0),
        inFrame(R1, DYNPTR),
        asm.mov64Imm(R2, 0),
        asm.call(u.BPF_FUNC_ringbuf_submit_dynptr),
        asm.jmpImm("jne", R8, 9, "out"),
        addUp,
        out,
      ].flat();
      return [items, ring];
    },
    -u.EFAULT,
  ],
  "a value's that programs must not read": [
    (host) => {
      const map = host.bpf(u.BPF_MAP_CREATE, {
        map_type: u.BPF_MAP_TYPE_ARRAY,
        key_size: 4,
        value_size: 8,
        max_entries: 1,
        map_flags: u.BPF_F_WRONLY_PROG,
      });
      const items = [
        asm.ldMapValue(R1, map, 0),
        asm.mov64Imm(R2, 8),
        asm.mov64Imm(R3, 0),
        inFrame(R4, DYNPTR),
        asm.call(u.BPF_FUNC_dynptr_from_mem),
        sliced(0),
        addUp,
        out,
      ].flat();
      return [items, map];
    },
    -u.EFAULT,
  ],
};

test.each(Object.entries(others))("%s", (_, [make, ret]) => {
  const [first] = alike((host) => {
    const [items, ...fds] = make(host);
    const results = runs(host, items);
    for (const fd of fds) host.close(fd);
    return results;
  });
  expect(first![0]).toBe(ret);
});

test("another program's value, of which that one has left a dynptr in this one's frame", () => {
  const [first, second] = alike((host) => {
    const array = host.bpf(u.BPF_MAP_CREATE, {
      map_type: u.BPF_MAP_TYPE_PROG_ARRAY,
      key_size: 4,
      value_size: 4,
      max_entries: 1,
    });
    const map = resultMap(host, 8);
    const target = load(
      host,
      [
        asm.ldMapValue(R1, map, 0),
        asm.mov64Imm(R2, 8),
        asm.mov64Imm(R3, 0),
        // In the frame of who called the function that went on here.
        inFrame(R4, 512 + DYNPTR),
        asm.call(u.BPF_FUNC_dynptr_from_mem),
        returns(0),
      ].flat(),
    );
    const value = new Uint8Array(Uint32Array.of(target).buffer);
    host.bpf(u.BPF_MAP_UPDATE_ELEM, { map_fd: array, key: new Uint8Array(4), value, flags: 0 });
    const caller = loadFunction(
      host,
      [...begin, asm.mov64(R1, R7), asm.callRel("f"), ...sliced(0), ...addUp, ...out],
      [asm.ldMapFd(R2, array), asm.mov64Imm(R3, 0), asm.call(u.BPF_FUNC_tail_call), asm.exit()],
    );
    const results = [ended(host, caller), ended(host, caller)];
    for (const fd of [caller, target, map, array]) host.close(fd);
    return results;
  });
  expect([first![0], second![0]]).toEqual([-u.EFAULT, -u.EFAULT]);
});
