/** Values with special fields, each in a BTF of its own: some of them BPF_BTF_LOAD refuses. */
import { BtfBuilder, type MemberInput } from "../../src/btf/index.ts";

export interface Shape {
  readonly btf: Uint8Array;
  readonly keyId: number;
  readonly valueId: number;
  readonly size: number;
}

/** A builder with the kernel's special types, each made when it is first used. */
class Types extends BtfBuilder {
  readonly u32: number = this.int("unsigned int", 4);
  readonly u64: number = this.int("unsigned long", 8);
  readonly #made: Map<string, number> = new Map();

  special(name: string): number {
    const known = this.#made.get(name);
    if (known !== undefined) return known;
    const words = sizes[name];
    if (words === undefined) throw new Error(`no special type ${name}`);
    const id = words === 0.5 ? this.record(name, 4, [["val", this.u32, 0]]) : this.#words(name, words);
    this.#made.set(name, id);
    return id;
  }

  #words(name: string, count: number): number {
    return this.record(
      name,
      count * 8,
      Array.from({ length: count }, (_, i) => [`w${i}`, this.u64, i * 8] as const),
    );
  }

  record(name: string, size: number, members: readonly (readonly [string, number, number])[]): number {
    return this.struct(name, size, members.map(memberOf));
  }

  value(size: number, ...members: readonly (readonly [string, number, number])[]): number {
    return this.record("value", size, members);
  }

  kptr(tag: string, target: number = this.record("own", 8, [["x", this.u64, 0]])): number {
    return this.ptr(this.typeTag(tag, target));
  }
}

const sizes: Readonly<Record<string, number>> = {
  bpf_spin_lock: 0.5,
  bpf_res_spin_lock: 0.5,
  bpf_refcount: 0.5,
  bpf_task_work: 1,
  bpf_timer: 2,
  bpf_wq: 2,
  bpf_list_head: 2,
  bpf_rb_root: 2,
  bpf_list_node: 3,
  bpf_rb_node: 4,
};

function memberOf([name, typeId, byte]: readonly [string, number, number]): MemberInput {
  return { name, typeId, bitOffset: byte * 8 };
}

type Build = (t: Types) => number;

/** One special field at a byte of a value of 32. */
const at =
  (name: string, byte: number): Build =>
  (t) =>
    t.value(32, ["f", t.special(name), byte]);

/** `levels` structs around a timer. */
const deep =
  (levels: number): Build =>
  (t) => {
    let id = t.special("bpf_timer");
    for (let i = 0; i < levels; i++) id = t.record(`s${i}`, 16, [["f", id, 0]]);
    return id;
  };

const kernelPointer =
  (tag: string, name: string): Build =>
  (t) =>
    t.value(32, ["f", t.kptr(tag, t.record(name, 8, [["x", t.u64, 0]])), 8]);

interface ListOptions {
  readonly tags?: readonly string[];
  readonly index?: number;
  readonly node?: string;
  readonly nodeAt?: number;
  readonly twice?: boolean;
  readonly root?: string;
  readonly unlocked?: boolean;
}

/** A lock, and a list of `item`s. */
const list =
  ({ tags = ["contains:item:node"], index = 1, node = "bpf_list_node", nodeAt = 8, ...rest }: ListOptions): Build =>
  (t) => {
    const n = t.special(node);
    const nodes = [["node", n, nodeAt] as const, ...(rest.twice ? [["node", n, nodeAt + 32] as const] : [])];
    t.record("item", 80, nodes);
    const root = ["head", t.special(rest.root ?? "bpf_list_head"), 8] as const;
    const lock = rest.unlocked ? (["n", t.u64, 0] as const) : (["lock", t.special("bpf_spin_lock"), 0] as const);
    const value = t.value(32, lock, root);
    for (const tag of tags) t.declTag(tag, value, index);
    return value;
  };

/** Lists of lists: `depth` kinds of items, each but the first with a list of the one before. */
const chain =
  (depth: number): Build =>
  (t) => {
    const node = t.special("bpf_list_node");
    const head = t.special("bpf_list_head");
    const lock = t.special("bpf_spin_lock");
    t.record("s0", 64, [["node", node, 0]]);
    for (let i = 1; i < depth; i++) {
      const s = t.record(`s${i}`, 64, [
        ["node", node, 0],
        ["lock", lock, 24],
        ["head", head, 32],
      ]);
      t.declTag(`contains:s${i - 1}:node`, s, 2);
    }
    const value = t.value(32, ["lock", lock, 0], ["head", head, 8]);
    t.declTag(`contains:s${depth - 1}:node`, value, 1);
    return value;
  };

