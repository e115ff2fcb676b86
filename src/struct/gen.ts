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
  /** Local (i32) with the address of the run's record. */
  readonly run: number;
  /** Puts the run's virtual CPU on the stack. */
  cpu(): void;
  /** `ringWake` of the ring whose address is on the stack. */
  wakeRing(): void;
  /** Calls the helper's own function with the arguments as they are now, and puts its result on the stack. */
  callHelper(): void;
}

/**
 * Code that judges the call's arguments by itself, all of which it has as two locals each. Leaves 1 on the stack, or 0
 * where it has done nothing: then the call is made with all checks. The helper's result is 0.
 */
export type Attempt = (call: Pick<GenCall, "code" | "mem" | "run" | "args" | "wakeRing">) => void;

/** Memory arguments were proved for their whole length. Leaves the helper's result on the stack, an i32. */
export interface MapGen {
  /** At every call; else one function of the module for all calls with this map. */
  readonly inline: boolean;
  emit(call: GenCall): void;
}
