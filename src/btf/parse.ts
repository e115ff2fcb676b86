/** Reader of raw BTF (the .BTF section, /sys/kernel/btf/*, BPF_BTF_GET_INFO). Kernel counterpart: kernel/bpf/btf.c. */
import { Btf } from "./btf.ts";
import { BtfStrings } from "./strings.ts";
import type { BtfEnum, BtfEnum64, BtfLinkage, BtfMember, BtfType } from "./types.ts";
import { BTF_HEADER_SIZE, BTF_KINDS, BTF_LINKAGES, BTF_MAGIC, BTF_TYPE_SIZE, BTF_VERSION, fail } from "./wire.ts";

interface Section {
  readonly offset: number;
  readonly length: number;
}

/** Reads the byte order off the magic: true for little-endian. */
export function readByteOrder(view: DataView, where: string): boolean {
  if (view.byteLength < 8)
    return fail(where, `${view.byteLength} bytes`, "at least the 8 that give magic and header length");
  if (view.getUint16(0, true) === BTF_MAGIC) return true;
  if (view.getUint16(0, false) === BTF_MAGIC) return false;
  return fail(`${where}, byte 0`, `magic 0x${view.getUint16(0, true).toString(16)}`, "0xeb9f in either byte order");
}

/** Parses raw BTF of either byte order. Throws InputError on anything that is not well-formed. */
export function parseBtf(bytes: Uint8Array): Btf {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const littleEndian = readByteOrder(view, "header");
  if (bytes.length < BTF_HEADER_SIZE) fail("header", `${bytes.length} bytes`, `at least ${BTF_HEADER_SIZE}`);
  const version = view.getUint8(2);
  if (version !== BTF_VERSION) fail("header, byte 2", `version ${version}`, `${BTF_VERSION}`);
  const headerSize = view.getUint32(4, littleEndian);
  if (headerSize < BTF_HEADER_SIZE || headerSize > bytes.length) {
    fail("header, byte 4", `a header of ${headerSize} bytes`, `${BTF_HEADER_SIZE}..${bytes.length}`);
  }
  const section = (name: string, at: number): Section => {
    const offset = headerSize + view.getUint32(at, littleEndian);
    const length = view.getUint32(at + 4, littleEndian);
    if (offset + length <= bytes.length) return { offset, length };
    return fail(`header, byte ${at}`, `${name} section ${offset}+${length}`, `an end at or before ${bytes.length}`);
  };
  const typeSection = section("type", 8);
  const stringSection = section("string", 16);
  const stringBytes = bytes.subarray(stringSection.offset, stringSection.offset + stringSection.length);
  if (stringBytes.length === 0 || stringBytes[0] !== 0 || stringBytes[stringBytes.length - 1] !== 0) {
    fail(`string section at byte ${stringSection.offset}`, "no NUL at both ends", "an empty string first and NUL last");
  }
  const strings = new BtfStrings(stringBytes);
  const types = new TypeReader(view, littleEndian, typeSection, strings).all();
  return new Btf(types, strings, littleEndian);
}

class TypeReader {
  readonly #view: DataView;
  readonly #little: boolean;
  readonly #end: number;
  readonly #strings: BtfStrings;
  readonly #types: BtfType[] = [{ kind: "void", name: "" }];
  #at: number;
  /** Highest type id that anything so far refers to, and the type that does: checked when their number is known. */
  #highestRef = 0;
  #highestRefFrom = 0;

  constructor(view: DataView, littleEndian: boolean, section: Section, strings: BtfStrings) {
    this.#view = view;
    this.#little = littleEndian;
    this.#at = section.offset;
    this.#end = section.offset + section.length;
    this.#strings = strings;
  }

