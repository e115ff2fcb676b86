/** Embedded hosts on which programs run as compiled code: one that the interpreter took over instead fails its test. */
import { createEmbeddedHost, type EmbeddedHost, type EmbeddedOptions } from "../src/host/embedded.ts";
import type { Attr } from "../src/host/host.ts";
import { EmbeddedBpfHost } from "../src/index.ts";
import { BPF_PROG_TEST_RUN } from "../src/uapi/index.ts";

/**
 * What is not compiled, by the reason that the compiler gives. The kernel's verifier refuses all of it: tests run it to
 * see that it does no harm.
 */
export const fallbacks: readonly RegExp[] = [
  /^what instruction \d+ leaves in r1 to r5 is read$/,
  /^the function at instruction \d+ reads registers of its caller$/,
];

/** The host. A run of a program of which there is no compiled code throws, unless somebody watches or `fallbacks` say so. */
export function expectCompiled(host: EmbeddedHost): EmbeddedHost {
  let watched = false;
  const check = (fd: unknown): void => {
    const made = typeof fd === "number" && !watched ? host.compile(fd) : 0;
    if (typeof made === "number" || made.why === undefined) return;
    if (!fallbacks.some((why) => why.test(made.why!))) throw new Error(`the interpreter ran a program: ${made.why}`);
  };
  const { bpf, runProg, runIter, observe } = host;
  host.bpf = (cmd: number, attr: Attr, size?: number): number => {
    const ret = bpf.call(host, cmd, attr, size);
    if (cmd === BPF_PROG_TEST_RUN && typeof attr === "object") check((attr as { readonly prog_fd?: unknown }).prog_fd);
    return ret;
  };
  host.runProg = (fd, run) => {
    const ret = runProg.call(host, fd, run);
    check(fd);
    return ret;
  };
  host.runIter = (progFd, mapFd) => {
    const ret = runIter.call(host, progFd, mapFd);
    check(progFd);
    return ret;
  };
  host.observe = (observer) => {
    observe.call(host, observer);
    watched = observer !== undefined;
  };
  return host;
}

/** A host of this engine; on the JIT everything must be compiled. */
export function createTestHost(options: EmbeddedOptions): EmbeddedHost {
  const host = createEmbeddedHost(options);
  return options.engine === "interp" ? host : expectCompiled(host);
}

/** `createEmbedded` likewise. */
export function createTestEmbedded(options: EmbeddedOptions): EmbeddedBpfHost {
  return new EmbeddedBpfHost(createTestHost(options));
}
