/** Runs a program to its end: as compiled code where that can be, else, and where somebody watches, by the interpreter. */
import type { CompiledFunction, RanBy } from "../kern/compiled.ts";
import type { Kernel } from "../kern/kernel.ts";
import { RUN_BUDGET, RUN_EXITED } from "../kern/run_record.ts";
import { run as interpret } from "../vm/interp.ts";
import { type Machine, save } from "../vm/machine.ts";
import { compiledOf } from "./compile.ts";
import { enter, UNWIND } from "./runtime.ts";

export const COMPILED: RanBy = { engine: "jit", why: undefined };
const ASKED_FOR: RanBy = { engine: "interp", why: undefined };
const OBSERVED: RanBy = { engine: "interp", why: "it is observed, instruction by instruction" };

/** Runs to the end: exit, fault, or a budget that is spent. Returns the status; `scene.ranBy` says what ran it. */
export function run(m: Machine): number {
  const entry = entryOf(m.kernel, m.prog, m.pc);
  if (entry === undefined) return interpret(m);
  m.mem.writeU64(m.run + RUN_BUDGET, m.budget);
  return goThrough(m, entry);
}

/** The same by this code, where the run record has the budget already. */
export function goThrough(m: Machine, entry: CompiledFunction): number {
  try {
    enter(m, entry);
    m.status = RUN_EXITED;
  } catch (error) {
    if (error !== UNWIND) throw error;
  }
  save(m);
  return m.status;
}

/** The compiled code that a run begins in; undefined: the interpreter runs it. */
export function entryOf(kernel: Kernel, prog: number, pc: number): CompiledFunction | undefined {
  const { scene } = kernel;
  if (kernel.engine === "interp" || kernel.observer !== undefined) {
    scene.ranBy = kernel.engine === "interp" ? ASKED_FOR : OBSERVED;
    return undefined;
  }
  const { functions, why } = compiledOf(kernel, prog);
  const entry = functions.get(pc);
  scene.ranBy = entry === undefined ? { engine: "interp", why } : COMPILED;
  return entry;
}
