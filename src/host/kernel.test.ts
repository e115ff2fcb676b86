/** The kernel host against the running kernel. */
import { closeSync, readFileSync } from "node:fs";
import { afterAll, afterEach, expect, test } from "vitest";
import { kernelHost } from "../../test/kernel.ts";
import {
  BPF_ANY,
  BPF_F_MMAPABLE,
  BPF_MAP_CREATE,
  BPF_MAP_DELETE_ELEM,
  BPF_MAP_FREEZE,
  BPF_MAP_GET_FD_BY_ID,
  BPF_MAP_GET_NEXT_ID,
  BPF_MAP_GET_NEXT_KEY,
  BPF_MAP_LOOKUP_AND_DELETE_ELEM,
  BPF_MAP_LOOKUP_BATCH,
  BPF_MAP_LOOKUP_ELEM,
  BPF_MAP_TYPE_ARRAY,
  BPF_MAP_TYPE_HASH,
  BPF_MAP_TYPE_PERCPU_HASH,
  BPF_MAP_TYPE_QUEUE,
  BPF_MAP_TYPE_RINGBUF,
  BPF_MAP_UPDATE_BATCH,
  BPF_MAP_UPDATE_ELEM,
  BPF_NOEXIST,
  BPF_OBJ_GET_INFO_BY_FD,
  bpf_map_info,
  E2BIG,
  EBADF,
  EEXIST,
  EFAULT,
  EINVAL,
  ENOENT,
  EPERM,
} from "../uapi/index.ts";
import type { Attr, AttrObject, Host, UserBuffer } from "./host.ts";
import { countCpus } from "./kernel.ts";

const opened = kernelHost();
const onKernel = test.runIf(opened !== undefined);
// Only read inside `onKernel` tests.
const host = opened as Host;
const fds: number[] = [];

afterEach(() => {
  for (const fd of fds.splice(0)) host.close(fd);
});
afterAll(() => opened?.dispose());

function fdOf(result: number): number {
  expect(result).toBeGreaterThan(0);
  fds.push(result);
  return result;
}
const create = (attr: AttrObject): number => fdOf(host.bpf(BPF_MAP_CREATE, attr));
const hash = (extra: AttrObject = {}): number =>
  create({ map_type: BPF_MAP_TYPE_HASH, key_size: 4, value_size: 8, max_entries: 16, ...extra });
const u32 = (...values: number[]): Uint8Array => new Uint8Array(new Uint32Array(values).buffer);
const u64 = (...values: number[]): Uint8Array => new Uint8Array(new BigUint64Array(values.map(BigInt)).buffer);

onKernel("hash: create, update, lookup, next key, delete, lookup and delete", () => {
  const map_fd = hash({ map_name: "kernel_test" });
  const value = new Uint8Array(8);
  expect(host.bpf(BPF_MAP_LOOKUP_ELEM, { map_fd, key: u32(1), value })).toBe(-ENOENT);
  expect(host.bpf(BPF_MAP_UPDATE_ELEM, { map_fd, key: u32(1), value: u64(77), flags: BPF_ANY })).toBe(0);
  expect(host.bpf(BPF_MAP_UPDATE_ELEM, { map_fd, key: u32(1), value: u64(78), flags: BPF_NOEXIST })).toBe(-EEXIST);
  expect(host.bpf(BPF_MAP_LOOKUP_ELEM, { map_fd, key: u32(1), value })).toBe(0);
  expect(value).toEqual(u64(77));
  const next_key = new Uint8Array(4);
  expect(host.bpf(BPF_MAP_GET_NEXT_KEY, { map_fd, key: null, next_key })).toBe(0);
  expect(next_key).toEqual(u32(1));
  expect(host.bpf(BPF_MAP_GET_NEXT_KEY, { map_fd, key: next_key, next_key })).toBe(-ENOENT);
  expect(host.bpf(BPF_MAP_LOOKUP_AND_DELETE_ELEM, { map_fd, key: u32(1), value: value.fill(0) })).toBe(0);
  expect(value).toEqual(u64(77));
  expect(host.bpf(BPF_MAP_DELETE_ELEM, { map_fd, key: u32(1) })).toBe(-ENOENT);
});

