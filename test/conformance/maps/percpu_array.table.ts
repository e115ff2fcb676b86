import type { MapTable } from "../step.ts";
import { arrayCases } from "./array_cases.ts";

export const percpuArrayTable: MapTable = {
  type: "BPF_MAP_TYPE_PERCPU_ARRAY",
  attr: { key_size: 4, value_size: 8, max_entries: 4 },
  cases: [
    ...arrayCases("percpu_array"),
    {
      id: "percpu_array.create.flags",
      attr: { map_flags: 0, map_token_fd: -1 },
      steps: [
        ["create flags", "BPF_F_RDONLY|BPF_F_WRONLY|BPF_F_RDONLY_PROG|BPF_F_WRONLY_PROG", { BPF_F_TOKEN_FD: "-EBADF" }],
      ],
    },
    {
      id: "percpu_array.create.value_size",
      attr: { max_entries: 1 },
      steps: [
        [
          "create each",
          "value_size",
          [
            [0, "-EINVAL"],
            [1, 0],
            [7, 0],
            [32761, 0],
            [32768, 0],
            [32769, "-E2BIG"],
            [0x80000000, "-E2BIG"],
            [0xffffffff, "-E2BIG"],
          ],
        ],
      ],
    },
    {
      id: "percpu_array.create.numa",
      steps: [
        ["create", { map_flags: "BPF_F_NUMA_NODE", numa_node: 0 }, "-EINVAL"],
        ["create", { map_flags: "BPF_F_NUMA_NODE", numa_node: 0, value_size: 32769 }, "-EINVAL"],
        // The flag with the node that stands for none asks for nothing.
        ["create", { map_flags: "BPF_F_NUMA_NODE", numa_node: 0xffffffff }, 0, "none"],
        ["use", "none"],
        ["info", {}],
      ],
    },
    {
      id: "percpu_array.values",
      steps: [
        ["update", 1, [10, 20], 0, 0],
        ["lookup", 1, [10, 20]],
        ["update", 1, 30, "BPF_EXIST", 0],
        ["lookup", 1, 30],
        ["update", 1, [0, 7], 0, 0],
        ["lookup", 1, [0, 7]],
        ["lookup", 0, 0],
        ["lookup", 2, 0],
      ],
      cpus: 2,
    },
    {
      id: "percpu_array.values.padding",
      attr: { value_size: 5 },
      steps: [
        ["update", 1, ["0102030405060708", "1112131415161718"], 0, 0],
        ["lookup", 1, ["0102030405060708", "1112131415161718"]],
      ],
      cpus: 2,
    },
    ...[1, 3, 7, 9, 12, 17].map((size) => ({
      id: `percpu_array.values.size_${size}`,
      attr: { value_size: size },
      steps: [
        ["update", 1, ["ff".repeat(size), "01".repeat(size)], 0, 0],
        ["update", 2, "a5".repeat(Math.ceil(size / 8) * 8), 0, 0],
        ["lookup", 1, ["ff".repeat(size), "01".repeat(size)]],
        ["lookup", 2, "a5".repeat(Math.ceil(size / 8) * 8)],
        ["lookup", 3, 0],
      ] as const,
      cpus: 2,
    })),
    {
      id: "percpu_array.values.short",
      steps: [
        [
          "object",
          "BPF_MAP_UPDATE_ELEM",
          { map_fd: "$map", key: { hex: "01000000" }, value: { length: 15 } },
          "-EFAULT",
        ],
        [
          "object",
          "BPF_MAP_LOOKUP_ELEM",
          { map_fd: "$map", key: { hex: "01000000" }, value: { length: 15 } },
          "-EFAULT",
        ],
      ],
      cpus: 2,
    },
    {
      id: "percpu_array.mmap",
      steps: [
        ["mmap", 0, 4096, "r", "-ENOTSUPP"],
        ["poll", true],
      ],
    },
    { id: "percpu_array.info", attr: { value_size: 5, max_entries: 77, map_name: "per_cpu" }, steps: [["info", {}]] },
    {
      id: "percpu_array.btf.section",
      attr: { value_size: 16, max_entries: 1 },
      steps: [
        ["btf", "b"],
        ["create", { btf_fd: "$b", btf_value_type_id: "type:section" }, "-EINVAL"],
      ],
    },
  ],
};
