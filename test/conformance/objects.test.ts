/**
 * Objects of programs, kept in fields: what clang 14 has no BTF for (kptrs), on the embedded hosts and on the kernel at
 * hand; and programs that break the rules, which only a host without a verifier loads. Lists, trees and locks: test/programs.
 */
import { afterAll, expect, test } from "vitest";
import { BtfBuilder } from "../../src/btf/index.ts";
import type { Host } from "../../src/host/host.ts";
import * as asm from "../../src/insn/index.ts";
import * as u from "../../src/uapi/index.ts";
import { closeHosts, embeddedOf, openHosts, placesOf } from "./hosts.ts";
import { readResults, readStderr, resultMap, testRun } from "./programs.ts";

const { R0, R1, R2, R3, R6, R7, R8, R9, R10 } = asm;
const hosts = openHosts();
const embedded = embeddedOf(hosts);
const places = placesOf(hosts);
afterAll(() => {
  for (const host of [hosts.exclusive, hosts.shared]) {
    expect(host.openFds()).toEqual([]);
    // Objects hold their BTF.
    expect(host.bpf(u.BPF_BTF_GET_NEXT_ID, { start_id: 0 })).toBe(-u.ENOENT);
  }
  closeHosts(hosts);
});

const WORDS = 8;
/** struct node { u64 x; bpf_list_node l; bpf_rb_node r; bpf_refcount refs; u64 y; node2 __kptr *next }, and value. */
const NODE_L = 8;
const NODE_R = 32;
const NODE_REFS = 64;
const NODE_SIZE = 80;
const VALUE_P = 0;
const VALUE_Q = 8;
const VALUE_HEAD = 16;
const VALUE_ROOT = 32;
const VALUE_LOCK = 48;
const VALUE_SIZE = 56;

interface Scene {
  readonly host: Host;
  readonly btf: number;
  readonly map: number;
  readonly results: number;
  readonly types: { readonly node: number; readonly counter: number; readonly func: number };
  kfunc(name: string): asm.AsmItem;
}

function sceneOn(host: Host): Scene {
  const b = new BtfBuilder();
  const u32 = b.int("unsigned int", 4);
  const u64 = b.int("unsigned long long", 8);
  const words = (name: string, n: number): number =>
    b.struct(
      name,
      n * 8,
      Array.from({ length: n }, (_, i) => ({ name: `w${i}`, typeId: u64, bitOffset: i * 64 })),
    );
  const lock = b.struct("bpf_spin_lock", 4, [{ name: "val", typeId: u32, bitOffset: 0 }]);
  const refcount = b.struct("bpf_refcount", 4, [{ name: "val", typeId: u32, bitOffset: 0 }]);
  const [listHead, listNode] = [words("bpf_list_head", 2), words("bpf_list_node", 3)];
  const [rbRoot, rbNode] = [words("bpf_rb_root", 2), words("bpf_rb_node", 4)];
  const counter = b.struct("own_counter", 8, [{ name: "n", typeId: u64, bitOffset: 0 }]);
  const node = b.struct("own_node", NODE_SIZE, [
    { name: "x", typeId: u64, bitOffset: 0 },
    { name: "l", typeId: listNode, bitOffset: NODE_L * 8 },
    { name: "r", typeId: rbNode, bitOffset: NODE_R * 8 },
    { name: "refs", typeId: refcount, bitOffset: NODE_REFS * 8 },
    { name: "y", typeId: u64, bitOffset: 72 * 8 },
  ]);
  const p = b.ptr(b.typeTag("kptr", node));
  const q = b.ptr(b.typeTag("percpu_kptr", counter));
  const value = b.struct("value", VALUE_SIZE, [
    { name: "p", typeId: p, bitOffset: VALUE_P * 8 },
    { name: "q", typeId: q, bitOffset: VALUE_Q * 8 },
    { name: "head", typeId: listHead, bitOffset: VALUE_HEAD * 8 },
    { name: "root", typeId: rbRoot, bitOffset: VALUE_ROOT * 8 },
    { name: "lock", typeId: lock, bitOffset: VALUE_LOCK * 8 },
  ]);
  b.declTag("contains:own_node:l", value, 2);
  b.declTag("contains:own_node:r", value, 3);
  const ctx = b.ptr(b.struct("xdp_md", 24, []));
  const func = b.func("test", b.funcProto(u32, [{ name: "ctx", typeId: ctx }]), "global");
  const bytes = b.build();
  const log = new Uint8Array(4096);
  const btf = host.bpf(u.BPF_BTF_LOAD, {
    btf: bytes,
    btf_size: bytes.length,
    btf_log_buf: log,
    btf_log_size: log.length,
    btf_log_level: 1,
  });
  if (btf < 0) throw new Error(`BTF_LOAD ${btf}: ${new TextDecoder().decode(log)}`);
  const map = host.bpf(u.BPF_MAP_CREATE, {
    map_type: u.BPF_MAP_TYPE_ARRAY,
    key_size: 4,
    value_size: VALUE_SIZE,
    max_entries: 2,
    btf_fd: btf,
    btf_key_type_id: u32,
    btf_value_type_id: value,
  });
  expect(map).toBeGreaterThan(0);
  const ids = host.kernelBtf()!.btf;
  const kfunc = (name: string): asm.AsmItem => asm.callKfunc(ids.find(name, "func")!);
  return { host, btf, map, results: resultMap(host, WORDS * 8), types: { node, counter, func }, kfunc };
}

