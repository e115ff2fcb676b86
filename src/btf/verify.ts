/**
 * What BPF_BTF_LOAD refuses beyond what no reader could make sense of: header, sections, names, flags and counts, one
 * type at a time. `parse.ts` stays lenient, for files that never see a kernel. Kernel counterpart: the meta checks of
 * kernel/bpf/btf.c. Results are 0 or a negative errno.
 */
import { BTF_MAGIC, BTF_MAX_TYPE, BTF_VERSION, E2BIG, EINVAL, ENOTSUPP } from "../uapi/index.ts";
import { BTF_HEADER_SIZE, BTF_KINDS, BTF_TYPE_SIZE } from "./wire.ts";

const FLAG = 0x8000_0000;
/** KSYM_NAME_LEN */
const MAX_NAME_BYTES = 512;
const MAX_STRINGS = 0x100_0000;

/** Judges the header and where the sections lie; `bytes` is as long as the caller said. */
export function verifyHeader(bytes: Uint8Array): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (bytes.length < 8) return -EINVAL;
  const length = view.getUint32(4, true);
  if (length > bytes.length) return -EINVAL;
  for (let i = BTF_HEADER_SIZE; i < length; i++) if (bytes[i] !== 0) return -E2BIG;
  if (length < BTF_HEADER_SIZE || view.getUint16(0, true) !== BTF_MAGIC) return -EINVAL;
  // Version, then flags: this kernel knows neither others nor any.
  if (view.getUint8(2) !== BTF_VERSION || view.getUint8(3) !== 0) return -ENOTSUPP;
  if (bytes.length === length) return -EINVAL;
  const sections = [8, 16]
    .map((at) => ({ offset: view.getUint32(at, true), length: view.getUint32(at + 4, true) }))
    .sort((a, b) => a.offset - b.offset);
  let end = 0;
  for (const section of sections) {
    if (section.offset !== end) return -EINVAL;
    end += section.length;
  }
  const strings = view.getUint32(20, true);
  if (end !== bytes.length - length || view.getUint32(8, true) % 4 !== 0) return -EINVAL;
  return view.getUint32(12, true) === 0 || strings === 0 || strings > MAX_STRINGS ? -EINVAL : 0;
}

/** Judges each type by itself; the blob was parsed before, so that every record is whole. */
export function verifyTypes(bytes: Uint8Array): number {
  return new TypeVerifier(bytes).all();
}

