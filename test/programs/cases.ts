/** What a case of a test program is: which program runs, on what, and what must come of it. README.md says how to add one. */
import type { BpfHost, HashMap, LoadedObject, LoadObjectOptions, RunOptions, RunResult } from "../../src/index.ts";

/** What `before` and `after` may work with. */
export interface CaseScene {
  readonly host: BpfHost;
  readonly object: LoadedObject;
  /**
   * Lets time pass: timers that are due run. Virtual time on embedded hosts. The kernel may be late: it is given more time,
   * seconds, until `done`.
   */
  sleep(milliseconds: number, done?: () => boolean): void;
}

/** What must come of a run. What is left out is not looked at, but still has to be the same on all hosts. */
export interface Expected {
  /** Of each run, in their order; one number stands for all. */
  readonly retval?: number | readonly number[];
  /** Packet and context as the last run left them. */
  readonly data?: Uint8Array;
  readonly ctx?: Uint8Array;
  /**
   * Contents of maps by name, as `contents` (contents.ts) lists them: `[key, value]` for types
   * with keys, in any order; values for arrays, queues (next first) and rings. Of a per-CPU value the one of CPU 0, where runs take place.
   */
  readonly maps?: Readonly<Record<string, readonly unknown[]>>;
  /** Global variables by name. */
  readonly globals?: Readonly<Record<string, unknown>>;
  /** The errno that the last run fails with; for faults -EFAULT. Embedded hosts only: `kernel` is then "load" or "none". */
  readonly errno?: number;
  /** Anything else, before maps are read; vitest's `expect` works in it. */
  readonly after?: (scene: CaseScene, results: readonly RunResult[]) => void;
}

export interface ProgramCase {
  readonly name: string;
  readonly program: string;
  /**
   * `run`: the kernel runs it and gives the same. `load`: the kernel loads it, but has no PROG_TEST_RUN for it. `none`: not
   * even that; `why` says why.
   */
  readonly kernel: "run" | "load" | "none";
  readonly why?: string;
  /** How the object is loaded: globals, programs, maps, edit. */
  readonly load?: Omit<LoadObjectOptions, "name" | "shapes">;
  /**
   * The BTF of the embedded hosts' kernel, in place of the small one: it names what the program is attached to, and CO-RE
   * relocates against it (the kernel has its own). `runs` are made for these types then.
   */
  readonly kernelBtf?: Uint8Array;
  /** Bytes of memory of the embedded hosts, where its maps need more than most. */
  readonly memory?: number;
  /** Fills maps, before the first run. */
  readonly before?: (scene: CaseScene) => void;
  /** Runs, one after the other; default: one without anything. */
  readonly runs?: readonly RunOptions[];
  readonly expect: Expected;
  /** Maps, or global variables, that are legitimately different from host to host, and why: times, ids, random numbers. */
  readonly skip?: Readonly<Record<string, string>>;
}

/** Writes an element of a map with keys. */
export function put({ object }: CaseScene, name: string, key: unknown, value: unknown): void {
  const map = object.map(name);
  if (map.type !== "hash" && map.type !== "lru_hash" && map.type !== "array") throw new Error(`${name}: a ${map.type}`);
  (map as HashMap<unknown, unknown>).set(key, value);
}

/** An Ethernet frame of `size` bytes, of which the first come from `bytes`. */
export function frame(size: number, ...bytes: readonly number[]): Uint8Array {
  const packet = new Uint8Array(size);
  packet.set(bytes);
  return packet;
}

/** Members of a struct one behind the other: a number is a u32, a bigint a u64. */
export function bytesOf(...members: readonly (number | bigint | Uint8Array)[]): Uint8Array {
  const bytes = members.map((member) => {
    if (member instanceof Uint8Array) return member;
    return new Uint8Array((typeof member === "number" ? Uint32Array.of(member) : BigUint64Array.of(member)).buffer);
  });
  return Uint8Array.from(bytes.flatMap((each) => [...each]));
}

/** Text in an array of so many characters. */
export function chars(text: string, size: number): Uint8Array {
  const bytes = new Uint8Array(size);
  bytes.set(new TextEncoder().encode(text));
  return bytes;
}
