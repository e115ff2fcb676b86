/** Observers: who is told what programs do while they run. Traces, coverage and profiles are such. */
/// <reference lib="esnext.disposable" preserve="true" />
import { InputError } from "../../errors.ts";
import type { Host } from "../../host/host.ts";
import type { ObservedRun, ProgramCode, RunObserver } from "../../kern/observer.ts";

export type { ObservedRun, ProgramCode, RunState } from "../../kern/observer.ts";

/**
 * Told of runs, instruction by instruction, in the middle of them: the methods must not use the host. What they throw ends
 * the run, whose results are lost, and reaches whoever started it.
 */
export interface Observer extends RunObserver {
  /** A program that the host has, or loads while it is observed. It may never run. May come again. */
  program?(code: ProgramCode): void;
}

/** What `host.observe` gives. */
export interface Observation extends Disposable {
  /** Ends it. A second call does nothing. */
  stop(): void;
}

/** A program that was loaded, for `Observer.program`. */
interface Loaded {
  readonly kind: string;
  readonly fd: number;
}

/** The observers of one host. While there is none, its runs cost nothing more. */
export class Observers {
  readonly #seam: Host;
  #all: readonly Observer[] = [];

  constructor(seam: Host) {
    this.#seam = seam;
  }

  /** From now on `observer` is told of all runs on this host, of this thread; at once of the programs that are `loaded`. */
  add(observer: Observer, loaded: Iterable<Loaded>): Observation {
    if (this.#seam.observe === undefined) {
      throw new InputError(
        "programs of the kernel host run in the kernel, which tells nobody of their instructions: observe an embedded host",
      );
    }
    // Who watches already is told of everything once.
    const watches = this.#all.includes(observer);
    if (!watches) this.#set([...this.#all, observer]);
    for (const each of loaded) this.#tell(observer, each);
    const stop = (): void => {
      if (!watches && this.#all.includes(observer)) this.#set(this.#all.filter((each) => each !== observer));
    };
    return { stop, [Symbol.dispose]: stop };
  }

  /** A program was loaded or opened. */
  loaded(program: Loaded): void {
    for (const observer of this.#all) this.#tell(observer, program);
  }

  /** The host is about to be closed. */
  clear(): void {
    if (this.#all.length > 0) this.#set([]);
  }

  #tell(observer: Observer, { kind, fd }: Loaded): void {
    if (kind !== "program" || observer.program === undefined) return;
    const code = this.#seam.programCode?.(fd);
    if (typeof code === "object") observer.program(code);
  }

  #set(all: readonly Observer[]): void {
    this.#all = all;
    const [first, second] = all;
    this.#seam.observe?.(second === undefined ? first : toAll(all));
  }
}

/** Several observers as one. */
function toAll(all: readonly Observer[]): RunObserver {
  const each = (what: "begin" | "before" | "after" | "end") => (run: ObservedRun) => {
    for (const observer of all) observer[what]?.(run);
  };
  return { begin: each("begin"), before: each("before"), after: each("after"), end: each("end") };
}
