import { beforeEach, expect, test } from "vitest";
import { bpf } from "../cmd/bpf.ts";
import { alloc, memoryUse, POOL_USER } from "../mem/alloc.ts";
import {
  BPF_F_MMAPABLE,
  BPF_MAP_CREATE,
  BPF_MAP_FREEZE,
  BPF_MAP_TYPE_ARRAY,
  EBUSY,
  EPERM,
  PROT_READ,
  PROT_WRITE,
} from "../uapi/index.ts";
import type { ClientSlot } from "./clients.ts";
import { attachKernel, createKernel } from "./create.ts";
import type { Kernel } from "./kernel.ts";
import { reap } from "./leave.ts";
import { forgetView, type Mapping, mapMemory } from "./mappings.ts";

let a: Kernel;
let attr = 0;

beforeEach(() => {
  a = createKernel({ memory: 2 ** 24, cpus: 1, shared: true, seed: 1, virtualClock: true });
  attr = alloc(a.mem, 128, POOL_USER);
});

function create(): number {
  a.mem.zero(attr, 128);
  a.mem.u32.set([BPF_MAP_TYPE_ARRAY, 4, 8, 1, BPF_F_MMAPABLE], attr >>> 2);
  return bpf(a, BPF_MAP_CREATE, attr, 72);
}

function freeze(kernel: Kernel, fd: number): number {
  kernel.mem.zero(attr, 128);
  kernel.mem.u32[attr >>> 2] = fd;
  return bpf(kernel, BPF_MAP_FREEZE, attr, 4);
}

function map(kernel: Kernel, fd: number): Mapping {
  const mapping = mapMemory(kernel, fd, { offset: 0, length: 4096, prot: PROT_READ | PROT_WRITE, hint: 0n });
  if (typeof mapping === "number") throw new Error(`mmap: ${mapping}`);
  return mapping;
}

test("what a dead client had mapped goes, while others end mappings of theirs", () => {
  const b = attachKernel(a.mem.wasm, a.announce()!);
  const gone: ClientSlot = a.announce()!;
  const c = attachKernel(a.mem.wasm, gone);
  a.close(create());
  const before = memoryUse(a.mem).used;
  const fds = [create(), create(), create()];
  map(c, fds[0]!);
  const other = map(b, fds[1]!);
  map(c, fds[2]!);
  for (const fd of fds) a.close(fd);
  const put = a.put.bind(a);
  a.put = (object) => {
    a.put = put;
    put(object);
    forgetView(b, other.record);
  };
  reap(a, gone);
  expect(memoryUse(a.mem).used).toBe(before);
});

test("of mmap for writing and freezing at the same moment one is refused", () => {
  const b = attachKernel(a.mem.wasm, a.announce()!);
  const fd = create();
  const hold = a.hold.bind(a);
  let frozen: number | undefined;
  a.hold = (object) => {
    hold(object);
    frozen ??= freeze(b, fd);
  };
  const { record } = map(a, fd);
  expect(frozen).toBe(-EBUSY);
  forgetView(a, record);
  expect(freeze(b, fd)).toBe(0);
  const refused = mapMemory(a, fd, { offset: 0, length: 4096, prot: PROT_READ | PROT_WRITE, hint: 0n });
  expect(refused).toBe(-EPERM);
});
