/** Programs on several threads of one shared host, and threads that die while they run one. */
import { expect, test } from "vitest";
import * as asm from "../../src/insn/index.ts";
import * as u from "../../src/uapi/index.ts";
import { loadProgram, readResults, resultMap, testRun } from "../conformance/programs.ts";
import { sharedHost, startOn, times } from "./worker.ts";

const { R0, R1, R2, R3, R4, R6, R7, R10 } = asm;

/** Runs a program again and again. */
const work = `
  ready();
  const data_in = new Uint8Array(64);
  return host.bpf(10, { prog_fd: data.fd, data_in, data_size_in: 64, repeat: data.repeat });
`;

/** The same as often, without attributes where that can be. */
const plainWork = `
  const data_in = new Uint8Array(64);
  const run = host.plainRun(data.fd);
  ready();
  let plain = 0;
  for (let i = 0; i < data.repeat; i++) {
    const result = run(data_in);
    if (result !== undefined) plain++;
    const ret = result === undefined ? host.bpf(10, { prog_fd: data.fd, data_in, data_size_in: 64 }) : result;
    if (ret < 0) return ret;
  }
  return plain > 0 || data.repeat === 1 ? 0 : -1;
`;

test.each([
  ["by the command", work],
  ["without attributes", plainWork],
])("atomic additions of several threads all count; more threads than CPUs take turns: %s", async (_, code) => {
  const host = sharedHost();
  const map = resultMap(host, 16);
  const { fd } = loadProgram(host, [
    asm.ldMapValue(R6, map, 0),
    asm.mov64Imm(R1, 1),
    asm.atomic("add", "u64", R6, R1, 0),
    asm.mov64Imm(R1, 1),
    asm.atomic("fetchAdd", "u32", R6, R1, 8),
    asm.mov64Imm(R0, 2),
    asm.exit(),
  ]);
  const repeat = 40_000;
  const workers = [1, 2, 3].map(() => startOn<number>(host, code, { fd, repeat }));
  await Promise.all(workers.map((w) => w.ready));
  for (let i = 0; i < 50; i++) expect(testRun(host, fd, new Uint8Array(64), 100).ret).toBe(0);
  expect(await Promise.all(workers.map((w) => w.done))).toEqual([0, 0, 0]);
  expect([...readResults(host, map, 16)]).toEqual([BigInt(3 * repeat + 5000), BigInt(3 * repeat + 5000)]);
});

test.each([
  ["by the command", work],
  ["without attributes", plainWork],
])("a thread that dies in a run gives back its CPU, its ring records and its program: %s", async (_, code) => {
  const host = sharedHost({ cpus: 1, runBudget: 1e9 });
  for (let round = 0; round < 2; round++) {
    const ring = host.bpf(u.BPF_MAP_CREATE, { map_type: u.BPF_MAP_TYPE_RINGBUF, max_entries: 4096 });
    const flag = resultMap(host, 8);
    // Reserves a record, says so, and never ends.
    const { fd } = loadProgram(host, [
      asm.ldMapFd(R1, ring),
      asm.mov64Imm(R2, 8),
      asm.mov64Imm(R3, 0),
      asm.call(u.BPF_FUNC_ringbuf_reserve),
      asm.ldMapValue(R6, flag, 0),
      asm.st("u64", R6, 0, 1),
      asm.label("loop"),
      asm.jmpImm("jne", R6, 0, "loop"),
      asm.exit(),
    ]);
    const pass = loadProgram(host, [asm.mov64Imm(R0, 2), asm.exit()]).fd;
    const victim = startOn(host, code, { fd, repeat: 1 });
    await victim.ready;
    for (let i = 0; i < 500 && readResults(host, flag, 8)[0] === 0n; i++) await new Promise((r) => setTimeout(r, 10));
    expect(readResults(host, flag, 8)[0]).toBe(1n);
    await victim.worker.terminate();
    await victim.gone;
    // The record is discarded, so the consumer can go on; the only CPU is free.
    const view = host.mmap(ring, { offset: 0, length: 3 * 4096, prot: 1 }) as Uint8Array;
    const header = new DataView(view.buffer, view.byteOffset).getUint32(8192, true);
    expect(header).toBe(8 + u.BPF_RINGBUF_DISCARD_BIT);
    host.munmap(view);
    expect(testRun(host, pass).ret).toBe(0);
    const info = { bpf_fd: fd, info: new Uint8Array(232), info_len: 232 };
    expect(host.bpf(u.BPF_OBJ_GET_INFO_BY_FD, info)).toBe(0);
    const id = new DataView(info.info.buffer).getUint32(4, true);
    for (const open of [ring, flag, fd, pass]) host.close(open);
    expect(host.bpf(u.BPF_PROG_GET_FD_BY_ID, { prog_id: id })).toBe(-u.ENOENT);
  }
});

