/** What one packet of a batch leaves behind is not there for the next one. */
import { expect, test } from "vitest";
import { loadProgram } from "../../test/conformance/programs.ts";
import { parseBtf } from "../btf/index.ts";
import { kernelBtf } from "../helpers/kernel_btf.ts";
import { createEmbeddedHost, type EmbeddedHost } from "../host/embedded.ts";
import type { UserBuffer } from "../host/host.ts";
import { createEmbedded, u32, u64 } from "../index.ts";
import * as asm from "../insn/index.ts";
import * as u from "../uapi/index.ts";

const { R0, R1, R2, R3, R4, R6, R7, R8, R9, R10, label } = asm;
const thrower = parseBtf(kernelBtf()).types.findIndex((type) => type.kind === "func" && type.name === "bpf_throw");
const FIND = 1;
const TOUCH = 2;

/** r0 = what the map in r1 has under key 0, where that is anything. */
const lookUp: readonly asm.AsmItem[] = [
  asm.st("u32", R10, -4, 0),
  asm.mov64(R2, R10),
  asm.alu64Imm("add", R2, -4),
  asm.call(u.BPF_FUNC_map_lookup_elem),
  asm.jmpImm("jeq", R0, 0, "end"),
];

test.each([
  ["returned", []],
  ["threw", [asm.mov64Imm(R1, 2), asm.callKfunc(thrower)]],
])("a value of a map that an earlier packet found in another map, which %s", (_, leave) => {
  using host = createEmbedded({ memory: 16 << 20 });
  const inner = { type: "array", key: u32, value: u64, maxEntries: 1 } as const;
  const outer = host.createMap({ type: "array_of_maps", inner, maxEntries: 1 });
  outer.set(0, host.createMap(inner));
  // Byte 13 says whether the address of the value is found and written down, or only touched.
  const insns = asm.assemble(
    [
      asm.ldMapValue(R9, host.createMap(inner).fd, 0),
      asm.ldx("u32", R2, R1, 0),
      asm.ldx("u32", R3, R1, 4),
      asm.mov64(R4, R2),
      asm.alu64Imm("add", R4, 14),
      asm.mov64Imm(R0, 99),
      asm.jmp("jgt", R4, R3, "end"),
      asm.ldx("u8", R7, R2, 13),
      asm.jmpImm("jeq", R7, TOUCH, "touch"),
      asm.ldMapFd(R1, outer.fd),
      ...lookUp,
      asm.mov64(R1, R0),
      ...lookUp,
      asm.stx("u64", R9, R0, 0),
      leave,
      label("touch"),
      asm.ldx("u64", R1, R9, 0),
      asm.ldx("u64", R0, R1, 0),
      asm.mov64Imm(R0, 2),
      label("end"),
      asm.exit(),
    ].flat(),
  );
  const packets = [FIND, TOUCH, FIND, TOUCH].map((what) => new Uint8Array(60).fill(what, 13));
  const { retvals, failures, engine } = host.loadProgram({ type: "xdp", insns, license: "GPL" }).runMany(packets);
  expect(engine).toBe("jit");
  expect(failures.map(({ packet, error }) => [packet, error.code])).toEqual([
    [1, "EFAULT"],
    [3, "EFAULT"],
  ]);
  expect([...retvals]).toEqual([2, 0, 2, 0]);
});

test("packets at which the program throws, wherever they stand in the batch", () => {
  using host = createEmbedded({ memory: 16 << 20 });
  // Byte 12: what is returned; it is 1 more afterwards. Byte 13: whether by an exception. Grown by so many bytes as byte 11.
  const insns = asm.assemble([
    asm.mov64(R9, R1),
    asm.ldx("u32", R2, R1, 0),
    asm.ldx("u32", R3, R1, 4),
    asm.mov64(R4, R2),
    asm.alu64Imm("add", R4, 14),
    asm.mov64Imm(R0, 99),
    asm.jmp("jgt", R4, R3, "end"),
    asm.ldx("u8", R7, R2, 13),
    asm.ldx("u8", R8, R2, 12),
    asm.mov64(R6, R8),
    asm.alu64Imm("add", R6, 1),
    asm.stx("u8", R2, R6, 12),
    asm.ldx("u8", R2, R2, 11),
    asm.mov64(R1, R9),
    asm.call(u.BPF_FUNC_xdp_adjust_tail),
    asm.mov64(R0, R8),
    asm.jmpImm("jeq", R7, 0, "end"),
    asm.mov64(R1, R8),
    asm.callKfunc(thrower),
    label("end"),
    asm.exit(),
  ]);
  const program = host.loadProgram({ type: "xdp", insns, license: "GPL" });
  const packets = [1, 1, 0, 1, 0, 0, 1].map((throws, i) => {
    const bytes = new Uint8Array(40 + 20 * i).fill(i);
    bytes.set([7 * i, 10 + i, throws], 11);
    return bytes;
  });
  const { engine, retvals, failures, packets: after } = program.runMany(packets, { packets: true });
  expect([engine, failures]).toEqual(["jit", []]);
  expect([...retvals]).toEqual([10, 11, 12, 13, 14, 15, 16]);
  expect([...after!]).toEqual(packets.map((data) => program.run({ data }).data));
  expect(after!.at(3)!.length).toBe(100 + 21);
  expect(after!.at(3)![12]).toBe(14);
  expect([...program.runMany(packets).retvals]).toEqual([...retvals]);
});

