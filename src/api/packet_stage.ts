/** Columns of some packets in user memory, and what comes of them: what goes through one call of the host's. */
import { BATCH_SLACK } from "../cmd/run_batch.ts";
import type { UserBuffer } from "../host/host.ts";
import type { HostContext } from "./context.ts";

/** What is put into linear memory at a time: it stays in a processor's second cache. */
export const CHUNK_BYTES: number = 256 * 1024;
export const CHUNK_COUNT = 4096;
const OUT_BYTES = CHUNK_BYTES + 64 * 1024;
const U32 = 4;
/** Copies into shared memory go by words only where both sides have the same place in a word. */
export const WORD = 8;

export class PacketStage {
  readonly bytes: Uint8Array;
  /** Where packets are put one by one. */
  readonly gathered: Uint8Array;
  readonly ends: Uint32Array;
  readonly retvals: Uint32Array;
  readonly out: Uint8Array;
  readonly outEnds: Uint32Array;
  /** Where in `out` packets begin. */
  outAt = 0;
  readonly #block: UserBuffer;
  /** Where in `bytes` the first packet begins. */
  at = 0;
  /** Packets that are in it, and their bytes. */
  count = 0;
  length = 0;
  /** What the first one's beginning counts as in `ends`. */
  base = 0;

  constructor(context: HostContext) {
    const columns = CHUNK_COUNT * U32;
    const bytes = WORD + CHUNK_BYTES + BATCH_SLACK;
    this.#block = context.alloc(3 * columns + bytes + OUT_BYTES);
    const { buffer, byteOffset } = this.#block.bytes;
    const column = (n: number): Uint32Array => new Uint32Array(buffer, byteOffset + n * columns, CHUNK_COUNT);
    this.ends = column(0);
    this.retvals = column(1);
    this.outEnds = column(2);
    this.bytes = new Uint8Array(buffer, byteOffset + 3 * columns, bytes);
    this.gathered = buffer instanceof ArrayBuffer ? this.bytes : new Uint8Array(CHUNK_BYTES);
    this.out = new Uint8Array(buffer, this.bytes.byteOffset + this.bytes.length, OUT_BYTES);
  }

  addressOf(view: ArrayBufferView): number {
    return Number(this.#block.address) + view.byteOffset - this.#block.bytes.byteOffset;
  }

  packet(index: number): Uint8Array {
    const { at, base, ends } = this;
    return this.bytes.subarray(at + (index === 0 ? 0 : ends[index - 1]! - base), at + ends[index]! - base);
  }

  clear(): void {
    this.at = 0;
    this.count = 0;
    this.length = 0;
    this.base = 0;
  }

  free(): void {
    this.#block.free();
  }
}
