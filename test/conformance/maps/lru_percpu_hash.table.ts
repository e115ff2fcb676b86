import type { MapTable } from "../step.ts";
import { hashCases, orderCases } from "./hash_cases.ts";

export const lruPercpuHashTable: MapTable = {
  type: "BPF_MAP_TYPE_LRU_PERCPU_HASH",
  attr: { key_size: 4, value_size: 8, max_entries: 8, map_flags: "BPF_F_ZERO_SEED" },
  cases: [
    ...hashCases("lru_percpu_hash"),
    {
      id: "lru_percpu_hash.create.flags",
      attr: { map_flags: 0, map_token_fd: -1 },
      steps: [
        [
          "create flags",
          "BPF_F_NO_COMMON_LRU|BPF_F_RDONLY|BPF_F_WRONLY|BPF_F_ZERO_SEED|BPF_F_RDONLY_PROG|BPF_F_WRONLY_PROG",
          { BPF_F_NO_PREALLOC: "-ENOTSUPP", BPF_F_TOKEN_FD: "-EBADF" },
        ],
      ],
    },
    {
      id: "lru_percpu_hash.create.numa",
      steps: [
        ["create", { map_flags: "BPF_F_NUMA_NODE", numa_node: 0 }, "-EINVAL"],
        ["create", { map_flags: "BPF_F_NUMA_NODE", numa_node: 0, value_size: 32769 }, "-EINVAL"],
        ["create", { map_flags: "BPF_F_NUMA_NODE", numa_node: 0xffffffff }, 0],
        ["create", { map_flags: "BPF_F_NUMA_NODE|BPF_F_NO_COMMON_LRU", numa_node: 0xffffffff }, 0],
      ],
    },
    {
      id: "lru_percpu_hash.create.elem_size",
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
          ],
        ],
      ],
    },
    {
      id: "lru_percpu_hash.info",
      attr: { key_size: 13, value_size: 5, max_entries: 77, map_name: "lru_per_cpu" },
      steps: [["info", {}]],
    },
    {
      id: "lru_percpu_hash.values",
      cpus: 2,
      steps: [
        ["update", 1, [10, 20], 0, 0],
        ["lookup", 1, [10, 20]],
        ["update", 1, [0, 7], "BPF_EXIST", 0],
        ["take", 1, [0, 7]],
      ],
    },
    {
      id: "lru_percpu_hash.values.padding",
      cpus: 2,
      attr: { value_size: 5 },
      steps: [
        ["update", 1, ["0102030405060708", "1112131415161718"], 0, 0],
        ["lookup", 1, ["0102030405060708", "1112131415161718"]],
      ],
    },
    // An element that another key had keeps nothing of it.
    {
      id: "lru_percpu_hash.values.reused",
      cpus: 2,
      attr: { max_entries: 1, value_size: 5 },
      steps: [
        ["update", 1, ["ffffffffffffffff", "ffffffffffffffff"], 0, 0],
        ["update", 2, [1], 0, 0],
        ["lookup", 2, [1, 0]],
      ],
    },
    // EXIST changes in place and takes no element; ANY takes one first.
    {
      id: "lru_percpu_hash.exist_does_not_evict",
      cpus: 2,
      attr: { max_entries: 4 },
      steps: [
        ["fill", 1, 4, 0],
        ["update", 4, 9, "BPF_EXIST", 0],
        ["update", 5, 9, "BPF_EXIST", "-ENOENT"],
        ["lookup", 1, 1],
        ["lookup", 4, 9],
        ["update", 4, 10, "BPF_ANY", 0],
        ["lookup", 1, "-ENOENT"],
        ["lookup", 4, 10],
      ],
    },
    {
      id: "lru_percpu_hash.failing_update_evicts",
      cpus: 2,
      attr: { max_entries: 2 },
      steps: [
        ["fill", 1, 2, 0],
        ["update", 2, 9, "BPF_NOEXIST", "-EEXIST"],
        ["lookup", 1, "-ENOENT"],
        ["lookup", 2, 2],
      ],
    },
    {
      id: "lru_percpu_hash.no_common.rounds_up",
      cpus: 2,
      attr: { map_flags: "BPF_F_NO_COMMON_LRU|BPF_F_ZERO_SEED", max_entries: 3 },
      steps: [["info", { max_entries: 4 }]],
    },
    ...orderCases(
      "lru_percpu_hash",
      [
        [1, [7, 8, 6, 4, 5, 2, 1, 3], [7, 8, 6, 4, 5, 3], [8, 6, 4, 2, 5, 9, 3]],
        [4, [4, 7, 2, 1, 8, 6, 5, 3], [4, 7, 8, 6, 5, 3], [4, 2, 8, 9, 6, 5, 3]],
        [5, [4, 6, 8, 7, 3, 1, 5, 2], [4, 6, 8, 7, 3, 5], [4, 6, 8, 3, 9, 5, 2]],
        [7, [1, 8, 7, 2, 4, 3, 5, 6], [8, 7, 4, 3, 5, 6], [2, 8, 4, 3, 5, 9, 6]],
        [8, [7, 4, 2, 6, 3, 8, 5, 1], [7, 4, 6, 3, 8, 5], [4, 2, 6, 3, 8, 9, 5]],
        [13, [6, 7, 3, 2, 8, 5, 1, 4], [6, 7, 3, 8, 5, 4], [6, 2, 9, 3, 8, 5, 4]],
        [16, [1, 7, 3, 8, 6, 5, 4, 2], [7, 3, 8, 6, 5, 4], [9, 3, 8, 6, 5, 4, 2]],
      ],
      true,
    ),
  ],
};