test.each([
  ["by the command", "ends", work],
  ["without attributes", "ends", plainWork],
  ["by the command", "dies", work],
  ["without attributes", "dies", plainWork],
])(
  "a program that is closed while another thread runs it stays to the end of the run: %s, which %s",
  async (_, how, code) => {
    const host = sharedHost({ cpus: 2, runBudget: 1e9 });
    const flags = resultMap(host, 16);
    const flag = (at: number): bigint => readResults(host, flags, 16)[at]!;
    // Says that it runs, and waits to be told to end.
    const { fd } = loadProgram(host, [
      asm.ldMapValue(R6, flags, 0),
      asm.st("u64", R6, 0, 1),
      asm.label("loop"),
      asm.ldx("u64", R1, R6, 8),
      asm.jmpImm("jeq", R1, 0, "loop"),
      asm.mov64Imm(R0, 2),
      asm.exit(),
    ]);
    expect(host.compile(fd)).toMatchObject({ why: undefined });
    const worker = startOn<number>(host, code, { fd, repeat: 1 });
    await worker.ready;
    for (let i = 0; i < 500 && flag(0) === 0n; i++) await new Promise((r) => setTimeout(r, 10));
    expect(flag(0)).toBe(1n);
    host.close(fd);
    const next = { start_id: 0, next_id: 0 };
    expect(host.bpf(u.BPF_PROG_GET_NEXT_ID, next)).toBe(0);
    if (how === "dies") {
      await worker.worker.terminate();
    } else {
      const told = new Uint8Array(BigUint64Array.of(1n, 1n).buffer);
      expect(host.bpf(u.BPF_MAP_UPDATE_ELEM, { map_fd: flags, key: new Uint8Array(4), value: told })).toBe(0);
      expect(await worker.done).toBe(0);
    }
    await worker.gone;
    expect(host.bpf(u.BPF_PROG_GET_NEXT_ID, { start_id: 0 })).toBe(-u.ENOENT);
    host.close(flags);
  },
);

test("programs that come and go behind an fd that other threads run", async () => {
  const host = sharedHost({ cpus: 2 });
  // To stop the threads, and how often they have run something.
  const shared = new Int32Array(new SharedArrayBuffer(8));
  const runner = `
    const { fd, shared } = data;
    const run = host.plainRun(fd);
    const bad = [];
    ready();
    while (Atomics.load(shared, 0) === 0) {
      const result = run(undefined);
      if (result === undefined) continue;
      Atomics.add(shared, 1, 1);
      if (typeof result === "number" || result.retval % 1000 !== 7) bad.push(result);
    }
    return bad;`;
  const load = (retval: number): number => {
    const insns = asm.assemble([asm.mov64Imm(R0, retval), asm.exit()]);
    return host.bpf(u.BPF_PROG_LOAD, {
      prog_type: u.BPF_PROG_TYPE_RAW_TRACEPOINT,
      insn_cnt: insns.length,
      insns: asm.encodeInsns(insns),
      license: "GPL",
    });
  };
  const fd = load(7);
  const workers = [1, 2].map(() => startOn<unknown[]>(host, runner, { fd, shared }));
  await Promise.all(workers.map(({ ready }) => ready));
  for (let i = 1; i <= times(60); i++) {
    const before = Atomics.load(shared, 1);
    // Until it has been run some times, whichever thread it is that does.
    for (const end = Date.now() + 1000; Atomics.load(shared, 1) < before + i && Date.now() < end; );
    host.close(fd);
    expect(load(i * 1000 + 7)).toBe(fd);
  }
  Atomics.store(shared, 0, 1);
  expect((await Promise.all(workers.map(({ done }) => done))).flat()).toEqual([]);
  expect(Atomics.load(shared, 1)).toBeGreaterThan(100);
  await Promise.all(workers.map(({ gone }) => gone));
  host.close(fd);
  expect(host.bpf(u.BPF_PROG_GET_NEXT_ID, { start_id: 0 })).toBe(-u.ENOENT);
});

