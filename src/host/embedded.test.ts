import { expect, test, vi } from "vitest";
import { InputError } from "../errors.ts";
import { attachKernel } from "../kern/create.ts";
import { detach } from "../kern/leave.ts";
import {
  BPF_F_MMAPABLE,
  BPF_MAP_CREATE,
  BPF_MAP_FREEZE,
  BPF_MAP_LOOKUP_ELEM,
  BPF_MAP_TYPE_ARENA,
  BPF_MAP_TYPE_ARRAY,
  BPF_MAP_TYPE_HASH,
  BPF_MAP_TYPE_RINGBUF,
  BPF_MAP_UPDATE_ELEM,
  E2BIG,
  EBADF,
  EBUSY,
  EFAULT,
  EINVAL,
  ENOMEM,
  ENOTSUPP,
  EPERM,
} from "../uapi/index.ts";
import { attachEmbeddedHost, createEmbeddedHost } from "./embedded.ts";

const SMALL = { memory: 64 * 1024 * 1024, cpus: 2, seed: 1 } as const;
const array = { map_type: BPF_MAP_TYPE_ARRAY, key_size: 4, value_size: 4, max_entries: 256 };

for (const shared of [false, true]) {
  const mode = shared ? "shared" : "exclusive";

  test(`${mode}: the example of the kernel's document`, () => {
    const host = createEmbeddedHost({ ...SMALL, shared });
    const fd = host.bpf(BPF_MAP_CREATE, { ...array, map_flags: BPF_F_MMAPABLE, map_name: "example_array" });
    expect(fd).toBe(3);
    const key = new Uint8Array([7, 0, 0, 0]);
    const value = new Uint8Array([1, 2, 3, 4]);
    expect(host.bpf(BPF_MAP_UPDATE_ELEM, { map_fd: fd, key, value, flags: 0 })).toBe(0);
    value.fill(0);
    expect(host.bpf(BPF_MAP_LOOKUP_ELEM, { map_fd: fd, key, value })).toBe(0);
    expect([...value]).toEqual([1, 2, 3, 4]);
    expect(host.bpf(BPF_MAP_LOOKUP_ELEM, { map_fd: fd, key, value: new Uint8Array(3) })).toBe(-EFAULT);
    host.dispose();
  });

  test(`${mode}: a mapping is live, holds the map, blocks FREEZE, and stays harmless after munmap`, () => {
    const host = createEmbeddedHost({ ...SMALL, shared });
    const before = host.memory().used;
    const fd = host.bpf(BPF_MAP_CREATE, { ...array, map_flags: BPF_F_MMAPABLE });
    const view = host.mmap(fd, { offset: 0, length: 2048, prot: 3 });
    if (typeof view === "number") throw new Error(`mmap: ${view}`);
    view[8 * 5] = 99;
    const value = new Uint8Array(4);
    host.bpf(BPF_MAP_LOOKUP_ELEM, { map_fd: fd, key: new Uint8Array([5, 0, 0, 0]), value });
    expect(value[0]).toBe(99);
    expect(host.bpf(BPF_MAP_FREEZE, { map_fd: fd })).toBe(-EBUSY);
    expect(host.close(fd)).toBe(0);
    expect(view[8 * 5]).toBe(99);
    expect(host.munmap(view)).toBe(0);
    expect(host.munmap(new Uint8Array(1))).toBe(-EINVAL);
    // The view can still be written, so its granule must not serve a new map.
    view.fill(0xff);
    const next = host.bpf(BPF_MAP_CREATE, array);
    host.bpf(BPF_MAP_LOOKUP_ELEM, { map_fd: next, key: new Uint8Array(4), value });
    expect([...value]).toEqual([0, 0, 0, 0]);
    expect(host.memory().used).toBeGreaterThan(before);
    host.dispose();
  });

  test(`${mode}: mmap's errnos`, () => {
    const host = createEmbeddedHost({ ...SMALL, shared });
    const plain = host.bpf(BPF_MAP_CREATE, array);
    const hash = host.bpf(BPF_MAP_CREATE, { ...array, map_type: BPF_MAP_TYPE_HASH });
    const fd = host.bpf(BPF_MAP_CREATE, { ...array, map_flags: BPF_F_MMAPABLE });
    expect(host.mmap(99, { offset: 0, length: 1, prot: 1 })).toBe(-EBADF);
    expect(host.mmap(plain, { offset: 0, length: 1, prot: 1 })).toBe(-EINVAL);
    expect(host.mmap(hash, { offset: 0, length: 1, prot: 1 })).toBe(-ENOTSUPP);
    expect(host.mmap(fd, { offset: 0, length: 4097, prot: 1 })).toBe(-EINVAL);
    expect(host.mmap(fd, { offset: 1, length: 1, prot: 1 })).toBe(-EINVAL);
    expect(host.bpf(BPF_MAP_FREEZE, { map_fd: fd })).toBe(0);
    expect(host.mmap(fd, { offset: 0, length: 1, prot: 3 })).toBe(-EPERM);
    expect(host.mmap(fd, { offset: 0, length: 1, prot: 1 })).toBeInstanceOf(Uint8Array);
    host.dispose();
  });

  test(`${mode}: a map beyond the memory is ENOMEM, and nothing is lost`, () => {
    const host = createEmbeddedHost({ ...SMALL, shared });
    const { used, metadata } = host.memory();
    for (const [map_type, max_entries] of [
      [BPF_MAP_TYPE_ARRAY, 2 ** 31],
      [BPF_MAP_TYPE_ARRAY, 2 ** 30],
      [BPF_MAP_TYPE_ARRAY, 2 ** 26],
      [BPF_MAP_TYPE_HASH, 2 ** 27],
      [BPF_MAP_TYPE_HASH, 2 ** 26],
    ] as const) {
      expect(host.bpf(BPF_MAP_CREATE, { ...array, map_type, max_entries })).toBe(-ENOMEM);
    }
    expect(host.memory().metadata).toBe(metadata);
    // Slabs keep the granules that they took.
    expect(host.memory().used - used).toBeLessThanOrEqual(3 * 65536);
    host.dispose();
  });

  test(`${mode}: making, filling and closing maps gives all memory back`, () => {
    const host = createEmbeddedHost({ ...SMALL, shared });
    const cycle = (): void => {
      for (const [map_type, map_flags] of [
        [BPF_MAP_TYPE_ARRAY, 0],
        [BPF_MAP_TYPE_HASH, 0],
        [BPF_MAP_TYPE_HASH, 1],
      ]) {
        const fd = host.bpf(BPF_MAP_CREATE, { ...array, map_type: map_type!, map_flags: map_flags! });
        for (let i = 0; i < 20; i++) {
          const key = new Uint8Array([i, 0, 0, 0]);
          expect(host.bpf(BPF_MAP_UPDATE_ELEM, { map_fd: fd, key, value: key })).toBe(0);
        }
        host.close(fd);
      }
    };
    cycle();
    const { used, metadata } = host.memory();
    for (let i = 0; i < 50; i++) cycle();
    expect(host.memory()).toMatchObject({ used, metadata });
    host.dispose();
  });
}

