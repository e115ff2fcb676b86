/** Captures of either format, told apart by their first bytes. */
import type { CapturedPacket } from "./format.ts";
import { ngPackets, PCAPNG_SECTION } from "./ng.ts";
import { pcapPackets, readPcapHeader } from "./read.ts";

/**
 * Yields the packets of a pcap or pcapng file one by one, each with the link type of its interface. Throws InputError at
 * the first packet that is broken or cut off, when its turn comes.
 *
 * @example
 * for (const { data, linkType } of capturedPackets(readFileSync("traffic.pcapng"))) …
 */
export function* capturedPackets(bytes: Uint8Array): Generator<CapturedPacket, void, undefined> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length >= 4 && view.getUint32(0) === PCAPNG_SECTION) {
    yield* ngPackets(bytes);
    return;
  }
  const { linkType } = readPcapHeader(bytes);
  for (const packet of pcapPackets(bytes)) yield { ...packet, linkType };
}
