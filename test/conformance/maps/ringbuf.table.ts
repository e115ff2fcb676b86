import type { MapTable } from "../step.ts";

export const ringbufTable: MapTable = {
  type: "BPF_MAP_TYPE_RINGBUF",
  attr: { key_size: 0, value_size: 0, max_entries: 4096 },
  cases: [
    {
      id: "ringbuf.create.sizes",
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
          "value_size",
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
            [1, "-EINVAL"],
            [2048, "-EINVAL"],
            [4095, "-EINVAL"],
            [4096, 0],
            [8192, 0],
            [12288, "-EINVAL"],
            [65536, 0],
            [65537, "-EINVAL"],
            [0xffffffff, "-EINVAL"],
          ],
        ],
      ],
    },
    {
      id: "ringbuf.create.flags",
      attr: { map_token_fd: -1 },
      steps: [
        ["create flags", "BPF_F_NUMA_NODE", { BPF_F_TOKEN_FD: "-EBADF" }],
        ["create", { map_flags: "BPF_F_RDONLY|BPF_F_WRONLY" }, "-EINVAL"],
        ["create", { map_extra: 1 }, "-EINVAL"],
      ],
    },
    { id: "ringbuf.info", attr: { map_name: "events" }, steps: [["info", {}]] },
    {
      id: "ringbuf.commands",
      steps: [
        ["call", "BPF_MAP_LOOKUP_ELEM", { map_fd: "$map", key: 0, value: 0 }, "-ENOTSUPP"],
        ["call", "BPF_MAP_UPDATE_ELEM", { map_fd: "$map", key: 0, value: 0 }, "-ENOTSUPP"],
        ["call", "BPF_MAP_UPDATE_ELEM", { map_fd: "$map", key: 0, value: 0, flags: 99 }, "-ENOTSUPP"],
        ["call", "BPF_MAP_DELETE_ELEM", { map_fd: "$map", key: 0 }, "-ENOTSUPP"],
        ["call", "BPF_MAP_GET_NEXT_KEY", { map_fd: "$map", key: 0, next_key: 0 }, "-ENOTSUPP"],
        ["call", "BPF_MAP_LOOKUP_AND_DELETE_ELEM", { map_fd: "$map", key: 0, value: 0 }, "-ENOTSUPP"],
        ["call", "BPF_MAP_LOOKUP_ELEM", { map_fd: "$map", key: 0, value: 0, flags: 1 }, "-EINVAL"],
      ],
    },
    {
      id: "ringbuf.commands.bad_pointers",
      steps: [
        ["call", "BPF_MAP_LOOKUP_ELEM", { map_fd: "$map", key: "BAD", value: 0 }, "-EINVAL"],
        ["call", "BPF_MAP_LOOKUP_ELEM", { map_fd: "$map", key: 0, value: "BAD" }, "-ENOTSUPP"],
        ["call", "BPF_MAP_UPDATE_ELEM", { map_fd: "$map", key: "BAD", value: 0 }, "-EINVAL"],
        ["call", "BPF_MAP_UPDATE_ELEM", { map_fd: "$map", key: 0, value: "BAD" }, "-ENOTSUPP"],
        ["call", "BPF_MAP_DELETE_ELEM", { map_fd: "$map", key: "BAD" }, "-EINVAL"],
        ["call", "BPF_MAP_GET_NEXT_KEY", { map_fd: "$map", key: "BAD", next_key: 0 }, "-EINVAL"],
      ],
    },
    { id: "ringbuf.poll.empty", steps: [["poll", false]] },
    {
      id: "ringbuf.mmap.consumer",
      steps: [
        ["mmap", 0, 4096, "rw", 0],
        ["bytes", 0, "0000000000000000"],
        ["mmap", 0, 1, "rw", 0],
        ["mmap", 0, 8192, "rw", "-EPERM"],
        ["mmap", 4096, 4096, "rw", "-EPERM"],
        ["mmap", 8192, 4096, "rw", "-EPERM"],
        ["mmap", 0, 4096, "rwx", "-EPERM"],
      ],
    },
    {
      id: "ringbuf.mmap.read",
      steps: [
        ["mmap", 0, 4096, "r", 0],
        ["mmap", 0, 16384, "r", 0],
        ["bytes", 0, "0000000000000000"],
        ["mmap", 4096, 12288, "r", 0],
        ["mmap", 8192, 8192, "r", 0],
        ["mmap", 12288, 4096, "r", 0],
        ["mmap", 4096, 16384, "r", "-EINVAL"],
        ["mmap", 0, 20480, "r", "-EINVAL"],
        ["mmap", 16384, 4096, "r", "-EINVAL"],
        ["mmap", 4095, 4096, "r", "-EINVAL"],
      ],
    },
    // Positions that differ are news, whatever they say.
    {
      id: "ringbuf.poll.positions",
      steps: [
        ["mmap", 0, 4096, "rw", 0],
        ["poll", false],
        ["store", 0, "0800000000000000"],
        ["poll", true],
        ["store", 0, "0000000000000000"],
        ["poll", false],
      ],
    },
    // Surprise 7, and its like.
    {
      id: "ringbuf.mmap.fd_modes",
      steps: [
        ["open", "r", "BPF_F_RDONLY", 0],
        ["mmap", 4096, 4096, "r", "-EINVAL"],
        ["mmap", 0, 4096, "rw", "-EACCES"],
        ["open", "w", "BPF_F_WRONLY", 0],
        ["mmap", 4096, 4096, "r", "-EACCES"],
      ],
    },
    {
      id: "ringbuf.freeze",
      steps: [
        ["mmap", 0, 4096, "rw", 0],
        ["freeze", "-EBUSY"],
        ["munmap", 0],
        ["mmap", 0, 8192, "r", 0],
        ["freeze", 0],
        ["freeze", "-EPERM"],
        ["mmap", 0, 4096, "rw", "-EPERM"],
        ["mmap", 0, 4096, "r", 0],
      ],
    },
    {
      id: "ringbuf.mmap.holds",
      steps: [
        ["mmap", 0, 8192, "r", 0],
        ["close", "map", 0],
        ["bytes", 0, "0000000000000000"],
        ["call", "BPF_MAP_GET_FD_BY_ID", { map_id: "#map" }, 0],
      ],
    },
    {
      id: "ringbuf.btf",
      steps: [
        ["btf", "b"],
        ["create", { btf_fd: "$b", btf_value_type_id: "type:u32" }, "-EINVAL"],
        ["create", { btf_fd: "$b", btf_key_type_id: "type:u32", btf_value_type_id: "type:u32" }, "-EINVAL"],
      ],
    },
  ],
};
