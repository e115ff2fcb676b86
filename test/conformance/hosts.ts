/** The hosts that the tables run on, and why the kernel is not among them where it is not. */
import { release } from "node:os";
import type { EmbeddedHost } from "../../src/host/embedded.ts";
import type { EmbeddedOptions } from "../../src/host/embedded_options.ts";
import { type Host, HostUnavailable } from "../../src/host/host.ts";
import { openKernelHost } from "../../src/host/kernel.ts";
import { createTestHost } from "../compiled.ts";
import { notRun, pinThread } from "../kernel.ts";
import { type BpffsMount, mountBpffs } from "../mount_bpffs.ts";
import { Session } from "./session.ts";

/** The version whose answers the tables state. */
export const VERSION = "6.18";

export const EMBEDDED: EmbeddedOptions = { memory: 512 * 1024 * 1024, seed: 1, clock: "virtual" };

export interface Hosts {
  /** These two run programs as compiled code, and refuse to do otherwise. */
  readonly exclusive: EmbeddedHost;
  readonly shared: EmbeddedHost;
  readonly interpreter: EmbeddedHost;
  readonly kernel: Host | undefined;
  /** For the kernel's pins. */
  readonly mount: BpffsMount | undefined;
  /** Of the kernel, or why there is none. */
  readonly kernelNote: string;
  readonly cpus: number;
  /** Of this machine's system. */
  readonly release: string;
}

export interface NamedSession {
  readonly name: string;
  readonly session: Session;
}

function openKernel(): Host | string {
  if (process.env.BPFMAPS_NO_KERNEL === "1") {
    notRun("on the kernel (BPFMAPS_NO_KERNEL)", "not wanted");
    return "BPFMAPS_NO_KERNEL=1";
  }
  if (process.platform === "linux" && !release().startsWith(`${VERSION}.`)) {
    const why = `this is Linux ${release()}, the tables state the answers of ${VERSION}`;
    notRun("on the kernel (version)", why);
    return why;
  }
  try {
    return openKernelHost();
  } catch (error) {
    if (!(error instanceof HostUnavailable)) throw error;
    notRun(`on the kernel (${error.reason})`, error.message);
    return error.message;
  }
}

/**
 * Stays on one CPU where the kernel is compared: per-CPU values and LRU lists are one a CPU. `anyCpu`: nothing that is
 * compared depends on it, and others that have to stay there need not share it.
 */
export function openHosts({ anyCpu = false }: { readonly anyCpu?: boolean } = {}): Hosts {
  const kernel = openKernel();
  const cpus = typeof kernel === "string" ? 2 : kernel.possibleCpus;
  if (typeof kernel !== "string" && !anyCpu) pinThread(0);
  const options = { ...EMBEDDED, cpus };
  return {
    exclusive: createTestHost(options),
    shared: createTestHost({ ...options, shared: true }),
    interpreter: createTestHost({ ...options, memory: 64 << 20, engine: "interp" }),
    kernel: typeof kernel === "string" ? undefined : kernel,
    mount: typeof kernel === "string" ? undefined : mountBpffs(),
    kernelNote: typeof kernel === "string" ? kernel : `Linux ${release()}`,
    cpus,
    release: release(),
  };
}

/** The embedded hosts, for what runs programs: both engines. */
export function embeddedOf({ exclusive, shared, interpreter }: Hosts): [string, EmbeddedHost][] {
  return [
    ["exclusive", exclusive],
    ["shared", shared],
    ["interpreter", interpreter],
  ];
}

/** All hosts, for what runs programs. */
export function placesOf(hosts: Hosts): [string, Host][] {
  return [...embeddedOf(hosts), ...(hosts.kernel === undefined ? [] : [["kernel", hosts.kernel] as [string, Host]])];
}

/** Every host in every form of the calls. */
export function sessionsOf(hosts: Hosts): NamedSession[] {
  const { exclusive, shared, kernel, mount } = hosts;
  const sessions: NamedSession[] = [
    { name: "embedded, exclusive, object form", session: new Session(exclusive, "object") },
    { name: "embedded, exclusive, raw form", session: new Session(exclusive, "raw") },
    { name: "embedded, exclusive, raw form unaligned", session: new Session(exclusive, "raw, unaligned") },
    { name: "embedded, exclusive, bytes form", session: new Session(exclusive, "bytes") },
    { name: "embedded, shared, object form", session: new Session(shared, "object") },
    { name: "embedded, shared, raw form unaligned", session: new Session(shared, "raw, unaligned") },
  ];
  if (kernel !== undefined) {
    sessions.push({ name: "kernel, object form", session: new Session(kernel, "object", mount?.path) });
    sessions.push({ name: "kernel, bytes form", session: new Session(kernel, "bytes", mount?.path) });
    sessions.push({ name: "kernel, raw form unaligned", session: new Session(kernel, "raw, unaligned", mount?.path) });
  }
  return sessions;
}

export function closeHosts(hosts: Hosts): void {
  for (const [, host] of embeddedOf(hosts)) host.dispose();
  if (hosts.kernel === undefined) return;
  hosts.kernel.dispose();
  hosts.mount?.unmount();
  pinThread(-1);
}
