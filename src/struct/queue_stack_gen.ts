/** Push, pop and peek of QUEUE and STACK in compiled programs: what `queue_stack.ts` does, for one map. */
import { BPF_FUNC_map_peek_elem, BPF_FUNC_map_pop_elem, BPF_FUNC_map_push_elem, ENOENT } from "../uapi/index.ts";
import { type Code, I32 } from "../wasm/code.ts";
import * as w from "../wasm/opcodes.ts";
import { emitCopy, emitLock, emitUnlock, emitZero } from "./emit.ts";
import type { MapEnv } from "./env.ts";
import type { GenCall, MapGen } from "./gen.ts";
import { MAP_LOCK, MAP_MAX_ENTRIES, MAP_VALUE_SIZE, mapField } from "./map.ts";
import { QS_HEAD, QS_TAIL, QS_VALUES } from "./queue_stack.ts";

/** What is constant of one map. */
interface Queue {
  readonly code: Code;
  readonly map: number;
  readonly values: number;
  /** Number of the last slot. */
  readonly last: number;
  readonly size: number;
}

function queueOf({ code, mem, map }: GenCall): Queue {
  return {
    code,
    map,
    values: mapField(mem, map, QS_VALUES),
    last: mapField(mem, map, MAP_MAX_ENTRIES),
    size: mapField(mem, map, MAP_VALUE_SIZE),
  };
}

/** Puts the slot behind the one in the local on the stack. */
function slotAfter({ code, last }: Queue, slot: number): void {
  code.i32(0);
  code.get(slot);
  code.i32(1);
  code.op(w.I32_ADD);
  code.get(slot);
  code.i32(last);
  code.op(w.I32_EQ, w.SELECT);
}

function slotBefore({ code, last }: Queue, slot: number): void {
  code.i32(last);
  code.get(slot);
  code.i32(1);
  code.op(w.I32_SUB);
  code.get(slot);
  code.op(w.I32_EQZ, w.SELECT);
}

function loadField({ code, map }: Queue, field: number): void {
  code.i32(map + field);
  code.memory(w.I32_LOAD);
}

function storeField({ code, map }: Queue, field: number, local: number): void {
  code.i32(map + field);
  code.get(local);
  code.memory(w.I32_STORE);
}

/** Puts the address of the slot in the local on the stack. */
function slotAddress({ code, values, size }: Queue, slot: number): void {
  code.get(slot);
  code.i32(size);
  code.op(w.I32_MUL);
  code.i32(values);
  code.op(w.I32_ADD);
}

/** Flags, and a full map, are the helper's. */
function emitPush(call: GenCall): void {
  const { code, mem, map, args } = call;
  const [value, flags, flagsHigh] = args as [number, number, number];
  const queue = queueOf(call);
  const head = code.local(I32);
  const next = code.local(I32);
  const done = code.open(w.BLOCK, I32);
  code.get(flags);
  code.get(flagsHigh);
  code.op(w.I32_OR);
  code.open(w.IF);
  call.callHelper();
  code.br(done);
  code.end();
  emitLock(code, mem, map + MAP_LOCK, done, () => call.callHelper());
  loadField(queue, QS_HEAD);
  code.set(head);
  slotAfter(queue, head);
  code.tee(next);
  loadField(queue, QS_TAIL);
  code.op(w.I32_EQ);
  code.open(w.IF);
  emitUnlock(code, mem, map + MAP_LOCK);
  call.callHelper();
  code.br(done);
  code.end();
  slotAddress(queue, head);
  code.set(head);
  emitCopy(code, head, value, queue.size);
  storeField(queue, QS_HEAD, next);
  emitUnlock(code, mem, map + MAP_LOCK);
  code.i32(0);
  code.end();
}

function emitTake(call: GenCall, end: "head" | "tail", remove: boolean): void {
  const { code, mem, map, args } = call;
  const value = args[0]!;
  const queue = queueOf(call);
  const slot = code.local(I32);
  const next = code.local(I32);
  const done = code.open(w.BLOCK, I32);
  emitLock(code, mem, map + MAP_LOCK, done, () => call.callHelper());
  loadField(queue, end === "head" ? QS_HEAD : QS_TAIL);
  code.tee(slot);
  loadField(queue, end === "head" ? QS_TAIL : QS_HEAD);
  code.op(w.I32_EQ);
  code.open(w.IF);
  emitUnlock(code, mem, map + MAP_LOCK);
  emitZero(code, value, queue.size);
  code.i32(-ENOENT);
  code.br(done);
  code.end();
  // A stack's head is the slot behind its newest element, where the element below it will be the newest then.
  if (end === "head") {
    slotBefore(queue, slot);
    code.tee(slot);
    code.set(next);
  } else if (remove) {
    slotAfter(queue, slot);
    code.set(next);
  }
  slotAddress(queue, slot);
  code.set(slot);
  emitCopy(code, value, slot, queue.size);
  if (remove) storeField(queue, end === "head" ? QS_HEAD : QS_TAIL, next);
  emitUnlock(code, mem, map + MAP_LOCK);
  code.i32(0);
  code.end();
}

function genOf(end: "head" | "tail"): (env: MapEnv, map: number, helper: number) => MapGen | undefined {
  const push: MapGen = { inline: false, emit: emitPush };
  const pop: MapGen = { inline: false, emit: (call) => emitTake(call, end, true) };
  const peek: MapGen = { inline: false, emit: (call) => emitTake(call, end, false) };
  return (_env, _map, helper) => {
    if (helper === BPF_FUNC_map_push_elem) return push;
    if (helper === BPF_FUNC_map_pop_elem) return pop;
    return helper === BPF_FUNC_map_peek_elem ? peek : undefined;
  };
}

export const genQueue: (env: MapEnv, map: number, helper: number) => MapGen | undefined = genOf("tail");
export const genStack: (env: MapEnv, map: number, helper: number) => MapGen | undefined = genOf("head");
