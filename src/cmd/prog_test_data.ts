/** What all kinds of test runs share: attributes in and out, and the run itself. Kernel counterpart: net/bpf/test_run.c. */

import { run as execute } from "../jit/run.ts";
import { acquireRun, releaseRun } from "../kern/cpus.ts";
import { FAULT_DEPTH, FAULT_NO_MEMORY, FAULT_SIZE } from "../kern/fault_kinds.ts";
import type { Kernel } from "../kern/kernel.ts";
import { progStream } from "../kern/prog.ts";
import { dropHeld, RUN_EXITED, RUN_FAULTED, RUN_HELD_COUNT, RUN_PROG } from "../kern/run_record.ts";
import { NO_EVENTS } from "../kern/scene.ts";
import { writeStream } from "../kern/stream.ts";
import { BPF_STDERR, bpf_attr, E2BIG, EFAULT, ENOSPC, ETIMEDOUT } from "../uapi/index.ts";
import { describeFault } from "../vm/fault.ts";
import { begin, Machine } from "../vm/machine.ts";
import { pointerAt, putU32 } from "./attr.ts";

const { test } = bpf_attr;
/** A duration is a u32 of nanoseconds. */
export const DURATION_MAX = 0xffff_ffff;
const CTX_MAX = 4096;
/** What stops a run with no address to it. 0: its budget is spent. */
const kindsWithoutAddress: ReadonlySet<number> = new Set([0, FAULT_DEPTH, FAULT_SIZE, FAULT_NO_MEMORY]);

/** A test run under way. */
export interface TestRun {
  readonly kernel: Kernel;
  readonly prog: number;
  readonly attr: number;
  readonly uattr: number;
}

/** A u32 field of the attributes. */
export function testField(run: TestRun, field: { readonly offset: number }): number {
  return run.kernel.mem.u32[(run.attr + field.offset) >>> 2]!;
}

/**
 * The context that the caller gave, in a record of `size` bytes, zero where it is shorter. Undefined: no context is
 * wanted, neither in nor out; an errno: it cannot be read, or says more than is known.
 */
export function takeContext(run: TestRun, size: number): DataView | number | undefined {
  const { kernel, attr } = run;
  const from = pointerAt(kernel, attr + test.ctx_in.offset);
  if (from === 0 && pointerAt(kernel, attr + test.ctx_out.offset) === 0) return undefined;
  const record = new Uint8Array(size);
  const length = testField(run, test.ctx_size_in);
  if (length > CTX_MAX) return -E2BIG;
  if (!kernel.userOk(from, length, false)) return -EFAULT;
  const { u8 } = kernel.mem;
  for (let i = from + size; i < from + length; i++) if (u8[i] !== 0) return -E2BIG;
  record.set(u8.subarray(from, from + Math.min(length, size)));
  return new DataView(record.buffer);
}

/** Gives the context back. 0, -ENOSPC when there was room for a part only (wherever that is), or -EFAULT. */
export function giveContext(run: TestRun, context: DataView | undefined): number {
  const { kernel, attr, uattr } = run;
  const to = pointerAt(kernel, attr + test.ctx_out.offset);
  if (context === undefined || to === 0) return 0;
  const record = new Uint8Array(context.buffer);
  const n = Math.min(record.length, testField(run, test.ctx_size_out));
  const short = n < record.length;
  if (!kernel.userOk(to, n, true)) return short ? -ENOSPC : -EFAULT;
  kernel.mem.u8.set(record.subarray(0, n), to);
  const bad = putU32(kernel, uattr + test.ctx_size_out.offset, record.length);
  return short ? -ENOSPC : bad;
}

export interface TestResult {
  readonly retval: number;
  /** Nanoseconds of one run, on average. */
  readonly duration: number;
  /** The packet after the last run: its part in one piece, then the rest. */
  readonly data: number;
  readonly linear: number;
  readonly frags: number;
  readonly fragsSize: number;
}

/**
 * Gives packet and results back. As in the kernel a size of 0 means all of it, what is cut is cut from the linear part,
 * and too little room is the answer even where nothing can be written.
 */
