import type { Table } from "../step.ts";

/** What MAP_CREATE judges for every type, and in what order. */
export const mapCreateTable: Table = {
  name: "BPF_MAP_CREATE",
  attr: { map_type: "BPF_MAP_TYPE_HASH", key_size: 4, value_size: 8, max_entries: 4 },
  cases: [
    {
      id: "map_create.type.unknown",
      noMap: true,
      steps: [
        [
          "create each",
          "map_type",
          [
            [0, "-EINVAL"],
            [34, "-EINVAL"],
            [35, "-EINVAL"],
            [1000, "-EINVAL"],
            [0x80000000, "-EINVAL"],
            [0xffffffff, "-EINVAL"],
          ],
        ],
      ],
    },
    {
      id: "map_create.name.characters",
      noMap: true,
      steps: [
        ["create", { map_name: "" }, 0],
        ["create", { map_name: "abc" }, 0],
        ["create", { map_name: "a.b_c9Z" }, 0],
        ["create", { map_name: "." }, 0],
        ["create", { map_name: ".." }, 0],
        ["create", { map_name: "123456789012345" }, 0],
        ["create", { map_name: "a-b" }, "-EINVAL"],
        ["create", { map_name: "a b" }, "-EINVAL"],
        ["create", { map_name: "a/b" }, "-EINVAL"],
        ["create", { map_name: "%s" }, "-EINVAL"],
        ["create", { map_name: "1234567890123456" }, "-EINVAL"],
      ],
    },
    // Surprise 29. A name of bytes, so that Latin-1 is not made UTF-8.
    {
      id: "map_create.name.bytes",
      noMap: true,
      steps: [
        [
          "call",
          "BPF_MAP_CREATE",
          {
            map_type: 1,
            key_size: 4,
            value_size: 8,
            max_entries: 4,
            map_name: { hex: "e9000000000000000000000000000000" },
          },
          0,
        ],
        [
          "call",
          "BPF_MAP_CREATE",
          {
            map_type: 1,
            key_size: 4,
            value_size: 8,
            max_entries: 4,
            map_name: { hex: "61800000000000000000000000000000" },
          },
          "-EINVAL",
        ],
        [
          "call",
          "BPF_MAP_CREATE",
          {
            map_type: 1,
            key_size: 4,
            value_size: 8,
            max_entries: 4,
            map_name: { hex: "6162002d210000000000000000000000" },
          },
          0,
        ],
        [
          "call",
          "BPF_MAP_CREATE",
          {
            map_type: 1,
            key_size: 4,
            value_size: 8,
            max_entries: 4,
            map_name: { hex: "00616263000000000000000000000021" },
          },
          0,
        ],
        [
          "call",
          "BPF_MAP_CREATE",
          {
            map_type: 1,
            key_size: 4,
            value_size: 8,
            max_entries: 4,
            map_name: { hex: "61616161616161616161616161616161" },
          },
          "-EINVAL",
        ],
      ],
    },
    {
      id: "map_create.name.every_byte",
      noMap: true,
      steps: [["create names", "2e 30-39 41-5a 5f 61-7a c0-d6 d8-f6 f8-ff"]],
    },
    {
      id: "map_create.name.info",
      attr: { map_name: "a.b_c9" },
      steps: [
        ["info", {}],
        ["create", { map_name: "ab\0-!" }, 0, "nul"],
        ["use", "nul"],
        ["info", { name: "ab" }],
        ["create", { map_name: "\0abc" }, 0, "none"],
        ["use", "none"],
        ["info", { name: "" }],
      ],
    },
    {
      id: "map_create.info.flags",
      attr: { map_flags: "BPF_F_NO_PREALLOC|BPF_F_RDONLY|BPF_F_WRONLY_PROG|BPF_F_ZERO_SEED" },
      steps: [["info", { map_flags: "BPF_F_NO_PREALLOC|BPF_F_WRONLY_PROG|BPF_F_ZERO_SEED" }]],
    },
    {
      id: "map_create.numa_node",
      noMap: true,
      steps: [
        ["create", { map_flags: "BPF_F_NUMA_NODE", numa_node: 0 }, 0],
        ["create", { map_flags: "BPF_F_NUMA_NODE", numa_node: 0xffffffff }, 0],
        ["create", { map_flags: "BPF_F_NUMA_NODE", numa_node: 0xfffffffe }, "-EINVAL"],
        ["create", { map_flags: "BPF_F_NUMA_NODE", numa_node: 5000 }, "-EINVAL"],
        ["create", { map_flags: 0, numa_node: 5000 }, 0],
      ],
    },
    {
      id: "map_create.token",
      steps: [
        ["create", { map_flags: "BPF_F_TOKEN_FD", map_token_fd: -1 }, "-EBADF"],
        ["create", { map_flags: "BPF_F_TOKEN_FD", map_token_fd: 9999 }, "-EBADF"],
        ["create", { map_flags: "BPF_F_TOKEN_FD", map_token_fd: "$map" }, "-EINVAL"],
        ["create", { map_flags: 0, map_token_fd: 3 }, 0],
      ],
    },
    {
      id: "map_create.btf_ids",
      steps: [
        ["create", { btf_key_type_id: 1 }, "-EINVAL"],
        ["create", { btf_value_type_id: 1, btf_fd: 9999 }, "-EBADF"],
        ["create", { btf_key_type_id: 1, btf_value_type_id: 1, btf_fd: 9999 }, "-EBADF"],
        ["create", { btf_key_type_id: 1, btf_value_type_id: 1, btf_fd: "$map" }, "-EINVAL"],
        ["create", { btf_fd: 9999 }, 0],
        ["create", { btf_vmlinux_value_type_id: 1 }, "-EINVAL"],
        ["create", { btf_vmlinux_value_type_id: 1, btf_value_type_id: 1 }, "-EINVAL"],
      ],
    },
    {
      id: "map_create.value_type_btf_obj_fd",
      steps: [
        ["create", { value_type_btf_obj_fd: 3 }, 0],
        ["create", { map_flags: "BPF_F_VTYPE_BTF_OBJ_FD" }, "-EINVAL"],
      ],
    },
    {
      id: "map_create.excl_prog_hash",
      noMap: true,
      steps: [
        ["create", { excl_prog_hash: { length: 32 }, excl_prog_hash_size: 32 }, 0],
        ["create", { excl_prog_hash: { length: 32 }, excl_prog_hash_size: 31 }, "-EINVAL"],
        ["create", { excl_prog_hash: { length: 64 }, excl_prog_hash_size: 33 }, "-EINVAL"],
        ["create", { excl_prog_hash: { length: 64 }, excl_prog_hash_size: 0 }, "-EINVAL"],
        ["create", { excl_prog_hash: 0, excl_prog_hash_size: 32 }, "-EINVAL"],
        ["create", { excl_prog_hash: 0, excl_prog_hash_size: 1 }, "-EINVAL"],
        ["create", { excl_prog_hash: "BAD", excl_prog_hash_size: 32 }, "-EFAULT"],
        ["create", { excl_prog_hash: "BAD", excl_prog_hash_size: 31 }, "-EINVAL"],
      ],
    },
    {
      id: "map_create.ifindex.unknown",
      noMap: true,
      steps: [
        ["create", { map_ifindex: 99999 }, "-EINVAL"],
        ["create", { map_ifindex: 99999, map_type: "BPF_MAP_TYPE_QUEUE", key_size: 0 }, "-EINVAL"],
        ["create", { map_ifindex: 1, map_type: "BPF_MAP_TYPE_QUEUE", key_size: 0 }, "-EINVAL"],
      ],
    },
    { id: "map_create.ifindex.no_offload", noMap: true, steps: [["create", { map_ifindex: 1 }, "-EOPNOTSUPP"]] },
    // The first that is wrong decides.
    {
      id: "map_create.order.early",
      noMap: true,
      steps: [
        // Sizes (E2BIG) come before the token (EBADF), ...
        ["create", { max_entries: 1, value_size: 4194304, map_flags: "BPF_F_TOKEN_FD", map_token_fd: -1 }, "-E2BIG"],
        [
          "create",
          { map_type: "BPF_MAP_TYPE_LRU_HASH", map_flags: "BPF_F_NO_PREALLOC|BPF_F_TOKEN_FD", map_token_fd: -1 },
          "-ENOTSUPP",
        ],
        [
          "create",
          {
            map_type: "BPF_MAP_TYPE_QUEUE",
            key_size: 0,
            value_size: 4194305,
            map_flags: "BPF_F_TOKEN_FD",
            map_token_fd: -1,
          },
          "-E2BIG",
        ],
        // ... and the token before sizes of the types that are judged when they are allocated.
        [
          "create",
          {
            map_type: "BPF_MAP_TYPE_BLOOM_FILTER",
            key_size: 0,
            value_size: 0,
            map_flags: "BPF_F_TOKEN_FD",
            map_token_fd: -1,
          },
          "-EBADF",
        ],
        // A bloom filter's value may be too large early, and all else late.
        [
          "create",
          {
            map_type: "BPF_MAP_TYPE_BLOOM_FILTER",
            key_size: 0,
            value_size: 4194305,
            map_flags: "BPF_F_TOKEN_FD",
            map_token_fd: -1,
          },
          "-E2BIG",
        ],
        // The token comes before the interface.
        ["create", { map_ifindex: 99999, map_flags: "BPF_F_TOKEN_FD", map_token_fd: -1 }, "-EBADF"],
        ["create", { map_ifindex: 99999, value_size: 4194304 }, "-E2BIG"],
        [
          "create",
          { map_ifindex: 99999, map_type: "BPF_MAP_TYPE_BLOOM_FILTER", key_size: 0, value_size: 4194305 },
          "-E2BIG",
        ],
        [
          "create",
          { map_type: "BPF_MAP_TYPE_RINGBUF", key_size: 1, map_flags: "BPF_F_TOKEN_FD", map_token_fd: -1 },
          "-EBADF",
        ],
        ["create", { map_type: "BPF_MAP_TYPE_LPM_TRIE", map_flags: "BPF_F_TOKEN_FD", map_token_fd: -1 }, "-EBADF"],
        // max_entries of a hash is judged when it is allocated.
        ["create", { max_entries: 0x80000001, map_flags: "BPF_F_TOKEN_FD", map_token_fd: -1 }, "-EBADF"],
        ["create", { max_entries: 0x80000001, map_name: "-" }, "-E2BIG"],
        ["create", { max_entries: 0x80000001, value_size: 4194304, map_name: "-" }, "-E2BIG"],
        // Unknown flags before sizes.
        ["create", { value_size: 4194304, map_flags: "BPF_F_MMAPABLE" }, "-EINVAL"],
        ["create", { value_size: 4194304, map_extra: 1 }, "-EINVAL"],
        ["create", { value_size: 4194304, map_flags: "BPF_F_RDONLY|BPF_F_WRONLY" }, "-EINVAL"],
        ["create", { value_size: 4194304, map_flags: "BPF_F_NUMA_NODE", numa_node: 5000 }, "-EINVAL"],
      ],
    },
    {
      id: "map_create.order.late",
      steps: [
        ["create", { map_name: "-", btf_value_type_id: 1, btf_key_type_id: 1, btf_fd: 9999 }, "-EINVAL"],
        ["create", { map_name: "-", excl_prog_hash: "BAD", excl_prog_hash_size: 32 }, "-EINVAL"],
        [
          "create",
          { excl_prog_hash: "BAD", excl_prog_hash_size: 32, btf_value_type_id: 1, btf_key_type_id: 1, btf_fd: 9999 },
          "-EBADF",
        ],
        [
          "create",
          { map_type: "BPF_MAP_TYPE_BLOOM_FILTER", key_size: 0, value_size: 4194305, map_name: "-" },
          "-E2BIG",
        ],
        [
          "create",
          { map_type: "BPF_MAP_TYPE_BLOOM_FILTER", key_size: 0, map_name: "-", btf_value_type_id: 1, btf_fd: 9999 },
          "-EINVAL",
        ],
      ],
    },
    {
      id: "map_create.special_fields",
      attr: { value_size: 16 },
      steps: [
        ["btf", "b"],
        ["create", { btf_fd: "$b", btf_key_type_id: "type:u32", btf_value_type_id: "type:locked" }, 0],
        [
          "create",
          {
            map_type: "BPF_MAP_TYPE_LRU_HASH",
            btf_fd: "$b",
            btf_key_type_id: "type:u32",
            btf_value_type_id: "type:locked",
          },
          "-EOPNOTSUPP",
        ],
        [
          "create",
          {
            map_flags: "BPF_F_RDONLY_PROG",
            btf_fd: "$b",
            btf_key_type_id: "type:u32",
            btf_value_type_id: "type:locked",
          },
          "-EACCES",
        ],
      ],
    },
  ],
};
