/** Writes classic pcap files: for tests, examples, and packets that a program returned. */
import { InputError } from "../errors.ts";
import {
  LINKTYPE_ETHERNET,
  PCAP_FILE_HEADER_SIZE,
  PCAP_MAGIC_MICROSECONDS,
  PCAP_MAGIC_NANOSECONDS,
  PCAP_MAX_SNAP_LENGTH,
  PCAP_PACKET_HEADER_SIZE,
  PCAP_VERSION_MAJOR,
  PCAP_VERSION_MINOR,
  type PcapHeader,
} from "./format.ts";

/** One packet to write; `originalLength` is `data.length` unless given. */
export interface PcapPacketInput {
  readonly timestampNs: bigint;
  readonly data: Uint8Array;
  readonly originalLength?: number;
}

/**
 * The bytes of a capture with these packets; by default little-endian, nanoseconds, Ethernet.
 * With microseconds the rest of a time stamp is cut off.
 *
 * @example
 * writeFileSync("out.pcap", writePcap([{ timestampNs: 0n, data: frame }]));
 */
export function writePcap(packets: Iterable<PcapPacketInput>, header: Partial<PcapHeader> = {}): Uint8Array {
  const list = [...packets];
  const little = header.byteOrder !== "big";
  const microseconds = header.resolution === "microseconds";
  const snapLength = header.snapLength ?? PCAP_MAX_SNAP_LENGTH;
  let size = PCAP_FILE_HEADER_SIZE;
  for (const packet of list) size += PCAP_PACKET_HEADER_SIZE + packet.data.length;

  const bytes = new Uint8Array(size);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, microseconds ? PCAP_MAGIC_MICROSECONDS : PCAP_MAGIC_NANOSECONDS, little);
  view.setUint16(4, PCAP_VERSION_MAJOR, little);
  view.setUint16(6, PCAP_VERSION_MINOR, little);
  view.setUint32(16, snapLength, little);
  view.setUint32(20, header.linkType ?? LINKTYPE_ETHERNET, little);

  let offset = PCAP_FILE_HEADER_SIZE;
  for (const [index, packet] of list.entries()) {
    const seconds = packet.timestampNs / 1_000_000_000n;
    if (packet.timestampNs < 0n || seconds > 0xffff_ffffn) {
      throw new InputError(
        `pcap: timestampNs of packet ${index + 1} is ${packet.timestampNs}, expected 0 to 2^32 seconds in nanoseconds`,
      );
    }
    if (packet.data.length > snapLength) {
      throw new InputError(
        `pcap: data of packet ${index + 1} is ${packet.data.length} bytes long, expected at most the snapshot length ${snapLength}`,
      );
    }
    const fraction = Number(packet.timestampNs % 1_000_000_000n);
    view.setUint32(offset, Number(seconds), little);
    view.setUint32(offset + 4, microseconds ? Math.floor(fraction / 1000) : fraction, little);
    view.setUint32(offset + 8, packet.data.length, little);
    view.setUint32(offset + 12, packet.originalLength ?? packet.data.length, little);
    bytes.set(packet.data, offset + PCAP_PACKET_HEADER_SIZE);
    offset += PCAP_PACKET_HEADER_SIZE + packet.data.length;
  }
  return bytes;
}
