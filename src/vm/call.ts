/** Calls and exits: functions of the program by frames in the run record, helpers by their prototypes. */
import { kfuncTable } from "../helpers/kfunc_table.ts";
import { helperTable } from "../helpers/table.ts";
import type { Callable, Callback, HelperResult } from "../helpers/types.ts";
import { FAULT_DEPTH } from "../kern/fault_kinds.ts";
import {
  FRAME_ARGS,
  FRAME_CALL,
  FRAME_CALLBACK,
  FRAME_HELPER,
  FRAME_KIND,
  FRAME_PLAN,
  FRAME_PROG,
  FRAME_RESULT,
  FRAME_RETURN,
  FRAME_SAVED,
  FRAME_SIZE,
  FRAME_STATE,
  FRAME_TURNS,
  MAX_FRAMES,
  RUN_DEPTH,
  RUN_EXITED,
  RUN_FAULTED,
  RUN_FRAMES,
  RUN_RESULT_HIGH,
  RUN_RUNNING,
  RUN_STATUS,
  STACK_FRAME,
} from "../kern/run_record.ts";
import { BPF_PSEUDO_CALL, BPF_PSEUDO_KFUNC_CALL } from "../uapi/index.ts";
import { type ArgumentCheck, argumentCheck } from "./arguments.ts";
import { throwOut } from "./exception.ts";
import { fault, firstRegisters, goOnIn, MAY_GOTO_TURNS, type Machine } from "./machine.ts";

/** r6 .. r9, and r10: indices from r0's. */
const SAVED_FIRST = 12;
const SAVED_WORDS = 8;
const FRAME_POINTER = 20;
/** r1 .. r5 */
const ARG_WORDS = 10;

/** A helper or kernel function as programs call it. */
export interface Plan {
  readonly callable: Callable;
  readonly checks: readonly ArgumentCheck[];
  /** Number of the helper; -1: a kernel function. */
  readonly id: number;
  /** Indices, from r0's, of the words that make up the function's ten numbers. */
  readonly words: readonly number[];
}

function planOf(id: number, callable: Callable): Plan {
  const words: number[] = [];
  callable.args.forEach((arg, i) => {
    words.push((i + 1) * 2);
    if (arg === "u64") words.push((i + 1) * 2 + 1);
  });
  while (words.length < 10) words.push(0);
  return { callable, checks: callable.args.map(argumentCheck), id, words };
}

const helperPlans: readonly (Plan | undefined)[] = Object.entries(helperTable).reduce<(Plan | undefined)[]>(
  (all, [id, helper]) => {
    all[Number(id)] = planOf(Number(id), helper);
    return all;
  },
  [],
);
const kfuncPlans: readonly Plan[] = kfuncTable.map((kfunc) => planOf(-1, kfunc));

export function call(m: Machine, _d: number, _low: number, _high: number, w: number, imm: number): void {
  const src = (w >>> 12) & 15;
  if (src === BPF_PSEUDO_CALL) callLocal(m, imm);
  else callHelper(m, planOfCall(src, imm));
}

/** What a call that is none of a function of the program calls. */
export function planOfCall(src: number, imm: number): Plan {
  return src === BPF_PSEUDO_KFUNC_CALL ? kfuncPlans[imm]! : helperPlans[imm]!;
}

/** A new frame on a stack that is zero. The callee has r1 .. r5 and its own r10; r6 .. r9 come back at its exit. */
function callLocal(m: Machine, distance: number): void {
  if (openFrame(m, FRAME_CALL) === 0) return;
  lowerStack(m);
  m.pc += distance;
}

/** The record of a new frame; 0: there are too many, and the run has faulted. */
export function openFrame(m: Machine, kind: number): number {
  const { u32, run, regs } = m;
  const depth = u32[(run + RUN_DEPTH) >>> 2]! + 1;
  if (depth === MAX_FRAMES) {
    fault(m, FAULT_DEPTH, 0, 0, 0, false, 0);
    return 0;
  }
  const frame = run + RUN_FRAMES + depth * FRAME_SIZE;
  u32[(run + RUN_DEPTH) >>> 2] = depth;
  u32[(frame + FRAME_KIND) >>> 2] = kind;
  u32[(frame + FRAME_PROG) >>> 2] = m.prog;
  u32[(frame + FRAME_RETURN) >>> 2] = m.pc;
  u32[(frame + FRAME_TURNS) >>> 2] = MAY_GOTO_TURNS;
  const saved = (frame + FRAME_SAVED) >>> 2;
  for (let i = 0; i < SAVED_WORDS; i++) u32[saved + i] = u32[regs + SAVED_FIRST + i]!;
  return frame;
}

/** The stack of the frame that was opened last. */
function lowerStack(m: Machine): void {
  m.u32[m.regs + FRAME_POINTER]! -= STACK_FRAME;
  m.stackLow -= STACK_FRAME;
  m.mem.zero(m.stackLow, STACK_FRAME);
}

/** From a function back to its caller; from the program itself, the end of the run. */
export function exit(m: Machine): void {
  const { u32, run } = m;
  const depth = u32[(run + RUN_DEPTH) >>> 2]!;
  if (depth === m.floor) {
    m.status = RUN_EXITED;
    return;
  }
  const frame = run + RUN_FRAMES + depth * FRAME_SIZE;
  leaveFunction(m, frame);
  if (u32[(frame + FRAME_KIND) >>> 2] === FRAME_HELPER) goOnWithHelper(m, frame);
  else u32[(run + RUN_DEPTH) >>> 2] = depth - 1;
}

