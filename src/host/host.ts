/** The one seam between the typed API and what serves it: the embedded kernel or the machine's own. */
import type { Btf } from "../btf/index.ts";
import type { PlainResult } from "../cmd/plain_run.ts";
import type { BatchResult, PacketBatch } from "../cmd/run_batch.ts";
import type { IterResult } from "../cmd/run_iter.ts";
import type { ProgResult, ProgRun } from "../cmd/run_prog.ts";
import type { CompiledProgram, Engine, RanBy } from "../kern/compiled.ts";
import type { ProgramCode, RunObserver } from "../kern/observer.ts";
import type { RunEvent, StoppedAt } from "../kern/scene.ts";

/**
 * - `jit`: compiled to WebAssembly where that can be
 * - `interp`: interpreted
 * - `kernel`: by the machine's kernel, with whatever it has
 */
export type HostEngine = Engine | "kernel";

/** A field of `AttrObject`: a number, a text (names, paths, the licence), or a buffer that is read and written in place. */
export type AttrValue = number | bigint | string | ArrayBufferView | null | undefined;

/** union bpf_attr as an object with the kernel's field names. Outputs are written back into it. */
export interface AttrObject {
  [field: string]: AttrValue;
}

/** The attributes of a command: by name, as the kernel's bytes, or as the address of these bytes in user memory. */
export type Attr = AttrObject | ArrayBufferView | number | bigint;

/** A piece of user memory: what addresses in raw attributes may point to. Starts zeroed, on a 16-byte boundary. */
export interface UserBuffer {
  readonly address: bigint;
  readonly bytes: Uint8Array;
  /** Gives the memory back; a second call does nothing. */
  free(): void;
}

export interface UserMemory {
  /** Throws `RangeError` when there is no more. */
  alloc(bytes: number): UserBuffer;
  /** Address of a view's first byte when all of it lies in this memory or in a live mapping of this host, else -1. */
  addressOf(view: ArrayBufferView): number;
}

/** `prot`: PROT_READ and PROT_WRITE, bits. */
export interface MmapOptions {
  readonly offset: number;
  readonly length: number;
  readonly prot: number;
  /**
   * Where it is to lie, as the first argument of mmap(2): a wish. An arena that has an address must be mapped there, after
   * its first mapping and where map_extra was given.
   */
  readonly address?: bigint;
  /** The caller keeps all views to itself and drops them at munmap: the embedded host uses the memory again at once. */
  readonly dropsViews?: boolean;
}

export interface WaitOptions {
  readonly signal?: AbortSignal;
  /** Milliseconds. Not given or negative: as long as it takes. */
  readonly timeoutMs?: number;
}

/**
 * Names in bpffs, as the system calls of these names: 0 (of `open` an fd) or a negative errno. On the embedded host
 * bpffs is at /sys/fs/bpf and nothing else is there; on the kernel host these are the machine's files, wherever bpffs is
 * mounted. What is pinned is made and opened with BPF_OBJ_PIN and BPF_OBJ_GET.
 */
export interface Bpffs {
  mkdir(path: string): number;
  rmdir(path: string): number;
  /** Drops a pin; what was pinned goes when nothing else holds it. */
  unlink(path: string): number;
  /** Moves a pin or a directory. A pin that had the new name is dropped in the same moment. */
  rename(from: string, to: string): number;
  /** The names in a directory, sorted. */
  readdir(path: string): string[] | number;
  /** An fd of a directory, for `path_fd` with BPF_F_PATH_FD. */
  open(path: string): number;
}

/** What a host that keeps count tells of a map. All since the map was created. */
export interface MapCounters {
  /** Elements now; undefined: the type does not know (bloom filters, rings). */
  readonly entries: number | undefined;
  /** Elements that were dropped to make room for others. */
  readonly evictions: number;
  /** Updates and pushes, from programs and commands, that the map's type refused. */
  readonly failedUpdates: number;
}

/** What a kernel tells of itself besides its BTF: what `extern` declarations of programs are resolved with. */
export interface KernelFacts {
  /** LINUX_VERSION_CODE of Linux a.b.c: a << 16 | b << 8 | c. */
  readonly version: number;
  /** The configuration that it was built with, as text; undefined: it does not show it. */
  config(): string | undefined;
  /** The addresses of symbols, of those that there are: several where different things have one name. */
  symbols(names: ReadonlySet<string>): ReadonlyMap<string, readonly bigint[]>;
}

export interface KernelBtf {
  readonly btf: Btf;
  readonly complete: boolean;
}

