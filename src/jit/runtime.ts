/**
 * What compiled code calls: the interpreter's own checks, helpers and rare instructions, on the same run record. Whatever
 * ends a run throws `UNWIND`, which passes all functions of the program at once.
 */

import type { CompiledFunction } from "../kern/compiled.ts";
import { FAULT_DEPTH } from "../kern/fault_kinds.ts";
import type { Kernel } from "../kern/kernel.ts";
import {
  dropHeld,
  FRAME_CALLBACK,
  FRAME_HELPER,
  RUN_BUDGET,
  RUN_CURRENT,
  RUN_DEPTH,
  RUN_EXITED,
  RUN_RUNNING,
  RUN_STATUS,
  STACK_FRAME,
} from "../kern/run_record.ts";
import { ringWake } from "../struct/ring.ts";
import { accessAt } from "../vm/access.ts";
import type { Plan } from "../vm/call.ts";
import {
  argumentsOk,
  endCallback,
  enterProgram,
  helperFaulted,
  invoke,
  openFrame,
  planOfCall,
  putCallbackArguments,
  putResult,
  startCallback,
} from "../vm/call.ts";
import { throwOut } from "../vm/exception.ts";
import { step } from "../vm/interp.ts";
import { fault, firstRegisters, goOnIn, type Machine } from "../vm/machine.ts";
import { loadPacket } from "../vm/packet_loads.ts";
import { compiledOf } from "./compile.ts";
import type { JitProgram } from "./program.ts";
import type { WholeRun } from "./whole_run.ts";

/** Thrown to end a run; its machine says how. */
export const UNWIND: object = Object.freeze({});

/** The machine of the run that compiled code is in: the innermost one, of any host, since runs end in the reverse order. */
let machine: Machine | undefined;

/** Runs compiled code to its end, or until it throws. */
export function enter(m: Machine, entry: CompiledFunction): void {
  const outer = machine;
  machine = m;
  try {
    entry(m.run, m.stackTop);
  } finally {
    machine = outer;
  }
}

/** The same by a whole run's function. How that went. */
export function enterWhole(
  m: Machine,
  whole: WholeRun,
  fd: number,
  prog: number,
  id: number,
  length: number,
  from: number,
): number {
  const outer = machine;
  machine = m;
  try {
    return whole(fd, prog, id, length, from);
  } finally {
    machine = outer;
  }
}

/** Undoes what the run under way holds but for the oldest `kept`: maps that it reached by that are out of reach. */
export function letGo(kept: number): void {
  const m = machine!;
  dropHeld(m.kernel, m.run, kept);
  m.lastMap = 0;
}

/** What compiled code may call; its last argument is the program's `Caller`. */
export type RuntimeName = "access" | "single" | "helper" | "packet" | "deep" | "faulted" | "wakeRing" | "goOn";

/** A compiled program, as what it calls knows it. */
export interface Caller {
  readonly kernel: Kernel;
  readonly prog: number;
  readonly ops: JitProgram["ops"];
  readonly functions: ReadonlyMap<number, CompiledFunction>;
}

/** Goes on in the program of RUN_CURRENT, for a tail call. */
export function enterTarget(): void {
  const m = machine!;
  tailCall(m, m.u32[(m.run + RUN_CURRENT) >>> 2]!);
}

/** The machine, as if the interpreter had just fetched this instruction. */
function at(index: number, { prog }: Caller): Machine {
  const m = machine!;
  // Compiled code goes from program to program by itself.
  if (m.prog !== prog) goOnIn(m, prog);
  m.pc = index + 1;
  m.stackLow = m.stackTop - (m.u32[(m.run + RUN_DEPTH) >>> 2]! + 1) * STACK_FRAME;
  return m;
}

function access(low: number, high: number, index: number, caller: Caller): number {
  const m = at(index, caller);
  const { off, row } = caller.ops[index]!;
  const address = accessAt(m, low >>> 0, high, off, row.size, row.kind === "store");
  if (address === 0) throw UNWIND;
  return address;
}

function single(index: number, caller: Caller): number {
  const m = at(index, caller);
  m.pc = index;
  // Compiled code counts by itself.
  m.budget = 2;
  step(m, 1);
  if (m.status !== RUN_RUNNING) throw UNWIND;
  return 0;
}

