/**
 * The path of a CO-RE relocation: from a type through members and elements to a field, or to one value of an enum. What
 * the compiler writes as "0:1:2" is read against the types of the program. Kernel counterpart: tools/lib/bpf/relo_core.c.
 */
import { InputError } from "../errors.ts";
import {
  BPF_CORE_ENUMVAL_EXISTS,
  BPF_CORE_ENUMVAL_VALUE,
  BPF_CORE_FIELD_RSHIFT_U64,
  BPF_CORE_TYPE_ID_LOCAL,
  BPF_CORE_TYPE_MATCHES,
  BPF_CORE_TYPE_SIZE,
  E2BIG,
  EINVAL,
} from "../uapi/index.ts";
import type { Btf } from "./btf.ts";
import type { BtfArray, BtfEnum, BtfEnum64, BtfType } from "./types.ts";

/** Most steps of a path, anonymous members included. */
export const MAX_STEPS = 64;
const MAX_BIT_OFFSET = 0xffff_ffff;

/** One relocation, wherever its record came from. */
export interface CoreRecord {
  /** The type of the program at which the access begins. */
  readonly typeId: number;
  /** Indices joined by colons. */
  readonly access: string;
  /** BPF_CORE_*. */
  readonly kind: number;
}

/** A named step is a member (of a struct or union) or a value (of an enum), any other an element. */
export interface CoreStep {
  /** The struct, union or enum of the name; the type of the element. Nothing to resolve any more. */
  readonly typeId: number;
  readonly index: number;
  readonly name: string | undefined;
}

export interface CorePath {
  /** The type as it was asked for, typedefs included. */
  readonly root: number;
  readonly steps: CoreStep[];
  /** Steps with anonymous members. */
  depth: number;
  bitOffset: number;
}

/** What makes a relocation impossible to apply, with the kernel's errno for it. */
export class CoreError extends InputError {
  readonly errno: number;

  /** `errno` is positive here, and negative in the property. */
  constructor(errno: number, message: string) {
    super(message);
    this.errno = -errno;
  }
}

export function isFieldKind(kind: number): boolean {
  return kind <= BPF_CORE_FIELD_RSHIFT_U64;
}

export function isTypeKind(kind: number): boolean {
  return kind === BPF_CORE_TYPE_MATCHES || (kind >= BPF_CORE_TYPE_ID_LOCAL && kind <= BPF_CORE_TYPE_SIZE);
}

export function isEnumKind(kind: number): boolean {
  return kind === BPF_CORE_ENUMVAL_EXISTS || kind === BPF_CORE_ENUMVAL_VALUE;
}

export function isEnum(type: BtfType): type is BtfEnum | BtfEnum64 {
  return type.kind === "enum" || type.kind === "enum64";
}

export function isComposite(type: BtfType): type is Extract<BtfType, { readonly kind: "struct" | "union" }> {
  return type.kind === "struct" || type.kind === "union";
}

/** An array of no length that ends its struct: it has as many elements as somebody allocated. */
export function isFlexible(btf: Btf, path: CorePath, array: BtfArray): boolean {
  const member = path.steps.at(-1);
  if (member?.name === undefined || array.length > 0) return false;
  const owner = btf.type(member.typeId);
  return isComposite(owner) && member.index === owner.members.length - 1;
}

/** Goes on by so many bits. */
export function advance(path: CorePath, bits: number): void {
  path.bitOffset += bits;
  if (path.bitOffset > MAX_BIT_OFFSET) throw new CoreError(EINVAL, `a field ${path.bitOffset} bits into its struct`);
}

/** Reads a record against the types that it was written for. */
export function readPath(btf: Btf, { typeId, access, kind }: CoreRecord): CorePath {
  const path: CorePath = { root: typeId, steps: [], depth: 0, bitOffset: 0 };
  if (isTypeKind(kind)) {
    if (access !== "0") throw new CoreError(EINVAL, `access path "${access}" of a type, expected "0"`);
    return path;
  }
  const indices = indicesOf(access);
  const first = indices[0]!;
  const at = btf.resolve(typeId);
  const type = btf.type(at);
  if (isEnumKind(kind)) {
    const value = isEnum(type) && indices.length === 1 ? type.values[first] : undefined;
    if (value === undefined)
      throw new CoreError(EINVAL, `access path "${access}", expected the index of an enum's value`);
    path.steps.push({ typeId: at, index: first, name: value.name });
    return path;
  }
  path.steps.push({ typeId: at, index: first, name: undefined });
  advance(path, first * btf.sizeOf(at) * 8);
  let id = at;
  for (const index of indices.slice(1)) id = readStep(btf, path, id, index, access);
  path.depth = indices.length;
  return path;
}

/** Adds the step to the member or element with this index; gives the type where it ends. */
function readStep(btf: Btf, path: CorePath, from: number, index: number, access: string): number {
  const id = btf.resolve(from);
  const type = btf.type(id);
  if (isComposite(type)) {
    const member = type.members[index];
    if (member === undefined) {
      throw new CoreError(EINVAL, `access path "${access}": no member ${index} in ${type.kind} ${type.name}`);
    }
    advance(path, member.bitOffset);
    if (member.name !== "") path.steps.push({ typeId: id, index, name: member.name });
    return member.typeId;
  }
  if (type.kind !== "array")
    throw new CoreError(EINVAL, `access path "${access}": nothing is inside ${type.kind} ${type.name}`);
  if (index >= type.length && !isFlexible(btf, path, type)) {
    throw new CoreError(EINVAL, `access path "${access}": element ${index} of an array of ${type.length}`);
  }
  const element = btf.resolve(type.elemTypeId);
  path.steps.push({ typeId: element, index, name: undefined });
  advance(path, index * btf.sizeOf(element) * 8);
  return element;
}

function indicesOf(access: string): number[] {
  if (!/^\d+(:\d+)*$/.test(access))
    throw new CoreError(EINVAL, `access path "${access}", expected numbers joined by colons`);
  const indices = access.split(":", MAX_STEPS + 1).map(Number);
  if (indices.length > MAX_STEPS) throw new CoreError(E2BIG, `an access path of more than ${MAX_STEPS} steps`);
  return indices;
}

/** The path as C writes it, ".mm.pgd" or "[2].x", for messages. */
export function pathText(path: CorePath): string {
  return path.steps
    .map(({ name, index }, i) => (name !== undefined ? `.${name}` : i === 0 && index === 0 ? "" : `[${index}]`))
    .join("");
}
