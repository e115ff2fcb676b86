/**
 * What BPF_BTF_LOAD refuses in how types refer to each other: loops, members that do not fit, things without a size
 * where one is needed. Kernel counterpart: the resolving pass of kernel/bpf/btf.c. Results are 0 or a negative errno.
 */
import { E2BIG, EEXIST, EINVAL, ELOOP } from "../uapi/index.ts";
import type { Btf } from "./btf.ts";
import type {
  BtfArray,
  BtfComposite,
  BtfDatasec,
  BtfDeclTag,
  BtfFuncProto,
  BtfInt,
  BtfMember,
  BtfType,
} from "./types.ts";
import { nameIsIdentifier } from "./verify.ts";

const MAX_DEPTH = 32;
const MAX_BITS = 128;
/** Bits that the kernel takes a bitfield of an enum to have. */
const ENUM_BITS = 32;

/** States of a type; 0: nobody was there yet. */
const VISITED = 1;
const RESOLVED = 2;

/** Where a walk ends: behind a pointer at structs, inside a struct at pointers. */
type Mode = "any" | "pointer" | "inside";

export function verifyReferences(btf: Btf): number {
  return new Resolver(btf).all();
}

class Resolver {
  readonly #btf: Btf;
  readonly #states: Uint8Array;

  constructor(btf: Btf) {
    this.#btf = btf;
    this.#states = new Uint8Array(btf.count);
  }

  all(): number {
    for (let id = 1; id < this.#btf.count; id++) {
      const bad = this.#visit(id, "any", 0);
      if (bad !== 0) return bad;
    }
    return this.#tagsFirst();
  }

