/** What helpers for objects share: the slots of special fields, and the objects that a run owns. */
import { FAULT_NO_MEMORY, FAULT_NO_OBJECT, FAULT_NOT_OWNED } from "../kern/fault_kinds.ts";
import type { Kernel } from "../kern/kernel.ts";
import { faultHelper, otherFault, valueArea } from "../kern/reach.ts";
import { findHeld, HELD_OWNED, hold, letGo, RUN_CURRENT } from "../kern/run_record.ts";
import { AREA_BASE, AREA_MAP, AREA_STRIDE } from "../mem/alloc.ts";
import { SB_OBJECTS_LOCK } from "../mem/layout.ts";
import { lock, unlock } from "../mem/locks.ts";
import { ANCHOR_STATE, lockAnchors, makeAnchor, unlockAnchors } from "../struct/anchors.ts";
import { F_BTF, F_NODE, F_OFFSET, F_TARGET, fieldAt } from "../struct/fields.ts";
import { fieldOfSlot, objectOfSlot, POOL_BTF, POOL_PERCPU, POOL_TYPE, poolOf, slotAt } from "../struct/objects.ts";

/** Works on a slot with the lock of all links held; `field`: the record of its field. */
export type SlotWork = (slot: number, field: number) => number;

/**
 * Works on the slot of the field of these kinds that lies at `address`, in a value or an object: the argument was checked.
 * What `work` returns; 0 after a fault: out of memory.
 */
export function withSlot(kernel: Kernel, address: number, kinds: number, work: SlotWork): number {
  const { mem } = kernel;
  const { u32 } = mem;
  const area = valueArea(mem, address);
  if (area === 0) {
    const slot = slotAt(mem, address, kinds);
    // It may have gone since it was checked, by another thread.
    return slot === 0 ? 0 : locked(kernel, slot, fieldOfSlot(mem, slot), work);
  }
  const map = u32[(area + AREA_MAP) >>> 2]!;
  const inside = (address - u32[(area + AREA_BASE) >>> 2]!) % u32[(area + AREA_STRIDE) >>> 2]!;
  const field = fieldAt(mem, map, inside, kinds);
  const table = lockAnchors(mem, map);
  const anchor = table === 0 ? 0 : makeAnchor(mem, map, table, address, u32[field >>> 2]!);
  if (anchor === 0) faultHelper(kernel, FAULT_NO_MEMORY, address, 0, 1);
  const ret = anchor === 0 ? 0 : locked(kernel, anchor + ANCHOR_STATE, field, work);
  if (table !== 0) unlockAnchors(mem, table);
  return ret;
}

function locked({ mem }: Kernel, slot: number, field: number, work: SlotWork): number {
  lock(mem, SB_OBJECTS_LOCK);
  const ret = work(slot, field);
  unlock(mem, SB_OBJECTS_LOCK);
  return ret;
}

/** The run's entry for an object that it owns; 0: it does not, and has faulted at argument `arg`. */
export function ownedEntry(kernel: Kernel, low: number, high: number, arg: number): number {
  const entry = high === 0 ? findHeld(kernel.mem, kernel.run, HELD_OWNED, low >>> 0) : 0;
  if (entry === 0) faultHelper(kernel, FAULT_NOT_OWNED, low, high, arg);
  return entry;
}

export function own({ mem, run }: Kernel, object: number): boolean {
  return hold(mem, run, HELD_OWNED, 0, object, 0);
}

/** The run owns one reference less, which somebody else has now. */
export function disown({ mem, run }: Kernel, object: number): void {
  letGo(mem, run, findHeld(mem, run, HELD_OWNED, object));
}

/** The slot of the node of this kind at an address of an object in reach; 0: there is none, and the run has faulted. */
export function nodeSlot(kernel: Kernel, kind: number, low: number, high: number, arg: number): number {
  const { mem, run } = kernel;
  const address = low >>> 0;
  const prog = mem.u32[(run + RUN_CURRENT) >>> 2]!;
  const reached = high === 0 && otherFault(mem, run, prog, address, 1, true) === 0;
  const slot = reached ? slotAt(mem, address, kind) : 0;
  if (slot === 0) faultHelper(kernel, FAULT_NO_OBJECT, low, high, arg);
  return slot;
}

/** What the program knows a node by: the address of the field in the object; 0 for 0. */
export function nodeAddress({ mem }: Kernel, slot: number): number {
  return slot === 0 ? 0 : objectOfSlot(mem, slot) + mem.u32[(fieldOfSlot(mem, slot) + F_OFFSET) >>> 2]!;
}

/** Whether a field is for objects like this one; of a list or tree, by this node. */
export function fits({ mem }: Kernel, field: number, object: number, percpu: boolean, node = 0): boolean {
  const { u32 } = mem;
  const pool = poolOf(mem, object);
  const same =
    u32[(field + F_BTF) >>> 2] === u32[(pool + POOL_BTF) >>> 2] &&
    u32[(field + F_TARGET) >>> 2] === u32[(pool + POOL_TYPE) >>> 2] &&
    (u32[(pool + POOL_PERCPU) >>> 2] === 1) === percpu;
  return same && (node === 0 || u32[(field + F_NODE) >>> 2] === u32[(fieldOfSlot(mem, node) + F_OFFSET) >>> 2]);
}
