/** Programs and BTF on the kernel host: loading, logs, runs, and what is told of them. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { setImmediate } from "node:timers/promises";
import { afterAll, expect, test } from "vitest";
import { kernelHost } from "../../test/kernel.ts";
import { BtfBuilder } from "../btf/index.ts";
import { alu64Imm, encodeInsns, exit, jmpImm, mov64Imm, R0 } from "../insn/index.ts";
import * as u from "../uapi/index.ts";
import type { AttrObject, Host } from "./host.ts";

const opened = kernelHost();
const onKernel = test.runIf(opened !== undefined);
// Only read inside `onKernel` tests.
const host = opened as Host;
afterAll(() => opened?.dispose());

const RETURN_2 = encodeInsns([mov64Imm(R0, 2), exit()]);

function load(extra: AttrObject = {}): number {
  const attr = { prog_type: u.BPF_PROG_TYPE_XDP, insns: RETURN_2, insn_cnt: 2, license: "GPL", ...extra };
  const fd = host.bpf(u.BPF_PROG_LOAD, attr);
  expect(fd).toBeGreaterThan(0);
  return fd;
}

onKernel("a load that signals interrupt is tried again", async () => {
  // Its verifier is at it for some milliseconds, so that nearly every signal comes while it is.
  const insns = encodeInsns([mov64Imm(R0, 0), alu64Imm("add", R0, 1), jmpImm("jne", R0, 5_000, -2), exit()]);
  let signals = 0;
  const count = () => signals++;
  process.on("SIGUSR2", count);
  const sender = spawn("sh", ["-c", "while kill -USR2 $PPID; do sleep 0.05; done"]);
  try {
    while (signals < 8) {
      host.close(load({ prog_type: u.BPF_PROG_TYPE_SOCKET_FILTER, insns, insn_cnt: 4 }));
      await setImmediate();
    }
  } finally {
    sender.kill();
    await once(sender, "close");
    process.off("SIGUSR2", count);
  }
});

onKernel("a program of two instructions: load, log, run", () => {
  const log_buf = new Uint8Array(4096);
  const attr: AttrObject = { log_level: 1, log_size: log_buf.length, log_buf, prog_name: "two" };
  const prog_fd = load(attr);
  expect(new TextDecoder().decode(log_buf)).toContain("processed 2 insns");
  const data_in = new Uint8Array(64).fill(7);
  const run: AttrObject = {
    prog_fd,
    data_in,
    data_size_in: 64,
    data_out: new Uint8Array(80),
    data_size_out: 80,
    repeat: 1,
  };
  expect(host.bpf(u.BPF_PROG_TEST_RUN, run)).toBe(0);
  expect(run.retval).toBe(2);
  expect(run.data_size_out).toBe(64);
  expect((run.data_out as Uint8Array).subarray(0, 64)).toEqual(data_in);
  // Without a size the kernel would write all of the packet wherever data_out points.
  const little = host.user.alloc(128);
  for (const data_out of [new Uint8Array(16), little.bytes.subarray(0, 16)]) {
    const open: AttrObject = { prog_fd, data_in, data_size_in: 64, data_out };
    expect(host.bpf(u.BPF_PROG_TEST_RUN, open)).toBe(-u.ENOSPC);
    expect(open.data_size_out).toBe(64);
    expect(data_out).toEqual(data_in.subarray(0, 16));
  }
  expect(little.bytes.subarray(16)).toEqual(new Uint8Array(112));
  // In raw form the end is that of the memory that data_out lies in.
  const shape = { map_type: u.BPF_MAP_TYPE_ARRAY, key_size: 4, value_size: 8, max_entries: 512 };
  const array = host.bpf(u.BPF_MAP_CREATE, { ...shape, map_flags: u.BPF_F_MMAPABLE });
  const page = host.mmap(array, { offset: 0, length: 4096, prot: 3 }) as Uint8Array;
  const last16 = host.user.addressOf(page) + 4096 - 16;
  const raw: AttrObject = { prog_fd, data_in, data_size_in: 64, data_out: last16 };
  expect(host.bpf(u.BPF_PROG_TEST_RUN, raw)).toBe(-u.ENOSPC);
  expect(raw.data_size_out).toBe(64);
  expect(page.subarray(-17)).toEqual(new Uint8Array([0, ...data_in.subarray(0, 16)]));
  raw.data_out = last16 - 48;
  raw.data_size_out = 0;
  expect(host.bpf(u.BPF_PROG_TEST_RUN, raw)).toBe(0);
  expect(host.bpf(u.BPF_PROG_TEST_RUN, { ...raw, data_size_out: 0, prog_fd: 9999 })).toBe(-u.EBADF);
  host.munmap(page);
  const empty: AttrObject = { prog_fd, data_in, data_size_in: 64, data_out: new Uint8Array(0) };
  expect(host.bpf(u.BPF_PROG_TEST_RUN, empty)).toBe(-u.EFAULT);
  expect(host.bpf(u.BPF_PROG_TEST_RUN, { prog_fd, data_in, data_size_in: 65 })).toBe(-u.EFAULT);
  little.free();
});

onKernel("a program that the verifier refuses: the log and its size", () => {
  const log_buf = new Uint8Array(4096);
  const insns = encodeInsns([exit()]);
  const attr: AttrObject = { prog_type: u.BPF_PROG_TYPE_XDP, insns, insn_cnt: 1, license: new Uint8Array([71, 0]) };
  Object.assign(attr, { log_level: 1, log_size: 4096, log_buf });
  expect(host.bpf(u.BPF_PROG_LOAD, attr)).toBe(-u.EACCES);
  expect(attr.log_true_size).toBeGreaterThan(10);
  expect(new TextDecoder().decode(log_buf)).toContain("R0 !read_ok");
  expect(host.bpf(u.BPF_PROG_LOAD, { ...attr, license: new Uint8Array([71, 80, 76]) })).toBe(-u.EFAULT);
  expect(host.bpf(u.BPF_PROG_LOAD, { ...attr, insn_cnt: 2 })).toBe(-u.EFAULT);
});

onKernel("BTF", () => {
  const b = new BtfBuilder();
  b.int("int", 4, { signed: true });
  const btf = b.build();
  const attr: AttrObject = { btf, btf_size: btf.length };
  expect(host.bpf(u.BPF_BTF_LOAD, attr)).toBeGreaterThan(0);
  expect(attr.btf_log_true_size).toBe(0);
  expect(host.bpf(u.BPF_BTF_LOAD, { btf, btf_size: btf.length + 1 })).toBe(-u.EFAULT);
  expect(host.bpf(u.BPF_BTF_LOAD, Object.freeze({ btf, btf_size: btf.length }))).toBeGreaterThan(0);
});

onKernel("pointers in a record are judged", () => {
  const prog = load();
  const xlated = host.user.alloc(16);
  const progInfo = new Uint8Array(u.bpf_prog_info.size);
  const view = new DataView(progInfo.buffer);
  const { xlated_prog_insns, xlated_prog_len } = u.bpf_prog_info.fields;
  const ask = (address: bigint, length: number): number => {
    progInfo.fill(0);
    view.setBigUint64(xlated_prog_insns.offset, address, true);
    view.setUint32(xlated_prog_len.offset, length, true);
    return host.bpf(u.BPF_OBJ_GET_INFO_BY_FD, { bpf_fd: prog, info_len: progInfo.length, info: progInfo });
  };
  expect(ask(xlated.address, 16)).toBe(0);
  expect(xlated.bytes).toEqual(RETURN_2);
  expect(ask(0x7fff_0000_0000n, 16)).toBe(-u.EFAULT);
  const other = kernelHost()!;
  const theirs = other.user.alloc(16);
  expect(ask(theirs.address, 16)).toBe(-u.EFAULT);
  expect(ask(xlated.address, 2 ** 31)).toBe(-u.EFAULT);
  expect(theirs.bytes).toEqual(new Uint8Array(16));
  other.dispose();
  xlated.free();
});
