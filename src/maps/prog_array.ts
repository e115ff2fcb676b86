/**
 * BPF_MAP_TYPE_PROG_ARRAY: programs that other programs go on in (bpf_tail_call), all of one kind. It is emptied when
 * the last fd and pin are gone, so that programs that hold the map and lie in it do not keep each other forever. Kernel
 * counterpart: arraymap.c.
 */
import { OBJ_PROG, OBJ_USERS } from "../mem/layout.ts";
import { nextIndex } from "../struct/array_ops.ts";
import type { MapEnv } from "../struct/env.ts";
import { neverInner } from "../struct/inner_map.ts";
import { slotsUsage } from "../struct/mem_usage.ts";
import * as slots from "../struct/slots.ts";
import { BPF_FUNC_tail_call, EINVAL } from "../uapi/index.ts";
import type { MapTypeEntry } from "./ops.ts";
import { unsupportedOps } from "./ops.ts";

function takeProgram(env: MapEnv, map: number, fd: number): number {
  const prog = env.take(fd, OBJ_PROG);
  if (prog < 0 || env.ownerFits(map, prog)) return prog;
  env.put(prog);
  return -EINVAL;
}

function update(env: MapEnv, map: number, key: number, value: number, flags: number): number {
  const ret = slots.updateSlot(env, map, key, value, flags, takeProgram);
  // Another thread may have closed the last fd meanwhile, and emptied the map before this slot was filled.
  if (env.mem.shared && env.mem.atomics.load32(map + OBJ_USERS) === 0) slots.clearSlots(env, map);
  return ret;
}

export const progArrayMap: MapTypeEntry = {
  since: "4.2",
  traits: {
    holdsPrograms: true,
    ownerAttachType: true,
    checkedEarly: true,
    helpers: [BPF_FUNC_tail_call],
  },
  minimalAttr: { key_size: 4, value_size: 4, max_entries: 1 },
  memUsage: slotsUsage,
  ops: {
    ...unsupportedOps,
    map_alloc_check: slots.allocCheckSlots,
    map_alloc: slots.allocSlots,
    map_free: slots.freeSlots,
    map_release_uref: slots.clearSlots,
    map_meta_equal: neverInner,
    map_copy_value: slots.copySlotId,
    map_update_value: update,
    map_delete_value: slots.deleteSlot,
    map_get_next_key: nextIndex,
    map_count: slots.countSlots,
  },
};