/** Keys below this stay; as many others come and go, through the same few nodes and from bucket to bucket. */
const STAY = 32;

test.each(["hash", "percpu_hash", "lru_hash"] as const)(
  "a program finds what stays in a %s that changes",
  async (name) => {
    const host = sharedHost();
    const type = { hash: 1, percpu_hash: 5, lru_hash: 9 }[name];
    // An LRU map with room for all: it evicts nothing.
    const max_entries = name === "lru_hash" ? 8 * STAY : STAY + 4;
    const map = host.bpf(u.BPF_MAP_CREATE, { map_type: type, key_size: 4, value_size: 8, max_entries });
    for (let n = 0; n < STAY; n++) {
      const key = Uint8Array.of(n, 0, 0, 0);
      expect(host.bpf(u.BPF_MAP_UPDATE_ELEM, { map_fd: map, key, value: new Uint8Array(16) })).toBe(0);
    }
    const results = resultMap(host, 16);
    const { fd } = loadProgram(host, [
      asm.ldMapValue(R7, results, 0),
      asm.mov64Imm(R6, STAY),
      asm.label("next"),
      asm.alu64Imm("sub", R6, 1),
      asm.stx("u32", R10, R6, -4),
      asm.mov64(R2, R10),
      asm.alu64Imm("add", R2, -4),
      asm.ldMapFd(R1, map),
      asm.call(u.BPF_FUNC_map_lookup_elem),
      asm.mov64Imm(R1, 1),
      asm.jmpImm("jne", R0, 0, "found"),
      asm.atomic("add", "u64", R7, R1, 8),
      asm.label("found"),
      asm.atomic("add", "u64", R7, R1, 0),
      asm.jmpImm("jne", R6, 0, "next"),
      asm.mov64Imm(R0, 2),
      asm.exit(),
    ]);
    expect(host.compile(fd)).toMatchObject({ why: undefined });
    // To stop the thread, and how many changes it has made.
    const shared = new Int32Array(new SharedArrayBuffer(8));
    const churn = startOn<void>(
      host,
      `
    const { shared, map } = data;
    const value = new Uint8Array(16);
    const key = (n) => Uint8Array.of(n & 255, n >> 8, 1, 0);
    ready();
    for (let n = 0; Atomics.load(shared, 0) === 0; n = (n + 1) % 1000) {
      host.bpf(2, { map_fd: map, key: key(n), value });
      host.bpf(3, { map_fd: map, key: key((n + 997) % 1000) });
      Atomics.add(shared, 1, 1);
    }`,
      { map, shared },
    );
    await churn.ready;
    let runs = 0;
    for (; runs < 1e6 && Atomics.load(shared, 1) < times(10_000); runs += 200) {
      expect(testRun(host, fd, new Uint8Array(64), 200).ret).toBe(0);
    }
    Atomics.store(shared, 0, 1);
    await churn.done;
    expect([...readResults(host, results, 16)]).toEqual([BigInt(runs * STAY), 0n]);
  },
);

