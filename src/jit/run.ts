/** Runs a program to its end: as compiled code where that can be, else, and where somebody watches, by the interpreter. */
import { RUN_BUDGET, RUN_EXITED, RUN_SPENT } from "../kern/run_record.ts";
import { run as interpret } from "../vm/interp.ts";
import { type Machine, save } from "../vm/machine.ts";
import { compiledOf } from "./compile.ts";
import { currentOf, UNWIND } from "./runtime.ts";

/** Runs to the end: exit, fault, or a budget that is spent. Returns the status. */
export function run(m: Machine): number {
  const { kernel } = m;
  if (kernel.engine === "interp" || kernel.observer !== undefined) return interpret(m);
  const entry = compiledOf(kernel, m.prog).functions.get(m.pc);
  if (entry === undefined) return interpret(m);
  const { mem, i32 } = m;
  mem.writeU64(m.run + RUN_BUDGET, m.budget);
  const current = currentOf(kernel);
  const outer = current.m;
  current.m = m;
  try {
    entry(m.run, m.stackTop);
    m.status = i32[(m.run + RUN_BUDGET + 4) >>> 2]! < 0 ? RUN_SPENT : RUN_EXITED;
  } catch (error) {
    if (error !== UNWIND) throw error;
  } finally {
    current.m = outer;
  }
  save(m);
  return m.status;
}
