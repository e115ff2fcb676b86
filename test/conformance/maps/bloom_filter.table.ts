import type { MapTable } from "../step.ts";

export const bloomFilterTable: MapTable = {
  type: "BPF_MAP_TYPE_BLOOM_FILTER",
  attr: { key_size: 0, value_size: 4, max_entries: 16, map_flags: "BPF_F_ZERO_SEED" },
  cases: [
    {
      id: "bloom_filter.create.sizes",
      steps: [
        [
          "create each",
          "key_size",
          [
            [0, 0],
            [1, "-EINVAL"],
            [4, "-EINVAL"],
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
        [
          "create each",
          "value_size",
          [
            [0, "-EINVAL"],
            [1, 0],
            [5, 0],
            [4194304, 0],
            [4194305, "-E2BIG"],
            [0xffffffff, "-E2BIG"],
          ],
        ],
      ],
    },
    {
      id: "bloom_filter.create.flags",
      attr: { map_flags: 0, map_token_fd: -1 },
      steps: [
        [
          "create flags",
          "BPF_F_NUMA_NODE|BPF_F_RDONLY|BPF_F_WRONLY|BPF_F_ZERO_SEED|BPF_F_RDONLY_PROG|BPF_F_WRONLY_PROG",
          { BPF_F_TOKEN_FD: "-EBADF" },
        ],
        ["create", { map_flags: "BPF_F_RDONLY_PROG|BPF_F_WRONLY_PROG" }, "-EINVAL"],
        ["create", { map_flags: "BPF_F_RDONLY|BPF_F_WRONLY" }, "-EINVAL"],
      ],
    },
    {
      id: "bloom_filter.create.map_extra",
      steps: [
        [
          "create each",
          "map_extra",
          [
            [0, 0],
            [1, 0],
            [5, 0],
            [15, 0],
            [16, "-EINVAL"],
            [17, "-EINVAL"],
            [4096, "-EINVAL"],
            [0x100000000, "-EINVAL"],
            [0x100000001, "-EINVAL"],
          ],
        ],
      ],
    },
    // The size of the value is judged before the rest.
    {
      id: "bloom_filter.create.order",
      steps: [
        ["create", { value_size: 4194305, key_size: 4 }, "-E2BIG"],
        ["create", { value_size: 4194305, map_flags: "BPF_F_MMAPABLE" }, "-E2BIG"],
        ["create", { value_size: 4194305, map_extra: 16 }, "-E2BIG"],
      ],
    },
    { id: "bloom_filter.info", attr: { value_size: 5, map_name: "bloom" }, steps: [["info", {}]] },
    { id: "bloom_filter.info.map_extra", attr: { map_extra: 3 }, steps: [["info", {}]] },
    {
      id: "bloom_filter.member",
      steps: [
        ["member", 1, "-ENOENT"],
        ["push", 1, 0],
        ["member", 1, 0],
        ["push", 1, 0],
        ["member", 1, 0],
        ["member", 2, "-ENOENT"],
      ],
    },
    {
      id: "bloom_filter.push.flags",
      steps: [
        ["push", 1, "-EINVAL", "BPF_NOEXIST"],
        ["push", 1, "-EINVAL", "BPF_EXIST"],
        ["push", 1, "-EINVAL", "BPF_F_LOCK"],
        ["push", 1, "-EINVAL", 8],
        ["push", 1, "-EINVAL", 0x100000000],
        ["member", 1, "-ENOENT"],
      ],
    },
    {
      id: "bloom_filter.no_keys",
      steps: [
        ["push", 1, 0],
        ["call", "BPF_MAP_DELETE_ELEM", { map_fd: "$map", key: 0 }, "-EOPNOTSUPP"],
        ["call", "BPF_MAP_GET_NEXT_KEY", { map_fd: "$map", key: 0, next_key: { length: 4 } }, "-EOPNOTSUPP"],
        ["call", "BPF_MAP_LOOKUP_AND_DELETE_ELEM", { map_fd: "$map", value: { length: 4 } }, "-ENOTSUPP"],
        ["call", "BPF_MAP_LOOKUP_AND_DELETE_ELEM", { map_fd: "$map", value: "BAD" }, "-ENOTSUPP"],
        ["member", 1, 0],
      ],
    },
    // Surprise 15.
    {
      id: "bloom_filter.key_given",
      steps: [
        ["call", "BPF_MAP_UPDATE_ELEM", { map_fd: "$map", key: { hex: "00000000" }, value: { length: 4 } }, "-EINVAL"],
        ["call", "BPF_MAP_LOOKUP_ELEM", { map_fd: "$map", key: { hex: "00000000" }, value: { length: 4 } }, "-EINVAL"],
        ["call", "BPF_MAP_DELETE_ELEM", { map_fd: "$map", key: { hex: "00000000" } }, "-EINVAL"],
        [
          "call",
          "BPF_MAP_GET_NEXT_KEY",
          { map_fd: "$map", key: { hex: "00000000" }, next_key: { length: 4 } },
          "-EINVAL",
        ],
        ["call", "BPF_MAP_LOOKUP_ELEM", { map_fd: "$map", key: "BAD", value: { length: 4 } }, "-EINVAL"],
      ],
    },
    // Surprise 16: the value of a lookup is an input.
    {
      id: "bloom_filter.bad_value",
      steps: [
        ["call", "BPF_MAP_LOOKUP_ELEM", { map_fd: "$map", value: "BAD" }, "-EFAULT"],
        ["call", "BPF_MAP_LOOKUP_ELEM", { map_fd: "$map", value: 0 }, "-EFAULT"],
        ["call", "BPF_MAP_UPDATE_ELEM", { map_fd: "$map", value: "BAD", flags: 9 }, "-EFAULT"],
        ["call", "BPF_MAP_LOOKUP_ELEM", { map_fd: "$map", value: { length: 4 }, flags: 1 }, "-EINVAL"],
        ["call", "BPF_MAP_LOOKUP_ELEM", { map_fd: "$map", value: { length: 4 }, flags: "BPF_F_LOCK" }, "-EINVAL"],
      ],
    },
    {
      id: "bloom_filter.short_buffers",
      steps: [
        ["object", "BPF_MAP_LOOKUP_ELEM", { map_fd: "$map", value: { length: 3 } }, "-EFAULT"],
        ["object", "BPF_MAP_UPDATE_ELEM", { map_fd: "$map", value: { length: 3 } }, "-EFAULT"],
      ],
    },
    {
      id: "bloom_filter.frozen",
      steps: [
        ["push", 1, 0],
        ["freeze", 0],
        ["push", 2, "-EPERM"],
        ["member", 1, 0],
        ["member", 2, "-ENOENT"],
      ],
    },
    {
      id: "bloom_filter.rdonly",
      attr: { map_flags: "BPF_F_RDONLY|BPF_F_ZERO_SEED" },
      steps: [
        ["push", 1, "-EPERM"],
        ["member", 1, "-ENOENT"],
        ["info", {}],
      ],
    },
    {
      id: "bloom_filter.wronly",
      attr: { map_flags: "BPF_F_WRONLY|BPF_F_ZERO_SEED" },
      steps: [
        ["push", 1, 0],
        ["member", 1, "-EPERM"],
        ["info", {}],
      ],
    },
    {
      id: "bloom_filter.mmap",
      steps: [
        ["mmap", 0, 4096, "r", "-ENOTSUPP"],
        ["poll", true],
      ],
    },
    {
      id: "bloom_filter.btf",
      attr: { value_size: 16 },
      steps: [
        ["btf", "b"],
        ["create", { btf_fd: "$b", btf_value_type_id: "type:pair" }, 0, "typed"],
        ["use", "typed"],
        ["info", { btf_id: "any", btf_value_type_id: "type:pair" }],
        ["create", { btf_fd: "$b", btf_value_type_id: "type:u64" }, "-EINVAL"],
        ["create", { btf_fd: "$b", btf_key_type_id: "type:u32", btf_value_type_id: "type:pair" }, "-EINVAL"],
      ],
    },
    // Which values seem to be there that never were: the same bits as the kernel.
    {
      id: "bloom_filter.false_positives.value_size_1_hashes_0",
      attr: { value_size: 1, max_entries: 1, map_extra: 0 },
      steps: [
        ["push each", 1, 9, 0],
        ["members", 1, 9, "all"],
        ["members", 10, 255, [35, 67, 117, 136, 195]],
      ],
    },
    {
      id: "bloom_filter.false_positives.value_size_3_hashes_2",
      attr: { value_size: 3, max_entries: 7, map_extra: 2 },
      steps: [
        ["push each", 1, 6, 0],
        ["members", 1, 6, "all"],
        ["members", 7, 200, [38, 117, 121]],
      ],
    },
    {
      id: "bloom_filter.false_positives.value_size_4_hashes_0",
      attr: { value_size: 4, max_entries: 16, map_extra: 0 },
      steps: [
        ["push each", 1, 16, 0],
        ["members", 1, 16, "all"],
        ["members", 17, 400, [59, 99, 106, 157, 162, 164, 212, 272, 275, 322, 324]],
      ],
    },
    {
      id: "bloom_filter.false_positives.value_size_4_hashes_3",
      attr: { value_size: 4, max_entries: 100, map_extra: 3 },
      steps: [
        ["push each", 1, 100, 0],
        ["members", 1, 100, "all"],
        [
          "members",
          101,
          300,
          [
            109, 121, 126, 141, 148, 155, 158, 166, 179, 184, 222, 223, 230, 236, 254, 261, 265, 267, 268, 272, 277,
            281, 298, 299,
          ],
        ],
      ],
    },
    {
      id: "bloom_filter.false_positives.value_size_5_hashes_1",
      attr: { value_size: 5, max_entries: 100, map_extra: 1 },
      steps: [
        ["push each", 1, 60, 0],
        ["members", 1, 60, "all"],
        ["members", 61, 150, [68, 77, 87, 88, 101, 103, 110, 114, 118, 122, 123, 137, 140, 142, 145, 147]],
      ],
    },
    {
      id: "bloom_filter.false_positives.value_size_7_hashes_15",
      attr: { value_size: 7, max_entries: 3, map_extra: 15 },
      steps: [
        ["push each", 1, 3, 0],
        ["members", 1, 3, "all"],
        ["members", 4, 255, []],
      ],
    },
    {
      id: "bloom_filter.false_positives.value_size_8_hashes_0",
      attr: { value_size: 8, max_entries: 16, map_extra: 0 },
      steps: [
        ["push each", 1, 20, 0],
        ["members", 1, 20, "all"],
        ["members", 21, 300, [45, 79, 110, 136, 140, 238, 265, 266, 297]],
      ],
    },
    {
      id: "bloom_filter.false_positives.value_size_12_hashes_5",
      attr: { value_size: 12, max_entries: 50, map_extra: 5 },
      steps: [
        ["push each", 1, 60, 0],
        ["members", 1, 60, "all"],
        ["members", 61, 400, [68, 100, 103, 152, 223, 224, 238, 390]],
      ],
    },
    {
      id: "bloom_filter.false_positives.value_size_13_hashes_1",
      attr: { value_size: 13, max_entries: 9, map_extra: 1 },
      steps: [
        ["push each", 1, 9, 0],
        ["members", 1, 9, "all"],
        ["members", 10, 70, [14, 22, 25, 27, 33, 34, 40, 51]],
      ],
    },
    {
      id: "bloom_filter.false_positives.value_size_16_hashes_15",
      attr: { value_size: 16, max_entries: 33, map_extra: 15 },
      steps: [
        ["push each", 1, 60, 0],
        ["members", 1, 60, "all"],
        ["members", 61, 600, [576]],
      ],
    },
  ],
};
