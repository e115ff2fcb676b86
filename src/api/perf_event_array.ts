/** PERF_EVENT_ARRAY: records of programs by CPU, and counters that they read. */
import { InputError } from "../errors.ts";
import {
  BPF_ANY,
  BPF_MAP_CREATE,
  BPF_MAP_TYPE_ARRAY,
  BPF_MAP_TYPE_RINGBUF,
  BPF_MAP_UPDATE_ELEM,
  ENOENT,
} from "../uapi/index.ts";
import { Batches, type BatchOptions, checkedMax, type DrainOptions } from "./batches.ts";
import { BpfMap } from "./bpf_map.ts";
import { BpfError } from "./error.ts";
import { readMapInfo } from "./info.ts";
import { errorMap, mapTitle } from "./map_failure.ts";
import { MapHandle } from "./map_handle.ts";
import { type RecordDecoder, RingBuf } from "./ring_buffer.ts";

/** What a program sent with bpf_perf_event_output. */
export interface PerfRecord<T> {
  /** Where the program ran. */
  readonly cpu: number;
  /**
   * What it sent, with perf's padding: the length and 4 more is a multiple of 8. Behind the program's bytes lie those of
   * its packet that it asked for (upper half of the flags).
   */
  readonly data: T;
}

export interface OpenPerfOptions {
  /** Whose records are read. Default: all CPUs that the map has a slot for. */
  readonly cpus?: Iterable<number>;
  /** Pages of 4096 bytes for the records of each CPU, a power of two. Default 8. */
  readonly pages?: number;
}

/** What bpf_perf_event_read and bpf_perf_event_read_value give; times in nanoseconds. */
export interface PerfCounter {
  readonly counter: bigint;
  readonly enabled?: bigint;
  readonly running?: bigint;
}

const PAGES = 8;
const PAGE = 4096;
const KEY_SIZE = 4;
const COUNTER_SIZE = 24;

/**
 * BPF_MAP_TYPE_PERF_EVENT_ARRAY: records that programs send, a ring for each CPU. Since Linux 4.3. A ring buffer
 * (RINGBUF, since 5.8) does the same for all CPUs in one, in order; where programs are not given, prefer it.
 *
 * The embedded host has no perf events: `open` makes rings of its own, which count among its maps. On the kernel host
 * reading is an `InputError`: perf events are opened by perf_event_open(2), which this library does not call; programs
 * that were given their fds by others send as ever.
 *
 *     const events = host.createMap({ type: "perf_event_array", maxEntries: host.possibleCpus, record: Event }).open();
 *     for await (const batch of events.batches({ signal })) for (const { cpu, data } of batch) show(cpu, data);
 */
export class PerfEventArray<T> extends BpfMap {
  readonly type = "perf_event_array" as const;
  readonly #record: RecordDecoder | undefined;
  readonly #rings: Map<number, RingBuf<T>> = new Map();
  /** fds of counters by CPU. */
  readonly #counters: Map<number, number> = new Map();
  readonly #batches: Batches<PerfRecord<T>>;
  #lostBefore = 0;

  /** @internal */
  constructor(handle: MapHandle, record: RecordDecoder | undefined) {
    super(handle);
    this.#record = record;
    this.#batches = new Batches({
      handle,
      fds: () => [...this.#rings.values()].map((ring) => ring.fd),
      pending: () => [...this.#rings.values()].some((ring) => ring.pending() > 0),
      drain: (fn, options) => this.drain(fn, options),
    });
    handle.onClose(() => this.#close());
  }

  /**
   * Opens the rings of CPUs; one that is open already is emptied and made anew. Throws `InputError` on the kernel host and
   * for numbers that are none, `BpfError` E2BIG for a CPU without a slot, ENOMEM.
   */
  open(options: OpenPerfOptions = {}): this {
    const { handle } = this;
    const { pages = PAGES } = options;
    if (!Number.isInteger(pages) || pages < 1 || (pages & (pages - 1)) !== 0) {
      throw new InputError(`${mapTitle(handle.info)}: pages is ${pages}, expected a power of two`);
    }
    const count = Math.min(this.maxEntries, handle.host.possibleCpus);
    for (const cpu of options.cpus ?? Array(count).keys()) this.#openRing(cpu, pages * PAGE);
    return this;
  }

  #openRing(cpu: number, max_entries: number): void {
    const { context } = this.handle;
    const ring = { map_type: BPF_MAP_TYPE_RINGBUF, key_size: 0, value_size: 0, max_entries, map_name: "perf" };
    const fd = this.#putEvent(cpu, ring);
    const info = readMapInfo(context.seam, fd);
    if (typeof info === "number") {
      context.seam.close(fd);
      this.#fail(info, `the ring of CPU ${cpu}`);
    }
    this.#closeRing(cpu);
    const handle = new MapHandle(context, { fd, owned: true, info, access: "rw", valueBytes: 0 });
    this.#rings.set(cpu, new RingBuf<T>(handle, this.#record));
  }

