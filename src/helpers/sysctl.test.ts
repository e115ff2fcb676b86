/** What Linux 6.18 answered a program that was attached to a cgroup, of net/core/somaxconn. */
import { afterAll, describe, expect, test } from "vitest";
import { createTestEmbedded } from "../../test/compiled.ts";
import { bytes } from "../api/codec/index.ts";
import type { RunResult } from "../api/index.ts";
import * as asm from "../insn/index.ts";
import * as u from "../uapi/index.ts";

const { R0, R1, R2, R3, R4, R6, R9 } = asm;
describe.each(["jit", "interp"] as const)("%s", (engine) => {
  const host = createTestEmbedded({ engine, memory: 16 << 20, seed: 1, clock: "virtual" });
  const memory = host.createMap({ type: "array", value: bytes(8192), maxEntries: 1 });
  afterAll(() => {
    memory.close();
    expect(host.leaks()).toEqual([]);
    host.close();
  });

  const ROOM = 24;
  const at = (reg: asm.Reg, offset: number): readonly asm.AsmItem[] => [
    asm.mov64(reg, R9),
    asm.alu64Imm("add", reg, offset),
  ];

  /** Calls a helper with the context and memory at 8, and gives what it returned and left there; x was there before. */
  function ask(write: number, calls: readonly (readonly asm.AsmItem[])[]): RunResult & { readonly said: unknown[] } {
    const insns = asm.assemble([
      asm.mov64(R6, R1),
      asm.ldMapValue(R9, memory.fd, 0),
      ...calls.flatMap((call, i) => [
        asm.mov64(R1, R6),
        ...at(R2, i * 32 + 8),
        ...call,
        asm.stx("u64", R9, R0, i * 32),
      ]),
      asm.mov64Imm(R0, 1),
      asm.exit(),
    ]);
    memory.set(0, new Uint8Array(8192).fill(0x78));
    const program = host.loadProgram({
      type: "cgroup_sysctl",
      insns,
      license: "GPL",
      expectedAttachType: u.BPF_CGROUP_SYSCTL,
    });
    const ctx = Uint8Array.of(write, 0, 0, 0, 0, 0, 0, 0);
    const sysctl = { name: "net/core/somaxconn", value: "4096\n", newValue: "4000\n" };
    try {
      const result = program.run({ ctx, attachment: { sysctl } });
      const { buffer } = memory.get(0)!.slice();
      const said = calls.map((_, i) => [
        Number(new DataView(buffer).getBigInt64(i * 32, true)),
        new TextDecoder().decode(new Uint8Array(buffer, i * 32 + 8, ROOM)).replace(/x+$/, ""),
      ]);
      return { ...result, said };
    } finally {
      program.close();
    }
  }

  const name = (size: number, flags: number): readonly asm.AsmItem[] => [
    asm.mov64Imm(R3, size),
    asm.mov64Imm(R4, flags),
    asm.call(u.BPF_FUNC_sysctl_get_name),
  ];
  const value = (helper: number, size: number): readonly asm.AsmItem[] => [asm.mov64Imm(R3, size), asm.call(helper)];
  const current = u.BPF_FUNC_sysctl_get_current_value;
  const fresh = u.BPF_FUNC_sysctl_get_new_value;
  const zeros = (n: number): string => "\0".repeat(n);
  /** Writes what stands at the end of the memory. */
  const set = (size: number): readonly asm.AsmItem[] => [
    asm.st("u32", R9, 4000, 0x0a_37_37),
    ...at(R2, 4000),
    ...value(u.BPF_FUNC_sysctl_set_new_value, size),
  ];

  test("names", () => {
    const { said } = ask(0, [name(24, 0), name(8, 0), name(4, 1), name(1, 1), name(24, 3), name(14, 0)]);
    expect(said).toEqual([
      [18, "net/core/somaxconn\0"],
      [-7, "net/cor\0"],
      [-7, "som\0"],
      [-7, "\0"],
      [9, `somaxconn${zeros(7)}`],
      [-7, "net/core/soma\0"],
    ]);
  });

  test("what it is", () => {
    const { said } = ask(0, [value(current, 24), value(current, 3), value(current, 1), value(current, 5)]);
    expect(said).toEqual([
      [5, `4096\n${zeros(19)}`],
      [-7, "40\0"],
      [-7, "\0"],
      [-7, "4096\0"],
    ]);
  });

  test("what is being written: nothing, where it is read", () => {
    const { said, events } = ask(0, [value(fresh, 24), value(fresh, 2), set(3)]);
    expect(said.map((each) => (each as unknown[])[0])).toEqual([-22, -22, -22]);
    expect(said.slice(0, 2)).toEqual([
      [-22, zeros(24)],
      [-22, zeros(2)],
    ]);
    expect(events).toEqual([]);
  });

  test("what is being written, and another value in its place", () => {
    const calls = [value(fresh, 24), value(fresh, 2), set(3), value(fresh, 24), value(current, 24), set(4096)];
    const { said, events } = ask(1, calls);
    expect(said).toEqual([
      [5, `4000\n${zeros(19)}`],
      [-7, "4\0"],
      [0, ""],
      [3, `77\n${zeros(21)}`],
      [5, `4096\n${zeros(19)}`],
      [-7, ""],
    ]);
    expect(events).toEqual([{ kind: "sysctl_set_new_value", value: "77\n" }]);
  });
});
