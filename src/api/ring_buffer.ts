/** RINGBUF: user space's end of the ring. Kernel counterpart: ringbuf.c, which says what lies where. */
import { InputError } from "../errors.ts";
import { rup8 } from "../mem/layout.ts";
import { BPF_RINGBUF_BUSY_BIT, BPF_RINGBUF_DISCARD_BIT, BPF_RINGBUF_HDR_SZ, EBADMSG } from "../uapi/index.ts";
import { BpfMap } from "./bpf_map.ts";
import { type AnyCodec, type Codec, type CodecBuffer, CodecError, type Infer } from "./codec/index.ts";
import { BpfError } from "./error.ts";
import { errorMap, mapTitle } from "./map_failure.ts";
import type { MapHandle } from "./map_handle.ts";
import { LENGTH_MASK, mapRing, pause, type RingMapping } from "./ring_mapping.ts";

/** What makes a value of a record: a codec for records of one shape, or a function of a private copy of its bytes. */
export type RecordDecoder = AnyCodec | ((bytes: Uint8Array) => unknown);

/** What a decoder gives. */
export type Decoded<D> = D extends (bytes: Uint8Array) => infer T ? T : Infer<D>;

/** How batches are read. */
export interface BatchOptions {
  /** Ends the loop by throwing the signal's reason. */
  readonly signal?: AbortSignal;
  /** Most records of a batch; default 4096. */
  readonly max?: number;
  /** Also look every so many milliseconds, for producers that wake nobody (BPF_RB_NO_WAKEUP). */
  readonly everyMs?: number;
}

/** How much is drained. */
export interface DrainOptions {
  /** Most records; default: all there are. */
  readonly max?: number;
}

const BATCH_MAX = 4096;
/** Milliseconds that a loop over batches that are always there goes on before others get their turn. */
const TURN_MS = 8;
/** Pause when the next record is still being written. */
const BUSY_MS = 1;

/**
 * BPF_MAP_TYPE_RINGBUF: records that programs send. One reader at a time: what one reads no other sees. Since Linux 5.8.
 *
 *     const events = host.createMap({ type: "ringbuf", maxEntries: 64 * 1024, record: Event });
 *     for await (const batch of events.batches({ signal })) for (const event of batch) show(event);
 */
export class RingBuf<T> extends BpfMap {
  readonly type = "ringbuf" as const;
  readonly #decode: (from: CodecBuffer, offset: number, length: number) => T;
  #mapped: RingMapping | undefined;
  #consuming = false;
  /** Ends the waits of open loops. */
  readonly #loops: Set<AbortController> = new Set();

