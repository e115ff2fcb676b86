import type { Step, Table } from "../step.ts";

/** A map of values with a bpf_spin_lock in their first four bytes. */
const typed: readonly Step[] = [
  ["btf", "b"],
  ["create", { btf_fd: "$b", btf_key_type_id: "type:u32", btf_value_type_id: "type:locked" }, 0, "locked"],
  ["use", "locked"],
];

/** BPF_F_LOCK: whole values under the bpf_spin_lock that is in them. */
export const lockTable: Table = {
  name: "BPF_F_LOCK",
  attr: { map_type: "BPF_MAP_TYPE_HASH", key_size: 4, value_size: 16, max_entries: 4, map_flags: "BPF_F_ZERO_SEED" },
  cases: [
    {
      id: "lock.hash.update",
      steps: [
        ...typed,
        ["update", 1, "ffffffff0100000002", "BPF_F_LOCK", 0],
        // What the caller writes where the lock is goes nowhere, and comes back as zero.
        ["lookup", 1, "000000000100000002"],
        ["update", 1, "ffffffff0300000004", "BPF_F_LOCK", 0],
        ["lookup", 1, "000000000300000004"],
        [
          "call",
          "BPF_MAP_LOOKUP_ELEM",
          { map_fd: "$locked", key: { hex: "01000000" }, value: { length: 16 }, flags: "BPF_F_LOCK" },
          0,
          { out: { value: "00000000030000000400000000000000" } },
        ],
        ["update", 1, "0000000005", 0, 0],
        ["lookup", 1, "0000000005"],
      ],
    },
    {
      id: "lock.hash.flags",
      steps: [
        ...typed,
        ["update", 1, 0, 6, "-ENOENT"],
        ["update", 1, 0, 5, 0],
        ["update", 1, 0, 5, "-EEXIST"],
        ["update", 1, 0, 6, 0],
        ["update", 1, 0, 7, "-EINVAL"],
        ["update", 1, 0, 12, "-EINVAL"],
        ["take", 1, 0],
      ],
    },
    {
      id: "lock.hash.order",
      steps: [
        ...typed,
        ["fill", 1, 4, 0],
        ["keys", [4, 2, 3, 1]],
        // In place: the key does not move.
        ["update", 1, 0, "BPF_F_LOCK", 0],
        ["keys", [4, 2, 3, 1]],
        // A plain update makes a new element.
        ["update", 1, 0, 0, 0],
        ["keys", [4, 2, 1, 3]],
      ],
    },
    // Surprise 37.
    { id: "lock.not_frozen", steps: [...typed, ["freeze", "-ENOTSUPP"], ["update", 1, 0, 0, 0]] },
    {
      id: "lock.array",
      attr: { map_type: "BPF_MAP_TYPE_ARRAY", map_flags: "BPF_F_MMAPABLE" },
      steps: [
        ...typed,
        ["update", 1, "ffffffff0100000002", "BPF_F_LOCK", 0],
        ["lookup", 1, "000000000100000002"],
        ["update", 1, 0, 5, "-EEXIST"],
        ["update", 4, 0, "BPF_F_LOCK", "-E2BIG"],
        ["mmap", 0, 64, "r", "-ENOTSUPP"],
      ],
    },
    {
      id: "lock.res_spin_lock",
      attr: { value_size: 32 },
      steps: [
        ["btf", "b"],
        ["create", { btf_fd: "$b", btf_key_type_id: "type:u32", btf_value_type_id: "type:resLocked" }, 0, "res"],
        ["use", "res"],
        ["update", 1, 0, "BPF_F_LOCK", "-EINVAL"],
        ["update", 1, "ff".repeat(32), 0, 0],
        ["lookup", 1, `00000000${"ff".repeat(28)}`],
      ],
    },
    {
      id: "lock.hash.batch",
      steps: [
        ...typed,
        [
          "call",
          "BPF_MAP_UPDATE_BATCH",
          {
            map_fd: "$locked",
            keys: { hex: "0100000002000000" },
            values: { hex: "ff".repeat(32) },
            count: 2,
            elem_flags: 4,
          },
          0,
          { out: { count: 2 } },
        ],
        ...([1, 2, 5, 6, 8, 0x1_0000_0004] as const).map(
          (elem_flags): Step => [
            "call",
            "BPF_MAP_UPDATE_BATCH",
            { map_fd: "$locked", keys: { hex: "01000000" }, values: { hex: "ee".repeat(16) }, count: 1, elem_flags },
            "-EINVAL",
          ],
        ),
        [
          "call",
          "BPF_MAP_LOOKUP_BATCH",
          {
            map_fd: "$locked",
            out_batch: { length: 4 },
            keys: { length: 8 },
            values: { length: 32 },
            count: 2,
            elem_flags: 4,
          },
          "-ENOENT",
          { out: { count: 2, out_batch: "04000000", keys: "?", values: `00000000${"ff".repeat(12)}`.repeat(2) } },
        ],
        [
          "call",
          "BPF_MAP_LOOKUP_BATCH",
          { map_fd: "$locked", out_batch: { length: 4 }, keys: { length: 8 }, values: { length: 32 }, count: 2 },
          "-ENOENT",
          { out: { count: 2, out_batch: "04000000", keys: "?", values: `00000000${"ff".repeat(12)}`.repeat(2) } },
        ],
        [
          "call",
          "BPF_MAP_DELETE_BATCH",
          { map_fd: "$locked", keys: { hex: "01000000" }, count: 1, elem_flags: 4 },
          0,
          { out: { count: 1 } },
        ],
        [
          "call",
          "BPF_MAP_LOOKUP_AND_DELETE_BATCH",
          {
            map_fd: "$locked",
            out_batch: { length: 4 },
            keys: { length: 4 },
            values: { length: 16 },
            count: 1,
            elem_flags: 4,
          },
          "-ENOENT",
          { out: { count: 1, out_batch: "04000000", keys: "02000000", values: `00000000${"ff".repeat(12)}` } },
        ],
        ["keys", []],
      ],
    },
    {
      id: "lock.array.batch",
      attr: { map_type: "BPF_MAP_TYPE_ARRAY", map_flags: 0 },
      steps: [
        ...typed,
        [
          "call",
          "BPF_MAP_UPDATE_BATCH",
          {
            map_fd: "$locked",
            keys: { hex: "0100000000000000" },
            values: { hex: "ff".repeat(32) },
            count: 2,
            elem_flags: 4,
          },
          0,
          { out: { count: 2 } },
        ],
        [
          "call",
          "BPF_MAP_LOOKUP_BATCH",
          {
            map_fd: "$locked",
            out_batch: { length: 4 },
            keys: { length: 8 },
            values: { length: 32 },
            count: 2,
            elem_flags: 4,
          },
          0,
          {
            out: {
              count: 2,
              out_batch: "01000000",
              keys: "0000000001000000",
              values: `00000000${"ff".repeat(12)}`.repeat(2),
            },
          },
        ],
        [
          "call",
          "BPF_MAP_LOOKUP_BATCH",
          {
            map_fd: "$locked",
            out_batch: { length: 4 },
            keys: { length: 8 },
            values: { length: 32 },
            count: 2,
            elem_flags: 5,
          },
          "-EINVAL",
        ],
      ],
    },
    {
      id: "lock.take",
      steps: [
        ...typed,
        ["fill", 1, 2, 0],
        ...([0, 4] as const).map(
          (flags): Step => [
            "call",
            "BPF_MAP_LOOKUP_AND_DELETE_ELEM",
            { map_fd: "$locked", key: { hex: `0${flags === 0 ? 1 : 2}000000` }, value: { length: 16 }, flags },
            0,
            { out: { value: "00".repeat(16) } },
          ],
        ),
        ...([1, 5, 8, 0x1_0000_0000] as const).map(
          (flags): Step => [
            "call",
            "BPF_MAP_LOOKUP_AND_DELETE_ELEM",
            { map_fd: "$locked", key: { hex: "01000000" }, value: { length: 16 }, flags },
            "-EINVAL",
          ],
        ),
      ],
    },
    // What the fd may do comes after whether the map can be frozen.
    {
      id: "lock.not_frozen.rdonly",
      attr: { map_flags: "BPF_F_RDONLY" },
      steps: [["freeze", "-EPERM"], ...typed, ["freeze", "-ENOTSUPP"]],
    },
  ],
};
