/**
 * Arenas as programs see them, on the embedded hosts: casts, pages that are there and pages that are not, and pointers
 * that lead elsewhere. The program arena_table has the kernel as judge.
 */
import { afterAll, expect, test } from "vitest";
import { closeHosts, embeddedOf, openHosts } from "../../test/conformance/hosts.ts";
import { loadProgram, readResults, readStderr, resultMap, testRun } from "../../test/conformance/programs.ts";
import type { Host } from "../host/host.ts";
import * as asm from "../insn/index.ts";
import * as u from "../uapi/index.ts";

const { R0, R1, R2, R3, R4, R5, R9, R10 } = asm;
const hosts = openHosts();
afterAll(() => closeHosts(hosts));
const places = embeddedOf(hosts);

const PAGE = 4096;
const PAGES = 4;
const START = 0x1234_0001_0000n;
const SIZE = 64;

interface Arena {
  readonly host: Host;
  readonly fd: number;
  readonly view: DataView;
}

function withArena(host: Host, use: (arena: Arena) => void, { start = START, flags = 0 } = {}): void {
  const fd = host.bpf(u.BPF_MAP_CREATE, {
    map_type: u.BPF_MAP_TYPE_ARENA,
    max_entries: PAGES,
    map_flags: u.BPF_F_MMAPABLE | flags,
    map_extra: start,
  });
  const bytes = host.mmap(fd, { offset: 0, length: PAGES * PAGE, prot: u.PROT_READ | u.PROT_WRITE, address: start });
  if (typeof bytes === "number") throw new Error(`mmap: ${bytes}`);
  try {
    use({ host, fd, view: new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength) });
  } finally {
    host.munmap(bytes);
    host.close(fd);
  }
}

/** r9: the results. What went wrong, or the words. */
function run(
  { host, fd }: { readonly host: Host; readonly fd: number },
  items: readonly asm.AsmItem[],
): string | bigint[] {
  const results = resultMap(host, SIZE);
  const arena = fd < 0 ? [] : [asm.ldMapFd(R1, fd)];
  const { fd: prog, log } = loadProgram(host, [
    ...arena,
    asm.ldMapValue(R9, results, 0),
    ...items,
    asm.mov64Imm(R0, 2),
    asm.exit(),
  ]);
  try {
    if (prog < 0) return log;
    const { ret } = testRun(host, prog);
    return ret === 0 ? [...readResults(host, results, SIZE)] : readStderr(host, prog);
  } finally {
    if (prog >= 0) host.close(prog);
    host.close(results);
  }
}

/** r1: the byte at this offset of the arena, as the kernel knows it. */
const pointer = (offset: number, start = START): asm.AsmItem => [
  asm.ldImm64(R1, start + BigInt(offset)),
  asm.addrSpaceCast(R1, R1, 0),
];
const result = (word: number, from: asm.Reg = R0): asm.AsmItem => asm.stx("u64", R9, from, word * 8);

test.for(places)("%s: user space and programs see the same bytes of pages that user space has touched", ([, host]) => {
  withArena(host, (arena) => {
    arena.view.setBigUint64(PAGE + 8, 0x1122_3344_5566_7788n, true);
    const words = run(arena, [
      pointer(PAGE),
      asm.ldx("u64", R0, R1, 8),
      result(0),
      asm.ldx("u32", R0, R1, 9),
      result(1),
      asm.ldx("s8", R0, R1, 8),
      result(2),
      asm.st("u32", R1, 100, 77),
      asm.st("u16", R1, PAGE - 2, 0x0102),
      asm.mov64Imm(R2, 5),
      asm.atomic("fetchAdd", "u64", R1, R2, 8),
      result(3, R2),
    ]);
    expect(words).toMatchObject({
      ...[0x1122_3344_5566_7788n, 0x4455_6677n, 0xffff_ffff_ffff_ff88n, 0x1122_3344_5566_7788n],
    });
    expect(arena.view.getUint32(PAGE + 100, true)).toBe(77);
    expect(arena.view.getUint16(2 * PAGE - 2, true)).toBe(0x0102);
    expect(arena.view.getBigUint64(PAGE + 8, true)).toBe(0x1122_3344_5566_778dn);
  });
});

test.for(places)("%s: where there is no page 0 is read, and nothing is written", ([, host]) => {
  withArena(host, (arena) => {
    arena.view.setUint8(0, 1);
    const words = run(arena, [
      pointer(PAGE),
      asm.st("u64", R1, 0, -1),
      asm.ldx("u64", R0, R1, 0),
      result(0),
      asm.mov64Imm(R2, 7),
      asm.atomic("fetchAdd", "u64", R1, R2, 0),
      result(1, R2),
      asm.mov64Imm(R0, 0x77),
      asm.atomic("cmpxchg", "u32", R1, R2, 0),
      result(2),
      asm.atomic("xchg", "u64", R1, R2, 8),
      result(3, R2),
      // The first half of it is in a page that is there.
      pointer(PAGE - 4),
      asm.st("u64", R1, 0, -1),
      asm.ldx("u32", R0, R1, 0),
      result(4),
      asm.mov64Imm(R0, 9),
      asm.atomic("loadAcq", "u32", R0, R1, 4),
      result(5),
    ]);
    expect(words).toEqual([0n, 7n, 0x77n, 7n, 0n, 0n, 0n, 0n]);
    expect(arena.view.getUint32(PAGE - 4, true)).toBe(0);
    expect(arena.view.getUint32(PAGE, true)).toBe(0);
  });
});

