import { expect } from "vitest";
import type { ProgramCase } from "./cases.ts";

const [OP_PUT, OP_GET, OP_REMOVE, OP_CLEAR] = [0, 1, 2, 3];
const ENOENT = -2;
const START = 0x1234_0001_0000;
const PAGE = 4096;
/** clang 14 has no numbers of 64 bits in BTF: __ulong(map_extra, ...) cannot say it. */
const load: ProgramCase["load"] = {
  edit: ({ maps }) => {
    for (const map of maps) if (map.name === "heap") map.mapExtra = BigInt(START);
  },
};
const [EINVAL, EBUSY] = [-22, -16];

function request(op: number, key = 0n, value = 0n): { readonly ctx: Uint8Array } {
  const ctx = new Uint8Array(24);
  const view = new DataView(ctx.buffer);
  view.setUint32(0, op, true);
  view.setBigUint64(8, key, true);
  view.setBigUint64(16, value, true);
  return { ctx };
}

function reply(op: number, result: number, key: bigint, value: bigint): Uint8Array {
  const { ctx } = request(op, key, value);
  new DataView(ctx.buffer).setInt32(4, result, true);
  return ctx;
}

const many = Array.from({ length: 200 }, (_, i) => BigInt(i) * 977n);
const at = (page: number): number => START + page * PAGE;
/** In order: see the program. */
const answers: readonly (number | bigint)[] = [
  ...[at(0), at(1), 0, 0, 0, 0, 0, at(2), 0],
  ...[at(12), at(8), at(13), at(2)],
  ...[at(4), 0, 0, 0],
  ...[0, 0, EBUSY, EBUSY, EINVAL, EINVAL, 0, at(3)],
  ...[0x1122_3344_5566_7788n, 0x4455_6677],
  ...[0, 0, 7, 0x77, 5, 0],
  ...[0x1122_3344_5566_7788n, 0x1122_3344_5566_778fn],
  ...[0, 0, 0x0102_0304, 0, 0],
  ...[0, at(0), 0],
];

export const cases: readonly ProgramCase[] = [
  {
    name: "put, get, replace, remove",
    program: "serve",
    kernel: "run",
    load,
    skip: { heap: "an arena is no map with elements: its pages are looked at in the other case" },
    runs: [
      request(OP_PUT, 1n, 11n),
      request(OP_PUT, 2n, 22n),
      request(OP_GET, 1n),
      request(OP_PUT, 1n, 111n),
      request(OP_REMOVE, 1n),
      request(OP_GET, 1n),
      request(OP_GET, 2n),
    ],
    expect: {
      retval: 0,
      ctx: reply(OP_GET, 0, 2n, 22n),
      globals: { pages: 2 },
      after: (_scene, results) => {
        expect(results[4]?.ctx).toEqual(reply(OP_REMOVE, 0, 1n, 111n));
        expect(results[5]?.ctx).toEqual(reply(OP_GET, ENOENT, 1n, 0n));
      },
    },
  },
  {
    name: "many elements in several pages, walked by user space in its mapping",
    program: "serve",
    kernel: "run",
    load,
    skip: { heap: "an arena is no map with elements" },
    runs: [
      ...many.map((key) => request(OP_PUT, key, key + 1n)),
      ...many.slice(0, 50).map((key) => request(OP_REMOVE, key)),
    ],
    expect: {
      retval: 0,
      globals: { pages: 3 },
      after: ({ object }) => {
        const heap = object.map("heap");
        if (heap.type !== "arena") throw new Error(`heap is of type ${heap.type}`);
        const mapped = heap.mmap();
        const view = new DataView(mapped.bytes.buffer, mapped.bytes.byteOffset, mapped.bytes.byteLength);
        const found: bigint[] = [];
        for (let bucket = 0; bucket < 64; bucket++) {
          for (let link = view.getBigUint64(bucket * 8, true); link !== 0n; ) {
            const node = Number(link - mapped.address);
            found.push(view.getBigUint64(node + 8, true));
            expect(view.getBigUint64(node + 16, true)).toBe(found.at(-1)! + 1n);
            link = view.getBigUint64(node, true);
          }
        }
        expect(found.toSorted((a, b) => Number(a - b))).toEqual(many.slice(50));
        expect(view.getBigUint64(64 * 8, true)).toBe(150n);
        mapped.close();
      },
    },
  },
  {
    name: "pages that were given back are empty, and what was in them is gone",
    program: "serve",
    kernel: "run",
    load,
    skip: { heap: "an arena is no map with elements" },
    runs: [
      request(OP_PUT, 1n, 11n),
      request(OP_CLEAR),
      request(OP_GET, 1n),
      request(OP_PUT, 1n, 5n),
      request(OP_GET, 1n),
    ],
    expect: { retval: 0, ctx: reply(OP_GET, 0, 1n, 5n), globals: { pages: 2 } },
  },
  {
    name: "pages of all kinds",
    program: "pages_of_all_kinds",
    kernel: "run",
    load,
    skip: { heap: "an arena is no map with elements" },
    runs: [request(OP_GET)],
    expect: {
      retval: 0,
      globals: { count: answers.length, says: Array.from({ length: 48 }, (_, i) => BigInt(answers[i] ?? 0)) },
    },
  },
];
