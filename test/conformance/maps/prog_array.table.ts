import type { MapTable } from "../step.ts";

export const progArrayTable: MapTable = {
  type: "BPF_MAP_TYPE_PROG_ARRAY",
  attr: { key_size: 4, value_size: 4, max_entries: 2 },
  cases: [
    {
      id: "prog_array.create.sizes",
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
        ["create", { inner_map_fd: 9999 }, 0],
      ],
    },
    {
      id: "prog_array.create.flags",
      attr: { map_token_fd: -1 },
      steps: [["create flags", "BPF_F_NUMA_NODE|BPF_F_RDONLY|BPF_F_WRONLY", { BPF_F_TOKEN_FD: "-EBADF" }]],
    },
    {
      // The value is any type of 4 bytes, the key too.
      id: "prog_array.btf",
      steps: [
        ["btf", "btf"],
        ["create", { btf_fd: "$btf", btf_key_type_id: "type:u32", btf_value_type_id: "type:u32" }, 0],
        ["create", { btf_fd: "$btf", btf_value_type_id: "type:u32" }, "-EINVAL"],
        ["create", { btf_fd: "$btf", btf_key_type_id: "type:u32", btf_value_type_id: "type:u64" }, "-EINVAL"],
      ],
    },
    {
      id: "prog_array.empty",
      steps: [
        ["lookup", 0, "-ENOENT"],
        ["delete", 0, "-ENOENT"],
        ["lookup", 2, "-ENOENT"],
        ["delete", 2, "-E2BIG"],
        ["take", 0, "-ENOTSUPP"],
        ["keys", [0, 1]],
        ["next", 1, "-ENOENT"],
        ["next", 7, 0],
      ],
    },
    {
      id: "prog_array.elements",
      steps: [
        ["prog", "first", {}, 0],
        ["prog", "second", {}, 0],
        ["update", 0, "$first", 0, 0],
        ["update", 1, "$first", 0, 0],
        ["lookup", 0, "#first"],
        ["update", 0, "$second", 0, 0],
        ["lookup", 0, "#second"],
        ["lookup", 1, "#first"],
        ["take", 1, "-ENOTSUPP"],
        ["delete", 1, 0],
        ["delete", 1, "-ENOENT"],
        ["lookup", 1, "-ENOENT"],
      ],
    },
    {
      // Flags, index, fd.
      id: "prog_array.update.order",
      steps: [
        ["prog", "prog", {}, 0],
        ["btf", "btf"],
        ["update", 0, "$prog", "BPF_NOEXIST", "-EINVAL"],
        ["update", 0, "$prog", "BPF_EXIST", "-EINVAL"],
        ["update", 0, "$prog", "BPF_F_LOCK", "-EINVAL"],
        ["update", 0, "$prog", 8, "-EINVAL"],
        ["update", 0, 9999, 1, "-EINVAL"],
        ["update", 2, 9999, 1, "-EINVAL"],
        ["update", 2, 9999, 0, "-E2BIG"],
        ["update", 0, 9999, 0, "-EBADF"],
        ["update", 0, 0xffffffff, 0, "-EBADF"],
        ["update", 0, "$map", 0, "-EINVAL"],
        ["update", 0, "$btf", 0, "-EINVAL"],
        ["lookup", 0, "-ENOENT"],
      ],
    },
    {
      id: "prog_array.holds",
      steps: [
        ["prog", "prog", {}, 0],
        ["update", 0, "$prog", 0, 0],
        ["close", "prog", 0],
        ["lookup", 0, "#prog"],
        ["call", "BPF_PROG_GET_FD_BY_ID", { prog_id: "#prog" }, 0],
        ["delete", 0, 0],
        ["call", "BPF_PROG_GET_FD_BY_ID", { prog_id: "#prog" }, "-ENOENT"],
      ],
    },
    {
      // The first program decides: whether packets may come in pieces.
      id: "prog_array.owner.frags",
      steps: [
        ["prog", "whole", {}, 0],
        ["prog", "frags", { flags: "BPF_F_XDP_HAS_FRAGS" }, 0],
        ["update", 0, "$frags", 0, 0],
        ["update", 1, "$whole", 0, "-EINVAL"],
        ["delete", 0, 0],
        ["update", 1, "$whole", 0, "-EINVAL"],
        ["update", 1, "$frags", 0, 0],
      ],
    },
    {
      id: "prog_array.owner.attach_type",
      steps: [
        ["prog", "plain", {}, 0],
        ["prog", "devmap", { attachType: "BPF_XDP_DEVMAP" }, 0],
        ["prog", "xdp", { attachType: "BPF_XDP" }, 0],
        ["update", 0, "$plain", 0, 0],
        ["update", 1, "$devmap", 0, "-EINVAL"],
        ["update", 1, "$xdp", 0, "-EINVAL"],
        ["update", 1, "$plain", 0, 0],
      ],
    },
    {
      // A program that is loaded with the map decides as well, and one of another kind is refused.
      id: "prog_array.owner.load",
      steps: [
        ["prog", "uses", { maps: ["map"] }, 0],
        ["prog", "frags", { flags: "BPF_F_XDP_HAS_FRAGS" }, 0],
        ["update", 0, "$frags", 0, "-EINVAL"],
        ["prog", "other", { maps: ["map"], flags: "BPF_F_XDP_HAS_FRAGS" }, "-EINVAL"],
        ["prog", "third", { maps: ["map"], attachType: "BPF_XDP_CPUMAP" }, "-EINVAL"],
        ["update", 0, "$uses", 0, 0],
        ["close", "uses", 0],
        ["lookup", 0, "#uses"],
      ],
    },
    {
      // Emptied with the last fd, although a program holds the map; then they hold each other no longer.
      id: "prog_array.release",
      steps: [
        ["prog", "uses", { maps: ["map"] }, 0],
        ["prog", "prog", {}, 0],
        ["update", 0, "$uses", 0, 0],
        ["update", 1, "$prog", 0, 0],
        ["open", "second", 0, 0],
        ["close", "map", 0],
        ["use", "second"],
        ["lookup", 0, "#uses"],
        ["close", "uses", 0],
        ["lookup", 0, "#uses"],
        ["lookup", 1, "#prog"],
        ["close", "second", 0],
        ["call", "BPF_PROG_GET_FD_BY_ID", { prog_id: "#prog" }, 0],
      ],
    },
    {
      id: "prog_array.frozen",
      steps: [
        ["prog", "prog", {}, 0],
        ["update", 0, "$prog", 0, 0],
        ["freeze", 0],
        ["update", 0, "$prog", 0, "-EPERM"],
        ["delete", 0, "-EPERM"],
        ["lookup", 0, "#prog"],
      ],
    },
    {
      id: "prog_array.batch",
      steps: (["LOOKUP", "LOOKUP_AND_DELETE", "UPDATE", "DELETE"] as const).map((cmd) => [
        "call",
        `BPF_MAP_${cmd}_BATCH`,
        { map_fd: "$map", count: 0 },
        "-ENOTSUPP",
      ]),
    },
    { id: "prog_array.info", steps: [["info", {}]] },
    {
      id: "prog_array.mmap",
      steps: [
        ["mmap", 0, 4096, "r", "-ENOTSUPP"],
        ["poll", true],
      ],
    },
    {
      id: "prog_array.bad_memory",
      steps: [
        ["prog", "prog", {}, 0],
        ["update", 1, "$prog", 0, 0],
        ["call", "BPF_MAP_LOOKUP_ELEM", { map_fd: "$map", key: { words: [1] }, value: "BAD" }, "-EFAULT"],
        ["call", "BPF_MAP_LOOKUP_ELEM", { map_fd: "$map", key: { words: [0] }, value: "BAD" }, "-ENOENT"],
        ["call", "BPF_MAP_UPDATE_ELEM", { map_fd: "$map", key: { words: [1] }, value: "BAD" }, "-EFAULT"],
      ],
    },
  ],
};