export function giveResult(run: TestRun, result: TestResult): number {
  const { kernel, attr, uattr } = run;
  const { mem } = kernel;
  const to = pointerAt(kernel, attr + test.data_out.offset);
  const room = testField(run, test.data_size_out);
  const size = result.linear + result.fragsSize;
  const n = room === 0 ? size : Math.min(size, room);
  const short = n < size;
  if (to !== 0) {
    const linear = n - result.fragsSize;
    if (linear < 0) return -ENOSPC;
    if (!kernel.userOk(to, n, true)) return short ? -ENOSPC : -EFAULT;
    mem.copy(to, result.data, linear);
    mem.copy(to + linear, result.frags, result.fragsSize);
  }
  const bad =
    putU32(kernel, uattr + test.data_size_out.offset, size) ||
    putU32(kernel, uattr + test.retval.offset, result.retval) ||
    putU32(kernel, uattr + test.duration.offset, result.duration);
  return short ? -ENOSPC : bad;
}

/** What one run, or several on the same context, are made of. */
export interface Runs {
  readonly kernel: Kernel;
  readonly prog: number;
  readonly cpu: number;
  readonly repeat: number;
}

/**
 * Runs the program with a fresh run record on a CPU: `prepare` sets context and packet up, `finish` is told r0 of the last
 * run and takes the results while the run is open; `between` two runs it is told r0 of the first. A run that faults ends
 * it with -EFAULT, one that spends its budget with -ETIMEDOUT; what happened goes to the program's stderr stream.
 */
export function runProgram(
  { kernel, prog, cpu, repeat }: Runs,
  prepare: (run: number) => number,
  finish: (run: number, retval: number, duration: number) => number,
  between: (run: number, retval: number) => void = () => {},
): number {
  const run = acquireRun(kernel, cpu);
  if (run < 0) return run;
  // A bug of ours that throws in here must not take the CPU with it.
  try {
    kernel.mem.u32[(run + RUN_PROG) >>> 2] = prog;
    kernel.scene.events = NO_EVENTS;
    kernel.scene.stopped = undefined;
    const bad = prepare(run);
    if (bad !== 0) return bad;
    // What lies around the context is there for all runs.
    const around = kernel.mem.u32[(run + RUN_HELD_COUNT) >>> 2]!;
    const m = new Machine(kernel, run);
    const start = kernel.stopwatch();
    let status = RUN_EXITED;
    for (let i = 0; i < repeat && status === RUN_EXITED; i++) {
      if (i > 0) {
        // What one run holds does not outlive it.
        dropHeld(kernel, run, around);
        between(run, m.u32[m.regs]!);
      }
      begin(m, kernel.runBudget);
      status = execute(m);
    }
    const elapsed = kernel.stopwatch() - start;
    if (status === RUN_EXITED) {
      return finish(run, m.u32[m.regs]!, Math.min(Math.floor(elapsed / repeat), DURATION_MAX));
    }
    return stopRun(kernel, run, status);
  } finally {
    kernel.ending = run;
    releaseRun(kernel, run);
  }
}

/** The run was stopped: its program's stderr stream and the scene hear of it. The errno. */
export function stopRun(kernel: Kernel, run: number, status: number): number {
  const { mem, scene } = kernel;
  const fault = describeFault(kernel, run);
  const prog = mem.u32[(run + RUN_PROG) >>> 2]!;
  writeStream(mem, progStream(prog, BPF_STDERR), new TextEncoder().encode(fault.text));
  const { insn, code, source, what, kind } = fault;
  const address = kindsWithoutAddress.has(kind) ? undefined : fault.address;
  scene.stopped = { insn, code, source, what, address };
  return status === RUN_FAULTED ? -EFAULT : -ETIMEDOUT;
}

/** As `runProgram`, on this client's CPU and as often as the attributes say. */
export function repeatRun(
  job: TestRun,
  prepare: (run: number) => number,
  finish: (run: number, retval: number, duration: number) => number,
  between?: (run: number, retval: number) => void,
): number {
  const { kernel, prog } = job;
  const repeat = Math.max(testField(job, test.repeat), 1);
  return runProgram({ kernel, prog, cpu: kernel.cpu, repeat }, prepare, finish, between);
}
