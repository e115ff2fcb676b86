import type { MapTable, Step } from "../step.ts";
import { arrayCases } from "./array_cases.ts";

/** Bytes of three elements, each unlike its neighbours. */
const counted = Array.from({ length: 192 }, (_, i) => (i * 7 + 1) & 255);
const hex = (bytes: readonly number[]): string => bytes.map((b) => b.toString(16).padStart(2, "0")).join("");

export const arrayTable: MapTable = {
  type: "BPF_MAP_TYPE_ARRAY",
  attr: { key_size: 4, value_size: 8, max_entries: 4 },
  cases: [
    ...arrayCases("array"),
    {
      id: "array.create.flags",
      attr: { map_flags: 0, map_token_fd: -1 },
      steps: [
        [
          "create flags",
          "BPF_F_NUMA_NODE|BPF_F_RDONLY|BPF_F_WRONLY|BPF_F_RDONLY_PROG|BPF_F_WRONLY_PROG|BPF_F_MMAPABLE|BPF_F_INNER_MAP",
          { BPF_F_TOKEN_FD: "-EBADF" },
        ],
      ],
    },
    {
      id: "array.create.value_size",
      attr: { max_entries: 1 },
      steps: [
        [
          "create each",
          "value_size",
          [
            [0, "-EINVAL"],
            [1, 0],
            [7, 0],
            [4194304, 0],
            [4194305, 0],
            [0x80000000, "-E2BIG"],
            [0xffffffff, "-E2BIG"],
          ],
        ],
      ],
    },
    {
      id: "array.values.odd",
      attr: { value_size: 5 },
      steps: [
        ["update", 0, "0102030405", 0, 0],
        ["update", 1, "1112131415", 0, 0],
        ["lookup", 0, "0102030405"],
        ["lookup", 1, "1112131415"],
        ["lookup", 2, 0],
      ],
    },
    {
      id: "array.values.large",
      attr: { value_size: 70_001, max_entries: 3 },
      steps: [
        ["update", 1, "a5".repeat(70_001), 0, 0],
        ["lookup", 0, 0],
        ["lookup", 1, "a5".repeat(70_001)],
        ["lookup", 2, 0],
      ],
    },
    {
      id: "array.info",
      attr: {
        value_size: 5,
        max_entries: 77,
        map_name: "an.array_1",
        map_flags: "BPF_F_MMAPABLE|BPF_F_RDONLY_PROG|BPF_F_RDONLY",
      },
      steps: [["info", {}]],
    },
    {
      id: "array.btf.section",
      attr: { value_size: 16, max_entries: 1 },
      steps: [
        ["btf", "b"],
        ["create", { btf_fd: "$b", btf_value_type_id: "type:section" }, 0],
        ["create", { btf_fd: "$b", btf_value_type_id: "type:section", max_entries: 2 }, "-EINVAL"],
        ["create", { btf_fd: "$b", btf_value_type_id: "type:pair" }, "-EINVAL"],
        ["create", { btf_fd: "$b", btf_value_type_id: "type:variable" }, "-EINVAL"],
      ],
    },
    {
      id: "array.mmap.not_mmapable",
      steps: [
        ["mmap", 0, 4096, "rx", "-EPERM"],
        ["mmap", 0, 4096, "r", "-EINVAL"],
        ["mmap", 0, 4096, "rw", "-EINVAL"],
        ["poll", true],
      ],
    },
    {
      id: "array.mmap.live",
      attr: { value_size: 5, max_entries: 3, map_flags: "BPF_F_MMAPABLE" },
      steps: [
        ["update", 1, "4142434445", 0, 0],
        ["mmap", 0, 24, "rw", 0],
        ["bytes", 0, "000000000000000041424344450000000000000000000000"],
        // Padding between the elements is memory of the map, which lookups do not show.
        ["store", 13, "99"],
        ["lookup", 1, "4142434445"],
        ["store", 8, "5a"],
        ["lookup", 1, "5a42434445"],
        ["update", 2, "0102030405", 0, 0],
        ["bytes", 8, "5a424344459900000102030405"],
        ["munmap", 0],
      ],
    },
    // The value lies across the element that it goes into.
    {
      id: "array.mmap.value_on_element",
      attr: { value_size: 64, max_entries: 3, map_flags: "BPF_F_MMAPABLE" },
      steps: [
        ["mmap", 0, 192, "rw", 0],
        ...[32, 60, 63, 64, 65, 68, 96, 120].flatMap((offset): Step[] => [
          ["store", 0, hex(counted)],
          ["mapped value", "update", 1, offset, 0],
          ["bytes", 0, hex([...counted.slice(0, 64), ...counted.slice(offset, offset + 64), ...counted.slice(128)])],
        ]),
        ["munmap", 0],
      ],
    },
    {
      id: "array.mmap.range",
      attr: { max_entries: 513, map_flags: "BPF_F_MMAPABLE" },
      steps: [
        ["mmap", 0, 8192, "rw", 0],
        ["mmap", 4096, 4096, "rw", 0],
        ["mmap", 4096, 1, "r", 0],
        ["mmap", 0, 8193, "r", "-EINVAL"],
        ["mmap", 0, 12288, "r", "-EINVAL"],
        ["mmap", 4096, 4097, "r", "-EINVAL"],
        ["mmap", 8192, 4096, "r", "-EINVAL"],
        ["mmap", 1, 4096, "r", "-EINVAL"],
        ["mmap", 0, 0, "r", "-EINVAL"],
      ],
    },
    {
      id: "array.mmap.prot",
      attr: { map_flags: "BPF_F_MMAPABLE" },
      steps: [
        ["mmap", 0, 32, "rwx", "-EPERM"],
        ["create", { map_flags: "BPF_F_MMAPABLE|BPF_F_RDONLY_PROG" }, 0, "ro"],
        ["use", "ro"],
        ["mmap", 0, 32, "rwx", "-EPERM"],
        ["mmap", 0, 32, "rw", "-EACCES"],
        ["mmap", 0, 32, "r", 0],
      ],
    },
    // Surprise 7.
    {
      id: "array.mmap.fd_modes",
      attr: { map_flags: "BPF_F_MMAPABLE" },
      steps: [
        ["open", "r", "BPF_F_RDONLY", 0],
        ["mmap", 0, 32, "r", "-EINVAL"],
        ["mmap", 0, 32, "rwx", "-EACCES"],
        ["mmap", 0, 32, "rx", "-EPERM"],
        ["mmap", 0, 32, "rw", "-EACCES"],
        ["open", "w", "BPF_F_WRONLY", 0],
        ["mmap", 0, 32, "r", "-EACCES"],
        ["mmap", 0, 32, "rw", "-EACCES"],
      ],
    },
    {
      id: "array.mmap.freeze",
      attr: { map_flags: "BPF_F_MMAPABLE" },
      steps: [
        ["mmap", 0, 32, "rw", 0],
        ["freeze", "-EBUSY"],
        ["update", 0, 1, 0, 0],
        ["munmap", 0],
        ["mmap", 0, 32, "r", 0],
        ["freeze", 0],
        ["mmap", 0, 32, "rw", "-EPERM"],
        ["mmap", 0, 32, "r", 0],
        ["bytes", 0, "0100000000000000"],
      ],
    },
    // Where it begins is judged before the fd, and how long it is after.
    {
      id: "array.mmap.closed",
      steps: [
        ["close", "map", 0],
        ["mmap", 1, 4096, "r", "-EINVAL"],
        ["mmap", 0, 0, "r", "-EBADF"],
        ["mmap", 4096, 4096, "rwx", "-EBADF"],
      ],
    },
    // All mappings show the same memory; each ends by itself, in whatever order.
    {
      id: "array.mmap.several",
      attr: { value_size: 8, max_entries: 1000, map_flags: "BPF_F_MMAPABLE" },
      steps: [
        ["mmap", 0, 4096, "rw", 0],
        ["mmap", 4096, 4096, "rw", 0],
        ["mmap", 0, 8192, "r", 0],
        ["mmap", 0, 4096, "none", 0],
        ["use mapping", 0],
        ["store", 4088, "0102030405060708"],
        ["use mapping", 1],
        ["store", 0, "1112131415161718"],
        ["use mapping", 2],
        ["bytes", 4088, "01020304050607081112131415161718"],
        ["use mapping", 3],
        ["bytes", 4088, "0102030405060708"],
        ["lookup", 511, "0102030405060708"],
        ["lookup", 512, "1112131415161718"],
        ["update", 512, "2122232425262728", 0, 0],
        ["use mapping", 1],
        ["bytes", 0, "2122232425262728"],
        ["use mapping", 0],
        ["munmap", 0],
        ["munmap", 0],
        ["freeze", "-EBUSY"],
        ["use mapping", 1],
        ["munmap", 0],
        ["freeze", 0],
        ["use mapping", 2],
        ["bytes", 4088, "01020304050607082122232425262728"],
        ["mmap", 4096, 4096, "rw", "-EPERM"],
        ["mmap", 4096, 4096, "r", 0],
        ["bytes", 0, "2122232425262728"],
      ],
    },
    // Of the fd and several mappings the last one to go takes the map with it.
    {
      id: "array.mmap.last",
      attr: { value_size: 8, max_entries: 1000, map_flags: "BPF_F_MMAPABLE" },
      steps: [
        ["mmap", 0, 4096, "rw", 0],
        ["mmap", 0, 8192, "r", 0],
        ["close", "map", 0],
        ["mmap", 0, 4096, "r", "-EBADF"],
        ["use mapping", 0],
        ["store", 0, "c0ffee"],
        ["munmap", 0],
        ["use mapping", 1],
        ["bytes", 0, "c0ffee"],
        ["call", "BPF_MAP_GET_FD_BY_ID", { map_id: "#map" }, 0],
        ["munmap", 0],
        ["call", "BPF_MAP_GET_FD_BY_ID", { map_id: "#map" }, "-ENOENT"],
      ],
    },
    // Another fd of the map, opened while only a mapping held it.
    {
      id: "array.mmap.reopened",
      attr: { value_size: 8, max_entries: 4, map_flags: "BPF_F_MMAPABLE" },
      steps: [
        ["mmap", 0, 32, "rw", 0],
        ["open", "other", 0, 0],
        ["close", "map", 0],
        ["store", 8, "aa"],
        ["lookup", 1, 0xaa],
        ["munmap", 0],
        ["lookup", 1, 0xaa],
        ["mmap", 0, 32, "r", 0],
        ["bytes", 8, "aa"],
      ],
    },
    // What a command is pointed to ends where the mapping ends, whatever lies behind.
    {
      id: "array.mmap.value_behind",
      attr: { value_size: 8, max_entries: 1000, map_flags: "BPF_F_MMAPABLE" },
      steps: [
        ["mmap", 0, 4096, "rw", 0],
        ["mapped value", "lookup", 0, 4088, 0],
        ["mapped value", "lookup", 0, 4089, "-EFAULT"],
        ["mapped value", "update", 0, 4089, "-EFAULT"],
      ],
    },
    // A mapping holds its map.
    {
      id: "array.mmap.holds",
      attr: { map_flags: "BPF_F_MMAPABLE" },
      steps: [
        ["update", 0, 7, 0, 0],
        ["mmap", 0, 32, "r", 0],
        ["close", "map", 0],
        ["bytes", 0, "0700000000000000"],
        ["call", "BPF_MAP_GET_FD_BY_ID", { map_id: "#map" }, 0],
        ["munmap", 0],
        ["call", "BPF_MAP_GET_FD_BY_ID", { map_id: "#map" }, "-ENOENT"],
      ],
    },
  ],
};