  /** On the way from a declaration to the plain type, tags come before names and qualifiers. */
  #tagsFirst(): number {
    for (let id = 1; id < this.#btf.count; id++) {
      let type = this.#btf.type(id);
      let tags = type.kind === "type_tag";
      let at = id;
      // What lies below `id` was judged already.
      for (let length = 0; isChain(type) && at >= id; length++) {
        if (length === MAX_DEPTH) return -ELOOP;
        at = type.typeId;
        type = this.#btf.type(at);
        if (type.kind === "type_tag" && !tags) return -EINVAL;
        tags &&= type.kind === "type_tag" || !isChain(type);
      }
    }
    return 0;
  }

  #visit(id: number, from: Mode, depth: number): number {
    if (this.#states[id] === RESOLVED) return 0;
    if (depth === MAX_DEPTH) return -E2BIG;
    if (this.#states[id] === VISITED) return -EEXIST;
    this.#states[id] = VISITED;
    const type = this.#btf.type(id);
    let mode = from;
    if (mode === "any" && type.kind === "ptr") mode = "pointer";
    if (mode === "any" && (isComposite(type) || type.kind === "array")) mode = "inside";
    const bad = this.#check(id, type, mode, depth + 1);
    this.#states[id] = RESOLVED;
    return bad;
  }

  /** Goes on to a type that this one refers to, unless the walk ends there. */
  #next(id: number, mode: Mode, depth: number): number {
    const type = this.#btf.type(id);
    const { kind } = type;
    const chain = isChain(type);
    if (mode === "pointer" && !chain && kind !== "ptr") return 0;
    if (mode === "inside" && !chain && kind !== "array" && kind !== "struct" && kind !== "union") return 0;
    return this.#visit(id, mode, depth);
  }

  #check(id: number, type: BtfType, mode: Mode, depth: number): number {
    switch (type.kind) {
      case "ptr":
      case "typedef":
      case "volatile":
      case "const":
      case "restrict":
      case "type_tag": {
        const bad = sourceOnly(this.#btf.type(type.typeId)) ? -EINVAL : this.#next(type.typeId, mode, depth);
        return bad !== 0 || this.#leadsTo(type.typeId) ? bad : -EINVAL;
      }
      case "array":
        return this.#array(type, mode, depth);
      case "struct":
      case "union":
        return this.#members(id, type, mode, depth);
      case "func": {
        const proto = this.#btf.type(type.typeId);
        if (proto.kind !== "func_proto") return -EINVAL;
        return proto.params.every(({ name, typeId }) => name !== "" || typeId === 0) ? 0 : -EINVAL;
      }
      case "func_proto":
        return this.#proto(type);
      case "var": {
        const bad = sourceOnly(this.#btf.type(type.typeId)) ? -EINVAL : this.#next(type.typeId, mode, depth);
        return bad !== 0 || this.#size(type.typeId) !== undefined ? bad : -EINVAL;
      }
      case "datasec":
        return this.#section(type, mode, depth);
      case "decl_tag":
        return this.#tag(type);
      default:
        return 0;
    }
  }

  #array({ indexTypeId, elemTypeId, length }: BtfArray, mode: Mode, depth: number): number {
    for (const id of [indexTypeId, elemTypeId]) {
      if (sourceOnly(this.#btf.type(id))) return -EINVAL;
      const bad = this.#next(id, mode, depth);
      if (bad !== 0) return bad;
      const type = this.#plain(id);
      if (type === undefined || (type.kind === "int" && !regular(type))) return -EINVAL;
      if (id === indexTypeId && type.kind !== "int") return -EINVAL;
    }
    return (this.#size(elemTypeId) ?? 0) * length > 0xffff_ffff ? -EINVAL : 0;
  }

  #members(id: number, type: BtfComposite<"struct" | "union">, mode: Mode, depth: number): number {
    const bitfields = this.#btf.kindFlag(id);
    for (const member of type.members) {
      if (sourceOnly(this.#btf.type(member.typeId))) return -EINVAL;
      const bad = this.#next(member.typeId, mode, depth);
      if (bad !== 0) return bad;
      if (!this.#fits(member, type.size * 8, bitfields)) return -EINVAL;
    }
    return 0;
  }

  /** A member in a struct of so many bits; where there are bitfields, ints and enums are judged otherwise. */
  #fits({ typeId, bitOffset, bitSize }: BtfMember, room: number, bitfields: boolean): boolean {
    const type = this.#plain(typeId);
    if (type === undefined) return false;
    const bit = bitOffset % 8;
    if (type.kind === "int") return intFits(type, bitOffset, bitSize, room, bitfields);
    if (bitfields && (type.kind === "enum" || type.kind === "enum64")) {
      if (bitSize === 0 ? bit !== 0 : bitSize > ENUM_BITS) return false;
      return bitOffset - bit + bytesOf(bit + (bitSize === 0 ? ENUM_BITS : bitSize)) * 8 <= room;
    }
    if (bitSize !== 0 || bit !== 0) return false;
    if (type.kind === "float" && bitOffset % (Math.min(4, type.size) * 8) !== 0) return false;
    return bitOffset + (this.#size(typeId) ?? 0) * 8 <= room;
  }

  #proto({ returnTypeId, params }: BtfFuncProto): number {
    const given = [...params];
    const last = given.at(-1);
    if (last?.typeId === 0) {
      if (last.name !== "") return -EINVAL;
      given.pop();
    }
    const ids = given.map((param) => param.typeId);
    if (returnTypeId !== 0) ids.unshift(returnTypeId);
    for (const id of ids) {
      if (sourceOnly(this.#btf.type(id))) return -EINVAL;
      // A prototype has no size, and may be this one.
      if (this.#btf.type(id).kind === "func_proto") return -EINVAL;
      const bad = this.#visit(id, "any", 0);
      if (bad !== 0) return bad;
      if (this.#size(id) === undefined) return -EINVAL;
    }
    return given.every(({ name }) => name === "" || nameIsIdentifier(name)) ? 0 : -EINVAL;
  }

  #section({ vars }: BtfDatasec, mode: Mode, depth: number): number {
    for (const { typeId, size } of vars) {
      if (this.#btf.type(typeId).kind !== "var") return -EINVAL;
      const bad = this.#next(typeId, mode, depth);
      if (bad !== 0) return bad;
      if (size < (this.#size(typeId) ?? Number.POSITIVE_INFINITY)) return -EINVAL;
    }
    return 0;
  }

  #tag({ typeId, componentIndex }: BtfDeclTag): number {
    const target = this.#btf.type(typeId);
    if (componentIndex === -1)
      return isComposite(target) || ["func", "var", "typedef"].includes(target.kind) ? 0 : -EINVAL;
    let count = 0;
    if (isComposite(target)) count = target.members.length;
    if (target.kind === "func") {
      const proto = this.#btf.type(target.typeId);
      count = proto.kind === "func_proto" ? proto.params.length : 0;
    }
    return componentIndex < count ? 0 : -EINVAL;
  }

  /**
   * What pointers and qualifiers may lead to: something with a size, or void, a forward declaration, a prototype. A
   * function counts as void once it was looked at.
   */
  #leadsTo(id: number): boolean {
    if (this.#size(id) !== undefined) return true;
    const end = this.#btf.resolve(id);
    const { kind } = this.#btf.type(end);
    if (kind === "func") return this.#states[end] === RESOLVED;
    return kind === "void" || kind === "fwd" || kind === "func_proto";
  }

  /** The type behind names and qualifiers that has a size; undefined: there is none. */
  #plain(id: number): BtfType | undefined {
    return this.#size(id) === undefined ? undefined : this.#btf.type(this.#btf.resolve(id));
  }

  #size(id: number): number | undefined {
    try {
      return this.#btf.sizeOf(id);
    } catch {
      return undefined;
    }
  }
}

function intFits(type: BtfInt, bitOffset: number, bitSize: number, room: number, bitfields: boolean): boolean {
  if (!bitfields) {
    const at = bitOffset + type.bitOffset;
    const bits = (at % 8) + type.bits;
    return bits <= MAX_BITS && at - (at % 8) + bytesOf(bits) * 8 <= room;
  }
  if (bitSize === 0 && bitOffset % 8 !== 0) return false;
  if (!regular(type) || bitSize > type.bits) return false;
  const bits = (bitOffset % 8) + (bitSize === 0 ? type.bits : bitSize);
  return bits <= MAX_BITS && bitOffset - (bitOffset % 8) + bytesOf(bits) * 8 <= room;
}

function bytesOf(bits: number): number {
  return Math.ceil(bits / 8);
}

/** An int whose value fills its bytes, of a size that C has. */
function regular(type: BtfInt): boolean {
  return type.bitOffset === 0 && type.bits === type.size * 8 && [1, 2, 4, 8, 16].includes(type.size);
}

type Chain = Extract<BtfType, { readonly kind: "typedef" | "volatile" | "const" | "restrict" | "type_tag" }>;

function isChain(type: BtfType): type is Chain {
  const { kind } = type;
  return kind === "typedef" || kind === "volatile" || kind === "const" || kind === "restrict" || kind === "type_tag";
}

function isComposite(type: BtfType): type is BtfComposite<"struct"> | BtfComposite<"union"> {
  return type.kind === "struct" || type.kind === "union";
}

/** Nothing may refer to these but what is made for it. */
function sourceOnly({ kind }: BtfType): boolean {
  return kind === "var" || kind === "decl_tag" || kind === "datasec";
}
