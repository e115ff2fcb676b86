import type { Table } from "../step.ts";

/** The element commands: fds, and the order of their checks. */
export const elemTable: Table = {
  name: "element commands",
  attr: { map_type: "BPF_MAP_TYPE_HASH", key_size: 4, value_size: 8, max_entries: 4 },
  cases: [
    {
      id: "elem.fd.bad",
      steps: [
        ["call", "BPF_MAP_LOOKUP_ELEM", { map_fd: -1 }, "-EBADF"],
        ["call", "BPF_MAP_UPDATE_ELEM", { map_fd: -1 }, "-EBADF"],
        ["call", "BPF_MAP_DELETE_ELEM", { map_fd: -1 }, "-EBADF"],
        ["call", "BPF_MAP_GET_NEXT_KEY", { map_fd: -1 }, "-EBADF"],
        ["call", "BPF_MAP_LOOKUP_AND_DELETE_ELEM", { map_fd: -1 }, "-EBADF"],
        ["call", "BPF_MAP_FREEZE", { map_fd: -1 }, "-EBADF"],
        ["call", "BPF_MAP_LOOKUP_ELEM", { map_fd: 9999 }, "-EBADF"],
        ["call", "BPF_MAP_LOOKUP_ELEM", { map_fd: 0x7fffffff }, "-EBADF"],
        ["call", "BPF_MAP_LOOKUP_ELEM", { map_fd: 0x80000000 }, "-EBADF"],
      ],
    },
    {
      // Flags of Linux 7.0.
      id: "elem.flags.newer",
      attr: { map_type: "BPF_MAP_TYPE_PERCPU_HASH" },
      steps: [
        ["update", 1, 1, "BPF_F_CPU", "-EINVAL"],
        ["update", 1, 1, "BPF_F_ALL_CPUS", "-EINVAL"],
        ["update", 1, 1, 0, 0],
        [
          "call",
          "BPF_MAP_LOOKUP_ELEM",
          { map_fd: "$map", key: { words: [1] }, value: "BAD", flags: "BPF_F_CPU" },
          "-EINVAL",
        ],
        ["call", "BPF_MAP_UPDATE_BATCH", { map_fd: "$map", count: 1, elem_flags: "BPF_F_ALL_CPUS" }, "-EINVAL"],
        ["call", "BPF_MAP_LOOKUP_BATCH", { map_fd: "$map", count: 1, elem_flags: "BPF_F_CPU" }, "-EINVAL"],
      ],
    },
    {
      id: "elem.fd.closed",
      steps: [
        ["close", "map", 0],
        ["close", "map", "-EBADF"],
        ["call", "BPF_MAP_LOOKUP_ELEM", { map_fd: "$map" }, "-EBADF"],
      ],
    },
    {
      id: "elem.fd.btf",
      steps: [
        ["btf", "b"],
        ["call", "BPF_MAP_LOOKUP_ELEM", { map_fd: "$b" }, "-EINVAL"],
        ["call", "BPF_MAP_UPDATE_ELEM", { map_fd: "$b" }, "-EINVAL"],
        ["call", "BPF_MAP_DELETE_ELEM", { map_fd: "$b" }, "-EINVAL"],
        ["call", "BPF_MAP_GET_NEXT_KEY", { map_fd: "$b" }, "-EINVAL"],
        ["call", "BPF_MAP_LOOKUP_AND_DELETE_ELEM", { map_fd: "$b" }, "-EINVAL"],
        ["call", "BPF_MAP_FREEZE", { map_fd: "$b" }, "-EINVAL"],
      ],
    },
    {
      id: "elem.flags_before_fd",
      steps: [
        ["call", "BPF_MAP_LOOKUP_ELEM", { map_fd: -1, flags: 16 }, "-EINVAL"],
        ["call", "BPF_MAP_LOOKUP_AND_DELETE_ELEM", { map_fd: -1, flags: 16 }, "-EINVAL"],
        ["call", "BPF_MAP_LOOKUP_ELEM", { map_fd: -1, flags: "BPF_F_LOCK" }, "-EBADF"],
        ["call", "BPF_MAP_LOOKUP_AND_DELETE_ELEM", { map_fd: -1, flags: "BPF_F_LOCK" }, "-EBADF"],
        ["call", "BPF_MAP_UPDATE_ELEM", { map_fd: -1, flags: 16 }, "-EBADF"],
      ],
    },
    {
      id: "elem.mode_before_lock",
      attr: { map_flags: "BPF_F_WRONLY" },
      steps: [
        ["call", "BPF_MAP_LOOKUP_ELEM", { map_fd: "$map", flags: "BPF_F_LOCK" }, "-EPERM"],
        ["call", "BPF_MAP_LOOKUP_ELEM", { map_fd: "$map", flags: 16 }, "-EINVAL"],
        ["call", "BPF_MAP_LOOKUP_AND_DELETE_ELEM", { map_fd: "$map", flags: "BPF_F_LOCK" }, "-EPERM"],
      ],
    },
    {
      id: "elem.mode_before_key",
      attr: { map_flags: "BPF_F_RDONLY" },
      steps: [
        ["call", "BPF_MAP_UPDATE_ELEM", { map_fd: "$map", key: "BAD", value: "BAD", flags: "BPF_F_LOCK" }, "-EPERM"],
        ["call", "BPF_MAP_DELETE_ELEM", { map_fd: "$map", key: "BAD" }, "-EPERM"],
      ],
    },
    {
      id: "elem.lock_before_key",
      steps: [
        ["call", "BPF_MAP_LOOKUP_ELEM", { map_fd: "$map", key: "BAD", value: "BAD", flags: "BPF_F_LOCK" }, "-EINVAL"],
        ["call", "BPF_MAP_UPDATE_ELEM", { map_fd: "$map", key: "BAD", value: "BAD", flags: "BPF_F_LOCK" }, "-EINVAL"],
        [
          "call",
          "BPF_MAP_LOOKUP_AND_DELETE_ELEM",
          { map_fd: "$map", key: "BAD", value: "BAD", flags: "BPF_F_LOCK" },
          "-EINVAL",
        ],
        [
          "call",
          "BPF_MAP_UPDATE_ELEM",
          { map_fd: "$map", key: "BAD", value: "BAD", flags: 0x8000000000000004n },
          "-EINVAL",
        ],
      ],
    },
    {
      id: "elem.key_before_value",
      steps: [
        [
          "call",
          "BPF_MAP_UPDATE_ELEM",
          { map_fd: "$map", key: { hex: "01000000" }, value: "BAD", flags: 16 },
          "-EFAULT",
        ],
        [
          "call",
          "BPF_MAP_UPDATE_ELEM",
          { map_fd: "$map", key: { hex: "01000000" }, value: { length: 8 }, flags: 16 },
          "-EINVAL",
        ],
      ],
    },
    {
      id: "elem.frozen_before_key",
      steps: [
        ["freeze", 0],
        ["call", "BPF_MAP_UPDATE_ELEM", { map_fd: "$map", key: "BAD", value: "BAD", flags: "BPF_F_LOCK" }, "-EPERM"],
        ["call", "BPF_MAP_DELETE_ELEM", { map_fd: "$map", key: "BAD" }, "-EPERM"],
        ["call", "BPF_MAP_LOOKUP_AND_DELETE_ELEM", { map_fd: "$map", key: "BAD", flags: "BPF_F_LOCK" }, "-EPERM"],
        ["call", "BPF_MAP_LOOKUP_AND_DELETE_ELEM", { map_fd: "$map", key: "BAD", flags: 16 }, "-EINVAL"],
      ],
    },
    // The same buffer for the key and what comes back.
    {
      id: "elem.same_buffer",
      attr: { value_size: 4, map_flags: "BPF_F_ZERO_SEED" },
      steps: [
        ["fill", 1, 3, 0],
        ["same buffer", "BPF_MAP_GET_NEXT_KEY", "01000000", "-ENOENT", "01000000"],
        ["same buffer", "BPF_MAP_GET_NEXT_KEY", "02000000", 0, "03000000"],
        ["same buffer", "BPF_MAP_LOOKUP_ELEM", "03000000", 0, "03000000"],
      ],
    },
    // A mapping of a map is user memory, of which one may read, or write, what it allows.
    {
      id: "elem.value_in_mapping",
      steps: [
        [
          "create",
          { map_type: "BPF_MAP_TYPE_ARRAY", value_size: 16, map_flags: "BPF_F_MMAPABLE", max_entries: 4 },
          0,
          "array",
        ],
        ["use", "array"],
        ["update", 1, "0102030405060708090a0b0c0d0e0f10", 0, 0],
        ["mmap", 0, 64, "r", 0],
        ["use", "map"],
        ["mapped value", "update", 7, 16, 0],
        ["lookup", 7, "0102030405060708"],
        ["mapped value", "lookup", 7, 32, "-EFAULT"],
        ["mapped value", "lookup", 8, 32, "-ENOENT"],
        ["use", "array"],
        ["mmap", 0, 64, "rw", 0],
        ["use", "map"],
        ["mapped value", "lookup", 7, 32, 0],
        ["bytes", 32, "01020304050607080000000000000000"],
        ["munmap", 0],
      ],
    },
    {
      id: "elem.fd.modes",
      steps: [
        ["update", 1, 10, 0, 0],
        ["open", "r", "BPF_F_RDONLY", 0],
        ["lookup", 1, 10],
        ["update", 1, 11, 0, "-EPERM"],
        ["use", "map"],
        ["open", "w", "BPF_F_WRONLY", 0],
        ["lookup", 1, "-EPERM"],
        ["update", 1, 11, 0, 0],
        ["use", "map"],
        ["lookup", 1, 11],
        ["close", "map", 0],
        ["use", "r"],
        ["lookup", 1, 11],
      ],
    },
  ],
};
