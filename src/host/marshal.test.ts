/** The marshaller on a host that is a plain buffer: what reaches the kernel, what comes back, and when. */
import { expect, test } from "vitest";
import { bpfCommands } from "../uapi/commands.ts";
import {
  BPF_BTF_LOAD,
  BPF_MAP_CREATE,
  BPF_MAP_GET_NEXT_ID,
  BPF_MAP_LOOKUP_BATCH,
  BPF_MAP_LOOKUP_ELEM,
  BPF_MAP_UPDATE_ELEM,
  BPF_OBJ_GET,
  BPF_PROG_LOAD,
  E2BIG,
  EFAULT,
  EINVAL,
  ENOMEM,
} from "../uapi/index.ts";
import type { AttrObject, UserBuffer } from "./host.ts";
import { Marshal } from "./marshal.ts";

const MEMORY = 1 << 20;

/** Memory from which nothing but the newest piece comes back, and a "kernel" that is the test's function. */
function machine(kernel: (cmd: number, attr: DataView, address: number, size: number) => number) {
  const memory = new Uint8Array(MEMORY);
  let top = 16;
  let live = 0;
  const alloc = (bytes: number): UserBuffer => {
    const size = Math.ceil(bytes / 16) * 16;
    if (top + size > MEMORY) throw new RangeError("full");
    const address = top;
    top += size;
    live++;
    return {
      address: BigInt(address),
      bytes: memory.subarray(address, address + bytes),
      free: () => {
        live--;
        if (top === address + size) top = address;
      },
    };
  };
  const calls: number[] = [];
  const marshal = new Marshal({
    user: { alloc, addressOf: (view) => (view.buffer === memory.buffer ? view.byteOffset : -1) },
    shapeOf: (fd) => (fd === 3 ? { keySize: 4, valueBytes: 8, cursorBytes: 4 } : undefined),
    raw: (cmd, address, size) => {
      calls.push(cmd);
      return kernel(cmd, new DataView(memory.buffer, address), address, size);
    },
  });
  return { marshal, memory, alloc, calls, live: () => live };
}

const at = (attr: DataView, offset: number): number => Number(attr.getBigUint64(offset, true));

test("every command: fields do not overlap, and the bytes between them are padding", () => {
  for (const row of Object.values(bpfCommands)) {
    const fields = row.fields.toSorted((a, b) => a.offset - b.offset);
    expect(fields.length).toBeGreaterThan(0);
    for (const [i, field] of fields.entries()) {
      const next = fields[i + 1];
      if (next !== undefined && next.offset !== field.offset) {
        expect(field.offset + field.size, `${row.name}.${field.name}`).toBeLessThanOrEqual(next.offset);
      }
      expect(field.kind === "ptr", field.name).toBe(field.index >= 0);
    }
    expect(row.name).toMatch(/^BPF_/);
  }
});

test("numbers, names and defaults become the kernel's bytes", () => {
  let seen: Uint8Array = new Uint8Array();
  const { marshal } = machine((_cmd, attr, _address, size) => {
    seen = new Uint8Array(attr.buffer.slice(attr.byteOffset, attr.byteOffset + size));
    return 5;
  });
  const attr = { map_type: 7, map_extra: -1, map_token_fd: -2, map_name: "abc", max_entries: 0xffff_ffffn };
  expect(marshal.bpf(BPF_MAP_CREATE, attr)).toBe(5);
  const view = new DataView(seen.buffer);
  expect(seen.length).toBe(92);
  expect(view.getUint32(0, true)).toBe(7);
  expect(view.getUint32(12, true)).toBe(0xffff_ffff);
  expect([...seen.subarray(28, 32)]).toEqual([97, 98, 99, 0]);
  expect(view.getBigUint64(64, true)).toBe(2n ** 64n - 1n);
  expect(view.getInt32(76, true)).toBe(-2);
  for (const map_extra of [2 ** 53, 2n ** 64n, -(2n ** 63n) - 1n, 0.5, Number.NaN]) {
    expect(() => marshal.bpf(BPF_MAP_CREATE, { map_extra })).toThrow(/map_extra/);
  }
  marshal.bpf(BPF_MAP_CREATE, { map_extra: -(2n ** 63n) });
  expect(new DataView(seen.buffer).getBigInt64(64, true)).toBe(-(2n ** 63n));
  marshal.bpf(BPF_MAP_CREATE, {}, 168);
  expect(seen).toEqual(new Uint8Array(168));
  expect(marshal.bpf(BPF_MAP_CREATE, {}, 4097)).toBe(-E2BIG);
});