/** r9: the results; r7: the map's first value. */
function load(
  scene: Scene,
  body: readonly asm.AsmItem[],
  functions: readonly asm.AsmItem[] = [],
): { fd: number; log: string } {
  const { host, btf, map, results, types } = scene;
  const insns = asm.assemble([
    asm.ldMapValue(R9, results, 0),
    asm.st("u32", R10, -4, 0),
    asm.mov64(R2, R10),
    asm.alu64Imm("add", R2, -4),
    asm.ldMapFd(R1, map),
    asm.call(u.BPF_FUNC_map_lookup_elem),
    asm.jmpImm("jeq", R0, 0, "end"),
    asm.mov64(R7, R0),
    ...body,
    asm.label("end"),
    asm.mov64Imm(R0, 2),
    asm.exit(),
    ...functions,
  ]);
  const starts = functions.length === 0 ? [0] : [0, insns.length - asm.assemble(functions).length];
  const log = new Uint8Array(1 << 16);
  const fd = host.bpf(u.BPF_PROG_LOAD, {
    prog_type: u.BPF_PROG_TYPE_XDP,
    insn_cnt: insns.length,
    insns: asm.encodeInsns(insns),
    license: "GPL",
    prog_btf_fd: btf,
    func_info: new Uint8Array(Uint32Array.from(starts.flatMap((start) => [start, types.func])).buffer),
    func_info_rec_size: 8,
    func_info_cnt: starts.length,
    log_level: 1,
    log_buf: log,
    log_size: log.length,
  });
  return { fd, log: new TextDecoder().decode(log.subarray(0, log.indexOf(0))) };
}

function end({ host, btf, map, results }: Scene, ...progs: readonly number[]): void {
  for (const fd of [...progs, map, results, btf]) expect(host.close(fd)).toBe(0);
}

const newNode = (scene: Scene, to: asm.Reg): readonly asm.AsmItem[] => [
  asm.mov64Imm(R1, scene.types.node),
  asm.mov64Imm(R2, 0),
  scene.kfunc("bpf_obj_new_impl"),
  asm.jmpImm("jeq", R0, 0, "end"),
  asm.mov64(to, R0),
];
const drop = (scene: Scene, from: asm.Reg): readonly asm.AsmItem[] => [
  asm.mov64(R1, from),
  asm.mov64Imm(R2, 0),
  scene.kfunc("bpf_obj_drop_impl"),
];
/** r1 = the field at this byte of the value. */
const field = (offset: number): readonly asm.AsmItem[] => [asm.mov64(R1, R7), asm.alu64Imm("add", R1, offset)];

test.for(places)("%s: an object in a field", ([, host]) => {
  const scene = sceneOn(host);
  const { fd, log } = load(scene, [
    ...newNode(scene, R8),
    asm.st("u64", R8, 72, 42),
    ...field(VALUE_P),
    asm.mov64(R2, R8),
    asm.call(u.BPF_FUNC_kptr_xchg),
    asm.st("u64", R9, 0, 1),
    asm.jmpImm("jeq", R0, 0, "was_empty"),
    asm.mov64(R8, R0),
    asm.ldx("u64", R1, R8, 72),
    asm.stx("u64", R9, R1, 0),
    ...drop(scene, R8),
    asm.label("was_empty"),
    // Seen through the field, as RCU lets it.
    asm.ldx("u64", R1, R7, VALUE_P),
    asm.jmpImm("jeq", R1, 0, "end"),
    asm.ldx("u64", R2, R1, 72),
    asm.stx("u64", R9, R2, 8),
    asm.mov64Imm(R2, 0),
    scene.kfunc("bpf_refcount_acquire_impl"),
    asm.jmpImm("jeq", R0, 0, "end"),
    asm.mov64(R8, R0),
    asm.ldx("u64", R1, R8, 72),
    asm.stx("u64", R9, R1, 16),
    ...drop(scene, R8),
  ]);
  expect(fd, log).toBeGreaterThan(0);
  const run = (): bigint[] => {
    expect(testRun(host, fd)).toMatchObject({ ret: 0, retval: 2 });
    return [...readResults(host, scene.results, WORDS * 8).subarray(0, 3)];
  };
  expect(run()).toEqual([1n, 42n, 42n]);
  expect(run()).toEqual([42n, 42n, 42n]);
  // An update of the element lets go of what the field owns.
  const value = new Uint8Array(VALUE_SIZE).fill(255);
  expect(host.bpf(u.BPF_MAP_UPDATE_ELEM, { map_fd: scene.map, key: new Uint8Array(4), value, flags: 0 })).toBe(0);
  expect(run()).toEqual([1n, 42n, 42n]);
  end(scene, fd);
});

