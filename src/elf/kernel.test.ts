/** What the kernel at hand says of the fixtures: BTF, maps and linked programs load, and the programs do what their C says. */
import { expect, test } from "vitest";
import { type FixtureName, readFixture } from "../../test/fixtures/bpf/read.ts";
import { openRawBpf } from "../../test/fixtures/bpf/syscall.ts";
import { encodeInsns } from "../insn/index.ts";
import { BPF_F_NUMA_NODE, BPF_OBJ_NAME_LEN } from "../uapi/index.ts";
import { insnsWithFds, parseObject, requireSupported } from "./object.ts";
import type { MapSpec, ObjectSpec } from "./spec.ts";

const bpf = openRawBpf();
const BPF_MAP_CREATE = 0;
const BPF_MAP_LOOKUP_ELEM = 1;
const BPF_MAP_UPDATE_ELEM = 2;
const BPF_PROG_LOAD = 5;
const BPF_PROG_TEST_RUN = 10;
const BPF_BTF_LOAD = 18;

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
    this.#btf =
      btfBytes === undefined
        ? 0
        : this.#keep(
            bpf!.call(BPF_BTF_LOAD, 28, { 0: btfBytes, 8: log, 16: btfBytes.length, 20: log.length, 24: 1 }),
            () => text(log),
          );
    for (const map of this.object.maps) this.maps.set(map.name, this.#map(map));
  }

  #keep(fd: number, log: () => string): number {
    if (fd < 0) throw new Error(`${-fd}: ${log()}`);
    this.#fds.push(fd);
    return fd;
  }

  #map(map: MapSpec): number {
    const inner = map.innerSpec === undefined ? 0 : this.#map(map.innerSpec);
    const name = Buffer.alloc(BPF_OBJ_NAME_LEN);
    name.write(map.name.slice(0, BPF_OBJ_NAME_LEN - 1));
    const nameWords = {
      28: name.readUInt32LE(0),
      32: name.readUInt32LE(4),
      36: name.readUInt32LE(8),
      40: name.readUInt32LE(12),
    };
    const fields = {
      0: map.type,
      4: map.keySize,
      8: map.valueSize,
      12: map.maxEntries,
      16: map.flags,
      20: inner,
      24: map.numaNode ?? 0,
    };
    const extra = { 64: Number(map.mapExtra & 0xffff_ffffn), 68: Number(map.mapExtra >> 32n) };
    const types = { 48: this.#btf, 52: map.keyTypeId ?? 0, 56: map.valueTypeId ?? 0 };
    // As libbpf: types of one side alone are left out, except where a data section is the value.
    const whole = map.valueTypeId !== undefined && (map.keyTypeId !== undefined || map.section !== ".maps");
    const fd = this.#keep(
      bpf!.call(BPF_MAP_CREATE, 72, { ...fields, ...nameWords, ...extra, ...(whole ? types : {}) }),
      () => `map ${map.name}`,
    );
    if (map.initialData !== undefined) {
      const result = bpf!.call(BPF_MAP_UPDATE_ELEM, 32, { 0: fd, 8: new Uint8Array(4), 16: map.initialData });
      if (result !== 0) throw new Error(`${result}: initial data of ${map.name}`);
    }
    return fd;
  }

  program(name: string, type?: number): number {
    const program = this.object.programs.find((each) => each.name === name)!;
    requireSupported(program);
    const insns = encodeInsns(insnsWithFds(program, (map) => this.maps.get(map)!));
    const license = Buffer.from(`${this.object.license}\0`);
    const log = Buffer.alloc(1 << 18);
    const { funcInfo, lineInfo } = program;
    const fields = {
      0: type ?? program.type!,
      4: insns.length / 8,
      8: insns,
      16: license,
      24: 1,
      28: log.length,
      32: log,
    };
    const kind = { 44: program.flags, 68: type === undefined ? (program.expectedAttachType ?? 0) : 0 };
    const debug = {
      72: this.#btf,
      76: 8,
      80: funcInfo,
      88: funcInfo.length / 8,
      92: 16,
      96: lineInfo,
      104: lineInfo.length / 16,
    };
    return this.#keep(bpf!.call(BPF_PROG_LOAD, 112, { ...fields, ...kind, ...debug }), () => text(log));
  }

  run(fd: number, packet: Uint8Array): number {
    const result = bpf!.call(BPF_PROG_TEST_RUN, 80, { 0: fd, 8: packet.length, 16: packet, 32: 1 });
    if (result !== 0) throw new Error(`${result}: test run`);
    return bpf!.attr().getUint32(4, true);
  }

  lookup(map: string, key: number, size: number): DataView {
    const value = new Uint8Array(size);
    const result = bpf!.call(BPF_MAP_LOOKUP_ELEM, 32, {
      0: this.maps.get(map)!,
      8: new Uint8Array(Uint32Array.of(key).buffer),
      16: value,
    });
    if (result !== 0) throw new Error(`${result}: lookup in ${map}`);
    return new DataView(value.buffer);
  }

  close(): void {
    for (const fd of this.#fds) bpf!.close(fd);
  }
}

function text(log: Buffer): string {
  return log.toString("latin1", 0, log.indexOf(0));
}

test.skipIf(bpf === undefined)("counter: counts, globals and initial values", () => {
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

test.skipIf(bpf === undefined)("calls: two deep, shared, and as callbacks", () => {
  const loaded = new Loaded("calls");
  const fd = loaded.maps.get("slots")!;
  [100n, 200n, 300n, 400n].forEach((value, i) => {
    const key = new Uint8Array(Uint32Array.of(i).buffer);
    expect(
      bpf!.call(BPF_MAP_UPDATE_ELEM, 32, { 0: fd, 8: key, 16: new Uint8Array(BigUint64Array.of(value).buffer) }),
    ).toBe(0);
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

test.skipIf(bpf === undefined)("sections: every data section and type of program", () => {
  const loaded = new Loaded("sections");
  for (const name of ["on_open", "on_exit", "on_switch", "on_egress"]) loaded.program(name);
  // As a socket filter it can be run: flag + (int)wide.
  loaded.program("unknown", 1);
  loaded.close();
});

test.skipIf(bpf === undefined)("maps: of every shape", () => {
  const loaded = new Loaded("maps", (object) => {
    const pinned = object.maps.find((map) => map.name === "pinned")!;
    expect(pinned.flags).toBe(BPF_F_NUMA_NODE);
    pinned.numaNode = 0;
  });
  loaded.program("target");
  loaded.program("jump");
  loaded.close();
});

test.skipIf(bpf === undefined)("unsupported: the program that needs nothing of it loads", () => {
  const loaded = new Loaded("unsupported", (object) => {
    // .ksyms and .kconfig in the BTF are for a loader that resolves them.
    delete object.btfBytes;
    for (const program of object.programs) {
      program.funcInfo = new Uint8Array(0);
      program.lineInfo = new Uint8Array(0);
    }
  });
  loaded.program("with_nothing");
  expect(() => loaded.program("with_core")).toThrow(/CO-RE relocation of struct task at 0:1 .* not supported yet/);
  loaded.close();
});