onKernel("any view is a buffer, and only the bytes that the command touches are written", () => {
  const map_fd = create({ map_type: BPF_MAP_TYPE_ARRAY, key_size: 4, value_size: 4, max_entries: 4 });
  expect(host.bpf(BPF_MAP_UPDATE_ELEM, { map_fd, key: new Uint32Array([3]), value: new Uint32Array([9]) })).toBe(0);
  const value = new Uint32Array([1, 2, 3]);
  expect(host.bpf(BPF_MAP_LOOKUP_ELEM, { map_fd, key: new DataView(u32(0, 3).buffer, 4), value })).toBe(0);
  expect([...value]).toEqual([9, 2, 3]);
});

onKernel("buffers that are too short: -EFAULT, and nothing happens", () => {
  const map_fd = hash();
  const value = new Uint8Array(7);
  expect(host.bpf(BPF_MAP_UPDATE_ELEM, { map_fd, key: u32(1), value })).toBe(-EFAULT);
  expect(host.bpf(BPF_MAP_UPDATE_ELEM, { map_fd, key: new Uint8Array(3), value: u64(1) })).toBe(-EFAULT);
  expect(host.bpf(BPF_MAP_GET_NEXT_KEY, { map_fd, key: null, next_key: new Uint8Array(4) })).toBe(-ENOENT);
  expect(host.bpf(BPF_MAP_UPDATE_ELEM, { map_fd, key: u32(1), value: u64(1) })).toBe(0);
  expect(host.bpf(BPF_MAP_LOOKUP_AND_DELETE_ELEM, { map_fd, key: u32(1), value })).toBe(-EFAULT);
  expect(host.bpf(BPF_MAP_LOOKUP_ELEM, { map_fd, key: u32(1), value: u64(0) })).toBe(0);
  const short = host.user.alloc(7);
  expect(host.bpf(BPF_MAP_LOOKUP_ELEM, { map_fd, key: u32(1), value: short.bytes })).toBe(-EFAULT);
  expect(host.bpf(BPF_OBJ_GET_INFO_BY_FD, { bpf_fd: map_fd, info_len: 88, info: new Uint8Array(87) })).toBe(-EFAULT);
  short.free();
});

onKernel("per-CPU values have a slot for each possible CPU", () => {
  const map_fd = hash({ map_type: BPF_MAP_TYPE_PERCPU_HASH, value_size: 5 });
  const size = 8 * host.possibleCpus;
  const value = new Uint8Array(size).fill(0x5a);
  expect(host.bpf(BPF_MAP_UPDATE_ELEM, { map_fd, key: u32(1), value: value.subarray(1) })).toBe(-EFAULT);
  expect(host.bpf(BPF_MAP_UPDATE_ELEM, { map_fd, key: u32(1), value })).toBe(0);
  const back = new Uint8Array(size);
  expect(host.bpf(BPF_MAP_LOOKUP_ELEM, { map_fd, key: u32(1), value: back })).toBe(0);
  expect(back).toEqual(value);
});

onKernel("a queue takes no key", () => {
  const map_fd = create({ map_type: BPF_MAP_TYPE_QUEUE, value_size: 4, max_entries: 2 });
  expect(host.bpf(BPF_MAP_UPDATE_ELEM, { map_fd, key: null, value: u32(5) })).toBe(0);
  expect(host.bpf(BPF_MAP_UPDATE_ELEM, { map_fd, key: new Uint8Array(0), value: u32(5) })).toBe(-EINVAL);
  const value = new Uint8Array(4);
  expect(host.bpf(BPF_MAP_LOOKUP_AND_DELETE_ELEM, { map_fd, value })).toBe(0);
  expect(value).toEqual(u32(5));
});