test.for(places)("%s: an object with a copy for each CPU", ([, host]) => {
  const scene = sceneOn(host);
  const { fd, log } = load(scene, [
    asm.mov64Imm(R1, scene.types.counter),
    asm.mov64Imm(R2, 0),
    scene.kfunc("bpf_percpu_obj_new_impl"),
    asm.jmpImm("jeq", R0, 0, "end"),
    asm.mov64(R2, R0),
    ...field(VALUE_Q),
    asm.call(u.BPF_FUNC_kptr_xchg),
    asm.jmpImm("jeq", R0, 0, "was_empty"),
    asm.mov64(R1, R0),
    asm.mov64Imm(R2, 0),
    scene.kfunc("bpf_percpu_obj_drop_impl"),
    asm.st("u64", R9, 0, 1),
    asm.label("was_empty"),
    asm.ldx("u64", R8, R7, VALUE_Q),
    asm.jmpImm("jeq", R8, 0, "end"),
    asm.mov64(R1, R8),
    asm.call(u.BPF_FUNC_this_cpu_ptr),
    asm.st("u64", R0, 0, 7),
    asm.call(u.BPF_FUNC_get_smp_processor_id),
    asm.mov64(R2, R0),
    asm.mov64(R1, R8),
    asm.call(u.BPF_FUNC_per_cpu_ptr),
    asm.jmpImm("jeq", R0, 0, "end"),
    asm.ldx("u64", R1, R0, 0),
    asm.stx("u64", R9, R1, 8),
    asm.mov64(R1, R8),
    asm.mov64Imm(R2, 100_000),
    asm.call(u.BPF_FUNC_per_cpu_ptr),
    asm.jmpImm("jne", R0, 0, "end"),
    asm.st("u64", R9, 16, 9),
  ]);
  expect(fd, log).toBeGreaterThan(0);
  for (const replaced of [0n, 1n, 1n]) {
    expect(testRun(host, fd)).toMatchObject({ ret: 0, retval: 2 });
    expect([...readResults(host, scene.results, WORDS * 8).subarray(0, 3)]).toEqual([replaced, 7n, 9n]);
  }
  end(scene, fd);
});

/** What a program without a verifier's blessing gets told; none of them may harm the host. */
function refused(host: Host, make: (scene: Scene) => readonly asm.AsmItem[], words: RegExp): void {
  const scene = sceneOn(host);
  const { fd, log } = load(scene, make(scene));
  expect(fd, log).toBeGreaterThan(0);
  expect(testRun(host, fd).ret).toBe(-u.EFAULT);
  expect(readStderr(host, fd)).toMatch(words);
  end(scene, fd);
}

const push = (scene: Scene, node: asm.Reg, offset = NODE_L): readonly asm.AsmItem[] => [
  ...field(VALUE_HEAD),
  asm.mov64(R2, node),
  asm.alu64Imm("add", R2, offset),
  scene.kfunc("bpf_list_push_back_impl"),
];

