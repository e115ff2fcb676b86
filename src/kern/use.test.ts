import { beforeEach, expect, test } from "vitest";
import { bpf } from "../cmd/bpf.ts";
import { alloc, memoryUse, POOL_USER } from "../mem/alloc.ts";
import {
  BPF_F_RDONLY,
  BPF_MAP_CREATE,
  BPF_MAP_FREEZE,
  BPF_MAP_LOOKUP_ELEM,
  BPF_MAP_TYPE_ARRAY,
  BPF_MAP_TYPE_HASH,
  BPF_MAP_UPDATE_ELEM,
  EBADF,
  EBUSY,
  ENOENT,
  EPERM,
} from "../uapi/index.ts";
import { attachKernel, createKernel } from "./create.ts";
import { FMODE_READ, FMODE_WRITE } from "./fds.ts";
import type { Kernel } from "./kernel.ts";
import { reap } from "./leave.ts";

let a: Kernel;
let b: Kernel;
let c: Kernel;
let attr = 0;

beforeEach(() => {
  a = createKernel({ memory: 2 ** 24, cpus: 1, shared: true, seed: 1, virtualClock: true });
  b = attachKernel(a.mem.wasm, a.announce()!);
  c = attachKernel(a.mem.wasm, a.announce()!);
  attr = alloc(a.mem, 128, POOL_USER);
  // Tables and size classes that the first map needs stay taken.
  for (const type of [BPF_MAP_TYPE_ARRAY, BPF_MAP_TYPE_HASH]) a.close(create(a, type));
});

function create(kernel: Kernel, type: number = BPF_MAP_TYPE_ARRAY, flags = 0): number {
  const { u32 } = kernel.mem;
  kernel.mem.zero(attr, 128);
  u32.set([type, 4, 8, 1, flags], attr >>> 2);
  return bpf(kernel, BPF_MAP_CREATE, attr, 72);
}

function elem(kernel: Kernel, cmd: number, fd: number): number {
  kernel.mem.zero(attr, 128);
  kernel.mem.u32[attr >>> 2] = fd;
  kernel.mem.u32[(attr + 8) >>> 2] = attr + 64;
  kernel.mem.u32[(attr + 16) >>> 2] = attr + 72;
  return bpf(kernel, cmd, attr, 32);
}

function freeze(kernel: Kernel, fd: number): number {
  kernel.mem.zero(attr, 128);
  kernel.mem.u32[attr >>> 2] = fd;
  return bpf(kernel, BPF_MAP_FREEZE, attr, 4);
}

/** What a map in full takes, given back or not. */
const used = (): number => memoryUse(a.mem).used;

test("a map that is closed while a command works on it goes when the command ends", () => {
  const before = used();
  const fd = create(a);
  const full = used();
  expect(b.getMap(fd, FMODE_READ)).toBeGreaterThan(0);
  expect(a.close(fd)).toBe(0);
  expect(used()).toBe(full);
  b.endMap();
  expect(used()).toBe(before);
});

test("several commands at work: the last one that ends takes the map away", () => {
  const before = used();
  const fd = create(a);
  const full = used();
  b.getMap(fd, FMODE_READ);
  c.getMap(fd, FMODE_WRITE);
  a.close(fd);
  b.endMap();
  expect(used()).toBe(full);
  c.endMap();
  expect(used()).toBe(before);
});

test("a client that dies at work leaves no map behind, whoever drops the last reference", () => {
  const before = used();
  const first = create(a);
  b.getMap(first, FMODE_READ);
  a.close(first);
  reap(a, b.client);
  expect(used()).toBe(before);
  const second = create(a);
  c.getMap(second, FMODE_WRITE);
  reap(a, c.client);
  expect(freeze(a, second)).toBe(0);
  a.close(second);
  expect(used()).toBe(before);
});

test("a map that is written cannot be frozen; one that is read can", () => {
  const fd = create(a);
  b.getMap(fd, FMODE_WRITE);
  expect(freeze(a, fd)).toBe(-EBUSY);
  b.endMap();
  b.getMap(fd, FMODE_READ);
  expect(freeze(a, fd)).toBe(0);
  b.endMap();
  expect(elem(b, BPF_MAP_UPDATE_ELEM, fd)).toBe(-EPERM);
  expect(elem(b, BPF_MAP_LOOKUP_ELEM, fd)).toBe(0);
});

test("a number that another client closes and opens again is the new map, with its type and mode", () => {
  const fd = create(a);
  expect(elem(b, BPF_MAP_LOOKUP_ELEM, fd)).toBe(0);
  a.close(fd);
  expect(elem(b, BPF_MAP_LOOKUP_ELEM, fd)).toBe(-EBADF);
  expect(create(a, BPF_MAP_TYPE_HASH)).toBe(fd);
  expect(elem(b, BPF_MAP_LOOKUP_ELEM, fd)).toBe(-ENOENT);
  a.close(fd);
  expect(create(a, BPF_MAP_TYPE_ARRAY, BPF_F_RDONLY)).toBe(fd);
  expect(elem(b, BPF_MAP_UPDATE_ELEM, fd)).toBe(-EPERM);
  expect(elem(b, BPF_MAP_LOOKUP_ELEM, fd)).toBe(0);
});

test("an fd that is closed, or whose table moves, between the look and the announcement is looked up again", () => {
  const before = used();
  let fd = create(a);
  const { announce } = b.mem.atomics;
  let meanwhile = (): void => {};
  const atomics = {
    ...b.mem.atomics,
    announce: (at: number, word: number, table: number, index: number): number => {
      meanwhile();
      meanwhile = () => {};
      return announce(at, word, table, index);
    },
  };
  Object.defineProperty(b.mem, "atomics", { value: atomics });
  // Closed: the announcement of a map that has gone already does no harm.
  meanwhile = () => a.close(fd);
  expect(b.getMap(fd, FMODE_READ)).toBe(-EBADF);
  expect(used()).toBe(before);
  // Another map under the number.
  fd = create(a, BPF_MAP_TYPE_HASH);
  meanwhile = () => {
    a.close(fd);
    create(a);
  };
  expect(elem(b, BPF_MAP_LOOKUP_ELEM, fd)).toBe(0);
  // The table moves, and its old place is used for something else.
  meanwhile = () => {
    for (let i = 0; i < 70; i++) create(a);
    for (let i = 0; i < 9; i++) a.mem.u32.fill(0xffff_fff0, alloc(a.mem, 256) >>> 2, 16);
  };
  const map = b.getMap(fd, FMODE_READ);
  expect(map).toBeGreaterThan(0);
  b.endMap();
});
