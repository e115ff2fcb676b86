/** Helpers that move bytes, in compiled programs: as many as are known, and where there are fewer. */
import { afterAll, expect, test } from "vitest";
import { resultMap } from "../../test/conformance/programs.ts";
import { type Items, inFrame, openPairs, runs } from "../../test/jit/pairs.ts";
import { parseBtf } from "../btf/index.ts";
import { kernelBtf } from "../helpers/kernel_btf.ts";
import * as asm from "../insn/index.ts";
import * as u from "../uapi/index.ts";

const { R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, R10, label } = asm;
const { alike, close } = openPairs();
afterAll(close);

const PACKET = 64;
const VALUE = 128;
const BUFFER = -256;
const DYNPTR = -272;
const types = parseBtf(kernelBtf()).types;
const kfunc = (name: string): asm.AsmItem =>
  asm.callKfunc(types.findIndex((type) => type.kind === "func" && type.name === name));
const XDP = u.BPF_PROG_TYPE_XDP;
const TC = u.BPF_PROG_TYPE_SCHED_CLS;

/** The value's and the frame's buffer hold bytes that tell where they are from; r9: the value, r6: the context. */
const fill = (map: number): Items => [
  asm.mov64(R6, R1),
  asm.mov64Imm(R7, 0),
  asm.ldMapValue(R9, map, 0),
  ...Array.from({ length: VALUE / 8 }, (_, i) => [
    asm.ldImm64(R1, (BigInt(i + 1) * 0x0123_4567_89ab_cdefn) & 0x7fff_ffff_ffff_ffffn),
    asm.stx("u64", R9, R1, i * 8),
    asm.alu64Imm("xor", R1, 0x5a5a),
    asm.stx("u64", R10, R1, BUFFER + i * 8),
  ]).flat(2),
];

/** r7 = what it was, what was returned, and all bytes of both: mixed. */
const mix: Items = [
  asm.mov64(R1, R7),
  asm.mov64(R2, R0),
  asm.mov64(R3, R9),
  ...inFrame(R4, BUFFER),
  asm.callRel("mix"),
  asm.mov64(R7, R0),
];
const end: Items = [
  asm.mov64(R0, R7),
  asm.alu64Imm("rsh", R7, 32),
  asm.alu64("xor", R0, R7),
  asm.exit(),
  label("mix"),
  asm.mov64(R0, R2),
  asm.alu64("add", R0, R1),
  ...Array.from({ length: VALUE / 8 }, (_, i) =>
    ([R3, R4] as const).flatMap((from) => [
      asm.alu64Imm("mul", R0, 31),
      asm.ldx("u64", R1, from, i * 8),
      asm.alu64("add", R0, R1),
    ]),
  ).flat(),
  asm.exit(),
];

type Body = (size: number, offset: number) => Items;
const offsetOf = (register: asm.Reg, offset: number): asm.AsmItem => asm.ldImm64(register, BigInt(offset));
const bytesOfPacket =
  (helper: number): Body =>
  (size, offset) =>
    [
      asm.mov64(R1, R6),
      offsetOf(R2, offset),
      inFrame(R3, BUFFER),
      asm.mov64Imm(R4, size),
      asm.mov64Imm(R5, 0),
      asm.call(helper),
    ].flat();
const ofValue: Items = [
  asm.mov64(R1, R9),
  asm.mov64Imm(R2, 100),
  asm.mov64Imm(R3, 0),
  ...inFrame(R4, DYNPTR),
  asm.call(u.BPF_FUNC_dynptr_from_mem),
];
const ofPacket = (name: string): Items => [asm.mov64(R1, R6), asm.mov64Imm(R2, 0), ...inFrame(R3, DYNPTR), kfunc(name)];
/** Without the first 5 bytes and some of the last. */
const cut: Items = [...inFrame(R1, DYNPTR), asm.mov64Imm(R2, 5), asm.mov64Imm(R3, 60), kfunc("bpf_dynptr_adjust")];
const readIt =
  (made: Items, flags = 0): Body =>
  (size, offset) =>
    [
      made,
      inFrame(R1, BUFFER),
      asm.mov64Imm(R2, size),
      inFrame(R3, DYNPTR),
      offsetOf(R4, offset),
      asm.mov64Imm(R5, flags),
      asm.call(u.BPF_FUNC_dynptr_read),
    ].flat();
