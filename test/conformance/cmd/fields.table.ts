import type { Step, Table } from "../step.ts";

/** No lock where elements are evicted or one a CPU. */
const lockTypes = {
  ARRAY: 0,
  LRU_HASH: "-EOPNOTSUPP",
  PERCPU_HASH: "-EOPNOTSUPP",
  LRU_PERCPU_HASH: "-EOPNOTSUPP",
  PERCPU_ARRAY: "-EOPNOTSUPP",
} as const;
const timerTypes = { ...lockTypes, LRU_HASH: 0 } as const;
const pointerTypes = { ARRAY: 0, LRU_HASH: 0, PERCPU_HASH: 0, LRU_PERCPU_HASH: 0, PERCPU_ARRAY: 0 } as const;
const one: Step = ["update", 0, "ff".repeat(16), 0, 0];

/** Special fields in values: which the kernel finds, which it refuses, and what commands see of them. */
export const fieldsTable: Table = {
  name: "special fields",
  attr: { map_type: "BPF_MAP_TYPE_HASH", key_size: 4, value_size: 16, max_entries: 4 },
  cases: [
    {
      id: "fields.lock",
      steps: [
        ["shape", "lock", "8 (4) 20", lockTypes],
        ["shape", "lock.res", "8 (4) 20", lockTypes],
        ["shape", "lock.nested", "12 (4) 16"],
        ["shape", "lock.array1", "4 (4) 24"],
        ["shape", "lock.timer", "(4) 4 (16) 8", lockTypes],
        ["shape", "lock.misaligned", "-EFAULT"],
        ["shape", "lock.large", "-EFAULT"],
        ["shape", "lock.two", "-E2BIG"],
        ["shape", "lock.both", "-EINVAL"],
      ],
    },
    // Not found, or in contradiction with each other: values like any others, if BTF_LOAD took them.
    {
      id: "fields.none",
      steps: [
        ["shape", "lock.res.misaligned", "32"],
        ["shape", "lock.res.two", "32"],
        ["shape", "lock.volatile", "32"],
        ["shape", "lock.alone", "4"],
        ["shape", "lock.array2", "32"],
        ["shape", "timer.misaligned", "32"],
        ["shape", "timer.typedef", "32"],
        ["shape", "timer.union", "32"],
        ["shape", "timer.large", "32"],
        ["shape", "timer.int", "32"],
        ["shape", "timer.two", "32"],
        ["shape", "timer.misaligned_first", "40"],
        ["shape", "timer.too_deep", "16"],
        ["shape", "timer.array0", "32"],
        ["shape", "timer.section.size", "32"],
        ["shape", "timer.wq.overlap", "32"],
        ["shape", "timer.bitfield", "32"],
        ["shape", "refcount.array2", "32"],
        ["shape", "kptr.int", "32"],
        ["shape", "kptr.two_tags", "32"],
        ["shape", "kptr.unknown", "32"],
        ["shape", "kptr.array12", "104"],
        ["shape", "list.node", "32"],
      ],
    },
    {
      id: "fields.timer",
      steps: [
        ["shape", "timer", "8 (16) 8", timerTypes],
        ["shape", "wq", "8 (16) 8", timerTypes],
        ["shape", "task_work", "8 (8) 16", timerTypes],
        ["shape", "timer.deep", "(16)"],
        ["shape", "timer.name", "8 (16) 8"],
        ["shape", "timer.section", "8 (16) 8", { ARRAY: 0 }],
      ],
    },
    {
      id: "fields.refcount",
      steps: [
        ["shape", "refcount", "8 (+4) 20", pointerTypes],
        ["shape", "refcount.two", "(+4) 4 (+4) 20"],
      ],
    },
    {
      id: "fields.kptr",
      steps: [
        ["shape", "kptr", "8 (8) 16", pointerTypes],
        ["shape", "kptr.untrusted", "8 (8) 16", pointerTypes],
        ["shape", "kptr.percpu", "8 (8) 16", pointerTypes],
        ["shape", "kptr.task", "8 (8) 16"],
        ["shape", "kptr.array", "8 (16) 8"],
        ["shape", "kptr.array.struct", "16 (8) 16 (8) 8"],
        ["shape", "kptr.array11", "8 (88)"],
        ["shape", "kptr.section", "8 (16) 8"],
        ["shape", "kptr.misaligned", "-EFAULT"],
        ["shape", "kptr.members12", "-E2BIG"],
      ],
    },
    {
      id: "fields.graph",
      steps: [
        ["shape", "tree", "(4) 4 (16) 8", { ARRAY: 0, LRU_HASH: "-EOPNOTSUPP", PERCPU_HASH: "-EOPNOTSUPP" }],
        ["shape", "two_owners.counted", "(4) 4 (16) 8"],
        ["shape", "two_owners.uncounted", "-EINVAL"],
        ["shape", "tree.of_list_nodes", "-EINVAL"],
        ["shape", "list.unlocked", "-EINVAL"],
        ["shape", "list.no_tag", "-EINVAL"],
        ["shape", "list.two_tags", "-EINVAL"],
        ["shape", "list.other_member", "-EINVAL"],
        ["shape", "list.no_colon", "-EINVAL"],
        ["shape", "list.no_node", "-EINVAL"],
        ["shape", "list.no_struct", "-ENOENT"],
        ["shape", "list.unknown_struct", "-ENOENT"],
        ["shape", "list.unknown_node", "-ENOENT"],
        ["shape", "list.node_twice", "-EINVAL"],
        ["shape", "list.node_misaligned", "-EFAULT"],
        ["shape", "list.of_tree_nodes", "-EINVAL"],
        ["shape", "list.chain3", "-ELOOP"],
      ],
    },
    // A type says whether it takes fields before it says what it thinks of the key's type.
    {
      id: "fields.order",
      noMap: true,
      steps: [
        ["btf", "b"],
        ...(["BPF_F_RDONLY_PROG", "BPF_F_WRONLY_PROG", 0] as const).map(
          (map_flags): Step => [
            "create",
            { map_flags, map_type: "BPF_MAP_TYPE_LRU_HASH", ...typed("locked") },
            map_flags === 0 ? "-EOPNOTSUPP" : "-EACCES",
          ],
        ),
        ["create", { map_type: "BPF_MAP_TYPE_ARRAY", ...typed("locked"), btf_key_type_id: "type:key4" }, "-EINVAL"],
        [
          "create",
          {
            map_type: "BPF_MAP_TYPE_ARRAY",
            ...typed("locked"),
            btf_key_type_id: "type:key4",
            map_flags: "BPF_F_RDONLY_PROG",
          },
          "-EACCES",
        ],
        [
          "create",
          { map_type: "BPF_MAP_TYPE_BLOOM_FILTER", key_size: 0, ...typed("locked"), btf_key_type_id: 0 },
          "-EOPNOTSUPP",
        ],
      ],
    },
    // Updates in place leave the fields alone. No value with padding: the kernel hands out what was in its buffer there.
    {
      id: "fields.percpu",
      attr: { map_type: "BPF_MAP_TYPE_PERCPU_ARRAY", value_size: 24 },
      steps: [
        ["btf", "b"],
        ["create", { ...typed("pointed"), map_type: "BPF_MAP_TYPE_PERCPU_ARRAY" }, 0, "array"],
        ["use", "array"],
        ["update", 1, "ff".repeat(24), 0, 0],
        ["lookup", 1, `${"ff".repeat(8)}${"00".repeat(8)}${"ff".repeat(8)}`],
        ["create", { ...typed("pointed"), map_type: "BPF_MAP_TYPE_PERCPU_HASH" }, 0, "hash"],
        ["use", "hash"],
        ["update", 1, "ff".repeat(24), 0, 0],
        ["update", 1, "ee".repeat(24), 0, 0],
        ["lookup", 1, `${"ee".repeat(8)}${"00".repeat(8)}${"ee".repeat(8)}`],
        ["take", 1, `${"ee".repeat(8)}${"00".repeat(8)}${"ee".repeat(8)}`],
      ],
    },
    {
      id: "fields.lru",
      attr: { map_type: "BPF_MAP_TYPE_LRU_HASH", value_size: 32 },
      steps: [
        ["btf", "b"],
        ["create", { ...typed("timed"), value_size: 32 }, 0, "timed"],
        ["use", "timed"],
        ["update", 1, "ff".repeat(32), 0, 0],
        ["update", 1, "ee".repeat(32), 0, 0],
        ["lookup", 1, `${"ee".repeat(8)}${"00".repeat(16)}${"ee".repeat(8)}`],
        ["take", 1, `${"ee".repeat(8)}${"00".repeat(16)}${"ee".repeat(8)}`],
      ],
    },
    {
      id: "fields.take",
      steps: [
        ["btf", "b"],
        ["create", typed("locked"), 0, "locked"],
        ["use", "locked"],
        one,
        ["take", 0, `00000000${"ff".repeat(12)}`],
      ],
    },
  ],
};

function typed(value: string): Record<string, string> {
  return { btf_fd: "$b", btf_key_type_id: "type:u32", btf_value_type_id: `type:${value}` };
}
