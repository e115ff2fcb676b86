/** The embedded host: the kernel's map subsystem in one linear memory, behind the same seam as the machine's own. */

import { parseBtf } from "../btf/index.ts";
import { bpf } from "../cmd/bpf.ts";
import { type Executed, execute } from "../cmd/execute.ts";
import { type PlainResult, PlainRun } from "../cmd/plain_run.ts";
import { type BatchResult, type PacketBatch, runPackets } from "../cmd/run_batch.ts";
import { type IterResult, runIter } from "../cmd/run_iter.ts";
import { type ProgResult, type ProgRun, runProg } from "../cmd/run_prog.ts";
import { InputError } from "../errors.ts";
import { givenKernelBtf, kernelBtfOf, setKernelBtf } from "../helpers/kernel_btf.ts";
import { compiledOf } from "../jit/compile.ts";
import type { ClientSlot } from "../kern/clients.ts";
import type { CompiledProgram, Engine, RanBy } from "../kern/compiled.ts";
import { attachKernel, createKernel } from "../kern/create.ts";
import { addDevice, removeDevice } from "../kern/devices.ts";
import { fdinfo } from "../kern/fdinfo.ts";
import { FMODE_READ, nextOpenFd, openFds } from "../kern/fds.ts";
import type { Kernel } from "../kern/kernel.ts";
import { detach, reap } from "../kern/leave.ts";
import { entryOfMap } from "../kern/map.ts";
import type { Network } from "../kern/network.ts";
import type { ProgramCode, RunObserver } from "../kern/observer.ts";
import { setPerfEvent } from "../kern/perf_events.ts";
import type { RunEvent, StoppedAt } from "../kern/scene.ts";
import { bytesOfMap, type MemoryUse, memoryUse } from "../mem/alloc.ts";
import { OBJ_MAP, OBJ_PROG, PAGE_SIZE } from "../mem/layout.ts";
import {
  counterOf,
  MAP_ABI_VALUE_SIZE,
  MAP_EVICTIONS,
  MAP_FAILED_UPDATES,
  MAP_KEY_SIZE,
  MAP_TYPE,
} from "../struct/map.ts";
import { abiCursorSize } from "../uapi/index.ts";
import { programCode } from "../vm/program_code.ts";
import { embeddedBpffs } from "./bpffs.ts";
import { EmbeddedMappings } from "./embedded_mappings.ts";
import { EmbeddedMemory, refuse } from "./embedded_memory.ts";
import { type EmbeddedOptions, engineOf, kernelOptions } from "./embedded_options.ts";
import { HostTimers } from "./embedded_timers.ts";
import { Wakes } from "./embedded_wait.ts";
import { guardObserver } from "./guard_observer.ts";
import type {
  Attr,
  Bpffs,
  Host,
  KernelBtf,
  KernelFacts,
  MapCounters,
  MmapOptions,
  UserMemory,
  WaitOptions,
} from "./host.ts";
import { defaultSize, type MapShape, Marshal } from "./marshal.ts";

/** What a worker needs to attach to a shared host: to be sent to it with `postMessage`. Good for one worker. */
export interface HostTicket {
  readonly memory: WebAssembly.Memory;
  readonly client: ClientSlot;
  readonly engine: Engine;
}

/** A Worker of Node, or anything else that tells when it ends. */
export interface WorkerLike {
  once(event: "exit", listener: () => void): unknown;
}

/** Linux 6.18, of which it is a likeness; it was configured by nobody, and nothing has an address. */
const embeddedFacts: KernelFacts = {
  version: (6 << 16) | (18 << 8),
  config: () => undefined,
  symbols: () => new Map(),
};

