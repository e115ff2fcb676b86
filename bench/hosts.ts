/** The hosts that benchmarks run on. */

import { createEmbeddedHost, type EmbeddedHost } from "../src/host/embedded.ts";
import { HostUnavailable } from "../src/host/host.ts";
import { openKernelHost } from "../src/host/kernel.ts";
import { BpfError, type BpfHost, EmbeddedBpfHost, type Host, openKernel, type Program } from "../src/index.ts";

/** The machine's own bpf(2), or undefined and a line that says why its figures are missing. */
export function kernelOrNone(say: (line: string) => void): Host | undefined {
  try {
    return openKernelHost();
  } catch (error) {
    if (!(error instanceof HostUnavailable)) throw error;
    say(`the kernel's figures are missing: ${error.message}`);
    return undefined;
  }
}

/** What programs run on, in tables a column each. */
export interface ProgramHost {
  readonly name: string;
  readonly host: BpfHost;
  /** Where programs are compiled: what is below `host`. */
  readonly jit?: EmbeddedHost;
}

export const KERNEL = "kernel";
/** Checks and budget are on everywhere; a shared host is one that workers can attach to. */
export const JIT = "JIT, shared";
export const JIT_EXCLUSIVE = "JIT, exclusive";
export const INTERPRETER = "interpreter, shared";

const MEMORY = 1 << 30;

/** All of them, the kernel first; `say` is told which are missing, and why. */
export function programHosts(say: (line: string) => void): readonly ProgramHost[] {
  const hosts: ProgramHost[] = [];
  try {
    hosts.push({ name: KERNEL, host: openKernel() });
  } catch (error) {
    if (!(error instanceof BpfError)) throw error;
    say(`The column "${KERNEL}" is missing, and with it what is held against it: ${error.message.split("\n")[0]}`);
  }
  const cpus = hosts[0]?.host.possibleCpus ?? 1;
  const options = { memory: MEMORY, cpus, seed: 1 };
  return [
    ...hosts,
    onEmbedded(JIT, createEmbeddedHost({ ...options, shared: true, engine: "jit" })),
    onEmbedded(JIT_EXCLUSIVE, createEmbeddedHost({ ...options, engine: "jit" })),
    onEmbedded(INTERPRETER, createEmbeddedHost({ ...options, shared: true, engine: "interp" })),
  ];
}

export function onEmbedded(name: string, embedded: EmbeddedHost): ProgramHost {
  const host = new EmbeddedBpfHost(embedded);
  return embedded.engine === "jit" ? { name, host, jit: embedded } : { name, host };
}

/** Compiles a program where it is run compiled, and makes sure of it. Milliseconds and bytes, undefined elsewhere. */
export function compiled(
  { name, jit }: ProgramHost,
  program: Program,
): { readonly milliseconds: number; readonly bytes: number } | undefined {
  if (jit === undefined) return undefined;
  const result = jit.compile(program.fd);
  if (typeof result === "number") throw new Error(`${name}: compiling gave ${result}`);
  if (result.why !== undefined) throw new Error(`${name}: program ${program.name} is not compiled: ${result.why}`);
  return result;
}