test.for(places)("%s: in front of the arena, behind it, and as far away as an offset leads", ([, host]) => {
  withArena(host, (arena) => {
    arena.view.setUint8(0, 0x41);
    arena.view.setUint8(PAGES * PAGE - 1, 0x42);
    const words = run(arena, [
      pointer(0),
      asm.ldx("u8", R0, R1, 0),
      result(0),
      ...[-1, -8, -32768].map((off) => [
        asm.ldx("u8", R2, R1, off),
        asm.alu64("add", R0, R2),
        asm.st("u8", R1, off, 1),
      ]),
      result(1),
      pointer(PAGES * PAGE - 1),
      asm.ldx("u8", R0, R1, 0),
      result(2),
      asm.ldx("u8", R0, R1, 1),
      result(3),
      asm.ldx("u64", R0, R1, 0),
      result(4),
      asm.ldImm64(R2, 0x7000_0000n),
      asm.alu64("add", R1, R2),
      asm.alu64("add", R1, R2),
      asm.alu64("add", R1, R2),
      asm.st("u64", R1, 0, -1),
      asm.ldx("u64", R0, R1, 32767),
      result(5),
    ]);
    expect(words).toEqual([0x41n, 0x41n, 0x42n, 0n, 0n, 0n, 0n, 0n]);
  });
});

test.for(places)("%s: casts", ([, host]) => {
  const casts = [
    asm.ldImm64(R0, 0x5555_0000_1234_5678n),
    asm.addrSpaceCast(R0, R0, 1),
    result(0),
    asm.ldImm64(R0, 0x5555_0000_0000_0000n),
    asm.addrSpaceCast(R0, R0, 1),
    result(1),
    asm.addrSpaceCast(R0, R0, 0),
    result(2),
    pointer(3 * PAGE + 5),
    asm.alu64Imm("add", R1, 3),
    asm.addrSpaceCast(R0, R1, 1),
    result(3),
  ];
  withArena(host, (arena) => {
    expect(run(arena, casts)).toMatchObject({ ...[0x1234_1234_5678n, 0n, 0n, START + 3n * 4096n + 8n] });
  });
  withArena(host, (arena) => expect(run(arena, casts)).toMatchObject({ ...[0x1234_5678n, 0n, 0n, 0x0001_3008n] }), {
    flags: u.BPF_F_NO_USER_CONV,
  });
});

test.for(places)("%s: an arena that begins at a multiple of 4 GiB has its first byte at NULL", ([, host]) => {
  const start = 0x1234_0000_0000n;
  withArena(
    host,
    (arena) => {
      arena.view.setUint32(0, 0x4243, true);
      expect(run(arena, [pointer(0, start), result(1, R1), asm.ldx("u32", R0, R1, 0), result(0)])).toMatchObject({
        ...[0x4243n, 0n],
      });
    },
    { start },
  );
  withArena(host, (arena) => {
    expect(run(arena, [asm.mov64Imm(R1, 0), asm.ldx("u32", R0, R1, 0), result(0)])).toContain("NULL");
  });
});

test.for(places)("%s: pointers into an arena lead nowhere else, and nothing else into an arena", ([, host]) => {
  withArena(host, (arena) => {
    const bytes = arena.view;
    bytes.setUint8(0, 1);
    // The bytes themselves lie in the linear memory, where a number may guess them.
    const address = BigInt(bytes.byteOffset);
    expect(run(arena, [asm.ldImm64(R1, address), asm.ldx("u8", R0, R1, 0), result(0)])).toContain(
      "read of 1 byte at 0x",
    );
    // Without the cast user space's address is a number.
    expect(run(arena, [asm.ldImm64(R1, START), asm.ldx("u8", R0, R1, 0)])).toContain("its upper half is not zero");
    // The mark of a cast pointer, in a program without an arena.
    const forged = [asm.ldImm64(R1, 0x0ae8_0000_0001_0000n), asm.ldx("u8", R0, R1, 0)];
    expect(run({ host, fd: -1 }, forged)).toContain("its upper half is not zero");
    expect(run({ host, fd: -1 }, [pointer(0)])).toContain(
      "addr_space_cast insn can only be used in a program that has an associated arena",
    );
    // Helpers take no memory of an arena.
    const output = [
      pointer(0),
      asm.mov64(R3, R1),
      asm.mov64Imm(R1, 0),
      asm.mov64Imm(R2, 0),
      asm.mov64Imm(R4, 4),
      asm.mov64Imm(R5, 0),
      asm.call(u.BPF_FUNC_csum_diff),
    ];
    expect(run(arena, output)).toContain("argument 3 of bpf_csum_diff");
    // A stack pointer that was cast is none any more.
    expect(
      run(arena, [asm.mov64(R1, R10), asm.addrSpaceCast(R1, R1, 0), asm.ldx("u64", R0, R1, -8), result(0)]),
    ).toMatchObject({ ...[0n] });
  });
});

test.for(places)("%s: SEGV_ON_FAULT: what user space writes to pages that are not there stays its own", ([, host]) => {
  withArena(
    host,
    (arena) => {
      arena.view.setUint8(0, 1);
      expect(run(arena, [pointer(0), asm.ldx("u8", R0, R1, 0), result(0)])).toMatchObject({ ...[0n] });
    },
    { flags: u.BPF_F_SEGV_ON_FAULT },
  );
});
