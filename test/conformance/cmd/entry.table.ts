import type { Table } from "../step.ts";

/** What bpf(2) judges before the command: size, tail, number. */
export const entryTable: Table = {
  name: "bpf(2)",
  attr: { map_type: "BPF_MAP_TYPE_ARRAY", key_size: 4, value_size: 4, max_entries: 1 },
  cases: [
    {
      id: "entry.size.short",
      steps: [
        ["raw", "BPF_MAP_CREATE", { map_type: 2, key_size: 4, value_size: 4, max_entries: 1 }, "-EINVAL", { size: 0 }],
        ["raw", "BPF_MAP_CREATE", { map_type: 2, key_size: 4, value_size: 4, max_entries: 1 }, "-EINVAL", { size: 4 }],
        ["raw", "BPF_MAP_CREATE", { map_type: 2, key_size: 4, value_size: 4, max_entries: 1 }, "-EINVAL", { size: 15 }],
        ["raw", "BPF_MAP_CREATE", { map_type: 2, key_size: 4, value_size: 4, max_entries: 1 }, 0, { size: 16 }],
        ["raw", "BPF_MAP_CREATE", { map_type: 2, key_size: 4, value_size: 4, max_entries: 1 }, 0, { size: 20 }],
        ["raw", "BPF_MAP_CREATE", { map_type: 2, key_size: 4, value_size: 4, max_entries: 1 }, 0, { size: 21 }],
        ["raw", "BPF_MAP_CREATE", { map_type: 2, key_size: 4, value_size: 4, max_entries: 1 }, 0, { size: 60 }],
        ["raw", "BPF_MAP_CREATE", { map_type: 2, key_size: 4, value_size: 4, max_entries: 1 }, 0, { size: 92 }],
      ],
    },
    // Half a field counts as half a field.
    {
      id: "entry.size.half_field",
      steps: [
        ["raw", "BPF_MAP_CREATE", { map_type: 2, key_size: 4, value_size: 4, "@12": 1 }, 0, { size: 13 }],
        [
          "raw",
          "BPF_MAP_CREATE",
          { map_type: 2, key_size: 4, value_size: 4, "@12": 0, "@13": 1 },
          "-EINVAL",
          { size: 13 },
        ],
      ],
    },
    {
      id: "entry.size.long",
      steps: [
        ["raw", "BPF_MAP_CREATE", { map_type: 2, key_size: 4, value_size: 4, max_entries: 1 }, 0, { size: 168 }],
        ["raw", "BPF_MAP_CREATE", { map_type: 2, key_size: 4, value_size: 4, max_entries: 1 }, 0, { size: 169 }],
        ["raw", "BPF_MAP_CREATE", { map_type: 2, key_size: 4, value_size: 4, max_entries: 1 }, 0, { size: 4096 }],
        [
          "raw",
          "BPF_MAP_CREATE",
          { map_type: 2, key_size: 4, value_size: 4, max_entries: 1 },
          "-E2BIG",
          { size: 4097 },
        ],
        [
          "raw",
          "BPF_MAP_CREATE",
          { map_type: 2, key_size: 4, value_size: 4, max_entries: 1 },
          "-E2BIG",
          { size: 8192 },
        ],
      ],
    },
    // Surprise 27.
    {
      id: "entry.tail.dirty",
      steps: [
        ["raw", "BPF_MAP_CREATE", { map_type: 2, key_size: 4, value_size: 4, max_entries: 1, "@168": 1 }, "-E2BIG"],
        ["raw", "BPF_MAP_CREATE", { map_type: 2, key_size: 4, value_size: 4, max_entries: 1, "@4095": 1 }, "-E2BIG"],
        ["raw", "BPF_MAP_CREATE", { map_type: 2, key_size: 4, value_size: 4, max_entries: 1, "@167": 1 }, "-EINVAL"],
        ["raw", "BPF_MAP_CREATE", { map_type: 2, key_size: 4, value_size: 4, max_entries: 1, "@92": 1 }, "-EINVAL"],
        ["raw", "BPF_MAP_CREATE", { map_type: 2, key_size: 4, value_size: 4, max_entries: 1, "@170": 0 }, 0],
      ],
    },
    {
      id: "entry.command.unknown",
      steps: [
        ["raw", 38, {}, "-EINVAL", { size: 16 }],
        ["raw", 100, {}, "-EINVAL", { size: 168 }],
        ["raw", -1, {}, "-EINVAL", { size: 168 }],
        ["raw", 0x7fffffff, {}, "-EINVAL", { size: 168 }],
        ["raw", 100, { "@168": 1 }, "-E2BIG"],
        ["raw", 100, { "@167": 1 }, "-EINVAL"],
        ["raw", 100, {}, "-E2BIG", { size: 4097 }],
      ],
    },
    {
      id: "entry.attr.bad_pointer",
      steps: [
        ["at", "BPF_MAP_CREATE", "BAD", 92, "-EFAULT"],
        ["at", "BPF_MAP_CREATE", 0, 92, "-EFAULT"],
        ["at", "BPF_MAP_CREATE", "BAD", 168, "-EFAULT"],
        ["at", "BPF_MAP_CREATE", "BAD", 200, "-EFAULT"],
        ["at", "BPF_MAP_CREATE", "BAD", 4096, "-EFAULT"],
        ["at", "BPF_MAP_CREATE", "BAD", 4097, "-E2BIG"],
        ["at", "BPF_MAP_CREATE", "BAD", 0xffffffff, "-E2BIG"],
        // Nothing is read, so nothing can be wrong with where it is.
        ["at", "BPF_MAP_CREATE", "BAD", 0, "-EINVAL"],
        ["at", 100, "BAD", 16, "-EFAULT"],
        ["at", 100, "BAD", 0, "-EINVAL"],
      ],
    },
    {
      id: "entry.check_attr.elem",
      steps: [
        [
          "raw",
          "BPF_MAP_LOOKUP_ELEM",
          { map_fd: "$map", key: { hex: "00000000" }, value: { length: 4 }, "@32": 1 },
          "-EINVAL",
        ],
        [
          "raw",
          "BPF_MAP_LOOKUP_ELEM",
          { map_fd: "$map", key: { hex: "00000000" }, value: { length: 4 }, "@167": 1 },
          "-EINVAL",
        ],
        [
          "raw",
          "BPF_MAP_UPDATE_ELEM",
          { map_fd: "$map", key: { hex: "00000000" }, value: { length: 4 }, "@32": 1 },
          "-EINVAL",
        ],
        [
          "raw",
          "BPF_MAP_LOOKUP_AND_DELETE_ELEM",
          { map_fd: "$map", key: { hex: "00000000" }, value: { length: 4 }, "@32": 1 },
          "-EINVAL",
        ],
        // Padding inside the layout is not looked at.
        [
          "raw",
          "BPF_MAP_LOOKUP_ELEM",
          { map_fd: "$map", key: { hex: "00000000" }, value: { length: 4 }, "@4": 1, "@7": 255 },
          0,
          { out: { value: "00000000" } },
        ],
        [
          "raw",
          "BPF_MAP_UPDATE_ELEM",
          { map_fd: "$map", key: { hex: "00000000" }, value: { hex: "01000000" }, "@5": 1 },
          0,
        ],
        // Before the fd.
        ["raw", "BPF_MAP_LOOKUP_ELEM", { map_fd: -1, "@32": 1 }, "-EINVAL"],
        ["raw", "BPF_MAP_FREEZE", { map_fd: -1, "@4": 1 }, "-EINVAL"],
      ],
    },
    // Surprise 26: the fields that the command does not have must be zero.
    {
      id: "entry.check_attr.no_flags_field",
      steps: [
        ["raw", "BPF_MAP_DELETE_ELEM", { map_fd: "$map", key: { hex: "00000000" }, "@16": 1 }, "-EINVAL"],
        ["raw", "BPF_MAP_DELETE_ELEM", { map_fd: "$map", key: { hex: "00000000" }, "@24": 1 }, "-EINVAL"],
        ["raw", "BPF_MAP_GET_NEXT_KEY", { map_fd: "$map", key: 0, next_key: { length: 4 }, "@24": 1 }, "-EINVAL"],
        ["raw", "BPF_MAP_FREEZE", { map_fd: "$map", "@4": 1 }, "-EINVAL"],
        ["raw", "BPF_MAP_FREEZE", { map_fd: "$map", "@8": 1 }, "-EINVAL"],
        ["raw", "BPF_MAP_GET_NEXT_ID", { start_id: 0, "@8": 1 }, "-EINVAL"],
        ["raw", "BPF_MAP_GET_FD_BY_ID", { map_id: "#map", "@12": 1 }, "-EINVAL"],
        ["raw", "BPF_OBJ_GET_INFO_BY_FD", { bpf_fd: "$map", info_len: 0, "@16": 1 }, "-EINVAL"],
        ["raw", "BPF_BTF_GET_FD_BY_ID", { btf_id: 1, "@16": 1 }, "-EINVAL"],
        ["raw", "BPF_BTF_GET_NEXT_ID", { start_id: 0, "@8": 1 }, "-EINVAL"],
        ["raw", "BPF_BTF_LOAD", { btf: 0, "@40": 1 }, "-EINVAL"],
      ],
    },
    {
      id: "entry.elem.short_attr",
      steps: [
        [
          "raw",
          "BPF_MAP_LOOKUP_ELEM",
          { map_fd: "$map", key: { hex: "00000000" }, value: { length: 4 } },
          "-EFAULT",
          { size: 16 },
        ],
        [
          "raw",
          "BPF_MAP_LOOKUP_ELEM",
          { map_fd: "$map", key: { hex: "00000000" }, value: { length: 4 } },
          0,
          { size: 24, out: { value: "00000000" } },
        ],
        ["raw", "BPF_MAP_DELETE_ELEM", { map_fd: "$map", key: { hex: "00000000" } }, "-EFAULT", { size: 8 }],
      ],
    },
  ],
};