test("buffers are staged, or used where they are when they lie in user memory", () => {
  const pointers: number[][] = [];
  const m = machine((_cmd, attr) => {
    const [key, value] = [at(attr, 8), at(attr, 16)];
    pointers.push([key, value]);
    const bytes = new Uint8Array(attr.buffer);
    for (let i = 0; i < 8; i++) bytes[value + i]! += bytes[key]!;
    return 0;
  });
  const key = new Uint8Array([10, 0, 0, 0]);
  const value = new Uint8Array(12).fill(1);
  expect(m.marshal.bpf(BPF_MAP_LOOKUP_ELEM, { map_fd: 3, key, value })).toBe(0);
  expect([...value]).toEqual([...Array(8).fill(11), 1, 1, 1, 1]);
  const mine = m.alloc(12);
  mine.bytes.set(key);
  const inPlace = { map_fd: 3, key: mine.bytes.subarray(0, 4), value: mine.bytes.subarray(4) };
  expect(m.marshal.bpf(BPF_MAP_LOOKUP_ELEM, inPlace)).toBe(0);
  expect([...mine.bytes.subarray(4)]).toEqual(Array(8).fill(10));
  expect(pointers[1]).toEqual([Number(mine.address), Number(mine.address) + 4]);
  // The same scratch memory at each call.
  m.marshal.bpf(BPF_MAP_LOOKUP_ELEM, { map_fd: 3, key, value });
  expect(pointers[2]).toEqual(pointers[0]);
  // An update's value is read only.
  const read = new Uint8Array(8).fill(1);
  m.marshal.bpf(BPF_MAP_UPDATE_ELEM, { map_fd: 3, key, value: read });
  expect([...read]).toEqual(Array(8).fill(1));
  // Addresses as they are, NULL in all its forms.
  m.marshal.bpf(BPF_MAP_LOOKUP_ELEM, { map_fd: 3, key: 4096n, value: 8192 });
  expect(pointers.at(-1)).toEqual([4096, 8192]);
  for (const nothing of [null, undefined, 0, 0n]) {
    m.marshal.bpf(BPF_MAP_LOOKUP_ELEM, { map_fd: 3, key: nothing, value: 8192 });
    expect(pointers.at(-1)).toEqual([0, 8192]);
  }
});

test("what is too short is refused before the kernel is asked", () => {
  const m = machine(() => 0);
  const key = new Uint8Array(4);
  for (const [cmd, attr] of [
    [BPF_MAP_LOOKUP_ELEM, { map_fd: 3, key: new Uint8Array(3), value: new Uint8Array(8) }],
    [BPF_MAP_LOOKUP_ELEM, { map_fd: 3, key, value: new Uint16Array(3) }],
    [BPF_MAP_LOOKUP_BATCH, { map_fd: 3, keys: new Uint8Array(8), count: 3 }],
    [BPF_MAP_LOOKUP_BATCH, { map_fd: 3, keys: new Uint8Array(8), count: 0xffff_ffff }],
    [BPF_MAP_LOOKUP_BATCH, { map_fd: 3, out_batch: new Uint8Array(3) }],
    [BPF_PROG_LOAD, { insn_cnt: 2, insns: new Uint8Array(15) }],
    [BPF_PROG_LOAD, { license: new Uint8Array([71, 80, 76]) }],
    [BPF_PROG_LOAD, { func_info: new Uint8Array(15), func_info_cnt: 2, func_info_rec_size: 8 }],
    [BPF_OBJ_GET, { pathname: new Uint8Array(0) }],
    [BPF_BTF_LOAD, { btf: new Uint8Array(3), btf_size: 4 }],
  ] as const) {
    expect(m.marshal.bpf(cmd, attr)).toBe(-EFAULT);
  }
  expect(m.calls).toEqual([]);
  expect(() => m.marshal.bpf(BPF_MAP_LOOKUP_ELEM, { map_fd: 3, key: [1] as never })).toThrow(/key is a Array/);
  expect(() => m.marshal.bpf(BPF_MAP_LOOKUP_ELEM, null as never)).toThrow(TypeError);
});

test("texts end in a NUL", () => {
  let text = "";
  const m = machine((_cmd, attr) => {
    const bytes = new Uint8Array(attr.buffer, at(attr, 0));
    text = new TextDecoder().decode(bytes.subarray(0, bytes.indexOf(0)));
    return 7;
  });
  expect(m.marshal.bpf(BPF_OBJ_GET, { pathname: "/sys/fs/bpf/ü" })).toBe(7);
  expect(text).toBe("/sys/fs/bpf/ü");
  expect(m.marshal.bpf(BPF_OBJ_GET, { pathname: new Uint8Array([47, 65, 0, 66]) })).toBe(7);
  expect(text).toBe("/A");
});

