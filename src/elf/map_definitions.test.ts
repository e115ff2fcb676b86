/** Definitions of maps that are wrong, or that no fixture has; the right ones are in object.test.ts. */
import { expect, test } from "vitest";
import { buildElf } from "../../test/fixtures/bpf/elf_builder.ts";
import { BtfBuilder } from "../btf/index.ts";
import { InputError } from "../errors.ts";
import { parseObject } from "./object.ts";
import type { MapSpec } from "./spec.ts";
import { R_BPF_64_ABS64, STT_OBJECT } from "./types.ts";

type Member = readonly [name: string, typeId: number];

/** One object with the map `m`, whose members `write` chooses. */
function object(write: (btf: BtfBuilder, kit: Kit) => readonly Member[], slots: readonly number[] = []): Uint8Array {
  const btf = new BtfBuilder();
  const members = write(btf, kitOf(btf));
  const struct = structOf(btf, members);
  btf.datasec(".maps", 0, [{ typeId: btf.var("m", struct), offset: 0, size: members.length * 8 }]);
  const data = new Uint8Array(members.length * 8 + 32);
  return buildElf(
    [
      { name: ".maps", data },
      { name: ".BTF", flags: 0, data: btf.build() },
    ],
    [{ name: "m", section: ".maps", size: data.length, type: STT_OBJECT }],
    slots.map((offset) => ({ section: ".maps", offset, type: R_BPF_64_ABS64, symbol: "m" })),
  );
}

interface Kit {
  /** __uint: a pointer to an array of that length. */
  readonly uint: (value: number) => number;
  /** A pointer to an integer of that many bytes. */
  readonly pointer: (size: number) => number;
}

function kitOf(btf: BtfBuilder): Kit {
  const int = btf.int("int", 4, { signed: true });
  return {
    uint: (value) => btf.ptr(btf.array(int, int, value)),
    pointer: (size) => btf.ptr(btf.int(`u${size * 8}`, size)),
  };
}

const structOf = (btf: BtfBuilder, members: readonly Member[]): number =>
  btf.struct(
    "",
    members.length * 8,
    members.map(([name, typeId], i) => ({ name, typeId, bitOffset: i * 64 })),
  );

const mapOf = (bytes: Uint8Array): MapSpec => parseObject(bytes).maps[0]!;

test("numbers may be enums, of 4 or 8 bytes", () => {
  const bytes = object((btf, { uint }) => [
    ["type", uint(1)],
    ["max_entries", btf.enum("", [{ name: "a", value: 12 }])],
    ["map_extra", btf.enum64("", [{ name: "b", value: 1n << 40n }])],
  ]);
  expect(mapOf(bytes)).toMatchObject({ type: 1, maxEntries: 12, mapExtra: 1n << 40n });
});

test("sizes that agree may be said twice", () => {
  const bytes = object((_, { uint, pointer }) => [
    ["type", uint(1)],
    ["key", pointer(8)],
    ["key_size", uint(8)],
    ["value_size", uint(2)],
    ["value", pointer(2)],
  ]);
  expect(mapOf(bytes)).toMatchObject({ keySize: 8, valueSize: 2 });
});