onKernel("an unknown field, a wrong value", () => {
  const bad = (attr: AttrObject) => () => host.bpf(BPF_MAP_CREATE, attr);
  expect(bad({ map_type: 1, keysize: 4 })).toThrow(/BPF_MAP_CREATE has no field keysize. It has: map_type, key_size/);
  expect(bad({ map_type: 2 ** 32 })).toThrow(/map_type is 4294967296, expected an integer of 32 bits/);
  expect(bad({ map_type: 1.5 })).toThrow(TypeError);
  expect(bad({ map_extra: "1" })).toThrow(/map_extra is "1"/);
  expect(() => host.bpf(BPF_MAP_LOOKUP_ELEM, { map_fd: 1, key: "x" })).toThrow(/key is "x", expected a buffer/);
  expect(() => host.bpf(99, {})).toThrow(/bpf command 99/);
  expect(bad({ map_type: 2, key_size: 4, value_size: 4, max_entries: 1, map_name: "sixteen_letters_" })()).toBe(
    -EINVAL,
  );
  expect(bad({ map_type: 2, key_size: 4, value_size: 4, max_entries: 1, map_name: "fünfzehn_und_mehr" })()).toBe(
    -EINVAL,
  );
});

/** The attributes of an element command in the kernel's layout. */
function elem(fd: number, key: bigint | number, value: bigint | number, flags = 0): Uint8Array {
  const bytes = new Uint8Array(32);
  const view = new DataView(bytes.buffer);
  view.setInt32(0, fd, true);
  view.setBigInt64(8, BigInt(key), true);
  view.setBigInt64(16, BigInt(value), true);
  view.setBigUint64(24, BigInt(flags), true);
  return bytes;
}

onKernel("all forms of a call give the same", () => {
  const map_fd = hash();
  const key = host.user.alloc(4);
  const value = host.user.alloc(8);
  const attr = host.user.alloc(32);
  key.bytes.set(u32(3));
  value.bytes.set(u64(33));
  const bytes = elem(map_fd, key.address, value.address);
  attr.bytes.set(bytes);
  const forms: Attr[] = [
    bytes,
    attr.bytes,
    attr.address,
    Number(attr.address),
    { map_fd, key: key.bytes, value: value.bytes },
    { map_fd, key: key.address, value: Number(value.address) },
  ];
  for (const form of forms) {
    expect(host.bpf(BPF_MAP_LOOKUP_ELEM, form)).toBe(-ENOENT);
    expect(host.bpf(BPF_MAP_UPDATE_ELEM, form)).toBe(0);
    value.bytes.fill(0);
    expect(host.bpf(BPF_MAP_LOOKUP_ELEM, form)).toBe(0);
    expect(value.bytes).toEqual(u64(33));
    expect(host.bpf(BPF_MAP_LOOKUP_AND_DELETE_ELEM, form, 32)).toBe(0);
  }
  // An output beyond `size`, in memory of either kind.
  for (const id of [new Uint8Array(8), host.user.alloc(8).bytes]) {
    expect(host.bpf(BPF_MAP_GET_NEXT_ID, id, 4)).toBe(0);
    expect(id.subarray(0, 4)).toEqual(u32(0));
    expect(id.subarray(4)).not.toEqual(u32(0));
  }
  for (const buffer of [key, value, attr]) buffer.free();
});

onKernel("raw attributes: sizes and tails as in the kernel", () => {
  const tail = new Uint8Array(200);
  tail[190] = 1;
  expect(host.bpf(BPF_MAP_FREEZE, tail)).toBe(-E2BIG);
  expect(host.bpf(12345, tail)).toBe(-E2BIG);
  expect(host.bpf(12345, new Uint8Array(8))).toBe(-EINVAL);
  expect(host.bpf(BPF_MAP_FREEZE, new Uint8Array(200), 5000)).toBe(-E2BIG);
  expect(host.bpf(BPF_MAP_FREEZE, new Uint8Array(4), 8)).toBe(-EFAULT);
  expect(host.bpf(BPF_MAP_FREEZE, u32(9999, 1))).toBe(-EINVAL);
  expect(host.bpf(BPF_MAP_FREEZE, u32(9999))).toBe(-EBADF);
  const short = new Uint8Array(16);
  new DataView(short.buffer).setUint32(0, BPF_MAP_TYPE_ARRAY, true);
  short.set(u32(4, 4, 1), 4);
  fdOf(host.bpf(BPF_MAP_CREATE, short));
  expect(host.bpf(BPF_MAP_CREATE, new Uint8Array(0))).toBe(-EINVAL);
});

