import type { Table } from "../step.ts";

/** BTF_LOAD as far as maps need it, and info of BTF objects. What BTF the kernel takes is tested beside src/btf. */
export const btfTable: Table = {
  name: "BPF_BTF_LOAD",
  attr: { map_type: "BPF_MAP_TYPE_ARRAY", key_size: 4, value_size: 16, max_entries: 1 },
  cases: [
    {
      id: "btf.load.flags",
      steps: [
        ["call", "BPF_BTF_LOAD", { btf: 0, btf_flags: 1 }, "-EINVAL"],
        ["call", "BPF_BTF_LOAD", { btf: 0, btf_flags: "BPF_F_RDONLY" }, "-EINVAL"],
        ["call", "BPF_BTF_LOAD", { btf: 0, btf_flags: "BPF_F_TOKEN_FD", btf_token_fd: -1 }, "-EBADF"],
        ["call", "BPF_BTF_LOAD", { btf: 0, btf_flags: "BPF_F_TOKEN_FD", btf_token_fd: "$map" }, "-EINVAL"],
        ["call", "BPF_BTF_LOAD", { btf: 0, btf_token_fd: 77 }, "-EINVAL"],
      ],
    },
    {
      id: "btf.load.size",
      steps: [
        ["call", "BPF_BTF_LOAD", { btf: 0, btf_size: 0 }, "-EINVAL"],
        ["call", "BPF_BTF_LOAD", { btf: 0, btf_size: 24 }, "-EFAULT"],
        ["call", "BPF_BTF_LOAD", { btf: "BAD", btf_size: 24 }, "-EFAULT"],
        ["call", "BPF_BTF_LOAD", { btf: 0, btf_size: 0x1000001 }, "-E2BIG"],
        ["call", "BPF_BTF_LOAD", { btf: 0, btf_size: 0xffffffff }, "-E2BIG"],
        ["object", "BPF_BTF_LOAD", { btf: { length: 23 }, btf_size: 24 }, "-EFAULT"],
        ["call", "BPF_BTF_LOAD", { btf: { length: 4 }, btf_size: 4 }, "-EINVAL"],
        ["call", "BPF_BTF_LOAD", { btf: { length: 24 }, btf_size: 24 }, "-EINVAL"],
      ],
    },
    {
      id: "btf.load.log.arguments",
      steps: [
        ["call", "BPF_BTF_LOAD", { btf: { length: 24 }, btf_size: 24, btf_log_level: 16 }, "-EINVAL"],
        ["call", "BPF_BTF_LOAD", { btf: { length: 24 }, btf_size: 24, btf_log_buf: "BAD" }, "-EINVAL"],
        ["call", "BPF_BTF_LOAD", { btf: "BAD", btf_size: 24, btf_log_level: 1, btf_log_size: 64 }, "-EINVAL"],
        [
          "call",
          "BPF_BTF_LOAD",
          { btf: "BAD", btf_size: 24, btf_log_level: 0, btf_log_size: 64, btf_log_buf: "BAD" },
          "-EINVAL",
        ],
        ["call", "BPF_BTF_LOAD", { btf: "BAD", btf_size: 0x1000001, btf_log_level: 16 }, "-E2BIG"],
      ],
    },
    {
      id: "btf.fd.kinds",
      steps: [
        ["btf", "b"],
        ["call", "BPF_OBJ_GET_INFO_BY_FD", { bpf_fd: "$b", info_len: 0, info: 0 }, 0, { out: { info_len: 0 } }],
        ["create", { btf_fd: "$b", btf_key_type_id: "type:u32", btf_value_type_id: "type:pair" }, 0],
        ["close", "b", 0],
        ["create", { btf_fd: "$b", btf_key_type_id: "type:u32", btf_value_type_id: "type:pair" }, "-EBADF"],
      ],
    },
    {
      id: "btf.value.kinds",
      noMap: true,
      attr: { map_type: "BPF_MAP_TYPE_HASH" },
      steps: [
        ["btf", "b"],
        ["create", { btf_fd: "$b", btf_key_type_id: "type:u32", btf_value_type_id: "type:u64", value_size: 8 }, 0],
        ["create", { btf_fd: "$b", btf_key_type_id: "type:u32", btf_value_type_id: "type:pointer", value_size: 8 }, 0],
        ["create", { btf_fd: "$b", btf_key_type_id: "type:u32", btf_value_type_id: "type:bytes4", value_size: 4 }, 0],
        [
          "create",
          { btf_fd: "$b", btf_key_type_id: "type:bytes4", btf_value_type_id: "type:typedef", value_size: 4 },
          0,
        ],
        ["create", { btf_fd: "$b", btf_key_type_id: "type:state", btf_value_type_id: "type:state", value_size: 4 }, 0],
        [
          "create",
          { btf_fd: "$b", btf_key_type_id: "type:constU32", btf_value_type_id: "type:narrow", value_size: 4 },
          0,
        ],
        [
          "create",
          { btf_fd: "$b", btf_key_type_id: "type:u32", btf_value_type_id: "type:forward", value_size: 4 },
          "-EINVAL",
        ],
        [
          "create",
          { btf_fd: "$b", btf_key_type_id: "type:u32", btf_value_type_id: "type:none", value_size: 4 },
          "-EINVAL",
        ],
        [
          "create",
          { btf_fd: "$b", btf_key_type_id: "type:u32", btf_value_type_id: "type:variable", value_size: 16 },
          0,
        ],
        ["create", { btf_fd: "$b", btf_key_type_id: "type:u32", btf_value_type_id: "type:section", value_size: 16 }, 0],
      ],
    },
  ],
};