const DATA = 4096;
const OUT = 32_768;
const SECRET = 0xaa;

/** Runs packets of a buffer that has other bytes in front of them; `ends`: where their ends lie. */
function runFrom(
  host: EmbeddedHost,
  fd: number,
  { bytes, address }: UserBuffer,
  ends: number,
  at: { readonly base: number; readonly count: number; readonly first: number },
): ReturnType<EmbeddedHost["runPackets"]> {
  bytes.fill(SECRET, 0, DATA);
  bytes.fill(0, OUT);
  const user = Number(address);
  return host.runPackets(fd, {
    ...at,
    data: user + DATA,
    bytes: 200,
    ends,
    retvals: user + 16_384,
    out: user + OUT,
    outRoom: 20_000,
    outEnds: user + 20_480,
  });
}

test.each([
  [0, -256, 20],
  [100, 40, 120],
  [0, 201, 220],
])("a first packet that does not begin among the bytes, which are counted from %i: %i to %i", (base, from, end) => {
  const host = createEmbeddedHost({ memory: 8 << 20 });
  const { fd } = loadProgram(host, [asm.mov64Imm(R0, 2), asm.exit()]);
  const buffer = host.user.alloc(1 << 16);
  const ends = buffer.bytes.byteOffset + 24_576;
  new Int32Array(buffer.bytes.buffer, ends, 2).set([from, end]);
  expect(runFrom(host, fd, buffer, ends, { base, count: 2, first: 1 })).toBe(-u.EINVAL);
  expect(buffer.bytes.subarray(OUT)).not.toContain(SECRET);
  new Int32Array(buffer.bytes.buffer, ends, 2).set([base + 50, base + 70]);
  expect(runFrom(host, fd, buffer, ends, { base, count: 2, first: 1 })).toMatchObject({ next: 2, errno: 0 });
  host.dispose();
});

test.each([0, 100])("a packet that ends beyond the bytes, which are counted from %i", (base) => {
  const host = createEmbeddedHost({ memory: 8 << 20 });
  const { fd } = loadProgram(host, [asm.mov64Imm(R0, 2), asm.exit()]);
  const buffer = host.user.alloc(1 << 16);
  const ends = buffer.bytes.byteOffset + 24_576;
  const ended = [201, 0xffff_ffff, 0x8000_0000].map((end) => {
    new Uint32Array(buffer.bytes.buffer, ends, 3).set([base + 150, base + end, base + 200]);
    return runFrom(host, fd, buffer, ends, { base, count: 3, first: 0 });
  });
  expect(ended).toMatchObject(new Array(3).fill({ next: 1, errno: 0 }));
  host.dispose();
});

test("a program that moves the ends of packets, and then throws", () => {
  const host = createEmbeddedHost({ memory: 8 << 20 });
  const map_flags = u.BPF_F_MMAPABLE;
  const map = host.bpf(u.BPF_MAP_CREATE, {
    map_type: u.BPF_MAP_TYPE_ARRAY,
    key_size: 4,
    value_size: 64,
    max_entries: 1,
    map_flags,
  });
  const mapping = host.mmap(map, { length: 4096, offset: 0, prot: 3 }) as Uint8Array;
  // The second of three packets: the ends are in front of the base then.
  const moved = [10, 30, 60].flatMap((end, i) => asm.st("u32", R9, 4 * i, end));
  const { fd, log } = loadProgram(host, [
    asm.ldMapValue(R9, map, 0),
    asm.ldx("u32", R2, R9, 16),
    asm.alu64Imm("add", R2, 1),
    asm.stx("u32", R9, R2, 16),
    asm.mov64Imm(R0, 2),
    asm.jmpImm("jne", R2, 2, "end"),
    ...moved,
    asm.mov64Imm(R1, 0),
    asm.callKfunc(thrower),
    label("end"),
    asm.mov64Imm(R0, 2),
    asm.exit(),
  ]);
  expect(log).toBe("");
  const buffer = host.user.alloc(1 << 16);
  const ends = new Uint32Array(mapping.buffer, mapping.byteOffset, 3);
  ends.set([120, 140, 160]);
  const result = runFrom(host, fd, buffer, mapping.byteOffset, { base: 100, count: 3, first: 0 });
  expect([...ends]).toEqual([10, 30, 60]);
  // The one that threw has come to its end, and is not run again.
  expect(result).toMatchObject({ next: 1, errno: 0, last: { retval: 0 } });
  expect(new Uint32Array(mapping.buffer, mapping.byteOffset + 16, 1)[0]).toBe(2);
  expect(buffer.bytes.subarray(OUT)).not.toContain(SECRET);
  host.dispose();
});
