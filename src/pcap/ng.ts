/**
 * Reads pcapng files: sections of either byte order, interface descriptions, enhanced, simple and old packet blocks, time
 * stamps of any resolution; other blocks are passed over. Described by draft-ietf-opsawg-pcapng. The bytes are hostile
 * until checked: what does not add up is an InputError that names the place. Not read: compressed files, secrets, names.
 */
import { InputError } from "../errors.ts";
import type { CapturedPacket } from "./format.ts";

/** The first block of a file and of each section. It reads the same in both byte orders. */
export const PCAPNG_SECTION = 0x0a0d0d0a;
const INTERFACE = 1;
/** What enhanced packet blocks replaced. */
const OLD_PACKET = 2;
const SIMPLE_PACKET = 3;
const ENHANCED_PACKET = 6;

const BYTE_ORDER = 0x1a2b3c4d;
const BYTE_ORDER_SWAPPED = 0x4d3c2b1a;
const VERSION_MAJOR = 1;
/** Type and length before a block's body, its length again behind it. */
const BLOCK_HEAD = 8;
const BLOCK_TAIL = 4;
/** Bytes of a body before options or data. */
const SECTION_SIZE = 16;
const INTERFACE_SIZE = 8;
const PACKET_SIZE = 20;
const SIMPLE_SIZE = 4;

const OPTION_END = 0;
const OPTION_RESOLUTION = 9;
const OPTION_OFFSET = 14;
const NS_PER_SECOND = 1_000_000_000n;

interface Interface {
  readonly linkType: number;
  /** 0: no limit. */
  readonly snapLength: number;
  /** Time stamps count in this part of a second. */
  readonly unitsPerSecond: bigint;
  /** Seconds to add to each. */
  readonly offset: bigint;
}

/** Yields the packets one by one; a broken block throws when its turn comes. */
export function* ngPackets(bytes: Uint8Array): Generator<CapturedPacket, void, undefined> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let little = true;
  let interfaces: Interface[] = [];
  let offset = 0;
  for (let number = 1; offset < bytes.length; number++) {
    const where = `pcapng: block ${number} at byte ${offset}`;
    if (bytes.length - offset < BLOCK_HEAD + BLOCK_TAIL) {
      cutOff(where, "header", bytes.length - offset, BLOCK_HEAD + BLOCK_TAIL);
    }
    const section = view.getUint32(offset, little) === PCAPNG_SECTION;
    if (section) little = readByteOrder(view, offset, where);
    const type = view.getUint32(offset, little);
    if (number === 1 && !section) fail(where, `type ${type}`, "a section header (0x0a0d0d0a)");
    const length = view.getUint32(offset + 4, little);
    if (length % 4 !== 0 || length < BLOCK_HEAD + BLOCK_TAIL)
      fail(where, `length ${length}`, "a multiple of 4 from 12");
    if (length > bytes.length - offset) cutOff(where, "block", bytes.length - offset, length);
    const again = view.getUint32(offset + length - BLOCK_TAIL, little);
    if (again !== length) fail(where, `length ${again} at its end`, `${length}, as at its beginning`);
    const block: Block = { view, little, start: offset + BLOCK_HEAD, end: offset + length - BLOCK_TAIL, where };
    switch (type) {
      case PCAPNG_SECTION:
        readSection(block);
        interfaces = [];
        break;
      case INTERFACE:
        interfaces.push(readInterface(block));
        break;
      case ENHANCED_PACKET:
      case OLD_PACKET:
        yield readPacket(block, interfaces, type === OLD_PACKET);
        break;
      case SIMPLE_PACKET:
        yield readSimplePacket(block, interfaces);
        break;
      default:
        break;
    }
    offset += length;
  }
}

/** A block's body. */
interface Block {
  readonly view: DataView;
  readonly little: boolean;
  readonly start: number;
  readonly end: number;
  readonly where: string;
}

function fail(where: string, found: string, expected: string): never {
  throw new InputError(`${where}: ${found}, expected ${expected}`);
}