function callBack(m: Machine, plan: Plan, caller: Caller): void {
  const { callback } = plan.callable;
  const { u32, run } = m;
  const frame = openFrame(m, FRAME_HELPER);
  if (frame === 0) throw UNWIND;
  const fp = m.stackTop - u32[(run + RUN_DEPTH) >>> 2]! * STACK_FRAME;
  let again = startCallback(m, frame, plan, callback!);
  for (;;) {
    if (helperFaulted(m)) throw UNWIND;
    if (!again) break;
    putCallbackArguments(m, frame);
    caller.functions.get(u32[(frame + FRAME_CALLBACK) >>> 2]!)!(run, fp);
    again = callback!.next(m.kernel, frame, u32[m.regs]!, u32[m.regs + 1]!);
  }
  endCallback(m, frame);
}

/** 1: the function ends, with what stands in r0. */
function helper(index: number, caller: Caller): number {
  const m = at(index, caller);
  const { src, imm } = caller.ops[index]!;
  const plan = planOfCall(src, imm);
  if (!argumentsOk(m, plan)) throw UNWIND;
  const { callback, result } = plan.callable;
  if (callback !== undefined) {
    callBack(m, plan, caller);
    return 0;
  }
  const value = invoke(m, plan);
  if (helperFaulted(m)) throw UNWIND;
  if (result === "program" && value !== 0) {
    tailCall(m, value);
    goOnIn(m, caller.prog);
    return 1;
  }
  if (result === "throw") {
    throwOut(m, m.u32[m.regs + 2]!, m.u32[m.regs + 3]!);
    throw UNWIND;
  }
  putResult(m, result, value);
  return 0;
}

function packet(index: number, caller: Caller): number {
  const m = at(index, caller);
  const { row, src, imm } = caller.ops[index]!;
  const offset = row.src === "read" ? (m.u32[m.regs + 2 * src]! + imm) | 0 : imm;
  const there = loadPacket(m, offset, row.size);
  if (m.status !== RUN_RUNNING) throw UNWIND;
  return there ? 1 : 0;
}

function deep(index: number, caller: Caller): never {
  fault(at(index, caller), FAULT_DEPTH, 0, 0, 0, false, 0);
  throw UNWIND;
}

/** A helper that was called straight has found the run to be at fault. */
function faulted(index: number, caller: Caller): never {
  helperFaulted(at(index, caller));
  throw UNWIND;
}

/** From this instruction on the interpreter executes the function. */
function goOn(index: number, caller: Caller): number {
  const m = at(index, caller);
  m.pc = index;
  interpretFrame(m, m.u32[(m.run + RUN_DEPTH) >>> 2]!);
  // It may have gone on in another program by a tail call.
  goOnIn(m, caller.prog);
  return 0;
}

function wakeRing(map: number, caller: Caller): number {
  ringWake(caller.kernel, map >>> 0);
  return 0;
}

export const runtime: Readonly<Record<RuntimeName, WebAssembly.ImportValue>> = {
  access,
  single,
  helper,
  packet,
  deep,
  faulted,
  wakeRing,
  goOn,
};

/** Goes on in another program, in the frame of the function that called it, until that ends. r0 is its result. */
function tailCall(m: Machine, prog: number): void {
  const { u32, run } = m;
  const depth = u32[(run + RUN_DEPTH) >>> 2]!;
  const entry = compiledOf(m.kernel, prog).functions.get(0);
  if (entry === undefined) {
    m.stackLow = m.stackTop - (depth + 1) * STACK_FRAME;
    enterProgram(m, prog);
    interpretFrame(m, depth);
  } else {
    goOnIn(m, prog);
    firstRegisters(m);
    entry(run, m.stackTop - depth * STACK_FRAME);
  }
}

/** The interpreter runs until the frame's function ends. */
function interpretFrame(m: Machine, depth: number): void {
  const { mem, run } = m;
  const { floor } = m;
  m.floor = depth;
  m.budget = mem.readU64(run + RUN_BUDGET);
  m.u32[m.regs + 20] = m.stackTop - depth * STACK_FRAME;
  step(m, m.budget);
  m.floor = floor;
  mem.writeU64(run + RUN_BUDGET, m.budget);
  if (m.status !== RUN_EXITED || m.u32[(run + RUN_DEPTH) >>> 2] !== depth) throw UNWIND;
  m.status = RUN_RUNNING;
  m.u32[(run + RUN_STATUS) >>> 2] = RUN_RUNNING;
}
