import type { MapTable } from "../step.ts";

export const perfEventArrayTable: MapTable = {
  type: "BPF_MAP_TYPE_PERF_EVENT_ARRAY",
  attr: { key_size: 4, value_size: 4, max_entries: 2 },
  cases: [
    {
      id: "perf_event_array.create.sizes",
      steps: [
        [
          "create each",
          "key_size",
          [
            [0, "-EINVAL"],
            [1, "-EINVAL"],
            [4, 0],
            [8, "-EINVAL"],
          ],
        ],
        [
          "create each",
          "value_size",
          [
            [0, "-EINVAL"],
            [1, "-EINVAL"],
            [4, 0],
            [8, "-EINVAL"],
          ],
        ],
        [
          "create each",
          "max_entries",
          [
            [0, "-EINVAL"],
            [1, 0],
            [1000, 0],
            [0xffffffff, "-ENOMEM"],
          ],
        ],
        ["create", { map_extra: 1 }, "-EINVAL"],
      ],
    },
    {
      id: "perf_event_array.create.flags",
      attr: { map_token_fd: -1 },
      steps: [
        [
          "create flags",
          "BPF_F_NUMA_NODE|BPF_F_RDONLY|BPF_F_WRONLY|BPF_F_PRESERVE_ELEMS",
          { BPF_F_TOKEN_FD: "-EBADF" },
        ],
      ],
    },
    {
      id: "perf_event_array.btf",
      steps: [
        ["btf", "btf"],
        ["create", { btf_fd: "$btf", btf_key_type_id: "type:u32", btf_value_type_id: "type:u32" }, "-ENOTSUPP"],
        ["create", { btf_fd: "$btf", btf_value_type_id: "type:u32" }, "-ENOTSUPP"],
      ],
    },
    {
      id: "perf_event_array.empty",
      steps: [
        ["lookup", 0, "-ENOTSUPP"],
        ["lookup", 2, "-ENOTSUPP"],
        ["take", 0, "-ENOTSUPP"],
        ["delete", 0, "-ENOENT"],
        ["delete", 2, "-E2BIG"],
        ["keys", [0, 1]],
        ["next", 1, "-ENOENT"],
        ["next", 7, 0],
      ],
    },
    {
      // Flags, index, then the fd, which has to be one of a perf event.
      id: "perf_event_array.update.order",
      steps: [
        ["prog", "prog", {}, 0],
        ["btf", "btf"],
        ["update", 2, 9999, 1, "-EINVAL"],
        ["update", 0, 9999, "BPF_EXIST", "-EINVAL"],
        ["update", 0, 9999, "BPF_F_LOCK", "-EINVAL"],
        ["update", 2, 9999, 0, "-E2BIG"],
        ["update", 0, 9999, 0, "-EBADF"],
        ["update", 0, 0xffffffff, 0, "-EBADF"],
        ["update", 0, "$map", 0, "-EBADF"],
        ["update", 0, "$prog", 0, "-EBADF"],
        ["update", 0, "$btf", 0, "-EBADF"],
        ["delete", 0, "-ENOENT"],
      ],
    },
    {
      id: "perf_event_array.frozen",
      steps: [
        ["freeze", 0],
        ["update", 0, 9999, 0, "-EPERM"],
        ["delete", 0, "-EPERM"],
      ],
    },
    {
      id: "perf_event_array.batch",
      steps: (["LOOKUP", "LOOKUP_AND_DELETE", "UPDATE", "DELETE"] as const).map((cmd) => [
        "call",
        `BPF_MAP_${cmd}_BATCH`,
        { map_fd: "$map", count: 0 },
        "-ENOTSUPP",
      ]),
    },
    {
      id: "perf_event_array.inner",
      steps: [["create", { map_type: "BPF_MAP_TYPE_ARRAY_OF_MAPS", inner_map_fd: "$map" }, 0]],
    },
    { id: "perf_event_array.mmap", steps: [["mmap", 0, 4096, "rw", "-ENOTSUPP"]] },
    { id: "perf_event_array.poll", steps: [["poll", true]] },
    { id: "perf_event_array.info", steps: [["info", {}]] },
    { id: "perf_event_array.fdinfo", steps: [["fdinfo", 328]] },
  ],
};
