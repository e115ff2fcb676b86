/**
 * Reads classic pcap files: either byte order, micro- or nanoseconds. The bytes are hostile until checked: what does not
 * add up is an InputError that names the place. Not read: pcapng (see ng.ts) and compressed files, which are recognised
 * and named.
 */
import { InputError } from "../errors.ts";
import {
  PCAP_FILE_HEADER_SIZE,
  PCAP_MAGIC_MICROSECONDS,
  PCAP_MAGIC_NANOSECONDS,
  PCAP_MAX_SNAP_LENGTH,
  PCAP_PACKET_HEADER_SIZE,
  PCAP_VERSION_MAJOR,
  PCAP_VERSION_MINOR,
  type PcapByteOrder,
  type PcapHeader,
  type PcapPacket,
} from "./format.ts";
import { PCAPNG_SECTION } from "./ng.ts";

/** A whole capture. */
export interface PcapFile extends PcapHeader {
  readonly packets: readonly PcapPacket[];
}

/**
 * Reads a whole capture; every packet is checked before this returns.
 *
 * @example
 * const { packets } = readPcap(readFileSync("traffic.pcap"));
 */
export function readPcap(bytes: Uint8Array): PcapFile {
  return { ...readPcapHeader(bytes), packets: [...pcapPackets(bytes)] };
}

/** Reads the file header only. */
export function readPcapHeader(bytes: Uint8Array): PcapHeader {
  const view = viewOf(bytes);
  if (bytes.length < 4) {
    throw new InputError(`pcap: file is ${bytes.length} bytes long, expected a ${PCAP_FILE_HEADER_SIZE}-byte header`);
  }
  const [byteOrder, magic] = readMagic(view);
  if (bytes.length < PCAP_FILE_HEADER_SIZE) {
    throw new InputError(
      `pcap: file header is cut off: the file is ${bytes.length} bytes long, expected at least ${PCAP_FILE_HEADER_SIZE}`,
    );
  }
  const little = byteOrder === "little";
  const major = view.getUint16(4, little);
  const minor = view.getUint16(6, little);
  if (major !== PCAP_VERSION_MAJOR || minor !== PCAP_VERSION_MINOR) {
    throw new InputError(
      `pcap: version at byte 4 is ${major}.${minor}, expected ${PCAP_VERSION_MAJOR}.${PCAP_VERSION_MINOR}`,
    );
  }
  const snapLength = view.getUint32(16, little);
  return {
    byteOrder,
    resolution: magic === PCAP_MAGIC_NANOSECONDS ? "nanoseconds" : "microseconds",
    snapLength: snapLength === 0 || snapLength > 0x7fffffff ? PCAP_MAX_SNAP_LENGTH : snapLength,
    // The upper half is reserved bits and the length of a frame check sequence.
    linkType: view.getUint32(20, little) & 0xffff,
  };
}

/** Yields the packets one by one, for captures too large to list; a broken packet throws when its turn comes. */
export function* pcapPackets(bytes: Uint8Array): Generator<PcapPacket, void, undefined> {
  const header = readPcapHeader(bytes);
  const little = header.byteOrder === "little";
  const fractionNs = header.resolution === "nanoseconds" ? 1n : 1000n;
  const view = viewOf(bytes);
  let offset = PCAP_FILE_HEADER_SIZE;
  for (let number = 1; offset < bytes.length; number++) {
    const left = bytes.length - offset;
    if (left < PCAP_PACKET_HEADER_SIZE) {
      throw new InputError(
        `${place(number, offset)}: header is cut off: ${left} bytes are left, expected ${PCAP_PACKET_HEADER_SIZE}`,
      );
    }
    const length = view.getUint32(offset + 8, little);
    if (length > header.snapLength) {
      throw new InputError(
        `${place(number, offset)}: captured length is ${length}, expected at most the snapshot length ${header.snapLength}`,
      );
    }
    const start = offset + PCAP_PACKET_HEADER_SIZE;
    if (length > bytes.length - start) {
      throw new InputError(
        `${place(number, offset)}: data is cut off: ${bytes.length - start} bytes are left, expected ${length}`,
      );
    }
    const seconds = BigInt(view.getUint32(offset, little));
    const fraction = BigInt(view.getUint32(offset + 4, little));
    yield {
      timestampNs: seconds * 1_000_000_000n + fraction * fractionNs,
      data: bytes.subarray(start, start + length),
      originalLength: view.getUint32(offset + 12, little),
    };
    offset = start + length;
  }
}

function place(number: number, offset: number): string {
  return `pcap: packet ${number} at byte ${offset}`;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function readMagic(view: DataView): [PcapByteOrder, number] {
  const little = view.getUint32(0, true);
  if (little === PCAP_MAGIC_MICROSECONDS || little === PCAP_MAGIC_NANOSECONDS) return ["little", little];
  const big = view.getUint32(0, false);
  if (big === PCAP_MAGIC_MICROSECONDS || big === PCAP_MAGIC_NANOSECONDS) return ["big", big];
  throw new InputError(
    `pcap: magic at byte 0 is ${hex(big)}${otherFormat(big, little)}, expected ` +
      `${hex(PCAP_MAGIC_MICROSECONDS)} (microseconds) or ${hex(PCAP_MAGIC_NANOSECONDS)} (nanoseconds) in either byte order, ` +
      "or a pcapng file",
  );
}

/** Names the file formats that people hand in by mistake. */
function otherFormat(big: number, little: number): string {
  if (big === PCAPNG_SECTION) return ", this is a pcapng file (capturedPackets reads both)";
  if (big === 0xa1b2cd34 || little === 0xa1b2cd34) return ", the modified pcap format of old Linux patches";
  if (big >>> 16 === 0x1f8b) return ", this is a gzip file (unpack it first)";
  if (big === 0x28b52ffd) return ", this is a zstd file (unpack it first)";
  if (big === 0x7f454c46) return ", this is an ELF object";
  return "";
}

function hex(word: number): string {
  return `0x${word.toString(16).padStart(8, "0")}`;
}
