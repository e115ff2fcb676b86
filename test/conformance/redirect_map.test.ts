/** bpf_redirect_map with maps of devices and CPUs, and lookups of their values, on the embedded hosts and the kernel. */
import { afterAll, expect, test } from "vitest";
import type { Host } from "../../src/host/host.ts";
import * as asm from "../../src/insn/index.ts";
import * as u from "../../src/uapi/index.ts";
import { closeHosts, openHosts, placesOf } from "./hosts.ts";
import { loadProgram, testRun } from "./programs.ts";

const { R0, R1, R2, R3, R10 } = asm;
const hosts = openHosts();
afterAll(() => closeHosts(hosts));
const places = placesOf(hosts);

/** A map with one target, number 1 (the loopback, or a queue of one packet), at key 0. */
function targets(host: Host, map_type: number, value_size = 4): number {
  const map_fd = host.bpf(u.BPF_MAP_CREATE, { map_type, key_size: 4, value_size, max_entries: 4 });
  const value = new Uint8Array(value_size);
  value[0] = 1;
  expect(host.bpf(u.BPF_MAP_UPDATE_ELEM, { map_fd, key: new Uint8Array(4), value })).toBe(0);
  return map_fd;
}

function retval(host: Host, items: readonly asm.AsmItem[]): number {
  const { fd, log } = loadProgram(host, items);
  if (fd < 0) throw new Error(log);
  const { ret, retval } = testRun(host, fd);
  host.close(fd);
  expect(ret).toBe(0);
  return retval;
}

const types = [
  ["DEVMAP", u.BPF_MAP_TYPE_DEVMAP],
  ["DEVMAP_HASH", u.BPF_MAP_TYPE_DEVMAP_HASH],
  ["CPUMAP", u.BPF_MAP_TYPE_CPUMAP],
] as const;

/** Key, flags, what the helper returns: of maps of devices, and of CPUs. */
const calls: readonly (readonly [bigint, bigint, number, number])[] = [
  [0n, 0n, u.XDP_REDIRECT, u.XDP_REDIRECT],
  [1n, 0n, u.XDP_ABORTED, u.XDP_ABORTED],
  [1n, 2n, u.XDP_PASS, u.XDP_PASS],
  [0n, 2n, u.XDP_REDIRECT, u.XDP_REDIRECT],
  [4n, 1n, u.XDP_DROP, u.XDP_DROP],
  [0n, 4n, u.XDP_ABORTED, u.XDP_ABORTED],
  [1n, BigInt(u.BPF_F_BROADCAST), u.XDP_REDIRECT, u.XDP_ABORTED],
  [1n, BigInt(u.BPF_F_BROADCAST | u.BPF_F_EXCLUDE_INGRESS), u.XDP_REDIRECT, u.XDP_ABORTED],
  [1n, BigInt(u.BPF_F_EXCLUDE_INGRESS | 3), u.XDP_TX, u.XDP_ABORTED],
  [0n, 1n << 32n, u.XDP_ABORTED, u.XDP_ABORTED],
  [1n << 32n, 2n, u.XDP_REDIRECT, u.XDP_REDIRECT],
];

test.for(places.flatMap(([name, host]) => types.map(([type, number]) => [name, type, host, number] as const)))(
  "%s, %s: bpf_redirect_map",
  ([, type, host, number]) => {
    const map = targets(host, number);
    for (const [key, flags, devices, cpus] of calls) {
      const got = retval(host, [
        asm.ldMapFd(R1, map),
        asm.ldImm64(R2, key),
        asm.ldImm64(R3, flags),
        asm.call(u.BPF_FUNC_redirect_map),
        asm.exit(),
      ]);
      expect([key, flags, got]).toEqual([key, flags, type === "CPUMAP" ? cpus : devices]);
    }
    host.close(map);
  },
);

/** r0 = the first word of the value at key n, or 99. */
const readValue = (map: number, n: number): readonly asm.AsmItem[] => [
  asm.st("u32", R10, -4, n),
  asm.mov64(R2, R10),
  asm.alu64Imm("add", R2, -4),
  asm.ldMapFd(R1, map),
  asm.call(u.BPF_FUNC_map_lookup_elem),
  asm.jmpImm("jne", R0, 0, "there"),
  asm.mov64Imm(R0, 99),
  asm.exit(),
  asm.label("there"),
  asm.ldx("u32", R0, R0, 0),
  asm.exit(),
];

