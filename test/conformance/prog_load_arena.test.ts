/** PROG_LOAD of programs that name arenas: what Linux 6.18 answers, on the embedded hosts and on the kernel at hand. */
import { afterAll, expect, test } from "vitest";
import type { Host } from "../../src/host/host.ts";
import * as asm from "../../src/insn/index.ts";
import * as u from "../../src/uapi/index.ts";
import { closeHosts, openHosts, placesOf } from "./hosts.ts";

const { R0, R1 } = asm;
const PAGE = 4096;
const hosts = openHosts({ anyCpu: true });
const places = placesOf(hosts);
afterAll(() => {
  expect(hosts.exclusive.openFds()).toEqual([]);
  closeHosts(hosts);
});

interface Arena {
  readonly fd: number;
  /** User space's address of page 0; 0 while there is none. */
  readonly address: bigint;
}

/** Arenas of 4 pages: one without address, one of which 2 pages are mapped, one with map_extra. */
interface Arenas {
  readonly unmapped: Arena;
  readonly mapped: Arena;
  readonly extra: Arena;
}

function withArenas(host: Host, use: (arenas: Arenas) => void): void {
  const make = (map_extra: bigint): Arena => {
    const fd = host.bpf(u.BPF_MAP_CREATE, {
      map_type: u.BPF_MAP_TYPE_ARENA,
      max_entries: 4,
      map_flags: u.BPF_F_MMAPABLE,
      map_extra,
    });
    return { fd, address: map_extra };
  };
  const [unmapped, mapped, extra] = [make(0n), make(0n), make(0x5678_0000_0000n)];
  const view = host.mmap(mapped.fd, { offset: 0, length: 2 * PAGE, prot: 3 });
  if (typeof view === "number") throw new Error(`mmap: ${view}`);
  use({ unmapped, mapped: { ...mapped, address: host.mappedAt(view) }, extra });
  host.munmap(view);
  for (const { fd } of [unmapped, mapped, extra]) host.close(fd);
}

function load(host: Host, ...items: asm.AsmItem[]): { fd: number; log: string } {
  const insns = asm.assemble([...items, asm.mov64Imm(R0, 2), asm.exit()]);
  const log = new Uint8Array(4096);
  const fd = host.bpf(u.BPF_PROG_LOAD, {
    prog_type: u.BPF_PROG_TYPE_XDP,
    license: "GPL",
    insns: asm.encodeInsns(insns),
    insn_cnt: insns.length,
    log_level: 1,
    log_buf: log,
    log_size: log.length,
  });
  return { fd, log: new TextDecoder().decode(log.subarray(0, log.indexOf(0))) };
}

const value = (arena: Arena, offset: number): asm.AsmItem => asm.ldMapValue(R1, arena.fd, offset);
const handle = (arena: Arena): asm.AsmItem => asm.ldMapFd(R1, arena.fd);
const NO_ADDRESS = "arena's user address must be set via map_extra or mmap()";
const ONLY_ONE = "Only one arena per program";

const rows: readonly (readonly [id: string, items: (arenas: Arenas) => asm.AsmItem[], result: number, log?: string])[] =
  [
    ["no address: value", ({ unmapped }) => [value(unmapped, 0)], -u.EINVAL, NO_ADDRESS],
    ["no address: value at 5", ({ unmapped }) => [value(unmapped, 5)], -u.EINVAL, NO_ADDRESS],
    ["no address: value at 2^29", ({ unmapped }) => [value(unmapped, 1 << 29)], -u.EINVAL, NO_ADDRESS],
    ["no address: handle", ({ unmapped }) => [handle(unmapped)], -u.EINVAL, NO_ADDRESS],
    ["handle", ({ mapped }) => [handle(mapped)], 0],
    ["value", ({ mapped }) => [value(mapped, 0)], 0],
    ["its end", ({ mapped }) => [value(mapped, 2 * PAGE)], 0],
    ["behind what is mapped", ({ mapped }) => [value(mapped, 2 * PAGE + 1)], -u.ERANGE],
    ["far behind", ({ mapped }) => [value(mapped, (1 << 29) - 1)], -u.ERANGE],
    ["2^29", ({ mapped }) => [value(mapped, 1 << 29)], -u.EINVAL],
    ["with map_extra", ({ extra }) => [value(extra, 4 * PAGE)], 0],
    ["behind map_extra", ({ extra }) => [value(extra, 4 * PAGE + 1)], -u.ERANGE],
    ["the same twice", ({ extra }) => [value(extra, 1), handle(extra), value(extra, 2)], 0],
    ["two", ({ extra, mapped }) => [value(extra, 0), value(mapped, 0)], -u.EBUSY, ONLY_ONE],
    ["two handles", ({ extra, mapped }) => [handle(extra), handle(mapped)], -u.EBUSY, ONLY_ONE],
    ["two, behind the second", ({ extra, mapped }) => [value(extra, 0), value(mapped, 1 << 20)], -u.EBUSY, ONLY_ONE],
    ["two, one without address", ({ extra, unmapped }) => [value(extra, 0), value(unmapped, 0)], -u.EBUSY, ONLY_ONE],
  ];

for (const [id, items, result, text] of rows) {
  test(id, () => {
    for (const [name, host] of places) {
      withArenas(host, (arenas) => {
        const { fd, log } = load(host, ...items(arenas));
        expect(Math.min(fd, 0), `${name}: ${log}`).toBe(result);
        if (text !== undefined) expect(log, name).toContain(text);
        if (fd >= 0) host.close(fd);
      });
    }
  });
}

test("instructions show user space's address as a plain number, and the program holds the arena", () => {
  for (const [name, host] of places) {
    withArenas(host, ({ mapped }) => {
      const { fd, log } = load(host, value(mapped, 5));
      expect(fd, `${name}: ${log}`).toBeGreaterThan(0);
      const { fields, size } = u.bpf_prog_info;
      const code = host.user.alloc(64);
      const info = new Uint8Array(size);
      const view = new DataView(info.buffer);
      view.setUint32(fields.xlated_prog_len.offset, 64, true);
      view.setBigUint64(fields.xlated_prog_insns.offset, code.address, true);
      expect(host.bpf(u.BPF_OBJ_GET_INFO_BY_FD, { bpf_fd: fd, info_len: size, info }), name).toBe(0);
      expect(view.getUint32(fields.nr_map_ids.offset, true), name).toBe(1);
      const insns = new DataView(code.bytes.buffer, code.bytes.byteOffset, 64);
      const shown = BigInt(insns.getUint32(4, true)) | (BigInt(insns.getUint32(12, true)) << 32n);
      expect([insns.getUint8(1), shown], name).toEqual([R1, mapped.address + 5n]);
      code.free();
      host.close(fd);
    });
  }
});
