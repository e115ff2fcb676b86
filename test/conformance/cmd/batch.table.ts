import type { Table } from "../step.ts";

/** The batch commands on a hash, whose cursor is a bucket's number. */
export const hashBatchTable: Table = {
  name: "batch commands, hash",
  attr: { map_type: "BPF_MAP_TYPE_HASH", key_size: 4, value_size: 4, max_entries: 8, map_flags: "BPF_F_ZERO_SEED" },
  cases: [
    {
      id: "batch.hash.lookup.all",
      steps: [
        ["fill", 1, 3, 0],
        [
          "call",
          "BPF_MAP_LOOKUP_BATCH",
          {
            map_fd: "$map",
            in_batch: 0,
            out_batch: { length: 4 },
            keys: { length: 32 },
            values: { length: 32 },
            count: 8,
          },
          "-ENOENT",
          { out: { count: 3, out_batch: "08000000", keys: "?", values: "?" } },
        ],
      ],
    },
    {
      id: "batch.hash.count_zero",
      steps: [
        [
          "call",
          "BPF_MAP_LOOKUP_BATCH",
          {
            map_fd: "$map",
            in_batch: 0,
            out_batch: { length: 4 },
            keys: { length: 4 },
            values: { length: 4 },
            count: 0,
          },
          0,
          { out: { count: 0 } },
        ],
      ],
    },
    {
      id: "batch.hash.update_delete",
      steps: [
        [
          "call",
          "BPF_MAP_UPDATE_BATCH",
          { map_fd: "$map", keys: { hex: "0100000002000000" }, values: { hex: "0a00000014000000" }, count: 2 },
          0,
          { out: { count: 2 } },
        ],
        ["lookup", 1, 10],
        ["lookup", 2, 20],
        [
          "call",
          "BPF_MAP_DELETE_BATCH",
          { map_fd: "$map", keys: { hex: "010000000300000002000000" }, count: 3 },
          "-ENOENT",
          { out: { count: 1 } },
        ],
        ["keys", [2]],
      ],
    },
    {
      id: "batch.hash.frozen",
      steps: [
        ["freeze", 0],
        [
          "call",
          "BPF_MAP_UPDATE_BATCH",
          { map_fd: "$map", keys: { hex: "01000000" }, values: { hex: "0a000000" }, count: 1 },
          "-EPERM",
        ],
        ["call", "BPF_MAP_DELETE_BATCH", { map_fd: "$map", keys: { hex: "01000000" }, count: 1 }, "-EPERM"],
      ],
    },
  ],
};

/** The batch commands on an array, whose cursor is a key. */
export const arrayBatchTable: Table = {
  name: "batch commands, array",
  attr: { map_type: "BPF_MAP_TYPE_ARRAY", key_size: 4, value_size: 4, max_entries: 3 },
  cases: [
    {
      id: "batch.array.lookup",
      steps: [
        ["fill", 0, 2, 0],
        [
          "call",
          "BPF_MAP_LOOKUP_BATCH",
          {
            map_fd: "$map",
            in_batch: 0,
            out_batch: { length: 4 },
            keys: { length: 8 },
            values: { length: 8 },
            count: 2,
          },
          0,
          { out: { count: 2, out_batch: "01000000", keys: "0000000001000000", values: "0000000001000000" } },
        ],
        [
          "call",
          "BPF_MAP_LOOKUP_BATCH",
          {
            map_fd: "$map",
            in_batch: { hex: "01000000" },
            out_batch: { length: 4 },
            keys: { length: 8 },
            values: { length: 8 },
            count: 2,
          },
          "-ENOENT",
          { out: { count: 1, out_batch: "02000000", keys: "02000000eeeeeeee", values: "02000000eeeeeeee" } },
        ],
      ],
    },
    {
      id: "batch.array.not_supported",
      steps: [
        ["call", "BPF_MAP_DELETE_BATCH", { map_fd: "$map", keys: 0, count: 0 }, "-ENOTSUPP"],
        ["call", "BPF_MAP_LOOKUP_AND_DELETE_BATCH", { map_fd: "$map", keys: 0, count: 0 }, "-ENOTSUPP"],
      ],
    },
  ],
};
