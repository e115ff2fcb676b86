/** Calls and exits: functions of the program by frames in the run record, helpers by their prototypes. */
import { helperTable } from "../helpers/table.ts";
import type { Helper, HelperArg } from "../helpers/types.ts";
import { entryOfMap } from "../kern/map.ts";
import {
  FRAME_CALL,
  FRAME_KIND,
  FRAME_PROG,
  FRAME_RETURN,
  FRAME_SAVED,
  FRAME_SIZE,
  FRAME_TURNS,
  findHeld,
  HELD_RING,
  MAX_FRAMES,
  RUN_CTX,
  RUN_DEPTH,
  RUN_EXITED,
  RUN_FRAMES,
  RUN_RESULT_HIGH,
  RUN_RUNNING,
  STACK_FRAME,
} from "../kern/run_record.ts";
import { MAP_KEY_SIZE, MAP_VALUE_SIZE } from "../struct/map.ts";
import { BPF_PSEUDO_CALL } from "../uapi/index.ts";
import { argumentOk, mapOk } from "./access.ts";
import { FAULT_DEPTH, FAULT_NOT_CONTEXT, FAULT_NOT_RECORD, FAULT_SIZE } from "./fault_kinds.ts";
import { fault, goOnIn, MAY_GOTO_TURNS, type Machine } from "./machine.ts";

/** r6 .. r9, and r10: indices from r0's. */
const SAVED_FIRST = 12;
const SAVED_WORDS = 8;
const FRAME_POINTER = 20;

/** A helper as the interpreter calls it. */
interface Plan {
  readonly id: number;
  readonly helper: Helper;
  /** Indices, from r0's, of the words that make up the function's ten numbers. */
  readonly words: readonly number[];
}

function planOf(id: number, helper: Helper): Plan {
  const words: number[] = [];
  helper.args.forEach((arg, i) => {
    words.push((i + 1) * 2);
    if (arg === "u64") words.push((i + 1) * 2 + 1);
  });
  while (words.length < 10) words.push(0);
  return { id, helper, words };
}

const plans: readonly (Plan | undefined)[] = Object.entries(helperTable).reduce<(Plan | undefined)[]>(
  (all, [id, helper]) => {
    all[Number(id)] = planOf(Number(id), helper);
    return all;
  },
  [],
);

export function call(m: Machine, _d: number, _low: number, _high: number, w: number, imm: number): void {
  if (((w >>> 12) & 15) === BPF_PSEUDO_CALL) callLocal(m, imm);
  else callHelper(m, plans[imm]!);
}

/** A new frame on a stack that is zero. The callee has r1 .. r5 and its own r10; r6 .. r9 come back at its exit. */
function callLocal(m: Machine, distance: number): void {
  const { u32, run, regs } = m;
  const depth = u32[(run + RUN_DEPTH) >>> 2]! + 1;
  if (depth === MAX_FRAMES) {
    fault(m, FAULT_DEPTH, 0, 0, 0, false, 0);
    return;
  }
  const frame = run + RUN_FRAMES + depth * FRAME_SIZE;
  u32[(run + RUN_DEPTH) >>> 2] = depth;
  u32[(frame + FRAME_KIND) >>> 2] = FRAME_CALL;
  u32[(frame + FRAME_PROG) >>> 2] = m.prog;
  u32[(frame + FRAME_RETURN) >>> 2] = m.pc;
  u32[(frame + FRAME_TURNS) >>> 2] = MAY_GOTO_TURNS;
  const saved = (frame + FRAME_SAVED) >>> 2;
  for (let i = 0; i < SAVED_WORDS; i++) u32[saved + i] = u32[regs + SAVED_FIRST + i]!;
  u32[regs + FRAME_POINTER]! -= STACK_FRAME;
  m.stackLow -= STACK_FRAME;
  m.mem.zero(m.stackLow, STACK_FRAME);
  m.pc += distance;
}

/** From a function back to its caller; from the program itself, the end of the run. */
export function exit(m: Machine): void {
  const { u32, run, regs } = m;
  const depth = u32[(run + RUN_DEPTH) >>> 2]!;
  if (depth === 0) {
    m.status = RUN_EXITED;
    return;
  }
  const frame = run + RUN_FRAMES + depth * FRAME_SIZE;
  const saved = (frame + FRAME_SAVED) >>> 2;
  for (let i = 0; i < SAVED_WORDS; i++) u32[regs + SAVED_FIRST + i] = u32[saved + i]!;
  u32[regs + FRAME_POINTER]! += STACK_FRAME;
  m.stackLow += STACK_FRAME;
  const caller = u32[(frame + FRAME_PROG) >>> 2]!;
  if (caller !== m.prog) goOnIn(m, caller);
  m.pc = u32[(frame + FRAME_RETURN) >>> 2]!;
  u32[(run + RUN_DEPTH) >>> 2] = depth - 1;
}

