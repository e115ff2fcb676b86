/**
 * What can be told of runs, instruction by instruction. A client has at most one observer, kept beside its kernel: where
 * there is none, a run costs nothing more.
 */
import type { ListingSource } from "../insn/index.ts";

/** A loaded program: what its instructions say, where they come from, and what they refer to. */
export interface ProgramCode extends ListingSource {
  readonly id: number;
  /** Up to 15 characters; the functions have their whole names. */
  readonly name: string;
  /** Hash of the instructions, 16 hexadecimal digits. */
  readonly tag: string;
}

export type RunState = "running" | "exited" | "faulted" | "spent";

/** A run as it stands. Good only while an observer is called: afterwards it is another instruction's. */
export interface ObservedRun {
  /** The program that the instruction belongs to: after a tail call another one than at the beginning. */
  readonly program: ProgramCode;
  /** The instruction: the one that comes next, or in `after` the one that was executed. */
  readonly index: number;
  /** Calls of functions and callbacks that are open. In `after`: once the instruction was executed. */
  readonly depth: number;
  /** In `after`: the program and the instruction that come next. */
  readonly nextProgram: ProgramCode;
  readonly nextIndex: number;
  readonly state: RunState;
  /** r0 to r10: low and high halves in turn, a live view. */
  readonly registers: Uint32Array;
  /** What lies at an address, in words: `its stack, byte 504 of 512`. */
  where(address: number, size: number): string;
  /** Of a run that has ended: why, when it did not exit; else empty. */
  readonly fault: string;
}

/**
 * Called in the middle of a run: it must not call the host. What it throws ends the run as a fault would, and reaches
 * whoever started the run.
 */
export interface RunObserver {
  begin?(run: ObservedRun): void;
  /** An instruction is about to be executed. */
  before?(run: ObservedRun): void;
  /** It was executed, or has faulted. */
  after?(run: ObservedRun): void;
  end?(run: ObservedRun): void;
}
