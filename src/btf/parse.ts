/** Reader of raw BTF (the .BTF section, /sys/kernel/btf/*, BPF_OBJ_GET_INFO_BY_FD). Kernel counterpart: kernel/bpf/btf.c. */
import { BTF_MAGIC, BTF_VERSION } from "../uapi/index.ts";
import { Btf } from "./btf.ts";
import { checkTypes } from "./check.ts";
import { BtfStrings } from "./strings.ts";
import { BTF_HEADER_SIZE, type BtfSource, fail } from "./wire.ts";

/** Reads the byte order off the magic: true for little-endian. */
export function readByteOrder(view: DataView, where: string): boolean {
  if (view.byteLength < 8) return fail(where, `${view.byteLength} bytes`, "at least the 8 up to the header's length");
  if (view.getUint16(0, true) === BTF_MAGIC) return true;
  if (view.getUint16(0, false) === BTF_MAGIC) return false;
  return fail(`${where}, byte 0`, `magic 0x${view.getUint16(0, true).toString(16)}`, "0xeb9f in either byte order");
}

/**
 * Parses raw BTF of either byte order. Throws InputError on anything that is not well-formed.
 * Every type is checked now and decoded when it is asked for, because a kernel has more than 100,000 of them.
 */
export function parseBtf(input: Uint8Array): Btf {
  // A copy: what has been checked must not change before it is decoded, and a TextDecoder refuses shared memory.
  const bytes = new Uint8Array(input);
  const view = new DataView(bytes.buffer);
  const littleEndian = readByteOrder(view, "header");
  if (bytes.length < BTF_HEADER_SIZE) fail("header", `${bytes.length} bytes`, `at least ${BTF_HEADER_SIZE}`);
  const version = view.getUint8(2);
  if (version !== BTF_VERSION) fail("header, byte 2", `version ${version}`, `${BTF_VERSION}`);
  const headerSize = view.getUint32(4, littleEndian);
  if (headerSize < BTF_HEADER_SIZE || headerSize > bytes.length) {
    fail("header, byte 4", `a header of ${headerSize} bytes`, `${BTF_HEADER_SIZE}..${bytes.length}`);
  }
  const section = (name: string, at: number): { offset: number; end: number } => {
    const offset = headerSize + view.getUint32(at, littleEndian);
    const end = offset + view.getUint32(at + 4, littleEndian);
    if (end <= bytes.length) return { offset, end };
    return fail(`header, byte ${at}`, `${name} section ${offset}..${end}`, `an end at or before ${bytes.length}`);
  };
  const types = section("type", 8);
  const strings = section("string", 16);
  const text = bytes.subarray(strings.offset, strings.end);
  if (text.length === 0 || text[0] !== 0 || text[text.length - 1] !== 0) {
    fail(`string section at byte ${strings.offset}`, "no NUL at both ends", "an empty string first and NUL last");
  }
  const source: BtfSource = { view, littleEndian, strings: new BtfStrings(text) };
  return new Btf(source, checkTypes(source, types.offset, types.end));
}
