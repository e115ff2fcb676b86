/** Embedded hosts on which programs run as compiled code: one that the interpreter took over instead fails its test. */
import { createEmbeddedHost, type EmbeddedHost } from "../src/host/embedded.ts";
import type { EmbeddedOptions } from "../src/host/embedded_options.ts";
import { EmbeddedBpfHost } from "../src/index.ts";
import { BPF_PROG_TEST_RUN } from "../src/uapi/index.ts";

/** Why a program is interpreted all the same, in the words of the engine. */
const fallbacks: readonly RegExp[] = [
  // Somebody watches each instruction.
  /^it is observed, instruction by instruction$/,
  // The kernel's verifier refuses these: tests run them to see that they do no harm.
  /^what instruction \d+ leaves in r1 to r5 is read$/,
  /^the function at instruction \d+ reads registers of its caller$/,
  // It would take longer to compile than it takes to run.
  /^it has \d+ instructions, more than \d+$/,
];

/** Whether a program may be interpreted on a host that compiles, for this reason. */
export function mayFallBack(why: string): boolean {
  return fallbacks.some((each) => each.test(why));
}

/** The host. A run that the interpreter has taken over throws, unless it is one of `fallbacks`. */
export function expectCompiled(host: EmbeddedHost): EmbeddedHost {
  const checked = <T>(ret: T): T => {
    const { engine, why } = host.ranBy();
    if (engine === "jit" || why === undefined || mayFallBack(why)) return ret;
    throw new Error(`the interpreter ran a program: ${why}`);
  };
  const { bpf, runProg, runIter, advance } = host;
  host.bpf = (cmd, attr, size) => {
    const ret = bpf.call(host, cmd, attr, size);
    return cmd === BPF_PROG_TEST_RUN ? checked(ret) : ret;
  };
  host.runProg = (fd, run) => checked(runProg.call(host, fd, run));
  host.runIter = (progFd, mapFd) => checked(runIter.call(host, progFd, mapFd));
  host.advance = (nanoseconds) => checked(advance.call(host, nanoseconds));
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
