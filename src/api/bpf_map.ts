/** What maps of every type have. */
/// <reference lib="esnext.disposable" preserve="true" />
import { BPF_MAP_FREEZE, BPF_OBJ_PIN, EBADF } from "../uapi/index.ts";
import type { MapInfo } from "./info.ts";
import { mapTitle } from "./map_failure.ts";
import type { MapHandle } from "./map_handle.ts";
import type { MapType } from "./map_types.ts";
import { pin } from "./pin.ts";

/** What can be known of a map's contents. */
export interface MapStats<Entries extends number | undefined = number | undefined> {
  /** Elements now; undefined where nobody tells: bloom filters, rings, and on the kernel host queues and stacks. */
  readonly entries: Entries;
  /**
   * True: `entries` is the number at one moment. False: it was found by a walk, as on the kernel host, and is the number
   * only if nobody changed the map meanwhile.
   */
  readonly exact: boolean;
  /** Most elements. */
  readonly maxEntries: number;
  /** Elements that the map dropped for others since it was created: LRU maps, `whenFull: "evict"`. Undefined: the host does not count. */
  readonly evictions: number | undefined;
  /** Updates and pushes that the map refused (full, exists, ...), by whomever, programs included. Undefined: as above. */
  readonly failedUpdates: number | undefined;
}

/** A handle on a map. Closing it does not end the map while programs, other fds or other maps hold it. */
export abstract class BpfMap implements Disposable {
  /** Tells the classes apart: `if (map.type === "hash")`. `other`: a type without a class of its own, see `info.type`. */
  abstract readonly type: MapType | "other";
  /** @internal */
  protected readonly handle: MapHandle;

  /** @internal */
  constructor(handle: MapHandle) {
    this.handle = handle;
  }

  /** As the kernel knows it, 15 characters at most. */
  get name(): string {
    return this.handle.name;
  }

  get id(): number {
    return this.handle.id;
  }

  /** -1 when closed. */
  get fd(): number {
    return this.handle.fd;
  }

  /** Sizes, flags and BTF, as they were when the map was opened. */
  get info(): MapInfo {
    return this.handle.info;
  }

  /** Most elements; bytes of a ring buffer. */
  get maxEntries(): number {
    return this.handle.info.maxEntries;
  }

  get closed(): boolean {
    return this.handle.closed;
  }

  /**
   * How full the map is, and what it dropped and refused. The embedded host counts: exact, and quick (LRU maps: a pass
   * over their elements). The kernel does not: hash types and tries are walked.
   *
   *     const { entries, maxEntries, evictions } = flows.stats();
   */
  stats(): MapStats {
    const { handle } = this;
    const counters = handle.counters();
    const counted = counters?.entries;
    const { evictions, failedUpdates } = counters ?? { evictions: undefined, failedUpdates: undefined };
    const { entries, exact } = counted === undefined ? this.countByHand() : { entries: counted, exact: true };
    return { entries, exact, maxEntries: this.maxEntries, evictions, failedUpdates };
  }

  /** @internal How many elements there are, when the host does not say. */
  protected countByHand(): Pick<MapStats, "entries" | "exact"> {
    return { entries: undefined, exact: false };
  }

  /**
   * Ends all changes from user space, by whatever handle, for good: BPF_MAP_FREEZE. Programs may still write. A map that
   * is frozen already is EPERM, one that is mapped for writing EBUSY. Since Linux 5.2.
   */
  freeze(): void {
    const { handle } = this;
    const result = handle.closed ? -1 : handle.host.bpf(BPF_MAP_FREEZE, { map_fd: handle.fd });
    if (result < 0) handle.fail(BPF_MAP_FREEZE, result);
    handle.frozen = true;
  }

  /**
   * Gives the map a name in bpffs, which holds it until `host.unpin(path)`: also when this process has ended. A map can
   * have several. The path is absolute, its directories are there (`host.bpffs.mkdir`), and the name is free and has no
   * dot in it; otherwise a `BpfError` says what is wrong with it. Since Linux 4.4.
   *
   *     flows.pin("/sys/fs/bpf/flows");
   */
  pin(path: string): void {
    const { handle } = this;
    if (handle.closed) handle.fail(BPF_OBJ_PIN, EBADF);
    const { id, name, type, maxEntries } = handle.info;
    pin(handle.context, handle.fd, path, mapTitle(handle.info), { id, name, type, maxEntries });
  }

  /** Gives fd and buffers back. A second call does nothing; any other call is a `BpfError` EBADF. */
  close(): void {
    this.handle.close();
  }

  /** For `using`. Engines without the symbol get a method that nobody calls. */
  [Symbol.dispose](): void {
    this.close();
  }
}

// What console.log shows in Node: not the buffers. Not written as a member: the type of a class has no place for it.
Object.defineProperty(BpfMap.prototype, Symbol.for("nodejs.util.inspect.custom"), {
  configurable: true,
  value(this: BpfMap): unknown {
    const { type, name, id, fd, maxEntries } = this;
    return { type, name, id, fd, maxEntries };
  },
});

/** A map of a type that this library only carries along: for `fd`, `info` and raw calls. */
export class OtherMap extends BpfMap {
  readonly type = "other" as const;
}
