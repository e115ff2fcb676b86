/** QUEUE, STACK, BLOOM_FILTER and RINGBUF on both hosts, call by call: what creates them, and what commands do. */
import { afterAll, expect, test } from "vitest";
import { BtfBuilder } from "../../src/btf/builder.ts";
import { createEmbeddedHost } from "../../src/host/embedded.ts";
import type { AttrObject, Host } from "../../src/host/host.ts";
import * as u from "../../src/uapi/index.ts";
import { kernelHost } from "../kernel.ts";
import { randomOf } from "../random.ts";

const kernel = kernelHost();
const embedded = [false, true].map((shared) => createEmbeddedHost({ memory: 64 << 20, cpus: 2, shared, seed: 1 }));
afterAll(() => {
  for (const host of [...embedded, kernel]) host?.dispose();
});

const { BPF_MAP_TYPE_QUEUE: QUEUE, BPF_MAP_TYPE_STACK: STACK } = u;
const { BPF_MAP_TYPE_BLOOM_FILTER: BLOOM, BPF_MAP_TYPE_RINGBUF: RINGBUF } = u;
const names = new Map<number, string>([
  [QUEUE, "QUEUE"],
  [STACK, "STACK"],
  [BLOOM, "BLOOM_FILTER"],
  [RINGBUF, "RINGBUF"],
]);

/** Runs `calls` on every host; what they tell must be what the kernel's tell, or without it the first embedded one's. */
function compare(calls: (host: Host, tell: (text: string) => void) => void): void {
  const hosts = kernel === undefined ? embedded : [kernel, ...embedded];
  const told = hosts.map((host) => {
    const lines: string[] = [];
    calls(host, (text) => lines.push(text));
    return lines;
  });
  expect(told[0]!.length).toBeGreaterThan(0);
  for (const other of told.slice(1)) {
    const at = other.findIndex((line, i) => line !== told[0]![i]);
    if (at >= 0) expect.fail(`line ${at}: ${hosts[0]!.kind} ${told[0]![at]}, embedded ${other[at]}`);
    expect(other.length).toBe(told[0]!.length);
  }
}

function create(host: Host, attr: AttrObject): number {
  const fd = host.bpf(u.BPF_MAP_CREATE, attr);
  if (fd >= 0) host.close(fd);
  return Math.min(fd, 0);
}

test("creation: every combination of good and bad attributes", () => {
  compare((host, tell) => {
    for (const [map_type, name] of names) {
      const ring = map_type === RINGBUF;
      for (const key_size of [0, 4]) {
        for (const value_size of [0, 1, 5, 4 << 20, (4 << 20) + 1]) {
          for (const max_entries of ring ? [0, 1000, 4096, 12288, 65536] : [0, 1, 3]) {
            for (const map_flags of [0, 0x1, 0x4, 0x8, 0x10, 0x18, 0x40, 0x80, 0x100, 0x180, 0x400, 0x80000]) {
              for (const map_extra of [0, 1, 15, 16]) {
                const attr = { map_type, key_size, value_size, max_entries, map_flags, map_extra };
                tell(`${name} ${JSON.stringify(attr)}: ${create(host, attr)}`);
              }
            }
          }
        }
      }
    }
  });
});

test("creation: what is wrong twice", () => {
  compare((host, tell) => {
    const big = { value_size: (4 << 20) + 1, max_entries: 1 };
    for (const attr of [
      { map_type: BLOOM, ...big, max_entries: 0 },
      { map_type: BLOOM, ...big, map_flags: 1, map_extra: 16 },
      { map_type: BLOOM, ...big, map_name: "!" },
      { map_type: BLOOM, ...big, map_flags: 4, numa_node: 77 },
      { map_type: QUEUE, ...big, map_flags: 1 },
      { map_type: QUEUE, ...big, map_name: "!" },
      { map_type: RINGBUF, max_entries: 4097, map_name: "!" },
    ]) {
      tell(`${JSON.stringify(attr)}: ${create(host, attr)}`);
    }
  });
});

test("creation with BTF: types of size 0 are types for what has no keys or no values", () => {
  compare((host, tell) => {
    const b = new BtfBuilder();
    const int = b.int("int", 4, { signed: true });
    const types = {
      none: 0,
      int,
      empty: b.struct("empty", 0, []),
      value: b.struct("value", 16, [{ name: "a", typeId: int, bitOffset: 0 }]),
      array: b.array(int, int, 0),
      nothing: b.typedef("nothing", 0),
    };
    const btf = b.build();
    const btf_fd = host.bpf(u.BPF_BTF_LOAD, { btf, btf_size: btf.length });
    expect(btf_fd).toBeGreaterThan(0);
    for (const [map_type, name] of names) {
      for (const [key, btf_key_type_id] of Object.entries(types)) {
        for (const [value, btf_value_type_id] of Object.entries(types)) {
          const size = map_type === RINGBUF ? { max_entries: 4096 } : { value_size: 16, max_entries: 4 };
          const ret = create(host, { map_type, ...size, btf_fd, btf_key_type_id, btf_value_type_id });
          tell(`${name} key ${key}, value ${value}: ${ret}`);
        }
      }
    }
    host.close(btf_fd);
  });
});

