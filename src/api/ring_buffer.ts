/** RINGBUF: user space's end of the ring. Kernel counterpart: ringbuf.c, which says what lies where. */
import { InputError } from "../errors.ts";
import { rup8 } from "../mem/layout.ts";
import { BPF_RINGBUF_BUSY_BIT, BPF_RINGBUF_DISCARD_BIT, BPF_RINGBUF_HDR_SZ, EBADMSG } from "../uapi/index.ts";
import { Batches, type BatchOptions, checkedMax, type DrainOptions } from "./batches.ts";
import { BpfMap } from "./bpf_map.ts";
import { type AnyCodec, type Codec, type CodecBuffer, CodecError, type Infer } from "./codec/index.ts";
import { BpfError } from "./error.ts";
import { errorMap, mapTitle } from "./map_failure.ts";
import type { MapHandle } from "./map_handle.ts";
import { LENGTH_MASK, mapRing, type RingMapping } from "./ring_mapping.ts";

/** What makes a value of a record: a codec for records of one shape, or a function of a private copy of its bytes. */
export type RecordDecoder = AnyCodec | ((bytes: Uint8Array) => unknown);

/** What a decoder gives. */
export type Decoded<D> = D extends (bytes: Uint8Array) => infer T ? T : Infer<D>;

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
  readonly #batches: Batches<T>;

  /** @internal */
  constructor(handle: MapHandle, record: RecordDecoder | undefined) {
    super(handle);
    this.#decode = decoderOf(record) as (from: CodecBuffer, offset: number, length: number) => T;
    this.#batches = new Batches({
      handle,
      fds: () => [handle.fd],
      pending: () => this.pending() > 0,
      drain: (fn, options) => this.drain(fn, options),
    });
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
  batches(options: BatchOptions = {}): AsyncGenerator<T[], void, undefined> {
    return this.#batches.run(options);
  }

  #consume(fn: (record: T) => void, max: number): number {
    const { consumer, producer, words, data, dataAt } = this.#map();
    if (this.#consuming) throw new InputError(`${mapTitle(this.info)} is being drained: its callback cannot drain it`);
    this.#consuming = true;
    const size = this.maxEntries;
    let at = Number(Atomics.load(consumer, 0));
    let count = 0;
    // The other side: a producer, whose position comes when a record is busy at least, and a whole header after the record.
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
    this.#batches.end();
    this.#mapped?.end();
    this.#mapped = undefined;
  }
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
