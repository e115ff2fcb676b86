/** Captures: pcap and pcapng to read, pcap to write. */
export { capturedPackets } from "./capture.ts";
export {
  type CapturedPacket,
  LINKTYPE_ETHERNET,
  type PcapByteOrder,
  type PcapHeader,
  type PcapPacket,
  type PcapResolution,
} from "./format.ts";
export { type PcapFile, pcapPackets, readPcap, readPcapHeader } from "./read.ts";
export { type PcapPacketInput, writePcap } from "./write.ts";
