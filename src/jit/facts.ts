/** What the prover tells the emitter: see `prove/`. */
import type { Known } from "../struct/gen.ts";

/**
 * How a load, store or atomic instruction may reach its memory.
 *
 * - `proved`: the address is right
 * - `window`: it lies in the `size` bytes of the region `from` (the call that returned it, or -1 - its address where that is constant), or the interpreter goes on
 * - `stack`: it lies in this function's frame, or the interpreter goes on
 * - `context`: it lies in the context where that has at least `size` bytes in this run, or the interpreter goes on
 * - `check`: the exact check decides
 */
export interface Access {
  readonly how: "proved" | "window" | "stack" | "context" | "check";
  readonly from?: number;
  readonly size?: number;
}

/** What is known of r1 .. r5 before a call. */
export interface CallFacts extends Known {
  /** The map of the program whose handle the register holds; 0: none that is known. */
  map(register: number): number;
  /** The outer map of the program through which it came to the map in the register; 0: none that is known. */
  outer(register: number): number;
  /** The function of the program whose address the register holds, by its place there; -1: none that is known. */
  func(register: number): number;
  /** The call in this function that has set up the object of this kind where the register points; -1: none that is known. */
  object(register: number, kind: number): number;
}

export interface Facts {
  /** By the instruction's index. */
  readonly access: readonly (Access | undefined)[];
  /** By the index of a call. */
  readonly calls: readonly (CallFacts | undefined)[];
  /** By function: the lowest offset from r10 that can be touched, a multiple of 8 not below -512. */
  readonly stackDepth: readonly number[];
}
