/**
 * How a map type puts an operation into compiled programs: it emits WebAssembly for one map, so that what it knows of its
 * layout stands in one file. Kernel counterpart: `map_gen_lookup`.
 */
import type { Memory } from "../mem/memory.ts";
import type { Code } from "../wasm/code.ts";

/** A call of a helper, as the type that emits it sees it. */
export interface GenCall {
  readonly code: Code;
  readonly mem: Memory;
  readonly map: number;
  /** Locals (i32) with the arguments behind the map, in the order of the helper's function: a u64 is two. They may be changed. */
  readonly args: readonly number[];
  /** Puts the run's virtual CPU on the stack. */
  cpu(): void;
  /** Calls the helper's own function with the arguments as they are now, and puts its result on the stack. */
  callHelper(): void;
}

/** Memory arguments were proved for their whole length. Leaves the helper's result on the stack, an i32. */
export interface MapGen {
  /** At every call; else one function of the module for all calls with this map. */
  readonly inline: boolean;
  emit(call: GenCall): void;
}

/** The same for helpers that go with one type of map, and emit their code themselves: what they hold stands in the run's record. */
export interface HelperGenCall extends GenCall {
  /** Local (i32) with the address of the run's record. */
  readonly run: number;
  /** `ringWake` of the ring whose address is on the stack. */
  wakeRing(): void;
}

export interface HelperGen {
  readonly inline: boolean;
  emit(call: HelperGenCall): void;
}

/** What is there when nothing is known of the arguments. */
export type AttemptCall = Pick<HelperGenCall, "code" | "mem" | "run" | "args" | "wakeRing">;

/**
 * Code that judges the call's arguments by itself, all of which it has as two locals each. Leaves 1 on the stack, or 0
 * where it has done nothing: then the call is made with all checks. The helper's result is 0.
 */
export type Attempt = (call: AttemptCall) => void;
