/** Writer of raw BTF: for the maps that we create and for tests. What it writes `parseBtf` reads back. */
import { BTF_MAGIC, BTF_MAX_VLEN, BTF_VERSION } from "../uapi/index.ts";
import type { BtfDatasec, BtfEnum, BtfEnum64, BtfFuncProto, BtfInt, BtfLinkage, BtfMember, BtfType } from "./types.ts";
import { BTF_HEADER_SIZE, BTF_KINDS, BTF_LINKAGES, fail } from "./wire.ts";

const MAX_U32 = 0xffff_ffff;

/**
 * Types are numbered from 1 in the order in which they are added; a type may refer to one that is added later.
 *
 *     const b = new BtfBuilder();
 *     const u32 = b.int("unsigned int", 4);
 *     b.struct("pair", 8, [{ name: "a", typeId: u32, bitOffset: 0 }, { name: "b", typeId: u32, bitOffset: 32 }]);
 *     const bytes = b.build();
 */
export class BtfBuilder {
  readonly #littleEndian: boolean;
  readonly #words: number[] = [];
  readonly #strings: Map<string, number> = new Map([["", 0]]);
  readonly #stringBytes: number[] = [0];
  #count = 0;
  #highestRef = 0;

  constructor(options: { readonly littleEndian?: boolean } = {}) {
    this.#littleEndian = options.littleEndian ?? true;
  }

  int(name: string, size: number, options: Partial<Omit<BtfInt, "kind" | "name" | "size">> = {}): number {
    const plain = { signed: false, char: false, bool: false, bits: size * 8, bitOffset: 0 };
    return this.add({ kind: "int", name, size, ...plain, ...options });
  }

  ptr(typeId: number): number {
    return this.add({ kind: "ptr", name: "", typeId });
  }

  /** `indexTypeId` is an int type, by convention one of four bytes. */
  array(elemTypeId: number, indexTypeId: number, length: number): number {
    return this.add({ kind: "array", name: "", elemTypeId, indexTypeId, length });
  }

  struct(name: string, size: number, members: readonly MemberInput[]): number {
    return this.add({ kind: "struct", name, size, members: members.map(fullMember) });
  }

  union(name: string, size: number, members: readonly MemberInput[]): number {
    return this.add({ kind: "union", name, size, members: members.map(fullMember) });
  }

  enum(
    name: string,
    values: BtfEnum["values"],
    options: { readonly size?: number; readonly signed?: boolean } = {},
  ): number {
    return this.add({ kind: "enum", name, size: options.size ?? 4, signed: options.signed ?? false, values });
  }

  enum64(name: string, values: BtfEnum64["values"], options: { readonly signed?: boolean } = {}): number {
    return this.add({ kind: "enum64", name, size: 8, signed: options.signed ?? false, values });
  }

  fwd(name: string, of: "struct" | "union"): number {
    return this.add({ kind: "fwd", name, of });
  }

  typedef(name: string, typeId: number): number {
    return this.add({ kind: "typedef", name, typeId });
  }

  volatile(typeId: number): number {
    return this.add({ kind: "volatile", name: "", typeId });
  }

  const(typeId: number): number {
    return this.add({ kind: "const", name: "", typeId });
  }

  restrict(typeId: number): number {
    return this.add({ kind: "restrict", name: "", typeId });
  }

  func(name: string, protoId: number, linkage: BtfLinkage = "global"): number {
    return this.add({ kind: "func", name, typeId: protoId, linkage });
  }

  funcProto(returnTypeId: number, params: BtfFuncProto["params"]): number {
    return this.add({ kind: "func_proto", name: "", returnTypeId, params });
  }

  var(name: string, typeId: number, linkage: BtfLinkage = "global"): number {
    return this.add({ kind: "var", name, typeId, linkage });
  }

  datasec(name: string, size: number, vars: BtfDatasec["vars"]): number {
    return this.add({ kind: "datasec", name, size, vars });
  }

  float(name: string, size: number): number {
    return this.add({ kind: "float", name, size });
  }

  /** `componentIndex`: the member or parameter it stands on, -1 for the declaration itself. */
  declTag(text: string, typeId: number, componentIndex: number = -1): number {
    return this.add({ kind: "decl_tag", name: text, typeId, componentIndex, attribute: false });
  }

  typeTag(text: string, typeId: number): number {
    return this.add({ kind: "type_tag", name: text, typeId, attribute: false });
  }