/** Items that are in a list and in a tree. */
const twoOwners =
  (counted: boolean): Build =>
  (t) => {
    const members: (readonly [string, number, number])[] = [
      ["ln", t.special("bpf_list_node"), 0],
      ["rn", t.special("bpf_rb_node"), 24],
    ];
    if (counted) members.push(["refs", t.special("bpf_refcount"), 56]);
    t.record("item", 64, members);
    const value = t.value(
      32,
      ["lock", t.special("bpf_spin_lock"), 0],
      ["root", t.special("bpf_rb_root"), 8],
      ["n", t.u64, 24],
    );
    t.declTag("contains:item:rn", value, 1);
    return value;
  };

const builds: Readonly<Record<string, Build>> = {
  lock: at("bpf_spin_lock", 8),
  "lock.misaligned": at("bpf_spin_lock", 2),
  "lock.res": at("bpf_res_spin_lock", 8),
  "lock.res.misaligned": at("bpf_res_spin_lock", 2),
  "lock.both": (t) => t.value(32, ["a", t.special("bpf_spin_lock"), 0], ["b", t.special("bpf_res_spin_lock"), 4]),
  "lock.two": (t) => t.value(32, ["a", t.special("bpf_spin_lock"), 0], ["b", t.special("bpf_spin_lock"), 4]),
  "lock.res.two": (t) =>
    t.value(32, ["a", t.special("bpf_res_spin_lock"), 0], ["b", t.special("bpf_res_spin_lock"), 4]),
  "lock.volatile": (t) => t.value(32, ["a", t.volatile(t.special("bpf_spin_lock")), 0]),
  "lock.alone": (t) => t.special("bpf_spin_lock"),
  "lock.nested": (t) =>
    t.value(32, ["a", t.u64, 0], ["in", t.record("in", 8, [["l", t.special("bpf_spin_lock"), 4]]), 8]),
  "lock.array1": (t) => t.value(32, ["a", t.array(t.special("bpf_spin_lock"), t.u32, 1), 4]),
  "lock.array2": (t) => t.value(32, ["a", t.array(t.special("bpf_spin_lock"), t.u32, 2), 4]),
  "lock.large": (t) => t.value(32, ["a", t.record("bpf_spin_lock", 8, [["x", t.u64, 0]]), 0]),
  "lock.timer": (t) => t.value(32, ["a", t.special("bpf_spin_lock"), 0], ["b", t.special("bpf_timer"), 8]),
  timer: at("bpf_timer", 8),
  "timer.misaligned": at("bpf_timer", 4),
  "timer.typedef": (t) => t.value(32, ["f", t.typedef("bpf_timer", t.special("bpf_timer")), 8]),
  "timer.union": (t) => {
    const members = [memberOf(["f", t.special("bpf_timer"), 0])];
    return t.value(32, ["u", t.union("u", 16, members), 8]);
  },
  "timer.large": (t) => t.value(32, ["f", t.record("bpf_timer", 24, [["x", t.u64, 0]]), 8]),
  "timer.int": (t) => t.value(32, ["f", t.int("bpf_timer", 16), 8]),
  "timer.two": (t) => t.value(32, ["a", t.special("bpf_timer"), 0], ["b", t.special("bpf_timer"), 16]),
  "timer.misaligned_first": (t) => t.value(40, ["a", t.special("bpf_timer"), 4], ["b", t.special("bpf_timer"), 24]),
  "timer.deep": deep(32),
  "timer.too_deep": deep(33),
  "timer.array0": (t) => t.value(32, ["a", t.array(t.special("bpf_timer"), t.u32, 0), 8]),
  "timer.section": (t) => t.datasec(".data", 32, [{ typeId: t.var("x", t.special("bpf_timer")), offset: 8, size: 16 }]),
  "timer.section.size": (t) =>
    t.datasec(".data", 32, [{ typeId: t.var("x", t.special("bpf_timer")), offset: 8, size: 24 }]),
  "timer.name": (t) => t.typedef("value_t", t.const(at("bpf_timer", 8)(t))),
  "timer.wq.overlap": (t) => t.value(32, ["a", t.special("bpf_timer"), 0], ["b", t.special("bpf_wq"), 8]),
  "timer.bitfield": (t) =>
    t.struct("value", 32, [
      { name: "a", typeId: t.u32, bitOffset: 0, bitSize: 3 },
      { name: "b", typeId: t.u32, bitOffset: 3, bitSize: 5 },
      memberOf(["f", t.special("bpf_timer"), 8]),
    ]),
  wq: at("bpf_wq", 8),
  task_work: at("bpf_task_work", 8),
  refcount: at("bpf_refcount", 8),
  "refcount.two": (t) => t.value(32, ["a", t.special("bpf_refcount"), 0], ["b", t.special("bpf_refcount"), 8]),
  "refcount.array2": (t) => t.value(32, ["a", t.array(t.special("bpf_refcount"), t.u32, 2), 8]),
  kptr: (t) => t.value(32, ["f", t.kptr("kptr"), 8]),
  "kptr.untrusted": (t) => t.value(32, ["f", t.kptr("kptr_untrusted"), 8]),
  "kptr.percpu": (t) => t.value(32, ["f", t.kptr("percpu_kptr"), 8]),
  "kptr.task": kernelPointer("kptr", "task_struct"),
  "kptr.misaligned": (t) => t.value(32, ["f", t.kptr("kptr"), 4]),
  "kptr.int": (t) => t.value(32, ["f", t.kptr("kptr", t.u64), 8]),
  "kptr.two_tags": (t) => t.value(32, ["f", t.kptr("kptr", t.typeTag("rcu", t.record("own", 8, []))), 8]),
  "kptr.unknown": (t) => t.value(32, ["f", t.kptr("user"), 8]),
  "kptr.array": (t) => t.value(32, ["f", t.array(t.kptr("kptr"), t.u32, 2), 8]),
  "kptr.array.struct": (t) =>
    t.value(56, ["s", t.array(t.record("in", 24, [["k", t.kptr("kptr_untrusted"), 8]]), t.u32, 2), 8]),
  "kptr.array11": (t) => t.value(96, ["f", t.array(t.kptr("kptr"), t.u32, 11), 8]),
  "kptr.array12": (t) => t.value(104, ["f", t.array(t.kptr("kptr"), t.u32, 12), 8]),
  "kptr.members12": (t) => {
    const k = t.kptr("kptr");
    return t.value(96, ...Array.from({ length: 12 }, (_, i) => [`k${i}`, k, i * 8] as const));
  },
  "kptr.section": (t) =>
    t.datasec(".data", 32, [{ typeId: t.var("x", t.array(t.kptr("kptr"), t.u32, 2)), offset: 8, size: 16 }]),
  uptr: (t) => t.value(32, ["f", t.kptr("uptr"), 8]),
  "list.node": at("bpf_list_node", 8),
  tree: list({ root: "bpf_rb_root", node: "bpf_rb_node" }),
  "tree.of_list_nodes": list({ root: "bpf_rb_root" }),
  "list.unlocked": list({ unlocked: true }),
  "list.no_tag": list({ tags: [] }),
  "list.two_tags": list({ tags: ["contains:item:node", "contains:item:node"] }),
  "list.other_member": list({ index: 0 }),
  "list.no_colon": list({ tags: ["contains:item"] }),
  "list.no_node": list({ tags: ["contains:item:"] }),
  "list.no_struct": list({ tags: ["contains::node"] }),
  "list.unknown_struct": list({ tags: ["contains:nothing:node"] }),
  "list.unknown_node": list({ tags: ["contains:item:other"] }),
  "list.node_twice": list({ twice: true }),
  "list.node_misaligned": list({ nodeAt: 4 }),
  "list.of_tree_nodes": list({ node: "bpf_rb_node" }),
  "list.chain3": chain(3),
  "two_owners.uncounted": twoOwners(false),
  "two_owners.counted": twoOwners(true),
};

const made = new Map<string, Shape>();

export function shapeOf(name: string): Shape {
  let shape = made.get(name);
  if (shape === undefined) {
    const build = builds[name];
    if (build === undefined) throw new Error(`field_shapes.ts has no ${name}`);
    const types = new Types();
    const valueId = build(types);
    shape = { btf: types.build(), keyId: types.u32, valueId, size: sizeFrom(name) };
    made.set(name, shape);
  }
  return shape;
}

/** Bytes of the value, which a BTF that is refused need not tell. */
function sizeFrom(name: string): number {
  if (name === "lock.alone") return 4;
  if (name.startsWith("timer.") && name.endsWith("deep")) return 16;
  const odd: Readonly<Record<string, number>> = {
    "timer.misaligned_first": 40,
    "kptr.array.struct": 56,
    "kptr.array11": 96,
    "kptr.array12": 104,
    "kptr.members12": 96,
  };
  return odd[name] ?? 32;
}
