import type { MapTable } from "../step.ts";
import { INNER, outerCases } from "./outer_cases.ts";

export const hashOfMapsTable: MapTable = {
  type: "BPF_MAP_TYPE_HASH_OF_MAPS",
  attr: { key_size: 4, value_size: 4, max_entries: 2, map_flags: "BPF_F_ZERO_SEED", inner_map_fd: "$inner" },
  inner: INNER,
  cases: [
    ...outerCases("hash_of_maps", "BPF_MAP_TYPE_HASH_OF_MAPS"),
    {
      id: "hash_of_maps.create.key_size",
      steps: [
        [
          "create each",
          "key_size",
          [
            [1, 0],
            [13, 0],
            [5000000, "-E2BIG"],
          ],
        ],
      ],
    },
    {
      id: "hash_of_maps.create.flags",
      attr: { map_flags: 0, map_token_fd: -1 },
      steps: [
        [
          "create flags",
          "BPF_F_NO_PREALLOC|BPF_F_NUMA_NODE|BPF_F_ZERO_SEED|BPF_F_RDONLY|BPF_F_WRONLY|BPF_F_RDONLY_PROG|BPF_F_WRONLY_PROG",
          { BPF_F_TOKEN_FD: "-EBADF" },
        ],
        ["create", { map_flags: "BPF_F_RDONLY_PROG|BPF_F_WRONLY_PROG" }, "-EINVAL"],
      ],
    },
    {
      // The template comes before the number of elements.
      id: "hash_of_maps.create.large",
      steps: [
        ["create", { max_entries: 0x80000001, inner_map_fd: 9999 }, "-EBADF"],
        ["create", { max_entries: 0x80000001 }, "-E2BIG"],
      ],
    },
    {
      id: "hash_of_maps.update.flags",
      steps: [
        ["update", 1, "$inner", "BPF_EXIST", "-ENOENT"],
        ["update", 1, "$inner", "BPF_NOEXIST", 0],
        ["update", 1, "$inner", "BPF_NOEXIST", "-EEXIST"],
        ["update", 1, "$inner", "BPF_EXIST", 0],
        ["update", 1, "$inner", 3, "-EINVAL"],
        ["update", 1, "$inner", "BPF_F_LOCK", "-EINVAL"],
        ["update", 1, "$inner", 8, "-EINVAL"],
        ["update", 1, "$inner", 0x100000000, "-EINVAL"],
        ["lookup", 1, "#inner"],
      ],
    },
    {
      // The fd comes before all flags and the elements.
      id: "hash_of_maps.update.order",
      steps: [
        ["update", 1, 9999, 8, "-EBADF"],
        ["update", 1, 9999, "BPF_EXIST", "-EBADF"],
        ["update", 1, "$inner", 0, 0],
        ["update", 2, "$inner", 0, 0],
        ["update", 3, "$inner", 0, "-E2BIG"],
        ["update", 3, "$inner", "BPF_EXIST", "-ENOENT"],
        ["update", 3, 9999, 0, "-EBADF"],
        ["update", 2, "$inner", 0, 0],
      ],
    },
    {
      id: "hash_of_maps.full_and_again",
      steps: [
        ["update", 1, "$inner", 0, 0],
        ["update", 2, "$inner", 0, 0],
        ["delete", 1, 0],
        ["delete", 1, "-ENOENT"],
        ["update", 3, "$inner", 0, 0],
        ["lookup", 1, "-ENOENT"],
        ["lookup", 3, "#inner"],
      ],
    },
    {
      // An update changes the element in place: the order of iteration stays.
      id: "hash_of_maps.order",
      attr: { max_entries: 8 },
      steps: [
        ["map", "other", INNER],
        ...[0, 1, 2, 3, 4, 5, 6, 7].map((n) => ["update", n, "$inner", 0, 0] as const),
        ["keys", [0, 4, 7, 2, 1, 6, 5, 3]],
        ["update", 0, "$other", 0, 0],
        ["update", 3, "$other", 0, 0],
        ["keys", [0, 4, 7, 2, 1, 6, 5, 3]],
      ],
    },
    {
      id: "hash_of_maps.no_prealloc",
      attr: { map_flags: "BPF_F_NO_PREALLOC|BPF_F_ZERO_SEED", max_entries: 3 },
      steps: [
        ["update", 1, "$inner", 0, 0],
        ["update", 2, "$inner", 0, 0],
        ["update", 3, "$inner", 0, 0],
        ["update", 4, "$inner", 0, "-E2BIG"],
        ["delete", 2, 0],
        ["update", 4, "$inner", 0, 0],
        ["lookup", 4, "#inner"],
      ],
    },
    {
      id: "hash_of_maps.next",
      steps: [
        ["next", null, "-ENOENT"],
        ["update", 7, "$inner", 0, 0],
        ["next", null, 7],
        ["next", 7, "-ENOENT"],
        ["next", 8, 7],
      ],
    },
    {
      id: "hash_of_maps.batch.lookup",
      steps: [
        ["map", "other", INNER],
        ["update", 1, "$inner", 0, 0],
        ["update", 2, "$other", 0, 0],
        ["keys", [2, 1]],
        [
          "call",
          "BPF_MAP_LOOKUP_BATCH",
          { map_fd: "$map", out_batch: { length: 4 }, keys: { length: 12 }, values: { length: 12 }, count: 3 },
          "-ENOENT",
          {
            out: {
              count: 2,
              out_batch: { words: [2] },
              keys: { words: [2, 1, 0xeeeeeeee] },
              values: { words: ["#other", "#inner", 0xeeeeeeee] },
            },
          },
        ],
      ],
    },
    {
      id: "hash_of_maps.batch.take",
      steps: [
        ["map", "other", INNER],
        ["update", 1, "$inner", 0, 0],
        ["update", 2, "$other", 0, 0],
        ["close", "other", 0],
        [
          "call",
          "BPF_MAP_LOOKUP_AND_DELETE_BATCH",
          { map_fd: "$map", out_batch: { length: 4 }, keys: { length: 8 }, values: { length: 8 }, count: 2 },
          "-ENOENT",
          {
            out: {
              count: 2,
              out_batch: { words: [2] },
              keys: { words: [2, 1] },
              values: { words: ["#other", "#inner"] },
            },
          },
        ],
        ["keys", []],
        ["call", "BPF_MAP_GET_FD_BY_ID", { map_id: "#other" }, "-ENOENT"],
        ["call", "BPF_MAP_GET_FD_BY_ID", { map_id: "#inner" }, 0],
      ],
    },
    {
      id: "hash_of_maps.batch.change",
      steps: [
        [
          "call",
          "BPF_MAP_UPDATE_BATCH",
          { map_fd: "$map", keys: { words: [1, 2, 3] }, values: { words: ["$inner", "$inner", "$inner"] }, count: 3 },
          "-E2BIG",
          { out: { count: 2 } },
        ],
        [
          "call",
          "BPF_MAP_DELETE_BATCH",
          { map_fd: "$map", keys: { words: [1, 3] }, count: 2 },
          "-ENOENT",
          { out: { count: 1 } },
        ],
        ["lookup", 1, "-ENOENT"],
        ["lookup", 2, "#inner"],
        [
          "call",
          "BPF_MAP_UPDATE_BATCH",
          { map_fd: "$map", keys: { words: [1, 5] }, values: { words: ["$inner", 9999] }, count: 2 },
          "-EBADF",
          { out: { count: 1 } },
        ],
      ],
    },
  ],
};