onKernel("raw attributes: an address that is not ours is never given to the kernel", () => {
  const map_fd = hash();
  const heap = new Uint8Array(64);
  const inside = host.user.alloc(64);
  const key = host.user.alloc(4);
  key.bytes.set(u32(1));
  host.bpf(BPF_MAP_UPDATE_ELEM, { map_fd, key: u32(1), value: u64(5) });
  for (const value of [1, 4096, -1, -4096, 2n ** 63n - 1n, 0x7fff_0000_0000n, BigInt(process.pid) * 4096n]) {
    expect(host.bpf(BPF_MAP_LOOKUP_ELEM, elem(map_fd, key.address, value))).toBe(-EFAULT);
    expect(host.bpf(BPF_MAP_LOOKUP_ELEM, { map_fd, key: u32(1), value: BigInt(value) })).toBe(-EFAULT);
  }
  // Memory that is there and can be written, but is another host's.
  const other = kernelHost()!;
  const theirs = other.user.alloc(192);
  expect(host.bpf(BPF_MAP_LOOKUP_ELEM, elem(map_fd, key.address, theirs.address))).toBe(-EFAULT);
  expect(host.bpf(BPF_MAP_GET_NEXT_ID, theirs.address)).toBe(-EFAULT);
  expect(host.bpf(BPF_MAP_LOOKUP_ELEM, elem(9999, key.address, theirs.address))).toBe(-EBADF);
  const infoAttr = { bpf_fd: map_fd, info_len: 104, info: theirs.address };
  expect(host.bpf(BPF_OBJ_GET_INFO_BY_FD, infoAttr)).toBe(-EFAULT);
  expect(theirs.bytes).toEqual(new Uint8Array(192));
  expect(other.bpf(BPF_MAP_GET_NEXT_ID, theirs.address)).toBe(0);
  other.dispose();
  // As in the kernel, a missing key comes before a bad value, and a bad fd before everything.
  key.bytes.set(u32(2));
  expect(host.bpf(BPF_MAP_LOOKUP_ELEM, elem(map_fd, key.address, 1))).toBe(-ENOENT);
  expect(host.bpf(BPF_MAP_LOOKUP_ELEM, elem(9999, key.address, inside.address))).toBe(-EBADF);
  expect(host.bpf(BPF_MAP_LOOKUP_ELEM, elem(-1, key.address, inside.address))).toBe(-EBADF);
  // Attributes outside.
  for (const at of [0, 1, -1, -4096, 0x7fff_0000_0000n, 0.5, Number.NaN]) {
    expect(host.bpf(BPF_MAP_LOOKUP_ELEM, at, 32)).toBe(-EFAULT);
  }
  expect(heap).toEqual(new Uint8Array(64));
  inside.free();
  key.free();
});

onKernel("raw attributes of one element: each pointer has to be ours, to the last byte", () => {
  const map_fd = hash();
  const other = kernelHost()!;
  const theirs = other.user.alloc(64);
  // Above all else that can be read, but for the kernel.
  const vdso = /^([0-9a-f]+).*\[vdso\]$/m.exec(readFileSync("/proc/self/maps", "utf8"))![1];
  const buffers = [host.user.alloc(32), host.user.alloc(8), host.user.alloc(8)];
  const [attr, key, value] = buffers as [UserBuffer, UserBuffer, UserBuffer];
  const run = (cmd: number, size: number, keyAt: bigint, valueAt: bigint): number => {
    attr.bytes.set(elem(map_fd, keyAt, valueAt));
    return host.bpf(cmd, Number(attr.address), size);
  };
  // The last byte of user memory, the same place 4 GiB further, and one that is no address.
  const last = key.address - BigInt(key.bytes.byteOffset) + BigInt(key.bytes.buffer.byteLength) - 1n;
  const bad = [theirs.address, BigInt(`0x${vdso}`), last, key.address + 2n ** 32n, key.address | (2n ** 63n)];
  for (const [cmd, size] of [
    [BPF_MAP_UPDATE_ELEM, 32],
    [BPF_MAP_LOOKUP_ELEM, 32],
    [BPF_MAP_GET_NEXT_KEY, 24],
    [BPF_MAP_DELETE_ELEM, 16],
  ] as const) {
    // Keys 0 and 1, so that there is one to be found, and one behind one of the two.
    for (const k of [0, 1]) host.bpf(BPF_MAP_UPDATE_ELEM, { map_fd, key: u32(k), value: u64(5) });
    expect(host.bpf(BPF_MAP_GET_NEXT_KEY, elem(map_fd, 0n, key.address))).toBe(0);
    for (const at of bad) {
      expect(run(cmd, size, at, value.address)).toBe(-EFAULT);
      if (cmd !== BPF_MAP_DELETE_ELEM) expect(run(cmd, size, key.address, at)).toBe(-EFAULT);
    }
    expect(run(cmd, size, key.address, cmd === BPF_MAP_DELETE_ELEM ? 0n : value.address)).toBe(0);
  }
  expect(theirs.bytes).toEqual(new Uint8Array(64));
  other.dispose();
  for (const buffer of buffers) buffer.free();
});

