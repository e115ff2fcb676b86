/** A host with the typed API on it: what `createEmbedded` and `openKernel` give. */
/// <reference lib="esnext.disposable" preserve="true" />
import { InputError } from "../errors.ts";
import type {
  Attr,
  Bpffs,
  Host,
  HostEngine,
  KernelBtf,
  KernelFacts,
  MmapOptions,
  UserMemory,
  WaitOptions,
} from "../host/host.ts";
import { BPF_MAP_GET_FD_BY_ID, BPF_MAP_GET_NEXT_ID, ENOENT } from "../uapi/index.ts";
import type { AnyMap, MapOf } from "./any_map.ts";
import { HostContext } from "./context.ts";
import { idFailure } from "./fd_of_id.ts";
import { type MapInfo, readMapInfo } from "./info.ts";
import { type LoadObjectOptions, loadObject } from "./load_object.ts";
import { loadProgram, type ProgramOptions } from "./load_program.ts";
import type { LoadedObject } from "./loaded_object.ts";
import type { Observation, Observer } from "./observe/observer.ts";
import { createMap, type MapRef, openMap } from "./open_map.ts";
import { unpin } from "./pin.ts";
import { openProgram, type Program, type ProgramRef } from "./program.ts";
import type { ExactShape, ExactSpec, MapShape, MapSpec } from "./spec.ts";

/** Something that is open. */
export interface Leak {
  readonly kind: "map" | "program" | "link" | "fd";
  readonly name: string;
  /** 0 for a plain fd. */
  readonly id: number;
  readonly fd: number;
}

/** Memory of a map. */
export interface MapMemory {
  readonly id: number;
  readonly name: string;
  readonly type: string;
  /** What the kernel charges for it; of the embedded host whole granules of 64 KiB, without elements of BPF_F_NO_PREALLOC. */
  readonly bytes: number;
}

/** Memory of a host, in bytes. */
export interface HostMemory {
  /** Of the embedded host: all that is handed out. Of the kernel: what the maps of this host take. */
  readonly used: number;
  /** Undefined for the kernel. */
  readonly free: number | undefined;
  /** Maps that are open here, as far as the host tells what they take. */
  readonly maps: readonly MapMemory[];
}

/**
 * The typed API over a host. `bpf`, `close(fd)`, `mmap` and the rest of the plain calls are the host's own; `bpf` can be
 * taken out of the object:
 *
 *     const { bpf } = createEmbedded();
 *     const fd = bpf(BPF_MAP_CREATE, { map_type: BPF_MAP_TYPE_HASH, key_size: 4, value_size: 8, max_entries: 256 });
 */
export class BpfHost implements Host {
  readonly kind: "embedded" | "kernel";
  /** Version, configuration and symbols of the kernel. */
  readonly facts: KernelFacts;
  readonly user: UserMemory;
  /** Directories and names in bpffs, where maps and programs are pinned. */
  readonly bpffs: Bpffs;
  /** How many CPUs per-CPU values have a slot for. */
  readonly possibleCpus: number;
  /**
   * What runs programs: on embedded hosts `jit` or `interp`, as they were asked for; `kernel` on the machine's. What ran
   * one is in its result (`engine`).
   */
  readonly engine: HostEngine;
  /** Bytes of a page: what `mmap` counts in. */
  readonly pageSize: number;
  /**
   * bpf(2): a number >= 0, or a negative errno. `attr` is an object with the kernel's field names, the bytes of
   * `union bpf_attr`, or their address in user memory. Buffers in an object are read and written in place; an unknown
   * field is a `TypeError`.
   */
  readonly bpf: (cmd: number, attr: Attr, size?: number) => number;
  /** @internal */
  protected readonly context: HostContext;
  #open = true;

