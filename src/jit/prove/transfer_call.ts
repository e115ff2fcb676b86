/** Calls: what helpers give back by their prototypes, and what is no more known once they, or a function, were called. */
import { NUM_BYTES } from "../../helpers/iterators.ts";
import type { Callable, HelperArg } from "../../helpers/types.ts";
import { STACK_FRAME } from "../../kern/run_record.ts";
import { OBJECT_NUM } from "../../kern/stack_objects.ts";
import { MAP_FLAGS, MAP_INNER, MAP_KEY_SIZE, MAP_TYPE, MAP_VALUE_SIZE, mapField } from "../../struct/map.ts";
import {
  BPF_F_RDONLY_PROG,
  BPF_F_WRONLY_PROG,
  BPF_FUNC_for_each_map_elem,
  BPF_FUNC_loop,
  BPF_FUNC_map_lookup_elem,
  BPF_FUNC_map_lookup_percpu_elem,
  BPF_FUNC_ringbuf_reserve,
  BPF_MAP_TYPE_ARRAY,
  BPF_MAP_TYPE_ARRAY_OF_MAPS,
  BPF_MAP_TYPE_HASH,
  BPF_MAP_TYPE_HASH_OF_MAPS,
  BPF_MAP_TYPE_LPM_TRIE,
  BPF_MAP_TYPE_LRU_HASH,
  BPF_MAP_TYPE_LRU_PERCPU_HASH,
  BPF_MAP_TYPE_PERCPU_ARRAY,
  BPF_MAP_TYPE_PERCPU_HASH,
} from "../../uapi/index.ts";
import type { Op } from "../program.ts";
import { mayBeStack } from "./access.ts";
import type { Context } from "./context.ts";
import { sliced } from "./slices.ts";
import { isHeld, isOfPacket, type State } from "./state.ts";
import { bytesShown, callableOf, isTailCall } from "./summary.ts";
import {
  anything,
  ELSEWHERE,
  F_HELD,
  F_NULL,
  F_WRITE,
  innerMap,
  isConstant,
  isNear,
  K_INNER,
  K_MAP,
  K_NUMBER,
  K_REGION,
  K_STACK,
  number,
  objectMark,
  region,
  UNKNOWN,
  type Val,
} from "./value.ts";

const ARGUMENTS = 5;
const WORD = 8;
/** Of bpf_loop. */
const MAX_LOOPS: number = 2 ** 23;
/** Types whose lookup gives the address of a value, value_size bytes in an area of the map's. */
const valueTypes: ReadonlySet<number> = new Set([
  BPF_MAP_TYPE_HASH,
  BPF_MAP_TYPE_PERCPU_HASH,
  BPF_MAP_TYPE_LRU_HASH,
  BPF_MAP_TYPE_LRU_PERCPU_HASH,
  BPF_MAP_TYPE_ARRAY,
  BPF_MAP_TYPE_PERCPU_ARRAY,
  BPF_MAP_TYPE_LPM_TRIE,
]);
/** Types whose lookup gives a map. */
const outerTypes: ReadonlySet<number> = new Set([BPF_MAP_TYPE_ARRAY_OF_MAPS, BPF_MAP_TYPE_HASH_OF_MAPS]);
/** What is looked at of an object on the stack. */
const OBJECT_MARK = 16;
/** More than any helper writes where its prototype does not say how much. */
const ANY_SIZE = 4096;

/** A call of a helper, or of a function: what that one writes of this frame was taken into account before. */
export function transferCall(context: Context, state: State, op: Op): void {
  const callable = callableOf(op);
  const effects = context.summary.effectsOf(op);
  const local = op.variant?.op === "local";
  const result = callable === undefined ? anything() : resultOf(context, state, op, callable);
  if (callable !== undefined) touches(context, state, callable, effects.readsByPrototype);
  else if (!local) context.touchAll();
  if (callable !== undefined && effects.writesByPrototype) {
    writes(context, state, callable);
  } else if (!local) {
    state.dropSlots();
    context.wroteAnywhere();
  }
  // Another program goes on in this frame, which has its callers' in reach.
  if (isTailCall(op)) context.wroteAnywhere();
  if (!effects.keepsPacket) state.dropPackets();
  if (!effects.keepsHeld) state.dropHeld();
  if (callable !== undefined) setsUp(state, op, callable);
  if (result.kind === K_REGION) state.replaceOlder(op.index);
  state.regs[0] = result;
  for (let i = 1; i <= ARGUMENTS; i++) state.regs[i] = UNKNOWN;
}

