/** bpf_throw: all functions that are open end, and with them the program. */
import { RUN_DEPTH, RUN_EXITED, STACK_FRAME } from "../kern/run_record.ts";
import type { Machine } from "./machine.ts";

/** Index of r10's low half from r0's. */
const FRAME_POINTER = 20;

/** The program returns high:low. What the run holds goes with it, as at any end. */
export function throwOut(m: Machine, low: number, high: number): void {
  const { u32, regs } = m;
  u32[(m.run + RUN_DEPTH) >>> 2] = 0;
  u32[regs + FRAME_POINTER] = m.stackTop;
  m.stackLow = m.stackTop - STACK_FRAME;
  u32[regs] = low;
  u32[regs + 1] = high;
  m.status = RUN_EXITED;
}