test("an exclusive host refuses to be shared, and says what to do", () => {
  const host = createEmbeddedHost(SMALL);
  expect(() => host.share()).toThrow(/shared: true/);
  host.dispose();
});

test("a second client of the same process sees the same fds; the last one to go closes them", () => {
  const host = createEmbeddedHost({ ...SMALL, shared: true });
  const ticket = host.share();
  const other = attachEmbeddedHost(ticket);
  expect(() => attachEmbeddedHost(ticket)).toThrow(/not announced|already/);
  const fd = host.bpf(BPF_MAP_CREATE, { ...array, map_type: BPF_MAP_TYPE_HASH });
  const key = new Uint8Array([1, 0, 0, 0]);
  const value = new Uint8Array([9, 9, 9, 9]);
  expect(other.bpf(BPF_MAP_UPDATE_ELEM, { map_fd: fd, key, value })).toBe(0);
  expect(host.bpf(BPF_MAP_LOOKUP_ELEM, { map_fd: fd, key, value: value.fill(0) })).toBe(0);
  expect([...value]).toEqual([9, 9, 9, 9]);
  host.dispose();
  expect(other.openFds()).toEqual([fd]);
  other.dispose();
});

test("wrong options name the value and the limits", () => {
  expect(() => createEmbeddedHost({ memory: 5 })).toThrow(/memory is 5: expected a whole number from 1048576/);
  expect(() => createEmbeddedHost({ cpus: 0 })).toThrow(/cpus is 0/);
  expect(() => createEmbeddedHost().advance(1n)).toThrow(/virtual/);
});

