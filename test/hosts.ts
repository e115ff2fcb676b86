/** The hosts that a test of the typed API runs on: embedded ones, and this machine's kernel where it lets us. */
import { readdirSync, readlinkSync } from "node:fs";
import { afterAll, describe } from "vitest";
import { HostUnavailable } from "../src/host/host.ts";
import { BpfError, type BpfHost, openKernel } from "../src/index.ts";
import { createTestEmbedded } from "./compiled.ts";
import { notRun } from "./kernel.ts";

const MEMORY = 64 * 1024 * 1024;

const options = { cpus: 4, seed: 1, memory: MEMORY };
const INTERPRETER = "embedded, interpreter";
const openers: Record<string, () => BpfHost> = {
  embedded: () => createTestEmbedded(options),
  "embedded, shared": () => createTestEmbedded({ ...options, shared: true }),
  [INTERPRETER]: () => createTestEmbedded({ ...options, engine: "interp" }),
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
  on(
    Object.entries(openers).filter(([name]) => name !== INTERPRETER),
    tests,
  );
}

/** For tests that run programs: embedded hosts with both engines. */
export function onEachEngine(tests: (host: BpfHost) => void): void {
  on(Object.entries(openers), tests);
}

function on(hosts: readonly (readonly [string, () => BpfHost])[], tests: (host: BpfHost) => void): void {
  describe.each(hosts)("%s", (_name, open) => {
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
