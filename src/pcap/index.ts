/** Classic pcap files: read a capture, write one. */
export {
  LINKTYPE_ETHERNET,
  type PcapByteOrder,
  type PcapHeader,
  type PcapPacket,
  type PcapResolution,
} from "./format.ts";
export { type PcapFile, pcapPackets, readPcap, readPcapHeader } from "./read.ts";
export { type PcapPacketInput, writePcap } from "./write.ts";
