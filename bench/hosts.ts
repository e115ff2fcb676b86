/** The hosts that benchmarks run on. */
import { HostUnavailable } from "../src/host/host.ts";
import { openKernelHost } from "../src/host/kernel.ts";
import type { Host } from "../src/index.ts";

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
