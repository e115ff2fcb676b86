/** The machine's own bpf(2) for tests, or one line that says why they did not run. */
import { type Host, HostUnavailable } from "../src/host/host.ts";
import { openKernelHost } from "../src/host/kernel.ts";

/** Undefined where bpf(2) cannot be called: tests use it in `test.runIf(host !== undefined)`. */
export function kernelHost(): Host | undefined {
  try {
    return openKernelHost();
  } catch (error) {
    if (!(error instanceof HostUnavailable)) throw error;
    process.stderr.write(`NOT RUN on the kernel (${error.reason}): ${error.message}\n`);
    return undefined;
  }
}
