import type { MapTable } from "../step.ts";
import { hashCases, orderCases } from "./hash_cases.ts";

export const hashTable: MapTable = {
  type: "BPF_MAP_TYPE_HASH",
  attr: { key_size: 4, value_size: 8, max_entries: 8, map_flags: "BPF_F_ZERO_SEED" },
  cases: [
    ...hashCases("hash"),
    {
      id: "hash.create.flags",
      attr: { map_flags: 0, map_token_fd: -1 },
      steps: [
        [
          "create flags",
          "BPF_F_NO_PREALLOC|BPF_F_NUMA_NODE|BPF_F_RDONLY|BPF_F_WRONLY|BPF_F_ZERO_SEED|BPF_F_RDONLY_PROG|BPF_F_WRONLY_PROG",
          { BPF_F_TOKEN_FD: "-EBADF" },
        ],
      ],
    },
    {
      id: "hash.create.elem_size",
      attr: { key_size: 8, max_entries: 1 },
      steps: [
        // 4 MiB less the header of an element, less one.
        [
          "create each",
          "value_size",
          [
            [4194255 - 8, 0],
            [4194256 - 8, "-E2BIG"],
            [4194304, "-E2BIG"],
          ],
        ],
        ["create", { key_size: 4194254, value_size: 1 }, 0],
        ["create", { key_size: 4194255, value_size: 1 }, "-E2BIG"],
        ["create", { key_size: 0x80000000, value_size: 0x80000000 }, "-E2BIG"],
        ["create", { key_size: 4194255, value_size: 1, map_flags: "BPF_F_NO_PREALLOC" }, "-E2BIG"],
      ],
    },
    {
      id: "hash.create.numa",
      steps: [
        ["create", { map_flags: "BPF_F_NUMA_NODE", numa_node: 0 }, 0],
        ["create", { map_flags: "BPF_F_NUMA_NODE", numa_node: 0xffffffff }, 0],
        ["create", { map_flags: "BPF_F_NUMA_NODE", numa_node: 1023 }, "-EINVAL"],
        ["create", { map_flags: 0, numa_node: 1023 }, 0],
      ],
    },
    {
      id: "hash.full",
      attr: { max_entries: 3 },
      steps: [
        ["fill", 1, 3, 0],
        ["update", 4, 40, "BPF_ANY", "-E2BIG"],
        ["update", 4, 40, "BPF_NOEXIST", "-E2BIG"],
        ["update", 4, 40, "BPF_EXIST", "-ENOENT"],
        ["update", 1, 11, "BPF_NOEXIST", "-EEXIST"],
        ["update", 1, 11, "BPF_EXIST", 0],
        ["update", 2, 22, "BPF_ANY", 0],
        ["delete", 3, 0],
        ["update", 4, 40, "BPF_ANY", 0],
        ["update", 5, 50, "BPF_ANY", "-E2BIG"],
        ["lookup", 1, 11],
        ["lookup", 2, 22],
        ["lookup", 4, 40],
      ],
    },
    {
      id: "hash.full.one",
      attr: { max_entries: 1 },
      steps: [
        ["update", 1, 10, 0, 0],
        ["update", 1, 11, 0, 0],
        ["update", 1, 12, "BPF_EXIST", 0],
        ["update", 2, 20, 0, "-E2BIG"],
        ["take", 1, 12],
        ["update", 2, 20, 0, 0],
      ],
    },
    {
      id: "hash.no_prealloc.full",
      attr: { max_entries: 3, map_flags: "BPF_F_NO_PREALLOC|BPF_F_ZERO_SEED" },
      steps: [
        ["info", {}],
        ["fill", 1, 3, 0],
        ["update", 4, 40, 0, "-E2BIG"],
        ["update", 1, 11, 0, 0],
        ["take", 1, 11],
        ["update", 4, 40, 0, 0],
        ["update", 5, 40, 0, "-E2BIG"],
        ["lookup", 4, 40],
      ],
    },
    // 200 entries are more than 64 a CPU up to 3 CPUs, where the kernel counts approximately; alone it is exact.
    {
      id: "hash.no_prealloc.many",
      attr: { max_entries: 200, map_flags: "BPF_F_NO_PREALLOC|BPF_F_ZERO_SEED" },
      steps: [
        ["fill", 1, 200, 0],
        ["update", 201, 1, 0, "-E2BIG"],
        ["delete", 7, 0],
        ["update", 201, 1, 0, 0],
      ],
    },
    {
      id: "hash.info",
      attr: { key_size: 13, value_size: 5, max_entries: 77, map_name: "flows.v_1" },
      steps: [["info", {}]],
    },
    {
      id: "hash.order.three_buckets_of_four",
      attr: { max_entries: 3 },
      steps: [
        ["fill", 1, 3, 0],
        ["keys", [2, 3, 1]],
      ],
    },
    // Surprise 35: an update puts the key at the head of its bucket.
    ...orderCases("hash", [
      [1, [7, 8, 6, 4, 5, 2, 1, 3], [7, 8, 6, 4, 5, 2, 1, 3], [8, 6, 4, 2, 5, 1, 9, 3]],
      [4, [4, 7, 2, 1, 8, 6, 5, 3], [4, 7, 2, 1, 8, 5, 6, 3], [4, 2, 1, 8, 9, 5, 6, 3]],
      [5, [4, 6, 8, 7, 3, 1, 5, 2], [4, 6, 3, 8, 7, 1, 5, 2], [4, 6, 3, 8, 1, 9, 5, 2]],
      [7, [1, 8, 7, 2, 4, 3, 5, 6], [1, 8, 7, 2, 3, 4, 5, 6], [1, 2, 8, 3, 4, 5, 9, 6]],
      [8, [7, 4, 2, 6, 3, 8, 5, 1], [7, 4, 2, 3, 6, 8, 5, 1], [4, 2, 3, 6, 8, 9, 5, 1]],
      [12, [7, 5, 6, 1, 8, 4, 3, 2], [5, 7, 6, 1, 8, 3, 4, 2], [5, 9, 6, 1, 8, 2, 3, 4]],
      [13, [6, 7, 3, 2, 8, 5, 1, 4], [6, 3, 7, 2, 5, 8, 1, 4], [6, 2, 9, 3, 5, 8, 1, 4]],
      [16, [1, 7, 3, 8, 6, 5, 4, 2], [1, 3, 7, 5, 8, 6, 4, 2], [1, 9, 3, 5, 8, 6, 4, 2]],
      [24, [3, 8, 7, 1, 6, 2, 5, 4], [3, 8, 7, 1, 6, 2, 5, 4], [3, 8, 9, 1, 2, 6, 5, 4]],
    ]),
  ],
};
