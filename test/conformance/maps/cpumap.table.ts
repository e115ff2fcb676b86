import type { MapTable } from "../step.ts";

export const cpumapTable: MapTable = {
  type: "BPF_MAP_TYPE_CPUMAP",
  attr: { key_size: 4, value_size: 4, max_entries: 3 },
  cases: [
    {
      id: "cpumap.create.sizes",
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
            [3, "-EINVAL"],
            [4, 0],
            [5, "-EINVAL"],
            [8, 0],
            [12, "-EINVAL"],
          ],
        ],
        [
          "create each",
          "max_entries",
          [
            [0, "-EINVAL"],
            [1, 0],
            [256, 0],
            [1000, "-E2BIG"],
          ],
        ],
        ["create", { map_extra: 1 }, "-EINVAL"],
      ],
    },
    {
      id: "cpumap.create.flags",
      attr: { map_token_fd: -1 },
      steps: [["create flags", "BPF_F_NUMA_NODE", { BPF_F_TOKEN_FD: "-EBADF" }]],
    },
    {
      id: "cpumap.btf",
      steps: [
        ["btf", "btf"],
        ["create", { btf_fd: "$btf", btf_key_type_id: "type:u32", btf_value_type_id: "type:u32" }, "-ENOTSUPP"],
        ["create", { btf_fd: "$btf", btf_value_type_id: "type:u32" }, "-ENOTSUPP"],
      ],
    },
    {
      id: "cpumap.elements",
      steps: [
        ["lookup", 0, "-ENOENT"],
        ["update", 0, 64, 0, 0],
        ["update", 0, 128, "BPF_EXIST", 0],
        ["lookup", 0, 128],
        ["lookup", 1, "-ENOENT"],
        ["lookup", 3, "-ENOENT"],
        ["take", 0, "-ENOTSUPP"],
        ["keys", [0, 1, 2]],
        ["next", 2, "-ENOENT"],
        ["delete", 0, 0],
        ["delete", 0, 0],
        ["delete", 3, "-EINVAL"],
        ["lookup", 0, "-ENOENT"],
      ],
    },
    {
      // Flags, index, NOEXIST wherever, the queue's size, then the CPU.
      id: "cpumap.update.order",
      attr: { max_entries: 200 },
      steps: [
        ["update", 900, 99999, 3, "-EINVAL"],
        ["update", 900, 99999, "BPF_NOEXIST", "-E2BIG"],
        ["update", 0, 99999, "BPF_NOEXIST", "-EEXIST"],
        ["update", 199, 16385, 0, "-EOVERFLOW"],
        ["update", 199, 16384, 0, "-ENODEV"],
        ["update", 199, 0, 0, "-ENODEV"],
        ["update", 0, 16384, 0, 0],
        ["update", 0, 0, 0, 0],
        ["update", 0, 0, 0, 0],
        ["lookup", 0, "-ENOENT"],
      ],
    },
    {
      id: "cpumap.programs",
      attr: { value_size: 8 },
      steps: [
        ["prog", "prog", {}, 0],
        ["update", 0, "4000000000000000", 0, 0],
        ["lookup", 0, "4000000000000000"],
        ["update", 0, "40000000ffffffff", 0, 0],
        ["update", 0, "400000000f270000", 0, "-ENOMEM"],
        ["update", 0, "000000000f270000", 0, 0],
        ["lookup", 0, "-ENOENT"],
      ],
    },
    {
      id: "cpumap.owner",
      steps: [
        ["prog", "uses", { maps: ["map"] }, 0],
        ["prog", "other", { maps: ["map"], flags: "BPF_F_XDP_HAS_FRAGS" }, "-EINVAL"],
        ["prog", "fourth", { maps: ["map"] }, 0],
      ],
    },
    {
      id: "cpumap.frozen",
      steps: [
        ["update", 0, 1, 0, 0],
        ["freeze", 0],
        ["update", 0, 1, 0, "-EPERM"],
        ["delete", 0, "-EPERM"],
        ["lookup", 0, 1],
      ],
    },
    {
      id: "cpumap.batch",
      steps: (["LOOKUP", "LOOKUP_AND_DELETE", "UPDATE", "DELETE"] as const).map((cmd) => [
        "call",
        `BPF_MAP_${cmd}_BATCH`,
        { map_fd: "$map", count: 0 },
        "-ENOTSUPP",
      ]),
    },
    { id: "cpumap.mmap", steps: [["mmap", 0, 4096, "rw", "-ENOTSUPP"]] },
    { id: "cpumap.poll", steps: [["poll", true]] },
    { id: "cpumap.info", steps: [["info", {}]] },
    {
      id: "cpumap.fdinfo",
      steps: [["fdinfo", 328]],
    },
  ],
};
