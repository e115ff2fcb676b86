import { expect } from "vitest";
import type { Arena } from "../../src/index.ts";
import type { CaseScene, ProgramCase } from "./cases.ts";

const skip = { heap: "an arena is no map with elements: what lies in it is looked at by its variables" };
const runs = [7, 299, 7000].map((index) => ({ ctx: new Uint8Array(Uint32Array.of(index).buffer) }));

/** The ring from `last` on, as user space follows it: [index in the array, value]. */
function ring({ object }: CaseScene): [index: number, value: bigint][] {
  const heap = object.map("heap") as Arena;
  const mapped = heap.mmap({ access: "ro" });
  const view = new DataView(mapped.bytes.buffer, mapped.bytes.byteOffset, mapped.bytes.length);
  const placeOf = (name: string): number => object.spec.globals.find((global) => global.name === name)!.offset;
  const found: [number, bigint][] = [];
  for (let at = object.globals.get("last") as bigint; at !== 0n; ) {
    const offset = Number(at - mapped.address);
    found.push([(offset - placeOf("entries")) / 16, view.getBigUint64(offset + 8, true)]);
    at = view.getBigUint64(offset, true);
  }
  mapped.close();
  return found;
}

export const cases: readonly ProgramCase[] = [
  {
    name: "variables of the arena have their first values, and pointers to them are user space's",
    program: "link_one",
    kernel: "run",
    skip,
    runs,
    expect: {
      retval: [42, 44, 46],
      globals: { runs: 46n, sum: 7306n },
      after: (scene) => {
        expect(ring(scene)).toEqual([
          [100, 7000n],
          [299, 299n],
          [7, 7n],
        ]);
        const { globals } = scene.object;
        const text = globals.get("greeting") as ArrayLike<number> | string;
        expect(typeof text === "string" ? text : String.fromCharCode(...Array.from(text)).replace("\0", "")).toBe(
          "in dn arena",
        );
        globals.set("runs", 1n);
        expect(globals.get("runs")).toBe(1n);
        globals.set("runs", 46n);
      },
    },
  },
  {
    name: "other first values, at an address of one's own",
    program: "link_one",
    kernel: "run",
    skip,
    load: {
      globals: { runs: 1000n },
      edit: ({ maps }) => {
        for (const map of maps) if (map.name === "heap") map.mapExtra = 0x1_2340_0000n * 4096n;
      },
    },
    runs: runs.slice(0, 1),
    expect: {
      retval: 1002,
      after: ({ object }) => expect((object.globals.get("last") as bigint) >> 12n).toBe(0x1_2340_0000n),
    },
  },
];