test("the virtual clock moves only when it is told to", () => {
  const host = createEmbeddedHost({ ...SMALL, clock: "virtual" });
  host.advance(1_000n);
  host.dispose();
});

test.each([false, true])("after dispose() every call is refused; shared: %s", async (shared) => {
  const host = createEmbeddedHost({ ...SMALL, shared, clock: "virtual" });
  const fd = host.bpf(BPF_MAP_CREATE, { ...array, map_flags: BPF_F_MMAPABLE });
  const view = host.mmap(fd, { offset: 0, length: 4, prot: 3 });
  if (typeof view === "number") throw new Error(`mmap: ${view}`);
  const buffer = host.user.alloc(16);
  const ring = host.bpf(BPF_MAP_CREATE, { map_type: BPF_MAP_TYPE_RINGBUF, max_entries: 4096 });
  const waiting = host.wait([ring]);
  host.dispose();
  host.dispose();
  // Woken, and told that its fd is closed.
  expect(await waiting).toBe(-EBADF);
  const calls: readonly (() => unknown)[] = [
    () => host.bpf(BPF_MAP_CREATE, array),
    () => host.bpf(BPF_MAP_CREATE, Number(buffer.address)),
    () => host.close(fd),
    () => host.mmap(fd, { offset: 0, length: 4, prot: 1 }),
    () => host.poll([fd], 0),
    () => host.user.alloc(16),
    () => host.memory(),
    () => host.mapBytes(fd),
    () => host.openFds(),
    () => host.advance(1n),
    () => host.share(),
  ];
  for (const call of calls) {
    expect(call).toThrow(InputError);
    expect(call).toThrow(/this embedded host was disposed of/);
  }
  await expect(host.wait([fd])).rejects.toThrow(InputError);
  // What ends things still can be called late.
  expect(host.munmap(view)).toBe(0);
  expect(host.munmap(new Uint8Array(1))).toBe(-EINVAL);
  expect(() => buffer.free()).not.toThrow();
});

test("addresses beyond the memory, and sizes that are none, are refused", () => {
  const host = createEmbeddedHost({ memory: 2 * 1024 * 1024, seed: 1 });
  const attr = host.user.alloc(64);
  const at = Number(attr.address);
  expect(host.bpf(BPF_MAP_CREATE, at, -66000)).toBe(-E2BIG);
  expect(host.bpf(BPF_MAP_CREATE, -8, 16)).toBe(-EFAULT);
  const fd = host.bpf(BPF_MAP_CREATE, array);
  const words = new DataView(attr.bytes.buffer, attr.bytes.byteOffset, 64);
  words.setUint32(0, fd, true);
  words.setBigUint64(8, attr.address + 32n, true);
  const answers = new Set<number>();
  for (let address = 2n ** 21n; address < 2n ** 32n; address += 2n ** 16n) {
    words.setBigUint64(16, address, true);
    answers.add(host.bpf(BPF_MAP_LOOKUP_ELEM, at, 32));
  }
  expect([...answers]).toEqual([-EFAULT]);
  host.dispose();
});

