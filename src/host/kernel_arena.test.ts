/** Arenas on the kernel host: the same address again and again, with views that live on and views that are collected. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { afterAll, expect, test } from "vitest";
import { kernelHost } from "../../test/kernel.ts";
import { BPF_F_MMAPABLE, BPF_MAP_CREATE, BPF_MAP_TYPE_ARENA, BPF_MAP_TYPE_RINGBUF, EBUSY } from "../uapi/index.ts";
import type { Host } from "./host.ts";

const PAGE = 4096;
const opened = kernelHost();
const onKernel = test.runIf(opened !== undefined);
// Only read inside `onKernel` tests.
const host = opened as Host;
afterAll(() => opened?.dispose());

setFlagsFromString("--expose-gc");
const gc = runInNewContext("gc") as () => void;
/** Collects, and lets the finalizers run. */
async function collect(): Promise<void> {
  for (let i = 0; i < 3; i++) {
    gc();
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

function arena(address: bigint, max_entries: number): number {
  const attr = { map_type: BPF_MAP_TYPE_ARENA, max_entries, map_flags: BPF_F_MMAPABLE, map_extra: address };
  const fd = host.bpf(BPF_MAP_CREATE, attr);
  expect(fd).toBeGreaterThan(0);
  return fd;
}

function mapped(fd: number, address: bigint, pages: number): Uint8Array {
  const view = host.mmap(fd, { offset: 0, length: pages * PAGE, prot: 3, address });
  if (typeof view === "number") throw new Error(`mmap: ${view}`);
  expect(host.mappedAt(view)).toBe(address);
  return view;
}

onKernel("views that outlive their mapping are harmless, whatever is mapped there next", () => {
  const address = 0x6000_0000_0000n;
  const [first, second] = [arena(address, 4), arena(address, 2)];
  const old = mapped(first, address, 4);
  old.fill(1);
  expect(host.mmap(second, { offset: 0, length: 2 * PAGE, prot: 3, address })).toBe(-EBUSY);
  host.munmap(old);
  expect([old[0], old[4 * PAGE - 1]]).toEqual([0, 0]);
  const next = mapped(second, address, 2);
  next.fill(2);
  old.fill(3, 2 * PAGE);
  expect(next.every((byte) => byte === 2)).toBe(true);
  host.munmap(next);
  expect([old[0], next[0]]).toEqual([0, 0]);
  const again = mapped(first, address, 4);
  expect(again.every((byte) => byte === 1)).toBe(true);
  host.munmap(again);
  host.close(first);
  host.close(second);
});

onKernel("a larger arena has to wait until the views of a smaller one are gone", async () => {
  const address = 0x6100_0000_0000n;
  const [small, large] = [arena(address, 1), arena(address, 8)];
  host.munmap(mapped(small, address, 1));
  const busy = host.mmap(large, { offset: 0, length: 8 * PAGE, prot: 3, address });
  // Unless they were collected by chance.
  if (typeof busy === "number") expect(busy).toBe(-EBUSY);
  else host.munmap(busy);
  await collect();
  const view = mapped(large, address, 8);
  view.fill(5);
  await collect();
  expect(view.every((byte) => byte === 5)).toBe(true);
  host.munmap(view);
  host.close(small);
  host.close(large);
});

onKernel("collecting an old view does not take the place of a new one away", async () => {
  const address = 0x6200_0000_0000n;
  const fd = arena(address, 2);
  const use = (value: number): void => {
    const view = mapped(fd, address, 2);
    view.fill(value);
    host.munmap(view);
  };
  for (let i = 1; i <= 20; i++) {
    use(i);
    await new Promise((resolve) => setTimeout(resolve, 0));
    // The old view is gone, but nobody was told so yet: that comes when the place is the new one's.
    gc();
    const view = mapped(fd, address, 2);
    await new Promise((resolve) => setTimeout(resolve, 1));
    expect([view[0], view[2 * PAGE - 1]]).toEqual([i, i]);
    host.munmap(view);
  }
  const last = mapped(fd, address, 2);
  await collect();
  expect(last[PAGE]).toBe(20);
  host.munmap(last);
  host.close(fd);
});

onKernel("a mapping that nothing may touch can be looked at", () => {
  const fd = host.bpf(BPF_MAP_CREATE, { map_type: BPF_MAP_TYPE_RINGBUF, max_entries: PAGE });
  const view = host.mmap(fd, { offset: 0, length: 4 * PAGE, prot: 0 });
  if (typeof view === "number") throw new Error(`mmap: ${view}`);
  expect(view.every((byte) => byte === 0)).toBe(true);
  host.munmap(view);
  host.close(fd);
});

onKernel("negative fds are passed over, as poll(2) does", async () => {
  const fd = arena(0n, 1);
  expect(host.poll([-1], 0)).toEqual([]);
  expect(host.poll([-1, fd], 0)).toEqual([fd]);
  expect(await host.wait([-1], { timeoutMs: 1 })).toEqual([]);
  expect(await host.wait([fd, -7])).toEqual([fd]);
  host.close(fd);
});