test("outputs go into the object", () => {
  let result = 0;
  const m = machine((_cmd, attr) => {
    attr.setUint32(4, 77, true);
    return result;
  });
  const attr: AttrObject = { start_id: 1 };
  m.marshal.bpf(BPF_MAP_GET_NEXT_ID, attr);
  expect(attr).toEqual({ start_id: 1, next_id: 77 });
  result = -EINVAL;
  const failing: AttrObject = { start_id: 1, next_id: 5 };
  m.marshal.bpf(BPF_MAP_GET_NEXT_ID, failing);
  expect(failing.next_id).toBe(77);
  const quiet = machine(() => -EINVAL);
  const untouched: AttrObject = { start_id: 1 };
  quiet.marshal.bpf(BPF_MAP_GET_NEXT_ID, untouched);
  expect(untouched).toEqual({ start_id: 1 });
});

test("bytes: outputs come back, bytes that are not the caller's do not", () => {
  const m = machine((_cmd, attr) => {
    for (let i = 0; i < 16; i++) attr.setUint8(i, 9);
    return 0;
  });
  const bytes = new Uint8Array(20).fill(1);
  m.marshal.bpf(BPF_MAP_GET_NEXT_ID, bytes.subarray(4, 12));
  expect([...bytes]).toEqual([...Array(4).fill(1), ...Array(8).fill(9), ...Array(8).fill(1)]);
  const mine = m.alloc(20);
  m.marshal.bpf(BPF_MAP_GET_NEXT_ID, mine.bytes.subarray(0, 4));
  expect([...mine.bytes.subarray(4)]).toEqual(Array(16).fill(0));
});

test("calls nest: each finds its own bytes", () => {
  const deep = 60;
  const value = (n: number): Uint8Array => new Uint8Array(8).fill(n);
  const m = machine((_cmd, attr, address) => {
    const depth = attr.getUint8(24);
    const before = [...new Uint8Array(attr.buffer, address, 32)];
    if (depth < deep) {
      const inner = value(depth + 1);
      const attrInner = { map_fd: 3, key: new Uint8Array(4), value: inner, flags: depth + 1 };
      // Alternately so large that it does not fit the scratch block.
      if (depth % 3 === 0)
        m.marshal.bpf(BPF_BTF_LOAD, { btf: new Uint8Array(200_000), btf_size: 200_000, btf_flags: 0 });
      expect(m.marshal.bpf(BPF_MAP_LOOKUP_ELEM, attrInner)).toBe(depth + 1);
      expect(inner[0]).toBe(depth + 2);
    }
    expect([...new Uint8Array(attr.buffer, address, 32)]).toEqual(before);
    const bytes = new Uint8Array(attr.buffer);
    if (_cmd === BPF_BTF_LOAD) return deep;
    expect(bytes[at(attr, 16)]).toBe(depth);
    bytes[at(attr, 16)] = depth + 1;
    return depth;
  });
  const outer = value(0);
  const nested = m.marshal;
  // BTF_LOAD's byte 24 is its log level: made deep, so that it does not recurse.
  const bpf = nested.bpf.bind(nested);
  nested.bpf = (cmd, attr, size) =>
    bpf(cmd, cmd === BPF_BTF_LOAD ? { ...(attr as AttrObject), btf_log_level: deep } : attr, size);
  expect(nested.bpf(BPF_MAP_LOOKUP_ELEM, { map_fd: 3, key: new Uint8Array(4), value: outer, flags: 0 })).toBe(0);
  expect(outer[0]).toBe(1);
});

test("scratch memory grows, is given back, and may run out", () => {
  const m = machine(() => 0);
  const load = (n: number): number => m.marshal.bpf(BPF_BTF_LOAD, { btf: new Uint8Array(n), btf_size: n });
  expect(load(100)).toBe(0);
  expect(m.live()).toBe(1);
  expect(load(100_000)).toBe(0);
  expect(m.live()).toBe(1);
  expect(load(2 * MEMORY)).toBe(-ENOMEM);
  expect(load(100)).toBe(0);
  expect(m.live()).toBe(1);
});

test("what throws leaves nothing behind", () => {
  let fail = true;
  const m = machine(() => {
    if (fail) throw new Error("inner");
    return 0;
  });
  for (let i = 0; i < 1000; i++) {
    expect(() => m.marshal.bpf(BPF_MAP_LOOKUP_ELEM, { map_fd: 3, key: new Uint8Array(4) })).toThrow("inner");
    expect(() => m.marshal.bpf(BPF_MAP_LOOKUP_ELEM, { nope: 1 })).toThrow(/has no field nope/);
  }
  fail = false;
  expect(m.marshal.bpf(BPF_MAP_LOOKUP_ELEM, { map_fd: 3, key: new Uint8Array(4) })).toBe(0);
  expect(m.live()).toBe(1);
});
