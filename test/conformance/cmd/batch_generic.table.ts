/** Batch commands of the types whose cursor is a key, and of those that have none. */
import type { Case, Step, Table } from "../step.ts";
import { type BatchShape, each, hexOf, notSupported, percpu, plain, read, write } from "./batch_steps.ts";

const index = (n: number): string => hexOf([n], 4);

/** For tables whose attributes are { key_size: 4, value_size: 8, max_entries: 5 }. */
function arrayCases(prefix: string, shape: BatchShape, cpus?: number): Case[] {
  const fill: Step = ["fill", 0, 4, 0];
  const cases: Case[] = [
    {
      id: `${prefix}.batch.lookup`,
      steps: [
        fill,
        read(shape, "LOOKUP", 0, { room: 3, found: [0, 1, 2], cursor: index(2) }),
        read(shape, "LOOKUP", "-ENOENT", { room: 3, from: index(2), found: [3, 4], cursor: index(4) }),
        read(shape, "LOOKUP", 0, { room: 2, from: index(2), found: [3, 4], cursor: index(4) }),
        read(shape, "LOOKUP", "-ENOENT", { room: 3, from: index(4) }),
        read(shape, "LOOKUP", 0, { room: 5, found: [0, 1, 2, 3, 4], cursor: index(4) }),
        read(shape, "LOOKUP", "-ENOENT", { room: 6, found: [0, 1, 2, 3, 4], cursor: index(4) }),
      ],
    },
    {
      id: `${prefix}.batch.lookup.beyond_restarts`,
      steps: [
        fill,
        read(shape, "LOOKUP", 0, { room: 2, from: index(5), found: [0, 1], cursor: index(1) }),
        read(shape, "LOOKUP", 0, { room: 2, from: index(0xffffffff), found: [0, 1], cursor: index(1) }),
      ],
    },
    {
      id: `${prefix}.batch.lookup.flags`,
      steps: [
        fill,
        read(shape, "LOOKUP", 0, { room: 1, found: [0], cursor: index(0), fields: { flags: 0x8000000000000001n } }),
        ...[1, 2, 4, 8, 0x100000000].map((elem_flags) =>
          read(shape, "LOOKUP", "-EINVAL", { room: 3, count: 3, fields: { elem_flags } }),
        ),
        read(shape, "LOOKUP", "-EINVAL", { room: 0, fields: { elem_flags: 1 } }),
        read(shape, "LOOKUP", 0, {
          room: 0,
          fields: { in_batch: "BAD", out_batch: "BAD", keys: "BAD", values: "BAD" },
        }),
      ],
    },
    {
      id: `${prefix}.batch.lookup.bad_pointers`,
      steps: [
        fill,
        read(shape, "LOOKUP", "-EFAULT", { room: 3, fields: { in_batch: "BAD" } }),
        read(shape, "LOOKUP", "-EFAULT", { room: 3, fields: { keys: "BAD" } }),
        read(shape, "LOOKUP", "-EFAULT", { room: 3, fields: { keys: 0x100000008n } }),
        read(shape, "LOOKUP", "-EFAULT", {
          room: 3,
          fields: { values: "BAD" },
          out: { keys: index(0) },
        }),
        // Unlike the hash types: count tells how many there are.
        read(shape, "LOOKUP", "-EFAULT", { room: 3, found: [0, 1, 2], fields: { out_batch: "BAD" } }),
        read(shape, "LOOKUP", "-EFAULT", { room: 9, found: [0, 1, 2, 3, 4], fields: { out_batch: 0 } }),
        read(shape, "LOOKUP", "-ENOENT", { room: 3, from: index(4), fields: { out_batch: 0 } }),
      ],
    },
    {
      id: `${prefix}.batch.update`,
      steps: [
        write(shape, "UPDATE", [1, 4], 0, 2),
        ["lookup", 4, 4],
        write(shape, "UPDATE", [0, 9, 2], "-E2BIG", 1),
        ["lookup", 2, 0],
        write(shape, "UPDATE", [2], 0, 1, { flags: 1, in_batch: "BAD", out_batch: "BAD" }),
        ["lookup", 2, 2],
        ...[1, 2, 4, 8].map((elem_flags) => write(shape, "UPDATE", [3], "-EINVAL", 1, { elem_flags })),
        write(shape, "UPDATE", [3], "-EFAULT", 0, { keys: "BAD" }),
        write(shape, "UPDATE", [3], "-EFAULT", 0, { values: "BAD" }),
        ["lookup", 3, 0],
      ],
    },
    {
      id: `${prefix}.batch.none`,
      steps: [
        ...each([0, "-ENOTSUPP", 0, "-ENOTSUPP"]),
        ...each(["-EINVAL", "-ENOTSUPP", "-EINVAL", "-ENOTSUPP"], { elem_flags: 1 }),
        ["freeze", 0],
        ...each([0, "-EPERM", "-EPERM", "-EPERM"]),
      ],
    },
    {
      id: `${prefix}.batch.rdonly`,
      attr: { map_flags: "BPF_F_RDONLY" },
      steps: each([0, "-EPERM", "-EPERM", "-EPERM"]),
    },
    {
      id: `${prefix}.batch.wronly`,
      attr: { map_flags: "BPF_F_WRONLY" },
      steps: each(["-EPERM", "-EPERM", 0, "-ENOTSUPP"]),
    },
  ];
  return cpus === undefined ? cases : cases.map((c) => ({ ...c, cpus }));
}