test.each([
  ["hash", 1, STAY],
  // Half of the keys: they evict each other.
  ["lru_hash", 9, STAY / 2],
] as const)("programs on several threads write to one %s; one of them is terminated", async (name, type, max) => {
  const host = sharedHost({ cpus: 4, runBudget: 1e9 });
  const map = host.bpf(u.BPF_MAP_CREATE, { map_type: type, key_size: 4, value_size: 16, max_entries: max });
  const results = resultMap(host, 16);
  // A random key: three of four times it is set, to a value that tells the key twice, else it goes.
  const random = (items: readonly asm.AsmItem[]): asm.AsmItem[] => [asm.call(u.BPF_FUNC_get_prandom_u32), items].flat();
  const { fd } = loadProgram(host, [
    asm.ldMapValue(R7, results, 0),
    asm.mov64Imm(R6, 200),
    asm.label("next"),
    random([
      asm.alu64Imm("and", R0, STAY - 1),
      asm.stx("u32", R10, R0, -4),
      asm.stx("u64", R10, R0, -24),
      asm.stx("u64", R10, R0, -16),
      asm.mov64(R2, R10),
    ]),
    random([asm.ldMapFd(R1, map), asm.mov64(R2, R10), asm.alu64Imm("add", R2, -4)]),
    asm.alu64Imm("and", R0, 3),
    asm.jmpImm("jeq", R0, 0, "delete"),
    asm.mov64(R3, R10),
    asm.alu64Imm("add", R3, -24),
    asm.mov64Imm(R4, 0),
    asm.call(u.BPF_FUNC_map_update_elem),
    asm.jmpImm("jeq", R0, 0, "done"),
    asm.mov64Imm(R1, 1),
    asm.atomic("add", "u64", R7, R1, 8),
    asm.label("done"),
    asm.mov64Imm(R1, 1),
    asm.atomic("add", "u64", R7, R1, 0),
    asm.ja("on"),
    asm.label("delete"),
    asm.call(u.BPF_FUNC_map_delete_elem),
    asm.label("on"),
    asm.alu64Imm("sub", R6, 1),
    asm.jmpImm("jne", R6, 0, "next"),
    asm.mov64Imm(R0, 2),
    asm.exit(),
  ]);
  const value = new Uint8Array(16);
  const keyOf = (n: number): Uint8Array => Uint8Array.of(n, 0, 0, 0);
  for (let round = 0; round < times(name === "hash" ? 2 : 1); round++) {
    const repeat = 1000;
    const workers = [repeat, repeat, 1e6].map((each) => startOn<number>(host, work, { fd, repeat: each }));
    await Promise.all(workers.map(({ ready }) => ready));
    expect(testRun(host, fd, new Uint8Array(64), repeat).ret).toBe(0);
    const victim = workers.pop()!;
    await victim.worker.terminate();
    await victim.gone;
    expect(await Promise.all(workers.map(({ done }) => done))).toEqual([0, 0]);
    expect(readResults(host, results, 16)[1]).toBe(0n);
    for (let n = 0; n < STAY; n++) {
      const ret = host.bpf(u.BPF_MAP_LOOKUP_ELEM, { map_fd: map, key: keyOf(n), value });
      if (ret === 0) expect([...new BigUint64Array(value.buffer)]).toEqual([BigInt(n), BigInt(n)]);
    }
    // As many as there is room for, no more, and none twice.
    const set = (n: number): number => host.bpf(u.BPF_MAP_UPDATE_ELEM, { map_fd: map, key: keyOf(n), value });
    for (let n = 0; n < STAY; n++) expect(set(n)).toBe(0);
    if (name === "hash") expect(set(STAY)).toBe(-u.E2BIG);
    const deleted = Array.from({ length: STAY }, (_, n) =>
      host.bpf(u.BPF_MAP_DELETE_ELEM, { map_fd: map, key: keyOf(n) }),
    ).filter((ret) => ret === 0).length;
    // Each of the other CPUs of an LRU map may keep a share of two, and this one may have one left.
    expect(deleted).toBeGreaterThanOrEqual(name === "hash" ? max : max - 7);
    expect(deleted).toBeLessThanOrEqual(max);
    expect(host.bpf(u.BPF_MAP_GET_NEXT_KEY, { map_fd: map, key: null, next_key: value })).toBe(-u.ENOENT);
  }
  expect(readResults(host, results, 16)[0]).toBeGreaterThan(100_000n);
});
