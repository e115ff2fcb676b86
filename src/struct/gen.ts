/**
 * How a map type puts an operation into compiled programs: it emits WebAssembly for one map, so that what it knows of its
 * layout stands in one file. Kernel counterpart: `map_gen_lookup`.
 */
import type { Memory } from "../mem/memory.ts";
import type { Code } from "../wasm/code.ts";
import type { Expr32, Local32, Operand32 } from "../wasm/expr.ts";

/** A call of a helper, as the type that emits it sees it. */
export interface GenCall {
  readonly code: Code;
  readonly mem: Memory;
  /** The map, or the template that it is like. */
  readonly map: number;
  /** The map's address. */
  readonly at: Expr32;
  /** A field of the map's own descriptor: of a map that is known a constant, which all that is emitted for it may use. */
  field(offset: number): Operand32;
  /** Whether the run holds a reference to the object at this address: not 0. */
  holds(object: Local32): Expr32;
  /** The arguments behind the map, in the order of the helper's function: a u64 is two. They may be changed. */
  readonly args: readonly Local32[];
  /** The run's virtual CPU. */
  readonly cpu: Expr32;
  /** What the helper's own function returns: calls it, with the arguments as they are then. */
  readonly helper: Expr32;
}

/** Memory arguments were proved for their whole length. Emits statements, and returns what the helper returns. */
export interface MapGen {
  /** At every call; else one function of the module for all calls with this map. */
  readonly inline: boolean;
  emit(call: GenCall): Operand32;
}

/** The same for helpers that go with one type of map, and emit their code themselves: what they hold stands in the run's record. */
export interface HelperGenCall extends GenCall {
  /** Address of the run's record. */
  readonly run: Local32;
  /** `ringWake`. */
  wakeRing(ring: Operand32): void;
}

export interface HelperGen {
  readonly inline: boolean;
  emit(call: HelperGenCall): Operand32;
}

/** What is there when nothing is known of the arguments. */
export type AttemptCall = Pick<HelperGenCall, "code" | "mem" | "run" | "args" | "wakeRing">;

/**
 * Code that judges the call's arguments by itself, all of which it has as two locals each. Returns 1, or 0 where it has
 * done nothing: then the call is made with all checks. The helper's result is 0.
 */
export type Attempt = (call: AttemptCall) => Operand32;
