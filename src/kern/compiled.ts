/** Compiled programs as this layer keeps them: each client has its own, made when it first runs the program. */

export type Engine = "interp" | "jit";

/** What ran a program. */
export interface RanBy {
  readonly engine: Engine;
  /** Why the interpreter had to, on a host that compiles. */
  readonly why: string | undefined;
}

/** Runs one function of a program: arguments from r1 .. r5 of the run record, r0 back into it. `fp`: the end of its stack. */
export type CompiledFunction = (run: number, fp: number) => void;

/** Of each client: where tail calls go on, by the program's id. */
export interface TailCalls {
  /** What compiled programs import for it: made when the first one does. */
  readonly call: WebAssembly.ExportValue;
  set(id: number, entry: WebAssembly.ExportValue): void;
  /** The program is gone. */
  forget(id: number): void;
}

export interface CompiledProgram {
  /** Why the interpreter runs it instead; undefined: it is compiled. */
  readonly why: string | undefined;
  /** By its first instruction: the program itself, and the functions whose address it takes. */
  readonly functions: ReadonlyMap<number, CompiledFunction>;
  /**
   * For modules that import it: (run, fp, budget) → (r0, what is left of the budget). Runs the program from its first
   * instruction on, with its first registers. Those of the run record are not looked at.
   */
  readonly start: WebAssembly.ExportValue | undefined;
  /** Milliseconds that compiling took, and bytes of WebAssembly. */
  readonly milliseconds: number;
  readonly bytes: number;
}
