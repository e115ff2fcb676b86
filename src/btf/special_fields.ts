/**
 * Special fields: locks, timers, pointers to kernel objects and the like, which the kernel finds in a struct by the
 * names and tags of its members' types. Kernel counterpart: the field parser of kernel/bpf/btf.c. Results below zero are
 * the errnos with which BPF_BTF_LOAD refuses such a struct; MAP_CREATE takes a value with such an error as one without
 * special fields.
 */
import { E2BIG, EEXIST, EFAULT, EINVAL, ENOENT } from "../uapi/index.ts";
import type { Btf } from "./btf.ts";
import type { BtfType } from "./types.ts";
import { MAX_DEPTH } from "./wire.ts";

/** Kinds of fields: bits, so that sets of them are numbers. */
export const FIELD_SPIN_LOCK = 1;
export const FIELD_RES_SPIN_LOCK = 2;
export const FIELD_TIMER = 4;
export const FIELD_WORKQUEUE = 8;
const FIELD_TASK_WORK = 0x10;
const FIELD_KPTR_UNTRUSTED = 0x20;
export const FIELD_KPTR = 0x40;
export const FIELD_KPTR_PERCPU = 0x80;
export const FIELD_UPTR = 0x100;
export const FIELD_REFCOUNT = 0x200;
export const FIELD_LIST_HEAD = 0x400;
export const FIELD_LIST_NODE = 0x800;
export const FIELD_RB_ROOT = 0x1000;
export const FIELD_RB_NODE = 0x2000;

export const KPTR_FIELDS: number = FIELD_KPTR_UNTRUSTED | FIELD_KPTR | FIELD_KPTR_PERCPU;
export const LOCK_FIELDS: number = FIELD_SPIN_LOCK | FIELD_RES_SPIN_LOCK;
export const ROOT_FIELDS: number = FIELD_LIST_HEAD | FIELD_RB_ROOT;
export const NODE_FIELDS: number = FIELD_LIST_NODE | FIELD_RB_NODE;
/** What counts in a map's value. */
export const VALUE_FIELDS: number =
  LOCK_FIELDS |
  FIELD_TIMER |
  FIELD_WORKQUEUE |
  FIELD_TASK_WORK |
  KPTR_FIELDS |
  FIELD_UPTR |
  FIELD_REFCOUNT |
  ROOT_FIELDS;
/** What counts in any struct of a program: BPF_BTF_LOAD judges these. */
export const OBJECT_FIELDS: number = LOCK_FIELDS | KPTR_FIELDS | FIELD_REFCOUNT | ROOT_FIELDS | NODE_FIELDS;

export interface SpecialField {
  readonly kind: number;
  /** Bytes from the value's first. */
  readonly offset: number;
  readonly size: number;
  /** What a pointer points to, or what a list or tree holds: a type of this BTF, or, negative, one of the kernel's. */
  readonly target: number;
  /** Lists and trees: where in the target the node lies. */
  readonly node: number;
}

export interface SpecialFields {
  /** Sorted by offset. */
  readonly fields: readonly SpecialField[];
  /** The kinds that are there. */
  readonly mask: number;
}

/** Most fields that the kernel takes. */
const MAX_FIELDS = 11;
const MAX_LEVEL = 32;

interface Named {
  readonly kind: number;
  readonly size: number;
  readonly align: number;
  /** One of them in a struct. */
  readonly once: boolean;
}

const named: ReadonlyMap<string, Named> = new Map([
  ["bpf_spin_lock", { kind: FIELD_SPIN_LOCK, size: 4, align: 4, once: true }],
  ["bpf_res_spin_lock", { kind: FIELD_RES_SPIN_LOCK, size: 4, align: 4, once: true }],
  ["bpf_timer", { kind: FIELD_TIMER, size: 16, align: 8, once: true }],
  ["bpf_wq", { kind: FIELD_WORKQUEUE, size: 16, align: 8, once: true }],
  ["bpf_task_work", { kind: FIELD_TASK_WORK, size: 8, align: 8, once: true }],
  ["bpf_refcount", { kind: FIELD_REFCOUNT, size: 4, align: 4, once: false }],
  ["bpf_list_head", { kind: FIELD_LIST_HEAD, size: 16, align: 8, once: false }],
  ["bpf_list_node", { kind: FIELD_LIST_NODE, size: 24, align: 8, once: false }],
  ["bpf_rb_root", { kind: FIELD_RB_ROOT, size: 16, align: 8, once: false }],
  ["bpf_rb_node", { kind: FIELD_RB_NODE, size: 32, align: 8, once: false }],
]);
const POINTER: Named = { kind: 0, size: 8, align: 8, once: false };

const pointerTags: ReadonlyMap<string, number> = new Map([
  ["kptr_untrusted", FIELD_KPTR_UNTRUSTED],
  ["kptr", FIELD_KPTR],
  ["percpu_kptr", FIELD_KPTR_PERCPU],
  ["uptr", FIELD_UPTR],
]);