  /** Creates a map and puts it into the slot as the CPU's event. Returns its fd. */
  #putEvent(cpu: number, attr: Record<string, number | string>): number {
    const { handle } = this;
    const { host } = handle;
    const title = mapTitle(handle.info);
    if (!Number.isInteger(cpu) || cpu < 0 || cpu > 0xffff_ffff) {
      throw new InputError(`${title}: CPU is ${cpu}, expected a whole number from 0 to ${this.maxEntries - 1}`);
    }
    if (host.setPerfEvent === undefined) {
      throw new InputError(
        `${title}: this library opens no perf events of the machine's kernel; let programs send to a ringbuf map instead`,
      );
    }
    const fd = host.bpf(BPF_MAP_CREATE, attr);
    if (fd < 0) return this.#fail(fd, `the event of CPU ${cpu}`);
    const ret = host.setPerfEvent(handle.fd, cpu, fd);
    if (ret === 0) return fd;
    host.close(fd);
    return this.#fail(ret, `slot ${cpu} of ${this.maxEntries}`);
  }

  #fail(errno: number, what: string): never {
    const { info } = this.handle;
    throw new BpfError({ errno, cmd: "open", what: `${mapTitle(info)}: ${what} cannot be used`, map: errorMap(info) });
  }

  /**
   * Gives the records that are there to `fn`, CPU by CPU and in order within one, and returns how many those were.
   */
  drain(fn: (record: PerfRecord<T>) => void, options: DrainOptions = {}): number {
    let left = checkedMax(options.max, Number.POSITIVE_INFINITY);
    let count = 0;
    for (const [cpu, ring] of this.#rings) {
      const max = left === Number.POSITIVE_INFINITY ? {} : { max: left };
      const read = ring.drain((data) => fn({ cpu, data }), max);
      count += read;
      left -= read;
      if (left === 0) break;
    }
    return count;
  }

  /** The records that are there. */
  read(): PerfRecord<T>[] {
    const records: PerfRecord<T>[] = [];
    this.drain((record) => records.push(record));
    return records;
  }

  /** Records as they come, as `batches` of a ring buffer gives them. */
  batches(options: BatchOptions = {}): AsyncGenerator<PerfRecord<T>[], void, undefined> {
    return this.#batches.run(options);
  }

  /** How many records found no room since `open`. */
  get lost(): number {
    let lost = this.#lostBefore;
    for (const ring of this.#rings.values()) lost += ring.stats().failedUpdates ?? 0;
    return lost;
  }

  /**
   * Makes the event of a CPU a counter with this value, for programs that run there; it takes the place of a ring.
   * Embedded hosts only, as `open`.
   */
  setCounter(cpu: number, { counter, enabled = 0n, running = 0n }: PerfCounter): this {
    const { host } = this.handle;
    const fd = this.#counters.get(cpu) ?? this.#newCounter(cpu);
    const value = new BigUint64Array([counter, enabled, running]);
    const key = new Uint8Array(KEY_SIZE);
    const ret = host.bpf(BPF_MAP_UPDATE_ELEM, { map_fd: fd, key, value, flags: BPF_ANY });
    return ret < 0 ? this.#fail(ret, `the counter of CPU ${cpu}`) : this;
  }

  #newCounter(cpu: number): number {
    const counter = { map_type: BPF_MAP_TYPE_ARRAY, key_size: KEY_SIZE, value_size: COUNTER_SIZE, max_entries: 1 };
    const fd = this.#putEvent(cpu, { ...counter, map_name: "perf" });
    this.#closeRing(cpu);
    this.#counters.set(cpu, fd);
    return fd;
  }

  /** Takes the event of a CPU out of the map: programs get ENOENT there. Whether there was one. */
  delete(cpu: number): boolean {
    const { handle } = this;
    handle.key.view.setUint32(0, cpu, true);
    const ret = handle.delete();
    this.#closeRing(cpu);
    if (ret !== 0 && ret !== -ENOENT) return this.#fail(ret, `slot ${cpu} of ${this.maxEntries}`);
    return ret === 0;
  }

  /** Whatever is open for the CPU. */
  #closeRing(cpu: number): void {
    const ring = this.#rings.get(cpu);
    if (ring !== undefined) this.#lostBefore += ring.stats().failedUpdates ?? 0;
    ring?.close();
    this.#rings.delete(cpu);
    const counter = this.#counters.get(cpu);
    if (counter !== undefined) this.handle.host.close(counter);
    this.#counters.delete(cpu);
  }

  #close(): void {
    this.#batches.end();
    for (const cpu of [...this.#rings.keys(), ...this.#counters.keys()]) this.#closeRing(cpu);
  }
}
