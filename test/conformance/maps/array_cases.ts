/** Cases that hold for ARRAY and PERCPU_ARRAY alike. */
import type { Case } from "../step.ts";

/** For a table whose attributes are { key_size: 4, value_size: 8, max_entries: 4 }. */
export function arrayCases(prefix: string): Case[] {
  const id = (rest: string): string => `${prefix}.${rest}`;
  return [
    {
      id: id("create.key_size"),
      steps: [
        [
          "create each",
          "key_size",
          [
            [0, "-EINVAL"],
            [1, "-EINVAL"],
            [3, "-EINVAL"],
            [4, 0],
            [5, "-EINVAL"],
            [8, "-EINVAL"],
            [0xffffffff, "-EINVAL"],
          ],
        ],
      ],
    },
    {
      id: id("create.max_entries"),
      steps: [
        [
          "create each",
          "max_entries",
          [
            [0, "-EINVAL"],
            [1, 0],
            [3, 0],
            [1000, 0],
          ],
        ],
      ],
    },
    {
      id: id("create.map_extra"),
      steps: [
        [
          "create each",
          "map_extra",
          [
            [1, "-EINVAL"],
            [0x100000000, "-EINVAL"],
          ],
        ],
      ],
    },
    {
      id: id("create.access"),
      steps: [
        ["create", { map_flags: "BPF_F_RDONLY|BPF_F_WRONLY" }, "-EINVAL"],
        ["create", { map_flags: "BPF_F_RDONLY_PROG|BPF_F_WRONLY_PROG" }, "-EINVAL"],
        ["create", { map_flags: "BPF_F_WRONLY|BPF_F_RDONLY_PROG" }, 0],
      ],
    },
    {
      id: id("create.ignored"),
      steps: [
        ["create", { inner_map_fd: 12345, numa_node: 77, map_token_fd: 5, btf_fd: 99, value_type_btf_obj_fd: 3 }, 0],
      ],
    },
    {
      id: id("zeroed"),
      steps: [
        ["lookup", 0, 0],
        ["lookup", 3, 0],
      ],
    },
    // Surprise 1.
    {
      id: id("out_of_range"),
      steps: [
        ["lookup", 4, "-ENOENT"],
        ["lookup", 0xffffffff, "-ENOENT"],
        ["update", 4, 1, 0, "-E2BIG"],
        ["update", 0xffffffff, 1, "BPF_EXIST", "-E2BIG"],
        ["update", 4, 1, "BPF_NOEXIST", "-E2BIG"],
        ["update", 4, 1, 8, "-EINVAL"],
        ["delete", 4, "-EINVAL"],
        ["take", 4, "-ENOTSUPP"],
      ],
    },
    {
      id: id("update.flags"),
      steps: [
        ["update", 0, 10, "BPF_ANY", 0],
        ["update", 0, 11, "BPF_EXIST", 0],
        ["update", 0, 12, "BPF_NOEXIST", "-EEXIST"],
        ["lookup", 0, 11],
        ["update", 0, 12, 3, "-EINVAL"],
        ["update", 0, 12, "BPF_F_LOCK", "-EINVAL"],
        ["update", 0, 12, 5, "-EINVAL"],
        ["update", 0, 12, 6, "-EINVAL"],
        ["update", 0, 12, 8, "-EINVAL"],
        ["update", 0, 12, 0x100000000, "-EINVAL"],
        ["update", 0, 12, 0x8000000000000000n, "-EINVAL"],
        ["lookup", 0, 11],
      ],
    },
    {
      id: id("delete"),
      steps: [
        ["update", 0, 10, 0, 0],
        ["delete", 0, "-EINVAL"],
        ["delete", 99, "-EINVAL"],
        ["lookup", 0, 10],
      ],
    },
    {
      id: id("take"),
      steps: [
        ["update", 0, 10, 0, 0],
        ["take", 0, "-ENOTSUPP"],
        [
          "call",
          "BPF_MAP_LOOKUP_AND_DELETE_ELEM",
          { map_fd: "$map", key: { hex: "00000000" }, value: { length: 64 }, flags: 1 },
          "-EINVAL",
        ],
        ["call", "BPF_MAP_LOOKUP_AND_DELETE_ELEM", { map_fd: "$map", key: "BAD", value: { length: 64 } }, "-EFAULT"],
        [
          "call",
          "BPF_MAP_LOOKUP_AND_DELETE_ELEM",
          { map_fd: "$map", key: { hex: "00000000" }, value: "BAD" },
          "-ENOTSUPP",
        ],
        ["lookup", 0, 10],
      ],
    },
    {
      id: id("next"),
      steps: [
        ["next", null, 0],
        ["next", 0, 1],
        ["next", 2, 3],
        ["next", 3, "-ENOENT"],
        ["next", 4, 0],
        ["next", 0xffffffff, 0],
        ["keys", [0, 1, 2, 3]],
      ],
    },
    {
      id: id("next.one"),
      attr: { max_entries: 1 },
      steps: [
        ["next", null, 0],
        ["next", 0, "-ENOENT"],
        ["next", 1, 0],
      ],
    },
    {
      id: id("bad_pointers"),
      steps: [
        ["call", "BPF_MAP_LOOKUP_ELEM", { map_fd: "$map", key: 0, value: { length: 64 } }, "-EFAULT"],
        ["call", "BPF_MAP_LOOKUP_ELEM", { map_fd: "$map", key: "BAD", value: { length: 64 } }, "-EFAULT"],
        ["call", "BPF_MAP_LOOKUP_ELEM", { map_fd: "$map", key: { hex: "00000000" }, value: "BAD" }, "-EFAULT"],
        ["call", "BPF_MAP_LOOKUP_ELEM", { map_fd: "$map", key: { hex: "04000000" }, value: "BAD" }, "-ENOENT"],
        ["call", "BPF_MAP_UPDATE_ELEM", { map_fd: "$map", key: { hex: "04000000" }, value: "BAD" }, "-EFAULT"],
        ["call", "BPF_MAP_UPDATE_ELEM", { map_fd: "$map", key: 0, value: "BAD" }, "-EFAULT"],
        ["call", "BPF_MAP_DELETE_ELEM", { map_fd: "$map", key: 0 }, "-EFAULT"],
        ["call", "BPF_MAP_GET_NEXT_KEY", { map_fd: "$map", key: 0, next_key: 0 }, "-EFAULT"],
        ["call", "BPF_MAP_GET_NEXT_KEY", { map_fd: "$map", key: { hex: "03000000" }, next_key: 0 }, "-ENOENT"],
      ],
    },
    {
      id: id("short_buffers"),
      steps: [
        ["object", "BPF_MAP_LOOKUP_ELEM", { map_fd: "$map", key: { hex: "0000" }, value: { length: 64 } }, "-EFAULT"],
        [
          "object",
          "BPF_MAP_LOOKUP_ELEM",
          { map_fd: "$map", key: { hex: "00000000" }, value: { length: 7 } },
          "-EFAULT",
        ],
        [
          "object",
          "BPF_MAP_UPDATE_ELEM",
          { map_fd: "$map", key: { hex: "00000000" }, value: { length: 7 } },
          "-EFAULT",
        ],
        ["object", "BPF_MAP_GET_NEXT_KEY", { map_fd: "$map", key: 0, next_key: { length: 3 } }, "-EFAULT"],
        ["lookup", 0, 0],
      ],
    },
    {
      id: id("frozen"),
      steps: [
        ["update", 1, 10, 0, 0],
        ["freeze", 0],
        ["freeze", "-EPERM"],
        ["update", 1, 11, 0, "-EPERM"],
        ["delete", 1, "-EPERM"],
        ["take", 1, "-EPERM"],
        ["lookup", 1, 10],
        ["info", {}],
        ["open", "again", "BPF_F_WRONLY", 0],
        ["update", 1, 11, 0, "-EPERM"],
      ],
    },
    {
      id: id("rdonly"),
      attr: { map_flags: "BPF_F_RDONLY" },
      steps: [
        ["info", {}],
        ["lookup", 0, 0],
        ["next", null, 0],
        ["update", 0, 10, 0, "-EPERM"],
        ["delete", 0, "-EPERM"],
        ["take", 0, "-EPERM"],
        ["freeze", "-EPERM"],
      ],
    },
    {
      id: id("wronly"),
      attr: { map_flags: "BPF_F_WRONLY" },
      steps: [
        ["info", {}],
        ["update", 0, 10, 0, 0],
        ["lookup", 0, "-EPERM"],
        ["next", null, "-EPERM"],
        ["take", 0, "-EPERM"],
        ["delete", 0, "-EINVAL"],
        ["freeze", 0],
      ],
    },
    {
      id: id("btf"),
      attr: { value_size: 16 },
      steps: [
        ["btf", "b"],
        ["create", { btf_fd: "$b", btf_key_type_id: "type:u32", btf_value_type_id: "type:pair" }, 0, "typed"],
        ["use", "typed"],
        ["info", { btf_id: "any", btf_key_type_id: "type:u32", btf_value_type_id: "type:pair" }],
        // The key is a 32-bit integer, whatever names it has.
        ["create", { btf_fd: "$b", btf_key_type_id: "type:key4", btf_value_type_id: "type:pair" }, "-EINVAL"],
        ["create", { btf_fd: "$b", btf_key_type_id: "type:state", btf_value_type_id: "type:pair" }, "-EINVAL"],
        ["create", { btf_fd: "$b", btf_key_type_id: "type:u64", btf_value_type_id: "type:pair" }, "-EINVAL"],
        ["create", { btf_fd: "$b", btf_key_type_id: "type:u32", btf_value_type_id: "type:u64" }, "-EINVAL"],
        ["create", { btf_fd: "$b", btf_value_type_id: "type:pair" }, "-EINVAL"],
        ["create", { btf_fd: "$b", btf_key_type_id: "type:u32" }, "-EINVAL"],
        ["create", { btf_fd: -1, btf_key_type_id: "type:u32", btf_value_type_id: "type:pair" }, "-EBADF"],
      ],
    },
    {
      id: id("btf.names_of_types"),
      attr: { value_size: 16 },
      steps: [
        ["btf", "b"],
        ["create", { btf_fd: "$b", btf_key_type_id: "type:typedef", btf_value_type_id: "type:pair" }, 0],
        ["create", { btf_fd: "$b", btf_key_type_id: "type:constU32", btf_value_type_id: "type:pair" }, 0],
        ["create", { btf_fd: "$b", btf_key_type_id: "type:constIndex", btf_value_type_id: "type:pair" }, 0],
        ["create", { btf_fd: "$b", btf_key_type_id: "type:i32", btf_value_type_id: "type:pair" }, 0],
        ["create", { btf_fd: "$b", btf_key_type_id: "type:indexVariable", btf_value_type_id: "type:pair" }, 0],
        ["create", { btf_fd: "$b", btf_key_type_id: "type:enumName", btf_value_type_id: "type:pair" }, "-EINVAL"],
        ["create", { btf_fd: "$b", btf_key_type_id: "type:narrow", btf_value_type_id: "type:pair" }, "-EINVAL"],
      ],
    },
  ];
}