function cutOff(where: string, what: string, left: number, wanted: number): never {
  fail(where, `${what} is cut off: ${left} bytes are left`, `${wanted}`);
}

function readByteOrder(view: DataView, offset: number, where: string): boolean {
  const magic = view.getUint32(offset + BLOCK_HEAD, true);
  if (magic === BYTE_ORDER) return true;
  if (magic === BYTE_ORDER_SWAPPED) return false;
  return fail(where, `byte-order magic 0x${magic.toString(16).padStart(8, "0")}`, "0x1a2b3c4d in either byte order");
}

function requireSize({ start, end, where }: Block, what: string, size: number): void {
  if (end - start < size) fail(where, `${what} of ${end - start} bytes`, `at least ${size}`);
}

function readSection(block: Block): void {
  requireSize(block, "a section header", SECTION_SIZE);
  const major = block.view.getUint16(block.start + 4, block.little);
  if (major !== VERSION_MAJOR) fail(block.where, `version ${major}`, `${VERSION_MAJOR}`);
}

function readInterface(block: Block): Interface {
  requireSize(block, "an interface description", INTERFACE_SIZE);
  const { view, little, start, end, where } = block;
  let unitsPerSecond = 1_000_000n;
  let offset = 0n;
  let at = start + INTERFACE_SIZE;
  while (end - at >= 4) {
    const code = view.getUint16(at, little);
    const length = view.getUint16(at + 2, little);
    at += 4;
    if (code === OPTION_END) break;
    if (length > end - at) fail(where, `an option of ${length} bytes`, `at most ${end - at}`);
    if (code === OPTION_RESOLUTION && length >= 1) {
      const power = view.getUint8(at);
      unitsPerSecond = (power & 0x80) === 0 ? 10n ** BigInt(power) : 2n ** BigInt(power & 0x7f);
    } else if (code === OPTION_OFFSET && length >= 8) {
      offset = view.getBigInt64(at, little);
    }
    at += (length + 3) & ~3;
  }
  return {
    linkType: view.getUint16(start, little),
    snapLength: view.getUint32(start + 4, little),
    unitsPerSecond,
    offset,
  };
}

function interfaceOf({ where }: Block, interfaces: readonly Interface[], index: number): Interface {
  const found = interfaces[index];
  if (found !== undefined) return found;
  return fail(where, `interface ${index}`, `one of the ${interfaces.length} that the section describes`);
}

function readPacket(block: Block, interfaces: readonly Interface[], old: boolean): CapturedPacket {
  requireSize(block, "a packet block", PACKET_SIZE);
  const { view, little, start } = block;
  const index = old ? view.getUint16(start, little) : view.getUint32(start, little);
  const { linkType, unitsPerSecond, offset } = interfaceOf(block, interfaces, index);
  const units = (BigInt(view.getUint32(start + 4, little)) << 32n) | BigInt(view.getUint32(start + 8, little));
  return {
    linkType,
    timestampNs: offset * NS_PER_SECOND + (units * NS_PER_SECOND) / unitsPerSecond,
    data: dataOf(block, start + PACKET_SIZE, view.getUint32(start + 12, little)),
    originalLength: view.getUint32(start + 16, little),
  };
}

/** A packet of the first interface, without a time and without its captured length: the snapshot length cuts it. */
function readSimplePacket(block: Block, interfaces: readonly Interface[]): CapturedPacket {
  requireSize(block, "a simple packet block", SIMPLE_SIZE);
  const { view, little, start } = block;
  const { linkType, snapLength } = interfaceOf(block, interfaces, 0);
  const originalLength = view.getUint32(start, little);
  const length = snapLength === 0 ? originalLength : Math.min(originalLength, snapLength);
  return { linkType, timestampNs: 0n, data: dataOf(block, start + SIMPLE_SIZE, length), originalLength };
}

function dataOf({ view, end, where }: Block, at: number, length: number): Uint8Array {
  if (length > end - at) fail(where, `captured length ${length}`, `at most the block's ${end - at} bytes`);
  return new Uint8Array(view.buffer, view.byteOffset + at, length);
}
