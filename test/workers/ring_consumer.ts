/** The consumer of a ring into which other threads produce: it reads by libbpf's rule. */
import type { EmbeddedHost } from "../../src/host/embedded.ts";

/** A record in the ring: valid until the call returns. */
export interface RingRecord {
  readonly payload: Buffer;
  readonly dropped: boolean;
}

/** Reads the ring of `size` bytes until there is enough. Its producers never move back, and stay in the ring. */
export async function consumeRing(
  host: EmbeddedHost,
  fd: number,
  size: number,
  visit: (record: RingRecord) => void,
  isEnough: () => boolean,
): Promise<void> {
  const whole = host.mmap(fd, { offset: 0, length: 8192 + 2 * size, prot: 1 }) as Uint8Array;
  const consumer = host.mmap(fd, { offset: 0, length: 4096, prot: 3 }) as Uint8Array;
  const u64 = new BigInt64Array(whole.buffer, whole.byteOffset, whole.length / 8);
  const u32 = new Int32Array(whole.buffer, whole.byteOffset, whole.length / 4);
  const cons = new BigInt64Array(consumer.buffer, consumer.byteOffset, 1);
  let at = Atomics.load(cons, 0);
  let last = at;
  while (!isEnough()) {
    const end = Atomics.load(u64, 512);
    // In a loop that turns a million times, a call of `expect` would be most of it.
    if (end < last || end - at >= BigInt(size)) {
      throw new Error(`the producers went from ${last} to ${end}, the consumer is at ${at}`);
    }
    last = end;
    while (at < end) {
      const header = 8192 + (Number(at) & (size - 1));
      const word = Atomics.load(u32, header >> 2) >>> 0;
      if (word >= 2 ** 31) break;
      const length = word & 0x3fff_ffff;
      const payload = Buffer.from(whole.buffer, whole.byteOffset + header + 8, length);
      visit({ payload, dropped: (word & 0x4000_0000) !== 0 });
      at += BigInt((length + 15) & ~7);
      Atomics.store(cons, 0, at);
    }
    await new Promise(setImmediate);
  }
}
