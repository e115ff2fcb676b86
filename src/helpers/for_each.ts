/** bpf_for_each_map_elem: a function of the program, once for each element of a map. */
import type { Kernel } from "../kern/kernel.ts";
import { entryOfMap } from "../kern/map.ts";
import { FRAME_ARGS, FRAME_RESULT, FRAME_STATE, findHeld, HELD_KEY, hold, letGo } from "../kern/run_record.ts";
import { alloc, free } from "../mem/alloc.ts";
import { rup8 } from "../mem/layout.ts";
import { WALK_SIZE } from "../struct/hash_walk.ts";
import { MAP_KEY_SIZE } from "../struct/map.ts";
import { BPF_FUNC_for_each_map_elem, EINVAL, ENOMEM } from "../uapi/index.ts";
import { block, const32, type Local64, local32, local64, loop } from "../wasm/expr.ts";
import { DROP } from "../wasm/opcodes.ts";
import { setCallback, setResult } from "./callback_frame.ts";
import type { Helper, TurnsGen } from "./types.ts";

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
  const refused = (flagsLow | flagsHigh) !== 0;
  const walk = refused ? 0 : beginWalk(kernel, map >>> 0);
  setResult(kernel, frame, refused ? -EINVAL : walk === 0 ? -ENOMEM : 0);
  if (walk === 0) return false;
  setCallback(kernel, frame, callback);
  const { u32 } = kernel.mem;
  u32[(frame + STATE_MAP) >>> 2] = map;
  u32[(frame + STATE_WALK) >>> 2] = walk;
  const args = (frame + FRAME_ARGS) >>> 2;
  u32[args] = map;
  u32[args + 6] = ctxLow;
  u32[args + 7] = ctxHigh;
  return step(kernel, frame);
}

/** Room for a walk, which the run holds; 0: out of memory. */
function beginWalk({ mem, run }: Kernel, map: number): number {
  const keySize = mem.u32[(map + MAP_KEY_SIZE) >>> 2]!;
  const walk = alloc(mem, WALK_SIZE + rup8(keySize));
  if (walk === 0 || hold(mem, run, HELD_KEY, walk, walk + WALK_SIZE, keySize)) return walk;
  free(mem, walk, WALK_SIZE + rup8(keySize));
  return 0;
}

/** The next element's value, its key copied; 0: there is none. */
function nextValue(kernel: Kernel, map: number, walk: number): number {
  return entryOfMap(kernel, map).ops.map_for_each(kernel, map, walk, walk + WALK_SIZE);
}

/** On to the next element; false: there is none, and the walk has ended. */
function step(kernel: Kernel, frame: number): boolean {
  const { u32 } = kernel.mem;
  const map = u32[(frame + STATE_MAP) >>> 2]!;
  const walk = u32[(frame + STATE_WALK) >>> 2]!;
  const value = nextValue(kernel, map, walk);
  if (value === 0) {
    endWalk(kernel, map, walk);
    return false;
  }
  const args = (frame + FRAME_ARGS) >>> 2;
  u32[args + 2] = walk + WALK_SIZE;
  u32[args + 4] = value;
  u32[(frame + FRAME_RESULT) >>> 2]!++;
  return true;
}

function endWalk({ mem, run }: Kernel, map: number, walk: number): void {
  letGo(mem, run, findHeld(mem, run, HELD_KEY, walk + WALK_SIZE));
  free(mem, walk, WALK_SIZE + rup8(mem.u32[(map + MAP_KEY_SIZE) >>> 2]!));
}

/** What the function returns other than 0 ends the walk; its element counts. */
function next(kernel: Kernel, frame: number, low: number, high: number): boolean {
  if ((low | high) === 0) return step(kernel, frame);
  const { u32 } = kernel.mem;
  endWalk(kernel, u32[(frame + STATE_MAP) >>> 2]!, u32[(frame + STATE_WALK) >>> 2]!);
  return false;
}

const gen: TurnsGen = {
  functions: {
    walkBegin: (kernel, map) => beginWalk(kernel, map >>> 0),
    walkNext: (kernel, map, walk) => nextValue(kernel, map >>> 0, walk >>> 0),
    walkEnd: (kernel, map, walk) => {
      endWalk(kernel, map >>> 0, walk >>> 0);
      return 0;
    },
  },
  emit: ({ code, map, args, turn, next: nextOf, call }) => {
    const [, , ctx, flags] = args as [Local64, Local64, Local64, Local64];
    const done = local64(code, -EINVAL);
    block(code, (out) => {
      out.when(flags.ne(0));
      const walk = local32(code, call("walkBegin", map, 0));
      done.set(-ENOMEM);
      out.when(walk.eqz());
      done.set(0);
      const key = local32(code, walk.add(WALK_SIZE));
      const value = local32(code);
      block(code, (end) => {
        loop(code, (again) => {
          const next = call("walkNext", map, walk);
          value.set(nextOf?.(walk, key, next) ?? next);
          end.when(value.eqz());
          done.set(done.add(1));
          again.when(turn(const32(code, map).extendU(), key.extendU(), value.extendU(), ctx).eqz());
        });
      });
      call("walkEnd", map, walk).push();
      code.op(DROP);
    });
    return done;
  },
};

export const forEachHelpers: Readonly<Record<number, Helper>> = {
  [BPF_FUNC_for_each_map_elem]: {
    name: "bpf_for_each_map_elem",
    since: "5.13",
    gplOnly: false,
    args: ["map", "callback", "u64", "u64"],
    result: "u64",
    callback: { start, next, gen },
  },
};