const writeIt =
  (made: Items, flags = 0): Body =>
  (size, offset) =>
    [
      made,
      inFrame(R1, DYNPTR),
      offsetOf(R2, offset),
      inFrame(R3, BUFFER),
      asm.mov64Imm(R4, size),
      asm.mov64Imm(R5, flags),
      asm.call(u.BPF_FUNC_dynptr_write),
    ].flat();
/** One byte of the slice; 1 where there is none. */
const sliceIt =
  (made: Items, name: string, buffer = true): Body =>
  (size, offset) =>
    [
      made,
      inFrame(R1, DYNPTR),
      offsetOf(R2, offset),
      buffer ? inFrame(R3, BUFFER) : [asm.mov64Imm(R3, 0)],
      asm.mov64Imm(R4, size),
      kfunc(name),
      asm.mov64(R1, R0),
      asm.mov64Imm(R0, 1),
      asm.jmpImm("jeq", R1, 0, name.endsWith("rdwr") ? 3 : 2),
      asm.ldx("u8", R0, R1, size - 1),
      name.endsWith("rdwr") ? [asm.st("u8", R1, size - 1, 99)] : [],
      asm.alu64Imm("add", R0, 2),
    ].flat();
const forgotten: Items = [...ofValue, asm.st("u32", R10, DYNPTR + 8, 5)];

const cases: Readonly<Record<string, readonly [body: Body, type?: number, fails?: boolean]>> = {
  bpf_xdp_load_bytes: [bytesOfPacket(u.BPF_FUNC_xdp_load_bytes)],
  bpf_xdp_store_bytes: [bytesOfPacket(u.BPF_FUNC_xdp_store_bytes)],
  bpf_skb_load_bytes: [bytesOfPacket(u.BPF_FUNC_skb_load_bytes), TC],
  "bpf_dynptr_read, a value": [readIt(ofValue)],
  "bpf_dynptr_read, a part of a value": [readIt([...ofValue, ...cut])],
  "bpf_dynptr_read, flags": [readIt(ofValue, 1)],
  "bpf_dynptr_read, another's mark": [readIt(forgotten), XDP, true],
  "bpf_dynptr_read, none": [readIt([asm.st("u64", R10, DYNPTR, 0), asm.st("u64", R10, DYNPTR + 8, 0)]), XDP, true],
  "bpf_dynptr_read, one that is null": [readIt([...ofValue.slice(0, -2), asm.mov64Imm(R3, 1), ...ofValue.slice(-2)])],
  "bpf_dynptr_read, XDP": [readIt(ofPacket("bpf_dynptr_from_xdp"))],
  "bpf_dynptr_read, a part of XDP": [readIt([...ofPacket("bpf_dynptr_from_xdp"), ...cut])],
  "bpf_dynptr_read, an skb": [readIt(ofPacket("bpf_dynptr_from_skb")), TC],
  "bpf_dynptr_write, a value": [writeIt([...ofValue, ...cut])],
  "bpf_dynptr_write, flags": [writeIt(ofValue, 1)],
  "bpf_dynptr_write, XDP": [writeIt(ofPacket("bpf_dynptr_from_xdp"))],
  "bpf_dynptr_write, an skb": [writeIt(ofPacket("bpf_dynptr_from_skb")), TC],
  "bpf_dynptr_slice, a value": [sliceIt([...ofValue, ...cut], "bpf_dynptr_slice")],
  "bpf_dynptr_slice, XDP": [sliceIt(ofPacket("bpf_dynptr_from_xdp"), "bpf_dynptr_slice")],
  "bpf_dynptr_slice, an skb": [sliceIt(ofPacket("bpf_dynptr_from_skb"), "bpf_dynptr_slice", false), TC],
  "bpf_dynptr_slice, an skb that is hidden": [
    sliceIt(ofPacket("bpf_dynptr_from_skb"), "bpf_dynptr_slice"),
    u.BPF_PROG_TYPE_SOCKET_FILTER,
  ],
  "bpf_dynptr_slice_rdwr, a value": [sliceIt(ofValue, "bpf_dynptr_slice_rdwr", false)],
  "bpf_dynptr_slice_rdwr, XDP": [sliceIt(ofPacket("bpf_dynptr_from_xdp"), "bpf_dynptr_slice_rdwr")],
  "bpf_dynptr_slice_rdwr, an skb": [sliceIt(ofPacket("bpf_dynptr_from_skb"), "bpf_dynptr_slice_rdwr"), TC],
};
/** [size, offset] */
const ranges = [
  [1, 0],
  [8, 3],
  [20, PACKET - 20],
  [20, PACKET - 19],
  [3, PACKET],
  [8, 91],
  [8, 92],
  [8, 93],
  [8, 0xffff],
  [8, 0x1_0000],
  [8, 0xffff_fffc],
  [8, 0x1_0000_0002],
  [120, 0],
] as const;

