/** What an embedded host is made with, and what is refused. */
import { InputError } from "../errors.ts";
import type { Engine } from "../kern/compiled.ts";
import { type KernelOptions, RUN_BUDGET } from "../kern/create.ts";
import { GRANULE } from "../mem/layout.ts";

export interface EmbeddedOptions {
  /** Bytes of linear memory: 1 MiB to 4 GiB, default 1 GiB. Reserved at once, touched as it is used. */
  readonly memory?: number;
  /** Possible CPUs: the slots of per-CPU values. Default 1. */
  readonly cpus?: number;
  /** True: workers can attach; needs SharedArrayBuffer. */
  readonly shared?: boolean;
  /** Makes hash seeds and random numbers repeatable. */
  readonly seed?: number;
  /** `virtual`: time stands still until `advance`. Default `real`. */
  readonly clock?: "real" | "virtual";
  /** Most instructions of one run of a program. Default 100,000,000. */
  readonly runBudget?: number;
  /** `jit` (the default) compiles programs to WebAssembly when they first run; `interp` interprets them. */
  readonly engine?: Engine;
  /**
   * The BTF of a kernel, for the types that programs are relocated to (CO-RE): the bytes of /sys/kernel/btf/vmlinux, here
   * or of another machine. They take their size of `memory`. Default: a small one with this host's kernel functions.
   */
  readonly kernelBtf?: Uint8Array;
}

const MEMORY_MIN = 1024 * 1024;
const MEMORY_MAX = 2 ** 32;
const MEMORY_DEFAULT = 2 ** 30;
const CPUS_MAX = 256;

function integer(name: string, value: number, min: number, max: number): number {
  if (Number.isSafeInteger(value) && value >= min && value <= max) return value;
  throw new InputError(`${name} is ${value}: expected a whole number from ${min} to ${max}`);
}

export function engineOf({ engine = "jit" }: EmbeddedOptions): Engine {
  if (engine === "jit" || engine === "interp") return engine;
  throw new InputError(`engine is ${JSON.stringify(engine)}: expected "jit" or "interp"`);
}

export function kernelOptions(options: EmbeddedOptions): KernelOptions {
  const memory = integer("memory", options.memory ?? MEMORY_DEFAULT, MEMORY_MIN, MEMORY_MAX);
  return {
    memory: Math.ceil(memory / GRANULE) * GRANULE,
    cpus: integer("cpus", options.cpus ?? 1, 1, CPUS_MAX),
    shared: options.shared ?? false,
    seed: options.seed ?? crypto.getRandomValues(new Uint32Array(1))[0]!,
    virtualClock: options.clock === "virtual",
    runBudget: integer("runBudget", options.runBudget ?? RUN_BUDGET, 1, 2 ** 53 - 1),
  };
}
