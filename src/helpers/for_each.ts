/** bpf_for_each_map_elem: a function of the program, once for each element of a map. */
import type { Kernel } from "../kern/kernel.ts";
import { entryOfMap } from "../kern/map.ts";
import { FRAME_ARGS, FRAME_RESULT, FRAME_STATE, findHeld, HELD_KEY, hold, letGo } from "../kern/run_record.ts";
import { alloc, free } from "../mem/alloc.ts";
import { rup8 } from "../mem/layout.ts";
import { WALK_SIZE } from "../struct/hash_walk.ts";
import { MAP_KEY_SIZE } from "../struct/map.ts";
import { BPF_FUNC_for_each_map_elem, EINVAL, ENOMEM } from "../uapi/index.ts";
import { setCallback, setResult } from "./callback_frame.ts";
import type { Helper } from "./types.ts";

/** The map, and the walk: its state, and behind it a copy of the key, which the function may read. */
const STATE_MAP: number = FRAME_STATE;
const STATE_WALK: number = FRAME_STATE + 4;

function start(
  kernel: Kernel,
  frame: number,
  map: number,
  callback: number,
  ctxLow: number,
  ctxHigh: number,
  flagsLow: number,
  flagsHigh: number,
): boolean {
  const ret = (flagsLow | flagsHigh) !== 0 ? -EINVAL : beginWalk(kernel, frame, map >>> 0);
  setResult(kernel, frame, ret);
  if (ret !== 0) return false;
  setCallback(kernel, frame, callback);
  const { u32 } = kernel.mem;
  const args = (frame + FRAME_ARGS) >>> 2;
  u32[args] = map;
  u32[args + 6] = ctxLow;
  u32[args + 7] = ctxHigh;
  return step(kernel, frame);
}

function beginWalk({ mem, run }: Kernel, frame: number, map: number): number {
  const keySize = mem.u32[(map + MAP_KEY_SIZE) >>> 2]!;
  const walk = alloc(mem, WALK_SIZE + rup8(keySize));
  if (walk === 0) return -ENOMEM;
  if (!hold(mem, run, HELD_KEY, walk, walk + WALK_SIZE, keySize)) {
    free(mem, walk, WALK_SIZE + rup8(keySize));
    return -ENOMEM;
  }
  mem.u32[(frame + STATE_MAP) >>> 2] = map;
  mem.u32[(frame + STATE_WALK) >>> 2] = walk;
  return 0;
}

/** On to the next element; false: there is none, and the walk has ended. */
function step(kernel: Kernel, frame: number): boolean {
  const { u32 } = kernel.mem;
  const map = u32[(frame + STATE_MAP) >>> 2]!;
  const walk = u32[(frame + STATE_WALK) >>> 2]!;
  const value = entryOfMap(kernel, map).ops.map_for_each(kernel, map, walk, walk + WALK_SIZE);
  if (value === 0) return endWalk(kernel, map, walk);
  const args = (frame + FRAME_ARGS) >>> 2;
  u32[args + 2] = walk + WALK_SIZE;
  u32[args + 4] = value;
  u32[(frame + FRAME_RESULT) >>> 2]!++;
  return true;
}

function endWalk({ mem, run }: Kernel, map: number, walk: number): false {
  letGo(mem, run, findHeld(mem, run, HELD_KEY, walk + WALK_SIZE));
  free(mem, walk, WALK_SIZE + rup8(mem.u32[(map + MAP_KEY_SIZE) >>> 2]!));
  return false;
}

/** What the function returns other than 0 ends the walk; its element counts. */
function next(kernel: Kernel, frame: number, low: number, high: number): boolean {
  if ((low | high) === 0) return step(kernel, frame);
  const { u32 } = kernel.mem;
  return endWalk(kernel, u32[(frame + STATE_MAP) >>> 2]!, u32[(frame + STATE_WALK) >>> 2]!);
}

export const forEachHelpers: Readonly<Record<number, Helper>> = {
  [BPF_FUNC_for_each_map_elem]: {
    name: "bpf_for_each_map_elem",
    since: "5.13",
    gplOnly: false,
    args: ["map", "callback", "u64", "u64"],
    result: "u64",
    callback: { start, next },
  },
};
