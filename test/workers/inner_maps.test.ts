/** Programs that use inner maps and tail calls while another thread exchanges these. */
import { expect, test } from "vitest";
import type { EmbeddedHost } from "../../src/host/embedded.ts";
import * as asm from "../../src/insn/index.ts";
import * as u from "../../src/uapi/index.ts";
import { loadProgram, readResults, resultMap } from "../conformance/programs.ts";
import { sharedHost, startOn } from "./worker.ts";

const { R0, R1, R2, R3, R6, R7, R9, R10 } = asm;
const MAGIC = 0x5afe_5afe;
const WORKERS = 2;

/** Runs a program again and again. */
const work = `
  ready();
  const data_in = new Uint8Array(64);
  return host.bpf(10, { prog_fd: data.fd, data_in, data_size_in: 64, repeat: data.repeat });
`;

const words = (n: number): Uint8Array => new Uint8Array(Uint32Array.of(n).buffer);

function make(own: EmbeddedHost, map_type: number, value_size: number, inner_map_fd = 0): number {
  const fd = own.bpf(u.BPF_MAP_CREATE, { map_type, key_size: 4, value_size, max_entries: 2, inner_map_fd });
  if (fd < 0) throw new Error(`MAP_CREATE: ${fd}`);
  return fd;
}

function put(own: EmbeddedHost, map: number, fd: number): void {
  const ret = own.bpf(u.BPF_MAP_UPDATE_ELEM, { map_fd: map, key: words(0), value: words(fd), flags: 0 });
  if (ret !== 0) throw new Error(`update: ${ret}`);
}

/** A new inner map with the value that programs look for, put in the place of the one that is there. */
function exchange(own: EmbeddedHost, outer: number): void {
  const map = make(own, u.BPF_MAP_TYPE_HASH, 4);
  own.bpf(u.BPF_MAP_UPDATE_ELEM, { map_fd: map, key: words(0), value: words(MAGIC), flags: 0 });
  put(own, outer, map);
  own.close(map);
}

const pass = [asm.mov64Imm(R0, u.XDP_PASS), asm.exit()];
const lookup = [
  asm.st("u32", R10, -4, 0),
  asm.mov64(R2, R10),
  asm.alu64Imm("add", R2, -4),
  asm.call(u.BPF_FUNC_map_lookup_elem),
];
/** Adds one to the n-th result. */
const count = (results: number, n: number): readonly asm.AsmItem[] => [
  asm.ldMapValue(R9, results, n * 8),
  asm.mov64Imm(R1, 1),
  asm.atomic("add", "u64", R9, R1, 0),
];

/** Counts inner maps whose value is right, and those whose is not; then goes on in what lies in the array. */
function reader(own: EmbeddedHost, outer: number, results: number, progs: number): number {
  const { fd, log } = loadProgram(own, [
    asm.mov64(R6, R1),
    asm.ldMapFd(R1, outer),
    lookup,
    asm.jmpImm("jeq", R0, 0, "none"),
    asm.mov64(R1, R0),
    lookup,
    asm.jmpImm("jeq", R0, 0, "none"),
    asm.ldx("u32", R7, R0, 0),
    asm.mov32Imm(R3, MAGIC | 0),
    asm.jmp("jne", R7, R3, "wrong"),
    count(results, 0),
    asm.ja("tail"),
    asm.label("wrong"),
    count(results, 1),
    asm.ja("tail"),
    asm.label("none"),
    count(results, 2),
    asm.label("tail"),
    asm.mov64(R1, R6),
    asm.ldMapFd(R2, progs),
    asm.mov64Imm(R3, 0),
    asm.call(u.BPF_FUNC_tail_call),
    count(results, 3),
    pass,
  ]);
  if (fd < 0) throw new Error(`PROG_LOAD ${fd}: ${log}`);
  return fd;
}

function target(own: EmbeddedHost, results: number): number {
  const { fd, log } = loadProgram(own, [count(results, 4), pass]);
  if (fd < 0) throw new Error(`PROG_LOAD ${fd}: ${log}`);
  return fd;
}

test.each([
  ["ARRAY_OF_MAPS", u.BPF_MAP_TYPE_ARRAY_OF_MAPS],
  ["HASH_OF_MAPS", u.BPF_MAP_TYPE_HASH_OF_MAPS],
])("%s: a program never sees an inner map, or goes on in a program, that is gone", async (_name, type) => {
  const own = sharedHost({ cpus: WORKERS });
  const results = resultMap(own, 64);
  const template = make(own, u.BPF_MAP_TYPE_HASH, 4);
  const outer = make(own, type, 4, template);
  own.close(template);
  exchange(own, outer);
  const progs = make(own, u.BPF_MAP_TYPE_PROG_ARRAY, 4);
  const fd = reader(own, outer, results, progs);
  const repeat = 3_000;
  const workers = Array.from({ length: WORKERS }, () => startOn<number>(own, work, { fd, repeat }));
  await Promise.all(workers.map((w) => w.ready));
  let busy = true;
  const all = Promise.all(workers.map((w) => w.done)).then((answers) => {
    busy = false;
    return answers;
  });
  for (let n = 0; busy; n++) {
    exchange(own, outer);
    const next = target(own, results);
    put(own, progs, next);
    own.close(next);
    if (n % 8 === 0) own.bpf(u.BPF_MAP_DELETE_ELEM, { map_fd: progs, key: words(0) });
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(await all).toEqual(workers.map(() => 0));
  const [right, wrong, none, through, called] = readResults(own, results, 64);
  expect([right, wrong, none]).toEqual([BigInt(WORKERS * repeat), 0n, 0n]);
  expect(through! + called!).toBe(BigInt(WORKERS * repeat));
  expect(called).toBeGreaterThan(0n);
  await Promise.all(workers.map((w) => w.gone));
  // What runs held went with them: one inner map is left, then none.
  const maps = (): number => {
    const attr = { start_id: 0, next_id: 0 };
    let n = 0;
    for (; own.bpf(u.BPF_MAP_GET_NEXT_ID, attr) === 0; n++) attr.start_id = attr.next_id;
    return n;
  };
  expect(maps()).toBe(4);
  own.close(fd);
  own.close(outer);
  expect(maps()).toBe(2);
});

test("a thread that dies in a run lets go of the inner maps and programs that the run held", async () => {
  const own = sharedHost({ cpus: 1, runBudget: 1e9 });
  const results = resultMap(own, 64);
  const template = make(own, u.BPF_MAP_TYPE_HASH, 4);
  const outer = make(own, u.BPF_MAP_TYPE_ARRAY_OF_MAPS, 4, template);
  own.close(template);
  exchange(own, outer);
  const progs = make(own, u.BPF_MAP_TYPE_PROG_ARRAY, 4);
  const fd = reader(own, outer, results, progs);
  // Never ends.
  const loop = loadProgram(own, [count(results, 4), asm.label("loop"), asm.jmpImm("jne", R9, 0, "loop"), pass]).fd;
  put(own, progs, loop);
  own.close(loop);
  const started = startOn(own, work, { fd, repeat: 1 });
  await started.ready;
  while (readResults(own, results, 64)[4] === 0n) await new Promise((resolve) => setTimeout(resolve, 1));
  for (const map of [outer, progs, fd]) own.close(map);
  await started.worker.terminate();
  await started.gone;
  own.close(results);
  expect(own.bpf(u.BPF_MAP_GET_NEXT_ID, { start_id: 0 })).toBe(-u.ENOENT);
  expect(own.bpf(u.BPF_PROG_GET_NEXT_ID, { start_id: 0 })).toBe(-u.ENOENT);
});