/**
 * Structs of the kernel that Linux 6.18 can release by itself, so that a kptr may own one. Any other name is taken for a
 * type of the program's own: this host has no BTF of a kernel to look into.
 */
const kernelTypes: readonly string[] = [
  "task_struct",
  "cgroup",
  "bpf_cpumask",
  "bpf_crypto_ctx",
  "prog_test_ref_kfunc",
  "prog_test_member",
];
/** What a field's target is that points to a bpf_cpumask, taken without its sign. */
export const KERNEL_CPUMASK: number = kernelTypes.indexOf("bpf_cpumask") + 1;

/** A field as it is found; what it points to is looked at when all are. */
interface Found {
  readonly kind: number;
  readonly offset: number;
  readonly size: number;
  readonly target: number;
  readonly nodeName: string;
}

/** Finds the special fields of types of one BTF. */
export class FieldFinder {
  readonly #btf: Btf;
  /** Texts of decl tags that begin with `contains:`, by the type and the index of its member. */
  readonly #contains: Map<string, string[]> = new Map();

  constructor(btf: Btf) {
    this.#btf = btf;
    for (const type of btf.types) {
      if (type.kind !== "decl_tag" || !type.name.startsWith("contains:")) continue;
      const key = `${type.typeId}:${type.componentIndex}`;
      this.#contains.set(key, [...(this.#contains.get(key) ?? []), type.name.slice("contains:".length)]);
    }
  }

  /** The fields of the kinds in `mask` in a struct or data section of `size` bytes; undefined: none; or an errno. */
  find(typeId: number, mask: number, size: number): SpecialFields | number | undefined {
    const found: Found[] = [];
    const bad = this.#inside(typeId, this.#btf.type(typeId), 0, mask, found, 0);
    if (bad !== 0) return bad;
    if (found.length === 0) return undefined;
    const fields: SpecialField[] = [];
    let all = 0;
    let next = 0;
    for (const one of found) {
      if (one.offset + one.size > size) return -EFAULT;
      if (one.offset < next) return -EEXIST;
      next = one.offset + one.size;
      const field = this.#resolve(one);
      if (typeof field === "number") return field;
      fields.push(field);
      all |= one.kind;
    }
    const locks = all & LOCK_FIELDS;
    if (locks === LOCK_FIELDS || ((all & ROOT_FIELDS) !== 0 && locks === 0)) return -EINVAL;
    // An object that is in a list and in a tree at once is owned twice.
    if ((all & NODE_FIELDS) === NODE_FIELDS && (all & FIELD_REFCOUNT) === 0) return -EINVAL;
    return { fields, mask: all };
  }

