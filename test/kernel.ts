/** The machine's own bpf(2) for tests, or one line that says why they did not run. */
import { createRequire } from "node:module";
import { type Host, HostUnavailable } from "../src/host/host.ts";
import { openKernelHost } from "../src/host/kernel.ts";

/** Says that something was left out, so that no test is passed over in silence. */
export function notRun(what: string, why: string): void {
  process.stderr.write(`NOT RUN ${what}: ${why}\n`);
}

/** Undefined where bpf(2) cannot be called: tests use it in `test.runIf(host !== undefined)`. */
export function kernelHost(): Host | undefined {
  try {
    return openKernelHost();
  } catch (error) {
    if (!(error instanceof HostUnavailable)) throw error;
    notRun(`on the kernel (${error.reason})`, error.message);
    return undefined;
  }
}

interface Affinity {
  readonly set: (pid: number, size: number, mask: Uint8Array) => number;
  readonly errno: () => number;
}

let affinity: Affinity | undefined;

function openAffinity(): Affinity {
  const koffi = createRequire(import.meta.url)("koffi");
  const set = koffi.load(null).func("int sched_setaffinity(int pid, size_t size, const void *mask)");
  return { set, errno: () => koffi.errno() };
}

/** Keeps the calling thread on one CPU; with -1, on any. For those who have a `kernelHost`, which needs koffi too. */
export function pinThread(cpu: number): void {
  affinity ??= openAffinity();
  const mask = new Uint8Array(128);
  if (cpu < 0) mask.fill(0xff);
  else mask[cpu >> 3] = 1 << (cpu & 7);
  if (affinity.set(0, mask.length, mask) !== 0) throw new Error(`sched_setaffinity: errno ${affinity.errno()}`);
}