test("what user space writes into free user memory leads the allocator nowhere else", () => {
  const host = createEmbeddedHost(SMALL);
  const fd = host.bpf(BPF_MAP_CREATE, array);
  const [a, b] = [host.user.alloc(1000), host.user.alloc(1000)];
  b.free();
  a.free();
  new DataView(a.bytes.buffer, a.bytes.byteOffset, 8).setUint32(0, 0x5_0000, true);
  const again = [host.user.alloc(1000), host.user.alloc(1000), host.user.alloc(1000)];
  for (const { address } of again) expect(address).toBeGreaterThan(0x5_0400n);
  expect(host.bpf(BPF_MAP_LOOKUP_ELEM, { map_fd: fd, key: new Uint8Array(4), value: new Uint8Array(4) })).toBe(0);
  host.dispose();
});

test("a ring's writable page does not let commands write the rest of the ring", () => {
  const host = createEmbeddedHost(SMALL);
  const ring = host.bpf(BPF_MAP_CREATE, { map_type: BPF_MAP_TYPE_RINGBUF, max_entries: 4096 });
  const consumer = host.mmap(ring, { offset: 0, length: 4096, prot: 3 }) as Uint8Array;
  host.mmap(ring, { offset: 4096, length: 4096, prot: 1 });
  const map_fd = host.bpf(BPF_MAP_CREATE, array);
  const key = new Uint8Array(4);
  const base = consumer.byteOffset;
  expect(host.bpf(BPF_MAP_LOOKUP_ELEM, { map_fd, key, value: base })).toBe(0);
  expect(host.bpf(BPF_MAP_LOOKUP_ELEM, { map_fd, key, value: base + 4096 })).toBe(-EFAULT);
  expect(host.bpf(BPF_MAP_UPDATE_ELEM, { map_fd, key, value: base + 4096 })).toBe(0);
  host.dispose();
});

test("a mapping that drops its views gives its memory back at once", () => {
  const host = createEmbeddedHost(SMALL);
  const cycle = (): void => {
    const fd = host.bpf(BPF_MAP_CREATE, { ...array, map_flags: BPF_F_MMAPABLE });
    const view = host.mmap(fd, { offset: 0, length: 4096, prot: 3, dropsViews: true }) as Uint8Array;
    host.munmap(view);
    host.close(fd);
  };
  cycle();
  const { used, metadata } = host.memory();
  for (let i = 0; i < 20; i++) cycle();
  expect(host.memory()).toMatchObject({ used, metadata });
  host.dispose();
});

test("clients that come and go leave nothing behind", () => {
  const host = createEmbeddedHost({ ...SMALL, shared: true });
  const fd = host.bpf(BPF_MAP_CREATE, array);
  const visit = (clean: boolean): void => {
    const ticket = host.share();
    const other = attachEmbeddedHost(ticket);
    other.bpf(BPF_MAP_LOOKUP_ELEM, { map_fd: fd, key: new Uint8Array(4), value: new Uint8Array(4) });
    if (clean) other.dispose();
    else host.reap(ticket);
  };
  visit(true);
  const { user } = host.memory();
  for (let i = 0; i < 10; i++) visit(true);
  expect(host.memory().user).toBe(user);
  visit(false);
  const before = host.memory();
  for (let i = 0; i < 10; i++) visit(false);
  expect(host.memory()).toEqual(before);
  host.dispose();
});

test.each([false, true])("negative fds are passed over, as poll(2) does; shared: %s", async (shared) => {
  const host = createEmbeddedHost({ ...SMALL, shared });
  const fd = host.bpf(BPF_MAP_CREATE, array);
  expect(host.poll([-1], 0)).toEqual([]);
  expect(host.poll([-5, fd, -1], 0)).toEqual([fd]);
  expect(await host.wait([-1, fd])).toEqual([fd]);
  expect(await host.wait([-1], { timeoutMs: 1 })).toEqual([]);
  expect(host.poll([-1, 99], 0)).toBe(-EBADF);
  host.dispose();
});