test.for(
  places.flatMap(([name, host]) => types.slice(0, 2).map(([type, number]) => [name, type, host, number] as const)),
)("%s, %s: programs read values and do not write them", ([, , host, number]) => {
  const map = targets(host, number, 8);
  expect(retval(host, readValue(map, 0))).toBe(1);
  expect(retval(host, readValue(map, 1))).toBe(99);
  expect(retval(host, readValue(map, 9))).toBe(99);
  for (const id of [u.BPF_FUNC_map_update_elem, u.BPF_FUNC_map_delete_elem]) {
    const { fd, log } = loadProgram(host, [
      asm.st("u64", R10, -8, 0),
      asm.mov64(R2, R10),
      asm.alu64Imm("add", R2, -8),
      asm.mov64(R3, R2),
      asm.ldMapFd(R1, map),
      asm.mov64Imm(asm.R4, 0),
      asm.call(id),
      asm.mov64Imm(R0, 0),
      asm.exit(),
    ]);
    expect(fd).toBe(-u.EACCES);
    expect(log).toContain("write into map forbidden");
  }
  host.close(map);
});

test.for(places)("%s: a program that devices run is for XDP_DEVMAP, and is shown by its id", ([, host]) => {
  const insns = [asm.mov64Imm(R0, 2), asm.exit()];
  const good = loadProgram(host, insns, { attachType: u.BPF_XDP_DEVMAP }).fd;
  const other = loadProgram(host, insns).fd;
  const sizes = { key_size: 4, value_size: 8, max_entries: 2 };
  for (const map_type of [u.BPF_MAP_TYPE_DEVMAP, u.BPF_MAP_TYPE_DEVMAP_HASH]) {
    const map_fd = host.bpf(u.BPF_MAP_CREATE, { map_type, ...sizes });
    const key = new Uint8Array(4);
    const update = (fd: number): number =>
      host.bpf(u.BPF_MAP_UPDATE_ELEM, { map_fd, key, value: new Int32Array([1, fd]) });
    expect([update(other), update(map_fd), update(999), update(0), update(-1), update(good)]).toEqual([
      -u.EINVAL,
      -u.EINVAL,
      -u.EINVAL,
      0,
      0,
      0,
    ]);
    const value = new Uint32Array(2);
    expect(host.bpf(u.BPF_MAP_LOOKUP_ELEM, { map_fd, key, value })).toBe(0);
    const info = new Uint8Array(8);
    host.bpf(u.BPF_OBJ_GET_INFO_BY_FD, { bpf_fd: good, info_len: 8, info });
    expect([...value]).toEqual([1, new DataView(info.buffer).getUint32(4, true)]);
    host.close(map_fd);
  }
  const map_fd = host.bpf(u.BPF_MAP_CREATE, { map_type: u.BPF_MAP_TYPE_CPUMAP, ...sizes });
  const update = (fd: number): number =>
    host.bpf(u.BPF_MAP_UPDATE_ELEM, { map_fd, key: new Uint8Array(4), value: new Int32Array([1, fd]) });
  expect([update(other), update(999), update(0)]).toEqual([-u.ENOMEM, -u.ENOMEM, 0]);
  for (const fd of [good, other, map_fd]) host.close(fd);
});

test("embedded: a device that is removed leaves all maps", () => {
  const host = hosts.exclusive;
  expect([host.addDevice(7), host.addDevice(7), host.addDevice(1)]).toEqual([0, -u.EEXIST, -u.EEXIST]);
  const maps = [u.BPF_MAP_TYPE_DEVMAP, u.BPF_MAP_TYPE_DEVMAP_HASH].map((type) => targets(host, type));
  const key = new Uint8Array([1, 0, 0, 0]);
  const value = new Uint8Array(4);
  for (const map_fd of maps) {
    expect(host.bpf(u.BPF_MAP_UPDATE_ELEM, { map_fd, key, value: new Uint8Array([8, 0, 0, 0]) })).toBe(-u.EINVAL);
    expect(host.bpf(u.BPF_MAP_UPDATE_ELEM, { map_fd, key, value: new Uint8Array([7, 0, 0, 0]) })).toBe(0);
    expect(host.bpf(u.BPF_MAP_LOOKUP_ELEM, { map_fd, key, value })).toBe(0);
  }
  expect([host.removeDevice(7), host.removeDevice(7), host.removeDevice(1)]).toEqual([0, -u.ENODEV, -u.ENODEV]);
  for (const map_fd of maps) {
    expect(host.bpf(u.BPF_MAP_LOOKUP_ELEM, { map_fd, key, value })).toBe(-u.ENOENT);
    expect(host.bpf(u.BPF_MAP_LOOKUP_ELEM, { map_fd, key: new Uint8Array(4), value })).toBe(0);
    host.close(map_fd);
  }
});