export class EmbeddedHost implements Host {
  readonly kind = "embedded" as const;
  readonly facts: KernelFacts = embeddedFacts;
  readonly user: UserMemory;
  readonly bpffs: Bpffs;
  readonly possibleCpus: number;
  readonly pageSize: number = PAGE_SIZE;
  readonly #kernel: Kernel;
  readonly #memory: EmbeddedMemory;
  readonly #marshal: Marshal;
  readonly #mappings: EmbeddedMappings;
  readonly #timers: HostTimers;
  readonly #wakes: Wakes;
  #open = true;

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
    this.#memory = new EmbeddedMemory(kernel);
    this.user = this.#memory;
    this.bpffs = embeddedBpffs(kernel, () => {
      if (!this.#open) refuse();
    });
    this.possibleCpus = kernel.cpus;
    this.#marshal = new Marshal({
      user: this.user,
      shapeOf: (fd) => this.#shapeOf(fd),
      raw: (cmd, address, size) => bpf(kernel, cmd, address, size),
      keep: (address, bytes) => kernel.stageAt(address, bytes),
    });
    this.#mappings = new EmbeddedMappings(kernel);
    this.#timers = new HostTimers(kernel);
    this.#wakes = new Wakes(kernel);
  }

  bpf(cmd: number, attr: Attr, size?: number): number {
    if (!this.#open) refuse();
    if (typeof attr === "number") return bpf(this.#kernel, cmd, attr, size ?? defaultSize(cmd));
    return this.#marshal.bpf(cmd, attr, size);
  }

  #shapeOf(fd: number): MapShape | undefined {
    const kernel = this.#kernel;
    const map = kernel.get(fd, OBJ_MAP);
    if (map < 0) return undefined;
    const { u32 } = kernel.mem;
    const keySize = u32[(map + MAP_KEY_SIZE) >>> 2]!;
    const cursorBytes = abiCursorSize(u32[(map + MAP_TYPE) >>> 2]!, keySize);
    const valueBytes = u32[(map + MAP_ABI_VALUE_SIZE) >>> 2]!;
    kernel.done(map);
    return { keySize, valueBytes, cursorBytes };
  }

  close(fd: number): number {
    if (!this.#open) refuse();
    return this.#kernel.close(fd);
  }

  fdinfo(fd: number): string | number {
    if (!this.#open) refuse();
    return fdinfo(this.#kernel, fd);
  }

  kernelBtf(): KernelBtf {
    if (!this.#open) refuse();
    return { btf: kernelBtfOf(this.#kernel), complete: givenKernelBtf(this.#kernel) };
  }

  mmap(fd: number, options: MmapOptions): Uint8Array | number {
    if (!this.#open) refuse();
    return this.#mappings.map(fd, options);
  }

  mappedAt(bytes: Uint8Array): bigint {
    return this.#open ? this.#mappings.mappedAt(bytes) : -1n;
  }

  munmap(bytes: Uint8Array): number {
    return this.#mappings.unmap(bytes, this.#open);
  }

  poll(fds: readonly number[], timeoutMs: number): number[] | number {
    if (!this.#open) refuse();
    return this.#wakes.poll(fds, timeoutMs);
  }

  async wait(fds: readonly number[], options: WaitOptions = {}): Promise<number[] | number> {
    if (!this.#open) refuse();
    return this.#wakes.wait(fds, options);
  }

  /** How much memory is used and free, in bytes. */
  memory(): MemoryUse {
    if (!this.#open) refuse();
    return memoryUse(this.#kernel.mem);
  }

  /** Bytes that the map behind an fd takes, in whole granules; 0 when there is none. */
  mapBytes(fd: number): number {
    if (!this.#open) refuse();
    const map = this.#kernel.get(fd, OBJ_MAP);
    if (map < 0) return 0;
    const bytes = bytesOfMap(this.#kernel.mem, map);
    this.#kernel.done(map);
    return bytes;
  }

  /** Exact, also between the threads of a shared host; one that dies while it evicts an element may leave that out. */
  mapCounters(fd: number): MapCounters | number {
    if (!this.#open) refuse();
    const kernel = this.#kernel;
    const map = kernel.getMap(fd, FMODE_READ);
    if (map < 0) return map;
    const entries = entryOfMap(kernel, map).ops.map_count(kernel, map);
    const counters = {
      entries: entries < 0 ? undefined : entries,
      evictions: counterOf(kernel.mem, map, MAP_EVICTIONS),
      failedUpdates: counterOf(kernel.mem, map, MAP_FAILED_UPDATES),
    };
    kernel.endMap();
    return counters;
  }

  /**
   * Runs instructions that belong to no kind of program: r1 is the memory, which holds at the end what they made of it,
   * r2 its length.
   */
  execute(code: Uint8Array, memory: Uint8Array): Executed {
    if (!this.#open) refuse();
    return execute(this.#kernel, code, memory);
  }

  observe(observer: RunObserver | undefined): void {
    if (!this.#open) refuse();
    const open = (is: boolean) => (): void => {
      this.#open = is;
    };
    this.#kernel.observer = observer === undefined ? undefined : guardObserver(observer, open(false), open(true));
  }

  /** Compiles the program now, where its first run would do so otherwise. */
  compile(fd: number): CompiledProgram | number {
    if (!this.#open) refuse();
    const prog = this.#kernel.get(fd, OBJ_PROG);
    if (prog < 0) return prog;
    const compiled = compiledOf(this.#kernel, prog);
    this.#kernel.done(prog);
    return compiled;
  }

  programCode(fd: number): ProgramCode | number {
    if (!this.#open) refuse();
    const prog = this.#kernel.get(fd, OBJ_PROG);
    if (prog < 0) return prog;
    const code = programCode(this.#kernel, prog);
    this.#kernel.done(prog);
    return code;
  }

  runProg(fd: number, run: ProgRun): ProgResult | number {
    if (!this.#open) refuse();
    return runProg(this.#kernel, fd, run);
  }

  runPackets(fd: number, batch: PacketBatch): BatchResult | number {
    if (!this.#open) refuse();
    return runPackets(this.#kernel, fd, batch);
  }

  plainRun(fd: number): (data: Uint8Array | undefined) => PlainResult | number | undefined {
    const plain = new PlainRun(this.#kernel, fd);
    return (data) => {
      if (!this.#open) refuse();
      return plain.run(data);
    };
  }

  onCpu<T>(cpu: number, call: () => T): T {
    const kernel = this.#kernel;
    const before = kernel.cpu;
    kernel.cpu = cpu;
    try {
      return call();
    } finally {
      kernel.cpu = before;
    }
  }

  runIter(progFd: number, mapFd: number): IterResult | number {
    if (!this.#open) refuse();
    return runIter(this.#kernel, progFd, mapFd);
  }

  runEvents(): readonly RunEvent[] {
    return this.#kernel.scene.events;
  }

  get engine(): Engine {
    return this.#kernel.engine;
  }

  ranBy(): RanBy {
    return this.#kernel.scene.ranBy;
  }

  runStopped(): StoppedAt | undefined {
    return this.#kernel.scene.stopped;
  }

  /** The fds that are still open. */
  openFds(): number[] {
    if (!this.#open) refuse();
    const { mem, process } = this.#kernel;
    const fds: number[] = [];
    if (openFds(mem, process) > 0) {
      for (let fd = nextOpenFd(mem, process, 0); fd >= 0; fd = nextOpenFd(mem, process, fd + 1)) fds.push(fd);
    }
    return fds;
  }

  /** The network around this client's runs from now on; its devices are added. 0 or -ENOMEM. */
  setNetwork(network: Network): number {
    if (!this.#open) refuse();
    for (const { ifindex } of network.devices) {
      const ret = this.#kernel.deviceExists(ifindex) ? 0 : addDevice(this.#kernel.mem, ifindex);
      if (ret < 0) return ret;
    }
    this.#kernel.scene.network = network;
    return 0;
  }

  /** Moves the virtual clock on, and runs the timers that expire meanwhile. Throws when the host has the real one. */
  advance(nanoseconds: bigint): void {
    if (!this.#open) refuse();
    this.#timers.advance(nanoseconds);
  }

  setPerfEvent(mapFd: number, cpu: number, eventFd: number): number {
    if (!this.#open) refuse();
    return setPerfEvent(this.#kernel, mapFd, cpu, eventFd);
  }

  /** A new network device: 0, -EEXIST or -ENOMEM. */
  addDevice(ifindex: number): number {
    if (!this.#open) refuse();
    return addDevice(this.#kernel.mem, ifindex);
  }

  /** Takes it away, out of all maps: 0 or -ENODEV. */
  removeDevice(ifindex: number): number {
    if (!this.#open) refuse();
    return removeDevice(this.#kernel, ifindex);
  }

  /**
   * A ticket with which one worker can attach (`attachEmbedded`). `worker` tells when the worker ends, however it ends:
   * what it held is cleaned up then. Without it, `reap(ticket)` has to be called.
   */
  share(worker?: WorkerLike): HostTicket {
    if (!this.#open) refuse();
    const kernel = this.#kernel;
    if (!kernel.mem.shared) {
      throw new InputError(
        "this host is exclusive to its thread: create it with { shared: true } to let workers attach",
      );
    }
    const client = kernel.announce();
    if (client === undefined)
      throw new InputError("all client slots of this host are taken: let workers end before new ones attach");
    const ticket: HostTicket = { memory: kernel.mem.wasm, client, engine: kernel.engine };
    worker?.once("exit", () => this.reap(ticket));
    return ticket;
  }

  /** Cleans up after a worker that has ended. */
  reap(ticket: HostTicket): void {
    if (!this.#open) return;
    reap(this.#kernel, ticket.client);
    // Timers that it started run here from now on.
    this.#timers.look();
  }

  dispose(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#marshal.end();
    this.#memory.end();
    this.#wakes.end();
    this.#timers.end();
    detach(this.#kernel);
  }
}

/** A new embedded host; the caller is its first client. */
export function createEmbeddedHost(options: EmbeddedOptions = {}): EmbeddedHost {
  const kernel = createKernel(kernelOptions(options));
  kernel.engine = engineOf(options);
  if (options.kernelBtf !== undefined) {
    // What is not well-formed must be refused here, not by a program that is loaded later.
    kernel.kernelBtf = parseBtf(options.kernelBtf);
    if (!setKernelBtf(kernel, options.kernelBtf)) {
      throw new InputError(`kernelBtf has ${options.kernelBtf.length} bytes: give the host more \`memory\``);
    }
  }
  return new EmbeddedHost(kernel);
}

/** Attaches the calling worker to the host whose `share()` made the ticket. */
export function attachEmbeddedHost(ticket: HostTicket): EmbeddedHost {
  const kernel = attachKernel(ticket.memory, ticket.client);
  kernel.engine = ticket.engine;
  return new EmbeddedHost(kernel);
}
