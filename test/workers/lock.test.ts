/** BPF_F_LOCK between threads of one shared host: whole values with it, torn ones without, and no lock outlives its owner. */
import { expect, test } from "vitest";
import { BtfBuilder } from "../../src/btf/index.ts";
import type { EmbeddedHost } from "../../src/host/embedded.ts";
import { createKernel } from "../../src/kern/create.ts";
import { alloc } from "../../src/mem/alloc.ts";
import { lock, unlock } from "../../src/mem/locks.ts";
import * as u from "../../src/uapi/index.ts";
import { type Started, sharedHost, startOn, startThread, times } from "./worker.ts";

const SIZE = 8192;

/** Fills the only element's value with one byte after another, with these flags. */
const work = `
  const { fd, flags, first, rounds } = data;
  const attr = host.user.alloc(32), buf = host.user.alloc(${SIZE + 8});
  const a = new DataView(attr.bytes.buffer, attr.bytes.byteOffset, 32);
  a.setUint32(0, fd, true);
  a.setBigUint64(8, buf.address, true);
  a.setBigUint64(16, buf.address + 8n, true);
  a.setBigUint64(24, flags, true);
  const at = Number(attr.address);
  let bad = 0;
  ready();
  for (let i = 0; i < rounds; i++) {
    buf.bytes.fill(first + (i & 7), 8);
    if (host.bpf(2, at, 32) !== 0) bad++;
  }
  return bad;
`;

function lockedMap(host: EmbeddedHost, type: number): number {
  const b = new BtfBuilder();
  const u32 = b.int("unsigned int", 4);
  const lock = b.struct("bpf_spin_lock", 4, [{ name: "val", typeId: u32, bitOffset: 0 }]);
  const value = b.struct("value", SIZE, [{ name: "lock", typeId: lock, bitOffset: 0 }]);
  const btf = b.build();
  const btf_fd = host.bpf(u.BPF_BTF_LOAD, { btf, btf_size: btf.length });
  const sizes = { key_size: 4, value_size: SIZE, max_entries: 1 };
  const types = { btf_fd, btf_key_type_id: u32, btf_value_type_id: value };
  const fd = host.bpf(u.BPF_MAP_CREATE, { map_type: type, ...sizes, ...types });
  host.close(btf_fd);
  return fd;
}

/** `done`: updates that failed. */
function startWriter(host: EmbeddedHost, fd: number, flags: bigint, first: number, rounds: number): Started<number> {
  return startOn(host, work, { fd, flags, first, rounds });
}

const key = new Uint32Array(1);

function read(host: EmbeddedHost, fd: number, flags: number): Uint8Array {
  const value = new Uint8Array(SIZE);
  expect(host.bpf(u.BPF_MAP_LOOKUP_ELEM, { map_fd: fd, key, value, flags })).toBe(0);
  expect(value.subarray(0, 4)).toEqual(new Uint8Array(4));
  return value.subarray(4);
}

/** Reads until the writers are through; how many values were mixtures. */
async function tornReads(
  host: EmbeddedHost,
  fd: number,
  flags: number,
  writers: readonly Started<number>[],
): Promise<number> {
  let running = true;
  const ends = Promise.all(writers.map((w) => w.done)).then((failed) => {
    running = false;
    expect(failed).toEqual(writers.map(() => 0));
  });
  let torn = 0;
  while (running) {
    for (let i = 0; i < 50; i++) {
      const value = read(host, fd, flags);
      if (value.some((byte) => byte !== value[0])) torn++;
    }
    await new Promise((resolve) => setImmediate(resolve));
  }
  await ends;
  return torn;
}

test.each([
  ["ARRAY", u.BPF_MAP_TYPE_ARRAY],
  ["HASH", u.BPF_MAP_TYPE_HASH],
] as const)("%s: with BPF_F_LOCK on both sides no value is torn", async (_name, type) => {
  const host = sharedHost();
  const fd = lockedMap(host, type);
  expect(host.bpf(u.BPF_MAP_UPDATE_ELEM, { map_fd: fd, key, value: new Uint8Array(SIZE) })).toBe(0);
  const writers = [1, 101].map((first) => startWriter(host, fd, BigInt(u.BPF_F_LOCK), first, times(2_500)));
  expect(await tornReads(host, fd, u.BPF_F_LOCK, writers)).toBe(0);
});

test("ARRAY: without it values are torn, so the tests above could see it", async () => {
  const host = sharedHost();
  const fd = lockedMap(host, u.BPF_MAP_TYPE_ARRAY);
  const writers = [1, 101].map((first) => startWriter(host, fd, 0n, first, 1e9));
  await Promise.all(writers.map((w) => w.ready));
  let torn = false;
  // When that happens is the scheduler's choice: as long as it takes, within the test's time.
  while (!torn) {
    const value = read(host, fd, 0);
    torn = value.some((byte) => byte !== value[0]);
    await new Promise((resolve) => setImmediate(resolve));
  }
  for (const { worker } of writers) await worker.terminate();
});

test("writers that are killed leave no lock behind", async () => {
  const host = sharedHost();
  const fd = lockedMap(host, u.BPF_MAP_TYPE_ARRAY);
  for (let round = 0; round < 4; round++) {
    const writer = startWriter(host, fd, BigInt(u.BPF_F_LOCK), 1, 1e9);
    await writer.ready;
    for (let i = 0; i < 20 + round; i++) read(host, fd, u.BPF_F_LOCK);
    await writer.worker.terminate();
    const value = new Uint8Array(SIZE).fill(7);
    expect(host.bpf(u.BPF_MAP_UPDATE_ELEM, { map_fd: fd, key, value, flags: u.BPF_F_LOCK })).toBe(0);
    expect(read(host, fd, u.BPF_F_LOCK).every((byte) => byte === 7)).toBe(true);
  }
});

test("a lock of a thread that was just terminated is taken over before its `exit` event", async () => {
  const kernel = createKernel({ memory: 8 << 20, cpus: 1, shared: true, seed: 1, virtualClock: true });
  const word = alloc(kernel.mem, 16);
  const client = kernel.announce();
  const body = `
    const { attachKernel } = await load("kern/create");
    const { lock } = await load("mem/locks");
    const kernel = attachKernel(data.wasm, data.client);
    lock(kernel.mem, data.word);
    ready();
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);`;
  const victim = startThread(body, { wasm: kernel.mem.wasm, client, word });
  await victim.ready;
  const terminated = victim.worker.terminate();
  // This thread does not get to its events in here.
  expect(lock(kernel.mem, word)).toBe(true);
  unlock(kernel.mem, word);
  await terminated;
});
