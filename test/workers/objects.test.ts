/** Locks and objects of programs on several threads of one shared host, and a thread that dies with a lock. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { BtfBuilder } from "../../src/btf/index.ts";
import type { EmbeddedHost } from "../../src/host/embedded.ts";
import { EmbeddedBpfHost, type LoadedObject } from "../../src/index.ts";
import * as asm from "../../src/insn/index.ts";
import * as u from "../../src/uapi/index.ts";
import { loadProgram, readResults, resultMap, testRun } from "../conformance/programs.ts";
import { sharedHost, startOn } from "./worker.ts";

const { R0, R1, R2, R6, R7, R10 } = asm;

const work = `
  ready();
  const data_in = new Uint8Array(64);
  return host.bpf(10, { prog_fd: data.fd, data_in, data_size_in: 64, repeat: data.repeat });
`;

/** Runs a program of test/programs on three threads and this one; gives what `read` finds afterwards. */
async function onThreads<T>(
  object: string,
  program: string,
  repeat: number,
  read: (loaded: LoadedObject, host: EmbeddedHost) => T,
): Promise<T> {
  const seam = sharedHost({ cpus: 4, clock: "virtual" });
  const host = new EmbeddedBpfHost(seam);
  const file = new URL(`../programs/${object}.bpf.o`, import.meta.url);
  const loaded = host.loadObject(new Uint8Array(readFileSync(file)), { name: object, programs: [program] });
  const { fd } = loaded.program(program);
  const workers = [1, 2, 3].map(() => startOn<number>(seam, work, { fd, repeat }));
  await Promise.all(workers.map((w) => w.ready));
  expect(testRun(seam, fd, new Uint8Array(64), repeat).ret).toBe(0);
  expect(await Promise.all(workers.map((w) => w.done))).toEqual([0, 0, 0]);
  const result = read(loaded, seam);
  loaded.close();
  // Nothing is left: each object holds its BTF, each timer its program.
  for (const next of [u.BPF_BTF_GET_NEXT_ID, u.BPF_MAP_GET_NEXT_ID, u.BPF_PROG_GET_NEXT_ID]) {
    expect(seam.bpf(next, { start_id: 0 })).toBe(-u.ENOENT);
  }
  return result;
}

test("what is counted under a spin lock is counted once", async () => {
  const runs = 500;
  const buckets = await onThreads("token_bucket", "limit", runs, (loaded, host) => {
    const value = new Uint8Array(32);
    const { fd } = loaded.map("buckets");
    expect(host.bpf(u.BPF_MAP_LOOKUP_ELEM, { map_fd: fd, key: new Uint8Array(6), value })).toBe(0);
    return new BigUint64Array(value.buffer);
  });
  // `passed` and `dropped`.
  expect(buckets[2]! + buckets[3]!).toBe(BigInt(4 * runs));
});

test("objects go through one list and one tree of four threads, and none is lost", async () => {
  await onThreads("packet_queue", "misuse", 150, () => undefined);
});

test("a thread that dies with a spin lock stops nobody", async () => {
  const host = sharedHost({ cpus: 2, runBudget: 1e9 });
  const b = new BtfBuilder();
  const u32 = b.int("unsigned int", 4);
  const lock = b.struct("bpf_spin_lock", 4, [{ name: "val", typeId: u32, bitOffset: 0 }]);
  const value = b.struct("value", 8, [
    { name: "n", typeId: u32, bitOffset: 0 },
    { name: "lock", typeId: lock, bitOffset: 32 },
  ]);
  const bytes = b.build();
  const btf = host.bpf(u.BPF_BTF_LOAD, { btf: bytes, btf_size: bytes.length });
  const map = host.bpf(u.BPF_MAP_CREATE, {
    map_type: u.BPF_MAP_TYPE_ARRAY,
    key_size: 4,
    value_size: 8,
    max_entries: 1,
    btf_fd: btf,
    btf_key_type_id: u32,
    btf_value_type_id: value,
  });
  const flag = resultMap(host, 8);
  const locked = (after: readonly asm.AsmItem[]): number =>
    loadProgram(host, [
      asm.st("u32", R10, -4, 0),
      asm.mov64(R2, R10),
      asm.alu64Imm("add", R2, -4),
      asm.ldMapFd(R1, map),
      asm.call(u.BPF_FUNC_map_lookup_elem),
      asm.jmpImm("jeq", R0, 0, "end"),
      asm.mov64(R7, R0),
      asm.mov64(R1, R7),
      asm.alu64Imm("add", R1, 4),
      asm.call(u.BPF_FUNC_spin_lock),
      ...after,
      asm.label("end"),
      asm.mov64Imm(R0, 2),
      asm.exit(),
    ]).fd;
  const stuck = locked([
    asm.ldMapValue(R6, flag, 0),
    asm.st("u64", R6, 0, 1),
    asm.label("loop"),
    asm.jmpImm("jne", R6, 0, "loop"),
  ]);
  const passes = locked([asm.mov64(R1, R7), asm.alu64Imm("add", R1, 4), asm.call(u.BPF_FUNC_spin_unlock)]);
  const victim = startOn(host, work, { fd: stuck, repeat: 1 });
  await victim.ready;
  for (let i = 0; i < 500 && readResults(host, flag, 8)[0] === 0n; i++) await new Promise((r) => setTimeout(r, 10));
  expect(readResults(host, flag, 8)[0]).toBe(1n);
  await victim.worker.terminate();
  await victim.gone;
  for (let i = 0; i < 3; i++) expect(testRun(host, passes)).toMatchObject({ ret: 0, retval: 2 });
  const read = { map_fd: map, key: new Uint8Array(4), value: new Uint8Array(8), flags: u.BPF_F_LOCK };
  expect(host.bpf(u.BPF_MAP_LOOKUP_ELEM, read)).toBe(0);
  for (const fd of [stuck, passes, map, flag, btf]) host.close(fd);
});
