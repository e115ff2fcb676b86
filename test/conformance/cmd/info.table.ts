import { toHex } from "../encode.ts";
import type { Table } from "../step.ts";

/** OBJ_GET_INFO_BY_FD of maps. */
export const infoTable: Table = {
  name: "BPF_OBJ_GET_INFO_BY_FD",
  attr: { map_type: "BPF_MAP_TYPE_ARRAY", key_size: 4, value_size: 8, max_entries: 8 },
  cases: [
    { id: "info.whole", attr: { map_name: "some_name" }, steps: [["info", {}]] },
    {
      id: "info.fd",
      steps: [
        ["call", "BPF_OBJ_GET_INFO_BY_FD", { bpf_fd: -1, info_len: 0 }, "-EBADFD"],
        ["call", "BPF_OBJ_GET_INFO_BY_FD", { bpf_fd: 9999, info_len: 0 }, "-EBADFD"],
        ["close", "map", 0],
        ["call", "BPF_OBJ_GET_INFO_BY_FD", { bpf_fd: "$map", info_len: 0 }, "-EBADFD"],
      ],
    },
    {
      id: "info.len",
      steps: [
        [
          "call",
          "BPF_OBJ_GET_INFO_BY_FD",
          { bpf_fd: "$map", info_len: 0, info: { hex: "" } },
          0,
          { out: { info_len: 0 } },
        ],
        ["call", "BPF_OBJ_GET_INFO_BY_FD", { bpf_fd: "$map", info_len: 0, info: 0 }, 0, { out: { info_len: 0 } }],
        [
          "call",
          "BPF_OBJ_GET_INFO_BY_FD",
          { bpf_fd: "$map", info_len: 1, info: { hex: "00" } },
          0,
          { out: { info_len: 1, info: "02" } },
        ],
        [
          "call",
          "BPF_OBJ_GET_INFO_BY_FD",
          { bpf_fd: "$map", info_len: 4, info: { hex: "000000000000" } },
          0,
          { out: { info_len: 4, info: "020000000000" } },
        ],
        [
          "call",
          "BPF_OBJ_GET_INFO_BY_FD",
          { bpf_fd: "$map", info_len: 3, info: { hex: "ffffffffff" } },
          0,
          { out: { info_len: 3, info: "020000ffff" } },
        ],
      ],
    },
    {
      id: "info.len.long",
      steps: [
        ["info length", 24, 24],
        ["info length", 80, 80],
        ["info length", 103, 103],
        ["info length", 104, 104],
        ["info length", 105, 104],
        ["info length", 108, 104],
        ["info length", 200, 104],
        ["info length", 4096, 104],
        ["info length", 4097, "-E2BIG"],
      ],
    },
    {
      id: "info.len.dirty_tail",
      steps: [
        [
          "call",
          "BPF_OBJ_GET_INFO_BY_FD",
          { bpf_fd: "$map", info_len: 105, info: { hex: `${"00".repeat(104)}01` } },
          "-E2BIG",
          { out: { info_len: 105 } },
        ],
        [
          "call",
          "BPF_OBJ_GET_INFO_BY_FD",
          { bpf_fd: "$map", info_len: 200, info: { hex: `${"00".repeat(199)}80` } },
          "-E2BIG",
        ],
        // The padding behind hash_size, which the record's length has in it.
        [
          "call",
          "BPF_OBJ_GET_INFO_BY_FD",
          { bpf_fd: "$map", info_len: 104, info: { hex: `${"00".repeat(103)}01` } },
          "-E2BIG",
        ],
      ],
    },
    // What is there before does not matter, but hash and hash_size do.
    {
      id: "info.input",
      steps: [
        [
          "call",
          "BPF_OBJ_GET_INFO_BY_FD",
          { bpf_fd: "$map", info_len: 4, info: { hex: "ffffffff" } },
          0,
          { out: { info: "02000000" } },
        ],
        [
          "call",
          "BPF_OBJ_GET_INFO_BY_FD",
          { bpf_fd: "$map", info_len: 100, info: { hex: `${"00".repeat(96)}20000000` } },
          "-EINVAL",
        ],
        [
          "call",
          "BPF_OBJ_GET_INFO_BY_FD",
          { bpf_fd: "$map", info_len: 96, info: { hex: `${"00".repeat(88)}0100000000000000` } },
          "-EINVAL",
        ],
        [
          "call",
          "BPF_OBJ_GET_INFO_BY_FD",
          { bpf_fd: "$map", info_len: 88, info: { hex: "ff".repeat(24) + "00".repeat(64) } },
          0,
          { out: { info_len: 88, info: "?" } },
        ],
      ],
    },
    {
      id: "info.bad_pointer",
      steps: [
        ["call", "BPF_OBJ_GET_INFO_BY_FD", { bpf_fd: "$map", info_len: 104, info: "BAD" }, "-EFAULT"],
        ["call", "BPF_OBJ_GET_INFO_BY_FD", { bpf_fd: "$map", info_len: 104, info: 0 }, "-EFAULT"],
        ["call", "BPF_OBJ_GET_INFO_BY_FD", { bpf_fd: "$map", info_len: 200, info: "BAD" }, "-EFAULT"],
        ["call", "BPF_OBJ_GET_INFO_BY_FD", { bpf_fd: "$map", info_len: 4097, info: "BAD" }, "-E2BIG"],
        ["object", "BPF_OBJ_GET_INFO_BY_FD", { bpf_fd: "$map", info_len: 104, info: { length: 103 } }, "-EFAULT"],
      ],
    },
    {
      id: "info.any_mode",
      attr: { map_flags: "BPF_F_WRONLY" },
      steps: [
        ["info", {}],
        ["open", "r", "BPF_F_RDONLY", 0],
        ["info", {}],
      ],
    },
    {
      id: "info.hash.refused",
      steps: [
        ["info hash", "-EPERM"],
        ["create", { map_type: "BPF_MAP_TYPE_HASH" }, 0, "hash"],
        ["use", "hash"],
        ["info hash", "-EINVAL"],
        ["freeze", 0],
        ["info hash", "-EINVAL"],
      ],
    },
    {
      id: "info.hash.frozen_array",
      steps: [
        ["freeze", 0],
        ["info hash", "f5a5fd42d16a20302798ef6ed309979b43003d2320d9f0e8ea9831a92759fb4b"],
      ],
    },
    {
      id: "info.hash.padding",
      attr: { value_size: 5, max_entries: 2 },
      steps: [
        ["update", 1, "0102030405", 0, 0],
        ["freeze", 0],
        ["info hash", "d10735860369d65e0633b522abafa026d06d6afae622c8b756b386a82abd4a3d"],
      ],
    },
    {
      id: "info.hash.pointers",
      steps: [
        ["freeze", 0],
        ["call", "BPF_OBJ_GET_INFO_BY_FD", { bpf_fd: "$map", info_len: 104, info: hashAt(8, 0) }, "-EINVAL"],
        ["call", "BPF_OBJ_GET_INFO_BY_FD", { bpf_fd: "$map", info_len: 104, info: hashAt(0, 32) }, "-EINVAL"],
        ["call", "BPF_OBJ_GET_INFO_BY_FD", { bpf_fd: "$map", info_len: 104, info: hashAt(8, 32) }, "-EFAULT"],
        // Of a record that ends before hash_size only the pointer is seen.
        ["call", "BPF_OBJ_GET_INFO_BY_FD", { bpf_fd: "$map", info_len: 96, info: hashAt(8, 32) }, "-EINVAL"],
      ],
    },
  ],
};

/** A bpf_map_info whose hash is to go to this address. */
function hashAt(address: number, size: number): { readonly hex: string } {
  const bytes = new Uint8Array(104);
  const view = new DataView(bytes.buffer);
  view.setUint32(88, address, true);
  view.setUint32(96, size, true);
  return { hex: toHex(bytes) };
}