class TypeVerifier {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #strings: number;
  #at: number;
  readonly #end: number;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const header = this.#word(4);
    this.#at = header + this.#word(8);
    this.#end = this.#at + this.#word(12);
    this.#strings = header + this.#word(16);
  }

  all(): number {
    for (let count = 0; this.#at < this.#end; count++) {
      if (count === BTF_MAX_TYPE) return -E2BIG;
      const type = this.#at;
      if (!this.#one()) return this.#encodingUnknown(type) ? -ENOTSUPP : -EINVAL;
    }
    return 0;
  }

  /** The next type. False: -EINVAL. */
  #one(): boolean {
    const type = this.#at;
    const name = this.#word(type);
    const info = this.#word(type + 4);
    const flag = (info & FLAG) !== 0;
    const vlen = info & 0xffff;
    const size = this.#word(type + 8);
    const rest = type + BTF_TYPE_SIZE;
    this.#at = rest;
    switch (BTF_KINDS[(info >>> 24) & 0x1f]) {
      case "int":
        this.#at += 4;
        return vlen === 0 && !flag && this.#intOk(this.#word(rest), size);
      case "ptr":
      case "volatile":
      case "const":
      case "restrict":
        return vlen === 0 && !flag && name === 0;
      case "typedef":
        return vlen === 0 && !flag && this.#identifier(name);
      case "type_tag":
        return vlen === 0 && this.#bytes[this.#strings + name] !== 0;
      case "array":
        this.#at += 12;
        return vlen === 0 && !flag && name === 0 && size === 0 && this.#word(rest) !== 0 && this.#word(rest + 4) !== 0;
      case "struct":
        return this.#nameOrNone(name) && this.#members(vlen, size, flag, false);
      case "union":
        return this.#nameOrNone(name) && this.#members(vlen, size, flag, true);
      case "enum":
        return this.#nameOrNone(name) && this.#names(vlen, 8);
      case "enum64":
        return this.#nameOrNone(name) && this.#names(vlen, 12);
      case "fwd":
        return vlen === 0 && size === 0 && this.#identifier(name);
      case "func":
        return vlen < 2 && !flag && this.#identifier(name);
      case "func_proto":
        // What the parameters are called is looked at when their types are.
        this.#at += vlen * 8;
        return name === 0 && !flag;
      case "var":
        this.#at += 4;
        return vlen === 0 && !flag && size !== 0 && this.#identifier(name) && this.#word(rest) < 2;
      case "datasec":
        return !flag && size !== 0 && this.#section(name) && this.#variables(vlen, size);
      case "float":
        return vlen === 0 && !flag;
      case "decl_tag":
        this.#at += 4;
        return vlen === 0 && this.#bytes[this.#strings + name] !== 0 && (this.#word(rest) | 0) >= -1;
      default:
        return false;
    }
  }

  /** At most one of signed, char and bool. */
  #intOk(data: number, size: number): boolean {
    const bits = ((data >>> 16) & 0xff) + (data & 0xff);
    const encoding = data >>> 28 === 0 ? (data >>> 24) & 0xf : -1;
    return bits <= 128 && Math.ceil(bits / 8) <= size && [0, 1, 2, 4].includes(encoding);
  }

  /** An int that is right but for an encoding that is none of the kernel's. */
  #encodingUnknown(type: number): boolean {
    if (BTF_KINDS[(this.#word(type + 4) >>> 24) & 0x1f] !== "int" || (this.#word(type + 4) & 0x8000_ffff) !== 0)
      return false;
    const data = this.#word(type + BTF_TYPE_SIZE);
    return this.#intOk(data & 0xff_ffff, this.#word(type + 8)) && data >>> 28 === 0;
  }

  #members(count: number, size: number, bitfields: boolean, union: boolean): boolean {
    let last = 0;
    for (; count > 0; count--, this.#at += 12) {
      if (!this.#nameOrNone(this.#word(this.#at)) || this.#word(this.#at + 4) === 0) return false;
      const word = this.#word(this.#at + 8);
      const offset = bitfields ? word & 0xff_ffff : word;
      if ((union && offset !== 0) || offset < last || Math.ceil(offset / 8) > size) return false;
      last = offset;
    }
    return true;
  }

  #names(count: number, size: number): boolean {
    for (; count > 0; count--, this.#at += size) if (!this.#identifier(this.#word(this.#at))) return false;
    return true;
  }

  #variables(count: number, size: number): boolean {
    let last = 0;
    for (; count > 0; count--, this.#at += 12) {
      const offset = this.#word(this.#at + 4);
      const bytes = this.#word(this.#at + 8);
      if (this.#word(this.#at) === 0 || offset < last || offset >= size || bytes === 0 || bytes > size) return false;
      last = offset + bytes;
      if (last > size) return false;
    }
    return true;
  }

  #word(at: number): number {
    return this.#view.getUint32(at, true);
  }

  #nameOrNone(offset: number): boolean {
    return offset === 0 || this.#identifier(offset);
  }

  #identifier(offset: number): boolean {
    return offset !== 0 && isIdentifier(this.#bytes, this.#strings + offset);
  }

  /** A section's name: anything that can be printed. */
  #section(offset: number): boolean {
    const start = this.#strings + offset;
    let at = start;
    for (; this.#bytes[at] !== 0; at++) if (!printable(this.#bytes[at]!)) return false;
    return at > start && at - start <= MAX_NAME_BYTES;
  }
}

/** A name of C, with dots: letters are those of Latin-1. */
function isIdentifier(bytes: Uint8Array, start: number): boolean {
  let at = start;
  for (; bytes[at] !== 0; at++) {
    const c = bytes[at]!;
    const digit = c >= 0x30 && c <= 0x39;
    if (!(letter(c) || c === 0x5f || c === 0x2e || (digit && at > start))) return false;
  }
  return at > start && at - start <= MAX_NAME_BYTES;
}

function letter(c: number): boolean {
  const lower = c | 0x20;
  return (lower >= 0x61 && lower <= 0x7a) || (c >= 0xc0 && c !== 0xd7 && c !== 0xf7);
}

function printable(c: number): boolean {
  return (c >= 0x20 && c <= 0x7e) || c >= 0xa0;
}

/** Whether a decoded parameter name, which lies in no type's head, is one of C. */
export function nameIsIdentifier(name: string): boolean {
  return isIdentifier(new TextEncoder().encode(`${name}\0`), 0);
}
