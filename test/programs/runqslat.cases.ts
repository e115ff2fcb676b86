import { expect } from "vitest";
import type { HashMap } from "../../src/index.ts";
import type { CaseScene, ProgramCase } from "./cases.ts";
import { btfOf, type Layout, place } from "./layouts.ts";

/** A kernel from before 5.14: `state`, a long. */
const before: Layout = {
  pid_namespace: { size: 64, fields: { level: ["u32", 40] } },
  nsproxy: { size: 64, fields: { pid_ns_for_children: ["pointer", 32] } },
  task_struct: {
    size: 256,
    fields: {
      state: ["long", 24],
      prio: ["int", 60],
      tgid: ["int", 100],
      pid: ["int", 104],
      real_parent: ["pointer", 120],
      nsproxy: ["pointer", 152],
      comm: ["char[16]", 200],
    },
  },
};

/** One since: `__state`, an unsigned int, and everything elsewhere; names have 24 characters. */
const since: Layout = {
  pid_namespace: { size: 64, fields: { level: ["u32", 12] } },
  nsproxy: { size: 64, fields: { pid_ns_for_children: ["pointer", 8] } },
  task_struct: {
    size: 512,
    fields: {
      __state: ["u32", 4],
      comm: ["char[16]", 16],
      nsproxy: ["pointer", 64],
      real_parent: ["pointer", 128],
      pid: ["int", 300],
      tgid: ["int", 304],
      prio: ["int", 400],
    },
  },
};

const kernels: readonly (readonly [string, Layout, "state" | "__state"])[] = [
  ["before 5.14", before, "state"],
  ["since 5.14", since, "__state"],
];

const PREV = 0xffff_8880_0001_0000n;
const NEXT = 0xffff_8880_0002_0000n;
const MILLISECONDS = 70;
/** 70,000 us lie between 2^16 and 2^17. */
const SLOT = 16;

interface Histogram {
  readonly slots: readonly number[];
  readonly comm: unknown;
}

const slotsOf = ({ object }: CaseScene, key: number): readonly number[] => {
  return (object.map("histograms") as HashMap<number, Histogram>).get(key)!.slots;
};

export const cases: readonly ProgramCase[] = kernels.flatMap(([when, layout, state]): ProgramCase[] => {
  const memory = [
    place(layout, "task_struct", PREV, { [state]: 1, pid: 7, tgid: 70, comm: "goes to sleep" }),
    place(layout, "task_struct", NEXT, { [state]: 0, pid: 8, tgid: 80, comm: "has waited" }),
  ];
  const wake = ({ object, sleep }: CaseScene): void => {
    object.program("on_wakeup").run({ args: [NEXT], memory });
    sleep(MILLISECONDS);
  };
  const targetBtf = btfOf(layout);
  return [
    {
      name: `${when}: who was woken waits 70 ms`,
      program: "on_switch",
      kernel: "load",
      load: { targetBtf },
      before: wake,
      runs: [{ args: [0, PREV, NEXT], memory }],
      expect: {
        retval: 0,
        after: (scene) => {
          expect(slotsOf(scene, 0).indexOf(1)).toBe(SLOT);
        },
        // Neither waits now: one sleeps, the other runs.
        maps: { woken: [] },
      },
    },
    {
      name: `${when}: by process, and who is only set aside waits on`,
      program: "on_switch",
      kernel: "load",
      load: { targetBtf, globals: { by_process: true } },
      before: wake,
      runs: [
        {
          args: [1, PREV, NEXT],
          memory: [
            place(layout, "task_struct", PREV, { [state]: 0, pid: 7, tgid: 70, comm: "would go on" }),
            memory[1]!,
          ],
        },
      ],
      expect: {
        retval: 0,
        after: (scene) => {
          expect(slotsOf(scene, 80)[SLOT]).toBe(1);
          expect([...(scene.object.map("woken") as HashMap<number, bigint>).keys()]).toEqual([7]);
        },
      },
    },
    {
      name: `${when}: only one process`,
      program: "on_switch",
      kernel: "load",
      load: { targetBtf, globals: { only_tgid: 81 } },
      before: wake,
      runs: [{ args: [0, PREV, NEXT], memory }],
      expect: { retval: 0, maps: { histograms: [], woken: [] } },
    },
    {
      name: `${when}: the current task's fields are what helpers say`,
      program: "self_check",
      kernel: "load",
      load: { targetBtf },
      runs: [
        {
          task: { pid: 8, tgid: 80, comm: "has waited", address: NEXT },
          memory: [
            place(layout, "task_struct", NEXT, {
              [state]: 0,
              pid: 8,
              tgid: 80,
              comm: "has waited",
              nsproxy: PREV + 0x1000n,
              real_parent: PREV,
            }),
            place(layout, "nsproxy", PREV + 0x1000n, { pid_ns_for_children: PREV + 0x2000n }),
            place(layout, "pid_namespace", PREV + 0x2000n, { level: 1 }),
            memory[0]!,
          ],
        },
      ],
      expect: { retval: 63 },
    },
  ];
});