export interface Host {
  readonly kind: "embedded" | "kernel";
  /**
   * bpf(2): >= 0 or a negative errno. `size` is how many bytes of the attributes count: if it is not given, all bytes
   * of a view, and up to the command's last field otherwise. Unknown fields of an object are a `TypeError`.
   */
  bpf(cmd: number, attr: Attr, size?: number): number;
  close(fd: number): number;
  /**
   * Maps a map's memory, shared. The view is live; without PROT_WRITE it must not be written. Of an arena it ends with the
   * arena, however long the mapping is.
   */
  mmap(fd: number, options: MmapOptions): Uint8Array | number;
  /** Where a mapping lies for programs: what pointers into an arena count from. -1n when it was ended, or is no mapping. */
  mappedAt(bytes: Uint8Array): bigint;
  /** Ends a mapping. Its views stay harmless to read and write, but what they show is nothing to rely on. */
  munmap(bytes: Uint8Array): number;
  /**
   * The fds of `fds` that are ready (data to read; room to write for a USER_RINGBUF), none when the time is over, or a
   * negative errno. Negative fds are passed over. Blocks the thread; a negative timeout blocks until one is ready.
   */
  poll(fds: readonly number[], timeoutMs: number): number[] | number;
  /** As `poll`, without blocking. An aborted signal rejects with its reason. Keeps the process alive while it waits. */
  wait(fds: readonly number[], options?: WaitOptions): Promise<number[] | number>;
  /**
   * Counters of the map behind an fd that may read, or a negative errno. bpf(2) has none: a host that only passes calls
   * on leaves this out.
   */
  mapCounters?(fd: number): MapCounters | number;
  /**
   * Runs a program of a kind that BPF_PROG_TEST_RUN has nothing for, or with what is around a run given; a negative errno
   * as from there. A host that only passes calls on leaves this out.
   */
  runProg?(fd: number, run: ProgRun): ProgResult | number;
  /** Calls an iterator program for each element of a map, then once more without one; a negative errno. */
  runIter?(progFd: number, mapFd: number): IterResult | number;
  /**
   * Puts what stands for the perf event of a CPU into a PERF_EVENT_ARRAY: the map behind `eventFd`, a RINGBUF that takes
   * records or an ARRAY of one struct bpf_perf_event_value as a counter. 0 or a negative errno. A host with perf events
   * leaves this out.
   */
  setPerfEvent?(mapFd: number, cpu: number, eventFd: number): number;
  /** Runs compiled XDP programs on many packets; a negative errno. A host that only passes calls on leaves this out. */
  runPackets?(fd: number, batch: PacketBatch): BatchResult | number;
  /**
   * What runs the program behind an fd on a packet, or without one, as BPF_PROG_TEST_RUN does that is given nothing else. A
   * negative errno: the run was stopped. Undefined: nothing has happened yet, and the command has the answer. A host that
   * only passes calls on leaves this out.
   */
  plainRun?(fd: number): (data: Uint8Array | undefined) => PlainResult | number | undefined;
  /** Whatever `call` runs is run on this CPU. Only beside `runProg`. */
  onCpu?<T>(cpu: number, call: () => T): T;
  /** What runs programs. */
  readonly engine: HostEngine;
  /** Compiles the program behind an fd now, where its first run would, or a negative errno. Not with `kernel`. */
  compile?(fd: number): CompiledProgram | number;
  /** What ran the last run of this thread. Not with `kernel`. */
  ranBy?(): RanBy;
  /** What programs did to the outside in the last run of this thread, where the host keeps it. */
  runEvents?(): readonly RunEvent[];
  /** Where the last run of this thread was stopped; undefined: it came to its end. */
  runStopped?(): StoppedAt | undefined;
  /**
   * What Linux shows in /proc/self/fdinfo of this fd: lines of `name:`, a tab and the value. Or -EBADF. The embedded
   * host has no `mnt_id` and `ino`; it counts no runs and compiles nothing, and says so with 0.
   */
  fdinfo(fd: number): string | number;
  /**
   * Sets who is told of this client's runs, instruction by instruction; undefined: nobody. Only where programs run in
   * this process.
   */
  observe?(observer: RunObserver | undefined): void;
  /** The program behind an fd as observers see it, or a negative errno. Only beside `observe`. */
  programCode?(fd: number): ProgramCode | number;
  readonly facts: KernelFacts;
  /**
   * The BTF of the kernel that programs run in: what CO-RE relocates against and kernel functions are named by.
   * `complete` false: a small one without the types of a real kernel. Undefined: the kernel shows none.
   */
  kernelBtf(): KernelBtf | undefined;
  readonly user: UserMemory;
  readonly bpffs: Bpffs;
  /** How many CPUs per-CPU values have a slot for. */
  readonly possibleCpus: number;
  /** Bytes of a page: what mmap counts in. */
  readonly pageSize: number;
  /** Closes every fd that the host opened and ends its mappings. A second call does nothing; any other is an error. */
  dispose(): void;
}

export type HostUnavailableReason = "no-koffi" | "not-linux" | "no-permission" | "no-bpf";

/** The machine cannot serve this kind of host. The message says what to do about it. */
export class HostUnavailable extends Error {
  override readonly name: string = "HostUnavailable";
  readonly reason: HostUnavailableReason;

  constructor(reason: HostUnavailableReason, message: string, options?: ErrorOptions) {
    super(message, options);
    this.reason = reason;
  }
}
