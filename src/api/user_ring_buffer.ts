/** USER_RINGBUF: user space's end of the ring. Kernel counterpart: ringbuf.c, which says what lies where. */
import { InputError } from "../errors.ts";
import type { WaitOptions } from "../host/host.ts";
import { rup8 } from "../mem/layout.ts";
import { BPF_RINGBUF_BUSY_BIT, BPF_RINGBUF_DISCARD_BIT, BPF_RINGBUF_HDR_SZ, E2BIG, EBADF } from "../uapi/index.ts";
import { BpfMap } from "./bpf_map.ts";
import { nested } from "./codec/error.ts";
import { type AnyCodec, type Codec, CodecBuffer, type InferInput } from "./codec/index.ts";
import { BpfError } from "./error.ts";
import { errorMap, mapTitle } from "./map_failure.ts";
import type { MapHandle } from "./map_handle.ts";
import { mapRing, pause, type RingMapping } from "./ring_mapping.ts";

/** What makes bytes of a record: a codec for records of one shape, or a function that gives them. */
export type RecordEncoder = AnyCodec | ((record: never) => Uint8Array);

/** What an encoder takes. */
export type Encodable<E> = E extends (record: infer T) => Uint8Array ? T : InferInput<E>;

/** Programs get a record as a dynptr, which is no longer than this. */
const RECORD_MAX: number = 2 ** 24 - 1;
/** Pause when there is room, only not enough. */
const ROOM_MS = 1;

/**
 * BPF_MAP_TYPE_USER_RINGBUF: records for programs, which drain them. One writer at a time. Since Linux 6.1.
 *
 *     const orders = host.createMap({ type: "user_ringbuf", maxEntries: 64 * 1024, record: Order });
 *     if (!orders.output({ id: 1, amount: 5n })) drop();
 *     await orders.send({ id: 2, amount: 7n }, { signal });
 */
export class UserRingBuf<T> extends BpfMap {
  readonly type = "user_ringbuf" as const;
  readonly #encode: (record: unknown) => Uint8Array;
  #mapped: RingMapping | undefined;
  /** Records that were reserved, by the bytes that the caller fills, and where their headers lie. */
  readonly #reserved: Map<Uint8Array, number> = new Map();
  /** Ends the waits for room. */
  readonly #waits: Set<AbortController> = new Set();

