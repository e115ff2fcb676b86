/** Cases that hold for ARRAY_OF_MAPS and HASH_OF_MAPS alike. */
import type { Case, MapAttr, MapTypeName, Result, Step } from "../step.ts";

const ARRAY: MapAttr = { map_type: "BPF_MAP_TYPE_ARRAY", key_size: 4, value_size: 8, max_entries: 2 };
const HASH: MapAttr = { map_type: "BPF_MAP_TYPE_HASH", key_size: 4, value_size: 8, max_entries: 2 };

/** A bpf_spin_lock in the value. */
const LOCKED: MapAttr = { btf_fd: "$btf", btf_key_type_id: "type:u32", btf_value_type_id: "type:locked" };

/** The map that tables of outer maps begin with. */
export const INNER: MapAttr = ARRAY;

/** The smallest map of each type that may be inside another one, and of those that may not. */
const inside: readonly MapAttr[] = [
  HASH,
  ARRAY,
  { ...HASH, map_type: "BPF_MAP_TYPE_PERCPU_HASH" },
  { ...ARRAY, map_type: "BPF_MAP_TYPE_PERCPU_ARRAY" },
  { ...HASH, map_type: "BPF_MAP_TYPE_LRU_HASH" },
  { ...HASH, map_type: "BPF_MAP_TYPE_LRU_PERCPU_HASH" },
  { map_type: "BPF_MAP_TYPE_LPM_TRIE", key_size: 8, value_size: 8, max_entries: 2, map_flags: "BPF_F_NO_PREALLOC" },
  { map_type: "BPF_MAP_TYPE_QUEUE", value_size: 8, max_entries: 2 },
  { map_type: "BPF_MAP_TYPE_STACK", value_size: 8, max_entries: 2 },
  { map_type: "BPF_MAP_TYPE_BLOOM_FILTER", value_size: 8, max_entries: 2 },
  { map_type: "BPF_MAP_TYPE_RINGBUF", max_entries: 4096 },
];

const kind = (attr: MapAttr): string => String(attr.map_type).slice("BPF_MAP_TYPE_".length).toLowerCase();

/** A map that differs from the template in one attribute only: whether it may be put in. */
function fits(id: string, inner: MapAttr, other: MapAttr, result: Result): Case {
  return {
    id,
    inner,
    steps: [
      ["map", "other", { ...inner, ...other }],
      ["update", 1, "$other", 0, result],
      ["update", 1, "$inner", 0, 0],
      ["lookup", 1, "#inner"],
    ],
  };
}

