/**
 * Batch commands of the hash types. With BPF_F_ZERO_SEED the keys 1 to 8 lie in 8 buckets as { 1: [4], 2: [7, 2],
 * 3: [1], 4: [8], 6: [6, 5], 7: [3] }, and 1 to 4 in 4 buckets as { 1: [4], 2: [2], 3: [3, 1] }.
 */
import type { Case, Step } from "../step.ts";
import { type BatchShape, each, hexOf, read, write } from "./batch_steps.ts";

const cursor = (n: number): string => hexOf([n], 4);
const END = cursor(8);
const ALL = [4, 7, 2, 1, 8, 6, 5, 3];

/** For tables whose attributes are { key_size: 4, value_size: 8, max_entries: 8, map_flags: BPF_F_ZERO_SEED }. */
export function batchHashCases(prefix: string, shape: BatchShape, cpus?: number): Case[] {
  const fill: Step = ["fill", 1, 8, 0];
  const both = (what: string, steps: (cmd: "LOOKUP" | "LOOKUP_AND_DELETE") => readonly Step[]): Case[] => [
    { id: `${prefix}.batch.lookup.${what}`, steps: [fill, ...steps("LOOKUP"), ["keys", ALL]] },
    { id: `${prefix}.batch.take.${what}`, steps: [fill, ...steps("LOOKUP_AND_DELETE")] },
  ];
  const cases: Case[] = [
    ...both("whole", (cmd) => [read(shape, cmd, "-ENOENT", { room: 100, found: ALL, cursor: END })]),
    ...both("exact", (cmd) => [read(shape, cmd, "-ENOENT", { room: 8, found: ALL, cursor: END })]),
    ...both("whole_buckets", (cmd) => [
      // Room for four: the bucket of 1 fits, that of 8 as well after two less.
      read(shape, cmd, 0, { room: 2, found: [4], cursor: cursor(2) }),
      read(shape, cmd, 0, { room: 2, from: cursor(2), found: [7, 2], cursor: cursor(3) }),
      read(shape, cmd, 0, { room: 3, from: cursor(3), found: [1, 8], cursor: cursor(6) }),
      read(shape, cmd, 0, { room: 2, from: cursor(5), found: [6, 5], cursor: cursor(7) }),
      read(shape, cmd, "-ENOENT", { room: 2, from: cursor(7), found: [3], cursor: END }),
    ]),
    ...both("too_large_bucket", (cmd) => [
      read(shape, cmd, "-ENOSPC", { room: 1, from: cursor(2), cursor: cursor(2) }),
      read(shape, cmd, "-ENOSPC", { room: 1, from: cursor(5), cursor: cursor(6) }),
      read(shape, cmd, 0, { room: 1, cursor: cursor(2), found: [4] }),
    ]),
    ...both("cursor_beyond", (cmd) => [
      read(shape, cmd, "-ENOENT", { room: 2, from: cursor(8) }),
      read(shape, cmd, "-ENOENT", { room: 2, from: cursor(0xffffffff) }),
      // Found out before a pointer is looked at.
      read(shape, cmd, "-ENOENT", {
        room: 2,
        from: cursor(8),
        fields: { out_batch: "BAD", keys: "BAD", values: "BAD" },
      }),
    ]),
    ...both("count_zero", (cmd) => [
      read(shape, cmd, 0, { room: 0 }),
      read(shape, cmd, 0, { room: 0, fields: { in_batch: "BAD", out_batch: "BAD", keys: "BAD", values: "BAD" } }),
    ]),
    ...both("flags", (cmd) => [
      ...[1, 2, 4, 8, 0x100000000, 0x8000000000000000n].map((elem_flags) =>
        read(shape, cmd, "-EINVAL", { room: 4, count: 4, fields: { elem_flags } }),
      ),
      ...[1, 4, 0x100000000].map((flags) => read(shape, cmd, "-EINVAL", { room: 4, count: 4, fields: { flags } })),
      read(shape, cmd, "-EINVAL", { room: 0, fields: { flags: 1 } }),
      read(shape, cmd, "-EINVAL", { room: 0, fields: { elem_flags: 1 } }),
    ]),
    ...both("bad_cursors", (cmd) => [
      read(shape, cmd, "-EFAULT", { room: 4, fields: { in_batch: "BAD" } }),
      read(shape, cmd, "-EFAULT", { room: 4, fields: { in_batch: 0x100000008n } }),
    ]),
    {
      id: `${prefix}.batch.lookup.bad_pointers`,
      steps: [
        fill,
        read(shape, "LOOKUP", "-EFAULT", { room: 8, fields: { keys: "BAD" } }),
        read(shape, "LOOKUP", "-EFAULT", { room: 8, fields: { keys: 0 } }),
        read(shape, "LOOKUP", "-EFAULT", { room: 8, fields: { keys: 0xffffffffffff0000n } }),
        // The first bucket's keys are there by then.
        read(shape, "LOOKUP", "-EFAULT", {
          room: 8,
          fields: { values: "BAD" },
          out: { keys: shape.key(4) },
        }),
        read(shape, "LOOKUP", "-EFAULT", { room: 8, count: 0, found: ALL, fields: { out_batch: "BAD" } }),
        read(shape, "LOOKUP", "-EFAULT", { room: 1, count: 0, found: [4], fields: { out_batch: 0 } }),
        read(shape, "LOOKUP", "-EFAULT", { room: 1, from: cursor(2), fields: { out_batch: 0 } }),
        ["keys", ALL],
      ],
    },
    // Surprise 8, a whole bucket at a time.
    {
      id: `${prefix}.batch.take.bad_pointers`,
      steps: [
        fill,
        read(shape, "LOOKUP_AND_DELETE", "-EFAULT", { room: 8, fields: { keys: "BAD" } }),
        ["keys", ALL.slice(1)],
        read(shape, "LOOKUP_AND_DELETE", "-EFAULT", {
          room: 8,
          fields: { values: "BAD" },
          out: { keys: shape.key(7) + shape.key(2) },
        }),
        ["keys", ALL.slice(3)],
        read(shape, "LOOKUP_AND_DELETE", "-EFAULT", {
          room: 8,
          count: 0,
          found: ALL.slice(3),
          fields: { out_batch: "BAD" },
        }),
        ["keys", []],
      ],
    },
    {
      id: `${prefix}.batch.lookup.empty`,
      steps: [
        read(shape, "LOOKUP", "-ENOENT", { room: 4, cursor: END }),
        read(shape, "LOOKUP_AND_DELETE", "-ENOENT", { room: 4, cursor: END }),
        read(shape, "LOOKUP", "-ENOENT", { room: 4, cursor: END, fields: { keys: "BAD", values: "BAD" } }),
        read(shape, "LOOKUP", "-EFAULT", { room: 4, fields: { out_batch: "BAD" } }),
      ],
    },
    {
      id: `${prefix}.batch.lookup.deleted_between`,
      steps: [
        fill,
        read(shape, "LOOKUP", 0, { room: 3, found: [4, 7, 2], cursor: cursor(3) }),
        ["delete", 1, 0],
        ["delete", 4, 0],
        ["delete", 6, 0],
        read(shape, "LOOKUP", "-ENOENT", { room: 8, from: cursor(3), found: [8, 5, 3], cursor: END }),
      ],
    },
    {
      id: `${prefix}.batch.take.rest`,
      steps: [
        fill,
        read(shape, "LOOKUP_AND_DELETE", 0, { room: 4, found: [4, 7, 2, 1], cursor: cursor(4) }),
        ["keys", [8, 6, 5, 3]],
        ["lookup", 4, "-ENOENT"],
        ["fill", 1, 1, 0],
        ["keys", [1, 8, 6, 5, 3]],
        read(shape, "LOOKUP_AND_DELETE", "-ENOENT", { room: 9, found: [1, 8, 6, 5, 3], cursor: END }),
        fill,
        ["keys", ALL],
      ],
    },
    {
      id: `${prefix}.batch.update`,
      steps: [
        write(shape, "UPDATE", [4, 3, 4, 1], 0, 4),
        ["lookup", 4, 4],
        ["lookup", 1, 1],
        ["keys", [4, 1, 3]],
        write(shape, "UPDATE", [], 0, 0, { keys: "BAD", values: "BAD" }),
      ],
    },
    {
      id: `${prefix}.batch.update.flags`,
      steps: [
        ...[1, 2, 4, 8, 0x100000000].map((elem_flags) => write(shape, "UPDATE", [4], "-EINVAL", 1, { elem_flags })),
        ["keys", []],
        write(shape, "UPDATE", [4], 0, 1, { flags: 77 }),
        write(shape, "UPDATE", [], "-EINVAL", 0, { elem_flags: 1 }),
        ["keys", [4]],
      ],
    },
    {
      id: `${prefix}.batch.update.bad_pointers`,
      steps: [
        write(shape, "UPDATE", [4, 3], "-EFAULT", 0, { keys: "BAD" }),
        write(shape, "UPDATE", [4, 3], "-EFAULT", 0, { values: 0 }),
        write(shape, "UPDATE", [4, 3], 0, 2, { in_batch: "BAD", out_batch: "BAD" }),
        ["keys", [4, 3]],
      ],
    },
    {
      id: `${prefix}.batch.delete`,
      steps: [
        fill,
        write(shape, "DELETE", [3, 8], 0, 2),
        write(shape, "DELETE", [1, 99, 2], "-ENOENT", 1),
        ["keys", [4, 7, 2, 6, 5]],
        write(shape, "DELETE", [4, 4], "-ENOENT", 1),
        write(shape, "DELETE", [], 0, 0),
        write(shape, "DELETE", [7], "-EFAULT", 0, { keys: "BAD" }),
        write(shape, "DELETE", [7], 0, 1, { in_batch: "BAD", out_batch: "BAD", values: "BAD", flags: 1 }),
        ...[1, 2, 4, 8].map((elem_flags) => write(shape, "DELETE", [2], "-EINVAL", 1, { elem_flags })),
        ["keys", [2, 6, 5]],
      ],
    },
    {
      id: `${prefix}.batch.fd`,
      steps: [
        ["btf", "b"],
        ...each(["-EBADF", "-EBADF", "-EBADF", "-EBADF"], { map_fd: 9999, elem_flags: 1 }),
        ...each(["-EINVAL", "-EINVAL", "-EINVAL", "-EINVAL"], { map_fd: "$b" }),
        ["raw", "BPF_MAP_LOOKUP_BATCH", { map_fd: 9999, "@56": 1 }, "-EINVAL"],
        ["raw", "BPF_MAP_DELETE_BATCH", { map_fd: 9999, "@56": 1 }, "-EINVAL"],
        ...each([0, 0, 0, 0]),
      ],
    },
    {
      id: `${prefix}.batch.frozen`,
      steps: [
        fill,
        ["freeze", 0],
        ...each([0, "-EPERM", "-EPERM", "-EPERM"]),
        ...each(["-EINVAL", "-EPERM", "-EPERM", "-EPERM"], { elem_flags: 8 }),
        ["keys", ALL],
      ],
    },
    {
      id: `${prefix}.batch.rdonly`,
      attr: { map_flags: "BPF_F_RDONLY|BPF_F_ZERO_SEED" },
      steps: each([0, "-EPERM", "-EPERM", "-EPERM"]),
    },
    {
      id: `${prefix}.batch.wronly`,
      attr: { map_flags: "BPF_F_WRONLY|BPF_F_ZERO_SEED" },
      steps: each(["-EPERM", "-EPERM", 0, 0]),
    },
    {
      id: `${prefix}.batch.short_attr`,
      steps: [
        fill,
        // flags and elem_flags read as zero; the fd is the last field that is given.
        [
          "call",
          "BPF_MAP_DELETE_BATCH",
          { map_fd: "$map", keys: { hex: shape.key(4) }, count: 1 },
          0,
          { size: 40, out: { count: 1 } },
        ],
        ["keys", ALL.slice(1)],
      ],
    },
    {
      id: `${prefix}.batch.short_buffers`,
      steps: [
        fill,
        ...(["LOOKUP", "LOOKUP_AND_DELETE"] as const).flatMap((cmd): Step[] =>
          [
            { keys: { length: 15 } },
            { values: { length: 4 * shape.valueBytes - 1 } },
            { out_batch: { length: 3 } },
            { in_batch: { hex: "000000" } },
          ].map(
            (short): Step => [
              "object",
              `BPF_MAP_${cmd}_BATCH`,
              {
                map_fd: "$map",
                out_batch: { length: 4 },
                keys: { length: 16 },
                values: { length: 4 * shape.valueBytes },
                count: 4,
                ...short,
              },
              "-EFAULT",
            ],
          ),
        ),
        ["object", "BPF_MAP_DELETE_BATCH", { map_fd: "$map", keys: { length: 7 }, count: 2 }, "-EFAULT"],
        ["keys", ALL],
      ],
    },
  ];
  return cpus === undefined ? cases : cases.map((c) => ({ ...c, cpus }));
}

/** What a full map says to the keys that come after. Not for types that make room. */
export function batchFullCases(prefix: string, shape: BatchShape, cpus?: number): Case[] {
  return [
    {
      id: `${prefix}.batch.update.full`,
      attr: { max_entries: 3 },
      ...(cpus === undefined ? {} : { cpus }),
      steps: [
        write(shape, "UPDATE", [1, 2, 3, 4, 5], "-E2BIG", 3),
        ["lookup", 3, 3],
        ["lookup", 4, "-ENOENT"],
        write(shape, "UPDATE", [1, 2, 9, 3], "-E2BIG", 2),
      ],
    },
  ];
}
