/**
 * How a map type puts an operation into compiled programs: it emits WebAssembly for one map, so that what it knows of its
 * layout stands in one file. Kernel counterpart: `map_gen_lookup`.
 */
import type { Memory } from "../mem/memory.ts";
import type { Code } from "../wasm/code.ts";
import type { Expr32, Expr64, Local32, Local64, Operand32, Operand64 } from "../wasm/expr.ts";

/** An operation on a map, as the type that emits it sees it. */
export interface ElementCall {
  readonly code: Code;
  readonly mem: Memory;
  /** The map, or the template that it is like. */
  readonly map: number;
  /** The map's address. */
  readonly at: Expr32;
  /** A field of the map's own descriptor: of a map that is known a constant, which all that is emitted for it may use. */
  field(offset: number): Operand32;
  /** The arguments behind the map, in the order of the operation's function: a u64 is two. They may be changed. */
  readonly args: readonly Local32[];
  /**
   * What the operation's own function returns: calls it, with the arguments as they are then. Of commands LEFT: all is
   * done in TypeScript. Nothing must have been done before.
   */
  readonly helper: Expr32;
}

/** No result of a command. */
export const LEFT = 1;

/**
 * LOOKUP, UPDATE or DELETE of one element from user space, on a map that is found at run time and like a template: its
 * type, sizes and flags are the template's, and its values have no special fields. The key and the value lie in memory
 * that is not the map's, and the key does not change meanwhile. What is returned is 0 or an errno, or LEFT.
 */
export type ElementGen = (call: ElementCall) => Operand32;

/** A call of a helper. */
export interface GenCall extends ElementCall {
  /** Whether the run holds a reference to the object at this address: not 0. */
  holds(object: Local32): Expr32;
  /** The run's virtual CPU. */
  readonly cpu: Expr32;
}

/**
 * Memory arguments were proved for their whole length. Emits statements, and returns what the helper returns. Of
 * bpf_for_each_map_elem it is `map_for_each`: its arguments are the walk's state and where the key goes.
 */
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
export interface AttemptCall extends Pick<HelperGenCall, "code" | "mem" | "run" | "args" | "wakeRing"> {
  /** The entry of the object on the stack that the call is about, or 0: where the call is known that has set it up. */
  readonly object: Local32 | undefined;
}

/**
 * Code that judges the call's arguments by itself, all of which it has as two locals each. Returns what the helper returns,
 * or UNDONE where it has done nothing: then the call is made with all checks.
 */
export type Attempt = (call: AttemptCall) => Operand32;
/** Numbers without a sign; both ends are in it. */
export interface Range {
  readonly min: number;
  readonly max: number;
}

/** A byte of a value of the map: how far into the value. */
export interface ValuePlace {
  readonly map: number;
  readonly offset: number;
}

/** What is known of r1 .. r5 before a call. */
export interface Known {
  /** A number of at most 2^53 - 1; undefined: it may be anything. */
  range(register: number): Range | undefined;
  /** Whether the register holds the context's address. */
  isContext(register: number): boolean;
  /** Whether it holds the address of a word on the stack: a multiple of 8 from r10. */
  isStackWord(register: number): boolean;
  /** Where in a value of one of the program's maps, which may be written, the register points; undefined: it is not known. */
  value(register: number): ValuePlace | undefined;
  /** Whether the helper may read, or write, so many bytes from there on. */
  memory(register: number, size: number, write: boolean): boolean;
}

/** Code for one call of which so much is known; undefined: that is too little for any. */
export type KnownGen = (mem: Memory, known: Known) => Attempt | undefined;

/** Neither an address nor 0. */
export const UNDONE = -1;

/** A call of a helper that calls a function of the program, again and again, when it is known which one. */
export interface TurnsCall {
  readonly code: Code;
  /** 0: the helper has none. */
  readonly map: number;
  /** r1 .. r5. */
  readonly args: readonly Local64[];
  /** What the function returns: calls it with these arguments, the others 0. */
  turn(...args: readonly Operand64[]): Expr64;
  /**
   * Of helpers that walk over a map whose type has code for it: the next value, its key copied; 0: there is none.
   * `helper`: the same in TypeScript.
   */
  readonly next: ((walk: Local32, key: Local32, helper: Expr32) => Operand32) | undefined;
  /** What one of the helper's own functions returns: calls it, with the kernel in front. */
  call(name: string, a: Operand32, b: Operand32): Expr32;
}
