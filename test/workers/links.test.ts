/** Links on several threads of one shared host, and threads that die in a program that is attached. */
import { expect, test } from "vitest";
import type { Host } from "../../src/host/host.ts";
import * as asm from "../../src/insn/index.ts";
import * as u from "../../src/uapi/index.ts";
import { readResults, resultMap } from "../conformance/programs.ts";
import { sharedHost, startOn, times } from "./worker.ts";

const { R0, R1, R6 } = asm;

function loadTracing(host: Host, attachType: number, target: string, items: readonly asm.AsmItem[]): number {
  const insns = asm.assemble([...items]);
  return host.bpf(u.BPF_PROG_LOAD, {
    prog_type: u.BPF_PROG_TYPE_TRACING,
    expected_attach_type: attachType,
    attach_btf_id: host.kernelBtf()!.btf.find(target, "func")!,
    insns: asm.encodeInsns(insns),
    insn_cnt: insns.length,
    license: "GPL",
  });
}

const idOf = (host: Host, fd: number): number => {
  const info = { bpf_fd: fd, info: new Uint8Array(232), info_len: 232 };
  expect(host.bpf(u.BPF_OBJ_GET_INFO_BY_FD, info)).toBe(0);
  return new DataView(info.info.buffer).getUint32(4, true);
};

test("programs are attached and detached while others call the functions", async () => {
  const host = sharedHost();
  const map = resultMap(host, 8);
  const count = [asm.ldMapValue(R6, map, 0), asm.mov64Imm(R1, 1), asm.atomic("add", "u64", R6, R1, 0)];
  const end = [asm.mov64Imm(R0, 0), asm.exit()];
  const stays = loadTracing(host, u.BPF_TRACE_FENTRY, "bpf_fentry_test1", [...count, ...end]);
  const goes = loadTracing(host, u.BPF_TRACE_FENTRY, "bpf_fentry_test1", end);
  const ids = [idOf(host, stays), idOf(host, goes)];
  const link = host.bpf(u.BPF_RAW_TRACEPOINT_OPEN, { prog_fd: stays });
  const runs = times(500);
  const body = `
    ready();
    const bad = [];
    for (let i = 0; i < data.runs; i++) {
      const ret = host.bpf(${u.BPF_PROG_TEST_RUN}, { prog_fd: data.fd });
      if (ret !== 0) bad.push(ret);
    }
    return bad;`;
  const workers = [1, 2].map(() => startOn<number[]>(host, body, { fd: stays, runs }));
  await Promise.all(workers.map((w) => w.ready));
  for (let i = 0; i < times(500); i++) {
    const other = host.bpf(u.BPF_RAW_TRACEPOINT_OPEN, { prog_fd: goes });
    expect(other).toBeGreaterThan(0);
    expect(host.close(other)).toBe(0);
  }
  expect(await Promise.all(workers.map((w) => w.done))).toEqual([[], []]);
  expect(readResults(host, map, 8)[0]).toBe(BigInt(2 * runs));
  for (const fd of [link, stays, goes, map]) host.close(fd);
  expect(ids.map((prog_id) => host.bpf(u.BPF_PROG_GET_FD_BY_ID, { prog_id }))).toEqual([-u.ENOENT, -u.ENOENT]);
});

test("a thread that dies in an attached program gives it back; the link goes with its fd", async () => {
  const host = sharedHost({ cpus: 1, runBudget: 1e9 });
  for (let round = 0; round < 3; round++) {
    const flag = resultMap(host, 8);
    const stuck = loadTracing(host, u.BPF_TRACE_FEXIT, "bpf_fentry_test4", [
      asm.ldMapValue(R6, flag, 0),
      asm.st("u64", R6, 0, 1),
      asm.label("loop"),
      asm.jmpImm("jne", R6, 0, "loop"),
      asm.exit(),
    ]);
    const caller = loadTracing(host, u.BPF_TRACE_FENTRY, "bpf_fentry_test1", [asm.mov64Imm(R0, 0), asm.exit()]);
    const link = host.bpf(u.BPF_RAW_TRACEPOINT_OPEN, { prog_fd: stuck });
    const body = `ready(); return host.bpf(${u.BPF_PROG_TEST_RUN}, { prog_fd: data.caller });`;
    const victim = startOn(host, body, { caller });
    await victim.ready;
    for (let i = 0; i < 500 && readResults(host, flag, 8)[0] === 0n; i++) await new Promise((r) => setTimeout(r, 10));
    expect(readResults(host, flag, 8)[0]).toBe(1n);
    await victim.worker.terminate();
    await victim.gone;
    const prog_id = idOf(host, stuck);
    host.close(stuck);
    // Still attached, by its link alone.
    const again = host.bpf(u.BPF_PROG_GET_FD_BY_ID, { prog_id });
    expect(again).toBeGreaterThan(0);
    host.close(again);
    host.close(link);
    expect(host.bpf(u.BPF_PROG_GET_FD_BY_ID, { prog_id })).toBe(-u.ENOENT);
    expect(host.bpf(u.BPF_LINK_GET_NEXT_ID, { start_id: 0 })).toBe(-u.ENOENT);
    expect(host.bpf(u.BPF_PROG_TEST_RUN, { prog_fd: caller })).toBe(0);
    for (const fd of [caller, flag]) host.close(fd);
  }
});