/** Element commands with every kind of key, flags and buffer; `fill` shows what a call has written. */
function random(map_type: number, value_size: number, max_entries: number, seed: number, calls: number): void {
  compare((host, tell) => {
    const next = randomOf(seed);
    const fd = host.bpf(u.BPF_MAP_CREATE, {
      map_type,
      value_size,
      max_entries,
      map_flags: map_type === BLOOM ? 0x40 : 0,
    });
    expect(fd).toBeGreaterThan(0);
    const value = new Uint8Array(value_size);
    const key = new Uint8Array(4);
    for (let i = 0; i < calls; i++) {
      const op = next(20);
      for (let at = 0; at < value_size; at++) value[at] = next(7);
      const elem = { map_fd: fd, key: next(40) === 0 ? key : 0, value };
      const flags = next(8) === 0 ? next(9) : 0;
      let ret: number;
      if (op < 9) ret = host.bpf(u.BPF_MAP_UPDATE_ELEM, { ...elem, flags: op < 3 && flags === 0 ? 2 : flags });
      else if (op < 13) ret = host.bpf(u.BPF_MAP_LOOKUP_ELEM, { ...elem, flags });
      else if (op < 18) ret = host.bpf(u.BPF_MAP_LOOKUP_AND_DELETE_ELEM, { ...elem, flags });
      else if (op < 19) ret = host.bpf(u.BPF_MAP_DELETE_ELEM, { map_fd: fd, key: elem.key });
      else ret = host.bpf(u.BPF_MAP_GET_NEXT_KEY, { map_fd: fd, key: elem.key, next_key: key });
      tell(`${names.get(map_type)} call ${i} op ${op} flags ${flags}: ${ret} ${Buffer.from(value).toString("hex")}`);
    }
    host.close(fd);
  });
}

for (const type of [QUEUE, STACK]) {
  test(`${names.get(type)}: random calls`, () => {
    for (const [value_size, max_entries] of [
      [1, 1],
      [4, 3],
      [5, 2],
      [8, 10],
      [24, 7],
      [300, 4],
    ] as const) {
      random(type, value_size, max_entries, value_size, 1500);
    }
  });
}

test("BLOOM_FILTER: random calls", () => {
  for (const value_size of [1, 4, 8, 13]) random(BLOOM, value_size, 20, value_size, 1500);
});

test("RINGBUF: no command works on it", () => {
  compare((host, tell) => {
    const map_fd = host.bpf(u.BPF_MAP_CREATE, { map_type: RINGBUF, max_entries: 4096 });
    const value = new Uint8Array(8);
    for (const flags of [0, 1, 2, 4]) {
      for (const key of [0, value]) {
        tell(`lookup ${host.bpf(u.BPF_MAP_LOOKUP_ELEM, { map_fd, key, value, flags })}`);
        tell(`update ${host.bpf(u.BPF_MAP_UPDATE_ELEM, { map_fd, key, value, flags })}`);
        tell(`take ${host.bpf(u.BPF_MAP_LOOKUP_AND_DELETE_ELEM, { map_fd, key, value, flags })}`);
        tell(`delete ${host.bpf(u.BPF_MAP_DELETE_ELEM, { map_fd, key })}`);
        tell(`next ${host.bpf(u.BPF_MAP_GET_NEXT_KEY, { map_fd, key, next_key: value })}`);
      }
    }
    host.close(map_fd);
  });
});

test("BLOOM_FILTER with BPF_F_ZERO_SEED: the same false positives", () => {
  for (const [value_size, max_entries, map_extra] of [
    [8, 16, 0],
    [4, 100, 3],
    [5, 100, 1],
    [16, 1000, 15],
    [3, 7, 2],
    [12, 50, 5],
    [8, 49, 1],
    [8, 46, 1],
    [200, 10, 1],
    [4, 100_000, 0],
  ] as const) {
    compare((host, tell) => {
      const map_fd = host.bpf(u.BPF_MAP_CREATE, {
        map_type: BLOOM,
        value_size,
        max_entries,
        map_extra,
        map_flags: 0x40,
      });
      const next = randomOf(value_size);
      const value = new Uint8Array(value_size);
      const put = (): void => {
        for (let at = 0; at < value_size; at++) value[at] = next(256);
      };
      for (let i = 0; i < Math.min(max_entries, 500); i++) {
        put();
        host.bpf(u.BPF_MAP_UPDATE_ELEM, { map_fd, value });
      }
      let found = 0;
      for (let i = 0; i < 2000; i++) {
        put();
        const ret = host.bpf(u.BPF_MAP_LOOKUP_ELEM, { map_fd, value });
        if (ret === 0) found++;
        tell(`${value_size}/${max_entries}/${map_extra} value ${i}: ${ret}`);
      }
      tell(`${found} of 2000`);
      host.close(map_fd);
    });
  }
});

test("RINGBUF: what may be mapped", () => {
  compare((host, tell) => {
    const fd = host.bpf(u.BPF_MAP_CREATE, { map_type: RINGBUF, max_entries: 8192 });
    for (const offset of [0, 1, 4096, 8192, 20480, 24576, 2 ** 32]) {
      for (const length of [1, 4096, 8192, 16384, 20480, 24576, 24577]) {
        for (const prot of [1, 2, 3]) {
          const view = host.mmap(fd, { offset, length, prot });
          tell(`offset ${offset}, length ${length}, prot ${prot}: ${typeof view === "number" ? view : 0}`);
          if (typeof view !== "number") host.munmap(view);
        }
      }
    }
    tell(`poll ${JSON.stringify(host.poll([fd], 0))}`);
    host.close(fd);
  });
});