test.each(Object.entries(cases))("%s", (_, [body, type, fails = false]) => {
  const [first] = alike((host) => {
    const map = resultMap(host, VALUE);
    const items = ranges.flatMap(([size, offset]) => [...body(size, offset), ...mix]);
    const results = runs(host, [...fill(map), ...items, ...end], 1, type);
    host.close(map);
    return results;
  });
  expect(first![0]).toBe(fails ? -u.EFAULT : 0);
});

/** [to, from]: r9 + these, or the frame's buffer from there on. */
const reads: Readonly<Record<string, (size: number, name: string) => Items>> = {
  "from the value": () => [...inFrame(R1, BUFFER), asm.mov64(R3, R9)],
  "from the frame": () => [asm.mov64(R1, R9), ...inFrame(R3, BUFFER)],
  "upwards in itself": () => [asm.mov64(R1, R9), asm.mov64(R3, R9), asm.alu64Imm("add", R1, 3)],
  "downwards in itself": () => [asm.mov64(R1, R9), asm.mov64(R3, R9), asm.alu64Imm("add", R3, 3)],
  "behind the value's end": (size) => [
    ...inFrame(R1, BUFFER),
    asm.mov64(R3, R9),
    asm.alu64Imm("add", R3, VALUE - size + 1),
  ],
  "from NULL": () => [...inFrame(R1, BUFFER), asm.mov64Imm(R3, 0)],
  "from the context": () => [...inFrame(R1, BUFFER), asm.mov64(R3, R6)],
  "from a packet that was looked at": (_, name) => [
    asm.ldx("u32", R5, R6, 0),
    asm.ldx("u32", R8, R6, 4),
    asm.mov64(R1, R5),
    asm.alu64Imm("add", R1, 40),
    asm.mov64(R3, R5),
    asm.jmp("jgt", R1, R8, name),
    asm.alu64Imm("add", R3, 1),
    label(name),
    ...inFrame(R1, BUFFER),
  ],
};

test.each(Object.entries(reads))("bpf_probe_read_kernel %s", (_, places) => {
  alike((host) => {
    const map = resultMap(host, VALUE);
    const items = [u.BPF_FUNC_probe_read_kernel, u.BPF_FUNC_probe_read_user].flatMap((helper) =>
      [0, 1, 7, 8, 24, 39, 64].flatMap((size) => [
        ...places(size, `${helper}.${size}`),
        asm.mov64Imm(R2, size),
        asm.call(helper),
        ...mix,
      ]),
    );
    const results = runs(host, [...fill(map), ...items, ...end]);
    host.close(map);
    return results;
  });
});

test("bpf_csum_diff", () => {
  const pairs = [0, 1, 4, 7, 20, 64, 68].flatMap((from) => [0, 2, 4, 23, 40, 68].map((to) => [from, to] as const));
  const sums = ([fromSize, toSize]: readonly [number, number], seed: number, zeros: boolean): Items => [
    ...(fromSize === 0 ? [asm.mov64Imm(R1, 0)] : inFrame(R1, BUFFER)),
    asm.mov64Imm(R2, fromSize),
    ...(toSize === 0 ? [asm.mov64Imm(R3, 0)] : zeros ? inFrame(R3, BUFFER) : [asm.mov64(R3, R9)]),
    asm.mov64Imm(R4, toSize),
    asm.mov64Imm(R5, seed),
    asm.call(u.BPF_FUNC_csum_diff),
    ...mix,
  ];
  for (const seed of [0, -1, 0x1234_5678]) {
    alike((host) => {
      const map = resultMap(host, VALUE);
      const all = pairs.flatMap((pair) => sums(pair, seed, false));
      const zero = Array.from({ length: VALUE / 8 }, (_, i) => asm.st("u64", R10, BUFFER + 8 * i, 0));
      const nothing = pairs.flatMap((pair) => sums(pair, seed, true));
      const results = runs(host, [...fill(map), ...all, ...zero, ...nothing, ...end]);
      host.close(map);
      return results;
    });
  }
});
