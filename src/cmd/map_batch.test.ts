import { afterAll, expect, test } from "vitest";
import { createEmbeddedHost } from "../host/embedded.ts";
import { createKernel } from "../kern/create.ts";
import type { Kernel } from "../kern/kernel.ts";
import { alloc, free, memoryUse, POOL_USER } from "../mem/alloc.ts";
import { GRANULE } from "../mem/layout.ts";
import { batchLookup } from "../struct/batch.ts";
import { MAP_ABI_VALUE_SIZE, MAP_DESC_SIZE, MAP_KEY_SIZE } from "../struct/map.ts";
import * as u from "../uapi/index.ts";
import { copyToUser } from "./attr.ts";
import { bpf } from "./bpf.ts";

const CPUS = 2;
const ZERO_SEED = u.BPF_F_ZERO_SEED;

/** A machine with user memory that ends at `end`. */
class Machine {
  readonly k: Kernel;
  readonly end: number;
  readonly scratch: number;
  readonly #attr: number;

  constructor(shared: boolean) {
    this.k = createKernel({ memory: 64 << 20, cpus: CPUS, shared, seed: 1, virtualClock: true });
    // Takes two granules: every area ends with some unused bytes.
    const block = alloc(this.k.mem, 2 * GRANULE - 64, POOL_USER);
    this.#attr = block;
    this.scratch = block + 256;
    this.end = block + 2 * GRANULE;
    expect(this.k.userOk(block, this.end - block, true)).toBe(true);
    expect(this.k.userOk(this.end, 1, false)).toBe(false);
    this.k.mem.u8.fill(0xee, block, this.end);
  }

