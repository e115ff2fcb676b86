/** Cases that hold for every hash type. Answers are equal for HASH, PERCPU_HASH and LRU_HASH. */
import type { Case } from "../step.ts";

/** For a table whose attributes are { key_size: 4, value_size: 8, max_entries: 8, map_flags: BPF_F_ZERO_SEED }. */
export function hashCases(prefix: string): Case[] {
  const id = (rest: string): string => `${prefix}.${rest}`;
  return [
    {
      id: id("create.key_size"),
      attr: { value_size: 1 },
      steps: [
        [
          "create each",
          "key_size",
          [
            [0, "-EINVAL"],
            [1, 0],
            [3, 0],
            [13, 0],
            [260, 0],
            [513, 0],
            [65536, 0],
            [0xffffffff, "-E2BIG"],
          ],
        ],
      ],
    },
    {
      id: id("create.value_size"),
      steps: [
        [
          "create each",
          "value_size",
          [
            [0, "-EINVAL"],
            [1, 0],
            [7, 0],
            [4097, 0],
            [32768, 0],
            [0xffffffff, "-E2BIG"],
          ],
        ],
      ],
    },
    {
      id: id("create.max_entries"),
      steps: [
        [
          "create each",
          "max_entries",
          [
            [0, "-EINVAL"],
            [1, 0],
            [3, 0],
            [65537, 0],
            [2 ** 27 + 1, "-E2BIG"],
            [2 ** 28, "-E2BIG"],
            [2 ** 31, "-E2BIG"],
            [0x80000001, "-E2BIG"],
            [0xffffffff, "-E2BIG"],
          ],
        ],
      ],
    },
    {
      id: id("create.map_extra"),
      steps: [
        [
          "create each",
          "map_extra",
          [
            [0, 0],
            [1, "-EINVAL"],
            [0x100000000, "-EINVAL"],
          ],
        ],
      ],
    },
    {
      id: id("create.access"),
      steps: [
        ["create", { map_flags: "BPF_F_RDONLY|BPF_F_WRONLY" }, "-EINVAL"],
        ["create", { map_flags: "BPF_F_RDONLY_PROG|BPF_F_WRONLY_PROG" }, "-EINVAL"],
        ["create", { map_flags: "BPF_F_RDONLY|BPF_F_WRONLY_PROG" }, 0],
      ],
    },
    {
      id: id("create.inner_map_fd.ignored"),
      steps: [["create", { inner_map_fd: 12345, numa_node: 77, map_token_fd: 5, btf_fd: 99 }, 0]],
    },
    {
      id: id("create.mmap"),
      steps: [
        ["mmap", 0, 4096, "r", "-ENOTSUPP"],
        ["mmap", 0, 4096, "rx", "-EPERM"],
        ["mmap", 0, 0, "r", "-EINVAL"],
        ["poll", true],
      ],
    },
    {
      id: id("lookup.absent"),
      steps: [
        ["lookup", 1, "-ENOENT"],
        ["update", 1, 10, "BPF_ANY", 0],
        ["lookup", 2, "-ENOENT"],
        ["lookup", 1, 10],
      ],
    },
    {
      id: id("lookup.flags"),
      steps: [
        ["update", 1, 10, 0, 0],
        [
          "call",
          "BPF_MAP_LOOKUP_ELEM",
          { map_fd: "$map", key: { hex: "01000000" }, value: { length: 64 }, flags: "BPF_NOEXIST" },
          "-EINVAL",
        ],
        [
          "call",
          "BPF_MAP_LOOKUP_ELEM",
          { map_fd: "$map", key: { hex: "01000000" }, value: { length: 64 }, flags: "BPF_F_LOCK" },
          "-EINVAL",
        ],
        [
          "call",
          "BPF_MAP_LOOKUP_ELEM",
          { map_fd: "$map", key: { hex: "01000000" }, value: { length: 64 }, flags: 8 },
          "-EINVAL",
        ],
        [
          "call",
          "BPF_MAP_LOOKUP_ELEM",
          { map_fd: "$map", key: { hex: "01000000" }, value: { length: 64 }, flags: 0x100000000 },
          "-EINVAL",
        ],
      ],
    },
    {
      id: id("update.flags"),
      steps: [
        ["update", 1, 10, "BPF_EXIST", "-ENOENT"],
        ["update", 1, 10, "BPF_NOEXIST", 0],
        ["update", 1, 11, "BPF_NOEXIST", "-EEXIST"],
        ["lookup", 1, 10],
        ["update", 1, 12, "BPF_EXIST", 0],
        ["lookup", 1, 12],
        ["update", 1, 13, "BPF_ANY", 0],
        ["lookup", 1, 13],
      ],
    },
    {
      id: id("update.flags.unknown"),
      steps: [
        ["update", 1, 10, 3, "-EINVAL"],
        ["update", 1, 10, "BPF_F_LOCK", "-EINVAL"],
        ["update", 1, 10, 5, "-EINVAL"],
        ["update", 1, 10, 6, "-EINVAL"],
        ["update", 1, 10, 7, "-EINVAL"],
        ["update", 1, 10, 8, "-EINVAL"],
        ["update", 1, 10, 16, "-EINVAL"],
        ["update", 1, 10, 0x100000000, "-EINVAL"],
        ["update", 1, 10, 0x8000000000000000n, "-EINVAL"],
        ["update", 1, 10, 0x100000001, "-EINVAL"],
        ["keys", []],
      ],
    },
    {
      id: id("delete"),
      steps: [
        ["delete", 1, "-ENOENT"],
        ["update", 1, 10, 0, 0],
        ["delete", 2, "-ENOENT"],
        ["delete", 1, 0],
        ["delete", 1, "-ENOENT"],
        ["lookup", 1, "-ENOENT"],
      ],
    },
    {
      id: id("take"),
      steps: [
        ["take", 1, "-ENOENT"],
        ["update", 1, 10, 0, 0],
        ["update", 2, 20, 0, 0],
        ["take", 1, 10],
        ["take", 1, "-ENOENT"],
        ["lookup", 2, 20],
      ],
    },
    {
      id: id("take.flags"),
      steps: [
        ["update", 1, 10, 0, 0],
        [
          "call",
          "BPF_MAP_LOOKUP_AND_DELETE_ELEM",
          { map_fd: "$map", key: { hex: "01000000" }, value: { length: 64 }, flags: 1 },
          "-EINVAL",
        ],
        [
          "call",
          "BPF_MAP_LOOKUP_AND_DELETE_ELEM",
          { map_fd: "$map", key: { hex: "01000000" }, value: { length: 64 }, flags: "BPF_F_LOCK" },
          "-EINVAL",
        ],
        ["lookup", 1, 10],
      ],
    },
    // Surprise 8.
    {
      id: id("take.bad_value"),
      steps: [
        ["update", 1, 10, 0, 0],
        [
          "call",
          "BPF_MAP_LOOKUP_AND_DELETE_ELEM",
          { map_fd: "$map", key: { hex: "01000000" }, value: "BAD" },
          "-EFAULT",
        ],
        ["lookup", 1, "-ENOENT"],
        [
          "call",
          "BPF_MAP_LOOKUP_AND_DELETE_ELEM",
          { map_fd: "$map", key: { hex: "01000000" }, value: "BAD" },
          "-ENOENT",
        ],
        ["update", 1, 10, 0, 0],
        ["call", "BPF_MAP_LOOKUP_AND_DELETE_ELEM", { map_fd: "$map", key: "BAD", value: { length: 64 } }, "-EFAULT"],
        ["lookup", 1, 10],
      ],
    },
    {
      id: id("next.empty"),
      steps: [
        ["next", null, "-ENOENT"],
        ["next", 1, "-ENOENT"],
        ["keys", []],
      ],
    },
    // Surprise 2.
    {
      id: id("next.absent_restarts"),
      steps: [
        ["update", 1, 10, 0, 0],
        ["next", null, 1],
        ["next", 2, 1],
        ["next", 1, "-ENOENT"],
        ["delete", 1, 0],
        ["next", 1, "-ENOENT"],
      ],
    },
    {
      id: id("next.bad_pointers"),
      steps: [
        ["call", "BPF_MAP_GET_NEXT_KEY", { map_fd: "$map", key: 0, next_key: 0 }, "-ENOENT"],
        ["call", "BPF_MAP_GET_NEXT_KEY", { map_fd: "$map", key: "BAD", next_key: { length: 4 } }, "-EFAULT"],
        ["update", 1, 10, 0, 0],
        ["call", "BPF_MAP_GET_NEXT_KEY", { map_fd: "$map", key: 0, next_key: 0 }, "-EFAULT"],
        ["call", "BPF_MAP_GET_NEXT_KEY", { map_fd: "$map", key: 0, next_key: "BAD" }, "-EFAULT"],
        ["call", "BPF_MAP_GET_NEXT_KEY", { map_fd: "$map", key: { hex: "01000000" }, next_key: "BAD" }, "-ENOENT"],
      ],
    },
    {
      id: id("bad_pointers"),
      steps: [
        ["update", 1, 10, 0, 0],
        ["call", "BPF_MAP_LOOKUP_ELEM", { map_fd: "$map", key: 0, value: { length: 64 } }, "-EFAULT"],
        ["call", "BPF_MAP_LOOKUP_ELEM", { map_fd: "$map", key: "BAD", value: { length: 64 } }, "-EFAULT"],
        ["call", "BPF_MAP_LOOKUP_ELEM", { map_fd: "$map", key: { hex: "01000000" }, value: 0 }, "-EFAULT"],
        ["call", "BPF_MAP_LOOKUP_ELEM", { map_fd: "$map", key: { hex: "01000000" }, value: "BAD" }, "-EFAULT"],
        ["call", "BPF_MAP_LOOKUP_ELEM", { map_fd: "$map", key: { hex: "02000000" }, value: "BAD" }, "-ENOENT"],
        ["call", "BPF_MAP_UPDATE_ELEM", { map_fd: "$map", key: 0, value: { length: 64 } }, "-EFAULT"],
        ["call", "BPF_MAP_UPDATE_ELEM", { map_fd: "$map", key: { hex: "01000000" }, value: 0 }, "-EFAULT"],
        [
          "call",
          "BPF_MAP_UPDATE_ELEM",
          { map_fd: "$map", key: { hex: "01000000" }, value: "BAD", flags: 64 },
          "-EFAULT",
        ],
        ["call", "BPF_MAP_DELETE_ELEM", { map_fd: "$map", key: 0 }, "-EFAULT"],
        ["call", "BPF_MAP_DELETE_ELEM", { map_fd: "$map", key: "BAD" }, "-EFAULT"],
        ["call", "BPF_MAP_DELETE_ELEM", { map_fd: "$map", key: 0xffffffffffff0000n }, "-EFAULT"],
        ["call", "BPF_MAP_DELETE_ELEM", { map_fd: "$map", key: 0x100000008n }, "-EFAULT"],
        ["lookup", 1, 10],
      ],
    },
    {
      id: id("short_buffers"),
      steps: [
        ["update", 1, 10, 0, 0],
        ["object", "BPF_MAP_LOOKUP_ELEM", { map_fd: "$map", key: { hex: "010000" }, value: { length: 64 } }, "-EFAULT"],
        [
          "object",
          "BPF_MAP_LOOKUP_ELEM",
          { map_fd: "$map", key: { hex: "01000000" }, value: { length: 7 } },
          "-EFAULT",
        ],
        [
          "object",
          "BPF_MAP_UPDATE_ELEM",
          { map_fd: "$map", key: { hex: "01000000" }, value: { length: 7 } },
          "-EFAULT",
        ],
        ["object", "BPF_MAP_UPDATE_ELEM", { map_fd: "$map", key: { hex: "01" }, value: { length: 64 } }, "-EFAULT"],
        ["object", "BPF_MAP_DELETE_ELEM", { map_fd: "$map", key: { hex: "010000" } }, "-EFAULT"],
        ["object", "BPF_MAP_GET_NEXT_KEY", { map_fd: "$map", key: 0, next_key: { length: 3 } }, "-EFAULT"],
        // Unlike a bad address: the host refuses before anything happens.
        [
          "object",
          "BPF_MAP_LOOKUP_AND_DELETE_ELEM",
          { map_fd: "$map", key: { hex: "01000000" }, value: { length: 7 } },
          "-EFAULT",
        ],
        ["lookup", 1, 10],
      ],
    },
    {
      id: id("frozen"),
      steps: [
        ["update", 1, 10, 0, 0],
        ["freeze", 0],
        ["freeze", "-EPERM"],
        ["update", 1, 11, 0, "-EPERM"],
        ["update", 1, 11, 64, "-EPERM"],
        ["delete", 1, "-EPERM"],
        ["take", 1, "-EPERM"],
        ["lookup", 1, 10],
        ["keys", [1]],
        ["open", "again", 0, 0],
        ["update", 1, 11, 0, "-EPERM"],
      ],
    },
    {
      id: id("rdonly"),
      attr: { map_flags: "BPF_F_RDONLY|BPF_F_ZERO_SEED" },
      steps: [
        ["info", {}],
        ["lookup", 1, "-ENOENT"],
        ["next", null, "-ENOENT"],
        ["update", 1, 10, 0, "-EPERM"],
        ["delete", 1, "-EPERM"],
        ["take", 1, "-EPERM"],
        ["freeze", "-EPERM"],
        ["open", "full", 0, 0],
        ["update", 1, 10, 0, 0],
        ["use", "map"],
        ["lookup", 1, 10],
      ],
    },
    {
      id: id("wronly"),
      attr: { map_flags: "BPF_F_WRONLY|BPF_F_ZERO_SEED" },
      steps: [
        ["info", {}],
        ["update", 1, 10, 0, 0],
        ["update", 2, 20, 0, 0],
        ["lookup", 1, "-EPERM"],
        ["next", null, "-EPERM"],
        ["take", 1, "-EPERM"],
        ["delete", 1, 0],
        ["freeze", 0],
        ["open", "full", 0, 0],
        ["lookup", 2, 20],
        ["lookup", 1, "-ENOENT"],
      ],
    },
    {
      id: id("btf"),
      attr: { value_size: 16 },
      steps: [
        ["btf", "b"],
        ["create", { btf_fd: "$b", btf_key_type_id: "type:u32", btf_value_type_id: "type:pair" }, 0, "typed"],
        ["use", "typed"],
        ["info", { btf_id: "any", btf_key_type_id: "type:u32", btf_value_type_id: "type:pair" }],
        ["create", { btf_fd: "$b", btf_key_type_id: "type:key4", btf_value_type_id: "type:pair" }, 0],
        ["create", { btf_fd: "$b", btf_key_type_id: "type:u32", btf_value_type_id: "type:u64" }, "-EINVAL"],
        ["create", { btf_fd: "$b", btf_key_type_id: "type:u64", btf_value_type_id: "type:pair" }, "-EINVAL"],
        ["create", { btf_fd: "$b", btf_value_type_id: "type:pair" }, "-EINVAL"],
        ["create", { btf_fd: "$b", btf_value_type_id: "type:locked" }, "-EINVAL"],
        ["create", { btf_fd: "$b", btf_key_type_id: "type:u32" }, "-EINVAL"],
        ["create", { btf_fd: "$b", btf_key_type_id: "type:u32", btf_value_type_id: "type:none" }, "-EINVAL"],
        ["create", { btf_fd: "$b", btf_key_type_id: "type:none", btf_value_type_id: "type:pair" }, "-EINVAL"],
        ["create", { btf_fd: "$b", btf_key_type_id: "type:u32", btf_value_type_id: "type:forward" }, "-EINVAL"],
        ["create", { btf_fd: -1, btf_key_type_id: "type:u32", btf_value_type_id: "type:pair" }, "-EBADF"],
        ["create", { btf_fd: "$map", btf_key_type_id: "type:u32", btf_value_type_id: "type:pair" }, "-EINVAL"],
      ],
    },
  ];
}

/** Keys in the order of iteration after three rounds of changes to keys of this size, the same rounds for every type. */
export type OrderRow = readonly [
  keySize: number,
  inserted: readonly number[],
  updated: readonly number[],
  changed: readonly number[],
];

/**
 * BPF_F_ZERO_SEED makes the order of iteration that of the kernel's hash function: buckets upwards, newest first in each.
 * `evicted`: updates of a full map have made key 2 go.
 */
export function orderCases(prefix: string, rows: readonly OrderRow[], evicted = false): Case[] {
  return rows.map(([keySize, inserted, updated, changed]) => ({
    id: `${prefix}.order.key_size_${keySize}`,
    attr: { key_size: keySize },
    steps: [
      ["fill", 1, 8, 0],
      ["keys", inserted],
      ["fill", 8, 8, 0],
      ["fill", 5, 5, 0],
      ["fill", 3, 3, 0],
      ["keys", updated],
      ["delete", 2, evicted ? "-ENOENT" : 0],
      ["delete", 7, 0],
      ["fill", 9, 9, 0],
      ["fill", 2, 2, 0],
      ["keys", changed],
    ],
  }));
}
