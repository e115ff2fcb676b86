import { expect } from "vitest";
import type { RunResult } from "../../src/index.ts";
import type { CaseScene, ProgramCase } from "./cases.ts";

/** Makes an account in user memory, lets callbacks work on it, and gives the balance that is left. */
function withAccount(
  { host, object }: CaseScene,
  balance: number,
  use: (run: (callback: string, ...args: readonly (number | bigint)[]) => RunResult) => void,
): number {
  const account = host.user.alloc(4);
  const view = new DataView(account.bytes.buffer, account.bytes.byteOffset, 4);
  view.setInt32(0, balance, true);
  try {
    use((callback, ...args) => object.program(callback).testRun({ args: [account.address, ...args] }));
    return view.getInt32(0, true);
  } finally {
    account.free();
  }
}

/** Functions of a map that is not made are not loaded unasked. */
const load = { programs: ["balance", "pay", "settle"] };

export const cases: readonly ProgramCase[] = [
  {
    name: "a callback sees the caller's state, or none",
    program: "balance",
    kernel: "run",
    load,
    runs: [],
    expect: {
      globals: { asked: 1, asked_nobody: 1 },
      after: (scene) => {
        const left = withAccount(scene, -17, (run) => {
          expect(run("balance")).toMatchObject({ retval: 0xffff_ffef, data: undefined, ctx: undefined });
        });
        expect(left).toBe(-17);
        expect(scene.object.program("balance").testRun({ args: [0] }).retval).toBe(0xffff_ffff);
      },
    },
  },
  {
    name: "arguments go in as they are, and the state comes out",
    program: "pay",
    kernel: "run",
    load,
    runs: [],
    expect: {
      globals: {
        words: [0x1122_3344_0000_0064n, 0xffff_ffff_ffff_000an, 0xf5n, 0x8877_6655_4433_2211n],
        before: 1000,
        after: 1090,
      },
      after: (scene) => {
        const left = withAccount(scene, 1000, (run) => {
          const args = [0x1122_3344_0000_0064n, 0xffff_ffff_ffff_000an, 0xf5, 0x8877_6655_4433_2211n];
          expect(run("pay", ...args).retval).toBe(0xffff_fff5);
        });
        expect(left).toBe(1090);
      },
    },
  },
  {
    name: "one that may sleep; flags and the like are not looked at",
    program: "settle",
    kernel: "run",
    load,
    runs: [],
    expect: {
      after: (scene) => {
        const left = withAccount(scene, 42, (run) => expect(run("settle").retval).toBe(42));
        expect(left).toBe(0);
        const { host, object } = scene;
        const account = host.user.alloc(4);
        const options = { args: [account.address], flags: 0xffff, cpu: 4096, repeat: 7, data: new Uint8Array(20) };
        expect(object.program("settle").testRun(options)).toMatchObject({ retval: 0, duration: 0 });
        account.free();
      },
    },
  },
  {
    name: "as many arguments as it has, none of them NULL that must not be",
    program: "pay",
    kernel: "run",
    load,
    runs: [],
    expect: {
      after: (scene) => {
        withAccount(scene, 1, (run) => {
          expect(() => run("pay", 1, 2, 3)).toThrow(/EINVAL/);
          expect(() => run("balance", 1)).toThrow(/EINVAL/);
        });
        const { object } = scene;
        expect(() => object.program("pay").testRun({ args: [0, 1, 2, 3, 4] })).toThrow(/EINVAL/);
        expect(() => object.program("settle").testRun({ args: [0] })).toThrow(/EINVAL/);
        expect(() => object.program("settle").testRun({ args: [0x10] })).toThrow(/EFAULT/);
        expect(() => object.program("settle").testRun()).toThrow(/EINVAL/);
      },
    },
  },
];
