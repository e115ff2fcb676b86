import type { MapTable } from "../step.ts";

export const devmapTable: MapTable = {
  type: "BPF_MAP_TYPE_DEVMAP",
  attr: { key_size: 4, value_size: 4, max_entries: 3 },
  cases: [
    {
      id: "devmap.create.sizes",
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
            [1000, 0],
          ],
        ],
        ["create", { map_extra: 1 }, "-EINVAL"],
      ],
    },
    {
      id: "devmap.create.flags",
      attr: { map_token_fd: -1 },
      steps: [["create flags", "BPF_F_NUMA_NODE|BPF_F_RDONLY|BPF_F_WRONLY", { BPF_F_TOKEN_FD: "-EBADF" }]],
    },
    {
      id: "devmap.btf",
      steps: [
        ["btf", "btf"],
        ["create", { btf_fd: "$btf", btf_key_type_id: "type:u32", btf_value_type_id: "type:u32" }, "-ENOTSUPP"],
        ["create", { btf_fd: "$btf", btf_value_type_id: "type:u32" }, "-ENOTSUPP"],
      ],
    },
    {
      id: "devmap.elements",
      steps: [
        ["lookup", 0, "-ENOENT"],
        ["update", 0, 1, 0, 0],
        ["update", 2, 1, "BPF_EXIST", 0],
        ["lookup", 0, 1],
        ["lookup", 1, "-ENOENT"],
        ["lookup", 2, 1],
        ["lookup", 3, "-ENOENT"],
        ["take", 0, "-ENOTSUPP"],
        ["keys", [0, 1, 2]],
        ["next", 2, "-ENOENT"],
        ["next", 9, 0],
        ["delete", 0, 0],
        ["delete", 0, 0],
        ["delete", 3, "-EINVAL"],
        ["lookup", 0, "-ENOENT"],
      ],
    },
    {
      // Flags, index, NOEXIST wherever, then the device.
      id: "devmap.update.order",
      steps: [
        ["update", 9, 9999, 3, "-EINVAL"],
        ["update", 9, 9999, "BPF_NOEXIST", "-E2BIG"],
        ["update", 0, 9999, "BPF_NOEXIST", "-EEXIST"],
        ["update", 0, 1, "BPF_NOEXIST", "-EEXIST"],
        ["update", 0, 0x7fffffff, 0, "-EINVAL"],
        ["update", 0, 0xffffffff, 0, "-EINVAL"],
        ["update", 0, 1, "BPF_F_LOCK", "-EINVAL"],
      ],
    },
    {
      // No device at all empties a slot.
      id: "devmap.update.zero",
      steps: [
        ["update", 1, 0, 0, 0],
        ["update", 1, 1, 0, 0],
        ["update", 1, 0, 0, 0],
        ["lookup", 1, "-ENOENT"],
      ],
    },
    {
      id: "devmap.programs",
      attr: { value_size: 8 },
      steps: [
        ["update", 0, "0100000000000000", 0, 0],
        ["lookup", 0, "0100000000000000"],
        ["update", 0, "01000000ffffffff", 0, 0],
        ["lookup", 0, "0100000000000000"],
        ["update", 0, "010000000f270000", 0, "-EINVAL"],
        ["update", 0, "000000000f270000", 0, "-EINVAL"],
        ["lookup", 0, "0100000000000000"],
        ["update", 0, "00000000ffffffff", 0, 0],
        ["lookup", 0, "-ENOENT"],
      ],
    },
    {
      // The first program that is loaded with the map decides for which kind it is.
      id: "devmap.owner",
      steps: [
        ["prog", "uses", { maps: ["map"] }, 0],
        ["prog", "other", { maps: ["map"], flags: "BPF_F_XDP_HAS_FRAGS" }, "-EINVAL"],
        ["prog", "third", { maps: ["map"], attachType: "BPF_XDP_CPUMAP" }, 0],
        ["prog", "fourth", { maps: ["map"] }, 0],
      ],
    },
    {
      id: "devmap.frozen",
      steps: [
        ["update", 0, 1, 0, 0],
        ["freeze", 0],
        ["update", 0, 1, 0, "-EPERM"],
        ["delete", 0, "-EPERM"],
        ["lookup", 0, 1],
      ],
    },
    {
      id: "devmap.batch",
      steps: (["LOOKUP", "LOOKUP_AND_DELETE", "UPDATE", "DELETE"] as const).map((cmd) => [
        "call",
        `BPF_MAP_${cmd}_BATCH`,
        { map_fd: "$map", count: 0 },
        "-ENOTSUPP",
      ]),
    },
    { id: "devmap.mmap", steps: [["mmap", 0, 4096, "rw", "-ENOTSUPP"]] },
    { id: "devmap.poll", steps: [["poll", true]] },
    { id: "devmap.info", steps: [["info", { map_flags: 0x80 }]] },
    {
      id: "devmap.fdinfo",
      steps: [
        ["update", 0, 1, 0, 0],
        ["fdinfo", 432, { map_flags: "0x80" }],
      ],
    },
  ],
};
