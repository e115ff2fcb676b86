/** Runs a program to its end: as compiled code where that can be, else, and where somebody watches, by the interpreter. */
import type { CompiledFunction, CompiledProgram, RanBy } from "../kern/compiled.ts";
import type { Kernel } from "../kern/kernel.ts";
import { RUN_BUDGET, RUN_EXITED } from "../kern/run_record.ts";
import { run as interpret } from "../vm/interp.ts";
import { type Machine, save } from "../vm/machine.ts";
import { compiledOf } from "./compile.ts";
import { enter, enterWhole, UNWIND } from "./runtime.ts";
import { OPEN, type WholeRun } from "./whole_run.ts";

export const COMPILED: RanBy = { engine: "jit", why: undefined };
const ASKED_FOR: RanBy = { engine: "interp", why: undefined };
const OBSERVED: RanBy = { engine: "interp", why: "it is observed, instruction by instruction" };

/** Runs to the end: exit, fault, or a budget that is spent. Returns the status; `scene.ranBy` says what ran it. */
export function run(m: Machine): number {
  const entry = entryOf(m.kernel, m.prog, m.pc);
  if (entry === undefined) return interpret(m);
  m.mem.writeU64(m.run + RUN_BUDGET, m.budget);
  try {
    enter(m, entry);
    m.status = RUN_EXITED;
  } catch (error) {
    if (error !== UNWIND) throw error;
  }
  save(m);
  return m.status;
}

/**
 * A whole run; the machine is at its beginning. Returns CLOSED, NOT_BEGUN, or OPEN: it has ended as the machine's status
 * says.
 */
export function runWhole(
  m: Machine,
  whole: WholeRun,
  fd: number,
  prog: number,
  id: number,
  length: number,
  from: number,
): number {
  try {
    const how = enterWhole(m, whole, fd, prog, id, length, from);
    if (how !== OPEN) return how;
    m.status = RUN_EXITED;
  } catch (error) {
    if (error !== UNWIND) throw error;
  }
  save(m);
  return OPEN;
}

/** The compiled code that a run begins in; undefined: the interpreter runs it. */
function entryOf(kernel: Kernel, prog: number, pc: number): CompiledFunction | undefined {
  return compiledFor(kernel, prog, pc)?.functions.get(pc);
}

/** The same for other modules, of a program as a whole: see `CompiledProgram`. */
export function startOf(kernel: Kernel, prog: number): WebAssembly.ExportValue | undefined {
  return compiledFor(kernel, prog, 0)?.start;
}

/** Undefined: the interpreter runs it. */
function compiledFor(kernel: Kernel, prog: number, pc: number): CompiledProgram | undefined {
  const { scene } = kernel;
  if (kernel.engine === "interp" || kernel.observer !== undefined) {
    scene.ranBy = kernel.engine === "interp" ? ASKED_FOR : OBSERVED;
    return undefined;
  }
  const compiled = compiledOf(kernel, prog);
  const { functions, why } = compiled;
  const has = functions.has(pc);
  scene.ranBy = has ? COMPILED : { engine: "interp", why };
  return has ? compiled : undefined;
}
