/** Arguments of helpers and kernel functions, judged by their prototypes before the function is called. */
import type { HelperArg } from "../helpers/types.ts";
import {
  FAULT_NO_TEXT,
  FAULT_NOT_CONTEXT,
  FAULT_NOT_DYNPTR,
  FAULT_NOT_FIELD,
  FAULT_NOT_FUNCTION,
  FAULT_NOT_ITERATOR,
  FAULT_NOT_RECORD,
  FAULT_NOT_SOCKET,
  FAULT_NOT_STACK,
  FAULT_SIZE,
} from "../kern/fault_kinds.ts";
import { entryOfMap } from "../kern/map.ts";
import { isCallback } from "../kern/prog.ts";
import { mapInReach, otherFault, textLength, valueArea, valueFault } from "../kern/reach.ts";
import { FUNC_HIGH, findHeld, HELD_BYTES, HELD_READABLE, HELD_RING, HELD_SOCKET, RUN_CTX } from "../kern/run_record.ts";
import { OBJECT_DYNPTR, type StackObjectKind, stackObject } from "../kern/stack_objects.ts";
import { AREA_BASE, AREA_MAP, AREA_STRIDE } from "../mem/alloc.ts";
import { fieldAt } from "../struct/fields.ts";
import { MAP_KEY_SIZE, MAP_VALUE_SIZE } from "../struct/map.ts";
import { slotAt } from "../struct/objects.ts";
import { bpf_sock } from "../uapi/index.ts";
import { argumentOk, mapOk } from "./access.ts";
import { fault, type Machine } from "./machine.ts";

/** Whether argument `i`, counted from 0, of the helper with this number (-1: a kernel function) is right; else the run has faulted. */
export type ArgumentCheck = (m: Machine, i: number, helper: number) => boolean;

type ArgumentName = Extract<HelperArg, string>;

const anything: ArgumentCheck = () => true;

/** Index of argument i's low half. */
function wordOf(m: Machine, i: number): number {
  return m.regs + (i + 1) * 2;
}

function memory(write: boolean, orNull: boolean): ArgumentCheck {
  return (m, i) => {
    const { u32 } = m;
    const at = wordOf(m, i);
    const low = u32[at]!;
    const high = u32[at + 1]!;
    const size = u32[at + 2]!;
    if (orNull && (low | high | size) === 0) return true;
    // A size beyond 32 bits faults as a size.
    return u32[at + 3] !== 0 || argumentOk(m, low, high, size, write, i + 1);
  };
}

function number(ok: (low: number, high: number) => boolean): ArgumentCheck {
  return (m, i) => {
    const at = wordOf(m, i);
    return ok(m.u32[at]!, m.u32[at + 1]!) || wrong(m, FAULT_SIZE, i);
  };
}

/** Memory of a size that the map says; the map is the first argument of every helper that takes keys or values. */
function ofMap(size: number, write: (m: Machine, map: number) => boolean): ArgumentCheck {
  return (m, i) => {
    const { u32 } = m;
    const at = wordOf(m, i);
    const map = u32[m.regs + 2]!;
    return argumentOk(m, u32[at]!, u32[at + 1]!, u32[(map + size) >>> 2]!, write(m, map), i + 1);
  };
}

const isNull: (m: Machine, i: number) => boolean = (m, i) => {
  const at = wordOf(m, i);
  return (m.u32[at]! | m.u32[at + 1]!) === 0;
};
const isContext: ArgumentCheck = (m, i) => {
  const at = wordOf(m, i);
  const ctx = m.u32[(m.run + RUN_CTX) >>> 2]!;
  return (ctx !== 0 && m.u32[at + 1] === 0 && m.u32[at] === ctx) || wrong(m, FAULT_NOT_CONTEXT, i);
};
const isAnySocket: ArgumentCheck = (m, i) =>
  isSocket(m, i, HELD_READABLE) || isSocket(m, i, HELD_SOCKET) || wrong(m, FAULT_NOT_SOCKET, i);
const readOnly = (): boolean => false;
const bufferMemory = memory(true, false);