  all(): readonly BtfType[] {
    while (this.#at < this.#end) this.#types.push(this.#one());
    if (this.#highestRef >= this.#types.length) {
      fail(
        `type id ${this.#highestRefFrom}`,
        `a reference to type id ${this.#highestRef}`,
        `0..${this.#types.length - 1}`,
      );
    }
    return this.#types;
  }

  #one(): BtfType {
    const start = this.#at;
    this.#need(BTF_TYPE_SIZE, "type");
    const name = this.#name(this.#u32());
    const info = this.#u32();
    const sizeOrType = this.#u32();
    const vlen = info & 0xffff;
    const flag = info >>> 31 === 1;
    const kindNumber = (info >>> 24) & 0x1f;
    const kind = BTF_KINDS[kindNumber];
    if ((info & 0x60ff_0000) !== 0) return this.#bad(start, `info 0x${info.toString(16)}`, "unused bits to be zero");
    switch (kind) {
      case "int":
        return this.#int(start, name, sizeOrType);
      case "ptr":
        return { kind, name: "", typeId: this.#ref(sizeOrType) };
      case "array":
        return this.#array();
      case "struct":
      case "union":
        return { kind, name, size: sizeOrType, members: this.#members(start, vlen, flag, sizeOrType) };
      case "enum":
        this.#enumSize(start, sizeOrType);
        return { kind, name, size: sizeOrType, signed: flag, values: this.#enumValues(vlen, flag) };
      case "enum64":
        this.#enumSize(start, sizeOrType);
        return { kind, name, size: sizeOrType, signed: flag, values: this.#enum64Values(vlen, flag) };
      case "fwd":
        return { kind, name, of: flag ? "union" : "struct" };
      case "typedef":
        return { kind, name, typeId: this.#ref(sizeOrType) };
      case "volatile":
      case "const":
      case "restrict":
        return { kind, name: "", typeId: this.#ref(sizeOrType) };
      case "func":
        // Functions keep their linkage in the count's place.
        return { kind, name, typeId: this.#ref(sizeOrType), linkage: this.#linkage(start, vlen) };
      case "func_proto":
        return { kind, name: "", returnTypeId: this.#ref(sizeOrType), params: this.#params(vlen) };
      case "var":
        this.#need(4, "linkage");
        return { kind, name, typeId: this.#ref(sizeOrType), linkage: this.#linkage(start, this.#u32()) };
      case "datasec":
        return { kind, name, size: sizeOrType, vars: this.#vars(vlen) };
      case "float":
        if (![2, 4, 8, 12, 16].includes(sizeOrType))
          this.#bad(start, `a float of ${sizeOrType} bytes`, "2, 4, 8, 12 or 16");
        return { kind, name, size: sizeOrType };
      case "decl_tag": {
        this.#need(4, "component index");
        return { kind, name, typeId: this.#ref(sizeOrType), componentIndex: this.#u32() | 0, attribute: flag };
      }
      case "type_tag":
        return { kind, name, typeId: this.#ref(sizeOrType), attribute: flag };
      default:
        return this.#bad(start, `kind ${kindNumber}`, `1..${BTF_KINDS.length - 1}`);
    }
  }

  #int(start: number, name: string, size: number): BtfType {
    this.#need(4, "int encoding");
    const data = this.#u32();
    const encoding = (data >>> 24) & 0xf;
    const bitOffset = (data >>> 16) & 0xff;
    const bits = data & 0xff;
    if (![1, 2, 4, 8, 16].includes(size)) this.#bad(start, `an int of ${size} bytes`, "1, 2, 4, 8 or 16");
    if (bitOffset + bits > size * 8) this.#bad(start, `bits ${bitOffset}..${bitOffset + bits}`, `at most ${size * 8}`);
    return {
      kind: "int",
      name,
      size,
      bits,
      bitOffset,
      signed: (encoding & 1) !== 0,
      char: (encoding & 2) !== 0,
      bool: (encoding & 4) !== 0,
    };
  }

  #array(): BtfType {
    this.#need(12, "array");
    const elemTypeId = this.#ref(this.#u32());
    const indexTypeId = this.#ref(this.#u32());
    return { kind: "array", name: "", elemTypeId, indexTypeId, length: this.#u32() };
  }

  #members(start: number, count: number, bitfields: boolean, size: number): BtfMember[] {
    this.#need(count * 12, `${count} members`);
    const members: BtfMember[] = [];
    for (let i = 0; i < count; i++) {
      const name = this.#name(this.#u32());
      const typeId = this.#ref(this.#u32());
      const offset = this.#u32();
      const bitOffset = bitfields ? offset & 0xff_ffff : offset;
      const bitSize = bitfields ? offset >>> 24 : 0;
      if (bitOffset + bitSize > size * 8) {
        this.#bad(start, `member ${i} (${name}) at bits ${bitOffset}+${bitSize}`, `an end within ${size} bytes`);
      }
      members.push({ name, typeId, bitOffset, bitSize });
    }
    return members;
  }

  #enumSize(start: number, size: number): void {
    if (![1, 2, 4, 8].includes(size)) this.#bad(start, `an enum of ${size} bytes`, "1, 2, 4 or 8");
  }

  #enumValues(count: number, signed: boolean): BtfEnum["values"] {
    this.#need(count * 8, `${count} enum values`);
    return Array.from({ length: count }, () => {
      const name = this.#name(this.#u32());
      const value = this.#u32();
      return { name, value: signed ? value | 0 : value };
    });
  }

  #enum64Values(count: number, signed: boolean): BtfEnum64["values"] {
    this.#need(count * 12, `${count} enum64 values`);
    return Array.from({ length: count }, () => {
      const name = this.#name(this.#u32());
      const low = BigInt(this.#u32());
      const value = (BigInt(this.#u32()) << 32n) | low; // low word first in both byte orders
      return { name, value: signed ? BigInt.asIntN(64, value) : value };
    });
  }

  #params(count: number): { name: string; typeId: number }[] {
    this.#need(count * 8, `${count} parameters`);
    return Array.from({ length: count }, () => {
      const name = this.#name(this.#u32());
      return { name, typeId: this.#ref(this.#u32()) };
    });
  }

  #vars(count: number): { typeId: number; offset: number; size: number }[] {
    this.#need(count * 12, `${count} variables`);
    return Array.from({ length: count }, () => {
      const typeId = this.#ref(this.#u32());
      const offset = this.#u32();
      return { typeId, offset, size: this.#u32() };
    });
  }

  #linkage(start: number, value: number): BtfLinkage {
    return BTF_LINKAGES[value] ?? this.#bad(start, `linkage ${value}`, `0..${BTF_LINKAGES.length - 1}`);
  }

  #name(offset: number): string {
    return offset === 0 ? "" : this.#strings.name(offset, this.#types.length);
  }

  #ref(id: number): number {
    if (id > this.#highestRef) {
      this.#highestRef = id;
      this.#highestRefFrom = this.#types.length;
    }
    return id;
  }

  #u32(): number {
    const value = this.#view.getUint32(this.#at, this.#little);
    this.#at += 4;
    return value;
  }

  /** Every read is covered by one of these, made before its first byte. */
  #need(bytes: number, what: string): void {
    if (bytes <= this.#end - this.#at) return;
    this.#bad(this.#at, `${this.#end - this.#at} bytes for ${what}`, `${bytes}`);
  }

  #bad(at: number, found: string, expected: string): never {
    return fail(`type id ${this.#types.length}, byte ${at}`, found, expected);
  }
}