  #inside(id: number, type: BtfType, base: number, mask: number, found: Found[], level: number): number {
    if (level >= MAX_LEVEL) return -E2BIG;
    const seen = { mask: 0 };
    if (type.kind === "struct") {
      for (const [i, member] of type.members.entries()) {
        if (member.bitOffset % 8 !== 0) return -EINVAL;
        const at = base + member.bitOffset / 8;
        const bad = this.#one(member.typeId, at, { tagged: `${id}:${i}`, size: 0, seen, mask, found, level });
        if (bad !== 0) return bad;
      }
      return 0;
    }
    if (type.kind !== "datasec") return -EINVAL;
    for (const { typeId, offset, size } of type.vars) {
      const variable = this.#btf.type(typeId);
      if (variable.kind !== "var") continue;
      const bad = this.#one(variable.typeId, offset, { tagged: `${typeId}:-1`, size, seen, mask, found, level });
      if (bad !== 0) return bad;
    }
    return 0;
  }

  /** One member or variable, which may be an array of fields or of structs with fields. */
  #one(
    typeId: number,
    offset: number,
    where: { tagged: string; size: number; seen: { mask: number }; mask: number; found: Found[]; level: number },
  ): number {
    const { mask, found, seen } = where;
    let id = typeId;
    let type = this.#btf.type(id);
    let count = 1;
    for (let i = 0; type.kind === "array"; i++) {
      if (i === MAX_LEVEL) return -E2BIG;
      count *= type.length;
      id = type.elemTypeId;
      type = this.#btf.type(id);
    }
    if (count === 0) return 0;
    const first = found.length;
    const special = this.#special(type, mask, seen);
    if (typeof special === "number") return special;
    if (special === undefined) {
      if (type.kind !== "struct") return 0;
      if (where.size !== 0 && where.size !== type.size * count) return 0;
      const bad = this.#inside(id, type, offset, mask, found, where.level + 1);
      return bad !== 0 || found.length === first ? bad : repeat(found, first, count, type.size);
    }
    if (where.size !== 0 && where.size !== special.size * count) return 0;
    if (offset % special.align !== 0) return 0;
    const one =
      special.kind === 0 ? this.#pointer(type, offset, mask) : this.#named(type, offset, special, where.tagged);
    if (typeof one === "number") return one;
    if (one === undefined) return 0;
    if (found.length >= MAX_FIELDS) return -E2BIG;
    found.push(one);
    return repeat(found, first, count, one.size);
  }

  /** What a type may be by its name; any that is no struct may be a tagged pointer. */
  #special(type: BtfType, mask: number, seen: { mask: number }): Named | number | undefined {
    const byName = named.get(type.name);
    if (byName !== undefined && (byName.kind & mask) !== 0) {
      if (byName.once && (seen.mask & byName.kind) !== 0) return -E2BIG;
      seen.mask |= byName.kind;
      return byName;
    }
    return (mask & (KPTR_FIELDS | FIELD_UPTR)) !== 0 && type.kind !== "struct" ? POINTER : undefined;
  }

  #named(type: BtfType, offset: number, { kind, size }: Named, tagged: string): Found | number | undefined {
    if (type.kind !== "struct" || type.size !== size) return undefined;
    if ((kind & ROOT_FIELDS) === 0) return { kind, offset, size, target: 0, nodeName: "" };
    const texts = this.#contains.get(tagged) ?? [];
    const [text] = texts;
    if (text === undefined || texts.length > 1) return -EINVAL;
    const colon = text.indexOf(":");
    if (colon < 0) return -EINVAL;
    const target = this.#btf.find(text.slice(0, colon), "struct");
    if (target === undefined || colon === 0) return -ENOENT;
    const nodeName = text.slice(colon + 1);
    return nodeName === "" ? -EINVAL : { kind, offset, size, target, nodeName };
  }

  #pointer(type: BtfType, offset: number, mask: number): Found | number | undefined {
    if (type.kind !== "ptr") return undefined;
    const kind = this.pointerKind(type.typeId);
    if (typeof kind !== "object") return kind;
    if ((kind.kind & mask) === 0) return undefined;
    return { kind: kind.kind, offset, size: POINTER.size, target: kind.target, nodeName: "" };
  }

  /** What a pointer to this type is: undefined, a plain one; -EINVAL, a tag that nobody knows, or not to a struct. */
  pointerKind(typeId: number): { readonly kind: number; readonly target: number } | number | undefined {
    const tag = this.#btf.type(typeId);
    if (tag.kind !== "type_tag" || tag.attribute) return undefined;
    const kind = pointerTags.get(tag.name);
    if (kind === undefined || this.#btf.type(tag.typeId).kind === "type_tag") return -EINVAL;
    const target = this.#btf.resolve(tag.typeId);
    return this.#btf.type(target).kind === "struct" ? { kind, target } : -EINVAL;
  }

  #resolve({ kind, offset, size, target, nodeName }: Found): SpecialField | number {
    if (kind & (KPTR_FIELDS | FIELD_UPTR)) {
      const kernel = kernelTypes.indexOf(this.#btf.type(target).name);
      return { kind, offset, size, target: kernel < 0 ? target : -1 - kernel, node: 0 };
    }
    if ((kind & ROOT_FIELDS) === 0) return { kind, offset, size, target: 0, node: 0 };
    const node = this.#nodeIn(target, nodeName, kind === FIELD_LIST_HEAD ? "bpf_list_node" : "bpf_rb_node");
    return node < 0 ? node : { kind, offset, size, target, node };
  }

  /** Where the member of that name lies, which must be a node of that type; or an errno. */
  #nodeIn(structId: number, name: string, nodeType: string): number {
    const type = this.#btf.type(structId);
    let at = -ENOENT;
    for (const member of type.kind === "struct" ? type.members : []) {
      if (member.name !== name) continue;
      const node = this.#btf.type(member.typeId);
      if (at >= 0 || node.kind !== "struct" || node.name !== nodeType) return -EINVAL;
      if (member.bitOffset % (POINTER.align * 8) !== 0) return -EINVAL;
      at = member.bitOffset / 8;
    }
    return at;
  }
}

/** Fields from `first` on are those of one element of `count`. Only pointers, lists and trees may come in arrays. */
function repeat(found: Found[], first: number, count: number, stride: number): number {
  if (count === 1) return 0;
  const one = found.slice(first);
  if (one.some(({ kind }) => (kind & (KPTR_FIELDS | FIELD_UPTR | ROOT_FIELDS)) === 0)) return -EINVAL;
  if (first + one.length * count > MAX_FIELDS) return -E2BIG;
  for (let i = 1; i < count; i++) {
    for (const field of one) found.push({ ...field, offset: field.offset + i * stride });
  }
  return 0;
}

/** The struct or data section that MAP_CREATE looks into: behind names, qualifiers and a variable. */
export function valueTypeOf(btf: Btf, id: number): number {
  let at = id;
  for (let depth = 0; depth < MAX_DEPTH; depth++) {
    at = btf.resolve(at);
    const type = btf.type(at);
    if (type.kind !== "var") return at;
    at = type.typeId;
  }
  return at;
}
