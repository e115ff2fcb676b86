/**
 * Kernel functions for trees of objects. Where a new node goes the program's `less` says; no lock of ours is held while it
 * runs, so what it found is looked at again before the node is put in.
 */
import { FIELD_RB_NODE, FIELD_RB_ROOT } from "../btf/special_fields.ts";
import { FAULT_NO_OBJECT } from "../kern/fault_kinds.ts";
import type { Kernel } from "../kern/kernel.ts";
import { faultHelper } from "../kern/reach.ts";
import { FRAME_ARGS, FRAME_STATE, findHeld, HELD_OWNED } from "../kern/run_record.ts";
import { dropObject } from "../struct/object_owner.ts";
import {
  childOf,
  firstNode,
  insertNode,
  isIn,
  isInTree,
  LEFT,
  RIGHT,
  removeNode,
  rootNode,
} from "../struct/object_tree.ts";
import { objectOfSlot } from "../struct/objects.ts";
import { EINVAL } from "../uapi/index.ts";
import { setCallback, setResult } from "./callback_frame.ts";
import { disown, fits, nodeAddress, nodeSlot, own, ownedEntry, withSlot } from "./slots.ts";
import type { Kfunc } from "./types.ts";

/** The root's address, the node's slot, and the node of the tree that it is compared with. */
const STATE_ROOT: number = FRAME_STATE;
const STATE_NODE: number = FRAME_STATE + 4;
const STATE_AT: number = FRAME_STATE + 8;

/** What `withSlot` works out: whether `less` is to be called (again). */
const CALL = 1;
const DONE = 0;

function add(kernel: Kernel, frame: number, root: number, low: number, high: number, callback: number): boolean {
  const { mem } = kernel;
  const { u32 } = mem;
  const node = nodeSlot(kernel, FIELD_RB_NODE, low, high, 2);
  if (node === 0 || ownedEntry(kernel, objectOfSlot(mem, node), 0, 2) === 0) return false;
  setCallback(kernel, frame, callback);
  u32[(frame + STATE_ROOT) >>> 2] = root;
  u32[(frame + STATE_NODE) >>> 2] = node;
  u32[(frame + STATE_AT) >>> 2] = 0;
  const ret = withSlot(kernel, root >>> 0, FIELD_RB_ROOT, (slot, field) => {
    if (!fits(kernel, field, objectOfSlot(mem, node), false, node)) {
      faultHelper(kernel, FAULT_NO_OBJECT, low, high, 2);
      return DONE;
    }
    return isInTree(mem, node) ? refuse(kernel, frame) : descend(kernel, frame, slot, 0, LEFT);
  });
  return end(kernel, frame, ret);
}

/** True: `less` is called. False: the function returns; a node that could not be put in loses the run's reference. */
function end(kernel: Kernel, frame: number, ret: number): boolean {
  if (ret !== -EINVAL) return ret === CALL;
  const { mem, run } = kernel;
  const object = objectOfSlot(mem, mem.u32[(frame + STATE_NODE) >>> 2]!);
  // `less` is the program's: it may have given the object away.
  if (findHeld(mem, run, HELD_OWNED, object) !== 0) {
    disown(kernel, object);
    dropObject(kernel, object);
  }
  return false;
}

function refuse(kernel: Kernel, frame: number): number {
  setResult(kernel, frame, -EINVAL);
  return -EINVAL;
}

/** On from `at` to one side: what lies there is compared next; the node is put where nothing does. */
function descend(kernel: Kernel, frame: number, root: number, at: number, side: number): number {
  const { mem, run } = kernel;
  const { u32 } = mem;
  const node = u32[(frame + STATE_NODE) >>> 2]!;
  const below = at === 0 ? rootNode(mem, root) : childOf(mem, at, side);
  if (below !== 0) {
    u32[(frame + STATE_AT) >>> 2] = below;
    const args = (frame + FRAME_ARGS) >>> 2;
    u32[args] = nodeAddress(kernel, node);
    u32[args + 2] = nodeAddress(kernel, below);
    return CALL;
  }
  const object = objectOfSlot(mem, node);
  if (isInTree(mem, node) || findHeld(mem, run, HELD_OWNED, object) === 0) return refuse(kernel, frame);
  disown(kernel, object);
  insertNode(mem, root, node, at, side);
  setResult(kernel, frame, 0);
  return DONE;
}

function next(kernel: Kernel, frame: number, low: number, high: number): boolean {
  const { mem } = kernel;
  const { u32 } = mem;
  const root = u32[(frame + STATE_ROOT) >>> 2]!;
  const at = u32[(frame + STATE_AT) >>> 2]!;
  const ret = withSlot(kernel, root, FIELD_RB_ROOT, (slot) =>
    // Gone from the tree meanwhile, which the lock that the program should hold prevents: from the top again.
    isIn(mem, slot, at)
      ? descend(kernel, frame, slot, at, (low | high) !== 0 ? LEFT : RIGHT)
      : descend(kernel, frame, slot, 0, LEFT),
  );
  return end(kernel, frame, ret);
}

/** NULL: the node is not in this tree. */
function remove(kernel: Kernel, root: number, low: number, high: number): number {
  const node = nodeSlot(kernel, FIELD_RB_NODE, low, high, 2);
  if (node === 0) return 0;
  const { mem } = kernel;
  return withSlot(kernel, root >>> 0, FIELD_RB_ROOT, (slot) => {
    if (!isIn(mem, slot, node) || !own(kernel, objectOfSlot(mem, node))) return 0;
    removeNode(mem, slot, node);
    return nodeAddress(kernel, node);
  });
}

function child(side: number): NonNullable<Kfunc["fn"]> {
  return (kernel, root, low, high) => {
    const node = nodeSlot(kernel, FIELD_RB_NODE, low, high, 2);
    if (node === 0) return 0;
    const { mem } = kernel;
    return withSlot(kernel, root >>> 0, FIELD_RB_ROOT, (slot) =>
      isIn(mem, slot, node) ? nodeAddress(kernel, childOf(mem, node, side)) : 0,
    );
  };
}

function top(which: (mem: Kernel["mem"], root: number) => number): NonNullable<Kfunc["fn"]> {
  return (kernel, root) =>
    withSlot(kernel, root >>> 0, FIELD_RB_ROOT, (slot) => nodeAddress(kernel, which(kernel.mem, slot)));
}

const ROOT = { field: FIELD_RB_ROOT } as const;

function walk(name: string, since: string, args: Kfunc["args"], fn: NonNullable<Kfunc["fn"]>): Kfunc {
  return { name, since, args, result: "pointer", fn };
}

export const rbtreeKfuncs: readonly Kfunc[] = [
  {
    name: "bpf_rbtree_add_impl",
    since: "6.3",
    args: [ROOT, "u64", "callback", "u64", "u64"],
    result: "errno",
    callback: { start: add, next },
  },
  walk("bpf_rbtree_remove", "6.3", [ROOT, "u64"], remove),
  walk("bpf_rbtree_first", "6.3", [ROOT], top(firstNode)),
  walk("bpf_rbtree_root", "6.16", [ROOT], top(rootNode)),
  walk("bpf_rbtree_left", "6.16", [ROOT, "u64"], child(LEFT)),
  walk("bpf_rbtree_right", "6.16", [ROOT, "u64"], child(RIGHT)),
];