/** Packet loads are calls too: they use r1 to r5 up. */
export function transferPacketLoad(state: State, op: Op): void {
  state.regs[0] = number(0, 2 ** (op.row.size * 8) - 1);
  for (let i = 1; i <= ARGUMENTS; i++) state.regs[i] = UNKNOWN;
}

function resultOf(context: Context, state: State, op: Op, callable: Callable): Val {
  if (op.variant?.op === "helper" && callable.result === "pointer") {
    const found = op.imm === BPF_FUNC_ringbuf_reserve ? reserved(state, op) : looked(context, state, op);
    if (found !== undefined) return found;
  }
  const slice = sliced(context, state, op, callable);
  if (slice !== undefined) return slice;
  const shown = bytesShown(callable);
  // A flag: what is given back is gone. Of the address nothing is known but that it is none of the stack's.
  if (shown !== 0) return region(op.index, shown, 0, F_NULL | F_HELD);
  if (callable.callback !== undefined || callable.result === "u64") return anything();
  return callable.result === "errno" ? number(-(2 ** 31), 2 ** 31 - 1) : number(0, 2 ** 32 - 1);
}

function looked(context: Context, state: State, op: Op): Val | undefined {
  if (op.imm !== BPF_FUNC_map_lookup_elem && op.imm !== BPF_FUNC_map_lookup_percpu_elem) return undefined;
  const map = state.regs[1]!;
  const isOuter = map.kind === K_MAP && outerTypes.has(mapField(context.kernel.mem, map.id, MAP_TYPE));
  return isOuter ? innerMap(map.id, F_NULL) : valueOfMap(context, map, op.index, F_NULL);
}

/** Where type, sizes and flags of the map at the value stand: its own descriptor, or a template. 0: it is not known. */
function shapeOf({ kernel: { mem } }: Context, { kind, id, flags }: Val): number {
  if (kind === K_MAP) return id;
  return kind === K_INNER && (flags & F_NULL) === 0 ? mapField(mem, id, MAP_INNER) : 0;
}

/** A value of the map, where its type's lookups give addresses of values that programs may read. */
function valueOfMap(context: Context, map: Val, from: number, nullable: number): Val | undefined {
  const shape = shapeOf(context, map);
  if (shape === 0) return undefined;
  const { mem } = context.kernel;
  const flags = mapField(mem, shape, MAP_FLAGS);
  if (!valueTypes.has(mapField(mem, shape, MAP_TYPE)) || (flags & BPF_F_WRONLY_PROG) !== 0) return undefined;
  const write = (flags & BPF_F_RDONLY_PROG) === 0 ? F_WRITE : 0;
  return region(from, mapField(mem, shape, MAP_VALUE_SIZE), 0, nullable | write, map.kind === K_MAP ? map.id : 0);
}

/** r1 to r5 as a function gets them that the helper calls. What may be gone at a later turn is not handed on. */
export function callbackArguments(context: Context, state: State, op: Op): readonly Val[] {
  const { regs } = state;
  const { keepsPacket, keepsHeld } = context.summary.effectsOf(op);
  const given = (v: Val): Val => ((!keepsPacket && isOfPacket(v)) || (!keepsHeld && isHeld(v)) ? UNKNOWN : v);
  if (op.variant?.op !== "helper") return [];
  if (op.imm === BPF_FUNC_loop) {
    const turns = regs[1]!;
    const known = turns.kind === K_NUMBER && turns.min >= 0 && turns.max > 0;
    return [number(0, known ? Math.min(turns.max, MAX_LOOPS) - 1 : MAX_LOOPS), given(regs[3]!)];
  }
  if (op.imm !== BPF_FUNC_for_each_map_elem) return [];
  const map = regs[1]!;
  if (map.kind !== K_MAP) return [UNKNOWN, UNKNOWN, UNKNOWN, given(regs[3]!)];
  const key = region(ELSEWHERE, context.kernel.mem.u32[(map.id + MAP_KEY_SIZE) >>> 2]!, 0, 0);
  return [map, key, valueOfMap(context, map, ELSEWHERE, 0) ?? UNKNOWN, given(regs[3]!)];
}

