/** Second pass, one type at a time: a checked record becomes plain data. It checks nothing: see check.ts. */
import type { BtfDatasec, BtfEnum, BtfEnum64, BtfFuncProto, BtfInt, BtfLinkage, BtfMember, BtfType } from "./types.ts";
import { BTF_KINDS, BTF_LINKAGES, BTF_TYPE_SIZE, type BtfSource } from "./wire.ts";

/** The type whose record starts at `start`. */
export function decodeType(source: BtfSource, start: number): BtfType {
  const info = word(source, start + 4);
  const name = text(source, start);
  const sizeOrType = word(source, start + 8);
  const vlen = info & 0xffff;
  const flag = info >>> 31 === 1;
  const at = start + BTF_TYPE_SIZE; // what follows the common part
  const kind = BTF_KINDS[(info >>> 24) & 0x1f] ?? "void";
  switch (kind) {
    case "void":
      return { kind, name: "" };
    case "int":
      return int(name, sizeOrType, word(source, at));
    case "ptr":
    case "volatile":
    case "const":
    case "restrict":
      return { kind, name: "", typeId: sizeOrType };
    case "array":
      return {
        kind,
        name: "",
        elemTypeId: word(source, at),
        indexTypeId: word(source, at + 4),
        length: word(source, at + 8),
      };
    case "struct":
    case "union":
      return { kind, name, size: sizeOrType, members: members(source, at, vlen, flag) };
    case "enum":
      return { kind, name, size: sizeOrType, signed: flag, values: enumValues(source, at, vlen, flag) };
    case "enum64":
      return { kind, name, size: sizeOrType, signed: flag, values: enum64Values(source, at, vlen, flag) };
    case "fwd":
      return { kind, name, of: flag ? "union" : "struct" };
    case "typedef":
      return { kind, name, typeId: sizeOrType };
    case "func":
      return { kind, name, typeId: sizeOrType, linkage: linkage(vlen) };
    case "func_proto":
      return { kind, name: "", returnTypeId: sizeOrType, params: params(source, at, vlen) };
    case "var":
      return { kind, name, typeId: sizeOrType, linkage: linkage(word(source, at)) };
    case "datasec":
      return { kind, name, size: sizeOrType, vars: vars(source, at, vlen) };
    case "float":
      return { kind, name, size: sizeOrType };
    case "decl_tag":
      return { kind, name, typeId: sizeOrType, componentIndex: word(source, at) | 0, attribute: flag };
    case "type_tag":
      return { kind, name, typeId: sizeOrType, attribute: flag };
    default:
      return kind satisfies never;
  }
}

/** The name in the record that starts at `start`, empty for none. */
export function typeName(source: BtfSource, start: number): string {
  return text(source, start);
}

function int(name: string, size: number, data: number): BtfInt {
  const encoding = data >>> 24;
  return {
    kind: "int",
    name,
    size,
    bits: data & 0xff,
    bitOffset: (data >>> 16) & 0xff,
    signed: (encoding & 1) !== 0,
    char: (encoding & 2) !== 0,
    bool: (encoding & 4) !== 0,
  };
}

function members(source: BtfSource, start: number, count: number, bitfields: boolean): BtfMember[] {
  return list(start, 12, count, (at) => {
    const offset = word(source, at + 8);
    return {
      name: text(source, at),
      typeId: word(source, at + 4),
      bitOffset: bitfields ? offset & 0xff_ffff : offset,
      bitSize: bitfields ? offset >>> 24 : 0,
    };
  });
}

function enumValues(source: BtfSource, start: number, count: number, signed: boolean): BtfEnum["values"] {
  return list(start, 8, count, (at) => {
    const value = word(source, at + 4);
    return { name: text(source, at), value: signed ? value | 0 : value };
  });
}

function enum64Values(source: BtfSource, start: number, count: number, signed: boolean): BtfEnum64["values"] {
  return list(start, 12, count, (at) => {
    // The low word comes first in both byte orders.
    const value = (BigInt(word(source, at + 8)) << 32n) | BigInt(word(source, at + 4));
    return { name: text(source, at), value: signed ? BigInt.asIntN(64, value) : value };
  });
}

function params(source: BtfSource, start: number, count: number): BtfFuncProto["params"] {
  return list(start, 8, count, (at) => ({ name: text(source, at), typeId: word(source, at + 4) }));
}

function vars(source: BtfSource, start: number, count: number): BtfDatasec["vars"] {
  return list(start, 12, count, (at) => ({
    typeId: word(source, at),
    offset: word(source, at + 4),
    size: word(source, at + 8),
  }));
}

function list<T>(start: number, size: number, count: number, decode: (at: number) => T): T[] {
  const items: T[] = [];
  for (let i = 0; i < count; i++) items.push(decode(start + i * size));
  return items;
}

function linkage(value: number): BtfLinkage {
  return BTF_LINKAGES[value] ?? "static";
}

function word(source: BtfSource, at: number): number {
  return source.view.getUint32(at, source.littleEndian);
}

function text(source: BtfSource, at: number): string {
  return source.strings.at(word(source, at)) ?? "";
}
