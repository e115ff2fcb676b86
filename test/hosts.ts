/** The hosts that a test of the typed API runs on: embedded ones, and this machine's kernel where it lets us. */
import { readdirSync, readlinkSync } from "node:fs";
import { afterAll, describe } from "vitest";
import { HostUnavailable } from "../src/host/host.ts";
import { BpfError, type BpfHost, createEmbedded, openKernel } from "../src/index.ts";
import { notRun } from "./kernel.ts";

const MEMORY = 64 * 1024 * 1024;

const openers: Record<string, () => BpfHost> = {
  embedded: () => createEmbedded({ cpus: 4, seed: 1, memory: MEMORY }),
  "embedded, shared": () => createEmbedded({ cpus: 4, seed: 1, memory: MEMORY, shared: true }),
};

try {
  openKernel().close();
  openers.kernel = openKernel;
} catch (error) {
  if (!(error instanceof BpfError)) throw error;
  const reason = error.cause instanceof HostUnavailable ? error.cause.reason : "error";
  notRun(`on the kernel (${reason})`, error.message);
}

/** How many of this process's fds are maps, programs or BTF of the machine's kernel. */
function kernelFds(): number {
  if (process.platform !== "linux") return 0;
  return readdirSync("/proc/self/fd").filter((fd) => {
    try {
      return /bpf|btf/.test(readlinkSync(`/proc/self/fd/${fd}`));
    } catch {
      return false;
    }
  }).length;
}

/** Runs the same tests on every host. After them nothing may be open. */
export function onEachHost(tests: (host: BpfHost) => void): void {
  describe.each(Object.entries(openers))("%s", (_name, open) => {
    const before = kernelFds();
    const host = open();
    afterAll(() => {
      const leaks = host.leaks();
      const fds = kernelFds() - before;
      host.close();
      if (leaks.length > 0 || fds > 0) throw new Error(`left open: ${fds} fds, ${JSON.stringify(leaks)}`);
    });
    tests(host);
  });
}
