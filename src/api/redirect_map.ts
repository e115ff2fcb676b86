/** DEVMAP, DEVMAP_HASH and CPUMAP: where XDP programs send packets with bpf_redirect_map. */
import {
  BPF_ANY,
  BPF_MAP_DELETE_ELEM,
  BPF_MAP_LOOKUP_ELEM,
  BPF_MAP_UPDATE_ELEM,
  EINVAL,
  ENOMEM,
} from "../uapi/index.ts";
import { arraySource, hashSource } from "./batch_walk.ts";
import { BpfMap, type MapStats } from "./bpf_map.ts";
import { nested } from "./codec/error.ts";
import { type CodecBuffer, u32 } from "./codec/index.ts";
import type { MapHandle } from "./map_handle.ts";
import type { Program } from "./program.ts";
import { countOf, Walk, type WalkSource } from "./walk.ts";

export interface RedirectTarget {
  /** A device's number (ifindex), or how many packets the CPU's queue takes. */
  readonly target: number;
  /** Id of the program that runs there; 0: none. */
  readonly programId: number;
}

const PROGRAM_AT = 4;

/**
 * Devices by index or by any key, or CPUs with the sizes of their queues; each may have a program that runs there
 * (XDP, loaded for BPF_XDP_DEVMAP or BPF_XDP_CPUMAP). DEVMAP since Linux 4.14, CPUMAP 4.15, DEVMAP_HASH 5.4; programs 5.8.
 *
 *     const ports = host.createMap({ type: "devmap", maxEntries: 64 });
 *     ports.set(0, ifindex);
 */
export class RedirectMap<T extends "devmap" | "devmap_hash" | "cpumap">
  extends BpfMap
  implements Iterable<[number, RedirectTarget]>
{
  readonly type: T;

  /** @internal */
  constructor(type: T, handle: MapHandle) {
    super(handle);
    this.type = type;
  }

  #putKey(key: number): void {
    try {
      u32.write(this.handle.key, 0, key);
    } catch (error) {
      throw nested(error, "key");
    }
  }

  #read(from: CodecBuffer, at: number): RedirectTarget {
    const programId = this.handle.info.valueSize > PROGRAM_AT ? u32.read(from, at + PROGRAM_AT) : 0;
    return { target: u32.read(from, at), programId };
  }

  /**
   * Puts a device (its ifindex) or a CPU (the size of its queue, 1 to 16384) at `key`. `BpfError`: EINVAL for a device that
   * is not there or a program of another kind, ENODEV for a CPU that is not there, E2BIG outside the map or when it is full.
   */
  set(key: number, target: number, program?: Program): this {
    const { handle } = this;
    this.#putKey(key);
    try {
      u32.write(handle.value, 0, target);
    } catch (error) {
      throw nested(error, "target");
    }
    if (handle.info.valueSize > PROGRAM_AT) u32.write(handle.value, PROGRAM_AT, program?.fd ?? 0);
    const result = handle.update(BPF_ANY);
    if (result === 0) return this;
    const refused = result === -EINVAL || result === -ENOMEM;
    return handle.fail(BPF_MAP_UPDATE_ELEM, result, refused ? { key, misfit: this.#misfit(target, program) } : { key });
  }

  #misfit(target: number, program: Program | undefined): string {
    const attach = this.type === "cpumap" ? "BPF_XDP_CPUMAP" : "BPF_XDP_DEVMAP";
    if (program !== undefined) {
      return `${program.type} program \`${program.name}\` cannot run there: it has to be of type xdp, loaded with the expected attach type ${attach}; or ${target} is no such target`;
    }
    return this.type === "cpumap" ? `CPU with a queue of ${target} cannot be made` : `there is no device ${target}`;
  }

  /** What is at `key`; undefined where there is nothing. */
  get(key: number): RedirectTarget | undefined {
    const { handle } = this;
    this.#putKey(key);
    return handle.found(BPF_MAP_LOOKUP_ELEM, handle.lookup(), { key }) ? this.#read(handle.value, 0) : undefined;
  }

  has(key: number): boolean {
    return this.get(key) !== undefined;
  }

  /** Whether there was something. Outside a DEVMAP or CPUMAP: `BpfError` EINVAL. */
  delete(key: number): boolean {
    const { handle } = this;
    const had = this.has(key);
    return handle.found(BPF_MAP_DELETE_ELEM, handle.delete(), { key }) && had;
  }

  #source(): WalkSource {
    return this.type === "devmap_hash" ? hashSource(this.handle) : arraySource(this.handle);
  }

  /** Keys that have a target, with it. */
  entries(): Walk<[number, RedirectTarget]> {
    return new Walk(this.#source(), (s) => [u32.read(s.keys, s.keyAt), this.#read(s.values, s.valueAt)]);
  }

  keys(): Walk<number> {
    return new Walk(this.#source(), (s) => u32.read(s.keys, s.keyAt));
  }

  [Symbol.iterator](): Walk<[number, RedirectTarget]> {
    return this.entries();
  }

  override stats(): MapStats<number> {
    return super.stats() as MapStats<number>;
  }

  /** @internal */
  protected override countByHand(): Pick<MapStats<number>, "entries" | "exact"> {
    return { entries: countOf(this.#source()), exact: false };
  }
}
