/**
 * What a helper is: name, prototype as data, and the function behind it. Interpreter, compiler, loader and verifier read
 * the prototype; who calls the function has checked its arguments by it.
 *
 * Calling convention: pointers, sizes and 32-bit scalars are one number, a u64 is two (low, high). The function returns
 * a 32-bit number that the prototype extends; of a u64 it returns the low half and leaves the high half in the run
 * record (RUN_RESULT_HIGH). All numbers may come as signed or unsigned: a function that does arithmetic on one, or uses
 * it as an address, takes it `>>> 0` first.
 */
import type { Kernel } from "../kern/kernel.ts";

/**
 * - `ctx`: the context; `map`: one of the program's maps that goes with the helper
 * - `key`, `value`: memory to read of the map's key_size, value_size; `valueOut`: memory to write of value_size (to read,
 *   where a lookup of the map's type reads the value)
 * - `mem`, `memOut`: memory to read, to write, whose size is the next argument; `memOrNull`: or NULL with size 0
 * - `size`: at least 1; `sizeOrZero`; `record`: a ring record that the run has reserved
 */
export type HelperArg =
  | "ctx"
  | "map"
  | "key"
  | "value"
  | "valueOut"
  | "mem"
  | "memOut"
  | "memOrNull"
  | "size"
  | "sizeOrZero"
  | "record"
  | "u32"
  | "u64";

/**
 * How r0 follows from what the function returns: `errno` is sign-extended, `u32` and `pointer` are zero-extended.
 * `program`: the run goes on in that program; behind the call when it is 0.
 */
export type HelperResult = "errno" | "u32" | "u64" | "pointer" | "void" | "program";

/** Ten numbers are what five arguments come to at most; a function names those it has. */
export type HelperFn = (
  kernel: Kernel,
  a: number,
  b: number,
  c: number,
  d: number,
  e: number,
  f: number,
  g: number,
  h: number,
  i: number,
  j: number,
) => number;

export interface Helper {
  readonly name: string;
  /** First Linux release that has it. */
  readonly since: string;
  /** Only programs with a GPL-compatible licence may call it. */
  readonly gplOnly: boolean;
  readonly args: readonly HelperArg[];
  readonly result: HelperResult;
  readonly fn: HelperFn;
}
