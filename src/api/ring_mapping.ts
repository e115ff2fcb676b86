/** A ring's memory as user space has it mapped: for RINGBUF its end, for USER_RINGBUF its beginning. */
import { BPF_RINGBUF_DISCARD_BIT } from "../uapi/index.ts";
import { CodecBuffer } from "./codec/index.ts";
import type { MapHandle } from "./map_handle.ts";
import { mapInto } from "./mapping.ts";

/** Of a record's first header word: how many bytes of payload. */
export const LENGTH_MASK: number = BPF_RINGBUF_DISCARD_BIT - 1;

export interface RingMapping {
  /** The positions, one element each. They count bytes from the ring's creation; no ring lives for 2^53 of them. */
  readonly consumer: BigUint64Array;
  readonly producer: BigUint64Array;
  /** Of producer page and data, as words: record headers. */
  readonly words: Int32Array;
  /** The same as bytes. */
  readonly data: CodecBuffer;
  /** Where in `data` the records begin. */
  readonly dataAt: number;
  end(): void;
}

/** The mapping ends with the map's handle, and no view leaves it. */
const dropped = { dropsViews: true } as const;

/** Maps all of a ring. `writes`: whose part is to be written. Throws `BpfError`. */
export function mapRing(handle: MapHandle, writes: "consumer" | "producer"): RingMapping {
  const { host, info } = handle;
  const page = host.pageSize;
  const consumerPage = mapInto(handle, 0, page, writes === "consumer", dropped);
  let rest: Uint8Array;
  try {
    rest = mapInto(handle, page, page + 2 * info.maxEntries, writes === "producer", dropped);
  } catch (error) {
    host.munmap(consumerPage);
    throw error;
  }
  return {
    consumer: new BigUint64Array(consumerPage.buffer, consumerPage.byteOffset, 1),
    producer: new BigUint64Array(rest.buffer, rest.byteOffset, 1),
    words: new Int32Array(rest.buffer, rest.byteOffset, rest.length / 4),
    data: new CodecBuffer(rest),
    dataAt: page,
    end: () => {
      host.munmap(consumerPage);
      host.munmap(rest);
    },
  };
}

/** Some time for others. */
export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
