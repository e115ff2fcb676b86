/** Polling and waiting on the kernel host. */
import { afterAll, expect, test } from "vitest";
import { loadProgram } from "../../test/conformance/programs.ts";
import { kernelHost } from "../../test/kernel.ts";
import * as asm from "../insn/index.ts";
import {
  BPF_FUNC_ringbuf_output,
  BPF_MAP_CREATE,
  BPF_MAP_TYPE_RINGBUF,
  BPF_MAP_TYPE_USER_RINGBUF,
  BPF_PROG_TEST_RUN,
  EBADF,
} from "../uapi/index.ts";
import type { Host } from "./host.ts";

const opened = kernelHost();
const onKernel = test.runIf(opened !== undefined);
// Only read inside `onKernel` tests.
const host = opened as Host;
afterAll(() => opened?.dispose());

function createRing(map_type: number): number {
  const fd = host.bpf(BPF_MAP_CREATE, { map_type, max_entries: 4096 });
  expect(fd).toBeGreaterThan(0);
  return fd;
}

/** A ring and a program that puts one record of 8 bytes into it at each run. */
function producer(): { ring: number; run: () => void } {
  const ring = createRing(BPF_MAP_TYPE_RINGBUF);
  const { R0, R1, R2, R3, R4, R10 } = asm;
  const { fd: prog_fd } = loadProgram(host, [
    asm.st("u64", R10, -8, 42),
    asm.ldMapFd(R1, ring),
    asm.mov64(R2, R10),
    asm.alu64Imm("add", R2, -8),
    asm.mov64Imm(R3, 8),
    asm.mov64Imm(R4, 0),
    asm.call(BPF_FUNC_ringbuf_output),
    asm.mov64Imm(R0, 2),
    asm.exit(),
  ]);
  const data_in = new Uint8Array(64);
  return { ring, run: () => expect(host.bpf(BPF_PROG_TEST_RUN, { prog_fd, data_in, data_size_in: 64 })).toBe(0) };
}

onKernel("poll: ready, not ready, bad", () => {
  const { ring, run } = producer();
  const userRing = createRing(BPF_MAP_TYPE_USER_RINGBUF);
  expect(host.poll([ring], 0)).toEqual([]);
  const before = performance.now();
  expect(host.poll([ring], 20)).toEqual([]);
  expect(performance.now() - before).toBeGreaterThan(18);
  expect(host.poll([ring, userRing], -1)).toEqual([userRing]);
  run();
  expect(host.poll([ring, userRing], -1)).toEqual([ring, userRing]);
  expect(host.poll([9999], 0)).toBe(-EBADF);
});

onKernel("wait: woken by a record", async () => {
  const { ring, run } = producer();
  const page = host.mmap(ring, { offset: 0, length: 4096, prot: 3 }) as Uint8Array;
  const consumer = new BigUint64Array(page.buffer, 0, 1);
  for (let i = 1; i <= 5; i++) {
    const woken = Promise.all([host.wait([ring]), host.wait([ring], { timeoutMs: 10_000 })]);
    setTimeout(run, 5);
    expect(await woken).toEqual([[ring], [ring]]);
    expect(await host.wait([ring])).toEqual([ring]);
    consumer[0] = BigInt(i * 16);
    expect(host.poll([ring], 0)).toEqual([]);
  }
  // Consumed before the event loop sees it: the wait goes on, and the next record ends it.
  const woken = host.wait([ring]);
  let over = false;
  woken.finally(() => {
    over = true;
  });
  run();
  consumer[0] = 6n * 16n;
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(over).toBe(false);
  run();
  expect(await woken).toEqual([ring]);
  host.munmap(page);
});

onKernel("wait: time, abort, close", async () => {
  const { ring } = producer();
  expect(await host.wait([ring], { timeoutMs: 10 })).toEqual([]);
  expect(await host.wait([ring], { timeoutMs: 0 })).toEqual([]);
  const controller = new AbortController();
  const aborted = host.wait([ring], { signal: controller.signal });
  controller.abort(new Error("enough"));
  await expect(aborted).rejects.toThrow("enough");
  await expect(host.wait([ring], { signal: controller.signal })).rejects.toThrow("enough");
  const closed = host.wait([ring]);
  host.close(ring);
  expect(await closed).toBe(-EBADF);
  expect(await host.wait([ring])).toBe(-EBADF);
});
