/** What the kernel at hand says of the fixtures: BTF, maps and linked programs load, and the programs do what their C says. */
import { afterAll, expect, test } from "vitest";
import { type FixtureName, readFixture } from "../../test/fixtures/bpf/read.ts";
import { kernelHost } from "../../test/kernel.ts";
import type { AttrObject } from "../host/host.ts";
import { encodeInsns } from "../insn/index.ts";
import * as u from "../uapi/index.ts";
import { insnsWithFds, parseObject, requireSupported } from "./object.ts";
import type { MapSpec, ObjectSpec } from "./spec.ts";

const host = kernelHost();
afterAll(() => {
  host?.dispose();
});

/** An object in the kernel. Everything is by fd; `close` closes all. */
class Loaded {
  readonly object: ObjectSpec;
  readonly maps = new Map<string, number>();
  readonly #fds: number[] = [];
  readonly #btf: number;

  constructor(file: FixtureName, edit: (object: ObjectSpec) => void = () => {}) {
    this.object = parseObject(readFixture(file), { name: file });
    edit(this.object);
    const { btfBytes } = this.object;
    const log = Buffer.alloc(1 << 16);
    const load = { btf_log_buf: log, btf_log_size: log.length, btf_log_level: 1 };
    this.#btf =
      btfBytes === undefined
        ? 0
        : this.#keep(host!.bpf(u.BPF_BTF_LOAD, { btf: btfBytes, btf_size: btfBytes.length, ...load }), () => text(log));
    for (const map of this.object.maps) this.maps.set(map.name, this.#map(map));
  }

  #keep(fd: number, log: () => string): number {
    if (fd < 0) throw new Error(`${-fd}: ${log()}`);
    this.#fds.push(fd);
    return fd;
  }

  #map(map: MapSpec): number {
    const inner = map.innerSpec === undefined ? 0 : this.#map(map.innerSpec);
    const attr: AttrObject = {
      map_type: map.type,
      key_size: map.keySize,
      value_size: map.valueSize,
      max_entries: map.maxEntries,
      map_flags: map.flags,
      inner_map_fd: inner,
      numa_node: map.numaNode ?? 0,
      map_name: map.name.slice(0, u.BPF_OBJ_NAME_LEN - 1),
      map_extra: map.mapExtra,
    };
    // As libbpf: types of one side alone are left out, except where a data section is the value.
    if (map.valueTypeId !== undefined && (map.keyTypeId !== undefined || map.section !== ".maps")) {
      attr.btf_fd = this.#btf;
      attr.btf_key_type_id = map.keyTypeId ?? 0;
      attr.btf_value_type_id = map.valueTypeId;
    }
    const fd = this.#keep(host!.bpf(u.BPF_MAP_CREATE, attr), () => `map ${map.name}`);
    if (map.initialData !== undefined) {
      const elem = { map_fd: fd, key: new Uint8Array(4), value: map.initialData };
      const result = host!.bpf(u.BPF_MAP_UPDATE_ELEM, elem);
      if (result !== 0) throw new Error(`${result}: initial data of ${map.name}`);
    }
    return fd;
  }

  program(name: string, type?: number): number {
    const program = this.object.programs.find((each) => each.name === name)!;
    requireSupported(program);
    const insns = encodeInsns(insnsWithFds(program, (map) => this.maps.get(map)!));
    const log = Buffer.alloc(1 << 18);
    const { funcInfo, lineInfo } = program;
    const attr: AttrObject = {
      prog_type: type ?? program.type!,
      insn_cnt: insns.length / 8,
      insns,
      license: this.object.license,
      log_level: 1,
      log_size: log.length,
      log_buf: log,
      prog_flags: program.flags,
      expected_attach_type: type === undefined ? (program.expectedAttachType ?? 0) : 0,
      prog_btf_fd: this.#btf,
      func_info_rec_size: 8,
      func_info: funcInfo,
      func_info_cnt: funcInfo.length / 8,
      line_info_rec_size: 16,
      line_info: lineInfo,
      line_info_cnt: lineInfo.length / 16,
    };
    return this.#keep(host!.bpf(u.BPF_PROG_LOAD, attr), () => text(log));
  }

  run(fd: number, packet: Uint8Array): number {
    const attr: AttrObject = { prog_fd: fd, data_size_in: packet.length, data_in: packet, repeat: 1 };
    const result = host!.bpf(u.BPF_PROG_TEST_RUN, attr);
    if (result !== 0) throw new Error(`${result}: test run`);
    return Number(attr.retval);
  }

  lookup(map: string, key: number, size: number): DataView {
    const value = new Uint8Array(size);
    const elem = { map_fd: this.maps.get(map)!, key: Uint32Array.of(key), value };
    const result = host!.bpf(u.BPF_MAP_LOOKUP_ELEM, elem);
    if (result !== 0) throw new Error(`${result}: lookup in ${map}`);
    return new DataView(value.buffer);
  }

  close(): void {
    for (const fd of this.#fds) host!.close(fd);
  }
}