  /** @internal */
  constructor(handle: MapHandle, record: RecordDecoder | undefined) {
    super(handle);
    this.#decode = decoderOf(record) as (from: CodecBuffer, offset: number, length: number) => T;
    handle.onClose(() => this.#unmap());
  }

  /** Bytes that were produced and not read yet, headers and records that are still being written included. */
  pending(): number {
    const { consumer, producer } = this.#map();
    return Number(Atomics.load(producer, 0) - Atomics.load(consumer, 0));
  }

  /**
   * Gives the records that are there to `fn`, in order, and returns how many those were. What `fn` throws comes
   * through; the record that it was given counts as read.
   */
  drain(fn: (record: T) => void, options: DrainOptions = {}): number {
    return this.#consume(fn, checkedMax(options.max, Number.POSITIVE_INFINITY));
  }

  /**
   * Records as they come, in arrays: one promise for each wake-up, not for each record. A loop that is left by `break`
   * has read the batches that it was given and nothing more. Ends when the map is closed.
   */
  async *batches(options: BatchOptions = {}): AsyncGenerator<T[], void, undefined> {
    const { signal, everyMs = -1 } = options;
    const max = checkedMax(options.max, BATCH_MAX);
    signal?.throwIfAborted();
    const loop = new AbortController();
    const abort = (): void => loop.abort(signal?.reason);
    signal?.addEventListener("abort", abort, { once: true });
    this.#loops.add(loop);
    let turn = performance.now();
    try {
      while (!this.closed) {
        signal?.throwIfAborted();
        const batch: T[] = [];
        this.#consume((record) => batch.push(record), max);
        if (batch.length > 0) {
          yield batch;
          if (performance.now() - turn < TURN_MS) continue;
          await pause(0);
        } else if (!(await this.#wait(loop.signal, everyMs))) {
          return;
        }
        turn = performance.now();
      }
    } finally {
      this.#loops.delete(loop);
      signal?.removeEventListener("abort", abort);
    }
  }

  /** Until there may be records. False: the map was closed meanwhile. */
  async #wait(signal: AbortSignal, everyMs: number): Promise<boolean> {
    const { handle } = this;
    if (this.pending() > 0) {
      await pause(BUSY_MS);
      return true;
    }
    try {
      const ready = await handle.host.wait([handle.fd], { signal, timeoutMs: everyMs });
      if (typeof ready === "number" && !handle.closed) handle.fail("wait", ready);
    } catch (error) {
      if (handle.closed) return false;
      throw error;
    }
    return true;
  }

  #consume(fn: (record: T) => void, max: number): number {
    const { consumer, producer, words, data, dataAt } = this.#map();
    if (this.#consuming) throw new InputError(`${mapTitle(this.info)} is being drained: its callback cannot drain it`);
    this.#consuming = true;
    const size = this.maxEntries;
    let at = Number(Atomics.load(consumer, 0));
    let count = 0;
    // The other side: a producer that stores its position after the header, and the header after the record.
    let end = Number(Atomics.load(producer, 0));
    try {
      while (at < end && count < max) {
        const header = dataAt + (at % size);
        const length = Atomics.load(words, header >>> 2) >>> 0;
        if (length >= BPF_RINGBUF_BUSY_BIT) break;
        const bytes = length & LENGTH_MASK;
        const next = at + rup8(bytes + BPF_RINGBUF_HDR_SZ);
        if (next > end) this.#spoiled(at, bytes);
        at = next;
        if ((length & BPF_RINGBUF_DISCARD_BIT) === 0) {
          count++;
          fn(this.#decode(data, header + BPF_RINGBUF_HDR_SZ, bytes));
          // The callback may have closed the map: its mapping shows nothing any more.
          if (this.#mapped === undefined) break;
        }
        if (at < end) continue;
        Atomics.store(consumer, 0, BigInt(at));
        end = Number(Atomics.load(producer, 0));
      }
    } finally {
      this.#consuming = false;
      // Producers may use the space from here on.
      if (this.#mapped !== undefined) Atomics.store(consumer, 0, BigInt(at));
    }
    return count;
  }

  #spoiled(position: number, bytes: number): never {
    const { info } = this.handle;
    const what = `${mapTitle(info)}: the record at position ${position} says ${bytes} bytes, which reach beyond what was produced`;
    throw new BpfError({ errno: EBADMSG, cmd: "drain", what, map: errorMap(info) });
  }

  /** Mapped when it is read for the first time: a ring that is only looked at costs nothing. */
  #map(): RingMapping {
    this.#mapped ??= mapRing(this.handle, "consumer");
    return this.#mapped;
  }

  #unmap(): void {
    for (const loop of this.#loops) loop.abort();
    this.#mapped?.end();
    this.#mapped = undefined;
  }
}

function checkedMax(max: number | undefined, otherwise: number): number {
  if (max === undefined) return otherwise;
  if (Number.isInteger(max) && max > 0) return max;
  throw new InputError(`max is ${max}, expected a whole number from 1 on`);
}

function decoderOf(record: RecordDecoder | undefined): (from: CodecBuffer, offset: number, length: number) => unknown {
  if (record === undefined) return (from, offset, length) => from.bytes.slice(offset, offset + length);
  if (typeof record === "function") return (from, offset, length) => record(from.bytes.slice(offset, offset + length));
  const { size, kind, read } = record as AnyCodec as Codec<unknown>;
  return (from, offset, length) => {
    if (length < size)
      throw new CodecError("size", `a record of ${length} bytes; ${kind} needs ${size}`, length, "record");
    return read(from, offset);
  };
}
