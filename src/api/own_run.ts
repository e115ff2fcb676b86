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
  return new Uint8Array(BigUint64Array.from(args, (arg) => BigInt.asUintN(64, BigInt(arg))).buffer);
}

/** An errno when the program could not be run, or did not come to its end. */
export function runOwn(seam: Host, fd: number, options: RunOptions): RunResult | number {
  const { ctx, args, repeat = 1, flags = 0, observe: _observer, ...rest } = options;
  if (repeat > 1 || flags !== 0) {
    throw new InputError("run: `repeat` and `flags` are for runs by BPF_PROG_TEST_RUN, which this one is not");
  }
  // The caller's bytes stay as they are; the result has what the program left. (`slice` of a Buffer is no copy.)
  const context = ctx === undefined ? undefined : new Uint8Array(ctx);
  const result = seam.runProg!(fd, {
    ...rest,
    ...(context === undefined ? {} : { ctx: context }),
    ...(args === undefined ? {} : { args: args.map(BigInt) }),
  });
  if (typeof result === "number") return result;
  const duration = options.repeat === undefined ? undefined : result.duration;
  return { ...result, duration, ctx: context, ...ranOn(seam) };
}
