/**
 * Runs that only embedded hosts have: of types for which the kernel has no BPF_PROG_TEST_RUN, and with what is around a
 * run given by the caller.
 */
import { InputError } from "../errors.ts";
import type { Host } from "../host/host.ts";
import type { Attachment, GivenMemory, Task } from "../kern/scene.ts";
import { ranOn } from "./engine.ts";
import { runTraits } from "./prog_types.ts";
import type { RunOptions, RunResult } from "./run.ts";

/** What is around a run. Only on embedded hosts; what is left out has a plain value. */
export interface Surroundings {
  /** Who runs: what bpf_get_current_pid_tgid and the like tell. */
  readonly task?: Partial<Task>;
  /**
   * Bytes at addresses of the kernel's (from 0xffff800000000000n on) or of user space: what bpf_probe_read_* and typed
   * pointers among `args` find there. Anything else is not there: -EFAULT for helpers, zero for loads. With `writable`,
   * programs may store there, and `bytes` has what they left.
   */
  readonly memory?: readonly GivenMemory[];
  /**
   * The struct bpf_sock behind the `sk` of the context. Default: zeros; none for sk_lookup; for types with a packet a
   * closed socket between its addresses.
   */
  readonly sock?: Uint8Array;
  /** Where the program is attached: address, cookie, stacks, the sysctl, and what the system call is going to return. */
  readonly attachment?: Partial<Attachment>;
}

const around: readonly (keyof Surroundings)[] = ["task", "memory", "sock", "attachment"];

/** Whether BPF_PROG_TEST_RUN cannot do it, and a host with `runProg` can. */
export function wantsOwnRun(options: RunOptions, type: number): boolean {
  return !runTraits(type).testRun || around.some((option) => options[option] !== undefined);
}

/** Hosts that only have BPF_PROG_TEST_RUN: refuses what it has no place for. */
export function requireTestRun(options: RunOptions, title: string): void {
  if (options.ctx !== undefined && options.args !== undefined) {
    throw new InputError(`run ${title}: \`ctx\` and \`args\` are given, expected one of them`);
  }
  const given = around.filter((option) => options[option] !== undefined);
  if (given.length === 0) return;
  throw new InputError(`run ${title}: ${given.join(", ")}: only embedded hosts have these options (createEmbedded())`);
}

/** Arguments as a context. */
export function argumentBytes(args: readonly (number | bigint)[]): Uint8Array {
  const words = new BigUint64Array(args.length);
  for (let i = 0; i < args.length; i++) words[i] = BigInt.asUintN(64, BigInt(args[i]!));
  return new Uint8Array(words.buffer);
}

/** An errno when the program could not be run, or did not come to its end. */
export function runOwn(seam: Host, fd: number, options: RunOptions): RunResult | number {
  const { data, ctx, args, repeat = 1, flags = 0, cpu, task, memory, sock, attachment } = options;
  if (repeat > 1 || flags !== 0) {
    throw new InputError("run: `repeat` and `flags` are for runs by BPF_PROG_TEST_RUN, which this one is not");
  }
  // The caller's bytes stay as they are; the result has what the program left. (`slice` of a Buffer is no copy.)
  const context = ctx === undefined ? undefined : new Uint8Array(ctx);
  // Written out, here and below: V8 makes the shape of a spread object anew each time.
  const wanted = { ctx: context, args: args?.map(BigInt), data, sock, task, memory, attachment, cpu };
  const result = seam.runProg!(fd, wanted);
  if (typeof result === "number") return result;
  const { engine, whyInterpreted } = ranOn(seam);
  return {
    retval: result.retval,
    data: result.data,
    ctx: context,
    duration: options.repeat === undefined ? undefined : result.duration,
    events: result.events,
    syscallRetval: result.syscallRetval,
    engine,
    whyInterpreted,
  };
}