onKernel("a count in the attributes that leads over the end of user memory", () => {
  const fd = hash();
  const update = { map_fd: fd, keys: u32(1, 2), values: u64(1, 2), count: 2 };
  expect(host.bpf(BPF_MAP_UPDATE_BATCH, update)).toBe(0);
  const out = host.user.alloc(4);
  const keys = host.user.alloc(64);
  const values = host.user.alloc(64);
  const attr = host.user.alloc(56);
  const view = new DataView(attr.bytes.buffer, attr.bytes.byteOffset);
  [out, keys, values].forEach(({ address }, i) => {
    view.setBigUint64(8 + i * 8, address, true);
  });
  view.setUint32(36, fd, true);
  for (const [count, result, left] of [
    [0x8000_0000, -EFAULT, 0],
    [8, -ENOENT, 2],
  ] as const) {
    view.setUint32(32, count, true);
    expect(host.bpf(BPF_MAP_LOOKUP_BATCH, attr.address)).toBe(result);
    expect(view.getUint32(32, true)).toBe(left);
  }
  for (const buffer of [out, keys, values, attr]) buffer.free();
});

onKernel("info: written in place, its length too", () => {
  const map_fd = hash({ map_name: "named" });
  const info = new Uint8Array(200);
  const attr = { bpf_fd: map_fd, info_len: 200, info };
  expect(host.bpf(BPF_OBJ_GET_INFO_BY_FD, attr)).toBe(0);
  expect(attr.info_len).toBe(bpf_map_info.size);
  expect(info.subarray(24, 30)).toEqual(new TextEncoder().encode("named\0"));
  // A second call reads what the first left; none of it is a pointer.
  expect(host.bpf(BPF_OBJ_GET_INFO_BY_FD, { ...attr, info_len: bpf_map_info.size })).toBe(0);
});

onKernel("fds: by id, closed, used again as another map", () => {
  const first = hash();
  const info = new Uint8Array(8);
  host.bpf(BPF_OBJ_GET_INFO_BY_FD, { bpf_fd: first, info_len: 8, info });
  const map_id = new DataView(info.buffer).getUint32(4, true);
  const again = fdOf(host.bpf(BPF_MAP_GET_FD_BY_ID, { map_id }));
  const walk: AttrObject = { start_id: map_id - 1 };
  expect(host.bpf(BPF_MAP_GET_NEXT_ID, walk)).toBe(0);
  expect(walk).toEqual({ start_id: map_id - 1, next_id: map_id });
  expect(host.bpf(BPF_MAP_LOOKUP_ELEM, { map_fd: again, key: u32(0), value: u64(0) })).toBe(-ENOENT);
  expect(host.close(again)).toBe(0);
  expect(host.close(again)).toBe(-EBADF);
  expect(host.close(-1)).toBe(-EBADF);
  const wide = fdOf(host.bpf(BPF_MAP_CREATE, { map_type: 1, key_size: 4, value_size: 800, max_entries: 1 }));
  expect(wide).toBe(again);
  expect(host.bpf(BPF_MAP_UPDATE_ELEM, { map_fd: wide, key: u32(0), value: u64(0) })).toBe(-EFAULT);
  fds.splice(fds.indexOf(again), 1);
  // Closed behind the host's back: the number that comes again is another map all the same.
  closeSync(wide);
  const narrow = host.bpf(BPF_MAP_CREATE, { map_type: 1, key_size: 4, value_size: 8, max_entries: 1 });
  expect(narrow).toBe(wide);
  expect(host.bpf(BPF_MAP_UPDATE_ELEM, { map_fd: narrow, key: u32(0), value: u64(0) })).toBe(0);
});

