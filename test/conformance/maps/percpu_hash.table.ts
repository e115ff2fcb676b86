import type { MapTable } from "../step.ts";
import { hashCases, orderCases } from "./hash_cases.ts";

export const percpuHashTable: MapTable = {
  type: "BPF_MAP_TYPE_PERCPU_HASH",
  attr: { key_size: 4, value_size: 8, max_entries: 8, map_flags: "BPF_F_ZERO_SEED" },
  cases: [
    ...hashCases("percpu_hash"),
    {
      id: "percpu_hash.create.flags",
      attr: { map_flags: 0, map_token_fd: -1 },
      steps: [
        [
          "create flags",
          "BPF_F_NO_PREALLOC|BPF_F_RDONLY|BPF_F_WRONLY|BPF_F_ZERO_SEED|BPF_F_RDONLY_PROG|BPF_F_WRONLY_PROG",
          { BPF_F_TOKEN_FD: "-EBADF" },
        ],
      ],
    },
    {
      id: "percpu_hash.create.elem_size",
      attr: { max_entries: 1 },
      steps: [
        [
          "create each",
          "value_size",
          [
            [32761, 0],
            [32768, 0],
            [32769, "-E2BIG"],
            [65536, "-E2BIG"],
            [4194304, "-E2BIG"],
          ],
        ],
        ["create", { key_size: 4194255 - 8 }, 0],
        ["create", { key_size: 4194256 - 8 }, "-E2BIG"],
      ],
    },
    {
      id: "percpu_hash.create.numa",
      steps: [
        ["create", { map_flags: "BPF_F_NUMA_NODE", numa_node: 0 }, "-EINVAL"],
        ["create", { map_flags: "BPF_F_NUMA_NODE", numa_node: 0, value_size: 32769 }, "-EINVAL"],
        // The flag with the node that stands for none asks for nothing.
        ["create", { map_flags: "BPF_F_NUMA_NODE", numa_node: 0xffffffff }, 0, "none"],
        ["use", "none"],
        ["info", {}],
      ],
    },
    {
      id: "percpu_hash.values",
      steps: [
        ["update", 1, [10, 20], 0, 0],
        ["lookup", 1, [10, 20]],
        ["update", 1, 30, 0, 0],
        ["lookup", 1, [30, 30]],
        ["update", 1, [0, 7], "BPF_EXIST", 0],
        ["take", 1, [0, 7]],
        ["lookup", 1, "-ENOENT"],
      ],
      cpus: 2,
    },
    // Every slot is rounded up to 8 bytes, and what is in the padding comes back.
    {
      id: "percpu_hash.values.padding",
      attr: { value_size: 5 },
      steps: [
        ["update", 1, ["0102030405060708", "1112131415161718"], 0, 0],
        ["lookup", 1, ["0102030405060708", "1112131415161718"]],
        ["take", 1, ["0102030405060708", "1112131415161718"]],
      ],
      cpus: 2,
    },
    ...[1, 3, 7, 9, 12, 17].map((size) => ({
      id: `percpu_hash.values.size_${size}`,
      attr: { value_size: size },
      steps: [
        ["update", 1, ["ff".repeat(size), "01".repeat(size)], 0, 0],
        ["update", 2, "a5".repeat(Math.ceil(size / 8) * 8), 0, 0],
        ["lookup", 1, ["ff".repeat(size), "01".repeat(size)]],
        ["lookup", 2, "a5".repeat(Math.ceil(size / 8) * 8)],
      ] as const,
      cpus: 2,
    })),
    // A buffer for one CPU only.
    {
      id: "percpu_hash.values.short",
      steps: [
        [
          "object",
          "BPF_MAP_UPDATE_ELEM",
          { map_fd: "$map", key: { hex: "01000000" }, value: { length: 8 } },
          "-EFAULT",
        ],
        [
          "object",
          "BPF_MAP_UPDATE_ELEM",
          { map_fd: "$map", key: { hex: "01000000" }, value: { length: 15 } },
          "-EFAULT",
        ],
      ],
      cpus: 2,
    },
    {
      id: "percpu_hash.full",
      attr: { max_entries: 3 },
      steps: [
        ["fill", 1, 3, 0],
        ["update", 4, 40, "BPF_ANY", "-E2BIG"],
        ["update", 4, 40, "BPF_NOEXIST", "-E2BIG"],
        ["update", 4, 40, "BPF_EXIST", "-ENOENT"],
        ["update", 1, 11, "BPF_NOEXIST", "-EEXIST"],
        ["update", 1, 11, "BPF_EXIST", 0],
        ["update", 2, 22, "BPF_ANY", 0],
        ["take", 3, 3],
        ["update", 4, 40, "BPF_ANY", 0],
        ["lookup", 1, 11],
      ],
    },
    {
      id: "percpu_hash.no_prealloc",
      attr: { max_entries: 2, map_flags: "BPF_F_NO_PREALLOC|BPF_F_ZERO_SEED" },
      steps: [
        ["fill", 1, 2, 0],
        ["update", 3, 3, 0, "-E2BIG"],
        ["delete", 1, 0],
        ["update", 3, [5], 0, 0],
        ["lookup", 3, [5]],
        ["delete", 3, 0],
        ["update", 4, [0, 6], 0, 0],
        ["lookup", 4, [0, 6]],
      ],
    },
    {
      id: "percpu_hash.info",
      attr: { key_size: 13, value_size: 5, max_entries: 77, map_name: "per_cpu" },
      steps: [["info", {}]],
    },
    // Surprise 35: updates are made in place, so the order stays.
    ...orderCases("percpu_hash", [
      [1, [7, 8, 6, 4, 5, 2, 1, 3], [7, 8, 6, 4, 5, 2, 1, 3], [8, 6, 4, 2, 5, 1, 9, 3]],
      [4, [4, 7, 2, 1, 8, 6, 5, 3], [4, 7, 2, 1, 8, 6, 5, 3], [4, 2, 1, 8, 9, 6, 5, 3]],
      [5, [4, 6, 8, 7, 3, 1, 5, 2], [4, 6, 8, 7, 3, 1, 5, 2], [4, 6, 8, 3, 1, 9, 5, 2]],
      [7, [1, 8, 7, 2, 4, 3, 5, 6], [1, 8, 7, 2, 4, 3, 5, 6], [1, 2, 8, 4, 3, 5, 9, 6]],
      [8, [7, 4, 2, 6, 3, 8, 5, 1], [7, 4, 2, 6, 3, 8, 5, 1], [4, 2, 6, 3, 8, 9, 5, 1]],
      [13, [6, 7, 3, 2, 8, 5, 1, 4], [6, 7, 3, 2, 8, 5, 1, 4], [6, 2, 9, 3, 8, 5, 1, 4]],
      [16, [1, 7, 3, 8, 6, 5, 4, 2], [1, 7, 3, 8, 6, 5, 4, 2], [1, 9, 3, 8, 6, 5, 4, 2]],
    ]),
  ],
};