/** Registers, stack and place of who called, or whose helper did. */
function leaveFunction(m: Machine, frame: number): void {
  const { u32, regs } = m;
  const saved = (frame + FRAME_SAVED) >>> 2;
  for (let i = 0; i < SAVED_WORDS; i++) u32[regs + SAVED_FIRST + i] = u32[saved + i]!;
  u32[regs + FRAME_POINTER]! += STACK_FRAME;
  m.stackLow += STACK_FRAME;
  const caller = u32[(frame + FRAME_PROG) >>> 2]!;
  if (caller !== m.prog) goOnIn(m, caller);
  m.pc = u32[(frame + FRAME_RETURN) >>> 2]!;
}

/** The function that a helper called has returned: on to the next call, or to the end of the helper. */
function goOnWithHelper(m: Machine, frame: number): void {
  const { u32, regs } = m;
  const id = m.i32[(frame + FRAME_PLAN) >>> 2]!;
  const { callable } = id < 0 ? kfuncPlans[~id]! : helperPlans[id]!;
  turn(m, frame, callable.callback!.next(m.kernel, frame, u32[regs]!, u32[regs + 1]!));
}

/** Calls the function that the frame names, or ends the helper. */
function turn(m: Machine, frame: number, again: boolean): void {
  const { u32 } = m;
  if (helperFaulted(m)) return;
  if (!again) {
    endCallback(m, frame);
    return;
  }
  putCallbackArguments(m, frame);
  u32[(frame + FRAME_TURNS) >>> 2] = MAY_GOTO_TURNS;
  lowerStack(m);
  m.pc = u32[(frame + FRAME_CALLBACK) >>> 2]!;
}

/** Whether the helper's function found the run to be at fault (`faultHelper`); if so, it ends at the call. */
export function helperFaulted(m: Machine): boolean {
  if (m.u32[(m.run + RUN_STATUS) >>> 2] === RUN_RUNNING) return false;
  m.status = RUN_FAULTED;
  m.pc--;
  return true;
}

/**
 * A tail call: the program goes on in the frame of the one that called, on a stack that is zero. Where that is a
 * function's frame, its exit leads back to the function's caller.
 */
export function enterProgram(m: Machine, prog: number): void {
  const { u32, run } = m;
  goOnIn(m, prog);
  firstRegisters(m);
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
  if (!argumentsOk(m, plan)) return;
  const { callback, result } = plan.callable;
  if (callback !== undefined) {
    const frame = openFrame(m, FRAME_HELPER);
    if (frame !== 0) turn(m, frame, startCallback(m, frame, plan, callback));
    return;
  }
  const value = invoke(m, plan);
  if (helperFaulted(m)) return;
  if (result === "program" && value !== 0) enterProgram(m, value);
  else if (result === "throw") throwOut(m, m.u32[m.regs + 2]!, m.u32[m.regs + 3]!);
  else putResult(m, result, value);
}

/** Whether the arguments in r1 .. r5 are right; else the run has faulted. */
export function argumentsOk(m: Machine, { checks, id }: Plan): boolean {
  for (let i = 0; i < checks.length; i++) if (!checks[i]!(m, i, id)) return false;
  return true;
}

/** Calls the function with r1 .. r5. */
export function invoke(m: Machine, { callable, words: w }: Plan): number {
  const { u32, regs: r } = m;
  return callable.fn!(
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
}

/** What the function returned, as r0. */
export function putResult({ u32, regs: r, run }: Machine, result: HelperResult, value: number): void {
  u32[r] = value;
  if (result === "errno") u32[r + 1] = value >> 31;
  else if (result === "u64") u32[r + 1] = u32[(run + RUN_RESULT_HIGH) >>> 2]!;
  else u32[r + 1] = 0;
}

/** Starts a helper that calls a function of the program, in a frame of its own. False: it calls none. */
export function startCallback(
  m: Machine,
  frame: number,
  { callable, id, words: w }: Plan,
  { start }: Callback,
): boolean {
  const { u32, regs: r } = m;
  // What other runs have left in there is not for this one to see.
  u32.fill(0, (frame + FRAME_RESULT) >>> 2, (frame + FRAME_STATE) >>> 2);
  m.i32[(frame + FRAME_PLAN) >>> 2] = id < 0 ? ~kfuncTable.indexOf(callable) : id;
  return start(
    m.kernel,
    frame,
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
}

/** The end of such a helper: its frame goes, its result is r0. */
export function endCallback({ u32, regs, run }: Machine, frame: number): void {
  u32[(run + RUN_DEPTH) >>> 2]!--;
  u32[regs] = u32[(frame + FRAME_RESULT) >>> 2]!;
  u32[regs + 1] = u32[(frame + FRAME_RESULT + 4) >>> 2]!;
}

/** r1 .. r5 of the function that the helper calls next. */
export function putCallbackArguments({ u32, regs }: Machine, frame: number): void {
  const args = (frame + FRAME_ARGS) >>> 2;
  for (let i = 0; i < ARG_WORDS; i++) u32[regs + 2 + i] = u32[args + i]!;
}
