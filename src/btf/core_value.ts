/** What a relocation asks of a path: offset, size, sign or shifts of a field, a type's id or size, an enum's value. */
import {
  BPF_CORE_ENUMVAL_EXISTS,
  BPF_CORE_FIELD_BYTE_OFFSET,
  BPF_CORE_FIELD_BYTE_SIZE,
  BPF_CORE_FIELD_EXISTS,
  BPF_CORE_FIELD_LSHIFT_U64,
  BPF_CORE_FIELD_RSHIFT_U64,
  BPF_CORE_FIELD_SIGNED,
  BPF_CORE_TYPE_ID_LOCAL,
  BPF_CORE_TYPE_ID_TARGET,
  BPF_CORE_TYPE_SIZE,
  E2BIG,
  EINVAL,
} from "../uapi/index.ts";
import type { Btf } from "./btf.ts";
import { CoreError, type CorePath, isComposite, isEnum, isEnumKind, isFieldKind } from "./core_path.ts";
import type { BtfMember } from "./types.ts";

const BITS_MAX = 64;

export interface CoreAnswer {
  readonly value: bigint;
  /** Whether an instruction must hold exactly this: not where compilers may choose. */
  readonly definite: boolean;
  /** Bytes of the field where the answer is its offset, so that a load can be made to fit; else 0. */
  readonly size: number;
  /** Its type, with `size`. */
  readonly typeId: number;
}

/** The answer for a path, or undefined: there is none for a path that was not found (`path` undefined). */
export function answerOf(btf: Btf, kind: number, path: CorePath | undefined): CoreAnswer | undefined {
  if (kind === BPF_CORE_FIELD_EXISTS || kind === BPF_CORE_ENUMVAL_EXISTS) return plain(path === undefined ? 0 : 1);
  if (isFieldKind(kind)) return path === undefined ? undefined : fieldAnswer(btf, kind, path);
  if (isEnumKind(kind)) return path === undefined ? undefined : plain(enumValue(btf, path));
  return path === undefined ? plain(0) : typeAnswer(btf, kind, path);
}

function plain(value: number | bigint, definite: boolean = true): CoreAnswer {
  return { value: BigInt(value), definite, size: 0, typeId: 0 };
}

function typeAnswer(btf: Btf, kind: number, { root }: CorePath): CoreAnswer {
  if (kind === BPF_CORE_TYPE_SIZE) return plain(btf.sizeOf(root));
  // A linker may have given the type another id since.
  if (kind === BPF_CORE_TYPE_ID_TARGET || kind === BPF_CORE_TYPE_ID_LOCAL) return plain(root, false);
  return plain(1);
}

function enumValue(btf: Btf, { steps: [step] }: CorePath): number | bigint {
  const type = btf.type(step!.typeId);
  const value = isEnum(type) ? type.values[step!.index]?.value : undefined;
  if (value === undefined) throw new CoreError(EINVAL, "no value of an enum at this path");
  // Values of 32 bits count as signed, whatever the enum is.
  return typeof value === "number" ? value | 0 : value;
}

function fieldAnswer(btf: Btf, kind: number, path: CorePath): CoreAnswer {
  const step = path.steps.at(-1)!;
  if (step.name === undefined) return elementAnswer(btf, kind, path);
  const owner = btf.type(step.typeId);
  const member = isComposite(owner) ? owner.members[step.index] : undefined;
  if (member === undefined) throw new CoreError(EINVAL, `no member ${step.name} at this path`);
  const { bytes, offset, bits } = placeOf(btf, path, member);
  const bitfield = member.bitSize > 0;
  switch (kind) {
    case BPF_CORE_FIELD_BYTE_OFFSET:
      return bitfield ? plain(offset, false) : offsetAnswer(btf, offset, btf.resolve(member.typeId));
    case BPF_CORE_FIELD_BYTE_SIZE:
      return plain(bytes, !bitfield);
    case BPF_CORE_FIELD_SIGNED:
      return plain(isSigned(btf, member.typeId) ? 1 : 0);
    case BPF_CORE_FIELD_LSHIFT_U64:
      return plain(shift(path.bitOffset + bits - offset * 8), !bitfield);
    case BPF_CORE_FIELD_RSHIFT_U64:
      return plain(shift(bits));
    default:
      throw new CoreError(EINVAL, `relocation kind ${kind} of a field`);
  }
}

/** An element, or the type at the beginning of the path: it has an offset and a size and nothing else. */
function elementAnswer(btf: Btf, kind: number, path: CorePath): CoreAnswer {
  const { typeId } = path.steps.at(-1)!;
  if (kind === BPF_CORE_FIELD_BYTE_SIZE) return plain(btf.sizeOf(typeId));
  if (kind === BPF_CORE_FIELD_BYTE_OFFSET) return offsetAnswer(btf, Math.floor(path.bitOffset / 8), typeId);
  throw new CoreError(EINVAL, "sign or shifts of an element, which only members have");
}

/** A load of an array loads one of its elements. */
function offsetAnswer(btf: Btf, offset: number, typeId: number): CoreAnswer {
  let element = typeId;
  btf.sizeOf(element); // arrays without an end are an error here
  for (let type = btf.type(element); type.kind === "array"; type = btf.type(element)) {
    element = btf.resolve(type.elemTypeId);
  }
  return { value: BigInt(offset), definite: true, size: btf.sizeOf(element), typeId };
}

interface Place {
  /** Bytes of the load that gets at it, and where that begins. */
  readonly bytes: number;
  readonly offset: number;
  readonly bits: number;
}

/** For a bitfield, the smallest load that begins on a multiple of its size and has all of its bits. */
function placeOf(btf: Btf, { bitOffset }: CorePath, { typeId, bitSize }: BtfMember): Place {
  let bytes = btf.sizeOf(typeId);
  if (bitSize === 0) return { bytes, offset: Math.floor(bitOffset / 8), bits: bytes * 8 };
  if (bytes === 0) throw new CoreError(EINVAL, "a bitfield of a type without bytes");
  let offset = Math.floor(bitOffset / 8 / bytes) * bytes;
  while (bitOffset + bitSize - offset * 8 > bytes * 8) {
    if (bytes >= 8) throw new CoreError(E2BIG, `a bitfield of ${bitSize} bits that no load of 8 bytes has in it`);
    bytes *= 2;
    offset = Math.floor(bitOffset / 8 / bytes) * bytes;
  }
  return { bytes, offset, bits: bitSize };
}

/** What shifts so many bits to the top of 64, or down again; nonsense for larger fields, of 32 bits as in the kernel. */
function shift(bits: number): number {
  return (BITS_MAX - bits) >>> 0;
}

function isSigned(btf: Btf, typeId: number): boolean {
  const type = btf.type(btf.resolve(typeId));
  return (type.kind === "int" || isEnum(type)) && type.signed;
}
