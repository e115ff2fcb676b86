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
import type { StackObjectKind } from "../kern/stack_objects.ts";
import type { Attempt, HelperGen, KnownGen, TurnsCall } from "../struct/gen.ts";
import type { Expr64 } from "../wasm/expr.ts";

/**
 * - `ctx`: the context; `map`: one of the program's maps that goes with the helper
 * - `key`, `value`: memory to read of the map's key_size, value_size; `valueOut`: memory to write of value_size (to read,
 *   where a lookup of the map's type reads the value)
 * - `mem`, `memOut`: memory to read, to write, whose size is the next argument; `memOrNull`, `memOutOrNull`: or NULL with
 *   size 0
 * - `size`: at least 1; `sizeOrZero`; `record`: a ring record that the run has reserved
 * - `socket`: a struct bpf_sock of the context or of a lookup; `lookedUp`: one of a lookup; `ctxOrNull`, `socketOrNull`
 * - `callback`: a function of the program; the number is the index of its first instruction
 * - `cstring`: text that ends in a NUL
 * - `fixed`: memory of so many bytes to read or write; `stack`: of so many bytes on the stack, aligned to 8,
 *   where the call sets up an object of the kind `sets`
 * - `buffer`: NULL, or memory to write whose size is the next argument
 * - `object`: an object of a kind of `kern/stack_objects.ts`, set up on the stack
 * - `field`: a special field of a kind of `btf/special_fields.ts`, in a value of a map
 * - `u32`, `u64`: any number, also an address that is not to be trusted
 */
export type HelperArg =
  | "ctx"
  | "ctxOrNull"
  | "map"
  | "key"
  | "value"
  | "valueOut"
  | "mem"
  | "memOut"
  | "memOrNull"
  | "memOutOrNull"
  | "buffer"
  | "size"
  | "sizeOrZero"
  | "record"
  | "socket"
  | "socketOrNull"
  | "lookedUp"
  | "callback"
  | "cstring"
  | "u32"
  | "u64"
  | { readonly fixed: number; readonly write: boolean }
  | { readonly stack: number; readonly sets?: StackObjectKind }
  | { readonly object: StackObjectKind }
  | { readonly field: number };

/**
 * How r0 follows from what the function returns: `errno` is sign-extended, `u32` and `pointer` are zero-extended.
 * `program`: the run goes on in that program; behind the call when it is 0. `throw`: all functions end, and the program
 * returns r1.
 */
export type HelperResult = "errno" | "u32" | "u64" | "pointer" | "void" | "program" | "throw";

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

/**
 * A helper that calls a function of the program: the interpreter opens a frame, whose address both get. True: the function
 * whose index stands in FRAME_CALLBACK runs with r1 .. r5 from FRAME_ARGS. False: the helper returns FRAME_RESULT.
 */
export interface Callback {
  readonly start: (
    kernel: Kernel,
    frame: number,
    ...args: Parameters<HelperFn> extends [Kernel, ...infer A] ? A : never
  ) => boolean;
  /** The function returned high:low. */
  readonly next: (kernel: Kernel, frame: number, low: number, high: number) => boolean;
  readonly gen?: TurnsGen;
}

/** The same as code of compiled programs. */
export interface TurnsGen {
  /** What the code calls. */
  readonly functions: Readonly<Record<string, (kernel: Kernel, a: number, b: number) => number>>;
  /** Emits statements, and returns what the helper returns. */
  emit(call: TurnsCall): Expr64;
}

/** What helpers and kernel functions have in common. */
export interface Callable {
  readonly name: string;
  /** First Linux release that has it. */
  readonly since: string;
  readonly args: readonly HelperArg[];
  readonly result: HelperResult;
  /** Instead of `fn`. */
  readonly callback?: Callback;
  readonly fn?: HelperFn;
  /** Code for compiled programs, where it is not the map's type that has it: of all calls with one map, or of all calls. */
  readonly gen?: HelperGen;
  /** What it does at every call, and where something is known of the arguments. */
  readonly attempt?: Attempt;
  readonly known?: KnownGen;
}

export interface Helper extends Callable {
  /** Only programs with a GPL-compatible licence may call it. */
  readonly gplOnly: boolean;
  /** Only sleepable programs may call it. */
  readonly mightSleep?: boolean;
}

/** A function that the kernel shows to programs by its name, not by a number. Its programs are GPL-compatible. */
export interface Kfunc extends Callable {
  /** Kinds of programs (BPF_PROG_TYPE_*) that may call it; undefined: all that may call kernel functions. */
  readonly programs?: readonly number[];
  /** May wait: for programs that may do so too. */
  readonly sleepable?: boolean;
}
