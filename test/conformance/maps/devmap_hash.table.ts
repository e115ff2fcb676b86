import type { MapTable } from "../step.ts";

export const devmapHashTable: MapTable = {
  type: "BPF_MAP_TYPE_DEVMAP_HASH",
  attr: { key_size: 4, value_size: 4, max_entries: 4 },
  cases: [
    {
      id: "devmap_hash.create.sizes",
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
            [0x80000001, "-EINVAL"],
          ],
        ],
        ["create", { map_extra: 1 }, "-EINVAL"],
      ],
    },
    {
      id: "devmap_hash.create.flags",
      attr: { map_token_fd: -1 },
      steps: [["create flags", "BPF_F_NUMA_NODE|BPF_F_RDONLY|BPF_F_WRONLY", { BPF_F_TOKEN_FD: "-EBADF" }]],
    },
    {
      id: "devmap_hash.btf",
      steps: [
        ["btf", "btf"],
        ["create", { btf_fd: "$btf", btf_key_type_id: "type:u32", btf_value_type_id: "type:u32" }, "-ENOTSUPP"],
        ["create", { btf_fd: "$btf", btf_value_type_id: "type:u32" }, "-ENOTSUPP"],
      ],
    },
    {
      id: "devmap_hash.elements",
      steps: [
        ["lookup", 7, "-ENOENT"],
        ["next", null, "-ENOENT"],
        ["delete", 7, "-ENOENT"],
        ["update", 7, 1, 0, 0],
        ["update", 0xffffffff, 1, "BPF_NOEXIST", 0],
        ["update", 100, 1, "BPF_EXIST", 0],
        ["lookup", 7, 1],
        ["lookup", 0xffffffff, 1],
        ["lookup", 100, 1],
        ["take", 7, "-ENOTSUPP"],
        ["update", 7, 1, "BPF_NOEXIST", "-EEXIST"],
        ["delete", 7, 0],
        ["delete", 7, "-ENOENT"],
        ["lookup", 7, "-ENOENT"],
      ],
    },
    {
      // Four buckets by the low bits; the newest of a bucket comes first, and an update makes new.
      id: "devmap_hash.order",
      attr: { max_entries: 6 },
      steps: [
        ["update", 8, 1, 0, 0],
        ["update", 16, 1, 0, 0],
        ["update", 3, 1, 0, 0],
        ["update", 0, 1, 0, 0],
        ["keys", [0, 16, 8, 3]],
        ["update", 8, 1, 0, 0],
        ["keys", [8, 0, 16, 3]],
        ["next", 0, 16],
        ["next", 1000, 8],
        ["next", 3, "-ENOENT"],
        ["delete", 0, 0],
        ["update", 24, 1, 0, 0],
        ["keys", [24, 8, 16, 3]],
      ],
    },
    {
      id: "devmap_hash.full",
      attr: { max_entries: 2 },
      steps: [
        ["update", 1, 1, 0, 0],
        ["update", 2, 1, 0, 0],
        ["update", 3, 1, 0, "-E2BIG"],
        ["update", 2, 1, 0, 0],
        ["delete", 1, 0],
        ["update", 3, 1, 0, 0],
        ["keys", [2, 3]],
      ],
    },
    {
      // Flags, no device, NOEXIST, then the device.
      id: "devmap_hash.update.order",
      steps: [
        ["update", 0, 1, 0, 0],
        ["update", 0, 0, 3, "-EINVAL"],
        ["update", 0, 0, 0, "-EINVAL"],
        ["update", 0, 9999, "BPF_NOEXIST", "-EEXIST"],
        ["update", 1, 9999, "BPF_NOEXIST", "-EINVAL"],
        ["update", 1, 0xffffffff, 0, "-EINVAL"],
        ["update", 0, 1, "BPF_F_LOCK", "-EINVAL"],
      ],
    },
    {
      id: "devmap_hash.programs",
      attr: { value_size: 8 },
      steps: [
        ["update", 5, "0100000000000000", 0, 0],
        ["lookup", 5, "0100000000000000"],
        ["update", 5, "01000000ffffffff", 0, 0],
        ["lookup", 5, "0100000000000000"],
        ["update", 5, "010000000f270000", 0, "-EINVAL"],
        ["lookup", 5, "0100000000000000"],
      ],
    },
    {
      // It takes programs of any kind.
      id: "devmap_hash.owner",
      steps: [
        ["prog", "uses", { maps: ["map"] }, 0],
        ["prog", "other", { maps: ["map"], flags: "BPF_F_XDP_HAS_FRAGS" }, 0],
      ],
    },
    {
      id: "devmap_hash.frozen",
      steps: [
        ["update", 0, 1, 0, 0],
        ["freeze", 0],
        ["update", 0, 1, 0, "-EPERM"],
        ["delete", 0, "-EPERM"],
        ["lookup", 0, 1],
      ],
    },
    {
      id: "devmap_hash.batch",
      steps: (["LOOKUP", "LOOKUP_AND_DELETE", "UPDATE", "DELETE"] as const).map((cmd) => [
        "call",
        `BPF_MAP_${cmd}_BATCH`,
        { map_fd: "$map", count: 0 },
        "-ENOTSUPP",
      ]),
    },
    { id: "devmap_hash.mmap", steps: [["mmap", 0, 4096, "rw", "-ENOTSUPP"]] },
    { id: "devmap_hash.poll", steps: [["poll", true]] },
    { id: "devmap_hash.info", steps: [["info", { map_flags: 0x80 }]] },
    {
      id: "devmap_hash.fdinfo",
      steps: [
        ["update", 0, 1, 0, 0],
        ["fdinfo", 440, { map_flags: "0x80" }],
      ],
    },
  ],
};