  /** @internal */
  constructor(handle: MapHandle, record: RecordEncoder | undefined) {
    super(handle);
    this.#encode = encoderOf(record);
    handle.onClose(() => this.#unmap());
  }

  /** Bytes that were written and not drained yet, headers and records that are still reserved included. */
  pending(): number {
    const { consumer, producer } = this.#map();
    return Number(Atomics.load(producer, 0) - Atomics.load(consumer, 0));
  }

  /**
   * Sends a record. False: there is no room for it now. One that never fits is a `BpfError` E2BIG: a ring holds at most
   * `maxEntries` - 8 bytes, and 2^24 - 1.
   */
  output(record: T): boolean {
    return this.#output(this.#encode(record));
  }

  /**
   * As `output`, and waits for programs to make room. False: the time is over. An aborted signal rejects with its reason,
   * closing the map with a `BpfError` EBADF. Of several that wait, who finds room first goes first.
   */
  async send(record: T, options: WaitOptions = {}): Promise<boolean> {
    const { signal, timeoutMs = -1 } = options;
    signal?.throwIfAborted();
    const encoded = this.#encode(record);
    if (this.#output(encoded)) return true;
    // Others may send while this one waits, and the caller change what it gave.
    const bytes = new Uint8Array(encoded);
    const end = timeoutMs < 0 ? Number.POSITIVE_INFINITY : performance.now() + timeoutMs;
    const wait = new AbortController();
    const abort = (): void => wait.abort(signal?.reason);
    signal?.addEventListener("abort", abort, { once: true });
    this.#waits.add(wait);
    try {
      for (;;) {
        const left = end - performance.now();
        if (left <= 0) return false;
        await this.#wait(wait.signal, left);
        signal?.throwIfAborted();
        if (this.#output(bytes)) return true;
      }
    } finally {
      this.#waits.delete(wait);
      signal?.removeEventListener("abort", abort);
    }
  }

  /**
   * Room for a record of `size` bytes: bytes to be filled, zero, for `submit` or `discard`. Undefined: there is no room
   * now. Programs stop before a record that is reserved, also when later ones are complete; `close` discards it.
   */
  reserve(size: number): Uint8Array | undefined {
    if (!Number.isInteger(size) || size < 0) {
      throw new InputError(`reserve: size is ${size}, expected a whole number of bytes from 0 on`);
    }
    const header = this.#claim(size);
    if (header < 0) return undefined;
    const { words } = this.#map();
    Atomics.store(words, header >>> 2, size | BPF_RINGBUF_BUSY_BIT);
    this.#publish(size);
    const bytes = new Uint8Array(size);
    this.#reserved.set(bytes, header);
    return bytes;
  }

  /** Sends a record that `reserve` gave. */
  submit(bytes: Uint8Array): void {
    const header = this.#take(bytes, "submit");
    const { words, data } = this.#map();
    data.bytes.set(bytes, this.#payload(header));
    // The other side: a program that reads the header, then the record.
    Atomics.store(words, header >>> 2, bytes.length);
  }

  /** Gives up a record that `reserve` gave: programs pass over it. */
  discard(bytes: Uint8Array): void {
    const header = this.#take(bytes, "discard");
    Atomics.store(this.#map().words, header >>> 2, bytes.length | BPF_RINGBUF_DISCARD_BIT);
  }

  #take(bytes: Uint8Array, what: string): number {
    if (this.handle.closed) this.handle.fail(what, EBADF);
    const header = this.#reserved.get(bytes);
    if (header === undefined) {
      throw new InputError(`${mapTitle(this.info)}: ${what} takes what reserve() gave, once`);
    }
    this.#reserved.delete(bytes);
    return header;
  }

  #output(bytes: Uint8Array): boolean {
    const size = bytes.length;
    const header = this.#claim(size);
    if (header < 0) return false;
    const { words, data } = this.#map();
    // Complete before anybody sees it: a producer that dies leaves nothing behind that programs wait for.
    words[header >>> 2] = size;
    data.bytes.set(bytes, this.#payload(header));
    this.#publish(size);
    return true;
  }

  /** Where in the mapping the next record's header lies, -1 when there is no room for one of `size` bytes. */
  #claim(size: number): number {
    const { consumer, producer, words, dataAt } = this.#map();
    const total = rup8(size + BPF_RINGBUF_HDR_SZ);
    const { maxEntries } = this;
    if (size > RECORD_MAX || total > maxEntries) this.#tooLarge(size);
    const at = Number(Atomics.load(producer, 0));
    // The other side: a program that has read the records before it moves the consumer's position on.
    if (at + total - Number(Atomics.load(consumer, 0)) > maxEntries) return -1;
    const header = dataAt + (at % maxEntries);
    words[(header >>> 2) + 1] = 0;
    return header;
  }

  /** Where a record's bytes lie: behind its header, or where the ring begins when that is the last of it, as in libbpf. */
  #payload(header: number): number {
    const { dataAt } = this.#map();
    return dataAt + ((header - dataAt + BPF_RINGBUF_HDR_SZ) % this.maxEntries);
  }

  /** Shows the record of `size` bytes behind the producer's position to programs. */
  #publish(size: number): void {
    Atomics.add(this.#map().producer, 0, BigInt(rup8(size + BPF_RINGBUF_HDR_SZ)));
  }

  #tooLarge(size: number): never {
    const { info } = this.handle;
    const most = Math.min(info.maxEntries - BPF_RINGBUF_HDR_SZ, RECORD_MAX);
    const what = `${mapTitle(info)}: a record of ${size} bytes; ${most} are the most`;
    throw new BpfError({ errno: E2BIG, cmd: "reserve", what, map: errorMap(info) });
  }

  /** Until there may be more room than there was. */
  async #wait(signal: AbortSignal, timeoutMs: number): Promise<void> {
    const { handle } = this;
    // Some room is ready for poll, whatever it is that waits.
    if (this.pending() < this.maxEntries) return pause(ROOM_MS);
    const limited = Number.isFinite(timeoutMs) ? { timeoutMs } : {};
    try {
      const ready = await handle.host.wait([handle.fd], { signal, ...limited });
      if (typeof ready === "number") handle.fail("wait", ready);
    } catch (error) {
      if (handle.closed) handle.fail("wait", EBADF);
      throw error;
    }
  }

  /** Mapped when it is written for the first time: a ring that is only looked at costs nothing. */
  #map(): RingMapping {
    this.#mapped ??= mapRing(this.handle, "producer");
    return this.#mapped;
  }

  #unmap(): void {
    for (const [bytes, header] of this.#reserved) {
      Atomics.store(this.#map().words, header >>> 2, bytes.length | BPF_RINGBUF_DISCARD_BIT);
    }
    this.#reserved.clear();
    for (const wait of this.#waits) wait.abort();
    this.#mapped?.end();
    this.#mapped = undefined;
  }
}

/** Codecs write into one buffer, which is good until the next record. */
function encoderOf(record: RecordEncoder | undefined): (record: unknown) => Uint8Array {
  if (record === undefined) return (bytes) => bytesOf(bytes, "a record");
  if (typeof record === "function") {
    const encode = record as (value: unknown) => unknown;
    return (value) => bytesOf(encode(value), "what `record` gives");
  }
  const { size, write } = record as AnyCodec as Codec<unknown>;
  const buffer = CodecBuffer.alloc(size);
  return (value) => {
    try {
      write(buffer, 0, value);
    } catch (error) {
      throw nested(error, "record");
    }
    return buffer.bytes;
  };
}

function bytesOf(value: unknown, what: string): Uint8Array {
  if (value instanceof Uint8Array) return value;
  throw new InputError(`${what} is ${value === null ? "null" : typeof value}, expected a Uint8Array`);
}