/**
 * A tail call: the program goes on in the frame of the one that called, on a stack that is zero. Where that is a
 * function's frame, its exit leads back to the function's caller.
 */
function enterProgram(m: Machine, prog: number): void {
  const { u32, run, regs } = m;
  goOnIn(m, prog);
  u32[regs + 2] = u32[(run + RUN_CTX) >>> 2]!;
  u32[regs + 3] = 0;
  u32[(run + RUN_FRAMES + u32[(run + RUN_DEPTH) >>> 2]! * FRAME_SIZE + FRAME_TURNS) >>> 2] = MAY_GOTO_TURNS;
  m.mem.zero(m.stackLow, STACK_FRAME);
  m.pc = 0;
}

/** Jumps once the frame's turns are spent: a loop around it ends. */
export function mayGoto(m: Machine, _d: number, _low: number, _high: number, w: number): void {
  const { u32, run } = m;
  const turns = (run + RUN_FRAMES + u32[(run + RUN_DEPTH) >>> 2]! * FRAME_SIZE + FRAME_TURNS) >>> 2;
  if (u32[turns] === 0) m.pc += w >> 16;
  else u32[turns]!--;
}

function callHelper(m: Machine, plan: Plan): void {
  const { args, result, fn } = plan.helper;
  for (let i = 0; i < args.length; i++) if (!checkArgument(m, plan.id, args, i)) return;
  const { u32, regs: r } = m;
  const { words: w } = plan;
  const value = fn(
    m.kernel,
    u32[r + w[0]!]!,
    u32[r + w[1]!]!,
    u32[r + w[2]!]!,
    u32[r + w[3]!]!,
    u32[r + w[4]!]!,
    u32[r + w[5]!]!,
    u32[r + w[6]!]!,
    u32[r + w[7]!]!,
    u32[r + w[8]!]!,
    u32[r + w[9]!]!,
  );
  if (m.status !== RUN_RUNNING) return;
  if (result === "program" && value !== 0) {
    enterProgram(m, value);
    return;
  }
  u32[r] = value;
  if (result === "errno") u32[r + 1] = value >> 31;
  else if (result === "u64") u32[r + 1] = u32[(m.run + RUN_RESULT_HIGH) >>> 2]!;
  else u32[r + 1] = 0;
}

/** Whether argument i is what the prototype asks for; if not, the run has faulted. */
function checkArgument(m: Machine, helper: number, args: readonly HelperArg[], i: number): boolean {
  const { u32 } = m;
  const at = m.regs + (i + 1) * 2;
  const low = u32[at]!;
  const high = u32[at + 1]!;
  switch (args[i]) {
    case "u32":
    case "u64":
      return true;
    case "map":
      return mapOk(m, low, high, helper, i + 1);
    // The map is the first argument of every helper that takes keys or values.
    case "key":
      return argumentOk(m, low, high, u32[(u32[m.regs + 2]! + MAP_KEY_SIZE) >>> 2]!, false, i + 1);
    case "value":
      return argumentOk(m, low, high, u32[(u32[m.regs + 2]! + MAP_VALUE_SIZE) >>> 2]!, false, i + 1);
    case "valueOut": {
      const map = u32[m.regs + 2]!;
      const write = entryOfMap(m.kernel, map).traits.lookupReadsValue !== true;
      return argumentOk(m, low, high, u32[(map + MAP_VALUE_SIZE) >>> 2]!, write, i + 1);
    }
    case "ctx":
      return (high === 0 && low === u32[(m.run + RUN_CTX) >>> 2]) || wrong(m, FAULT_NOT_CONTEXT, i);
    case "record":
      return (high === 0 && findHeld(m.mem, m.run, HELD_RING, low) !== 0) || wrong(m, FAULT_NOT_RECORD, i);
    case "mem":
      return u32[at + 3] !== 0 || argumentOk(m, low, high, u32[at + 2]!, false, i + 1);
    case "memOut":
      return u32[at + 3] !== 0 || argumentOk(m, low, high, u32[at + 2]!, true, i + 1);
    case "memOrNull":
      if ((low | high | u32[at + 2]!) === 0) return true;
      return u32[at + 3] !== 0 || argumentOk(m, low, high, u32[at + 2]!, false, i + 1);
    // A size beyond 32 bits faults here, not where the memory is.
    case "size":
      return (high === 0 && low !== 0) || wrong(m, FAULT_SIZE, i);
    case "sizeOrZero":
      return high === 0 || wrong(m, FAULT_SIZE, i);
    default:
      return false;
  }
}

function wrong(m: Machine, kind: number, i: number): boolean {
  const at = m.regs + (i + 1) * 2;
  fault(m, kind, m.u32[at]!, m.u32[at + 1]!, 0, false, i + 1);
  return false;
}
