/** Reading a ring buffer from its mapping, as libbpf does. */
import type { Host } from "../../../src/host/host.ts";
import * as u from "../../../src/uapi/index.ts";
import type { Side } from "./side.ts";

const PAGE = 4096;
const DATA = 2 * PAGE;
const LENGTH_MASK = u.BPF_RINGBUF_DISCARD_BIT - 1;

export interface Ring {
  readonly consumer: Uint8Array;
  readonly all: Uint8Array;
  readonly mask: number;
}

/** Undefined: this fd cannot be mapped. */
export function openRing(host: Host, fd: number, maxEntries: number): Ring | undefined {
  const consumer = host.mmap(fd, { offset: 0, length: PAGE, prot: 3, dropsViews: true });
  if (typeof consumer === "number") return undefined;
  const all = host.mmap(fd, { offset: 0, length: DATA + 2 * maxEntries, prot: 1, dropsViews: true });
  if (typeof all !== "number") return { consumer, all, mask: maxEntries - 1 };
  host.munmap(consumer);
  return undefined;
}

export function closeRing(host: Host, ring: Ring): void {
  host.munmap(ring.consumer);
  host.munmap(ring.all);
}

/** Copies up to `most` records into the side's block. How many there were. */
export function consume({ consumer, all, mask }: Ring, most: number, side: Side): number {
  const view = new DataView(all.buffer, all.byteOffset, all.byteLength);
  const position = new DataView(consumer.buffer, consumer.byteOffset, 8);
  const producer = view.getBigUint64(PAGE, true);
  let at = position.getBigUint64(0, true);
  if (at > producer || producer - at > BigInt(mask) + 1n) at = producer;
  let records = 0;
  for (; at < producer && records < most; records++) {
    const header = DATA + (Number(at & 0xffff_ffffn) & mask);
    const length = view.getUint32(header, true) & LENGTH_MASK;
    const to = side.room(length + u.BPF_RINGBUF_HDR_SZ);
    side.bytes.set(all.subarray(header, header + u.BPF_RINGBUF_HDR_SZ + length), to);
    at += BigInt((length + u.BPF_RINGBUF_HDR_SZ + 7) & ~7);
  }
  position.setBigUint64(0, at, true);
  return records;
}