  /** Adds any type as the parser gives it and returns its id. */
  add(type: BtfType): number {
    switch (type.kind) {
      case "void":
        return 0;
      case "int": {
        const encoding = (type.signed ? 1 : 0) | (type.char ? 2 : 0) | (type.bool ? 4 : 0);
        this.#head(type, 0, false, type.size);
        this.#words.push(encoding * 0x100_0000 + ((type.bitOffset & 0xff) << 16) + (type.bits & 0xff));
        break;
      }
      case "ptr":
      case "typedef":
      case "volatile":
      case "const":
      case "restrict":
        this.#head(type, 0, false, this.#ref(type.typeId));
        break;
      case "type_tag":
        this.#head(type, 0, type.attribute, this.#ref(type.typeId));
        break;
      case "array":
        this.#head(type, 0, false, 0);
        this.#words.push(
          this.#ref(type.elemTypeId),
          this.#ref(type.indexTypeId),
          this.#u32("array length", type.length),
        );
        break;
      case "struct":
      case "union":
        this.#composite(type);
        break;
      case "enum":
        this.#head(type, type.values.length, type.signed, type.size);
        for (const { name, value } of type.values) this.#words.push(this.string(name), value >>> 0);
        break;
      case "enum64":
        this.#head(type, type.values.length, type.signed, type.size);
        for (const { name, value } of type.values) {
          const low = Number(BigInt.asUintN(32, value));
          this.#words.push(this.string(name), low, Number(BigInt.asUintN(32, value >> 32n)));
        }
        break;
      case "fwd":
        this.#head(type, 0, type.of === "union", 0);
        break;
      case "func":
        this.#head(type, BTF_LINKAGES.indexOf(type.linkage), false, this.#ref(type.typeId));
        break;
      case "func_proto":
        this.#head(type, type.params.length, false, this.#ref(type.returnTypeId));
        for (const { name, typeId } of type.params) this.#words.push(this.string(name), this.#ref(typeId));
        break;
      case "var":
        this.#head(type, 0, false, this.#ref(type.typeId));
        this.#words.push(BTF_LINKAGES.indexOf(type.linkage));
        break;
      case "datasec":
        this.#head(type, type.vars.length, false, type.size);
        for (const { typeId, offset, size } of type.vars) {
          this.#words.push(this.#ref(typeId), this.#u32("offset", offset), this.#u32("size", size));
        }
        break;
      case "float":
        this.#head(type, 0, false, type.size);
        break;
      case "decl_tag":
        this.#head(type, 0, type.attribute, this.#ref(type.typeId));
        this.#words.push(type.componentIndex >>> 0);
        break;
      default:
        return type satisfies never;
    }
    this.#count++;
    return this.#count;
  }

  /** Offset of a text in the string section; equal texts share one. */
  string(text: string): number {
    const known = this.#strings.get(text);
    if (known !== undefined) return known;
    if (text.includes("\0")) fail(`name ${JSON.stringify(text)}`, "a NUL", "none");
    const offset = this.#stringBytes.length;
    for (const byte of new TextEncoder().encode(text)) this.#stringBytes.push(byte);
    this.#stringBytes.push(0);
    this.#strings.set(text, offset);
    return offset;
  }

  /** The raw BTF of everything added so far. */
  build(): Uint8Array {
    if (this.#highestRef > this.#count) {
      fail("BtfBuilder", `a reference to type id ${this.#highestRef}`, `at most ${this.#count} when it is built`);
    }
    const typeBytes = this.#words.length * 4;
    const bytes = new Uint8Array(BTF_HEADER_SIZE + typeBytes + this.#stringBytes.length);
    const view = new DataView(bytes.buffer);
    const little = this.#littleEndian;
    view.setUint16(0, BTF_MAGIC, little);
    view.setUint8(2, BTF_VERSION);
    const header = [BTF_HEADER_SIZE, 0, typeBytes, typeBytes, this.#stringBytes.length];
    for (const [i, word] of header.entries()) view.setUint32(4 + i * 4, word, little);
    for (const [i, word] of this.#words.entries()) view.setUint32(BTF_HEADER_SIZE + i * 4, word, little);
    bytes.set(this.#stringBytes, BTF_HEADER_SIZE + typeBytes);
    return bytes;
  }

  #composite(type: BtfType & { readonly kind: "struct" | "union" }): void {
    const bitfields = type.members.some((member) => member.bitSize !== 0);
    this.#head(type, type.members.length, bitfields, type.size);
    for (const { name, typeId, bitOffset, bitSize } of type.members) {
      // With bitfields an offset has 24 bits, and its upper byte is the width.
      if (bitSize > 0xff || bitOffset > (bitfields ? 0xff_ffff : MAX_U32)) {
        fail(`member ${name} of ${type.kind} ${type.name}`, `bits ${bitOffset}+${bitSize}`, "what fits the format");
      }
      const offset = bitfields ? bitSize * 0x100_0000 + bitOffset : bitOffset;
      this.#words.push(this.string(name), this.#ref(typeId), offset);
    }
  }

  #head(type: BtfType, vlen: number, flag: boolean, sizeOrType: number): void {
    if (vlen > BTF_MAX_VLEN) fail(`${type.kind} ${type.name}`, `${vlen} entries`, `at most ${BTF_MAX_VLEN}`);
    const kind = BTF_KINDS.indexOf(type.kind);
    this.#words.push(this.string(type.name), (flag ? 0x8000_0000 : 0) + kind * 0x100_0000 + vlen);
    this.#words.push(this.#u32(`size of ${type.kind} ${type.name}`, sizeOrType));
  }

  #ref(id: number): number {
    this.#highestRef = Math.max(this.#highestRef, this.#u32("type id", id));
    return id;
  }

  #u32(what: string, value: number): number {
    if (Number.isInteger(value) && value >= 0 && value <= MAX_U32) return value;
    return fail(what, `${value}`, "an integer of 32 bits");
  }
}

/** As BtfMember; a member is no bitfield unless it has a bitSize. */
export type MemberInput = Omit<BtfMember, "bitSize"> & { readonly bitSize?: number };

function fullMember(member: MemberInput): BtfMember {
  return { bitSize: 0, ...member };
}
