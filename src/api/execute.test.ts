import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { thrown } from "../../test/thrown.ts";
import {
  alu64Imm,
  assemble,
  call,
  exit,
  type Insn,
  ja,
  label,
  ldMapFd,
  ldx,
  mov64,
  mov64Imm,
  R0,
  R1,
  R2,
  R10,
  raw,
  st,
  stx,
} from "../insn/index.ts";
import { BPF_FUNC_map_lookup_elem, BPF_FUNC_xdp_adjust_head } from "../uapi/index.ts";
import { u32 } from "./codec/index.ts";
import { createEmbedded, type EmbeddedBpfHost } from "./embedded.ts";
import { BpfError } from "./error.ts";

describe.each(["jit", "interp"] as const)("%s", (engine) => {
  let host: EmbeddedBpfHost;
  beforeEach(() => {
    host = createEmbedded({ engine, seed: 1, memory: 2 << 20, runBudget: 10_000 });
  });
  afterEach(() => host.close());

  const failure = (insns: readonly Insn[], memory?: Uint8Array): BpfError =>
    thrown(BpfError, () => host.execute(insns, memory === undefined ? {} : { memory }));

  test("r1 is the memory, r2 its length; r0 and the memory come back", () => {
    const memory = Uint8Array.of(1, 2, 3, 4);
    const result = host.execute([ldx("u16", R0, R1, 0), stx("u8", R1, R2, 3), exit()], { memory });
    expect(result).toMatchObject({ r0: 0x201n, memory: Uint8Array.of(1, 2, 3, 4) });
    expect(host.execute([st("u16", R1, 1, -1), mov64Imm(R0, -1), exit()], { memory })).toMatchObject({
      r0: 2n ** 64n - 1n,
      memory: Uint8Array.of(1, 255, 255, 4),
    });
    expect(memory).toEqual(Uint8Array.of(1, 2, 3, 4));
  });

  test("without memory both are 0", () => {
    expect(host.execute([mov64(R0, R1), alu64Imm("add", R0, 7), exit()]).r0).toBe(7n);
    expect(host.execute([mov64(R0, R2), exit()]).r0).toBe(0n);
    expect(failure([ldx("u8", R0, R1, 0), exit()]).code).toBe("EFAULT");
  });

  test("not a byte beyond the memory, in either direction", () => {
    const memory = new Uint8Array(5);
    for (const off of [-1, 5]) {
      expect(failure([ldx("u8", R0, R1, off), exit()], memory).message).toMatch(
        /^instruction 0, .*: read of 1 byte at 0x/,
      );
      expect(failure([st("u8", R1, off, 1), mov64Imm(R0, 0), exit()], memory).code).toBe("EFAULT");
    }
    expect(failure([ldx("u64", R0, R1, 0), exit()], memory).code).toBe("EFAULT");
    expect(host.execute([ldx("u8", R0, R1, 4), exit()], { memory }).r0).toBe(0n);
  });

  test("a run does not see the memory of the one before", () => {
    const first = host.execute([mov64(R0, R1), exit()], { memory: new Uint8Array(64).fill(7) }).r0;
    const [low] = [Number(first)];
    expect(failure([mov64Imm(R1, low), ldx("u8", R0, R1, 0), exit()]).code).toBe("EFAULT");
  });

  test("what is refused: shapes, helpers of one kind of program only, calls by register", () => {
    expect(failure([mov64Imm(R0, 0)])).toMatchObject({
      code: "EINVAL",
      message: expect.stringContaining("exit or goto"),
    });
    expect(failure([]).code).toBe("E2BIG");
    expect(failure([call(BPF_FUNC_xdp_adjust_head), exit()]).code).toBe("EINVAL");
    expect(failure([raw(0x8d, 1), exit()]).message).toContain("unknown opcode 0x8d");
    expect(() => host.execute(new Uint8Array(7))).toThrow("7 bytes of instructions, expected a multiple of 8");
  });

  test("a loop without end is stopped", () => {
    const loop = assemble([label("again"), ja("again"), exit()]);
    expect(failure(loop)).toMatchObject({ code: "ETIMEDOUT", message: expect.stringContaining("10000 instructions") });
  });

  test("maps can be used, by their fds", () => {
    const map = host.createMap({ type: "array", value: u32, maxEntries: 1 });
    map.set(0, 42);
    const insns = [st("u32", R10, -4, 0), mov64(R2, R10), alu64Imm("add", R2, -4), ...ldMapFd(R1, map.fd)];
    expect(host.execute([...insns, call(BPF_FUNC_map_lookup_elem), ldx("u32", R0, R0, 0), exit()]).r0).toBe(42n);
    expect(failure([...ldMapFd(R1, 99), exit()]).message).toContain("fd 99");
  });

  test("nothing is left of it, however it ends", () => {
    const map = host.createMap({ type: "array", value: u32, maxEntries: 1 });
    const programs: readonly (readonly Insn[])[] = [
      [...ldMapFd(R1, map.fd), mov64Imm(R0, 0), exit()],
      [...ldMapFd(R1, map.fd), ldx("u8", R0, R2, 0), exit()],
      [...ldMapFd(R1, map.fd), ...ldMapFd(R1, 99), exit()],
      [mov64Imm(R0, 0)],
    ];
    const run = (insns: readonly Insn[]): void => {
      try {
        host.execute(insns, { memory: new Uint8Array(1000) });
      } catch (error) {
        expect(error).toBeInstanceOf(BpfError);
      }
    };
    for (const insns of programs) run(insns);
    const { used } = host.memory();
    for (let i = 0; i < 50; i++) for (const insns of programs) run(insns);
    expect(host.memory().used).toBe(used);
    const { fd } = map;
    map.close();
    expect(host.leaks()).toEqual([]);
    expect(host.fdinfo(fd)).toBeLessThan(0);
  });

  test("on a shared host, and on a closed one", () => {
    const shared = createEmbedded({ seed: 1, memory: 16 << 20, shared: true });
    expect(shared.execute([ldx("u64", R0, R1, 0), exit()], { memory: new Uint8Array(8).fill(1) }).r0).toBe(
      0x0101010101010101n,
    );
    shared.close();
    expect(() => shared.execute([exit()])).toThrow("this host is closed");
  });
});
