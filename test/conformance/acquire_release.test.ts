/** Loads with acquire and stores with release semantics: every size, on every kind of memory that may be named so. */
import { afterAll, expect, test } from "vitest";
import type { Host } from "../../src/host/host.ts";
import * as asm from "../../src/insn/index.ts";
import * as u from "../../src/uapi/index.ts";
import { closeHosts, openHosts, placesOf } from "./hosts.ts";
import { loadProgram, readResults, resultMap, testRun } from "./programs.ts";

const { R0, R1, R2, R3, R6, R9, R10 } = asm;
const hosts = openHosts({ anyCpu: true });
const places = placesOf(hosts);
afterAll(() => closeHosts(hosts));

const sizes = ["u8", "u16", "u32", "u64"] as const;
const RESULTS = 64;
const PATTERN = 0x8877_6655_4433_2211n;

/** Stores the pattern in each size at r6, loads it again, plain and with acquire, into the results. */
function body(results: number): readonly asm.AsmItem[] {
  return sizes.flatMap((size, i) => [
    ...asm.ldImm64(R1, PATTERN),
    asm.st("u64", R6, 0, -1),
    asm.atomic("storeRel", size, R6, R1, 0),
    asm.ldx("u64", R2, R6, 0),
    asm.atomic("loadAcq", size, R3, R6, 0),
    asm.ldMapValue(R9, results, 0),
    asm.stx("u64", R9, R2, i * 16),
    asm.stx("u64", R9, R3, i * 16 + 8),
  ]);
}

const expected: readonly bigint[] = [8n, 16n, 32n, 64n].flatMap((bits) => {
  const low = BigInt.asUintN(Number(bits), PATTERN);
  return [low | ((~0n << bits) & 0xffff_ffff_ffff_ffffn), low];
});

function kfuncId(host: Host, name: string): number {
  return host.kernelBtf()!.btf.find(name, "func")!;
}

test.for(places)("%s: stack, value of a map, arena", ([, host]) => {
  const results = resultMap(host, RESULTS);
  const other = resultMap(host, 8);
  const arena = host.bpf(u.BPF_MAP_CREATE, {
    map_type: u.BPF_MAP_TYPE_ARENA,
    max_entries: 1,
    map_flags: u.BPF_F_MMAPABLE,
    map_extra: 0x1234_5670_0000n,
  });
  const kinds: readonly (readonly asm.AsmItem[])[] = [
    [asm.mov64(R6, R10), asm.alu64Imm("add", R6, -8)],
    [asm.ldMapValue(R6, other, 0)],
    [
      asm.ldMapFd(R1, arena),
      asm.mov64Imm(R2, 0),
      asm.mov64Imm(R3, 1),
      asm.mov64Imm(asm.R4, -1),
      asm.mov64Imm(asm.R5, 0),
      asm.callKfunc(kfuncId(host, "bpf_arena_alloc_pages")),
      asm.addrSpaceCast(R6, R0, 0),
    ],
  ];
  for (const start of kinds) {
    const { fd, log } = loadProgram(host, [...start, ...body(results), asm.mov64Imm(R0, 0), asm.exit()], {
      type: u.BPF_PROG_TYPE_SYSCALL,
      flags: u.BPF_F_SLEEPABLE,
    });
    expect(fd, log).toBeGreaterThan(0);
    expect(host.bpf(u.BPF_PROG_TEST_RUN, { prog_fd: fd, retval: 0 })).toBe(0);
    expect([...readResults(host, results, RESULTS)]).toEqual(expected);
    host.close(fd);
  }
  for (const fd of [results, other, arena]) host.close(fd);
});

/** r1: the context; r2: the packet; r3: 8 bytes behind it. */
const packet: readonly asm.AsmItem[] = [
  asm.ldx("u32", R2, R1, 0),
  asm.ldx("u32", R3, R1, 4),
  asm.mov64(R6, R2),
  asm.alu64Imm("add", R6, 8),
  asm.jmp("jgt", R6, R3, "end"),
];
/** What the kernel refuses at load; and whether a run here faults, for want of a verifier. */
const refused: readonly (readonly [what: string, insns: readonly asm.AsmItem[], faults: boolean])[] = [
  ["load from the context", [asm.atomic("loadAcq", "u32", R2, R1, 8)], false],
  ["store to the context", [asm.mov64Imm(R2, 0), asm.atomic("storeRel", "u32", R1, R2, 8)], true],
  ["load from the packet", [...packet, asm.atomic("loadAcq", "u32", R3, R2, 0)], false],
  ["store to the packet", [...packet, asm.mov64Imm(R3, 0), asm.atomic("storeRel", "u32", R2, R3, 0)], false],
  ["unaligned", [asm.mov64(R2, R10), asm.mov64Imm(R3, 0), asm.atomic("storeRel", "u32", R2, R3, -6)], true],
];

test.for(places)("%s: what may not be named so", ([place, host]) => {
  for (const [what, insns, faults] of refused) {
    const { fd } = loadProgram(host, [...insns, asm.label("end"), asm.mov64Imm(R0, 0), asm.exit()]);
    if (place === "kernel") {
      expect(fd, what).toBe(-u.EACCES);
      continue;
    }
    expect(fd, what).toBeGreaterThan(0);
    expect(testRun(host, fd).ret, what).toBe(faults ? -u.EFAULT : 0);
    host.close(fd);
  }
});
