/** Sets of CPUs in fields of maps, on all hosts; and what programs do wrong with them, which a verifier never lets through. */
import { afterAll, expect, test } from "vitest";
import { BtfBuilder } from "../../src/btf/index.ts";
import type { Host } from "../../src/host/host.ts";
import * as asm from "../../src/insn/index.ts";
import * as u from "../../src/uapi/index.ts";
import { closeHosts, embeddedOf, openHosts, placesOf } from "./hosts.ts";
import { loadProgram, readResults, readStderr, resultMap } from "./programs.ts";

const { R0, R1, R2, R6, R7, R8, R9, R10 } = asm;
const hosts = openHosts();
const embedded = embeddedOf(hosts);
const places = placesOf(hosts);
afterAll(() => {
  for (const host of [hosts.exclusive, hosts.shared]) expect(host.openFds()).toEqual([]);
  closeHosts(hosts);
});

const RESULTS = 32;

/** An array of one struct { struct bpf_cpumask __kptr *mask; }. */
function maskMap(host: Host): { btf: number; map: number } {
  const b = new BtfBuilder();
  const u32 = b.int("unsigned int", 4);
  const mask = b.struct("bpf_cpumask", 8, []);
  const kptr = b.ptr(b.typeTag("kptr", mask));
  const value = b.struct("value", 8, [{ name: "mask", typeId: kptr, bitOffset: 0 }]);
  const bytes = b.build();
  const btf = host.bpf(u.BPF_BTF_LOAD, { btf: bytes, btf_size: bytes.length });
  expect(btf).toBeGreaterThan(0);
  const map = host.bpf(u.BPF_MAP_CREATE, {
    map_type: u.BPF_MAP_TYPE_ARRAY,
    key_size: 4,
    value_size: 8,
    max_entries: 1,
    btf_fd: btf,
    btf_key_type_id: u32,
    btf_value_type_id: value,
  });
  expect(map).toBeGreaterThan(0);
  return { btf, map };
}

function kfunc(host: Host, name: string): asm.AsmItem {
  return asm.callKfunc(host.kernelBtf()!.btf.find(name, "func")!);
}

/** Loads a SYSCALL program that may sleep, runs it, and gives what it left in the results; or what was wrong. */
function run(host: Host, body: (results: number) => readonly asm.AsmItem[], times = 1): (bigint | string)[] {
  const results = resultMap(host, RESULTS);
  const { fd, log } = loadProgram(host, [...body(results), asm.label("end"), asm.mov64Imm(R0, 0), asm.exit()], {
    type: u.BPF_PROG_TYPE_SYSCALL,
    flags: u.BPF_F_SLEEPABLE,
  });
  expect(fd, log).toBeGreaterThan(0);
  const rets = Array.from({ length: times }, () => host.bpf(u.BPF_PROG_TEST_RUN, { prog_fd: fd, retval: 0 }));
  const wrong = rets.some((ret) => ret !== 0) ? [readStderr(host, fd)] : [];
  const left = [...readResults(host, results, RESULTS), ...wrong];
  host.close(fd);
  host.close(results);
  return left;
}

