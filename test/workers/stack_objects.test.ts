/** Dynptrs on a shared host: what other threads write while a program runs, and threads that die while they drain a ring. */
import { expect, test } from "vitest";
import * as asm from "../../src/insn/index.ts";
import * as u from "../../src/uapi/index.ts";
import { loadProgram, readResults, resultMap, testRun } from "../conformance/programs.ts";
import { sharedHost, startOn } from "./worker.ts";

const { R0, R1, R2, R3, R4, R5, R6, R8, R9, R10 } = asm;

/** Runs a program again and again, whatever becomes of it; how many runs ended well, in a fault, and otherwise. */
const runs = `
  ready();
  const data_in = new Uint8Array(64);
  const ends = [0, 0, 0];
  for (let i = 0; i < data.count; i++) {
    const ret = host.bpf(10, { prog_fd: data.fd, data_in, data_size_in: 64 });
    ends[ret === 0 ? 0 : ret === -14 ? 1 : 2]++;
  }
  return ends;
`;

test("marks and offsets that another thread changes under a program reach nothing else", async () => {
  const host = sharedHost();
  const control = resultMap(host, 16);
  const target = resultMap(host, 64);
  // A dynptr over 32 of the 64 bytes; the control map's first word is put over its mark, unless it is 0, the second is the
  // offset to write at.
  const { fd, log } = loadProgram(host, [
    asm.ldMapValue(R9, control, 0),
    asm.ldMapValue(R8, target, 0),
    asm.mov64(R1, R8),
    asm.mov64Imm(R2, 32),
    asm.mov64Imm(R3, 0),
    asm.mov64(R4, R10),
    asm.alu64Imm("add", R4, -24),
    asm.call(u.BPF_FUNC_dynptr_from_mem),
    asm.st("u64", R10, -8, -1),
    asm.ldx("u64", R1, R9, 0),
    asm.jmpImm("jeq", R1, 0, "whole"),
    asm.ldx("u64", R1, R9, 0),
    asm.stx("u64", R10, R1, -24),
    asm.label("whole"),
    asm.mov64(R1, R10),
    asm.alu64Imm("add", R1, -24),
    asm.ldx("u32", R2, R9, 8),
    asm.mov64(R3, R10),
    asm.alu64Imm("add", R3, -8),
    asm.mov64Imm(R4, 8),
    asm.mov64Imm(R5, 0),
    asm.call(u.BPF_FUNC_dynptr_write),
    asm.mov64Imm(R0, 2),
    asm.exit(),
  ]);
  expect(fd, log).toBeGreaterThanOrEqual(0);
  const count = 800;
  const workers = [1, 2].map(() => startOn<number[]>(host, runs, { fd, count }));
  await Promise.all(workers.map((w) => w.ready));
  let over = false;
  const done = Promise.all(workers.map((w) => w.done)).finally(() => {
    over = true;
  });
  const value = new BigUint64Array(2);
  for (let i = 0; !over; i++) {
    // Nothing, the mark that is right, one of another generation, and any number; offsets around the end.
    value[0] = [0n, 0x1_0002n | (1n << 32n), 0x1_0002n | (BigInt(i & 7) << 32n), BigInt(i) * 0x9e37_79b9_7f4an][i & 3]!;
    value[1] = BigInt([0, 24, 25, 32, 0xffff_fff8][i % 5]!);
    host.bpf(u.BPF_MAP_UPDATE_ELEM, { map_fd: control, key: new Uint8Array(4), value: new Uint8Array(value.buffer) });
    if (i % 64 === 0) await new Promise((r) => setTimeout(r, 0));
  }
  const ends = await done;
  for (const [good, faults, other] of ends) {
    expect(other).toBe(0);
    expect(good! + faults!).toBe(count);
    expect(good).toBeGreaterThan(0);
  }
  // The second half was out of reach.
  expect([...readResults(host, target, 64)].slice(4)).toEqual([0n, 0n, 0n, 0n]);
  for (const open of [fd, control, target]) host.close(open);
});

test("a thread that dies while it drains a ring leaves it to others", async () => {
  const host = sharedHost({ cpus: 1, runBudget: 1e9 });
  const ring = host.bpf(u.BPF_MAP_CREATE, { map_type: u.BPF_MAP_TYPE_USER_RINGBUF, max_entries: 4096 });
  const flag = resultMap(host, 16);
  const bytes = host.mmap(ring, { offset: 4096, length: 4096 * 3, prot: u.PROT_READ | u.PROT_WRITE });
  if (typeof bytes === "number") throw new Error(`mmap: ${bytes}`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  view.setUint32(4096, 8, true);
  view.setBigUint64(0, 16n, true);
  const drain = (callback: readonly asm.AsmItem[]): number => {
    const { fd, log } = loadProgram(host, [
      asm.ldMapValue(R6, flag, 0),
      asm.ldMapFd(R1, ring),
      asm.ldFunc(R2, "callback"),
      asm.mov64(R3, R6),
      asm.mov64Imm(R4, 0),
      asm.call(u.BPF_FUNC_user_ringbuf_drain),
      asm.stx("u64", R6, R0, 8),
      asm.mov64Imm(R0, 2),
      asm.exit(),
      asm.label("callback"),
      ...callback,
    ]);
    expect(fd, log).toBeGreaterThanOrEqual(0);
    return fd;
  };
  const forEver = drain([asm.st("u64", R2, 0, 1), asm.label("loop"), asm.jmpImm("jne", R2, 0, "loop"), asm.exit()]);
  const once = drain([asm.mov64Imm(R0, 0), asm.exit()]);
  const victim = startOn(host, runs, { fd: forEver, count: 1 });
  await victim.ready;
  for (let i = 0; i < 500 && readResults(host, flag, 16)[0] === 0n; i++) await new Promise((r) => setTimeout(r, 10));
  expect(readResults(host, flag, 16)[0]).toBe(1n);
  await victim.worker.terminate();
  await victim.gone;
  expect(testRun(host, once).ret).toBe(0);
  expect(readResults(host, flag, 16)[1]).toBe(1n);
  host.munmap(bytes);
  for (const open of [forEver, once, ring, flag]) host.close(open);
});
