/** Cases that hold for QUEUE and STACK alike. */
import type { Case } from "../step.ts";

/** For a table whose attributes are { value_size: 4, max_entries: 3 }. */
export function queueStackCases(prefix: string): Case[] {
  const id = (rest: string): string => `${prefix}.${rest}`;
  return [
    {
      id: id("create.sizes"),
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
      ],
    },
    {
      id: id("create.value_size"),
      attr: { max_entries: 1 },
      steps: [
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
      id: id("create.flags"),
      attr: { map_token_fd: -1 },
      steps: [
        [
          "create flags",
          "BPF_F_NUMA_NODE|BPF_F_RDONLY|BPF_F_WRONLY|BPF_F_RDONLY_PROG|BPF_F_WRONLY_PROG",
          { BPF_F_TOKEN_FD: "-EBADF" },
        ],
        ["create", { map_flags: "BPF_F_RDONLY_PROG|BPF_F_WRONLY_PROG" }, "-EINVAL"],
        ["create", { map_flags: "BPF_F_RDONLY|BPF_F_WRONLY" }, "-EINVAL"],
        ["create", { map_extra: 1 }, "-EINVAL"],
        // Flags come before the size of the value.
        ["create", { map_flags: "BPF_F_MMAPABLE", value_size: 0xffffffff }, "-EINVAL"],
      ],
    },
    {
      id: id("pop.empty"),
      steps: [
        ["pop", "-ENOENT"],
        ["peek", "-ENOENT"],
        ["push", 1, 0],
        ["pop", 1],
        ["pop", "-ENOENT"],
        ["peek", "-ENOENT"],
      ],
    },
    {
      id: id("push.full"),
      steps: [
        ["push", 1, 0],
        ["push", 2, 0],
        ["push", 3, 0],
        ["push", 4, "-E2BIG"],
        ["pop", prefix === "queue" ? 1 : 3],
        ["push", 5, 0],
        ["push", 6, "-E2BIG"],
      ],
    },
    {
      id: id("push.flags"),
      steps: [
        ["push", 1, "-EINVAL", "BPF_NOEXIST"],
        ["push", 1, "-EINVAL", 3],
        ["push", 1, "-EINVAL", "BPF_F_LOCK"],
        ["push", 1, "-EINVAL", 8],
        ["push", 1, "-EINVAL", 0x100000000],
        ["push", 1, "-EINVAL", 0x100000002],
        ["push", 1, "-EINVAL", 0x8000000000000000n],
        ["peek", "-ENOENT"],
        ["push!", 1, 0],
        ["peek", 1],
      ],
    },
    {
      id: id("push.odd_size"),
      attr: { value_size: 5 },
      steps: [
        ["push", "0102030405", 0],
        ["push", "1112131415", 0],
        ["pop", prefix === "queue" ? "0102030405" : "1112131415"],
        ["pop", prefix === "queue" ? "1112131415" : "0102030405"],
      ],
    },
    // Surprise 15.
    {
      id: id("key_given"),
      steps: [
        ["push", 1, 0],
        ["call", "BPF_MAP_UPDATE_ELEM", { map_fd: "$map", key: { hex: "00000000" }, value: { length: 4 } }, "-EINVAL"],
        ["call", "BPF_MAP_LOOKUP_ELEM", { map_fd: "$map", key: { hex: "00000000" }, value: { length: 4 } }, "-EINVAL"],
        [
          "call",
          "BPF_MAP_LOOKUP_AND_DELETE_ELEM",
          { map_fd: "$map", key: { hex: "00000000" }, value: { length: 4 } },
          "-EINVAL",
        ],
        ["call", "BPF_MAP_DELETE_ELEM", { map_fd: "$map", key: { hex: "00000000" } }, "-EINVAL"],
        [
          "call",
          "BPF_MAP_GET_NEXT_KEY",
          { map_fd: "$map", key: { hex: "00000000" }, next_key: { length: 4 } },
          "-EINVAL",
        ],
        ["call", "BPF_MAP_UPDATE_ELEM", { map_fd: "$map", key: "BAD", value: "BAD" }, "-EINVAL"],
        ["call", "BPF_MAP_LOOKUP_ELEM", { map_fd: "$map", key: "BAD", value: { length: 4 } }, "-EINVAL"],
        ["pop", 1],
      ],
    },
    {
      id: id("no_keys"),
      steps: [
        ["push", 1, 0],
        ["call", "BPF_MAP_DELETE_ELEM", { map_fd: "$map", key: 0 }, "-EINVAL"],
        ["call", "BPF_MAP_GET_NEXT_KEY", { map_fd: "$map", key: 0, next_key: { length: 4 } }, "-EINVAL"],
        ["call", "BPF_MAP_GET_NEXT_KEY", { map_fd: "$map", key: 0, next_key: 0 }, "-EINVAL"],
        ["peek", 1],
      ],
    },
    {
      id: id("pop.flags"),
      steps: [
        ["push", 1, 0],
        [
          "call",
          "BPF_MAP_LOOKUP_AND_DELETE_ELEM",
          { map_fd: "$map", value: { length: 4 }, flags: "BPF_F_LOCK" },
          "-EINVAL",
        ],
        ["call", "BPF_MAP_LOOKUP_AND_DELETE_ELEM", { map_fd: "$map", value: { length: 4 }, flags: 2 }, "-EINVAL"],
        ["call", "BPF_MAP_LOOKUP_ELEM", { map_fd: "$map", value: { length: 4 }, flags: 1 }, "-EINVAL"],
        ["call", "BPF_MAP_LOOKUP_ELEM", { map_fd: "$map", value: { length: 4 }, flags: "BPF_F_LOCK" }, "-EINVAL"],
        ["peek", 1],
      ],
    },
    {
      id: id("bad_value"),
      steps: [
        ["call", "BPF_MAP_UPDATE_ELEM", { map_fd: "$map", value: "BAD" }, "-EFAULT"],
        ["call", "BPF_MAP_UPDATE_ELEM", { map_fd: "$map", value: "BAD", flags: 64 }, "-EFAULT"],
        ["call", "BPF_MAP_LOOKUP_ELEM", { map_fd: "$map", value: "BAD" }, "-ENOENT"],
        ["push", 1, 0],
        ["push", 2, 0],
        ["call", "BPF_MAP_LOOKUP_ELEM", { map_fd: "$map", value: "BAD" }, "-EFAULT"],
        ["call", "BPF_MAP_LOOKUP_ELEM", { map_fd: "$map", value: 0 }, "-EFAULT"],
        // Surprise 8: the element is lost.
        ["call", "BPF_MAP_LOOKUP_AND_DELETE_ELEM", { map_fd: "$map", value: "BAD" }, "-EFAULT"],
        ["pop", prefix === "queue" ? 2 : 1],
        ["pop", "-ENOENT"],
      ],
    },
    {
      id: id("short_buffers"),
      steps: [
        ["object", "BPF_MAP_UPDATE_ELEM", { map_fd: "$map", value: { length: 3 } }, "-EFAULT"],
        ["push", 1, 0],
        ["object", "BPF_MAP_LOOKUP_ELEM", { map_fd: "$map", value: { length: 3 } }, "-EFAULT"],
        ["object", "BPF_MAP_LOOKUP_AND_DELETE_ELEM", { map_fd: "$map", value: { length: 3 } }, "-EFAULT"],
        ["pop", 1],
      ],
    },
    {
      id: id("frozen"),
      steps: [
        ["push", 1, 0],
        ["freeze", 0],
        ["push", 2, "-EPERM"],
        ["pop", "-EPERM"],
        ["peek", 1],
        ["freeze", "-EPERM"],
      ],
    },
    {
      id: id("rdonly"),
      attr: { map_flags: "BPF_F_RDONLY" },
      steps: [
        ["push", 1, "-EPERM"],
        ["peek", "-ENOENT"],
        ["pop", "-EPERM"],
        ["info", {}],
      ],
    },
    {
      id: id("wronly"),
      attr: { map_flags: "BPF_F_WRONLY" },
      steps: [
        ["push", 1, 0],
        ["peek", "-EPERM"],
        ["pop", "-EPERM"],
        ["info", {}],
      ],
    },
    {
      id: id("mmap"),
      steps: [
        ["mmap", 0, 4096, "r", "-ENOTSUPP"],
        ["poll", true],
      ],
    },
    { id: id("info"), attr: { map_name: prefix, value_size: 17 }, steps: [["info", {}]] },
    {
      id: id("btf"),
      attr: { value_size: 16 },
      steps: [
        ["btf", "b"],
        ["create", { btf_fd: "$b", btf_value_type_id: "type:pair" }, "-EINVAL"],
        ["create", { btf_fd: "$b", btf_key_type_id: "type:u32", btf_value_type_id: "type:pair" }, "-EINVAL"],
      ],
    },
    {
      id: id("wraps_round"),
      steps: [
        ["push", 1, 0],
        ["push", 2, 0],
        ["pop", prefix === "queue" ? 1 : 2],
        ["push", 3, 0],
        ["push", 4, 0],
        ["push", 5, "-E2BIG"],
        ["pop", prefix === "queue" ? 2 : 4],
        ["push", 6, 0],
        ["push!", 7, 0],
        ["pop", prefix === "queue" ? 4 : 7],
        ["pop", 6],
        ["pop", prefix === "queue" ? 7 : 3],
        ["pop", "-ENOENT"],
      ],
    },
  ];
}