/** For a table whose keys are 4 bytes, with room for 2. */
export function outerCases(prefix: string, type: MapTypeName): Case[] {
  const id = (rest: string): string => `${prefix}.${rest}`;
  const outer: Step = [
    "map",
    "outer",
    { map_type: type, key_size: 4, value_size: 4, max_entries: 1, inner_map_fd: "$inner" },
  ];
  return [
    {
      id: id("create.sizes"),
      steps: [
        [
          "create each",
          "value_size",
          [
            [0, "-EINVAL"],
            [3, "-EINVAL"],
            [4, 0],
            [8, "-EINVAL"],
          ],
        ],
        [
          "create each",
          "max_entries",
          [
            [0, "-EINVAL"],
            [1, 0],
            [1000, 0],
          ],
        ],
        [
          "create each",
          "key_size",
          [
            [0, "-EINVAL"],
            [4, 0],
          ],
        ],
        ["create", { map_extra: 1 }, "-EINVAL"],
      ],
    },
    {
      id: id("create.template"),
      noMap: true,
      steps: [
        outer,
        ["map", "progs", { map_type: "BPF_MAP_TYPE_PROG_ARRAY", key_size: 4, value_size: 4, max_entries: 1 }],
        ["prog", "prog", {}, 0],
        ["btf", "btf"],
        ["create", { inner_map_fd: 9999 }, "-EBADF"],
        ["create", { inner_map_fd: 0xffffffff }, "-EBADF"],
        ["create", { inner_map_fd: "$prog" }, "-EINVAL"],
        ["create", { inner_map_fd: "$btf" }, "-EINVAL"],
        ["create", { inner_map_fd: "$outer" }, "-EINVAL"],
        ["create", { inner_map_fd: "$progs" }, "-ENOTSUPP"],
        ["create", { inner_map_fd: "$inner" }, 0],
      ],
    },
    {
      // Sizes and flags of the outer map come before its template, names and BTF behind it.
      id: id("create.order"),
      noMap: true,
      steps: [
        ["create", { inner_map_fd: 9999, value_size: 8 }, "-EINVAL"],
        ["create", { inner_map_fd: 9999, map_flags: "BPF_F_MMAPABLE" }, "-EINVAL"],
        ["create", { inner_map_fd: 9999, map_flags: "BPF_F_TOKEN_FD", map_token_fd: 9998 }, "-EBADF"],
        ["create", { inner_map_fd: 9999, map_ifindex: 1 }, "-EINVAL"],
        ["create", { inner_map_fd: 9999, map_name: "a-b" }, "-EBADF"],
        ["create", { map_name: "a-b" }, "-EINVAL"],
        ["create", { inner_map_fd: 9999, btf_fd: 9998, btf_value_type_id: 1 }, "-EBADF"],
      ],
    },
    {
      id: id("btf"),
      steps: [
        ["btf", "btf"],
        ["create", { btf_fd: "$btf", btf_key_type_id: "type:u32", btf_value_type_id: "type:u32" }, "-ENOTSUPP"],
        ["create", { btf_fd: "$btf", btf_value_type_id: "type:u32" }, "-ENOTSUPP"],
        ["create", { btf_fd: "$btf", btf_key_type_id: "type:u32", btf_value_type_id: "type:u64" }, "-EINVAL"],
      ],
    },
    ...inside.map(
      (attr): Case => ({
        id: id(`inner.${kind(attr)}`),
        inner: attr,
        steps: [
          ["map", "same", attr],
          ["update", 1, "$same", 0, 0],
          ["lookup", 1, "#same"],
          ["update", 1, "$inner", 0, 0],
          ["lookup", 1, "#inner"],
        ],
      }),
    ),
    fits(id("inner.type"), HASH, { map_type: "BPF_MAP_TYPE_LRU_HASH" }, "-EINVAL"),
    fits(id("inner.key_size"), HASH, { key_size: 8 }, "-EINVAL"),
    fits(id("inner.value_size"), HASH, { value_size: 4 }, "-EINVAL"),
    fits(id("inner.value_size.array"), ARRAY, { value_size: 4 }, "-EINVAL"),
    fits(id("inner.flags"), HASH, { map_flags: "BPF_F_NO_PREALLOC" }, "-EINVAL"),
    fits(id("inner.flags.zero_seed"), HASH, { map_flags: "BPF_F_ZERO_SEED" }, "-EINVAL"),
    fits(id("inner.flags.prog"), ARRAY, { map_flags: "BPF_F_RDONLY_PROG" }, "-EINVAL"),
    // Those belong to the fd.
    fits(id("inner.flags.fd"), ARRAY, { map_flags: "BPF_F_RDONLY" }, 0),
    fits(id("inner.flags.fd.write"), ARRAY, { map_flags: "BPF_F_WRONLY" }, 0),
    fits(id("inner.max_entries.hash"), HASH, { max_entries: 5 }, 0),
    fits(id("inner.max_entries.array"), ARRAY, { max_entries: 5 }, "-EINVAL"),
    fits(
      id("inner.max_entries.percpu_array"),
      { ...ARRAY, map_type: "BPF_MAP_TYPE_PERCPU_ARRAY" },
      { max_entries: 5 },
      0,
    ),
    fits(id("inner.max_entries.inner_map"), { ...ARRAY, map_flags: "BPF_F_INNER_MAP" }, { max_entries: 5 }, 0),
    fits(id("inner.inner_map.flag"), ARRAY, { map_flags: "BPF_F_INNER_MAP" }, "-EINVAL"),
    fits(id("inner.max_entries.queue"), inside[7]!, { max_entries: 5 }, 0),
    fits(id("inner.max_entries.bloom"), inside[9]!, { max_entries: 5 }, 0),
    fits(id("inner.map_extra.bloom"), inside[9]!, { map_extra: 3 }, 0),
    fits(id("inner.max_entries.ringbuf"), inside[10]!, { max_entries: 8192 }, 0),
    fits(id("inner.max_entries.lpm"), inside[6]!, { max_entries: 5 }, 0),
    fits(id("inner.name"), ARRAY, { map_name: "other" }, 0),
    {
      id: id("inner.frozen"),
      steps: [
        ["map", "other", INNER],
        ["use", "other"],
        ["freeze", 0],
        ["use", "map"],
        ["update", 1, "$other", 0, 0],
        ["create", { inner_map_fd: "$other" }, 0],
      ],
    },
    {
      id: id("inner.btf"),
      steps: [
        ["btf", "btf"],
        ["map", "other", { ...INNER, btf_fd: "$btf", btf_key_type_id: "type:u32", btf_value_type_id: "type:u64" }],
        ["update", 1, "$other", 0, 0],
        ["create", { inner_map_fd: "$other" }, 0],
      ],
    },
    {
      // Special fields must be the same. The template keeps the BTF that they refer to.
      id: id("inner.fields"),
      inner: { ...HASH, value_size: 16 },
      steps: [
        ["btf", "btf"],
        ["map", "locked", { ...HASH, value_size: 16, ...LOCKED }],
        ["map", "plain", { ...HASH, value_size: 16 }],
        ["update", 1, "$locked", 0, "-EINVAL"],
        ["create", { inner_map_fd: "$locked" }, 0, "outer"],
        ["close", "locked", 0],
        ["use", "outer"],
        ["update", 1, "$plain", 0, "-EINVAL"],
        ["map", "again", { ...HASH, value_size: 16, ...LOCKED }],
        ["update", 1, "$again", 0, 0],
        ["lookup", 1, "#again"],
      ],
    },
    {
      // A map that only one program may use.
      id: id("inner.exclusive"),
      steps: [
        ["map", "other", { ...INNER, excl_prog_hash: { hex: "11".repeat(32) }, excl_prog_hash_size: 32 }],
        [
          "map",
          "misfit",
          { ...INNER, value_size: 4, excl_prog_hash: { hex: "11".repeat(32) }, excl_prog_hash_size: 32 },
        ],
        ["update", 1, "$other", 0, "-ENOTSUPP"],
        ["update", 1, "$misfit", 0, "-ENOTSUPP"],
        ["create", { inner_map_fd: "$other" }, "-ENOTSUPP"],
      ],
    },
    {
      // The template is looked at, not held; a slot holds.
      id: id("holds"),
      steps: [
        ["map", "other", INNER],
        ["update", 1, "$other", 0, 0],
        ["close", "inner", 0],
        ["call", "BPF_MAP_GET_FD_BY_ID", { map_id: "#inner" }, "-ENOENT"],
        ["close", "other", 0],
        ["lookup", 1, "#other"],
        ["call", "BPF_MAP_GET_FD_BY_ID", { map_id: "#other" }, 0],
        ["map", "third", INNER],
        ["update", 1, "$third", 0, 0],
        ["call", "BPF_MAP_GET_FD_BY_ID", { map_id: "#other" }, "-ENOENT"],
        ["close", "third", 0],
        ["delete", 1, 0],
        ["call", "BPF_MAP_GET_FD_BY_ID", { map_id: "#third" }, "-ENOENT"],
      ],
    },
    {
      id: id("ends"),
      steps: [
        ["map", "other", INNER],
        ["update", 0, "$other", 0, 0],
        ["update", 1, "$other", 0, 0],
        ["close", "other", 0],
        ["call", "BPF_MAP_GET_FD_BY_ID", { map_id: "#other" }, 0],
        // The kernel lets the inner maps go a little later.
        ["close", "map", 0],
        ["call", "BPF_MAP_GET_FD_BY_ID", { map_id: "#map" }, "-ENOENT"],
      ],
    },
    {
      id: id("update.fd"),
      steps: [
        ["prog", "prog", {}, 0],
        ["btf", "btf"],
        outer,
        ["update", 1, 9999, 0, "-EBADF"],
        ["update", 1, 0xffffffff, 0, "-EBADF"],
        ["update", 1, "$prog", 0, "-EINVAL"],
        ["update", 1, "$btf", 0, "-EINVAL"],
        ["update", 1, "$outer", 0, "-EINVAL"],
        ["update", 1, "$map", 0, "-EINVAL"],
        ["lookup", 1, "-ENOENT"],
      ],
    },
    {
      // A slot that holds one map is not touched by an update that fails.
      id: id("update.failed"),
      steps: [
        ["map", "other", { ...INNER, value_size: 4 }],
        ["update", 1, "$inner", 0, 0],
        ["update", 1, "$other", 0, "-EINVAL"],
        ["update", 1, 9999, 0, "-EBADF"],
        ["lookup", 1, "#inner"],
      ],
    },
    {
      id: id("take"),
      steps: [
        ["take", 1, "-ENOTSUPP"],
        ["update", 1, "$inner", 0, 0],
        ["take", 1, "-ENOTSUPP"],
        ["lookup", 1, "#inner"],
      ],
    },
    {
      id: id("frozen"),
      steps: [
        ["update", 1, "$inner", 0, 0],
        ["freeze", 0],
        ["update", 1, "$inner", 0, "-EPERM"],
        ["update", 1, 9999, 0, "-EPERM"],
        ["delete", 1, "-EPERM"],
        ["lookup", 1, "#inner"],
        ["freeze", "-EPERM"],
      ],
    },
    {
      id: id("read_only"),
      attr: { map_flags: "BPF_F_RDONLY" },
      steps: [
        ["update", 1, "$inner", 0, "-EPERM"],
        ["delete", 1, "-EPERM"],
        ["lookup", 1, "-ENOENT"],
        ["open", "rw", 0, 0],
        ["update", 1, "$inner", 0, 0],
        ["open", "wo", "BPF_F_WRONLY", 0],
        ["lookup", 1, "-EPERM"],
        ["delete", 1, 0],
      ],
    },
    { id: id("info"), steps: [["info", {}]] },
    {
      id: id("mmap"),
      steps: [
        ["mmap", 0, 4096, "r", "-ENOTSUPP"],
        ["poll", true],
      ],
    },
    {
      id: id("bad_memory"),
      steps: [
        ["update", 1, "$inner", 0, 0],
        ["call", "BPF_MAP_LOOKUP_ELEM", { map_fd: "$map", key: { words: [1] }, value: "BAD" }, "-EFAULT"],
        ["call", "BPF_MAP_UPDATE_ELEM", { map_fd: "$map", key: { words: [1] }, value: "BAD" }, "-EFAULT"],
        ["call", "BPF_MAP_UPDATE_ELEM", { map_fd: "$map", key: "BAD", value: { words: ["$inner"] } }, "-EFAULT"],
        [
          "call",
          "BPF_MAP_LOOKUP_ELEM",
          { map_fd: "$map", key: { words: [1] }, value: { length: 8 } },
          0,
          { out: { value: { words: ["#inner", 0xeeeeeeee] } } },
        ],
      ],
    },
  ];
}