test.for(embedded)("%s: objects that are used wrongly", ([, host]) => {
  const node = (scene: Scene): readonly asm.AsmItem[] => newNode(scene, R8);
  refused(
    host,
    (s) => [...node(s), ...drop(s, R8), ...drop(s, R8)],
    /bpf_obj_drop_impl: .* no object that this run owns/,
  );
  refused(host, (s) => [...node(s), asm.ldx("u64", R1, R8, NODE_SIZE)], /read of 8 bytes at .* outside/);
  refused(host, (s) => [...node(s), asm.ldx("u64", R1, R8, -8)], /read of 8 bytes at .* outside/);
  refused(host, (s) => [...node(s), asm.alu64Imm("add", R8, 8), ...drop(s, R8)], /no object that this run owns/);
  refused(host, (s) => [asm.mov64(R8, R7), ...drop(s, R8)], /no object that this run owns/);
  // Owned by the list: no second time.
  refused(host, (s) => [...node(s), ...push(s, R8), ...push(s, R8)], /no object that this run owns/);
  refused(host, (s) => [...node(s), ...push(s, R8, NODE_R)], /no object, or node of an object/);
  refused(host, (s) => [...node(s), ...push(s, R8), ...drop(s, R8)], /no object that this run owns/);
  refused(host, (s) => [asm.mov64Imm(R1, 1), asm.mov64Imm(R2, 0), s.kfunc("bpf_obj_new_impl")], /no object/);
  refused(
    host,
    (s) => [...node(s), ...field(VALUE_Q), asm.mov64(R2, R8), asm.call(u.BPF_FUNC_kptr_xchg)],
    /argument 2 of bpf_kptr_xchg: .* no object/,
  );
  refused(
    host,
    (s) => [...node(s), ...field(VALUE_P + 1), asm.mov64(R2, R8), asm.call(u.BPF_FUNC_kptr_xchg)],
    /no such field/,
  );
  refused(host, () => [...field(VALUE_LOCK), asm.call(u.BPF_FUNC_spin_unlock)], /no lock that this run holds/);
  const lock = [...field(VALUE_LOCK), asm.call(u.BPF_FUNC_spin_lock)];
  refused(host, () => [...lock, ...lock], /is held already/);
});

test("an object that was dropped is gone", () => {
  refused(
    hosts.exclusive,
    (s) => [...newNode(s, R8), ...drop(s, R8), asm.ldx("u64", R1, R8, 0)],
    /in an object that was dropped/,
  );
});

test.for(embedded)("%s: what a run leaves behind goes with it", ([, host]) => {
  const scene = sceneOn(host);
  // It ends with an object, a lock, and a node in the list; its fields are written over before and after.
  const scribble = [
    asm.st("u64", R8, NODE_L, -1),
    asm.st("u64", R8, NODE_R + 8, 1 << 20),
    asm.st("u32", R8, NODE_REFS, 1000),
    asm.st("u64", R7, VALUE_HEAD, 1 << 20),
    asm.st("u64", R7, VALUE_HEAD + 8, 1 << 21),
    asm.st("u64", R7, VALUE_ROOT, 1 << 21),
  ];
  const { fd, log } = load(scene, [
    ...newNode(scene, R6),
    ...newNode(scene, R8),
    asm.st("u64", R8, 0, 77),
    ...scribble,
    ...push(scene, R8),
    ...scribble,
    ...field(VALUE_HEAD),
    scene.kfunc("bpf_list_front"),
    asm.ldx("u64", R1, R0, -NODE_L),
    asm.stx("u64", R9, R1, 0),
    ...field(VALUE_LOCK),
    asm.call(u.BPF_FUNC_spin_lock),
  ]);
  expect(fd, log).toBeGreaterThan(0);
  for (let i = 0; i < 3; i++) expect(testRun(host, fd)).toMatchObject({ ret: 0, retval: 2 });
  expect(readResults(host, scene.results, WORDS * 8)[0]).toBe(77n);
  end(scene, fd);
});

test.for(embedded)("%s: a tree under a `less` that plays foul", ([, host]) => {
  const scene = sceneOn(host);
  const add = (node: asm.Reg): readonly asm.AsmItem[] => [
    ...field(VALUE_ROOT),
    asm.mov64(R2, node),
    asm.alu64Imm("add", R2, NODE_R),
    asm.ldFunc(R3, "less"),
    scene.kfunc("bpf_rbtree_add_impl"),
    asm.stx("u64", R9, R0, 0),
  ];
  // Takes the node that it is compared with out of the tree, and drops it.
  const { fd, log } = load(
    scene,
    [...newNode(scene, R8), ...add(R8), ...newNode(scene, R8), ...add(R8)],
    [
      asm.label("less"),
      asm.mov64(R6, R2),
      asm.mov64Imm(R1, 0),
      asm.stx("u32", R10, R1, -4),
      asm.mov64(R2, R10),
      asm.alu64Imm("add", R2, -4),
      asm.ldMapFd(R1, scene.map),
      asm.call(u.BPF_FUNC_map_lookup_elem),
      asm.mov64(R7, R0),
      ...field(VALUE_ROOT),
      asm.mov64(R2, R6),
      scene.kfunc("bpf_rbtree_remove"),
      asm.alu64Imm("add", R0, -NODE_R),
      asm.mov64(R1, R0),
      asm.mov64Imm(R2, 0),
      scene.kfunc("bpf_obj_drop_impl"),
      asm.mov64Imm(R0, 0),
      asm.exit(),
    ],
  );
  expect(fd, log).toBeGreaterThan(0);
  for (let i = 0; i < 3; i++) expect(testRun(host, fd)).toMatchObject({ ret: 0, retval: 2 });
  end(scene, fd);
});