  create(map_type: number, max: number, value: number, flags = 0): number {
    const { view } = this.k.mem;
    this.k.mem.zero(this.#attr, 128);
    [map_type, 4, value, max, flags].forEach((word, i) => {
      view.setUint32(this.#attr + i * 4, word, true);
    });
    return bpf(this.k, u.BPF_MAP_CREATE, this.#attr, 72);
  }

  /** What a batch command gives, and its count afterwards. */
  batch(cmd: number, fd: number, count: number, at: Readonly<Record<string, number>>): [result: number, count: number] {
    const { view } = this.k.mem;
    const fields = u.bpf_attr.batch;
    this.k.mem.zero(this.#attr, 64);
    const { in_batch = 0, out_batch = 0, keys = 0, values = 0 } = at;
    view.setUint32(this.#attr + fields.in_batch.offset, in_batch, true);
    view.setUint32(this.#attr + fields.out_batch.offset, out_batch, true);
    view.setUint32(this.#attr + fields.keys.offset, keys, true);
    view.setUint32(this.#attr + fields.values.offset, values, true);
    view.setUint32(this.#attr + fields.count.offset, count, true);
    view.setUint32(this.#attr + fields.map_fd.offset, fd, true);
    const ret = bpf(this.k, cmd, this.#attr, 56);
    return [ret, view.getUint32(this.#attr + fields.count.offset, true)];
  }

  /** A fresh piece of user memory, all 0xee. */
  room(offset: number): number {
    this.k.mem.u8.fill(0xee, this.scratch + offset, this.scratch + offset + 512);
    return this.scratch + offset;
  }

  /** The last bytes of user memory, all 0xee. */
  tail(n: number): number {
    this.k.mem.u8.fill(0xee, this.end - n, this.end);
    return this.end - n;
  }

  hex(from: number, n: number): string {
    return Buffer.from(this.k.mem.u8.subarray(from, from + n)).toString("hex");
  }

  /** Puts in the keys from 0 on, and values whose bytes are all 0x11 for key 0, 0x22 for key 1, ... */
  fill(fd: number, count: number, valueBytes = 8): void {
    const keys = this.room(0);
    const values = this.room(1024);
    for (let i = 0; i < count; i++) {
      this.k.mem.view.setUint32(keys + i * 4, i, true);
      this.k.mem.u8.fill(0x11 * (i + 1), values + i * valueBytes, values + (i + 1) * valueBytes);
    }
    expect(this.batch(u.BPF_MAP_UPDATE_BATCH, fd, count, { keys, values })).toEqual([0, count]);
  }
}

const machines = [false, true].map((shared) => ({ shared, m: new Machine(shared) }));
// The first map makes tables of the host's own, which stay.
for (const { m } of machines) m.k.close(m.create(u.BPF_MAP_TYPE_HASH, 4, 8));
const before = machines.map(({ m }) => memoryUse(m.k.mem).metadata);
afterAll(() => {
  // The commands have given back what they took.
  expect(machines.map(({ m }) => memoryUse(m.k.mem).metadata)).toEqual(before);
});

const EE4 = "eeeeeeee";
const ONES = "1111111111111111";
const TWOS = "2222222222222222";

// What Linux 6.18 does when an unmapped page follows the buffer.
for (const { shared, m } of machines) {
  const mode = shared ? "shared" : "exclusive";

  test(`${mode}: array, buffers that end too soon`, () => {
    const fd = m.create(u.BPF_MAP_TYPE_ARRAY, 5, 8);
    m.fill(fd, 5);
    let [keys, values, out_batch] = [m.tail(10), m.room(1024), m.room(2048)];
    expect(m.batch(u.BPF_MAP_LOOKUP_BATCH, fd, 5, { keys, values, out_batch })).toEqual([-u.EFAULT, 0]);
    expect(m.hex(keys, 10)).toBe("00000000010000000200");
    expect(m.hex(values, 24)).toBe(ONES + TWOS + EE4 + EE4);
    expect(m.hex(out_batch, 4)).toBe(EE4);

    [keys, values] = [m.room(0), m.tail(19)];
    expect(m.batch(u.BPF_MAP_LOOKUP_BATCH, fd, 5, { keys, values, out_batch })).toEqual([-u.EFAULT, 0]);
    expect(m.hex(values, 19)).toBe(`${ONES}${TWOS}333333`);
    expect(m.hex(keys, 16)).toBe(`000000000100000002000000${EE4}`);
    expect(m.hex(out_batch, 4)).toBe(EE4);

    [values, out_batch] = [m.room(1024), m.tail(3)];
    expect(m.batch(u.BPF_MAP_LOOKUP_BATCH, fd, 2, { keys, values, out_batch })).toEqual([-u.EFAULT, 2]);
    expect(m.hex(out_batch, 3)).toBe("010000");
    expect(m.k.close(fd)).toBe(0);
  });

  test(`${mode}: array, an update of keys or values that end too soon`, () => {
    const fd = m.create(u.BPF_MAP_TYPE_ARRAY, 5, 8);
    m.fill(fd, 5);
    let [keys, values] = [m.tail(10), m.room(1024)];
    m.k.mem.u8.set([0, 0, 0, 0, 1, 0, 0, 0, 2, 0], keys);
    expect(m.batch(u.BPF_MAP_UPDATE_BATCH, fd, 5, { keys, values })).toEqual([-u.EFAULT, 2]);
    [keys, values] = [m.room(0), m.tail(12)];
    m.k.mem.u8.fill(0, keys, keys + 8);
    m.k.mem.u8[keys] = 3;
    expect(m.batch(u.BPF_MAP_UPDATE_BATCH, fd, 2, { keys, values })).toEqual([-u.EFAULT, 1]);
    const [out_batch, to] = [m.room(2048), m.room(1024)];
    expect(m.batch(u.BPF_MAP_LOOKUP_BATCH, fd, 5, { keys, values: to, out_batch })).toEqual([0, 5]);
    expect(m.hex(to, 40)).toBe(`${"ee".repeat(16)}3333333333333333${"ee".repeat(8)}5555555555555555`);
    expect(m.k.close(fd)).toBe(0);
  });

  // Buckets: [0], [2], [3, 1].
  test(`${mode}: hash, buffers that end too soon`, () => {
    const fd = m.create(u.BPF_MAP_TYPE_HASH, 4, 8, ZERO_SEED);
    m.fill(fd, 4);
    let [keys, values, out_batch] = [m.tail(10), m.room(1024), m.room(2048)];
    expect(m.batch(u.BPF_MAP_LOOKUP_BATCH, fd, 9, { keys, values, out_batch })).toEqual([-u.EFAULT, 0]);
    expect(m.hex(keys, 10)).toBe("00000000020000000300");
    expect(m.hex(values, 24)).toBe(`${ONES}3333333333333333${EE4}${EE4}`);
    expect(m.hex(out_batch, 4)).toBe(EE4);

    [keys, values] = [m.room(0), m.tail(19)];
    expect(m.batch(u.BPF_MAP_LOOKUP_BATCH, fd, 9, { keys, values, out_batch })).toEqual([-u.EFAULT, 0]);
    expect(m.hex(values, 19)).toBe(`${ONES}3333333333333333444444`);
    expect(m.hex(keys, 20)).toBe(`00000000020000000300000001000000${EE4}`);

    [values, out_batch] = [m.room(1024), m.tail(3)];
    expect(m.batch(u.BPF_MAP_LOOKUP_BATCH, fd, 9, { keys, values, out_batch })).toEqual([-u.EFAULT, 0]);
    expect(m.hex(out_batch, 3)).toBe("040000");

    // All elements of the bucket are lost.
    [keys, out_batch] = [m.tail(10), m.room(2048)];
    expect(m.batch(u.BPF_MAP_LOOKUP_AND_DELETE_BATCH, fd, 9, { keys, values, out_batch })).toEqual([-u.EFAULT, 0]);
    keys = m.room(0);
    expect(m.batch(u.BPF_MAP_LOOKUP_BATCH, fd, 9, { keys, values, out_batch })).toEqual([-u.ENOENT, 0]);
    m.fill(fd, 4);
    keys = m.tail(10);
    m.k.mem.u8.set([0, 0, 0, 0, 1, 0, 0, 0, 2, 0], keys);
    expect(m.batch(u.BPF_MAP_DELETE_BATCH, fd, 4, { keys })).toEqual([-u.EFAULT, 2]);
    expect(m.k.close(fd)).toBe(0);
  });

  test(`${mode}: per-CPU values that end in the second CPU's slot`, () => {
    const fd = m.create(u.BPF_MAP_TYPE_PERCPU_HASH, 4, 8, ZERO_SEED);
    m.fill(fd, 1, 16);
    const [keys, values, out_batch] = [m.room(0), m.tail(11), m.room(2048)];
    expect(m.batch(u.BPF_MAP_LOOKUP_BATCH, fd, 9, { keys, values, out_batch })).toEqual([-u.EFAULT, 0]);
    expect(m.hex(values, 11)).toBe("11".repeat(11));
    expect(m.k.close(fd)).toBe(0);
  });

  test(`${mode}: keys and values in one buffer, the cursor in another's place`, () => {
    const fd = m.create(u.BPF_MAP_TYPE_ARRAY, 5, 8);
    m.fill(fd, 5);
    const at = m.room(0);
    expect(m.batch(u.BPF_MAP_LOOKUP_BATCH, fd, 3, { keys: at, values: at, out_batch: m.room(2048) })).toEqual([0, 3]);
    expect(m.hex(at, 28)).toBe(`1111111101000000020000002222222233333333${"33333333"}${EE4}`);
    const both = m.room(2048);
    m.k.mem.u8.fill(0, both, both + 4);
    const [keys, values] = [m.room(0), m.room(1024)];
    const place = { in_batch: both, out_batch: both, keys, values };
    expect(m.batch(u.BPF_MAP_LOOKUP_BATCH, fd, 2, place)).toEqual([0, 2]);
    expect(m.hex(both, 8)).toBe(`02000000${EE4}`);
    expect(m.k.close(fd)).toBe(0);

    const hash = m.create(u.BPF_MAP_TYPE_HASH, 4, 8, ZERO_SEED);
    m.fill(hash, 4);
    const one = m.room(0);
    const out_batch = m.room(2048);
    expect(m.batch(u.BPF_MAP_LOOKUP_BATCH, hash, 9, { keys: one, values: one, out_batch })).toEqual([-u.ENOENT, 4]);
    expect(m.hex(one, 36)).toBe(`1111111102000000030000000100000044444444444444442222222222222222${EE4}`);
    expect(m.k.close(hash)).toBe(0);
  });

  test(`${mode}: slots whose lookup says ENOENT are passed over, and the cursor stands behind them`, () => {
    const { mem } = m.k;
    const map = alloc(mem, MAP_DESC_SIZE);
    mem.u32[(map + MAP_KEY_SIZE) >>> 2] = 4;
    mem.u32[(map + MAP_ABI_VALUE_SIZE) >>> 2] = 4;
    // Keys 1 to 6, of which the odd ones have no value.
    const op = batchLookup(
      (_env, _map, key, next) => {
        const n = key === 0 ? 1 : mem.view.getUint32(key, true) + 1;
        if (n > 6) return -u.ENOENT;
        mem.view.setUint32(next, n, true);
        return 0;
      },
      (_env, _map, key, value) => {
        const n = mem.view.getUint32(key, true);
        mem.view.setUint32(value, n * 0x101, true);
        return n === 5 && failing ? -u.ENOMEM : n % 2 === 1 ? -u.ENOENT : 0;
      },
    );
    let failing = false;
    let count = -1;
    const run = (room: number): number =>
      op(m.k, map, {
        inBatch: 0,
        outBatch: m.room(2048),
        keys: m.room(0),
        values: m.room(1024),
        room,
        elemFlags: 0,
        flags: 0,
        userOk: (address, length, write) => m.k.userOk(address, length, write),
        write: (to, from, length) => copyToUser(m.k, to, from, length),
        putCount: (n) => {
          count = n;
          return true;
        },
      });
    expect([run(2), count, m.hex(m.scratch, 12)]).toEqual([0, 2, `0200000004000000${EE4}`]);
    expect(m.hex(m.scratch + 1024, 12)).toBe(`0202000004040000${EE4}`);
    expect(m.hex(m.scratch + 2048, 4)).toBe("04000000");
    expect([run(9), count]).toEqual([-u.ENOENT, 3]);
    // Another error ends it, and leaves what a fault leaves.
    failing = true;
    expect([run(9), count, m.hex(m.scratch, 12)]).toEqual([-u.ENOMEM, 0, `0200000004000000${EE4}`]);
    expect(m.hex(m.scratch + 2048, 4)).toBe(EE4);
    free(mem, map, MAP_DESC_SIZE);
  });
}

test("a count that cannot be written: EFAULT, and nothing was done", () => {
  const host = createEmbeddedHost({ memory: 64 << 20, cpus: CPUS, seed: 1 });
  const fd = host.bpf(u.BPF_MAP_CREATE, {
    map_type: u.BPF_MAP_TYPE_HASH,
    key_size: 4,
    value_size: 8,
    max_entries: 4,
  });
  expect(host.bpf(u.BPF_MAP_UPDATE_ELEM, { map_fd: fd, key: new Uint8Array(4), value: new Uint8Array(8) })).toBe(0);
  const page = host.bpf(u.BPF_MAP_CREATE, {
    map_type: u.BPF_MAP_TYPE_ARRAY,
    key_size: 4,
    value_size: 56,
    max_entries: 1,
    map_flags: u.BPF_F_MMAPABLE,
  });
  const attr = host.user.alloc(64);
  const view = new DataView(attr.bytes.buffer, attr.bytes.byteOffset, 64);
  const { batch } = u.bpf_attr;
  for (const count of [0, 3]) {
    for (const pointer of [batch.out_batch, batch.keys, batch.values]) {
      view.setBigUint64(pointer.offset, attr.address, true);
    }
    view.setUint32(batch.count.offset, count, true);
    view.setUint32(batch.map_fd.offset, fd, true);
    const given = attr.bytes.slice(0, 56);
    expect(host.bpf(u.BPF_MAP_UPDATE_ELEM, { map_fd: page, key: new Uint8Array(4), value: given })).toBe(0);
    const mapping = host.mmap(page, { offset: 0, length: 4096, prot: 1 });
    if (typeof mapping === "number") throw new Error(`mmap: ${mapping}`);
    const address = host.user.addressOf(mapping);
    for (const cmd of [
      u.BPF_MAP_LOOKUP_BATCH,
      u.BPF_MAP_LOOKUP_AND_DELETE_BATCH,
      u.BPF_MAP_UPDATE_BATCH,
      u.BPF_MAP_DELETE_BATCH,
    ]) {
      expect(host.bpf(cmd, address, 56)).toBe(count === 0 ? 0 : -u.EFAULT);
    }
    expect(attr.bytes.slice(0, 56)).toEqual(given);
    expect(host.munmap(mapping)).toBe(0);
  }
  expect(host.bpf(u.BPF_MAP_LOOKUP_ELEM, { map_fd: fd, key: new Uint8Array(4), value: new Uint8Array(8) })).toBe(0);
  host.dispose();
});
