/** Programs: loading with the verifier's words, running. */
import { expect, test } from "vitest";
import { onEachEngine } from "../../test/hosts.ts";
import {
  BPF_FUNC_map_lookup_elem,
  BPF_FUNC_map_update_elem,
  BPF_FUNC_xdp_adjust_tail,
  BpfError,
  createEmbedded,
  InputError,
  type Insn,
  type Program,
  u32,
  u64,
} from "../index.ts";
import * as asm from "../insn/index.ts";

const pass: readonly Insn[] = [asm.mov64Imm(asm.R0, 2), asm.exit()];
const packet = Uint8Array.from({ length: 64 }, (_, i) => i);

onEachEngine((host) => {
  const xdp = (insns: readonly Insn[] | Uint8Array, license = "GPL"): Program =>
    host.loadProgram({ type: "xdp", name: "under_test", insns, license });

  test("a program runs on a packet and gives it back", () => {
    const program = xdp(pass);
    expect([program.name, program.type, program.tag.length, program.id > 0]).toEqual(["under_test", "xdp", 16, true]);
    const { retval, data, ctx, duration } = program.run({ data: packet });
    expect([retval, data, ctx]).toEqual([2, packet, undefined]);
    expect(duration).toBe(undefined);
    // Larger and smaller packets than before.
    for (const size of [14, 3000, 60]) {
      expect(program.run({ data: new Uint8Array(size).fill(7) }).data).toEqual(new Uint8Array(size).fill(7));
    }
    for (const repeat of [1, 10]) {
      const repeated = program.run({ data: packet, repeat });
      expect(repeated.retval).toBe(2);
      expect(repeated.duration).toBeGreaterThanOrEqual(0);
    }
    program.close();
    program.close();
    expect(() => program.run({ data: packet })).toThrow(/program `under_test` is closed/);
  });

  test("a program makes the packet longer and shorter", () => {
    const by = (delta: number): Program =>
      xdp(
        asm.assemble([
          asm.mov64Imm(asm.R2, delta),
          asm.call(BPF_FUNC_xdp_adjust_tail),
          asm.mov64Imm(asm.R0, 2),
          asm.exit(),
        ]),
      );
    for (const delta of [-20, 100]) {
      const program = by(delta);
      const { data } = program.run({ data: packet });
      expect(data!.length).toBe(64 + delta);
      expect(data!.subarray(0, 44)).toEqual(packet.subarray(0, 44));
      program.close();
    }
  });

  test("the context goes in and comes out", () => {
    // struct xdp_md: data, data_end, data_meta, ...; the packet begins with 8 bytes of metadata here.
    const program = xdp([
      asm.ldx("u32", asm.R0, asm.R1, 4),
      asm.ldx("u32", asm.R1, asm.R1, 8),
      asm.alu64("sub", asm.R0, asm.R1),
      asm.exit(),
    ]);
    const ctx = new Uint8Array(24);
    const view = new DataView(ctx.buffer);
    view.setUint32(0, 8, true);
    view.setUint32(4, 64, true);
    const result = program.run({ data: packet, ctx });
    expect(result.retval).toBe(64);
    expect(result.ctx).toEqual(ctx);
    program.close();
  });

  test("programs and user space see the same map", () => {
    const map = host.createMap({ type: "hash", key: u32, value: u64, maxEntries: 4 });
    const program = xdp(
      asm.assemble([
        asm.st("u32", asm.R10, -4, 7),
        asm.st("u64", asm.R10, -16, 99),
        asm.ldMapFd(asm.R1, map.fd),
        asm.mov64(asm.R2, asm.R10),
        asm.alu64Imm("add", asm.R2, -4),
        asm.mov64(asm.R3, asm.R10),
        asm.alu64Imm("add", asm.R3, -16),
        asm.mov64Imm(asm.R4, 0),
        asm.call(BPF_FUNC_map_update_elem),
        asm.exit(),
      ]),
    );
    expect(program.run({ data: packet }).retval).toBe(0);
    expect([...map]).toEqual([[7, 99n]]);
    // The program keeps the map alive, not this handle.
    map.close();
    expect(program.run({ data: packet }).retval).toBe(0);
    program.close();
  });

  test("what cannot be run says why", () => {
    const program = xdp(pass);
    expect(() => program.run()).toThrow(/cannot run xdp program `under_test`: it wants a packet as `data`/);
    expect(() => program.run({ data: packet.slice(0, 13) })).toThrow(/the packet has 13 bytes, at least 14/);
    expect(() => program.run({ data: packet, repeat: -1 })).toThrow(InputError);
    program.close();
  });

  test("a refused program: the reason at once, the whole log for those who want it", () => {
    const reading = [asm.ldx("u64", asm.R0, asm.R1, 4096), asm.exit()];
    const jumping = [asm.jmpImm("jeq", asm.R1, 0, 100), asm.exit()];
    for (const insns of host.kind === "kernel" ? [reading, jumping] : [jumping]) {
      let error: unknown;
      try {
        xdp(insns as readonly Insn[]);
      } catch (thrown) {
        error = thrown;
      }
      expect(error).toBeInstanceOf(BpfError);
      const { message, log, cmd } = error as BpfError;
      expect(cmd).toBe("BPF_PROG_LOAD");
      expect(message).toMatch(/^xdp program `under_test` was refused\n {2}BPF_PROG_LOAD: E[A-Z]+\n {2}\| /);
      expect(log!.length).toBeGreaterThan(10);
      expect(message.length).toBeLessThan(500);
      expect(message).not.toContain("processed");
    }
  });

  test("a type of program that this host does not have", () => {
    if (host.kind === "kernel") return;
    const load = (): unknown => host.loadProgram({ type: "lsm", insns: pass, license: "GPL" });
    expect(load).toThrow(/^lsm program was refused: this host has no programs of type lsm\n/);
  });

  test("arguments that never reach the host", () => {
    expect(() => host.loadProgram({ type: "xpd", insns: pass })).toThrow(/type is "xpd"/);
    expect(() => host.loadProgram({ type: "xdp", insns: [] })).toThrow(/0 bytes of instructions/);
    expect(() => host.loadProgram({ type: "xdp", insns: new Uint8Array(12) })).toThrow(/12 bytes of instructions/);
    expect(() => host.loadProgram({ type: "xdp", insns: pass, name: "sixteen_letters_" })).toThrow(/at most 15 bytes/);
    expect(() => host.loadProgram({ type: 6, insns: pass, license: "GPL" }).close()).not.toThrow();
  });
});

