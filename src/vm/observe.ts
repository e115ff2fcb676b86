/**
 * Runs that somebody watches: one instruction at a time, each told before and after. The interpreter's own loop knows
 * nothing of it.
 */
import type { ObservedRun, ProgramCode, RunObserver, RunState } from "../kern/observer.ts";
import { RUN_DEPTH, RUN_EXITED, RUN_FAULTED, RUN_RUNNING } from "../kern/run_record.ts";
import { describeFault, whatIsAt } from "./fault.ts";
import type { Machine } from "./machine.ts";
import { programCode } from "./program_code.ts";

/** r0 .. r10, two words each. */
const REGISTER_WORDS = 22;

/** One for each run, made anew with every instruction's place. */
class Observed implements ObservedRun {
  readonly #m: Machine;
  readonly registers: Uint32Array;
  program: ProgramCode;
  index = 0;
  /** The address behind `nextProgram`. */
  #prog: number;
  nextProgram: ProgramCode;
  nextIndex = 0;

  constructor(m: Machine) {
    this.#m = m;
    this.registers = m.u32.subarray(m.regs, m.regs + REGISTER_WORDS);
    this.#prog = m.prog;
    this.program = programCode(m.kernel, m.prog);
    this.nextProgram = this.program;
    this.nextIndex = m.pc;
    this.index = m.pc;
  }

  /** Before an instruction. */
  come(): void {
    this.program = this.nextProgram;
    this.index = this.nextIndex;
  }

  /** Once it was executed. */
  goOn(): void {
    const m = this.#m;
    if (m.prog !== this.#prog) {
      this.#prog = m.prog;
      this.nextProgram = programCode(m.kernel, m.prog);
    }
    this.nextIndex = m.pc;
  }

  get depth(): number {
    return this.#m.u32[(this.#m.run + RUN_DEPTH) >>> 2]!;
  }

  get state(): RunState {
    const { status } = this.#m;
    if (status === RUN_RUNNING) return "running";
    if (status === RUN_EXITED) return "exited";
    return status === RUN_FAULTED ? "faulted" : "spent";
  }

  where(address: number, size: number): string {
    return whatIsAt(this.#m.kernel, this.#m.run, address, size);
  }

  get fault(): string {
    const { state } = this;
    return state === "running" || state === "exited" ? "" : describeFault(this.#m.kernel, this.#m.run).text;
  }
}

/** As `run`, observed. `step` is the interpreter's. */
export function runObserved(m: Machine, observer: RunObserver, step: (m: Machine, limit: number) => void): void {
  const run = new Observed(m);
  observer.begin?.(run);
  while (m.status === RUN_RUNNING) {
    run.come();
    observer.before?.(run);
    step(m, 1);
    run.goOn();
    observer.after?.(run);
  }
  observer.end?.(run);
}