function text(log: Buffer): string {
  return log.toString("latin1", 0, log.indexOf(0));
}

test.skipIf(host === undefined)("counter: counts, globals and initial values", () => {
  const loaded = new Loaded("counter", (object) => {
    object.maps.find((map) => map.name === "by_proto")!.maxEntries = 16;
  });
  const packet = new Uint8Array(60);
  packet.set([0x08, 0x00], 12);
  const count = loaded.program("count_packets");
  expect([1, 2, 3].map(() => loaded.run(count, packet))).toEqual([2, 2, 2]);
  const counts = loaded.lookup("by_proto", 0x0800, 16);
  expect([counts.getBigUint64(0, true), counts.getBigUint64(8, true)]).toEqual([3n, 180n]);
  const bss = loaded.lookup("counter.bss", 0, 12);
  expect([bss.getBigUint64(0, true), bss.getUint32(8, true)]).toEqual([3n, 3]);
  // .rodata is the caller's to freeze; unfrozen the verifier knows less, and the program works all the same.
  expect(loaded.run(loaded.program("pass_all"), packet)).toBe(2);
  expect(loaded.lookup("counter.data", 0, 6).getUint16(4, true)).toBe(8);
  loaded.close();
});

test.skipIf(host === undefined)("calls: two deep, shared, and as callbacks", () => {
  const loaded = new Loaded("calls");
  const fd = loaded.maps.get("slots")!;
  [100n, 200n, 300n, 400n].forEach((value, i) => {
    const elem = { map_fd: fd, key: Uint32Array.of(i), value: BigUint64Array.of(value) };
    expect(host!.bpf(u.BPF_MAP_UPDATE_ELEM, elem)).toBe(0);
  });
  // leaf(v) = slots[v & 3] + v, middle(v) = leaf(v + 1) * 2.
  const leaf = (v: number): number => [100, 200, 300, 400][v & 3]! + v;
  const packet = new Uint8Array(64);
  expect(loaded.run(loaded.program("use_both"), packet)).toBe(leaf(64 + 1) * 2 + leaf(3));
  // A socket filter sees the packet without its Ethernet header.
  expect(loaded.run(loaded.program("use_leaf"), packet)).toBe(leaf(64 - 14));
  const visited = [0, 1, 2, 3].reduce((sum, key) => sum + leaf(key) - key + leaf(key), 0);
  expect(loaded.run(loaded.program("use_callbacks"), packet)).toBe(0 + 1 + 2 + 3 + 4 + visited);
  loaded.close();
});

test.skipIf(host === undefined)("sections: every data section and type of program", () => {
  const loaded = new Loaded("sections");
  for (const name of ["on_open", "on_exit", "on_switch", "on_egress"]) loaded.program(name);
  // As a socket filter it can be run: flag + (int)wide.
  loaded.program("unknown", 1);
  loaded.close();
});

test.skipIf(host === undefined)("maps: of every shape", () => {
  const loaded = new Loaded("maps", (object) => {
    const pinned = object.maps.find((map) => map.name === "pinned")!;
    expect(pinned.flags).toBe(u.BPF_F_NUMA_NODE);
    pinned.numaNode = 0;
  });
  loaded.program("target");
  loaded.program("jump");
  loaded.close();
});

test.skipIf(host === undefined)("unsupported: the program that needs nothing of it loads", () => {
  const loaded = new Loaded("unsupported");
  loaded.program("with_nothing");
  expect(() => loaded.program("with_extern")).toThrow(/extern nowhere, .* nothing can resolve/);
  loaded.close();
});
