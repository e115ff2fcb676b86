import { expect, test } from "vitest";
import { assemble, encodeInsns, exit, jmpImm, label, mov64Imm, R0 } from "../insn/index.ts";
import { attachKernel, createKernel } from "../kern/create.ts";
import * as u from "../uapi/index.ts";
import { attachEmbeddedHost, createEmbeddedHost, type EmbeddedHost } from "./embedded.ts";

/** Runs a loop without end; gives what TEST_RUN and the program's stderr say. */
function runForever(host: EmbeddedHost): { ret: number; said: string } {
  const insns = assemble([label("again"), mov64Imm(R0, 2), jmpImm("jne", R0, 0, "again"), exit()]);
  const prog_fd = host.bpf(u.BPF_PROG_LOAD, {
    prog_type: u.BPF_PROG_TYPE_XDP,
    license: "GPL",
    insns: encodeInsns(insns),
    insn_cnt: insns.length,
  });
  const ret = host.bpf(u.BPF_PROG_TEST_RUN, { prog_fd, data_in: new Uint8Array(64), data_size_in: 64 });
  const text = new Uint8Array(4096);
  const read = { prog_fd, stream_id: u.BPF_STDERR, stream_buf: text, stream_buf_len: text.length };
  const n = host.bpf(u.BPF_PROG_STREAM_READ_BY_FD, read);
  host.close(prog_fd);
  return { ret, said: new TextDecoder().decode(text.subarray(0, Math.max(n, 0))) };
}

test("the budget is the host's: whoever attaches has it too", () => {
  const host = createEmbeddedHost({ memory: 16 << 20, shared: true, seed: 1, runBudget: 1234 });
  const other = attachEmbeddedHost(host.share());
  for (const client of [host, other]) {
    const { ret, said } = runForever(client);
    expect(ret).toBe(-u.ETIMEDOUT);
    expect(said).toContain("1234 instructions");
  }
  other.dispose();
  host.dispose();
});

test("a budget beyond 32 bits is kept whole", () => {
  const runBudget = 2 ** 53 - 1;
  const k = createKernel({ memory: 16 << 20, cpus: 1, shared: true, seed: 1, virtualClock: true, runBudget });
  expect(attachKernel(k.mem.wasm, k.announce()!).runBudget).toBe(runBudget);
  expect(() => createEmbeddedHost({ memory: 16 << 20, runBudget: 2 ** 53 })).toThrow("runBudget");
});
