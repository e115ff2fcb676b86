import type { MapTable } from "../step.ts";

export const stackTraceTable: MapTable = {
  type: "BPF_MAP_TYPE_STACK_TRACE",
  attr: { key_size: 4, value_size: 16, max_entries: 3 },
  cases: [
    {
      id: "stack_trace.create.sizes",
      steps: [
        [
          "create each",
          "key_size",
          [
            [0, "-EINVAL"],
            [3, "-EINVAL"],
            [4, 0],
            [8, "-EINVAL"],
          ],
        ],
        [
          "create each",
          "value_size",
          [
            [0, "-EINVAL"],
            [4, "-EINVAL"],
            [8, 0],
            [12, "-EINVAL"],
            [1016, 0],
            [1024, "-EINVAL"],
          ],
        ],
        [
          "create each",
          "max_entries",
          [
            [0, "-EINVAL"],
            [1, 0],
            [1000, 0],
            [0x80000001, "-E2BIG"],
          ],
        ],
        ["create", { map_extra: 1 }, "-EINVAL"],
      ],
    },
    {
      id: "stack_trace.create.build_id",
      attr: { map_flags: "BPF_F_STACK_BUILD_ID", value_size: 32 },
      steps: [
        [
          "create each",
          "value_size",
          [
            [0, "-EINVAL"],
            [8, "-EINVAL"],
            [32, 0],
            [40, "-EINVAL"],
            [4064, 0],
            [4096, "-EINVAL"],
          ],
        ],
      ],
    },
    {
      id: "stack_trace.create.flags",
      attr: { map_token_fd: -1, value_size: 32 },
      steps: [
        [
          "create flags",
          "BPF_F_NUMA_NODE|BPF_F_RDONLY|BPF_F_WRONLY|BPF_F_STACK_BUILD_ID",
          { BPF_F_TOKEN_FD: "-EBADF" },
        ],
      ],
    },
    {
      id: "stack_trace.btf",
      attr: { value_size: 8 },
      steps: [
        ["btf", "btf"],
        ["create", { btf_fd: "$btf", btf_key_type_id: "type:u32", btf_value_type_id: "type:u64" }, "-ENOTSUPP"],
        ["create", { btf_fd: "$btf", btf_value_type_id: "type:u64" }, "-ENOTSUPP"],
        ["create", { btf_fd: "$btf", btf_key_type_id: "type:u32", btf_value_type_id: "type:u32" }, "-EINVAL"],
      ],
    },
    {
      // Nothing comes into it but by bpf_get_stackid. There are four buckets.
      id: "stack_trace.empty",
      steps: [
        ["lookup", 0, "-ENOENT"],
        ["lookup", 4, "-ENOENT"],
        ["take", 0, "-ENOENT"],
        ["take", 4, "-ENOENT"],
        ["update", 0, 1, 0, "-EINVAL"],
        ["update", 9, 1, 7, "-EINVAL"],
        ["delete", 0, "-ENOENT"],
        ["delete", 3, "-ENOENT"],
        ["delete", 4, "-E2BIG"],
        ["keys", []],
        ["next", 0, "-ENOENT"],
        ["next", 9, "-ENOENT"],
      ],
    },
    {
      id: "stack_trace.frozen",
      steps: [
        ["freeze", 0],
        ["update", 0, 1, 0, "-EPERM"],
        ["delete", 0, "-EPERM"],
        ["lookup", 0, "-ENOENT"],
      ],
    },
    {
      id: "stack_trace.batch",
      steps: (["LOOKUP", "LOOKUP_AND_DELETE", "UPDATE", "DELETE"] as const).map((cmd) => [
        "call",
        `BPF_MAP_${cmd}_BATCH`,
        { map_fd: "$map", count: 0 },
        "-ENOTSUPP",
      ]),
    },
    {
      id: "stack_trace.inner",
      steps: [["create", { map_type: "BPF_MAP_TYPE_ARRAY_OF_MAPS", value_size: 4, inner_map_fd: "$map" }, 0]],
    },
    { id: "stack_trace.mmap", steps: [["mmap", 0, 4096, "rw", "-ENOTSUPP"]] },
    { id: "stack_trace.poll", steps: [["poll", true]] },
    { id: "stack_trace.info", steps: [["info", {}]] },
    { id: "stack_trace.fdinfo", steps: [["fdinfo", 448]] },
  ],
};
