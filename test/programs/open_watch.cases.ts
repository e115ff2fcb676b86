import { expect } from "vitest";
import type { RunOptions } from "../../src/index.ts";
import type { ProgramCase } from "./cases.ts";
import { contents } from "./contents.ts";

const NAME = 0x7ffd_1234_0ff8n;
const why = "tracepoint programs have no PROG_TEST_RUN";

const words = (...values: readonly (number | bigint)[]): Uint8Array =>
  new Uint8Array(BigInt64Array.from(values, BigInt).buffer);
const task = { pid: 4242, tgid: 4240, uid: 1000, comm: "editor" };
const enter: RunOptions = {
  ctx: words(0, 257, -100, NAME, 0x8_0002, 0o644),
  memory: [{ address: NAME, bytes: new TextEncoder().encode("/etc/hosts\0") }],
  task,
};
const leave = (ret: number): RunOptions => ({ ctx: words(0, 257, ret), task });

export const cases: readonly ProgramCase[] = [
  {
    name: "an open is noted with its name until it ends",
    program: "enter_openat",
    kernel: "load",
    why,
    runs: [enter],
    expect: {
      retval: 0,
      maps: {
        open_calls: [
          [4242, { started: 0n, pid: 4240, uid: 1000, flags: 0x8_0002, ret: 0, comm: "editor", name: "/etc/hosts" }],
        ],
      },
    },
  },
  {
    name: "a name that cannot be read is shown so",
    program: "enter_openat",
    kernel: "load",
    why,
    runs: [{ ...enter, memory: [] }],
    expect: {
      after: ({ object }) => {
        const [[, open] = []] = contents(object.map("open_calls")) as [number, { name: string }][];
        expect(open?.name).toBe("?");
      },
    },
  },
  {
    name: "other users are passed over",
    program: "enter_openat",
    kernel: "load",
    why,
    load: { globals: { only_uid: 7 } },
    runs: [enter],
    expect: { maps: { open_calls: [] } },
  },
  {
    name: "its end is reported, with the time that it took",
    program: "leave_openat",
    kernel: "load",
    why,
    load: { globals: { only_failed: true } },
    before: ({ object, sleep }) => {
      object.program("enter_openat").run(enter);
      sleep(3);
    },
    runs: [leave(-2), leave(-2)],
    expect: {
      maps: { open_calls: [] },
      after: ({ object }) => {
        const [record, ...others] = contents(object.map("opened")) as Uint8Array[];
        expect(others).toEqual([]);
        const view = new DataView(record!.buffer, record!.byteOffset);
        expect([view.getBigUint64(0, true), view.getInt32(20, true)]).toEqual([3_000_000n, -2]);
        expect(new TextDecoder().decode(record!.subarray(40, 50))).toBe("/etc/hosts");
      },
    },
  },
];
