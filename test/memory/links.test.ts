/** Links come and go, and the allocator is where it was; without memory for one, nothing is held. */
import { expect, test } from "vitest";
import { BtfBuilder } from "../../src/btf/index.ts";
import { createEmbeddedHost, type EmbeddedHost } from "../../src/host/embedded.ts";
import * as asm from "../../src/insn/index.ts";
import * as u from "../../src/uapi/index.ts";

const insns = asm.encodeInsns([asm.mov64Imm(asm.R0, 0), asm.exit()]);

function load(host: EmbeddedHost, attr: object): number {
  return host.bpf(u.BPF_PROG_LOAD, { insns, insn_cnt: 2, license: "GPL", ...attr });
}

test.each([false, true])("attach, call, detach (shared: %s)", (shared) => {
  const host = createEmbeddedHost({ memory: 16 << 20, cpus: 2, seed: 1, shared });
  const attach_btf_id = host.kernelBtf().btf.find("bpf_fentry_test3", "func")!;
  const fentry = { prog_type: u.BPF_PROG_TYPE_TRACING, expected_attach_type: u.BPF_TRACE_FENTRY, attach_btf_id };
  const cycle = (): void => {
    const progs = Array.from({ length: 5 }, () => load(host, fentry));
    const links = progs.map((prog_fd) => host.bpf(u.BPF_RAW_TRACEPOINT_OPEN, { prog_fd }));
    // One that is refused when it has its fd already.
    expect(host.bpf(u.BPF_RAW_TRACEPOINT_OPEN, { prog_fd: progs[0]! })).toBe(-u.EBUSY);
    expect(host.bpf(u.BPF_PROG_TEST_RUN, { prog_fd: progs[0]! })).toBe(0);
    // In any order.
    for (const i of [2, 0, 4, 1, 3]) expect([host.close(links[i]!), host.close(progs[i]!)]).toEqual([0, 0]);
  };
  cycle();
  const before = [host.memory(), host.openFds()];
  for (let i = 0; i < 20; i++) cycle();
  expect([host.memory(), host.openFds()]).toEqual(before);
  host.dispose();
});

/** A kernel with one tracepoint, `thing_seen`. */
function tracepointTypes(): Uint8Array {
  const b = new BtfBuilder();
  b.typedef("btf_trace_thing_seen", b.ptr(b.funcProto(0, [{ name: "", typeId: b.ptr(0) }])));
  return b.build();
}

test("no memory for a link: -ENOMEM, and all is there again", () => {
  const host = createEmbeddedHost({ memory: 3 << 19, cpus: 1, seed: 1, shared: true, kernelBtf: tracepointTypes() });
  const prog_fd = load(host, { prog_type: u.BPF_PROG_TYPE_RAW_TRACEPOINT });
  // Tracepoints take any number of links, also of one program.
  const fill = (): number[] => {
    const links: number[] = [];
    let link = 0;
    for (let i = 0; i < 100_000 && link >= 0; i++) {
      link = host.bpf(u.BPF_RAW_TRACEPOINT_OPEN, { prog_fd, name: "thing_seen", cookie: BigInt(i) });
      if (link >= 0) links.push(link);
    }
    expect(link).toBe(-u.ENOMEM);
    return links;
  };
  const empty = (links: number[]): void => {
    for (const fd of links.reverse()) host.close(fd);
    expect(host.bpf(u.BPF_LINK_GET_NEXT_ID, { start_id: 0 })).toBe(-u.ENOENT);
  };
  const first = fill();
  const used = host.memory();
  empty(first);
  const again = fill();
  expect([again.length, host.memory()]).toEqual([first.length, used]);
  empty(again);
  const info = new Uint8Array(232);
  expect(host.bpf(u.BPF_OBJ_GET_INFO_BY_FD, { bpf_fd: prog_fd, info_len: info.length, info })).toBe(0);
  host.close(prog_fd);
  expect(host.bpf(u.BPF_PROG_GET_NEXT_ID, { start_id: 0 })).toBe(-u.ENOENT);
  host.dispose();
});
