/**
 * Who owns objects: fields of values and of other objects, lists, trees, runs. An object whose last reference goes takes
 * what it owns along. Kernel counterpart: __bpf_obj_drop_impl, bpf_list_head_free, bpf_rb_root_free.
 */
import { FIELD_LIST_HEAD, FIELD_RB_ROOT, KPTR_FIELDS } from "../btf/special_fields.ts";
import { SB_OBJECTS_LOCK } from "../mem/layout.ts";
import { lock, unlock } from "../mem/locks.ts";
import type { Memory } from "../mem/memory.ts";
import type { MapEnv } from "./env.ts";
import { FIELD_SIZE, R_HEAD } from "./fields.ts";
import { popNode } from "./object_list.ts";
import { takeLeaf } from "./object_tree.ts";
import {
  freeObject,
  headOf,
  OBJECT_LINK,
  OBJECT_REFS,
  objectOfSlot,
  POOL_BTF,
  POOL_RECORD,
  poolOf,
  SLOT_SIZE,
  slotsOf,
} from "./objects.ts";

/** Drops a reference to an object; with the last one it goes, and what it owns. */
export function dropObject(env: MapEnv, object: number): void {
  dropChain(env, unref(env.mem, object, 0));
}

/** Empties the slot of a field of this kind: what it owned goes. */
export function dropOwned(env: MapEnv, kind: number, slot: number): void {
  dropChain(env, takeOwned(env.mem, kind, slot, 0));
}

/** The chain, and in front of it the object if this was its last reference. Objects own each other to any depth. */
function unref(mem: Memory, object: number, chain: number): number {
  const head = headOf(mem, object);
  if (mem.atomics.add32(head + OBJECT_REFS, -1) !== 1) return chain;
  mem.u32[(head + OBJECT_LINK) >>> 2] = chain;
  return object;
}

function takeOwned(mem: Memory, kind: number, slot: number, chain: number): number {
  const { u32 } = mem;
  let gone = chain;
  lock(mem, SB_OBJECTS_LOCK);
  if (kind & KPTR_FIELDS) {
    const object = u32[slot >>> 2]!;
    u32[slot >>> 2] = 0;
    if (object !== 0) gone = unref(mem, object, gone);
  } else if (kind === FIELD_LIST_HEAD) {
    for (let node = popNode(mem, slot, true); node !== 0; node = popNode(mem, slot, true)) {
      gone = unref(mem, objectOfSlot(mem, node), gone);
    }
  } else if (kind === FIELD_RB_ROOT) {
    for (let node = takeLeaf(mem, slot); node !== 0; node = takeLeaf(mem, slot)) {
      gone = unref(mem, objectOfSlot(mem, node), gone);
    }
  }
  unlock(mem, SB_OBJECTS_LOCK);
  return gone;
}

function dropChain(env: MapEnv, chain: number): void {
  const { mem } = env;
  const { u32 } = mem;
  let object = chain;
  while (object !== 0) {
    const pool = poolOf(mem, object);
    const record = u32[(pool + POOL_RECORD) >>> 2]!;
    const [first, count] = slotsOf(mem, object);
    let next = u32[(headOf(mem, object) + OBJECT_LINK) >>> 2]!;
    for (let i = 0; i < count; i++) {
      const kind = u32[(record + R_HEAD + i * FIELD_SIZE) >>> 2]!;
      next = takeOwned(mem, kind, first + i * SLOT_SIZE, next);
    }
    freeObject(mem, object);
    // Each object holds the BTF whose pool it comes from; the kernel's own come from none.
    const btf = u32[(pool + POOL_BTF) >>> 2]!;
    if (btf !== 0) env.put(btf);
    object = next;
  }
}
