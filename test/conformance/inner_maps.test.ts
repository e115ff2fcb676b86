/** Programs that reach maps through other maps, and programs that go on in other programs; also on the kernel at hand. */
import { afterAll, expect, test } from "vitest";
import { BtfBuilder } from "../../src/btf/index.ts";
import type { Host } from "../../src/host/host.ts";
import * as asm from "../../src/insn/index.ts";
import * as u from "../../src/uapi/index.ts";
import { closeHosts, embeddedOf, openHosts, placesOf } from "./hosts.ts";
import { loadProgram, readResults, readStderr, resultMap, testRun } from "./programs.ts";

const { R0, R1, R2, R3, R4, R6, R7, R8, R9, R10 } = asm;
const hosts = openHosts({ anyCpu: true });
const embedded = embeddedOf(hosts);
const places = placesOf(hosts);
afterAll(() => {
  expect(hosts.exclusive.openFds()).toEqual([]);
  expect(hosts.shared.openFds()).toEqual([]);
  closeHosts(hosts);
});

/** Opens things on a host and closes them all. */
class Opened {
  readonly host: Host;
  readonly #fds: number[] = [];

  constructor(host: Host) {
    this.host = host;
  }

  keep(fd: number, what: string): number {
    if (fd < 0) throw new Error(`${what}: ${fd}`);
    this.#fds.push(fd);
    return fd;
  }

  map(map_type: number, key_size: number, value_size: number, max_entries: number, inner_map_fd = 0): number {
    const attr = { map_type, key_size, value_size, max_entries, inner_map_fd };
    return this.keep(this.host.bpf(u.BPF_MAP_CREATE, attr), `map of type ${map_type}`);
  }

  put(map: number, key: number, fd: number): void {
    const words = (n: number): Uint8Array => new Uint8Array(Uint32Array.of(n).buffer);
    const ret = this.host.bpf(u.BPF_MAP_UPDATE_ELEM, { map_fd: map, key: words(key), value: words(fd), flags: 0 });
    if (ret !== 0) throw new Error(`update: ${ret}`);
  }

  results(): number {
    return this.keep(resultMap(this.host, 64), "results");
  }

  program(items: readonly asm.AsmItem[], flags = 0): number {
    const { fd, log } = loadProgram(this.host, items, { flags });
    return this.keep(fd, `PROG_LOAD: ${log.slice(-800)}`);
  }

  close(fd: number): void {
    this.host.close(fd);
    this.#fds.splice(this.#fds.indexOf(fd), 1);
  }

