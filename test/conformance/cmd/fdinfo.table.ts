import type { Step, Table } from "../step.ts";

/** A map of a type, made, shown and let go; what memlock says on a machine with two possible CPUs. */
const shows = (attr: Record<string, string | number>, memlock: number, lines: Record<string, string> = {}): Step[] => [
  ["create", attr, 0, "other"],
  ["use", "other"],
  ["fdinfo", memlock, lines],
  ["close", "other", 0],
];

/** /proc/self/fdinfo of a map's fd, line by line. `memlock` of every type is compared in test/kernel/map_memory.test.ts. */
export const fdinfoTable: Table = {
  name: "fdinfo",
  attr: { map_type: "BPF_MAP_TYPE_ARRAY", key_size: 4, value_size: 8, max_entries: 8 },
  cases: [
    { id: "fdinfo.array", steps: [["fdinfo", 376]] },
    {
      id: "fdinfo.frozen",
      steps: [
        ["freeze", 0],
        ["fdinfo", 376, { frozen: "1" }],
      ],
    },
    { id: "fdinfo.rdonly", attr: { map_flags: "BPF_F_RDONLY" }, steps: [["fdinfo", 376]] },
    { id: "fdinfo.wronly", attr: { map_flags: "BPF_F_WRONLY|BPF_F_RDONLY_PROG" }, steps: [["fdinfo", 376]] },
    {
      id: "fdinfo.types",
      cpus: 2,
      steps: [
        ...shows({ map_flags: "BPF_F_MMAPABLE" }, 8192),
        ...shows({ map_type: "BPF_MAP_TYPE_PERCPU_ARRAY" }, 312 + 8 * 24),
        ...shows({ map_type: "BPF_MAP_TYPE_HASH" }, 896 + 8 * 16 + 10 * 64 + 16),
        ...shows({ map_type: "BPF_MAP_TYPE_PERCPU_HASH" }, 896 + 8 * 16 + 8 * (64 + 16)),
        ...shows({ map_type: "BPF_MAP_TYPE_LRU_HASH", max_entries: 7, map_flags: "BPF_F_NO_COMMON_LRU" }, 1536, {
          max_entries: "8",
        }),
        ...shows({ map_type: "BPF_MAP_TYPE_BLOOM_FILTER", key_size: 0, map_extra: 3 }, 320),
        ...shows({ map_type: "BPF_MAP_TYPE_QUEUE", key_size: 0, value_size: 5 }, 357),
        ...shows({ map_type: "BPF_MAP_TYPE_RINGBUF", key_size: 0, value_size: 0, max_entries: 4096 }, 16728),
      ],
    },
    {
      id: "fdinfo.counted.hash",
      attr: { map_type: "BPF_MAP_TYPE_HASH", map_flags: "BPF_F_NO_PREALLOC" },
      steps: [
        ["fdinfo", 1024],
        ["fill", 1, 3, 0],
        ["fdinfo", 1024 + 3 * 72],
        ["delete", 2, 0],
        ["fdinfo", 1024 + 2 * 72],
      ],
    },
    {
      id: "fdinfo.counted.percpu_hash",
      cpus: 2,
      attr: { map_type: "BPF_MAP_TYPE_PERCPU_HASH", map_flags: "BPF_F_NO_PREALLOC" },
      steps: [
        ["fill", 1, 3, 0],
        ["fdinfo", 1024 + 3 * (72 + 16 + 16)],
      ],
    },
    {
      id: "fdinfo.counted.lpm",
      attr: { map_type: "BPF_MAP_TYPE_LPM_TRIE", key_size: 8, value_size: 9, map_flags: "BPF_F_NO_PREALLOC" },
      steps: [
        ["fdinfo", 0],
        ["update", "10.0.0.0/8", 1, 0, 0],
        ["update", "10.1.0.0/16", 1, 0, 0],
        ["fdinfo", 74],
      ],
    },
  ],
};
