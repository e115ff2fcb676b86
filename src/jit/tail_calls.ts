/**
 * Tail calls between compiled programs: a table of entries by the id of the program, which each client has for itself. What
 * has not been compiled yet, or cannot be, is gone on in by JavaScript: its place holds a function that does so. The table
 * belongs to one module, whose function programs import: V8 keeps every module that imports a table as long as the table,
 * and a copy of the table for each.
 */
import type { TailCalls } from "../kern/compiled.ts";
import type { Kernel } from "../kern/kernel.ts";
import { RUN_BUDGET, RUN_REGS, RUN_STACK_TOP } from "../kern/run_record.ts";
import type { Memory } from "../mem/memory.ts";
import { Code, I32 } from "../wasm/code.ts";
import { Expr32, Local32, Local64, select } from "../wasm/expr.ts";
import { IMPORTS, MEMORY, ModuleBuilder, type Signature } from "../wasm/module.ts";
import { DROP } from "../wasm/opcodes.ts";
import { BUDGET, bpfFunction, FP, pushFirstArguments, RUN } from "./emitter.ts";

/** (run, fp, budget) → (r0, budget): goes on in the program of RUN_CURRENT, in the frame at fp. */
export const TAIL_ENTRY: Signature = bpfFunction(0);
const { params, results } = TAIL_ENTRY;
/** The same with the id of the program behind them. */
export const TAIL_CALL: Signature = { params: [...params, I32], results };
const GO_ON = "goOn";
const TABLE = "table";
const CALL = "call";
const FIRST_LENGTH = 1024;
/** Programs with ids from here on are gone on in by JavaScript. */
const MAX_LENGTH = 65_536;

/** `goOn`: goes on in the program of RUN_CURRENT; budget and r0 are in the run record. */
export function tailCallsOf(kernel: Kernel, goOn: () => void): TailCalls {
  kernel.tailCalls ??= new Tails(kernel, goOn);
  return kernel.tailCalls;
}

/** Entries are kept until the first program makes a tail call: only then the table is made. */
class Tails implements TailCalls {
  readonly #kernel: Kernel;
  readonly #goOn: () => void;
  readonly #entries = new Map<number, WebAssembly.ExportValue>();
  #made: Made | undefined;

  constructor(kernel: Kernel, goOn: () => void) {
    this.#kernel = kernel;
    this.#goOn = goOn;
  }

  get call(): WebAssembly.ExportValue {
    if (this.#made === undefined) {
      this.#made = make(this.#kernel, this.#goOn);
      for (const [id, entry] of this.#entries) put(this.#made, id, entry);
      this.#entries.clear();
    }
    return this.#made.call;
  }

  set(id: number, entry: WebAssembly.ExportValue): void {
    if (id >= MAX_LENGTH) return;
    if (this.#made === undefined) this.#entries.set(id, entry);
    else put(this.#made, id, entry);
  }

  forget(id: number): void {
    this.#entries.delete(id);
    if (this.#made !== undefined && id < this.#made.table.length) this.#made.table.set(id, this.#made.unknown);
  }
}

interface Made {
  readonly call: WebAssembly.ExportValue;
  readonly table: WebAssembly.Table;
  /** In the places of programs that are not in the table. */
  readonly unknown: WebAssembly.ExportValue;
}

function put({ table, unknown }: Made, id: number, entry: WebAssembly.ExportValue): void {
  const { length } = table;
  if (id >= length) table.grow(Math.max(length, id + 1 - length), unknown);
  table.set(id, entry);
}

function make(kernel: Kernel, goOn: () => void): Made {
  const exportOf = (
    bytes: Uint8Array<ArrayBuffer>,
    name: string,
    imports: WebAssembly.ModuleImports,
  ): WebAssembly.ExportValue => {
    const module = new WebAssembly.Module(bytes);
    const given = { [MEMORY]: kernel.mem.wasm, ...imports };
    return new WebAssembly.Instance(module, { [IMPORTS]: given }).exports[name]!;
  };
  const unknown = exportOf(goOnModule(kernel.mem), GO_ON, { [GO_ON]: goOn });
  const table = new WebAssembly.Table({ element: "anyfunc", initial: FIRST_LENGTH }, unknown);
  return { call: exportOf(callModule(kernel.mem), CALL, { [TABLE]: table }), table, unknown };
}

function goOnModule(mem: Memory): Uint8Array<ArrayBuffer> {
  const module = new ModuleBuilder();
  const goOn = module.importFunction(GO_ON, { params: [], results: [] });
  const func = module.declare(TAIL_ENTRY);
  const code = new Code(params.length);
  const run = new Local32(code, RUN);
  run.store64(RUN_BUDGET, new Local64(code, BUDGET));
  code.call(goOn);
  run.load64(RUN_REGS).push();
  run.load64(RUN_BUDGET).push();
  module.define(func, code);
  module.exportFunction(GO_ON, func);
  return module.bytes(mem.sharedPages);
}

function callModule(mem: Memory): Uint8Array<ArrayBuffer> {
  const module = new ModuleBuilder();
  module.importTable(TABLE);
  const func = module.declare(TAIL_CALL);
  const code = new Code(TAIL_CALL.params.length);
  const id = new Local32(code, params.length);
  for (const local of [RUN, FP, BUDGET]) code.get(local);
  const length = new Expr32(code, () => code.tableSize());
  // No program has the id 0: there the function that goes on in JavaScript stays.
  select(id.ltU(length), id, 0).push();
  code.returnCallIndirect(module.typeOf(TAIL_ENTRY));
  module.define(func, code);
  module.exportFunction(CALL, func);
  return module.bytes(mem.sharedPages);
}

/** Calls a program's start, for a run on this record that has begun, and sets `r0`. */
export function emitStart({ mem, runBudget }: Kernel, run: number, r0: Local64, start: number): void {
  const { code } = r0;
  code.i32(run);
  code.i32(mem.u32[(run + RUN_STACK_TOP) >>> 2]!);
  code.i64(runBudget | 0, Math.floor(runBudget / 2 ** 32));
  code.call(start);
  // What is left of the budget: who has spent it does not come back.
  code.op(DROP);
  code.set(r0.index);
}

/** The entry of a program whose first function has arguments, as others call it too. */
export function tailEntry(func: number, args: number): Code {
  const code = new Code(params.length);
  for (const local of [RUN, FP, BUDGET]) code.get(local);
  pushFirstArguments(code, args);
  code.returnCall(func);
  return code;
}
