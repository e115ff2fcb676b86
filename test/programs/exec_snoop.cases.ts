import { expect } from "vitest";
import type { PerfEventArray, PerfRecord } from "../../src/index.ts";
import { type CaseScene, frame, type ProgramCase } from "./cases.ts";

const events = ({ object }: CaseScene): PerfEventArray<Uint8Array> =>
  object.map("events") as PerfEventArray<Uint8Array>;
const open = (scene: CaseScene): void => {
  events(scene).open({ pages: 1 });
};
const task = { pid: 8, tgid: 80, uid: 7, comm: "begins" };

function decoded({ data }: PerfRecord<Uint8Array>): unknown {
  const view = new DataView(data.buffer);
  const comm = new TextDecoder().decode(data.subarray(16, 32)).replace(/\0.*/s, "");
  return { pid: view.getUint32(0, true), uid: view.getUint32(4, true), arg: view.getBigUint64(8, true), comm };
}

export const cases: readonly ProgramCase[] = [
  {
    name: "nobody reads",
    program: "on_exec",
    kernel: "run",
    runs: [{ args: [1] }],
    expect: { retval: -2 >>> 0, globals: { sent: 0n, no_reader: 1n, no_room: 0n, other: 0n } },
  },
  {
    name: "records reach the reader",
    program: "on_exec",
    kernel: "load",
    before: open,
    runs: [
      { args: [5], task },
      { args: [6], task },
    ],
    expect: {
      retval: 0,
      globals: { sent: 2n, no_reader: 0n },
      after: (scene) => {
        const records = events(scene).read();
        expect(records.map(({ cpu, data }) => [cpu, data.length])).toEqual([
          [0, 36],
          [0, 36],
        ]);
        expect(records.map(decoded)).toEqual([5n, 6n].map((arg) => ({ pid: 80, uid: 7, arg, comm: "begins" })));
      },
    },
  },
  {
    name: "a reader that does not come: what finds no room is lost",
    program: "on_exec",
    kernel: "load",
    before: open,
    runs: Array.from({ length: 100 }, (_, i) => ({ args: [i] })),
    expect: {
      globals: { sent: 85n, no_room: 15n, other: 0n },
      after: (scene) => {
        expect(events(scene).lost).toBe(15);
        expect(events(scene).read().length).toBe(85);
      },
    },
  },
  {
    name: "a packet that nobody samples",
    program: "sample_packet",
    kernel: "run",
    runs: [{ data: frame(64, 1, 2, 3) }],
    expect: { retval: 2, globals: { sent: 0n, no_reader: 1n } },
  },
  {
    name: "the beginning of a packet",
    program: "sample_packet",
    kernel: "load",
    before: open,
    runs: [{ data: frame(64, 1, 2, 3) }],
    expect: {
      retval: 2,
      globals: { sent: 1n },
      after: (scene) => {
        const [record] = events(scene).read();
        expect([...record!.data]).toEqual([64, 0, 0, 0, 1, 2, 3, ...Array(13).fill(0)]);
      },
    },
  },
];