test.for(places)("%s: a set that stays in a map", ([, host]) => {
  const { btf, map } = maskMap(host);
  const body = (results: number): readonly asm.AsmItem[] => [
    asm.ldMapValue(R9, results, 0),
    asm.st("u32", R10, -4, 0),
    asm.mov64(R2, R10),
    asm.alu64Imm("add", R2, -4),
    asm.ldMapFd(R1, map),
    asm.call(u.BPF_FUNC_map_lookup_elem),
    asm.jmpImm("jeq", R0, 0, "end"),
    asm.mov64(R7, R0),
    asm.mov64(R1, R7),
    asm.mov64Imm(R2, 0),
    asm.call(u.BPF_FUNC_kptr_xchg),
    asm.jmpImm("jne", R0, 0, "had"),
    kfunc(host, "bpf_cpumask_create"),
    asm.jmpImm("jeq", R0, 0, "end"),
    asm.label("had"),
    asm.mov64(R8, R0),
    // How many it has, then one more: CPU 0, and CPU 1 once it has that.
    asm.mov64(R1, R8),
    kfunc(host, "bpf_cpumask_weight"),
    asm.mov64(R6, R0),
    asm.stx("u64", R9, R6, 0),
    asm.mov64(R1, R6),
    asm.mov64(R2, R8),
    kfunc(host, "bpf_cpumask_set_cpu"),
    asm.mov64(R1, R7),
    asm.mov64(R2, R8),
    asm.call(u.BPF_FUNC_kptr_xchg),
    asm.jmpImm("jeq", R0, 0, "empty"),
    asm.mov64(R1, R0),
    kfunc(host, "bpf_cpumask_release"),
    asm.label("empty"),
    // Seen through the field.
    kfunc(host, "bpf_rcu_read_lock"),
    asm.ldx("u64", R6, R7, 0),
    asm.jmpImm("jeq", R6, 0, "gone"),
    asm.mov64(R1, R6),
    kfunc(host, "bpf_cpumask_weight"),
    asm.stx("u64", R9, R0, 8),
    asm.ldx("u8", R1, R6, 0),
    asm.alu64Imm("and", R1, 3),
    asm.stx("u64", R9, R1, 16),
    asm.label("gone"),
    kfunc(host, "bpf_rcu_read_unlock"),
  ];
  expect(run(host, body)).toEqual([0n, 1n, 1n, 0n]);
  expect(run(host, body)).toEqual([1n, 2n, 3n, 0n]);
  // An update lets go of it.
  const attr = { map_fd: map, key: new Uint8Array(4), value: new Uint8Array(8).fill(255), flags: 0 };
  expect(host.bpf(u.BPF_MAP_UPDATE_ELEM, attr)).toBe(0);
  expect(run(host, body)).toEqual([0n, 1n, 1n, 0n]);
  host.close(map);
  host.close(btf);
});

test.for(places)("%s: programs that see packets have no such sets", ([, host]) => {
  const { fd, log } = loadProgram(host, [
    kfunc(host, "bpf_cpumask_create"),
    asm.jmpImm("jeq", R0, 0, "end"),
    asm.mov64(R1, R0),
    kfunc(host, "bpf_cpumask_release"),
    asm.label("end"),
    asm.mov64Imm(R0, 0),
    asm.exit(),
  ]);
  expect(fd).toBe(-u.EACCES);
  expect(log).toMatch(/calling kernel function bpf_cpumask_create is not allowed/);
});

const made = (host: Host): readonly asm.AsmItem[] => [
  kfunc(host, "bpf_cpumask_create"),
  asm.jmpImm("jeq", R0, 0, "end"),
  asm.mov64(R6, R0),
  asm.mov64(R1, R6),
];
const wrongs: readonly (readonly [string, (host: Host) => readonly asm.AsmItem[]])[] = [
  ["written by the program", (host) => [...made(host), asm.st("u64", R6, 0, 1)]],
  ["read behind its end", (host) => [...made(host), asm.ldx("u64", R1, R6, 8)]],
  ["released twice", (host) => [...made(host), ...twice(host, "bpf_cpumask_release")]],
  [
    "used when it is gone",
    (host) => [...made(host), kfunc(host, "bpf_cpumask_release"), asm.mov64(R1, R6), kfunc(host, "bpf_cpumask_first")],
  ],
  ["inside of one", (host) => [...made(host), asm.alu64Imm("add", R1, 4), kfunc(host, "bpf_cpumask_setall")]],
  ["the stack", (host) => [asm.mov64(R1, R10), asm.alu64Imm("add", R1, -8), kfunc(host, "bpf_cpumask_clear")]],
  ["NULL", (host) => [asm.mov64Imm(R1, 0), kfunc(host, "bpf_cpumask_acquire")]],
];

function twice(host: Host, name: string): readonly asm.AsmItem[] {
  return [kfunc(host, name), asm.mov64(R1, R6), kfunc(host, name)];
}

test.for(embedded.flatMap(([place, host]) => wrongs.map(([what, body]) => [place, what, host, body] as const)))(
  "%s: faults: %s",
  ([place, what, host, body]) => {
    const left = run(host, () => body(host));
    // On a shared host what is gone can be read, but not worked on.
    expect(left.at(-1), `${place}: ${what}`).toMatch(/at instruction|object|mask|write|outside/i);
    expect(left).toHaveLength(5);
  },
);

test.for(embedded)("%s: what a run does not release goes with it", ([, host]) => {
  const leak = (): readonly asm.AsmItem[] => made(host);
  // Far more sets than one pool area has, were they to stay.
  expect(run(host, leak, 5000)).toHaveLength(4);
});