test("a view of an arena ends with it; what is asked of commands there ends as well", () => {
  const host = createEmbeddedHost(SMALL);
  const arena = { map_type: BPF_MAP_TYPE_ARENA, max_entries: 1, map_flags: BPF_F_MMAPABLE };
  const [fd, other] = [host.bpf(BPF_MAP_CREATE, arena), host.bpf(BPF_MAP_CREATE, array)];
  const view = host.mmap(fd, { offset: 0, length: 65536, prot: 3 });
  if (typeof view === "number") throw new Error(`mmap: ${view}`);
  expect(view.length).toBe(4096);
  // Its address is user space's; the low half is where it lies, and addresses of arenas differ.
  expect(host.mappedAt(view) & 0xffff_ffffn).toBe(BigInt(view.byteOffset));
  const second = host.mmap(host.bpf(BPF_MAP_CREATE, arena), { offset: 0, length: 4096, prot: 3 });
  if (typeof second === "number") throw new Error(`mmap: ${second}`);
  expect(host.mappedAt(second) >> 32n).not.toBe(host.mappedAt(view) >> 32n);
  const key = host.user.alloc(4);
  const lookup = (value: number): number => {
    return host.bpf(BPF_MAP_LOOKUP_ELEM, { map_fd: other, key: Number(key.address), value });
  };
  expect([lookup(view.byteOffset + 4092), lookup(view.byteOffset + 4093)]).toEqual([0, -EFAULT]);
  expect(host.mappedAt(new Uint8Array(4))).toBe(-1n);
  host.munmap(view);
  expect([host.mappedAt(view), lookup(view.byteOffset)]).toEqual([-1n, -EFAULT]);
  host.dispose();
});

test("an arena that is larger than what is free is ENOMEM, and takes nothing", () => {
  const host = createEmbeddedHost({ memory: 4 << 20 });
  host.close(host.bpf(BPF_MAP_CREATE, array));
  const before = host.memory();
  const arena = { map_type: BPF_MAP_TYPE_ARENA, map_flags: BPF_F_MMAPABLE };
  for (const max_entries of [1024, 1 << 20]) {
    expect(host.bpf(BPF_MAP_CREATE, { ...arena, max_entries })).toBe(-ENOMEM);
  }
  expect(host.memory()).toEqual(before);
  const fd = host.bpf(BPF_MAP_CREATE, { ...arena, max_entries: 256 });
  expect(host.memory().used - before.used).toBeGreaterThanOrEqual(1 << 20);
  host.close(fd);
  expect(host.memory().used).toBe(before.used);
  host.dispose();
});

test("a wake-up is told to the system only while somebody sleeps", async () => {
  const host = createEmbeddedHost({ ...SMALL, shared: true });
  const ticket = host.share();
  const other = attachKernel(ticket.memory, ticket.client);
  const notify = vi.spyOn(Atomics, "notify");
  // How many were woken, call by call. The calls themselves have all of the memory for an argument: nothing to print.
  const woken = (): unknown[] => notify.mock.results.map(({ value }) => value);
  other.wake();
  expect(woken()).toEqual([]);
  const ring = host.bpf(BPF_MAP_CREATE, { map_type: BPF_MAP_TYPE_RINGBUF, max_entries: 4096 });
  expect(host.poll([ring], 1)).toEqual([]);
  const stop = new AbortController();
  const waiting = host.wait([ring], { signal: stop.signal });
  other.wake();
  expect(woken()).toEqual([1]);
  stop.abort(new Error("enough"));
  await expect(waiting).rejects.toThrow("enough");
  // The sleep itself ends a little later, by its limit or by the next news.
  other.wake();
  await new Promise((resolve) => setTimeout(resolve, 80));
  notify.mockClear();
  other.wake();
  expect(woken()).toEqual([]);
  notify.mockRestore();
  detach(other);
  host.dispose();
});