const named: Readonly<Record<ArgumentName, ArgumentCheck>> = {
  u32: anything,
  u64: anything,
  map: (m, i, helper) => mapOk(m, m.u32[wordOf(m, i)]!, m.u32[wordOf(m, i) + 1]!, helper, i + 1),
  key: ofMap(MAP_KEY_SIZE, readOnly),
  value: ofMap(MAP_VALUE_SIZE, readOnly),
  valueOut: ofMap(MAP_VALUE_SIZE, (m, map) => entryOfMap(m.kernel, map).traits.lookupReadsValue !== true),
  ctx: isContext,
  ctxOrNull: (m, i, helper) => isNull(m, i) || isContext(m, i, helper),
  record: (m, i) => {
    const at = wordOf(m, i);
    const held = m.u32[at + 1] === 0 && findHeld(m.mem, m.run, HELD_RING, m.u32[at]!) !== 0;
    return held || wrong(m, FAULT_NOT_RECORD, i);
  },
  socket: isAnySocket,
  socketOrNull: (m, i, helper) => isNull(m, i) || isAnySocket(m, i, helper),
  lookedUp: (m, i) => isSocket(m, i, HELD_SOCKET) || wrong(m, FAULT_NOT_SOCKET, i),
  mem: memory(false, false),
  memOut: memory(true, false),
  memOrNull: memory(false, true),
  memOutOrNull: memory(true, true),
  buffer: (m, i, helper) => isNull(m, i) || bufferMemory(m, i, helper),
  size: number((low, high) => high === 0 && low !== 0),
  sizeOrZero: number((_low, high) => high === 0),
  callback: (m, i) => {
    const at = wordOf(m, i);
    return (m.u32[at + 1] === FUNC_HIGH && isCallback(m.mem, m.prog, m.u32[at]!)) || wrong(m, FAULT_NOT_FUNCTION, i);
  },
  cstring: (m, i) => {
    const at = wordOf(m, i);
    return textLength(m.kernel, m.u32[at]!, m.u32[at + 1]!) >= 0 || wrong(m, FAULT_NO_TEXT, i);
  },
};

function isSocket(m: Machine, i: number, kind: number): boolean {
  const at = wordOf(m, i);
  const entry = m.u32[at + 1] === 0 ? findHeld(m.mem, m.run, kind, m.u32[at]!) : 0;
  return entry !== 0 && m.u32[(entry + HELD_BYTES) >>> 2] === bpf_sock.size;
}

/** The check of one argument of a prototype. */
export function argumentCheck(arg: HelperArg): ArgumentCheck {
  if (typeof arg === "string") return named[arg];
  if ("fixed" in arg) {
    return (m, i) => argumentOk(m, m.u32[wordOf(m, i)]!, m.u32[wordOf(m, i) + 1]!, arg.fixed, arg.write, i + 1);
  }
  if ("object" in arg) return onStackObject(arg.object);
  return "stack" in arg ? onStack(arg.stack) : specialField(arg.field);
}

function onStack(size: number): ArgumentCheck {
  return (m, i) => {
    const at = wordOf(m, i);
    const address = m.u32[at]!;
    const inside = m.u32[at + 1] === 0 && address >= m.stackLow && address + size <= m.stackTop;
    return (inside && (address & 7) === 0) || wrong(m, FAULT_NOT_STACK, i);
  };
}

function onStackObject(kind: StackObjectKind): ArgumentCheck {
  const missing = kind === OBJECT_DYNPTR ? FAULT_NOT_DYNPTR : FAULT_NOT_ITERATOR;
  return (m, i) => {
    const at = wordOf(m, i);
    return stackObject(m.kernel, m.u32[at]!, m.u32[at + 1]!, kind) !== 0 || wrong(m, missing, i);
  };
}

function specialField(kind: number): ArgumentCheck {
  return (m, i) => {
    const at = wordOf(m, i);
    return (m.u32[at + 1] === 0 && isField(m, m.u32[at]!, kind)) || wrong(m, FAULT_NOT_FIELD, i);
  };
}

/** Whether a field of these kinds begins at the address, in a value or an object that the program may use. */
function isField(m: Machine, address: number, kind: number): boolean {
  const { mem, u32 } = m;
  const area = valueArea(mem, address);
  if (area === 0) return slotAt(mem, address, kind) !== 0 && otherFault(mem, m.run, m.prog, address, 1, true) === 0;
  const map = u32[(area + AREA_MAP) >>> 2]!;
  if (!mapInReach(mem, m.run, m.prog, map) || valueFault(mem, area, address, 1, true) !== 0) return false;
  const inside = (address - u32[(area + AREA_BASE) >>> 2]!) % u32[(area + AREA_STRIDE) >>> 2]!;
  return fieldAt(mem, map, inside, kind) !== 0;
}

function wrong(m: Machine, kind: number, i: number): boolean {
  const at = wordOf(m, i);
  fault(m, kind, m.u32[at]!, m.u32[at + 1]!, 0, false, i + 1);
  return false;
}