test("a fault on the embedded host: instruction, access and what lies there", () => {
  const host = createEmbedded({ memory: 16 * 1024 * 1024, runBudget: 1000 });
  const map = host.createMap({ type: "array", name: "small", value: u64, maxEntries: 1 });
  const beyond = host.loadProgram({
    type: "xdp",
    name: "beyond",
    license: "GPL",
    insns: asm.assemble([
      asm.st("u32", asm.R10, -4, 0),
      asm.ldMapFd(asm.R1, map.fd),
      asm.mov64(asm.R2, asm.R10),
      asm.alu64Imm("add", asm.R2, -4),
      asm.call(BPF_FUNC_map_lookup_elem),
      asm.ldx("u64", asm.R0, asm.R0, 8),
      asm.exit(),
    ]),
  });
  const run = (): unknown => beyond.run({ data: packet });
  expect(run).toThrow(expect.objectContaining({ code: "EFAULT", cmd: "BPF_PROG_TEST_RUN" }));
  expect(run).toThrow(/xdp program `beyond` did what it must not do\n {2}BPF_PROG_TEST_RUN: EFAULT\n {2}\| .*small/s);
  // Read once: nothing of it stays for the next.
  expect(beyond.stderr()).toBe("");
  const endless = host.loadProgram({
    type: "xdp",
    name: "endless",
    insns: [asm.jmp("jeq", asm.R1, asm.R1, -1), ...pass] as Insn[],
  });
  expect(() => endless.run({ data: packet })).toThrow(expect.objectContaining({ code: "ETIMEDOUT" }));
  expect(() => endless.run({ data: packet })).toThrow(/ran too long/);
  expect(host.leaks().map((leak) => leak.name)).toEqual(["small", "beyond", "endless"]);
  host.close();
});