  end(): void {
    for (const fd of this.#fds) this.host.close(fd);
  }
}

function everywhere(
  run: (open: Opened, name: string) => void,
  on: readonly (readonly [string, Host])[] = places,
): void {
  for (const [name, host] of on) {
    const open = new Opened(host);
    try {
      run(open, name);
    } finally {
      open.end();
    }
  }
}

const pass: readonly asm.AsmItem[] = [asm.mov64Imm(R0, u.XDP_PASS), asm.exit()];
/** r0 = lookup of the key in the map that r1 holds. */
const lookup = (key: number): readonly asm.AsmItem[] => [
  asm.st("u32", R10, -4, key),
  asm.mov64(R2, R10),
  asm.alu64Imm("add", R2, -4),
  asm.call(u.BPF_FUNC_map_lookup_elem),
];
/** r0 = the map that lies in an outer map under the key; leaves for `none` where there is none. */
const inner = (outer: number, key: number): readonly asm.AsmItem[] => [
  asm.ldMapFd(R1, outer),
  lookup(key),
  asm.jmpImm("jeq", R0, 0, "none"),
];
const tail = (map: number, index: number): readonly asm.AsmItem[] => [
  asm.mov64(R1, R6),
  asm.ldMapFd(R2, map),
  asm.mov64Imm(R3, index),
  asm.call(u.BPF_FUNC_tail_call),
];

test.each([
  ["ARRAY_OF_MAPS", u.BPF_MAP_TYPE_ARRAY_OF_MAPS],
  ["HASH_OF_MAPS", u.BPF_MAP_TYPE_HASH_OF_MAPS],
])("%s: a program updates, reads, changes in place and deletes in an inner map", (_name, type) => {
  everywhere((open, name) => {
    const { host } = open;
    const results = open.results();
    const first = open.map(u.BPF_MAP_TYPE_HASH, 4, 8, 4);
    const outer = open.map(type, 4, 4, 2, first);
    const fd = open.program([
      asm.ldMapValue(R9, results, 0),
      inner(outer, 1),
      asm.mov64(R7, R0),
      // update(inner, 5, 0x1234)
      asm.st("u32", R10, -4, 5),
      asm.st("u64", R10, -16, 0x1234),
      asm.mov64(R1, R7),
      asm.mov64(R2, R10),
      asm.alu64Imm("add", R2, -4),
      asm.mov64(R3, R10),
      asm.alu64Imm("add", R3, -16),
      asm.mov64Imm(R4, 0),
      asm.call(u.BPF_FUNC_map_update_elem),
      asm.stx("u64", R9, R0, 0),
      asm.mov64(R1, R7),
      lookup(5),
      asm.jmpImm("jeq", R0, 0, "none"),
      asm.ldx("u64", R1, R0, 0),
      asm.stx("u64", R9, R1, 8),
      asm.st("u64", R0, 0, 0x77),
      asm.st("u32", R10, -4, 9),
      asm.mov64(R1, R7),
      asm.mov64(R2, R10),
      asm.alu64Imm("add", R2, -4),
      asm.call(u.BPF_FUNC_map_delete_elem),
      asm.stx("u64", R9, R0, 16),
      pass,
      asm.label("none"),
      asm.st("u64", R9, 24, 1),
      pass,
    ]);
    // Nothing there yet.
    expect(testRun(host, fd).ret, name).toBe(0);
    expect([...readResults(host, results, 64)].slice(0, 4), name).toEqual([0n, 0n, 0n, 1n]);
    open.put(outer, 1, first);
    expect(testRun(host, fd, undefined, 3).ret, name).toBe(0);
    const enoent = BigInt.asUintN(64, -2n);
    expect([...readResults(host, results, 64)].slice(0, 3), name).toEqual([0n, 0x1234n, enoent]);
    const value = new Uint8Array(8);
    const key = Uint8Array.of(5, 0, 0, 0);
    expect(host.bpf(u.BPF_MAP_LOOKUP_ELEM, { map_fd: first, key, value }), name).toBe(0);
    expect(value[0], name).toBe(0x77);
  });
});

test("33 tail calls, and 34 executions of a program that calls itself; then it goes on behind the call", () => {
  everywhere((open, name) => {
    const { host } = open;
    const results = open.results();
    const progs = open.map(u.BPF_MAP_TYPE_PROG_ARRAY, 4, 4, 2);
    const fd = open.program([
      asm.mov64(R6, R1),
      asm.ldMapValue(R9, results, 0),
      asm.ldx("u64", R1, R9, 0),
      asm.alu64Imm("add", R1, 1),
      asm.stx("u64", R9, R1, 0),
      tail(progs, 0),
      asm.ldx("u64", R1, R9, 8),
      asm.alu64Imm("add", R1, 1),
      asm.stx("u64", R9, R1, 8),
      pass,
    ]);
    open.put(progs, 0, fd);
    expect(testRun(host, fd), name).toMatchObject({ ret: 0, retval: u.XDP_PASS });
    expect([...readResults(host, results, 64)].slice(0, 2), name).toEqual([34n, 1n]);
    // Each run counts anew.
    expect(testRun(host, fd, undefined, 2).ret, name).toBe(0);
    expect([...readResults(host, results, 64)].slice(0, 2), name).toEqual([102n, 3n]);
  });
});

test("calls of empty slots and beyond the end fall through, and do not count", () => {
  everywhere((open, name) => {
    const { host } = open;
    const progs = open.map(u.BPF_MAP_TYPE_PROG_ARRAY, 4, 4, 2);
    const end = open.program([asm.mov64Imm(R0, u.XDP_TX), asm.exit()]);
    const misses = Array.from({ length: 40 }, (_, i) => tail(progs, i % 2 === 0 ? 0 : 7));
    const fd = open.program([asm.mov64(R6, R1), misses, tail(progs, -1), tail(progs, 1), pass]);
    open.put(progs, 1, end);
    expect(testRun(host, fd), name).toMatchObject({ ret: 0, retval: u.XDP_TX });
  });
});

test("the index is the lower half; the callee has the context and a stack of its own", () => {
  everywhere((open, name) => {
    const { host } = open;
    const progs = open.map(u.BPF_MAP_TYPE_PROG_ARRAY, 4, 4, 2);
    const end = open.program([
      asm.ldx("u32", R2, R1, 0),
      asm.ldx("u32", R3, R1, 4),
      asm.mov64(R0, R2),
      asm.alu64Imm("add", R0, 14),
      asm.jmp("jgt", R0, R3, "short"),
      asm.st("u64", R10, -8, 1),
      asm.ldx("u8", R0, R2, 3),
      asm.exit(),
      asm.label("short"),
      pass,
    ]);
    open.put(progs, 1, end);
    const fd = open.program([
      asm.mov64(R6, R1),
      asm.ldMapFd(R2, progs),
      asm.ldImm64(R3, 0x5_0000_0001n),
      asm.call(u.BPF_FUNC_tail_call),
      pass,
    ]);
    const data = new Uint8Array(64);
    data[3] = 42;
    expect(testRun(host, fd, data), name).toMatchObject({ ret: 0, retval: 42 });
  });
});

/** PROG_LOAD of a program whose functions have types: the second returns what is asked for. */
function loadTyped(open: Opened, items: readonly asm.AsmItem[], second: number, result: "int" | "pointer"): number {
  const { host } = open;
  const btf = new BtfBuilder();
  const int = btf.int("int", 4, { signed: true });
  const of = (name: string, type: number): number => btf.func(name, btf.funcProto(type, []), "static");
  const types = [of("main", int), of("f", result === "int" ? int : btf.ptr(int))];
  const bytes = btf.build();
  const prog_btf_fd = host.bpf(u.BPF_BTF_LOAD, { btf: bytes, btf_size: bytes.length });
  const insns = asm.assemble(items);
  const fd = host.bpf(u.BPF_PROG_LOAD, {
    prog_type: u.BPF_PROG_TYPE_XDP,
    insns: asm.encodeInsns(insns),
    insn_cnt: insns.length,
    license: "GPL",
    prog_btf_fd,
    func_info: Uint32Array.of(0, types[0]!, second, types[1]!),
    func_info_cnt: 2,
    func_info_rec_size: 8,
  });
  host.close(prog_btf_fd);
  return fd;
}

test("a tail call in a function: the callee's exit leads back to the function's caller, in the first program", () => {
  everywhere((open, name) => {
    const { host } = open;
    const results = open.results();
    const progs = open.map(u.BPF_MAP_TYPE_PROG_ARRAY, 4, 4, 2);
    const other = open.results();
    const end = open.program([
      asm.ldMapValue(R9, other, 0),
      asm.st("u64", R9, 0, 9),
      asm.mov64Imm(R0, 7),
      asm.mov64Imm(R6, 0),
      asm.mov64Imm(R7, 0),
      asm.exit(),
    ]);
    open.put(progs, 1, end);
    const main = [
      asm.mov64(R6, R1),
      asm.mov64Imm(R7, 3),
      asm.st("u64", R10, -8, 5),
      asm.callRel("f"),
      asm.ldMapValue(R9, results, 0),
      asm.stx("u64", R9, R0, 0),
      asm.stx("u64", R9, R7, 8),
      asm.ldx("u64", R1, R10, -8),
      asm.stx("u64", R9, R1, 16),
      pass,
    ];
    const items = [main, asm.label("f"), asm.mov64(R6, R1), tail(progs, 1), asm.mov64Imm(R0, 1), asm.exit()];
    const second = asm.assemble([main, asm.label("f")]).length;
    const fd = open.keep(loadTyped(open, items, second, "int"), "PROG_LOAD");
    expect(testRun(host, fd, undefined, 3), name).toMatchObject({ ret: 0, retval: u.XDP_PASS });
    expect([...readResults(host, results, 64)].slice(0, 3), name).toEqual([7n, 3n, 5n]);
    expect(readResults(host, other, 64)[0], name).toBe(9n);
    // What returns no number, or whose type is not known, makes no tail calls.
    expect(loadTyped(open, items, second, "pointer"), name).toBe(-u.EINVAL);
    expect(loadProgram(host, items).fd, name).toBe(-u.EINVAL);
  });
});

test("a program that is no longer in the array, and whose fds are closed, was held while it ran; the array empties", () => {
  everywhere((open, name) => {
    const { host } = open;
    const progs = open.map(u.BPF_MAP_TYPE_PROG_ARRAY, 4, 4, 2);
    const fd = open.program([asm.mov64(R6, R1), tail(progs, 1), pass]);
    const end = open.program([asm.mov64Imm(R0, u.XDP_TX), asm.exit()]);
    open.put(progs, 0, fd);
    open.put(progs, 1, end);
    open.close(end);
    expect(testRun(host, fd), name).toMatchObject({ ret: 0, retval: u.XDP_TX });
    open.close(progs);
    if (host.kind === "embedded") expect(testRun(host, fd)).toMatchObject({ ret: 0, retval: u.XDP_PASS });
  });
});

test("which helper goes with which map is judged at load", () => {
  everywhere((open, name) => {
    const hash = open.map(u.BPF_MAP_TYPE_HASH, 4, 8, 1);
    const outer = open.map(u.BPF_MAP_TYPE_ARRAY_OF_MAPS, 4, 4, 1, hash);
    const progs = open.map(u.BPF_MAP_TYPE_PROG_ARRAY, 4, 4, 1);
    const load = (items: readonly asm.AsmItem[]): number => {
      const { fd } = loadProgram(open.host, [asm.mov64(R6, R1), items, pass]);
      if (fd >= 0) open.host.close(fd);
      return Math.min(fd, 0);
    };
    const update = (map: number): readonly asm.AsmItem[] => [
      asm.st("u64", R10, -8, 0),
      asm.ldMapFd(R1, map),
      asm.mov64(R2, R10),
      asm.alu64Imm("add", R2, -8),
      asm.mov64(R3, R2),
      asm.mov64Imm(R4, 0),
      asm.call(u.BPF_FUNC_map_update_elem),
    ];
    const remove = (map: number): readonly asm.AsmItem[] => [
      asm.st("u64", R10, -8, 0),
      asm.ldMapFd(R1, map),
      asm.mov64(R2, R10),
      asm.alu64Imm("add", R2, -8),
      asm.call(u.BPF_FUNC_map_delete_elem),
    ];
    expect([load(update(outer)), load(remove(outer)), load(update(progs)), load(remove(progs))], name).toEqual([
      -u.EINVAL,
      -u.EINVAL,
      -u.EINVAL,
      -u.EINVAL,
    ]);
    expect([load([asm.ldMapFd(R1, progs), lookup(0)]), load(tail(hash, 0)), load(tail(outer, 0))], name).toEqual([
      -u.EINVAL,
      -u.EINVAL,
      -u.EINVAL,
    ]);
    expect([load([asm.ldMapFd(R1, outer), lookup(0)]), load(tail(progs, 0))], name).toEqual([0, 0]);
  });
});

test("handles of inner maps that were made up, and pointers into slots, fault", () => {
  everywhere((open) => {
    const { host } = open;
    const hash = open.map(u.BPF_MAP_TYPE_HASH, 4, 8, 1);
    const other = open.map(u.BPF_MAP_TYPE_HASH, 4, 8, 1);
    const outer = open.map(u.BPF_MAP_TYPE_ARRAY_OF_MAPS, 4, 4, 2, hash);
    const ring = open.map(u.BPF_MAP_TYPE_RINGBUF, 0, 0, 4096);
    const rings = open.map(u.BPF_MAP_TYPE_HASH_OF_MAPS, 4, 4, 2, ring);
    open.put(outer, 0, hash);
    open.put(outer, 1, other);
    open.put(rings, 0, ring);
    const faults = (items: readonly asm.AsmItem[]): string => {
      const fd = open.program([
        asm.mov64(R6, R1),
        asm.jmpImm("jeq", R1, 0, "none"),
        items,
        pass,
        asm.label("none"),
        asm.mov64Imm(R0, 0),
        asm.exit(),
      ]);
      const { ret } = testRun(host, fd);
      return ret === 0 ? "" : readStderr(host, fd);
    };
    // A neighbour of the inner map: a map, but none that this run has reached.
    const step = [asm.ldMapFd(R1, outer), asm.alu64Imm("add", R1, 8), lookup(0), asm.jmpImm("jeq", R0, 0, "none")];
    expect(faults([...step])).toContain("no map of this program");
    expect(faults([inner(outer, 0), asm.mov64(R1, R0), asm.alu64Imm("add", R1, 256), lookup(0)])).toContain(
      "no map of this program",
    );
    // The inner map's descriptor is not the program's to read.
    expect(faults([inner(outer, 0), asm.ldx("u64", R1, R0, 0)])).toContain("memory of the host itself");
    expect(faults([inner(rings, 0), asm.mov64(R1, R0), lookup(0)])).toContain("does not go with this helper");
    // Two inner maps at once, both usable until the end.
    expect(
      faults([
        inner(outer, 0),
        asm.mov64(R8, R0),
        inner(outer, 1),
        asm.mov64(R1, R0),
        lookup(0),
        asm.mov64(R1, R8),
        lookup(0),
      ]),
    ).toBe("");
  }, embedded);
});

test("an outer map that ends lets its inner maps go at once; nothing is left in memory", () => {
  everywhere((open) => {
    const host = open.host as typeof hosts.exclusive;
    const before = host.memory();
    for (const type of [u.BPF_MAP_TYPE_ARRAY_OF_MAPS, u.BPF_MAP_TYPE_HASH_OF_MAPS]) {
      const hash = open.map(u.BPF_MAP_TYPE_HASH, 4, 8, 1);
      const outer = open.map(type, 4, 4, 3, hash);
      for (const key of [0, 1, 2]) open.put(outer, key, hash);
      open.close(hash);
      expect(host.bpf(u.BPF_MAP_GET_NEXT_ID, { start_id: 0 })).toBe(0);
      open.close(outer);
    }
    expect(host.bpf(u.BPF_MAP_GET_NEXT_ID, { start_id: 0 })).toBe(-u.ENOENT);
    expect(host.memory()).toEqual(before);
  }, embedded);
});

test("a program and the array that it lies in do not keep each other: both end with the array's last fd", () => {
  everywhere((open) => {
    const host = open.host as typeof hosts.exclusive;
    // The first run furnishes the CPU.
    const before = host.memory();
    const progs = open.map(u.BPF_MAP_TYPE_PROG_ARRAY, 4, 4, 2);
    const fd = open.program([asm.mov64(R6, R1), tail(progs, 0), pass]);
    open.put(progs, 0, fd);
    open.put(progs, 1, fd);
    expect(testRun(host, fd).ret).toBe(0);
    open.close(fd);
    expect(host.bpf(u.BPF_PROG_GET_NEXT_ID, { start_id: 0 })).toBe(0);
    open.close(progs);
    expect(host.bpf(u.BPF_PROG_GET_NEXT_ID, { start_id: 0 })).toBe(-u.ENOENT);
    expect(host.bpf(u.BPF_MAP_GET_NEXT_ID, { start_id: 0 })).toBe(-u.ENOENT);
    expect(host.memory()).toEqual(before);
  }, embedded);
});

test("fdinfo tells for which type of programs an array is, once that is decided", () => {
  everywhere((open, name) => {
    const progs = open.map(u.BPF_MAP_TYPE_PROG_ARRAY, 4, 4, 2);
    const owner = (): string[] => {
      const text = open.host.fdinfo(progs);
      if (typeof text === "number") throw new Error(`fdinfo: ${text}`);
      return text.split("\n").filter((line) => line.startsWith("owner_"));
    };
    expect(owner(), name).toEqual([]);
    open.program([asm.mov64(R6, R1), tail(progs, 0), pass]);
    const jited = open.host.kind === "kernel" ? 1 : 0;
    expect(owner(), name).toEqual([`owner_prog_type:\t${u.BPF_PROG_TYPE_XDP}`, `owner_jited:\t${jited}`]);
  });
});