/** By number, as keys here go. The order of iteration is 3, 2, 1, 0. */
const lpmKeys = ["0000000000000000", "080000000a000000", "100000000a010203", "180000000a010900"];
const lpm: BatchShape = { ...plain, keyBytes: 8, key: (n) => lpmKeys[n]! };
const lpmFill: Step = write(lpm, "UPDATE", [0, 1, 2, 3], 0, 4);

const lpmCases: readonly Case[] = [
  {
    id: "lpm_trie.batch.lookup",
    steps: [
      read(lpm, "LOOKUP", "-ENOENT", { room: 3 }),
      lpmFill,
      read(lpm, "LOOKUP", 0, { room: 3, found: [3, 2, 1], cursor: lpm.key(1) }),
      read(lpm, "LOOKUP", "-ENOENT", { room: 3, from: lpm.key(1), found: [0], cursor: lpm.key(0) }),
      read(lpm, "LOOKUP", 0, { room: 4, found: [3, 2, 1, 0], cursor: lpm.key(0) }),
      read(lpm, "LOOKUP", "-ENOENT", { room: 5, found: [3, 2, 1, 0], cursor: lpm.key(0) }),
      read(lpm, "LOOKUP", "-ENOENT", { room: 1, from: lpm.key(0) }),
    ],
  },
  {
    id: "lpm_trie.batch.lookup.cursors",
    steps: [
      lpmFill,
      // A key that is not there, one that is too long: the first again. Host bits do not matter.
      read(lpm, "LOOKUP", 0, { room: 1, from: "090000000a000000", found: [3], cursor: lpm.key(3) }),
      read(lpm, "LOOKUP", 0, { room: 1, from: "2100000001010101", found: [3], cursor: lpm.key(3) }),
      read(lpm, "LOOKUP", 0, { room: 1, from: "100000000a010707", found: [1], cursor: lpm.key(1) }),
      ["delete", "10.1.2.3/16", 0],
      read(lpm, "LOOKUP", 0, { room: 1, from: lpm.key(2), found: [3], cursor: lpm.key(3) }),
    ],
  },
  {
    id: "lpm_trie.batch.lookup.bad_pointers",
    steps: [
      lpmFill,
      read(lpm, "LOOKUP", "-EFAULT", { room: 3, fields: { in_batch: "BAD" } }),
      read(lpm, "LOOKUP", "-EFAULT", { room: 3, fields: { keys: "BAD" } }),
      read(lpm, "LOOKUP", "-EFAULT", { room: 3, fields: { values: "BAD" }, out: { keys: lpm.key(3) } }),
      read(lpm, "LOOKUP", "-EFAULT", { room: 2, found: [3, 2], fields: { out_batch: "BAD" } }),
      read(lpm, "LOOKUP", 0, { room: 1, found: [3], cursor: lpm.key(3), fields: { flags: 1 } }),
    ],
  },
  {
    id: "lpm_trie.batch.change",
    attr: { max_entries: 3 },
    steps: [
      write(lpm, "UPDATE", [0, 1, 2, 3], "-ENOSPC", 3),
      write(lpm, "DELETE", [1, 3, 0], "-ENOENT", 1),
      [
        "call",
        "BPF_MAP_DELETE_BATCH",
        { map_fd: "$map", keys: { hex: "2100000001010101" }, count: 1 },
        "-EINVAL",
        { out: { count: 0 } },
      ],
      write(lpm, "DELETE", [0], "-EINVAL", 1, { elem_flags: 1 }),
      read(lpm, "LOOKUP", "-ENOENT", { room: 3, found: [2, 0], cursor: lpm.key(0) }),
      ...each([0, "-ENOTSUPP", 0, 0]),
      ["freeze", 0],
      ...each([0, "-EPERM", "-EPERM", "-EPERM"]),
    ],
  },
];

const noBatches = {
  queue: { map_type: "BPF_MAP_TYPE_QUEUE", value_size: 8, max_entries: 8 },
  stack: { map_type: "BPF_MAP_TYPE_STACK", value_size: 8, max_entries: 8 },
  bloom_filter: { map_type: "BPF_MAP_TYPE_BLOOM_FILTER", value_size: 8, max_entries: 8 },
  ringbuf: { map_type: "BPF_MAP_TYPE_RINGBUF", max_entries: 4096 },
} as const;

export const batchGenericTables: readonly Table[] = [
  {
    name: "batch commands, ARRAY",
    attr: { map_type: "BPF_MAP_TYPE_ARRAY", key_size: 4, value_size: 8, max_entries: 5 },
    cases: arrayCases("array", plain),
  },
  {
    name: "batch commands, PERCPU_ARRAY",
    attr: { map_type: "BPF_MAP_TYPE_PERCPU_ARRAY", key_size: 4, value_size: 8, max_entries: 5 },
    cases: arrayCases("percpu_array", percpu, 2),
  },
  {
    name: "batch commands, LPM_TRIE",
    attr: {
      map_type: "BPF_MAP_TYPE_LPM_TRIE",
      key_size: 8,
      value_size: 8,
      max_entries: 8,
      map_flags: "BPF_F_NO_PREALLOC",
    },
    cases: lpmCases,
  },
  ...Object.entries(noBatches).map(
    ([name, attr]): Table => ({
      name: `batch commands, ${name}`,
      attr,
      cases: [
        {
          id: `${name}.batch.none`,
          steps: [
            ...each(notSupported),
            ...each(notSupported, { count: 3, elem_flags: 8, flags: 8, keys: "BAD", values: "BAD", in_batch: "BAD" }),
            ["freeze", 0],
            ...each(["-ENOTSUPP", "-EPERM", "-EPERM", "-EPERM"]),
          ],
        },
      ],
    }),
  ),
];
