/**
 * A machine is one client's view of a run: the run record in linear memory holds registers, frames and bounds, and this
 * object what the interpreter needs at every instruction. `save` writes back the rest, so that between two steps the
 * record alone says where the run stands.
 */
import type { Kernel } from "../kern/kernel.ts";
import { PROG_ARENA, PROG_INSNS } from "../kern/prog.ts";
import {
  FRAME_TURNS,
  noteFault,
  RUN_CTX,
  RUN_CURRENT,
  RUN_DEPTH,
  RUN_FAULTED,
  RUN_FRAMES,
  RUN_PC,
  RUN_PROG,
  RUN_REGS,
  RUN_RUNNING,
  RUN_STACK_TOP,
  RUN_STATUS,
  RUN_TAIL_CALLS,
  STACK_FRAME,
} from "../kern/run_record.ts";
import type { Memory } from "../mem/memory.ts";

/** Turns of may_goto loops in one frame, as in the kernel's interpreter. */
export const MAY_GOTO_TURNS = 0x80_0000;

export class Machine {
  readonly kernel: Kernel;
  readonly mem: Memory;
  readonly u32: Uint32Array;
  readonly i32: Int32Array;
  /** The run record. */
  readonly run: number;
  /** Index in `u32` of r0's low half; register n lies 2 n further on. */
  readonly regs: number;
  /** Index in `u32` of the first instruction. */
  code: number;
  prog: number;
  /** The next instruction. */
  pc: number;
  status: number;
  /** Instructions that may still be executed. */
  budget: number;
  /** What may be touched of the stack: all frames that are open. */
  readonly stackTop: number;
  stackLow: number;
  /** The program's arena, or 0. */
  arena: number;
  /** The frame whose exit ends the run: compiled code goes on from there. */
  floor = 0;
  /** The map that the last access of a value went to: the program may use it. */
  lastMap = 0;

  constructor(kernel: Kernel, run: number) {
    const { mem } = kernel;
    this.kernel = kernel;
    this.mem = mem;
    this.u32 = mem.u32;
    this.i32 = mem.i32;
    this.run = run;
    this.regs = (run + RUN_REGS) >>> 2;
    this.prog = mem.u32[(run + RUN_CURRENT) >>> 2]! || mem.u32[(run + RUN_PROG) >>> 2]!;
    this.code = mem.u32[(this.prog + PROG_INSNS) >>> 2]! >>> 2;
    this.arena = mem.u32[(this.prog + PROG_ARENA) >>> 2]!;
    this.pc = mem.u32[(run + RUN_PC) >>> 2]!;
    this.status = mem.u32[(run + RUN_STATUS) >>> 2]!;
    this.budget = 0;
    this.stackTop = mem.u32[(run + RUN_STACK_TOP) >>> 2]!;
    this.stackLow = this.stackTop - (mem.u32[(run + RUN_DEPTH) >>> 2]! + 1) * STACK_FRAME;
  }
}

/** r0 .. r9 */
const REGISTER_WORDS = 20;

/** The registers as every program finds them, also by a tail call: r1 the context, the others but r10 zero. */
export function firstRegisters({ u32, run, regs }: Machine): void {
  for (let i = 0; i < REGISTER_WORDS; i++) u32[regs + i] = 0;
  u32[regs + 2] = u32[(run + RUN_CTX) >>> 2]!;
}

/** Sets a run up at the program's first instruction: r1 the context, r10 the end of the stack. */
export function begin(m: Machine, budget: number): void {
  const { u32, run, regs } = m;
  firstRegisters(m);
  u32[regs + 20] = m.stackTop;
  u32[regs + 21] = 0;
  u32[(run + RUN_DEPTH) >>> 2] = 0;
  u32[(run + RUN_TAIL_CALLS) >>> 2] = 0;
  u32[(run + RUN_FRAMES + FRAME_TURNS) >>> 2] = MAY_GOTO_TURNS;
  rewind(m, u32[(run + RUN_PROG) >>> 2]!, budget);
  u32[(run + RUN_CURRENT) >>> 2] = m.prog;
  save(m);
}

/** What `begin` does with the machine alone. */
export function rewind(m: Machine, prog: number, budget: number): void {
  readFrom(m, prog);
  m.stackLow = m.stackTop - STACK_FRAME;
  m.pc = 0;
  m.status = RUN_RUNNING;
  m.budget = budget;
}

/** From now on the instructions are those of this program, which the run holds. */
export function goOnIn(m: Machine, prog: number): void {
  readFrom(m, prog);
  m.u32[(m.run + RUN_CURRENT) >>> 2] = prog;
}

function readFrom(m: Machine, prog: number): void {
  m.prog = prog;
  m.code = m.u32[(prog + PROG_INSNS) >>> 2]! >>> 2;
  m.arena = m.u32[(prog + PROG_ARENA) >>> 2]!;
  m.lastMap = 0;
}

/** Brings the run record up to date with what the machine keeps beside it. */
export function save(m: Machine): void {
  m.u32[(m.run + RUN_PC) >>> 2] = m.pc;
  m.u32[(m.run + RUN_STATUS) >>> 2] = m.status;
}

/**
 * Ends the run at the instruction under way: the access of `size` bytes at high:low, or argument `arg` of a helper, is
 * wrong in the way `kind` says. See fault.ts for the words.
 */
export function fault(
  m: Machine,
  kind: number,
  low: number,
  high: number,
  size: number,
  write: boolean,
  arg: number,
): void {
  noteFault(m.mem, m.run, kind, low, high, size, write, arg);
  m.status = RUN_FAULTED;
  m.pc--;
}
