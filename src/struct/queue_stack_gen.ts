/** Push, pop and peek of QUEUE and STACK in compiled programs: what `queue_stack.ts` does, for one map. */
import { BPF_FUNC_map_peek_elem, BPF_FUNC_map_pop_elem, BPF_FUNC_map_push_elem, ENOENT } from "../uapi/index.ts";
import { blockValue, const32, type Expr32, type Local32, local32, select, when } from "../wasm/expr.ts";
import { emitCopy, emitLock, emitUnlock, emitZero } from "./emit.ts";
import type { MapEnv } from "./env.ts";
import type { GenCall, MapGen } from "./gen.ts";
import { MAP_LOCK, MAP_MAX_ENTRIES, MAP_VALUE_SIZE, mapField } from "./map.ts";
import { QS_HEAD, QS_TAIL, QS_VALUES } from "./queue_stack.ts";

/** What is constant of one map. */
interface Queue {
  /** The map's address, and that of its lock. */
  readonly at: Expr32;
  readonly lock: Expr32;
  readonly values: number;
  /** Number of the last slot. */
  readonly last: number;
  readonly size: number;
}

function queueOf({ code, mem, map }: GenCall): Queue {
  return {
    at: const32(code, map),
    lock: const32(code, map + MAP_LOCK),
    values: mapField(mem, map, QS_VALUES),
    last: mapField(mem, map, MAP_MAX_ENTRIES),
    size: mapField(mem, map, MAP_VALUE_SIZE),
  };
}

function slotAfter({ last }: Queue, slot: Local32): Expr32 {
  return select(slot.eq(last), 0, slot.add(1));
}

function slotBefore({ last }: Queue, slot: Local32): Expr32 {
  return select(slot.eqz(), last, slot.sub(1));
}

function slotAddress({ values, size }: Queue, slot: Local32): Expr32 {
  return slot.mul(size).add(values);
}

/** Flags, and a full map, are the helper's. */
function emitPush(call: GenCall): Expr32 {
  const { code, mem, args } = call;
  const [value, flags, flagsHigh] = args as [Local32, Local32, Local32];
  const queue = queueOf(call);
  return blockValue(code, (end) => {
    when(flags.or(flagsHigh), () => end(call.helper));
    emitLock(mem, queue.lock, () => end(call.helper));
    const head = local32(code, queue.at.load(QS_HEAD));
    const next = local32(code, slotAfter(queue, head));
    when(next.eq(queue.at.load(QS_TAIL)), () => {
      emitUnlock(mem, queue.lock);
      end(call.helper);
    });
    head.set(slotAddress(queue, head));
    emitCopy(head, value, queue.size);
    queue.at.store(QS_HEAD, next);
    emitUnlock(mem, queue.lock);
    return 0;
  });
}

function emitTake(call: GenCall, from: "head" | "tail", remove: boolean): Expr32 {
  const { code, mem, args } = call;
  const value = args[0]!;
  const queue = queueOf(call);
  const [field, other] = from === "head" ? [QS_HEAD, QS_TAIL] : [QS_TAIL, QS_HEAD];
  return blockValue(code, (end) => {
    emitLock(mem, queue.lock, () => end(call.helper));
    const slot = local32(code, queue.at.load(field));
    when(slot.eq(queue.at.load(other)), () => {
      emitUnlock(mem, queue.lock);
      emitZero(value, queue.size);
      end(-ENOENT);
    });
    const next = local32(code);
    // A stack's head is the slot behind its newest element, where the element below it will be the newest then.
    if (from === "head") {
      slot.set(slotBefore(queue, slot));
      next.set(slot);
    } else if (remove) {
      next.set(slotAfter(queue, slot));
    }
    slot.set(slotAddress(queue, slot));
    emitCopy(value, slot, queue.size);
    if (remove) queue.at.store(field, next);
    emitUnlock(mem, queue.lock);
    return 0;
  });
}

function genOf(from: "head" | "tail"): (env: MapEnv, map: number, helper: number) => MapGen | undefined {
  const push: MapGen = { inline: false, emit: emitPush };
  const pop: MapGen = { inline: false, emit: (call) => emitTake(call, from, true) };
  const peek: MapGen = { inline: false, emit: (call) => emitTake(call, from, false) };
  return (_env, _map, helper) => {
    if (helper === BPF_FUNC_map_push_elem) return push;
    if (helper === BPF_FUNC_map_pop_elem) return pop;
    return helper === BPF_FUNC_map_peek_elem ? peek : undefined;
  };
}

export const genQueue: (env: MapEnv, map: number, helper: number) => MapGen | undefined = genOf("tail");
export const genStack: (env: MapEnv, map: number, helper: number) => MapGen | undefined = genOf("head");
