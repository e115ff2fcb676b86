/** Pointers inside records and arrays: beyond the caller's memory, where a host of 32-bit addresses could wrap. */
import { afterAll, expect, test } from "vitest";
import { BtfBuilder } from "../../src/btf/index.ts";
import type { Host } from "../../src/host/host.ts";
import * as asm from "../../src/insn/index.ts";
import * as u from "../../src/uapi/index.ts";
import { closeHosts, openHosts, placesOf } from "./hosts.ts";
import { loadProgram } from "./programs.ts";

const { R0, R1 } = asm;
const hosts = openHosts({ anyCpu: true });
const places = placesOf(hosts);
afterAll(() => {
  expect(hosts.exclusive.openFds()).toEqual([]);
  closeHosts(hosts);
});

/** Addresses that are nobody's, though their low halves are a buffer's. */
function beyond(host: Host, address: bigint): bigint[] {
  const nowhere = address + (1n << 63n);
  // 4 GiB on there may be something of a real process.
  return host.kind === "embedded" ? [address + (1n << 32n), nowhere] : [nowhere];
}

function askedWith(host: Host, fd: number, length: number, set: (view: DataView) => void): number {
  const view = new DataView(new ArrayBuffer(length));
  set(view);
  return host.bpf(u.BPF_OBJ_GET_INFO_BY_FD, { bpf_fd: fd, info: new Uint8Array(view.buffer), info_len: length });
}

function arrayMap(host: Host): number {
  return host.bpf(u.BPF_MAP_CREATE, { map_type: u.BPF_MAP_TYPE_ARRAY, key_size: 4, value_size: 8, max_entries: 1 });
}

test.each(places)("arrays of a program's info: %s", (_name, host) => {
  const map = arrayMap(host);
  const { fd } = loadProgram(host, [asm.ldMapFd(R1, map), asm.mov64Imm(R0, 2), asm.exit()]);
  const { fields, size } = u.bpf_prog_info;
  const room = host.user.alloc(64);
  const ask = (address: bigint): number =>
    askedWith(host, fd, size, (view) => {
      view.setUint32(fields.nr_map_ids.offset, 1, true);
      view.setBigUint64(fields.map_ids.offset, address, true);
    });
  expect(ask(room.address)).toBe(0);
  for (const address of beyond(host, room.address)) expect(ask(address)).toBe(-u.EFAULT);
  room.free();
  host.close(fd);
  host.close(map);
});

test.each(places)("bytes and name of BTF: %s", (_name, host) => {
  const types = new BtfBuilder();
  types.int("int", 4, { signed: true });
  const btf = types.build();
  const fd = host.bpf(u.BPF_BTF_LOAD, { btf, btf_size: btf.length });
  const { fields, size } = u.bpf_btf_info;
  const room = host.user.alloc(256);
  const bytes = (address: bigint): number =>
    askedWith(host, fd, size, (view) => {
      view.setUint32(fields.btf_size.offset, 64, true);
      view.setBigUint64(fields.btf.offset, address, true);
    });
  const name = (address: bigint): number =>
    askedWith(host, fd, size, (view) => {
      view.setUint32(fields.name_len.offset, 16, true);
      view.setBigUint64(fields.name.offset, address, true);
    });
  expect([bytes(room.address), name(room.address)]).toEqual([0, 0]);
  for (const address of beyond(host, room.address)) {
    expect([bytes(address), name(address)]).toEqual([-u.EFAULT, -u.EFAULT]);
  }
  room.free();
  host.close(fd);
});

test.each(places)("an index far behind fd_array, and an fd_array that is nowhere: %s", (_name, host) => {
  const map = arrayMap(host);
  const load = (index: number, array: Int32Array | bigint): number => {
    const insns = asm.assemble([asm.ldMapIdx(R1, index), asm.mov64Imm(R0, 2), asm.exit()]);
    const fd = host.bpf(u.BPF_PROG_LOAD, {
      prog_type: u.BPF_PROG_TYPE_XDP,
      license: "GPL",
      insns: asm.encodeInsns(insns),
      insn_cnt: insns.length,
      fd_array: array,
    });
    if (fd >= 0) host.close(fd);
    return Math.min(fd, 0);
  };
  const room = host.user.alloc(16);
  const fds = new DataView(room.bytes.buffer, room.bytes.byteOffset, 16);
  fds.setInt32(0, map, true);
  fds.setInt32(4, map, true);
  expect([load(0, room.address), load(1, room.address), load(-1, room.address + 4n)]).toEqual([0, 0, 0]);
  expect([load(1 << 30, room.address), load(-(1 << 30), room.address)]).toEqual([-u.EFAULT, -u.EFAULT]);
  for (const address of beyond(host, room.address)) {
    expect([load(0, address), load(Number((room.address - 1n) >> 2n) | 0, address)]).toEqual([-u.EFAULT, -u.EFAULT]);
  }
  room.free();
  host.close(map);
});

test.each(places)("info of no bytes looks at no pointer: %s", (_name, host) => {
  const map = arrayMap(host);
  const { fd } = loadProgram(host, [asm.mov64Imm(R0, 2), asm.exit()]);
  for (const object of [map, fd]) {
    for (const info of [0xffff_fff0n, 1n << 40n, 1n]) {
      const attr = { bpf_fd: object, info, info_len: 0 };
      expect([host.bpf(u.BPF_OBJ_GET_INFO_BY_FD, attr), attr.info_len]).toEqual([0, 0]);
    }
  }
  host.close(fd);
  host.close(map);
});
