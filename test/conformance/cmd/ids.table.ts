import type { Table } from "../step.ts";

/** MAP_GET_NEXT_ID, MAP_GET_FD_BY_ID and their like for BTF. Other maps may come and go on the machine meanwhile. */
export const idsTable: Table = {
  name: "ids",
  attr: { map_type: "BPF_MAP_TYPE_ARRAY", key_size: 4, value_size: 4, max_entries: 1 },
  cases: [
    {
      id: "ids.next",
      steps: [
        ["call", "BPF_MAP_GET_NEXT_ID", { start_id: "#map-1", next_id: 0 }, 0, { out: { next_id: "#map" } }],
        ["call", "BPF_MAP_GET_NEXT_ID", { start_id: "#map-1", next_id: 77 }, 0, { out: { next_id: "#map" } }],
        ["create", {}, 0, "other"],
        ["call", "BPF_MAP_GET_NEXT_ID", { start_id: "#other-1", next_id: 0 }, 0, { out: { next_id: "#other" } }],
      ],
    },
    {
      id: "ids.next.end",
      steps: [
        ["call", "BPF_MAP_GET_NEXT_ID", { start_id: 0x7ffffffe, next_id: 5 }, "-ENOENT", { out: { next_id: 5 } }],
        ["call", "BPF_MAP_GET_NEXT_ID", { start_id: 0x7fffffff, next_id: 5 }, "-EINVAL", { out: { next_id: 5 } }],
        ["call", "BPF_MAP_GET_NEXT_ID", { start_id: 0x80000000 }, "-EINVAL"],
        ["call", "BPF_MAP_GET_NEXT_ID", { start_id: 0xffffffff }, "-EINVAL"],
      ],
    },
    {
      id: "ids.fd.missing",
      steps: [
        ["call", "BPF_MAP_GET_FD_BY_ID", { map_id: 0 }, "-ENOENT"],
        ["call", "BPF_MAP_GET_FD_BY_ID", { map_id: 0x7fffffff }, "-ENOENT"],
        ["call", "BPF_MAP_GET_FD_BY_ID", { map_id: 0xffffffff }, "-ENOENT"],
      ],
    },
    {
      id: "ids.fd.flags",
      steps: [
        ["call", "BPF_MAP_GET_FD_BY_ID", { map_id: "#map", open_flags: "BPF_F_RDONLY" }, 0],
        ["call", "BPF_MAP_GET_FD_BY_ID", { map_id: "#map", open_flags: "BPF_F_WRONLY" }, 0],
        ["call", "BPF_MAP_GET_FD_BY_ID", { map_id: "#map", open_flags: "BPF_F_RDONLY|BPF_F_WRONLY" }, "-EINVAL"],
        ["call", "BPF_MAP_GET_FD_BY_ID", { map_id: "#map", open_flags: 1 }, "-EINVAL"],
        ["call", "BPF_MAP_GET_FD_BY_ID", { map_id: "#map", open_flags: "BPF_F_ZERO_SEED" }, "-EINVAL"],
        ["call", "BPF_MAP_GET_FD_BY_ID", { map_id: "#map", open_flags: 0x80000000 }, "-EINVAL"],
        ["call", "BPF_MAP_GET_FD_BY_ID", { map_id: 0, open_flags: 1 }, "-EINVAL"],
        ["call", "BPF_MAP_GET_FD_BY_ID", { map_id: "#map", next_id: 99 }, 0],
      ],
    },
    // Surprise 24.
    {
      id: "ids.fd.gives_full_access",
      attr: { map_flags: "BPF_F_RDONLY" },
      steps: [
        ["update", 0, 1, 0, "-EPERM"],
        ["open", "full", 0, 0],
        ["update", 0, 1, 0, 0],
        ["use", "map"],
        ["lookup", 0, 1],
      ],
    },
    {
      id: "ids.gone_at_once",
      steps: [
        ["open", "second", 0, 0],
        ["close", "map", 0],
        ["call", "BPF_MAP_GET_FD_BY_ID", { map_id: "#map" }, 0],
        ["close", "second", 0],
        ["call", "BPF_MAP_GET_FD_BY_ID", { map_id: "#map" }, "-ENOENT"],
      ],
    },
    {
      id: "ids.not_reused_at_once",
      steps: [
        ["close", "map", 0],
        ["create", {}, 0, "next"],
        ["call", "BPF_MAP_GET_FD_BY_ID", { map_id: "#map" }, "-ENOENT"],
        ["call", "BPF_MAP_GET_FD_BY_ID", { map_id: "#next" }, 0],
      ],
    },
    {
      id: "ids.btf",
      attr: { value_size: 16 },
      steps: [
        ["btf", "b"],
        ["create", { btf_fd: "$b", btf_key_type_id: "type:u32", btf_value_type_id: "type:pair" }, 0, "typed"],
        ["use", "typed"],
        ["info", { btf_id: "any", btf_key_type_id: "type:u32", btf_value_type_id: "type:pair" }],
        // The map holds its BTF.
        ["close", "b", 0],
        ["info", { btf_id: "any", btf_key_type_id: "type:u32", btf_value_type_id: "type:pair" }],
        ["call", "BPF_BTF_GET_FD_BY_ID", { btf_id: 0 }, "-ENOENT"],
        ["call", "BPF_BTF_GET_FD_BY_ID", { btf_id: 0x7fffffff }, "-ENOENT"],
        ["call", "BPF_BTF_GET_NEXT_ID", { start_id: 0x7fffffff }, "-EINVAL"],
        ["call", "BPF_BTF_GET_NEXT_ID", { start_id: 0x7ffffffe, next_id: 5 }, "-ENOENT", { out: { next_id: 5 } }],
      ],
    },
    {
      id: "ids.btf.open_flags",
      steps: [
        ["call", "BPF_BTF_GET_FD_BY_ID", { btf_id: 0, open_flags: 8 }, "-EINVAL"],
        ["call", "BPF_BTF_GET_FD_BY_ID", { btf_id: 0, open_flags: "BPF_F_TOKEN_FD", fd_by_id_token_fd: -1 }, "-EBADF"],
        ["call", "BPF_BTF_GET_FD_BY_ID", { btf_id: 0, fd_by_id_token_fd: 5 }, "-ENOENT"],
      ],
    },
  ],
};
