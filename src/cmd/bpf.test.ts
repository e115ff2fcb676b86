import { beforeAll, expect, test } from "vitest";
import { createKernel } from "../kern/create.ts";
import type { Kernel } from "../kern/kernel.ts";
import { alloc, POOL_USER } from "../mem/alloc.ts";
import * as u from "../uapi/index.ts";
import { bpf } from "./bpf.ts";

let k: Kernel;
let attr: number;
beforeAll(() => {
  k = createKernel({ memory: 64 << 20, cpus: 2, shared: false, seed: 1, virtualClock: true });
  attr = alloc(k.mem, 4096, POOL_USER);
});

function call(cmd: number, words: readonly number[], size = words.length * 4): number {
  k.mem.zero(attr, 256);
  words.forEach((w, i) => {
    k.mem.u32[(attr >>> 2) + i] = w;
  });
  return bpf(k, cmd, attr, size);
}

test("size beyond a page is E2BIG before the pointer is looked at; a dirty tail is E2BIG, unknown fields EINVAL", () => {
  expect(bpf(k, u.BPF_MAP_CREATE, 1, 4097)).toBe(-u.E2BIG);
  expect(bpf(k, u.BPF_MAP_CREATE, 1, 16)).toBe(-u.EFAULT);
  expect(call(1000, [0, 0])).toBe(-u.EINVAL);
  const words = Array<number>(44).fill(0);
  words[43] = 1;
  expect(call(1000, words)).toBe(-u.E2BIG);
  expect(call(u.BPF_MAP_FREEZE, [3, 1])).toBe(-u.EINVAL);
});

for (const type of [u.BPF_MAP_TYPE_HASH, u.BPF_MAP_TYPE_ARRAY]) {
  test(`create, update, lookup, next key, delete, close: type ${type}`, () => {
    const fd = call(u.BPF_MAP_CREATE, [type, 4, 8, 4]);
    expect(fd).toBe(3);
    const key = attr + 512;
    const value = attr + 520;
    k.mem.u32[key >>> 2] = 2;
    k.mem.u32[value >>> 2] = 77;
    expect(call(u.BPF_MAP_UPDATE_ELEM, [fd, 0, key, 0, value, 0, 0, 0])).toBe(0);
    k.mem.u32[value >>> 2] = 0;
    expect(call(u.BPF_MAP_LOOKUP_ELEM, [fd, 0, key, 0, value, 0, 0, 0])).toBe(0);
    expect(k.mem.u32[value >>> 2]).toBe(77);
    expect(call(u.BPF_MAP_GET_NEXT_KEY, [fd, 0, 0, 0, value, 0])).toBe(0);
    expect(k.mem.u32[value >>> 2]).toBe(type === u.BPF_MAP_TYPE_HASH ? 2 : 0);
    expect(call(u.BPF_MAP_DELETE_ELEM, [fd, 0, key, 0])).toBe(type === u.BPF_MAP_TYPE_HASH ? 0 : -u.EINVAL);
    expect(k.close(fd)).toBe(0);
    expect(k.close(fd)).toBe(-u.EBADF);
  });
}
