/**
 * What a host does not have may stand where no run comes: behind constants that the loader filled in, as objects for many
 * kernels are written. The kernel's verifier does not look there.
 */
import { afterAll, describe, expect, test } from "vitest";
import type { Host } from "../../src/host/host.ts";
import * as asm from "../../src/insn/index.ts";
import * as u from "../../src/uapi/index.ts";
import { closeHosts, openHosts, placesOf } from "./hosts.ts";
import { loadProgram, testRun } from "./programs.ts";

const { R0, R1 } = asm;
const hosts = openHosts({ anyCpu: true });
const places = placesOf(hosts);
afterAll(() => closeHosts(hosts));

/** A helper that no kernel has. */
const NONE = 9999;

/** As libbpf makes .rodata: programs read it, and once it is frozen nobody writes it. */
function rodata(host: Host, value: number, flags: number, frozen: boolean): number {
  const attr = { map_type: u.BPF_MAP_TYPE_ARRAY, key_size: 4, value_size: 8, max_entries: 1, map_flags: flags };
  const map_fd = host.bpf(u.BPF_MAP_CREATE, attr);
  host.bpf(u.BPF_MAP_UPDATE_ELEM, { map_fd, key: new Uint8Array(4), value: BigUint64Array.of(BigInt(value)) });
  if (frozen) host.bpf(u.BPF_MAP_FREEZE, { map_fd });
  return map_fd;
}

/** `if (constant) none();` with the constant in byte 0 of the map. */
const guarded = (map: number): readonly asm.AsmItem[] => [
  asm.mov64Imm(R0, 2),
  ...asm.ldMapValue(R1, map, 0),
  asm.ldx("u8", R1, R1, 0),
  asm.jmpImm("jeq", R1, 0, 1),
  asm.call(NONE),
  asm.exit(),
];

describe.each(places)("%s", (_name, host) => {
  test.each<[string, number, number, boolean, boolean]>([
    ["frozen, 0: never called", 0, u.BPF_F_RDONLY_PROG, true, true],
    ["frozen, 1: called", 1, u.BPF_F_RDONLY_PROG, true, false],
    ["not frozen: it could be changed", 0, u.BPF_F_RDONLY_PROG, false, false],
    ["writable for programs", 0, 0, true, false],
  ])("a constant in a map: %s", (_what, value, flags, frozen, loads) => {
    const map = rodata(host, value, flags, frozen);
    const { fd } = loadProgram(host, guarded(map));
    if (loads) expect(testRun(host, fd, new Uint8Array(64))).toMatchObject({ ret: 0, retval: 2 });
    else expect(fd).toBe(-u.EINVAL);
    if (fd >= 0) host.close(fd);
    host.close(map);
  });

  test.each<[string, readonly asm.AsmItem[], number]>([
    ["a helper that there is not", [asm.call(NONE), asm.exit()], -u.EINVAL],
    [
      "behind a constant",
      [asm.mov64Imm(R1, 0), asm.jmpImm("jeq", R1, 0, 1), asm.call(NONE), asm.mov64Imm(R0, 2), asm.exit()],
      2,
    ],
    ["behind an argument", [asm.mov64Imm(R0, 2), asm.jmpImm("jeq", R1, 0, 1), asm.call(NONE), asm.exit()], -u.EINVAL],
    [
      "in a function that is called behind a constant",
      [
        asm.mov64Imm(R0, 2),
        asm.mov64Imm(R1, 1),
        asm.jmpImm("jne", R1, 0, 1),
        asm.callRel("f"),
        asm.exit(),
        asm.label("f"),
        asm.call(NONE),
        asm.exit(),
      ],
      2,
    ],
    [
      "behind a comparison of two constants in 32 bits",
      [
        ...asm.ldImm64(R1, 0x1_0000_0000n),
        asm.jmp32Imm("jeq", R1, 0, 1),
        asm.call(NONE),
        asm.mov64Imm(R0, 2),
        asm.exit(),
      ],
      2,
    ],
  ])("%s", (_what, items, expected) => {
    const { fd, log } = loadProgram(host, items);
    if (expected < 0) {
      expect(fd).toBe(expected);
      expect(log).toContain(`invalid func unknown#${NONE}`);
      return;
    }
    expect(testRun(host, fd, new Uint8Array(64))).toMatchObject({ ret: 0, retval: expected });
    host.close(fd);
  });
});
