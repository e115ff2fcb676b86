/**
 * The classic pcap file: numbers and sizes. Layout: a 24-byte file header, then packets, each a 16-byte header and its
 * bytes, everything in the byte order of the machine that wrote it. Described by draft-ietf-opsawg-pcap.
 */

export const PCAP_MAGIC_MICROSECONDS = 0xa1b2c3d4;
export const PCAP_MAGIC_NANOSECONDS = 0xa1b23c4d;
export const PCAP_VERSION_MAJOR = 2;
export const PCAP_VERSION_MINOR = 4;
export const PCAP_FILE_HEADER_SIZE = 24;
export const PCAP_PACKET_HEADER_SIZE = 16;
/** What a snapshot length of 0, or one with the top bit set, means: no limit of its own, so libpcap's limit. */
export const PCAP_MAX_SNAP_LENGTH = 262144;
/** The link type whose packets begin with an Ethernet header, as XDP and tc programs expect them. */
export const LINKTYPE_ETHERNET = 1;

export type PcapByteOrder = "little" | "big";
export type PcapResolution = "microseconds" | "nanoseconds";

/** What the file header says. */
export interface PcapHeader {
  readonly byteOrder: PcapByteOrder;
  readonly resolution: PcapResolution;
  /** No packet holds more bytes than this. */
  readonly snapLength: number;
  /** One of the LINKTYPE_ numbers of tcpdump.org, for example LINKTYPE_ETHERNET. */
  readonly linkType: number;
}

export interface PcapPacket {
  /** Since 1970-01-01 UTC; 0 where the file has no time for it. */
  readonly timestampNs: bigint;
  /** The captured bytes: a view over the file, not a copy. */
  readonly data: Uint8Array;
  /** The packet's length on the wire; more than `data.length` when the capture cut it. */
  readonly originalLength: number;
}

/** A packet of a capture that may have several interfaces. */
export interface CapturedPacket extends PcapPacket {
  /** One of the LINKTYPE_ numbers of tcpdump.org. */
  readonly linkType: number;
}
