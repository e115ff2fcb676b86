/** The hosts that a test of the typed API runs on: embedded ones, and this machine's kernel where it lets us. */
import { afterAll, describe } from "vitest";
import { BpfError, type BpfHost, createEmbedded, openKernel } from "../src/index.ts";

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
  process.stderr.write(`NOT RUN on the kernel: ${error.message}\n`);
}

/** Runs the same tests on every host. After them nothing may be open, and no user memory may be missing. */
export function onEachHost(tests: (host: BpfHost) => void): void {
  describe.each(Object.entries(openers))("%s", (_name, open) => {
    const host = open();
    afterAll(() => {
      const leaks = host.leaks();
      host.close();
      if (leaks.length > 0) throw new Error(`left open: ${JSON.stringify(leaks)}`);
    });
    tests(host);
  });
}