  /** @internal */
  constructor(seam: Host) {
    this.kind = seam.kind;
    this.facts = seam.facts;
    this.user = seam.user;
    this.bpffs = seam.bpffs;
    this.possibleCpus = seam.possibleCpus;
    this.pageSize = seam.pageSize;
    this.engine = seam.engine;
    this.context = new HostContext(seam);
    this.bpf = (cmd, attr, size) => {
      if (!this.#open) this.requireOpen();
      return seam.bpf(cmd, attr, size);
    };
  }

  /**
   * What Linux shows of an fd in /proc/self/fdinfo: lines of `name:`, a tab and the value, with `memlock`, the bytes that
   * the kernel counts for a map, and `frozen`. Or -EBADF. The embedded host gives Linux 6.18's lines but `mnt_id` and `ino`.
   */
  fdinfo(fd: number): string | number {
    this.requireOpen();
    return this.context.seam.fdinfo(fd);
  }

  /**
   * The types of the kernel that programs run in, which CO-RE relocates against: on the embedded host what `kernelBtf`
   * gave, or a small one without the types of a real kernel (`complete` false). Undefined: the kernel shows none.
   */
  kernelBtf(): KernelBtf | undefined {
    this.requireOpen();
    return this.context.seam.kernelBtf();
  }

  /** Maps what an fd offers, shared: a live view, or a negative errno. `prot`: 1 to read, 2 to write. */
  mmap(fd: number, options: MmapOptions): Uint8Array | number {
    this.requireOpen();
    return this.context.seam.mmap(fd, options);
  }

  /** Where a mapping lies for programs: what pointers into an arena count from. -1n when it was ended, or is no mapping. */
  mappedAt(bytes: Uint8Array): bigint {
    return this.context.seam.mappedAt(bytes);
  }

  /** 0 or a negative errno. Also when the host is closed, which has ended the mapping. */
  munmap(bytes: Uint8Array): number {
    return this.context.seam.munmap(bytes);
  }

  /** The fds that are ready, none when the time is over, or a negative errno. Blocks the thread. */
  poll(fds: readonly number[], timeoutMs: number): number[] | number {
    this.requireOpen();
    return this.context.seam.poll(fds, timeoutMs);
  }

  /** As `poll`, without blocking. */
  async wait(fds: readonly number[], options?: WaitOptions): Promise<number[] | number> {
    this.requireOpen();
    return this.context.seam.wait(fds, options);
  }

  /**
   * Creates a map. `type` decides the class and the options; sizes come from the codecs, which also give the map's BTF.
   * Throws `BpfError` when the host refuses, with the rule that is broken. With `pin` it opens the map that is pinned
   * there instead, if it fits; `IncompatibleMapError` tells in what it does not.
   *
   *     const flows = host.createMap({ type: "hash", name: "flows", key: FlowKey, value: Flow, maxEntries: 4096 });
   */
  createMap<S extends MapSpec>(spec: ExactSpec<S>): MapOf<S> {
    this.requireOpen();
    return createMap(this.context, spec as MapSpec) as AnyMap as MapOf<S>;
  }

  /**
   * Opens a map that is there. Without a shape its type has to be asked (`map.type`), and keys and values are what its
   * BTF says. With a shape the type is checked, and the codecs are compared with sizes and BTF: `InputError` with the
   * fields that differ.
   *
   *     const flows = host.openMap({ id: 17 }, { type: "hash", key: FlowKey, value: Flow });
   *     const pinned = host.openMap({ pin: "/sys/fs/bpf/flows" }, { type: "hash", key: FlowKey, value: Flow });
   */
  openMap(ref: MapRef): AnyMap;
  openMap<S extends MapShape>(ref: MapRef, shape: ExactShape<S>): MapOf<S>;
  openMap(ref: MapRef, shape?: MapShape): AnyMap {
    this.requireOpen();
    return openMap(this.context, ref, shape);
  }

  /** Drops a name that something is pinned at; what was pinned ends when nothing else holds it. */
  unpin(path: string): void {
    this.requireOpen();
    unpin(this.context, path);
  }

  /** All maps of the machine, or of the embedded host, whoever made them. Needs CAP_SYS_ADMIN. Since Linux 4.13. */
  maps(): MapInfo[] {
    this.requireOpen();
    const { seam } = this.context;
    const infos: MapInfo[] = [];
    const attr = { start_id: 0, next_id: 0 };
    for (;;) {
      const result = seam.bpf(BPF_MAP_GET_NEXT_ID, attr);
      if (result === -ENOENT) return infos;
      if (result < 0) throw idFailure(result, BPF_MAP_GET_NEXT_ID, "cannot list the maps");
      const fd = seam.bpf(BPF_MAP_GET_FD_BY_ID, { map_id: attr.next_id });
      attr.start_id = attr.next_id;
      // Gone since.
      if (fd === -ENOENT) continue;
      if (fd < 0) throw idFailure(fd, BPF_MAP_GET_FD_BY_ID, `cannot open map ${attr.start_id}`);
      const info = readMapInfo(seam, fd);
      seam.close(fd);
      if (typeof info !== "number") infos.push(info);
    }
  }

  /**
   * Loads a program. Throws `BpfError` with the verifier's log when it is refused.
   *
   *     import { exit, mov64Imm, R0 } from "bpfmaps/insn";
   *     const pass = host.loadProgram({ type: "xdp", insns: [mov64Imm(R0, 2), exit()], license: "GPL" });
   *     pass.run({ data: packet }).retval; // 2
   */
  loadProgram(options: ProgramOptions): Program {
    this.requireOpen();
    return loadProgram(this.context, options);
  }

  /** Opens a program that is loaded already, by its id or its pin. */
  openProgram(ref: ProgramRef): Program {
    this.requireOpen();
    return openProgram(this.context, ref);
  }

  /**
   * Loads an object file as clang writes it: its maps with BTF and first values, and its programs. `source` is the file's
   * bytes, or in Node its path.
   *
   *     const shapes = { flows: { type: "hash", key: FlowKey, value: Flow } } as const;
   *     const traffic = host.loadObject("traffic.bpf.o", { shapes });
   *     traffic.program("count").run({ data: packet });
   *     for (const [key, flow] of traffic.map("flows")) console.log(key.saddr, flow.bytes);
   */
  loadObject<T extends Readonly<Record<string, MapShape>> = Record<never, never>>(
    source: Uint8Array | string | URL,
    options: LoadObjectOptions<T> = {},
  ): LoadedObject<T> {
    this.requireOpen();
    return loadObject(this.context, source, options);
  }

  /** Memory in use. */
  memory(): HostMemory {
    this.requireOpen();
    const maps: MapMemory[] = [];
    for (const { kind, id, name, fd } of this.context.owned) {
      const info = kind === "map" ? readMapInfo(this.context.seam, fd) : 0;
      if (typeof info === "number" || maps.some((map) => map.id === id)) continue;
      const bytes = this.bytesOf(fd);
      if (bytes !== undefined) maps.push({ id, name, type: info.type, bytes });
    }
    return { used: maps.reduce((sum, map) => sum + map.bytes, 0), free: undefined, maps };
  }

  /** @internal What the kernel charges for a map. */
  protected bytesOf(fd: number): number | undefined {
    try {
      const text = process.getBuiltinModule("fs").readFileSync(`/proc/self/fdinfo/${fd}`, "utf8");
      const bytes = /^memlock:\s*(\d+)$/m.exec(text)?.[1];
      return bytes === undefined ? undefined : Number(bytes);
    } catch {
      return undefined;
    }
  }

  /**
   * Tells an observer - a `Trace`, `Coverage`, a `Profile`, or one of yours - of everything that programs do on this host
   * in this thread, until `stop()`. Only on embedded hosts: the kernel tells nobody. Runs take many times as long
   * meanwhile, and not at all longer afterwards.
   *
   *     const coverage = new Coverage();
   *     const watched = host.observe(coverage);
   *     program.run({ data: packet });
   *     watched.stop();
   */
  observe(observer: Observer): Observation {
    this.requireOpen();
    return this.context.observers.add(observer, this.context.owned);
  }

  /** What is open: maps, programs and links of this API, and fds that were opened with `bpf`, where the host knows them. */
  leaks(): Leak[] {
    this.requireOpen();
    const owned = [...this.context.owned].filter((each) => each.ownsFd);
    const leaks = owned.map(({ kind, name, id, fd }): Leak => ({ kind, name, id, fd }));
    const known = new Set(leaks.map((leak) => leak.fd));
    for (const fd of this.openFds()) if (!known.has(fd)) leaks.push({ kind: "fd", name: "", id: 0, fd });
    return leaks;
  }

  /** @internal */
  protected openFds(): readonly number[] {
    return [];
  }

  /** With an fd: closes it, 0 or a negative errno. Without: closes the host with all that is open on it. */
  close(fd: number): number;
  close(): void;
  close(fd?: number): number | undefined {
    if (fd !== undefined) {
      this.requireOpen();
      return this.context.seam.close(fd);
    }
    if (!this.#open) return undefined;
    this.#open = false;
    this.context.observers.clear();
    for (const each of [...this.context.owned]) each.close();
    this.context.seam.dispose();
    return undefined;
  }

  /** As `close()`. */
  dispose(): void {
    this.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** @internal */
  protected requireOpen(): void {
    if (!this.#open) throw new InputError("this host is closed");
  }
}
