/**
 * The structs with special fields of a whole BTF, which BPF_BTF_LOAD judges: programs could allocate them. Kernel
 * counterpart: the struct metadata of kernel/bpf/btf.c.
 */
import { E2BIG, EFAULT, EINVAL, ELOOP } from "../uapi/index.ts";
import type { Btf } from "./btf.ts";
import {
  FIELD_UPTR,
  FieldFinder,
  KPTR_FIELDS,
  NODE_FIELDS,
  OBJECT_FIELDS,
  ROOT_FIELDS,
  type SpecialFields,
} from "./special_fields.ts";

/** Types whose presence in a struct makes the kernel look at all of it. bpf_res_spin_lock is not among them. */
const marks: readonly string[] = [
  "bpf_spin_lock",
  "bpf_list_head",
  "bpf_list_node",
  "bpf_rb_root",
  "bpf_rb_node",
  "bpf_refcount",
];
const PAGE = 4096;

/** By the struct's id: those that hold locks, lists, trees, their nodes, reference counts or kptrs. Or an errno. */
export function specialStructs(btf: Btf): ReadonlyMap<number, SpecialFields> | number {
  const structs = new Map<number, SpecialFields>();
  const marked = new Set<number>();
  for (const name of marks) {
    const id = btf.find(name, "struct");
    if (id !== undefined) marked.add(id);
  }
  const finder = new FieldFinder(btf);
  for (const [id, type] of btf.types.entries()) {
    if (type.kind !== "ptr") continue;
    const pointer = finder.pointerKind(type.typeId);
    if (typeof pointer === "object" && (pointer.kind & KPTR_FIELDS) !== 0) marked.add(id);
  }
  if (marked.size === 0) return structs;
  for (const [id, type] of btf.types.entries()) {
    if (type.kind !== "struct" || !type.members.some((member) => marked.has(member.typeId))) continue;
    const fields = finder.find(id, OBJECT_FIELDS, type.size);
    if (typeof fields !== "object") return fields ?? -EFAULT;
    structs.set(id, fields);
  }
  for (const fields of structs.values()) {
    const bad = checkOwners(btf, structs, fields);
    if (bad !== 0) return bad;
  }
  return structs;
}

/**
 * What fields own: a list or tree holds structs with special fields, and no owner is owned by what it may come to own. A
 * uptr leads to at most a page of the program's own. 0 or an errno.
 */
export function checkOwners(
  btf: Btf,
  structs: ReadonlyMap<number, SpecialFields>,
  { fields, mask }: SpecialFields,
): number {
  for (const { kind, target } of fields) {
    if (kind === FIELD_UPTR) {
      const size = target < 0 ? 0 : btf.sizeOf(target);
      if (size === 0) return -EINVAL;
      if (size > PAGE) return -E2BIG;
    }
    if ((kind & ROOT_FIELDS) === 0) continue;
    const held = structs.get(target);
    if (held === undefined) return -EFAULT;
    if ((mask & NODE_FIELDS) !== 0 && (held.mask & ROOT_FIELDS) !== 0) return -ELOOP;
  }
  return 0;
}
