/** Any bytes give a value or an InputError, soon, and whatever comes out holds together. */

import fc from "fast-check";
import { expect, test } from "vitest";
import { fixtureNames, readFixture } from "../../test/fixtures/bpf/read.ts";
import { SEED } from "../../test/seed.ts";
import { InputError } from "../errors.ts";
import { parseObject } from "./object.ts";
import type { ObjectSpec } from "./spec.ts";

function tryParse(bytes: Uint8Array): ObjectSpec | undefined {
  let object: ObjectSpec;
  try {
    object = parseObject(bytes, { name: "fuzz" });
  } catch (error) {
    if (error instanceof InputError) return undefined;
    throw error;
  }
  check(object);
  return object;
}

function check(object: ObjectSpec): void {
  const maps = new Map(object.maps.map((map) => [map.name, map]));
  expect(maps.size).toBe(object.maps.length);
  for (const map of object.maps) {
    if (map.initialData !== undefined) expect(map.initialData.length).toBe(map.valueSize);
  }
  for (const global of object.globals) {
    expect(global.offset + global.size).toBeLessThanOrEqual(maps.get(global.map)!.valueSize);
  }
  for (const program of object.programs) {
    for (const ref of program.mapRefs) {
      expect(maps.has(ref.map)).toBe(true);
      expect(program.insns[ref.insn]?.opcode).toBe(0x18);
    }
    for (const ref of program.externRefs) {
      expect(object.externs.some((extern) => extern.name === ref.extern)).toBe(true);
      expect(ref.insn).toBeLessThan(program.insns.length);
    }
    for (const line of program.lines) expect(line.insn).toBeLessThan(program.insns.length);
    expect(program.lineInfo.length).toBe(program.lines.length * 16);
  }
}

test("cut at every 64 bytes", () => {
  for (const name of fixtureNames) {
    const bytes = readFixture(name);
    for (let length = 0; length < bytes.length; length += 64) {
      expect(tryParse(bytes.subarray(0, length))).toBeUndefined();
    }
  }
});

/** A number that a field is likely to be compared with. */
const word = fc.oneof(
  fc.constantFrom(0, 1, 2, 3, 4, 7, 8, 9, 16, 24, 63, 64, 255, 256, 0x7fff, 0xff00, 0xffff, 0x10000),
  fc.constantFrom(0x7fff_ffff, 0x8000_0000, 0xffff_fff8, 0xffff_ffff),
  fc.nat(0xffff),
);
const change = fc.record({ at: fc.nat(), size: fc.constantFrom(1, 2, 4, 8), value: word });

function mutate(bytes: Uint8Array, changes: readonly { at: number; size: number; value: number }[]): Uint8Array {
  const copy = bytes.slice();
  const view = new DataView(copy.buffer);
  for (const { at, size, value } of changes) {
    const offset = at % (copy.length - 8);
    if (size === 1) view.setUint8(offset, value);
    else if (size === 2) view.setUint16(offset & ~1, value, true);
    else if (size === 4) view.setUint32(offset & ~3, value, true);
    else view.setBigUint64(offset & ~7, BigInt(value), true);
  }
  return copy;
}

/** Places that matter: file header, section headers, symbols, relocations, BTF. Elsewhere are code and DWARF. */
function hotSpots(bytes: Uint8Array): readonly (readonly [start: number, length: number])[] {
  const view = new DataView(bytes.buffer);
  const headers = Number(view.getBigUint64(40, true));
  const count = view.getUint16(60, true);
  const spots: [number, number][] = [
    [0, 64],
    [headers, count * 64],
  ];
  for (let i = 1; i < count; i++) {
    const at = headers + i * 64;
    const type = view.getUint32(at + 4, true);
    if (type === 8) continue;
    const size = Number(view.getBigUint64(at + 32, true));
    if (size > 8) spots.push([Number(view.getBigUint64(at + 24, true)), size]);
  }
  return spots;
}

test("changed here and there", () => {
  const files = fixtureNames.map(readFixtureAndSpots);
  let parsed = 0;
  fc.assert(
    fc.property(
      fc.nat(files.length - 1),
      fc.array(fc.tuple(fc.nat(), change), { minLength: 1, maxLength: 4 }),
      (index, changes) => {
        const { bytes, spots } = files[index]!;
        const placed = changes.map(([spot, each]) => {
          const [start, length] = spots[spot % spots.length]!;
          return { ...each, at: start + (each.at % length) };
        });
        if (tryParse(mutate(bytes, placed)) !== undefined) parsed++;
      },
    ),
    { seed: SEED, numRuns: 2000 },
  );
  // Both sides are exercised, or the mutations are too wild or too tame.
  expect(parsed).toBeGreaterThan(200);
  expect(parsed).toBeLessThan(1900);
});

function readFixtureAndSpots(name: (typeof fixtureNames)[number]) {
  const bytes = readFixture(name);
  return { bytes, spots: hotSpots(bytes) };
}

test("bytes that are no file at all", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
      expect(tryParse(bytes)).toBeUndefined();
    }),
  );
});
