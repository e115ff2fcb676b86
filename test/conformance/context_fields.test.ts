/** Context fields: every offset, size and direction of every kind of program, embedded against the kernel. */
import { afterAll, expect, test } from "vitest";
import { contextOf } from "../../src/contexts/table.ts";
import * as asm from "../../src/insn/index.ts";
import * as u from "../../src/uapi/index.ts";
import { kernelHost } from "../kernel.ts";

const { R0, R1 } = asm;
const kernel = kernelHost();
afterAll(() => kernel?.dispose());

/** Kind, attach type, r0 at the end, prog_flags. */
type Kind = readonly [name: string, type: number, attachType: number, retval: number, flags: number];
const kind = (name: string, type: number, attachType = 0, retval = 0, flags = 0): Kind => [
  name,
  type,
  attachType,
  retval,
  flags,
];
const kinds: readonly Kind[] = [
  kind("kprobe", u.BPF_PROG_TYPE_KPROBE, 0, 0),
  kind("tracepoint", u.BPF_PROG_TYPE_TRACEPOINT, 0, 0),
  kind("perf_event", u.BPF_PROG_TYPE_PERF_EVENT, 0, 0),
  kind("raw_tracepoint", u.BPF_PROG_TYPE_RAW_TRACEPOINT, 0, 0),
  kind("raw_tracepoint.w", u.BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE, 0, 0),
  kind("syscall", u.BPF_PROG_TYPE_SYSCALL, 0, 0, u.BPF_F_SLEEPABLE),
  ...[0, u.BPF_CGROUP_INET_SOCK_CREATE, u.BPF_CGROUP_INET4_POST_BIND, u.BPF_CGROUP_INET6_POST_BIND].map((at) =>
    kind(`cgroup_sock ${at}`, u.BPF_PROG_TYPE_CGROUP_SOCK, at, 1),
  ),
  ...contextOf(u.BPF_PROG_TYPE_CGROUP_SOCK_ADDR)!.attachTypes!.map((at) =>
    kind(`cgroup_sock_addr ${at}`, u.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, at, 1),
  ),
  kind("cgroup_device", u.BPF_PROG_TYPE_CGROUP_DEVICE, u.BPF_CGROUP_DEVICE, 1),
  kind("cgroup_sysctl", u.BPF_PROG_TYPE_CGROUP_SYSCTL, u.BPF_CGROUP_SYSCTL, 1),
  kind("cgroup_sockopt get", u.BPF_PROG_TYPE_CGROUP_SOCKOPT, u.BPF_CGROUP_GETSOCKOPT, 1),
  kind("cgroup_sockopt set", u.BPF_PROG_TYPE_CGROUP_SOCKOPT, u.BPF_CGROUP_SETSOCKOPT, 1),
  kind("sock_ops", u.BPF_PROG_TYPE_SOCK_OPS, u.BPF_CGROUP_SOCK_OPS, 0),
  kind("sk_msg", u.BPF_PROG_TYPE_SK_MSG, u.BPF_SK_MSG_VERDICT, 1),
  kind("sk_lookup", u.BPF_PROG_TYPE_SK_LOOKUP, u.BPF_SK_LOOKUP, 1),
  kind("sk_reuseport", u.BPF_PROG_TYPE_SK_REUSEPORT, u.BPF_SK_REUSEPORT_SELECT, 1),
];

function kernelAccepts(items: readonly asm.AsmItem[], type: number, attachType: number, flags: number): boolean {
  const insns = asm.assemble(items);
  const fd = kernel!.bpf(u.BPF_PROG_LOAD, {
    prog_type: type,
    insn_cnt: insns.length,
    insns: asm.encodeInsns(insns),
    license: "GPL",
    prog_flags: flags,
    expected_attach_type: attachType,
  });
  if (fd >= 0) kernel!.close(fd);
  return fd >= 0;
}

/** Contexts of any size: their beginning and their end stand for the rest. */
function offsetsOf(size: number): number[] {
  const all = Array.from({ length: Math.min(size, 0x7ff0) + 8 }, (_, i) => i);
  return size <= 256 ? all : all.filter((offset) => offset < 32 || (offset > size - 16 && offset < size + 8));
}

const sizes = { 1: "u8", 2: "u16", 4: "u32", 8: "u64" } as const;

test.runIf(kernel !== undefined).each(kinds)("%s", (_name, type, attachType, retval, flags) => {
  const { access, size } = contextOf(type)!;
  const differ: string[] = [];
  for (const offset of offsetsOf(size)) {
    for (const bytes of [1, 2, 4, 8] as const) {
      const end = [asm.mov64Imm(R0, retval), asm.exit()];
      const read = kernelAccepts([asm.ldx(sizes[bytes], R0, R1, offset), ...end], type, attachType, flags);
      const write = kernelAccepts([asm.st(sizes[bytes], R1, offset, 0), ...end], type, attachType, flags);
      const fits = offset + bytes <= size;
      if ((fits && access(offset, bytes, false, attachType, 0)) !== read)
        differ.push(`load ${bytes} at ${offset}: ${read}`);
      if ((fits && access(offset, bytes, true, attachType, 0)) !== write)
        differ.push(`store ${bytes} at ${offset}: ${write}`);
    }
  }
  expect(differ).toEqual([]);
});
