import type { MapTable } from "../step.ts";
import { hashCases, orderCases } from "./hash_cases.ts";

export const lruHashTable: MapTable = {
  type: "BPF_MAP_TYPE_LRU_HASH",
  attr: { key_size: 4, value_size: 8, max_entries: 8, map_flags: "BPF_F_ZERO_SEED" },
  cases: [
    ...hashCases("lru_hash"),
    {
      id: "lru_hash.create.flags",
      attr: { map_flags: 0, map_token_fd: -1 },
      steps: [
        [
          "create flags",
          "BPF_F_NO_COMMON_LRU|BPF_F_NUMA_NODE|BPF_F_RDONLY|BPF_F_WRONLY|BPF_F_ZERO_SEED|BPF_F_RDONLY_PROG|BPF_F_WRONLY_PROG",
          { BPF_F_NO_PREALLOC: "-ENOTSUPP", BPF_F_TOKEN_FD: "-EBADF" },
        ],
      ],
    },
    {
      id: "lru_hash.create.flags.pairs",
      steps: [
        ["create", { map_flags: "BPF_F_NO_COMMON_LRU|BPF_F_NUMA_NODE", numa_node: 0 }, "-EINVAL"],
        ["create", { map_flags: "BPF_F_NO_COMMON_LRU|BPF_F_ZERO_SEED" }, 0],
        ["create", { map_flags: "BPF_F_NUMA_NODE|BPF_F_ZERO_SEED", numa_node: 0 }, 0],
        ["create", { map_flags: "BPF_F_NO_PREALLOC|BPF_F_NO_COMMON_LRU" }, "-ENOTSUPP"],
        // What is decided first: flags, then NO_PREALLOC, then sizes.
        ["create", { map_flags: "BPF_F_NO_PREALLOC", key_size: 0 }, "-ENOTSUPP"],
        ["create", { map_flags: "BPF_F_NO_PREALLOC|BPF_F_MMAPABLE" }, "-EINVAL"],
      ],
    },
    {
      id: "lru_hash.create.numa",
      steps: [
        ["create", { map_flags: "BPF_F_NO_COMMON_LRU|BPF_F_NUMA_NODE", numa_node: 0xffffffff }, 0],
        ["create", { map_flags: "BPF_F_NO_COMMON_LRU|BPF_F_NUMA_NODE", numa_node: 0, key_size: 0 }, "-EINVAL"],
        ["create", { map_flags: "BPF_F_NO_COMMON_LRU|BPF_F_NUMA_NODE", numa_node: 0, value_size: 4194304 }, "-EINVAL"],
        ["create", { map_flags: "BPF_F_NO_PREALLOC|BPF_F_NO_COMMON_LRU|BPF_F_NUMA_NODE", numa_node: 0 }, "-ENOTSUPP"],
      ],
    },
    {
      id: "lru_hash.create.elem_size",
      attr: { max_entries: 1 },
      steps: [
        [
          "create each",
          "value_size",
          [
            [4194255 - 4, 0],
            [4194256 - 4, "-E2BIG"],
            [4194304, "-E2BIG"],
          ],
        ],
      ],
    },
    {
      id: "lru_hash.info",
      attr: { key_size: 13, value_size: 5, max_entries: 77, map_name: "lru" },
      steps: [["info", {}]],
    },
    // Each CPU owns as many elements as any other: max_entries goes up to the next multiple of the CPUs.
    {
      id: "lru_hash.no_common.rounds_up",
      attr: { map_flags: "BPF_F_NO_COMMON_LRU|BPF_F_ZERO_SEED", max_entries: 3 },
      steps: [["info", { max_entries: 4 }]],
      cpus: 2,
    },
    {
      id: "lru_hash.no_common.one",
      attr: { map_flags: "BPF_F_NO_COMMON_LRU|BPF_F_ZERO_SEED", max_entries: 1 },
      steps: [
        ["info", { max_entries: 2 }],
        ["update", 1, 10, 0, 0],
        ["update", 2, 20, 0, 0],
        ["lookup", 1, "-ENOENT"],
        ["lookup", 2, 20],
      ],
      cpus: 2,
    },
    // Surprise 10: a CPU keeps no more than its own share.
    {
      id: "lru_hash.no_common.half",
      attr: { map_flags: "BPF_F_NO_COMMON_LRU|BPF_F_ZERO_SEED", max_entries: 64 },
      steps: [
        ["fill", 1, 32, 0],
        ["lookup", 1, 1],
        ["fill", 33, 33, 0],
        ["lookup", 1, "-ENOENT"],
        ["lookup", 33, 33],
      ],
      cpus: 2,
    },
    {
      id: "lru_hash.never_full",
      attr: { max_entries: 2 },
      steps: [
        ["fill", 1, 20, 0],
        ["lookup", 18, "-ENOENT"],
        ["lookup", 19, 19],
        ["lookup", 20, 20],
      ],
      cpus: 2,
    },
    // Surprise 11: lookups of commands do not protect.
    {
      id: "lru_hash.lookup_does_not_protect",
      attr: { max_entries: 4 },
      steps: [
        ["fill", 1, 4, 0],
        ["lookup", 1, 1],
        ["lookup", 1, 1],
        ["fill", 5, 5, 0],
        ["lookup", 1, "-ENOENT"],
        ["lookup", 2, 2],
      ],
      cpus: 2,
    },
    // Surprise 9: an update takes an element first, and only then looks whether it may.
    {
      id: "lru_hash.failing_update_evicts",
      attr: { max_entries: 2 },
      steps: [
        ["fill", 1, 2, 0],
        ["update", 2, 9, "BPF_NOEXIST", "-EEXIST"],
        ["lookup", 1, "-ENOENT"],
        ["lookup", 2, 2],
        ["fill", 1, 1, 0],
        ["update", 3, 9, "BPF_EXIST", "-ENOENT"],
        ["lookup", 2, "-ENOENT"],
        ["lookup", 1, 1],
      ],
      cpus: 2,
    },
    {
      id: "lru_hash.one_element",
      attr: { max_entries: 1 },
      steps: [
        ["update", 1, 10, 0, 0],
        ["update", 1, 11, "BPF_EXIST", "-ENOENT"],
        ["lookup", 1, "-ENOENT"],
        ["update", 1, 10, 0, 0],
        ["update", 1, 12, "BPF_NOEXIST", 0],
        ["lookup", 1, 12],
        ["update", 1, 13, "BPF_ANY", 0],
        ["lookup", 1, 13],
      ],
      cpus: 2,
    },
    // Surprise 10: the first eviction comes before the map is full.
    {
      id: "lru_hash.evicts_early",
      attr: { max_entries: 1000 },
      steps: [
        ["fill", 1, 896, 0],
        ["lookup", 1, 1],
        ["fill", 897, 897, 0],
        ["lookup", 1, "-ENOENT"],
        ["lookup", 24, "-ENOENT"],
        ["lookup", 25, 25],
      ],
      cpus: 2,
    },
    {
      id: "lru_hash.flags_before_eviction",
      attr: { max_entries: 1 },
      steps: [
        ["update", 1, 10, 0, 0],
        ["update", 2, 20, 3, "-EINVAL"],
        ["update", 2, 20, "BPF_F_LOCK", "-EINVAL"],
        ["lookup", 1, 10],
      ],
    },
    ...orderCases(
      "lru_hash",
      [
        [1, [7, 8, 6, 4, 5, 2, 1, 3], [7, 8, 6, 4, 5, 3], [8, 6, 4, 2, 5, 9, 3]],
        [4, [4, 7, 2, 1, 8, 6, 5, 3], [4, 7, 8, 5, 6, 3], [4, 2, 8, 9, 5, 6, 3]],
        [5, [4, 6, 8, 7, 3, 1, 5, 2], [4, 6, 3, 8, 7, 5], [4, 6, 3, 8, 9, 5, 2]],
        [7, [1, 8, 7, 2, 4, 3, 5, 6], [8, 7, 3, 4, 5, 6], [2, 8, 3, 4, 5, 9, 6]],
        [8, [7, 4, 2, 6, 3, 8, 5, 1], [7, 4, 3, 6, 8, 5], [4, 2, 3, 6, 8, 9, 5]],
        [13, [6, 7, 3, 2, 8, 5, 1, 4], [6, 3, 7, 5, 8, 4], [6, 2, 9, 3, 5, 8, 4]],
        [16, [1, 7, 3, 8, 6, 5, 4, 2], [3, 7, 5, 8, 6, 4], [9, 3, 5, 8, 6, 4, 2]],
      ],
      true,
    ),
  ],
};
