import { expect, test } from "vitest";
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