function reserved(state: State, op: Op): Val | undefined {
  const size = state.regs[2]!;
  if (!isConstant(size) || size.min < 0 || size.min > 0xffff_ffff) return undefined;
  return region(op.index, size.min, 0, F_NULL | F_WRITE | F_HELD);
}

/** Where the call may read or write the stack. */
function touches(context: Context, state: State, { args }: Callable, byPrototype: boolean): void {
  if (!byPrototype) context.touchAll();
  for (const [i, arg] of args.entries()) {
    const v = state.regs[i + 1]!;
    const size = memorySize(context, state, arg, i);
    if (size === 0) continue;
    if (v.kind === K_STACK && isNear(v)) context.touch(v.min, v.max + size);
    else if (mayBeStack(v, size)) context.touchAll();
  }
}

/** Places of the frame that the call may write. */
function writes(context: Context, state: State, { args }: Callable): void {
  for (const [i, arg] of args.entries()) {
    if (!isWritten(arg)) continue;
    const v = state.regs[i + 1]!;
    const size = memorySize(context, state, arg, i);
    if (v.kind === K_STACK && isNear(v)) {
      context.wrote(state, v.min, v.max + size);
    } else if (mayBeStack(v, size)) {
      state.dropSlots();
      context.wroteAnywhere();
    }
  }
}

/** Objects that the call sets up in this frame, unless it fails. */
function setsUp(state: State, { index }: Op, { args }: Callable): void {
  for (const [i, arg] of args.entries()) {
    if (typeof arg !== "object" || !("stack" in arg) || arg.sets === undefined) continue;
    const { kind, min, max } = state.regs[i + 1]!;
    if (kind !== K_STACK || min !== max || min % WORD !== 0 || min < -STACK_FRAME || min + arg.stack > 0) continue;
    for (let off = 0; off < arg.stack; off += WORD) state.put(min + off, WORD, objectMark(index, arg.sets, off));
  }
}

function isWritten(arg: HelperArg): boolean {
  // What an object is stands in the run's table: only who sets it up writes its mark.
  if (typeof arg !== "string") return "stack" in arg || "field" in arg || ("fixed" in arg && arg.write);
  return arg === "memOut" || arg === "memOutOrNull" || arg === "buffer" || arg === "valueOut";
}

/** Bytes of memory that the argument names at most; 0: it names none of the stack's. */
function memorySize(context: Context, state: State, arg: HelperArg, i: number): number {
  if (typeof arg !== "string") {
    if ("fixed" in arg) return arg.fixed;
    if ("field" in arg) return 0;
    return "stack" in arg ? arg.stack : arg.object === OBJECT_NUM ? NUM_BYTES : OBJECT_MARK;
  }
  switch (arg) {
    case "mem":
    case "memOut":
    case "memOrNull":
    case "memOutOrNull":
    case "buffer": {
      const size = state.regs[i + 2]!;
      return size.kind === K_NUMBER && size.min >= 0 ? Math.min(size.max, 2 ** 32) : 2 ** 32;
    }
    case "key":
      return sizeOfMap(context, state, MAP_KEY_SIZE);
    case "value":
    case "valueOut":
      return sizeOfMap(context, state, MAP_VALUE_SIZE);
    case "cstring":
      return ANY_SIZE;
    default:
      return 0;
  }
}

function sizeOfMap(context: Context, state: State, field: number): number {
  const shape = shapeOf(context, state.regs[1]!);
  return shape === 0 ? 2 ** 32 : mapField(context.kernel.mem, shape, field);
}
