/** What runs programs, and what ran one. */
import type { Host, HostEngine } from "../host/host.ts";

/** What ran a program. */
export interface RanOn {
  readonly engine: HostEngine;
  /**
   * Why the interpreter had to run what the host would have compiled: the run was observed, or what of the program cannot
   * be compiled. Undefined where nothing kept the host from what it was asked for.
   */
  readonly whyInterpreted: string | undefined;
}

/** What `program.compile()` tells. */
export interface Compiled extends RanOn {
  /** Milliseconds that compiling took; 0 where nothing was compiled, or by the kernel when it loaded the program. */
  readonly milliseconds: number;
  /** Bytes of WebAssembly, on the kernel of machine code; 0: there is none, the program is interpreted. */
  readonly bytes: number;
}

/** Of the last run of this thread. */
export function ranOn(seam: Host): RanOn {
  const ran = seam.ranBy?.();
  return ran === undefined
    ? { engine: "kernel", whyInterpreted: undefined }
    : { engine: ran.engine, whyInterpreted: ran.why };
}
