import type { RunOptions } from "../../src/index.ts";
import { bytesOf, type CaseScene, chars, type ProgramCase } from "./cases.ts";
import { btfOf, type Layout, place } from "./layouts.ts";
import { vmlinuxLike } from "./vmlinux.ts";

const why = "the kernel's test runs of tracing programs call functions of its own";

const layout: Layout = {
  task_struct: {
    size: 320,
    fields: {
      prio: ["int", 20],
      tgid: ["int", 84],
      pid: ["int", 88],
      comm: ["char[16]", 124],
      real_parent: ["pointer", 200],
    },
  },
  linux_binprm: { size: 200, fields: { argc: ["int", 4], filename: ["pointer", 104] } },
};
const kernelBtf = btfOf(layout, {
  tracepoints: {
    sched_switch: ["u8", "pointer", "pointer", "u32"],
    sched_wakeup: ["pointer"],
    sched_process_exec: ["pointer", "int", "pointer"],
  },
});

const [A, B, IDLE, PARENT, BPRM, NAME] = [1n, 2n, 3n, 4n, 5n, 6n].map(
  (n) => 0xffff_8881_0000_0000n + n * 0x1_0000n,
) as [bigint, bigint, bigint, bigint, bigint, bigint];
const [RUNNING, SLEEPING] = [0, 1];

const tasks = (types: Layout): NonNullable<RunOptions["memory"]> => [
  place(types, "task_struct", A, { pid: 101, tgid: 100, prio: 120, comm: "first", real_parent: PARENT }),
  place(types, "task_struct", B, { pid: 201, tgid: 200, prio: 120, comm: "second", real_parent: PARENT }),
  place(types, "task_struct", IDLE, { pid: 0, tgid: 0, prio: 120, comm: "swapper/0", real_parent: IDLE }),
  place(types, "task_struct", PARENT, { pid: 51, tgid: 50, prio: 120, comm: "parent", real_parent: PARENT }),
  place(types, "linux_binprm", BPRM, { argc: 3, filename: NAME }),
  { address: NAME, bytes: new TextEncoder().encode("/usr/bin/second\0") },
];

const memory = tasks(layout);
const switches = (preempted: number, from: bigint, to: bigint, state: number): RunOptions => ({
  args: [preempted, from, to, state],
  memory,
});
/** Switches, each with so many milliseconds before it. */
const turns =
  (...all: readonly (readonly [number, RunOptions])[]) =>
  ({ object, sleep }: CaseScene): void => {
    for (const [milliseconds, options] of all) {
      sleep(milliseconds);
      object.program("on_switch").run(options);
    }
  };

const plain = { kernel: "load", why, kernelBtf } as const;
const real = vmlinuxLike(layout);

function begins(name: string, types: Layout, btf: Uint8Array): ProgramCase {
  return {
    ...plain,
    name,
    program: "on_exec",
    kernelBtf: btf,
    runs: [{ args: [B, 199, BPRM], memory: tasks(types) }],
    expect: {
      retval: 0,
      maps: { programs: [bytesOf(201, 199, 50, 3, chars("second", 16), chars("/usr/bin/second", 32))] },
    },
  };
}

export const cases: readonly ProgramCase[] = [
  {
    ...plain,
    name: "time of processes, and why they had to go",
    program: "on_switch",
    before: turns(
      [5, switches(0, IDLE, A, RUNNING)],
      [7, switches(1, A, B, SLEEPING)],
      [11, switches(0, B, A, SLEEPING)],
      [13, switches(0, A, B, RUNNING)],
      [17, switches(0, B, IDLE, SLEEPING)],
    ),
    runs: [switches(0, IDLE, A, RUNNING)],
    expect: {
      retval: 0,
      globals: { idle_begins: 1n },
      maps: {
        usages: [
          [100, { nanoseconds: 20_000_000n, slept: 0, set_aside: 2 }],
          [200, { nanoseconds: 28_000_000n, slept: 2, set_aside: 0 }],
        ],
        since: [53_000_000n],
      },
    },
  },
  {
    ...plain,
    name: "who wakes whom: the task that runs has a type, too",
    program: "on_wakeup",
    runs: [
      { args: [B], task: { address: A }, memory },
      { args: [A], task: { address: PARENT }, memory },
      { args: [B], task: { address: A }, memory },
      // Nothing lies where this task is: zeros.
      { args: [B], task: { address: A + 0x1000n }, memory },
    ],
    expect: {
      retval: 0,
      maps: {
        wakeups: [
          [{ waker: 100, woken: 200 }, 2n],
          [{ waker: 50, woken: 100 }, 1n],
          [{ waker: 0, woken: 200 }, 1n],
        ],
      },
    },
  },
  begins("programs that begin, with their parent and file", layout, kernelBtf),
  ...(real === undefined
    ? []
    : [begins("the same in the types of the kernel that runs here", real.layout, real.kernelBtf)]),
];
