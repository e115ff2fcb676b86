import { expect, test } from "vitest";
import { BtfBuilder } from "../btf/index.ts";
import { InputError } from "../errors.ts";
import * as asm from "../insn/index.ts";
import * as u from "../uapi/index.ts";
import { BpfError, createEmbedded, type EmbeddedBpfHost, type Program, Trace } from "./index.ts";

const { R0, R1 } = asm;

function load(host: EmbeddedBpfHost, attachType: number, target: string, ...insns: asm.Insn[]): Program {
  return host.loadProgram({
    type: "tracing",
    name: "watch",
    license: "GPL",
    expectedAttachType: attachType,
    attachBtfId: host.kernelBtf()!.btf.find(target, "func")!,
    insns: insns.length > 0 ? insns : [asm.mov64Imm(R0, 0), asm.exit()],
  });
}

test("a link lasts until it is closed, with the program or without; the host closes what is left", () => {
  const host = createEmbedded({ seed: 1 });
  const program = load(host, u.BPF_MODIFY_RETURN, "bpf_modify_return_test", asm.mov64Imm(R0, 7), asm.exit());
  const link = program.attach();
  expect([link.kind, link.name, link.fd >= 0, link.id]).toEqual(["link", "watch", true, 1]);
  expect(host.leaks()).toContainEqual({ kind: "link", name: "watch", id: 1, fd: link.fd });
  expect(() => program.attach()).toThrow(/attached already\n.*EBUSY/);
  const caller = load(host, u.BPF_MODIFY_RETURN, "bpf_modify_return_test2");
  program.close();
  expect(caller.testRun().retval).toBe(0x1_0000 + 7 + 29);
  link.close();
  link.close();
  expect(link.fd).toBe(-1);
  expect(caller.testRun().retval).toBe(0x2_0000 + 33);
  caller.attach({ cookie: 1n });
  host.close();
});

test("what cannot be attached says so, before the host is asked where that is sure", () => {
  using host = createEmbedded({ seed: 1 });
  const insns = [asm.mov64Imm(R0, 0), asm.exit()];
  const xdp = host.loadProgram({ type: "xdp", insns });
  expect(() => xdp.attach()).toThrow(/expected a program of type tracing, lsm or raw_tracepoint/);
  const raw = host.loadProgram({ type: "raw_tracepoint", insns });
  expect(() => raw.attach()).toThrow(InputError);
  // The host's own types have no tracepoints.
  expect(() => raw.attach({ tracepoint: "sched_switch" })).toThrow(/ENOENT/);
  const fentry = load(host, u.BPF_TRACE_FENTRY, "bpf_fentry_test1");
  expect(() => fentry.attach({ tracepoint: "sched_switch" })).toThrow(InputError);
  const opened = host.openProgram({ id: fentry.id });
  expect(() => opened.attach({ cookie: 1n })).toThrow(/only for programs that this host has loaded/);
  opened.attach();
  const iter = load(host, u.BPF_TRACE_ITER, "bpf_iter_bpf_map_elem");
  expect(() => iter.attach()).toThrow(/attached otherwise\n.*EINVAL/);
  expect(() => iter.testRun()).toThrow(/no test run\n.*EFAULT/);
  fentry.close();
  expect(() => fentry.attach()).toThrow(BpfError);
  expect(() => fentry.testRun()).toThrow(/closed/);
});

test("a test run tells of all programs that ran: events of all, and steps to who observes", () => {
  using host = createEmbedded({ seed: 1 });
  const signal = [asm.mov64Imm(R1, 9), asm.call(u.BPF_FUNC_send_signal), asm.mov64Imm(R0, 0), asm.exit()];
  const entry = load(host, u.BPF_TRACE_FENTRY, "bpf_fentry_test1", ...signal);
  const exit = load(host, u.BPF_TRACE_FEXIT, "bpf_fentry_test9", ...signal);
  for (const program of [entry, exit]) program.attach();
  const calls: string[] = [];
  const observe = new Trace((step) => calls.push(...(step.call === undefined ? [] : [step.text])));
  const sent = { kind: "signal", signal: 9, thread: false };
  expect(entry.testRun({ observe }).events).toEqual([sent, sent]);
  expect(calls).toHaveLength(2);
});

/** A kernel with a tracepoint and a hook. */
function hookTypes(): Uint8Array {
  const b = new BtfBuilder();
  const int = b.int("int", 4, { signed: true });
  const thing = b.ptr(0);
  b.typedef(
    "btf_trace_thing_seen",
    b.ptr(
      b.funcProto(0, [
        { name: "", typeId: thing },
        { name: "thing", typeId: thing },
      ]),
    ),
  );
  b.func("bpf_lsm_thing_open", b.funcProto(int, [{ name: "thing", typeId: thing }]));
  return b.build();
}

test("tracepoints and hooks of the kernel's BTF take links, which tell what they are of", () => {
  using host = createEmbedded({ seed: 1, kernelBtf: hookTypes() });
  const { btf } = host.kernelBtf()!;
  const insns = [asm.mov64Imm(R0, 0), asm.exit()];
  const base = { license: "GPL", insns };
  const raw = host.loadProgram({ ...base, type: "raw_tracepoint" });
  const target = btf.find("btf_trace_thing_seen", "typedef")!;
  const typed = host.loadProgram({
    ...base,
    type: "tracing",
    expectedAttachType: u.BPF_TRACE_RAW_TP,
    attachBtfId: target,
  });
  const hook = host.loadProgram({
    ...base,
    type: "lsm",
    expectedAttachType: u.BPF_LSM_MAC,
    attachBtfId: btf.find("bpf_lsm_thing_open", "func")!,
  });
  const links = [raw.attach({ tracepoint: "thing_seen", cookie: 5n }), typed.attach({ cookie: 6n }), hook.attach()];
  const lines = links.map(({ fd }) => String(host.fdinfo(fd)));
  expect(lines.map((text) => /link_type:\t(\w+)/.exec(text)?.[1])).toEqual([
    "raw_tracepoint",
    "raw_tracepoint",
    "tracing",
  ]);
  expect(lines.map((text) => /cookie:\t(\d+)/.exec(text)?.[1])).toEqual(["5", "6", "0"]);
  const { tp_name, tp_name_len } = u.bpf_link_info.fields.raw_tracepoint.fields;
  const nameOf = (bpf_fd: number, room: number): readonly [number, string, number] => {
    const name = host.user.alloc(32);
    const info = new Uint8Array(u.bpf_link_info.size);
    const view = new DataView(info.buffer);
    view.setBigUint64(tp_name.offset, name.address, true);
    view.setUint32(tp_name_len.offset, room, true);
    const ret = host.bpf(u.BPF_OBJ_GET_INFO_BY_FD, { bpf_fd, info_len: info.length, info });
    const text = new TextDecoder().decode(name.bytes.subarray(0, room)).replace(/\0.*/s, "");
    name.free();
    return [ret, text, view.getUint32(tp_name_len.offset, true)];
  };
  expect(nameOf(links[0]!.fd, 32)).toEqual([0, "thing_seen", 11]);
  expect(nameOf(links[1]!.fd, 11)).toEqual([0, "thing_seen", 11]);
  expect(nameOf(links[1]!.fd, 6)).toEqual([-u.ENOSPC, "thing", 6]);
});
