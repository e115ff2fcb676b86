import type { MapTable } from "../step.ts";
import { INNER, outerCases } from "./outer_cases.ts";

export const arrayOfMapsTable: MapTable = {
  type: "BPF_MAP_TYPE_ARRAY_OF_MAPS",
  attr: { key_size: 4, value_size: 4, max_entries: 2, inner_map_fd: "$inner" },
  inner: INNER,
  cases: [
    ...outerCases("array_of_maps", "BPF_MAP_TYPE_ARRAY_OF_MAPS"),
    {
      id: "array_of_maps.create.key_size",
      steps: [
        [
          "create each",
          "key_size",
          [
            [1, "-EINVAL"],
            [8, "-EINVAL"],
          ],
        ],
      ],
    },
    {
      id: "array_of_maps.create.flags",
      attr: { map_token_fd: -1 },
      steps: [["create flags", "BPF_F_NUMA_NODE|BPF_F_RDONLY|BPF_F_WRONLY", { BPF_F_TOKEN_FD: "-EBADF" }]],
    },
    { id: "array_of_maps.create.large", steps: [["create", { max_entries: 0xffffffff }, "-ENOMEM"]] },
    {
      id: "array_of_maps.empty",
      steps: [
        ["lookup", 0, "-ENOENT"],
        ["delete", 0, "-ENOENT"],
        ["lookup", 2, "-ENOENT"],
        ["delete", 2, "-E2BIG"],
        ["delete", 0xffffffff, "-E2BIG"],
        ["keys", [0, 1]],
      ],
    },
    {
      // Flags, index, fd.
      id: "array_of_maps.update.order",
      steps: [
        ["update", 0, "$inner", "BPF_NOEXIST", "-EINVAL"],
        ["update", 0, "$inner", "BPF_EXIST", "-EINVAL"],
        ["update", 0, "$inner", "BPF_F_LOCK", "-EINVAL"],
        ["update", 0, "$inner", 8, "-EINVAL"],
        ["update", 0, "$inner", 0x100000000, "-EINVAL"],
        ["update", 0, 9999, 1, "-EINVAL"],
        ["update", 2, 9999, 1, "-EINVAL"],
        ["update", 2, 9999, 0, "-E2BIG"],
        ["update", 2, "$inner", 0, "-E2BIG"],
        ["lookup", 0, "-ENOENT"],
      ],
    },
    {
      id: "array_of_maps.next",
      steps: [
        ["next", null, 0],
        ["next", 0, 1],
        ["next", 1, "-ENOENT"],
        ["next", 2, 0],
        ["next", 0xffffffff, 0],
      ],
    },
    {
      // Empty slots are passed over; the cursor is the last that was looked at.
      id: "array_of_maps.batch.lookup",
      attr: { max_entries: 4 },
      steps: [
        ["update", 1, "$inner", 0, 0],
        [
          "call",
          "BPF_MAP_LOOKUP_BATCH",
          { map_fd: "$map", out_batch: { length: 4 }, keys: { length: 16 }, values: { length: 16 }, count: 4 },
          "-ENOENT",
          {
            out: {
              count: 1,
              out_batch: { words: [3] },
              keys: `01000000${"ee".repeat(12)}`,
              values: { words: ["#inner", 0xeeeeeeee, 0xeeeeeeee, 0xeeeeeeee] },
            },
          },
        ],
        [
          "call",
          "BPF_MAP_LOOKUP_BATCH",
          { map_fd: "$map", out_batch: { length: 4 }, keys: { length: 4 }, values: { length: 4 }, count: 1 },
          0,
          { out: { count: 1, out_batch: { words: [1] }, keys: { words: [1] }, values: { words: ["#inner"] } } },
        ],
        [
          "call",
          "BPF_MAP_LOOKUP_BATCH",
          {
            map_fd: "$map",
            in_batch: { words: [1] },
            out_batch: { length: 4 },
            keys: { length: 4 },
            values: { length: 4 },
            count: 1,
          },
          "-ENOENT",
          { out: { count: 0 } },
        ],
      ],
    },
    {
      id: "array_of_maps.batch.update",
      steps: [
        [
          "call",
          "BPF_MAP_UPDATE_BATCH",
          { map_fd: "$map", keys: { words: [0, 1] }, values: { words: ["$inner", 9999] }, count: 2 },
          "-EBADF",
          { out: { count: 1 } },
        ],
        ["lookup", 0, "#inner"],
        ["lookup", 1, "-ENOENT"],
        [
          "call",
          "BPF_MAP_UPDATE_BATCH",
          { map_fd: "$map", keys: { words: [1, 2] }, values: { words: ["$inner", "$inner"] }, count: 2 },
          "-E2BIG",
          { out: { count: 1 } },
        ],
        ["lookup", 1, "#inner"],
      ],
    },
    {
      id: "array_of_maps.batch.none",
      steps: [
        ["call", "BPF_MAP_DELETE_BATCH", { map_fd: "$map", count: 0 }, "-ENOTSUPP"],
        ["call", "BPF_MAP_LOOKUP_AND_DELETE_BATCH", { map_fd: "$map", count: 0 }, "-ENOTSUPP"],
      ],
    },
  ],
};
