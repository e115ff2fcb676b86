/** Kernel functions for lists of objects. The program holds the list's lock; here each change is one step all the same. */
import { FIELD_LIST_HEAD, FIELD_LIST_NODE } from "../btf/special_fields.ts";
import { FAULT_NO_OBJECT } from "../kern/fault_kinds.ts";
import type { Kernel } from "../kern/kernel.ts";
import { faultHelper } from "../kern/reach.ts";
import { peekNode, popNode, pushNode } from "../struct/object_list.ts";
import { dropObject } from "../struct/object_owner.ts";
import { objectOfSlot } from "../struct/objects.ts";
import { EINVAL } from "../uapi/index.ts";
import { disown, fits, nodeAddress, nodeSlot, own, ownedEntry, withSlot } from "./slots.ts";
import type { Kfunc } from "./types.ts";

/** The list owns the object from now on. -EINVAL: it is in a list already, and the run's reference is dropped. */
function push(front: boolean): NonNullable<Kfunc["fn"]> {
  return (kernel, head, low, high) => {
    const node = nodeSlot(kernel, FIELD_LIST_NODE, low, high, 2);
    if (node === 0) return 0;
    const { mem } = kernel;
    const object = objectOfSlot(mem, node);
    if (ownedEntry(kernel, object, 0, 2) === 0) return 0;
    const ret = withSlot(kernel, head >>> 0, FIELD_LIST_HEAD, (slot, field) => {
      if (!fits(kernel, field, object, false, node)) {
        faultHelper(kernel, FAULT_NO_OBJECT, low, high, 2);
        return 0;
      }
      disown(kernel, object);
      return pushNode(mem, slot, node, front) ? 0 : -EINVAL;
    });
    if (ret < 0) dropObject(kernel, object);
    return ret;
  };
}

function pop(front: boolean): NonNullable<Kfunc["fn"]> {
  return (kernel, head) =>
    withSlot(kernel, head >>> 0, FIELD_LIST_HEAD, (slot) => {
      const node = peekNode(kernel.mem, slot, front);
      if (node === 0 || !own(kernel, objectOfSlot(kernel.mem, node))) return 0;
      return nodeAddress(kernel, popNode(kernel.mem, slot, front));
    });
}

function peek(front: boolean): NonNullable<Kfunc["fn"]> {
  return (kernel: Kernel, head: number) =>
    withSlot(kernel, head >>> 0, FIELD_LIST_HEAD, (slot) => nodeAddress(kernel, peekNode(kernel.mem, slot, front)));
}

const HEAD = { field: FIELD_LIST_HEAD } as const;

function take(name: string, since: string, fn: NonNullable<Kfunc["fn"]>): Kfunc {
  return { name, since, args: [HEAD], result: "pointer", fn };
}

function put(name: string, fn: NonNullable<Kfunc["fn"]>): Kfunc {
  return { name, since: "6.2", args: [HEAD, "u64", "u64", "u64"], result: "errno", fn };
}

export const listKfuncs: readonly Kfunc[] = [
  put("bpf_list_push_front_impl", push(true)),
  put("bpf_list_push_back_impl", push(false)),
  take("bpf_list_pop_front", "6.2", pop(true)),
  take("bpf_list_pop_back", "6.2", pop(false)),
  take("bpf_list_front", "6.16", peek(true)),
  take("bpf_list_back", "6.16", peek(false)),
];