onKernel("batches: counts and cursors come back", () => {
  const map_fd = hash();
  const keys = u32(1, 2, 3, 4);
  const values = u64(10, 20, 30, 40);
  const update = { map_fd, keys, values, count: 4 };
  expect(host.bpf(BPF_MAP_UPDATE_BATCH, { ...update, count: 5 })).toBe(-EFAULT);
  expect(host.bpf(BPF_MAP_UPDATE_BATCH, update)).toBe(0);
  const cursor = new Uint8Array(4);
  const read: AttrObject = {
    map_fd,
    out_batch: cursor,
    keys: new Uint8Array(40),
    values: new Uint8Array(80),
    count: 10,
  };
  expect(host.bpf(BPF_MAP_LOOKUP_BATCH, read)).toBe(-ENOENT);
  expect(read.count).toBe(4);
  const sum = [...new BigUint64Array((read.values as Uint8Array).buffer)].reduce((a, b) => a + b);
  expect(sum).toBe(100n);
  expect(host.bpf(BPF_MAP_LOOKUP_BATCH, { ...read, count: 10, out_batch: new Uint8Array(3) })).toBe(-EFAULT);
});

onKernel("mmap: a live view, harmless after munmap", () => {
  const map_fd = create({ map_type: 2, key_size: 4, value_size: 8, max_entries: 512, map_flags: BPF_F_MMAPABLE });
  const view = host.mmap(map_fd, { offset: 0, length: 4096, prot: 3 }) as Uint8Array;
  expect(view.length).toBe(4096);
  view.set(u64(99), 8);
  const value = new Uint8Array(8);
  expect(host.bpf(BPF_MAP_LOOKUP_ELEM, { map_fd, key: u32(1), value })).toBe(0);
  expect(value).toEqual(u64(99));
  // The mapping itself is a buffer: no copy on the way.
  expect(host.bpf(BPF_MAP_LOOKUP_ELEM, { map_fd, key: u32(1), value: view.subarray(80, 88) })).toBe(0);
  expect(view.subarray(80, 88)).toEqual(u64(99));
  expect(host.bpf(BPF_MAP_FREEZE, { map_fd })).toBeLessThan(0);
  expect(host.munmap(view)).toBe(0);
  expect(host.munmap(view)).toBe(0);
  expect(host.bpf(BPF_MAP_FREEZE, { map_fd })).toBe(0);
  expect(view.every((byte) => byte === 0)).toBe(true);
  view.fill(1);
  expect(host.bpf(BPF_MAP_LOOKUP_ELEM, { map_fd, key: u32(1), value: view.subarray(80, 88) })).toBe(0);
  expect(host.mmap(map_fd, { offset: 0, length: 4096, prot: 3 })).toBe(-EPERM);
  expect(host.mmap(map_fd, { offset: 0, length: 0, prot: 1 })).toBe(-EINVAL);
  expect(host.mmap(9999, { offset: 0, length: 4096, prot: 1 })).toBe(-EBADF);
  expect(host.munmap(new Uint8Array(4096))).toBe(-EINVAL);
});

onKernel("two hosts side by side; dispose closes what was opened", async () => {
  const other = kernelHost()!;
  const map_fd = other.bpf(BPF_MAP_CREATE, {
    map_type: 2,
    key_size: 4,
    value_size: 4,
    max_entries: 1,
    map_flags: 0x400,
  });
  const view = other.mmap(map_fd, { offset: 0, length: 4096, prot: 1 }) as Uint8Array;
  const ring = other.bpf(BPF_MAP_CREATE, { map_type: BPF_MAP_TYPE_RINGBUF, max_entries: 4096 });
  const waiting = other.wait([ring]);
  other.dispose();
  other.dispose();
  expect(await waiting).toBe(-EBADF);
  expect(view[0]).toBe(0);
  expect(host.bpf(BPF_MAP_FREEZE, { map_fd })).toBe(-EBADF);
  expect(() => other.bpf(BPF_MAP_FREEZE, { map_fd })).toThrow(/disposed of/);
});

test("countCpus", () => {
  expect(countCpus("0\n")).toBe(1);
  expect(countCpus("0-127\n")).toBe(128);
  expect(countCpus("0-1,4,6-7")).toBe(5);
});
