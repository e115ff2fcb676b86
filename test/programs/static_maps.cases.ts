import { expect } from "vitest";
import { u32, u64 } from "../../src/index.ts";
import { frame, type ProgramCase } from "./cases.ts";

const XDP_TX = 3;
const runs = [{ data: frame(64) }, { data: frame(64) }];

export const cases: readonly ProgramCase[] = [
  {
    name: "inner maps, programs and values are there from the beginning",
    program: "first",
    kernel: "run",
    runs,
    expect: {
      retval: XDP_TX,
      maps: {
        // What goes in by key 1 goes in by index 0 too.
        low: [2n * 10n + 2n * 0x1_0000_0000n, 0n],
        high: [200n, 0n],
        runs: [new Uint8Array([2, 0, 0, 0, 0, 0, 0, 0])],
      },
      globals: { limits: { first: 3, second: 0x1_0000_0000n }, sums: [6n, 15n], lonely: 9n },
      after: ({ object, host }) => {
        expect(object.map("events").maxEntries).toBe(Math.max(8192, host.pageSize));
        expect([...object.maps.keys()]).toContain(".data.limits");
        expect([...object.programs.keys()].sort()).toEqual(["first", "last"]);
        const keyed = object.map("by_key");
        if (keyed.type !== "hash_of_maps") throw new Error(keyed.type);
        expect(keyed.count()).toBe(2);
        expect(keyed.getId(0)).toBe(object.map("high").id);
      },
    },
  },
  {
    name: "sizes, constants and values are edited before anything is made",
    program: "first",
    kernel: "run",
    load: {
      globals: { weights: [0, 2, 3, 0], lonely: 100n },
      edit: (spec) => {
        for (const map of spec.maps) {
          if (map.name === "by_index") map.slots = [{ index: 1, kind: "map", name: "low" }];
          if (map.name === "events") map.maxEntries = 1 << 16;
        }
        const limits = spec.maps.find((map) => map.name === ".data.limits")!;
        new DataView(limits.initialData!.buffer).setUint32(0, 50, true);
      },
    },
    runs,
    expect: {
      retval: XDP_TX,
      maps: { low: [10n + 2n * 0x1_0000_0000n, 0n], high: [0n, 0n] },
      globals: { sums: [100n, 201n] },
      after: ({ object }) => expect(object.map("events").maxEntries).toBe(1 << 16),
    },
  },
  {
    name: "a program on demand, and a map of the caller's",
    program: "seldom",
    kernel: "run",
    load: { programs: ["seldom", "first", "last"] },
    before: ({ host, object }) => {
      const mine = host.createMap({ type: "hash", key: u32, value: u64, maxEntries: 8 });
      mine.set(5, 21n);
      const name = object.name;
      const again = host.loadObject(new URL("static_maps.bpf.o", import.meta.url), { name, maps: { shared: mine } });
      again.program("first").run({ data: frame(64) });
      again.close();
      expect(mine.get(5)).toBe(42n);
      mine.close();
    },
    runs: [{ data: frame(64) }],
    expect: { retval: 3, globals: { lonely: 7n } },
  },
];
