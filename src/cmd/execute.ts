/**
 * Runs instructions that are no program of any kind: r1 is memory of theirs, r2 its length. They may do what RFC 9669
 * says; beyond it they may call what programs of every kind may. Where Linux refuses what the RFC gives a meaning - to
 * divide by an immediate 0, to shift by too much, instructions that nothing reaches - the RFC holds.
 */
import type { ContextFamily } from "../contexts/table.ts";
import { decodeInsns, INSN_SIZE, validateProgram } from "../insn/index.ts";
import { addressedFunctions, functionStarts, MAX_INSNS } from "../insn/validate.ts";
import { run as interpret } from "../jit/run.ts";
import { acquireRun, releaseRun } from "../kern/cpus.ts";
import type { Kernel } from "../kern/kernel.ts";
import { allocProg, DIGEST_SIZE, PROG_GPL, PROG_INSNS, setProgMaps, setProgSubprogs } from "../kern/prog.ts";
import { HELD_WRITABLE, hold, RUN_EXITED, RUN_FAULTED, RUN_PROG } from "../kern/run_record.ts";
import { alloc, free } from "../mem/alloc.ts";
import { E2BIG, EFAULT, ENOMEM, ETIMEDOUT } from "../uapi/index.ts";
import { describeFault } from "../vm/fault.ts";
import { begin, Machine } from "../vm/machine.ts";
import { checkCalls } from "./prog_calls.ts";
import { type Refs, resolveImmediates } from "./prog_refs.ts";

export interface Executed {
  /** 0 or a negative errno: -EINVAL refused, -EFAULT a fault, -ETIMEDOUT the budget is spent. */
  readonly errno: number;
  /** Why, in lines; empty when it went well. */
  readonly log: string;
  readonly r0: bigint;
}

/** No context, no packet, no kind: PROG_LOAD knows nothing of it. */
const bare: ContextFamily = {
  size: 0,
  access: () => false,
  helpers: [],
  packetLoads: false,
  sleepable: false,
};
const R0_R1 = 2;

/** `memory` is read, and holds at the end what the program made of it. */
export function execute(kernel: Kernel, code: Uint8Array, memory: Uint8Array): Executed {
  const count = code.length / INSN_SIZE;
  if (count === 0 || count > MAX_INSNS) return failed(-E2BIG, `${count} instructions: expected 1 to ${MAX_INSNS}`);
  const prog = allocProg(kernel.mem, count);
  if (prog === 0) return failed(-ENOMEM, "out of memory");
  const bytes = memory.length === 0 ? 0 : alloc(kernel.mem, memory.length);
  try {
    if (memory.length > 0 && bytes === 0) return failed(-ENOMEM, "out of memory");
    const refused = judge(kernel, prog, code);
    if (refused !== undefined) return refused;
    kernel.mem.u8.set(memory, bytes);
    const executed = runOn(kernel, prog, bytes, memory.length);
    memory.set(kernel.mem.u8.subarray(bytes, bytes + memory.length));
    return executed;
  } finally {
    if (bytes !== 0) free(kernel.mem, bytes, memory.length);
    kernel.discard(prog);
  }
}

function failed(errno: number, log: string): Executed {
  return { errno, log, r0: 0n };
}

/** Makes the program of the code, or says why not. */
function judge(kernel: Kernel, prog: number, bytes: Uint8Array): Executed | undefined {
  const { mem } = kernel;
  const code = mem.u32[(prog + PROG_INSNS) >>> 2]!;
  mem.u8.set(bytes, code);
  mem.u32[(prog + PROG_GPL) >>> 2] = 1;
  const insns = decodeInsns(bytes);
  const fault = validateProgram(insns, "rfc9669");
  if (fault !== undefined) return failed(fault.errno, `${fault.insn}: ${fault.message}`);
  const said: string[] = [];
  const log = (line: string): void => {
    said.push(line);
  };
  const refs: Refs = { kernel, insns, code, digest: new Uint8Array(DIGEST_SIZE), fdArray: 0, maps: [], btfs: [], log };
  const errno = resolveImmediates(refs) || checkCalls(refs, { type: 0, family: bare, attachType: 0, flags: 0 }, true);
  const taken =
    errno === 0 &&
    setProgSubprogs(mem, prog, functionStarts(insns), addressedFunctions(insns)) &&
    setProgMaps(kernel, prog, refs.maps);
  if (taken) return undefined;
  for (const map of refs.maps) kernel.put(map);
  return failed(errno || -ENOMEM, said.join("\n"));
}

function runOn(kernel: Kernel, prog: number, memory: number, size: number): Executed {
  const run = acquireRun(kernel, kernel.cpu);
  if (run < 0) return failed(run, "no CPU to run on");
  try {
    const { u32 } = kernel.mem;
    u32[(run + RUN_PROG) >>> 2] = prog;
    if (size > 0 && !hold(kernel.mem, run, HELD_WRITABLE, 0, memory, size)) return failed(-ENOMEM, "out of memory");
    const m = new Machine(kernel, run);
    begin(m, kernel.runBudget);
    u32[m.regs + R0_R1] = memory;
    u32[m.regs + R0_R1 + 2] = size;
    const status = interpret(m);
    if (status === RUN_EXITED) {
      return { errno: 0, log: "", r0: (BigInt(u32[m.regs + 1]!) << 32n) | BigInt(u32[m.regs]!) };
    }
    const { what, insn, code } = describeFault(kernel, run);
    return failed(status === RUN_FAULTED ? -EFAULT : -ETIMEDOUT, `instruction ${insn}, ${code}: ${what}`);
  } finally {
    kernel.ending = run;
    releaseRun(kernel, run);
  }
}