const faults: readonly (readonly [message: string, bytes: Uint8Array])[] = [
  ["map m: found no type", object((_, { uint }) => [["max_entries", uint(1)]])],
  [
    "map m, colour: found an unknown member",
    object((_, { uint }) => [
      ["type", uint(1)],
      ["colour", uint(1)],
    ]),
  ],
  [
    "map m, type: found a second one",
    object((_, { uint }) => [
      ["type", uint(1)],
      ["type", uint(1)],
    ]),
  ],
  [
    "map m, key: found 8 bytes, expected 4, as another member says",
    object((_, { uint, pointer }) => [
      ["type", uint(1)],
      ["key_size", uint(4)],
      ["key", pointer(8)],
    ]),
  ],
  ["map m, type: found int x, expected __uint", object((btf) => [["type", btf.int("x", 4)]])],
  ["map m, type: found a pointer to int u32", object((_, { pointer }) => [["type", pointer(4)]])],
  [
    "map m, key: found int x, expected a pointer",
    object((btf, { uint }) => [
      ["type", uint(1)],
      ["key", btf.int("x", 4)],
    ]),
  ],
  [
    "expected a type that has a size",
    object((btf, { uint }) => [
      ["type", uint(1)],
      ["value", btf.ptr(0)],
    ]),
  ],
  [
    "map m, pinning: found 2, expected 0 (none) or 1",
    object((_, { uint }) => [
      ["type", uint(1)],
      ["pinning", uint(2)],
    ]),
  ],
  [
    "map m, max_entries: found 1099511627776, expected a 32-bit number",
    object((btf) => [["max_entries", btf.enum64("", [{ name: "b", value: 1n << 40n }])]]),
  ],
  [
    "map m, values: found a member in the middle, expected the last one",
    object((btf, { uint, pointer }) => [
      ["type", uint(12)],
      ["values", btf.array(pointer(4), 1, 0)],
      ["key_size", uint(4)],
    ]),
  ],
  [
    "map m, values: found array, expected an array without length",
    object((btf, { uint, pointer }) => [
      ["type", uint(12)],
      ["values", btf.array(pointer(4), 1, 2)],
    ]),
  ],
  [
    "map m, values: found pointers to int u32 in a map of type 12",
    object((btf, { uint, pointer }) => [
      ["type", uint(12)],
      ["values", btf.array(pointer(4), 1, 0)],
    ]),
  ],
  [
    "map m, values: found pointers to struct in a map of type 1",
    object((btf, { uint }) => [
      ["type", uint(1)],
      ["values", btf.array(btf.ptr(structOf(btf, [["type", uint(2)]])), 1, 0)],
    ]),
  ],
  [
    "map m.inner, values: found values in an inner map",
    object((btf, { uint, pointer }) => [
      ["type", uint(12)],
      [
        "values",
        btf.array(
          btf.ptr(
            structOf(btf, [
              ["type", uint(12)],
              ["values", btf.array(pointer(4), 1, 0)],
            ]),
          ),
          1,
          0,
        ),
      ],
    ]),
  ],
  [
    "map m.inner, pinning: found pinning of an inner map",
    object((btf, { uint }) => [
      ["type", uint(12)],
      [
        "values",
        btf.array(
          btf.ptr(
            structOf(btf, [
              ["type", uint(2)],
              ["pinning", uint(1)],
            ]),
          ),
          1,
          0,
        ),
      ],
    ]),
  ],
  [".maps, byte 0: found an initialized member", object((_, { uint }) => [["type", uint(1)]], [0])],
];

test.each(faults)("%s", (message, bytes) => {
  expect(() => parseObject(bytes)).toThrow(InputError);
  expect(() => parseObject(bytes)).toThrow(message);
});

test("an initializer must be an element, and a map or a function", () => {
  const outer = (slot: number): Uint8Array =>
    object(
      (btf, { uint }) => [
        ["type", uint(12)],
        ["values", btf.array(btf.ptr(structOf(btf, [["type", uint(2)]])), 1, 0)],
      ],
      [slot],
    );
  expect(mapOf(outer(24)).slots).toEqual([{ index: 2, kind: "map", name: "m" }]);
  expect(() => parseObject(outer(12))).toThrow(".maps, byte 12: found an initialized member");
  expect(() => parseObject(outer(0))).toThrow(".maps, byte 0: found an initialized member");
});

test("a map that is no struct, and a section that BTF does not know", () => {
  const btf = new BtfBuilder();
  btf.datasec(".maps", 0, [{ typeId: btf.var("m", btf.int("int", 4)), offset: 0, size: 4 }]);
  const maps = { name: ".maps", data: new Uint8Array(8) };
  expect(() => parseObject(buildElf([maps, { name: ".BTF", flags: 0, data: btf.build() }]))).toThrow(
    "map m: found int int, expected a struct",
  );
  const empty = { name: ".BTF", flags: 0, data: new BtfBuilder().build() };
  expect(() => parseObject(buildElf([maps, empty]))).toThrow(".maps: found no such section in .BTF");
});
