/**
 * CO-RE relocations: what a program was compiled to know of types, told anew from the types of where it runs. Pure: two
 * BTFs and a record give a value, a poison (the target lacks it) or an error. Kernel counterpart: relo_core.c of libbpf,
 * which the kernel runs too.
 */
import { InputError } from "../errors.ts";
import { BPF_CORE_TYPE_ID_LOCAL, BPF_CORE_TYPE_MATCHES, bpfCoreReloKindNames, EINVAL } from "../uapi/index.ts";
import type { Btf } from "./btf.ts";
import { CoreMatcher, sameKind, typeText } from "./core_match.ts";
import { CoreError, type CorePath, type CoreRecord, isEnumKind, isTypeKind, pathText, readPath } from "./core_path.ts";
import { answerOf, type CoreAnswer } from "./core_value.ts";
import { essentialName } from "./essential_name.ts";

export interface CoreValue {
  readonly kind: "value";
  /** What the instruction holds now, and what it is to hold. */
  readonly local: bigint;
  readonly value: bigint;
  /** False: the compiler may have put something else than `local` there. */
  readonly definite: boolean;
  /** Bytes of the field, before and after, where the value is its offset; else 0. */
  readonly localSize: number;
  readonly size: number;
  /** Whether a load of the one size may become one of the other: of pointers and of numbers without sign. */
  readonly resizable: boolean;
}

/** `poison`: the target has nothing of that kind, `why`; the instruction must not be reached. */
export type CoreResult =
  | CoreValue
  | { readonly kind: "poison"; readonly why: string }
  | { readonly kind: "error"; readonly errno: number; readonly why: string };

/** What the kernel and libbpf do differently. */
export interface CoreRules {
  /** How deep types are compared inside each other. */
  readonly levels: number;
  /** A candidate that a relocation did not fit is not considered for later ones of the same type. */
  readonly narrows: boolean;
}
export const LIBBPF_RULES: CoreRules = { levels: 32, narrows: true };
export const KERNEL_RULES: CoreRules = { levels: 2, narrows: false };

interface Found {
  readonly id: number;
  readonly path: CorePath;
  readonly answer: CoreAnswer | undefined;
}

/** Relocates against one target: made once for all relocations of an object. */
export class CoreRelocator {
  readonly #local: Btf;
  readonly #target: Btf | undefined;
  readonly #rules: CoreRules;
  readonly #matcher: CoreMatcher | undefined;
  readonly #candidates: Map<number, readonly number[]> = new Map();
  readonly #results: Map<string, CoreResult> = new Map();

  /** Without a target only ids of local types can be had: `InputError` for the rest. */
  constructor(local: Btf, target: Btf | undefined, rules: CoreRules = LIBBPF_RULES) {
    this.#local = local;
    this.#target = target;
    this.#rules = rules;
    this.#matcher = target === undefined ? undefined : new CoreMatcher(local, target, rules.levels);
    if (target !== undefined && target.littleEndian !== local.littleEndian) {
      throw new InputError("CO-RE: found a target BTF of the other byte order, expected the object's");
    }
  }

  resolve(record: CoreRecord): CoreResult {
    const key = `${record.typeId} ${record.kind} ${record.access}`;
    let result = this.#results.get(key);
    if (result === undefined) {
      result = this.#judge(record);
      this.#results.set(key, result);
    }
    return result;
  }

  /** The relocation in words: `byte offset of struct task_struct.mm (0:3)`. */
  describe(record: CoreRecord): string {
    const { typeId, access, kind } = record;
    const what = bpfCoreReloKindNames[kind]?.replace("BPF_CORE_", "").toLowerCase() ?? `kind ${kind}`;
    const type = typeText(this.#local.type(typeId));
    if (isTypeKind(kind)) return `${what} of ${type}`;
    try {
      const path = pathText(readPath(this.#local, record));
      return `${what} of ${type}${isEnumKind(kind) ? path.replace(".", "::") : path} (${access})`;
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      return `${what} of ${type} (${access})`;
    }
  }

  #judge(record: CoreRecord): CoreResult {
    try {
      return this.#relocate(record);
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      return { kind: "error", errno: error instanceof CoreError ? error.errno : -EINVAL, why: error.message };
    }
  }

  #relocate(record: CoreRecord): CoreResult {
    const { kind, typeId } = record;
    if (bpfCoreReloKindNames[kind] === undefined) throw new CoreError(EINVAL, `relocation kind ${kind} is unknown`);
    const path = readPath(this.#local, record);
    const before = answerOf(this.#local, kind, path)!;
    if (kind === BPF_CORE_TYPE_ID_LOCAL) return coreValue(before, before, true);
    const type = this.#local.type(typeId);
    if (type.name === "") throw new CoreError(EINVAL, `${type.kind} without a name, which nothing can be found by`);
    const target = this.#target;
    const matcher = this.#matcher;
    if (target === undefined || matcher === undefined) throw new CoreError(EINVAL, "no target BTF to relocate against");
    const candidates = this.#candidatesFor(typeId);
    const found: Found[] = [];
    for (const id of candidates) {
      const there = this.#find(matcher, record, path, id);
      if (there === undefined) continue;
      const answer = answerOf(target, kind, there);
      agree(found[0], { id, path: there, answer }, typeText(type));
      found.push({ id, path: there, answer });
    }
    if (this.#rules.narrows && found.length > 0)
      this.#candidates.set(
        typeId,
        found.map(({ id }) => id),
      );
    const after = found.length === 0 ? answerOf(target, kind, undefined) : found[0]!.answer;
    if (after !== undefined) return coreValue(before, after, resizable(this.#local, before, target, after));
    const name = essentialName(type.name);
    return { kind: "poison", why: candidates.length === 0 ? `it has no ${typeText(type, name)}` : matcher.missing };
  }

  #find(matcher: CoreMatcher, { kind, typeId }: CoreRecord, path: CorePath, id: number): CorePath | undefined {
    if (isTypeKind(kind)) {
      const same = kind === BPF_CORE_TYPE_MATCHES ? matcher.matches(typeId, id) : matcher.alike(typeId, id);
      return same ? { root: id, steps: [], depth: 0, bitOffset: 0 } : undefined;
    }
    return isEnumKind(kind) ? matcher.enumValue(path, id) : matcher.path(path, id);
  }

  /** Types of the target with the name, whatever the flavor on either side; in the program's own BTF, the type itself. */
  #candidatesFor(typeId: number): readonly number[] {
    if (this.#target === this.#local) return [typeId];
    const known = this.#candidates.get(typeId);
    if (known !== undefined) return known;
    const target = this.#target!;
    const local = this.#local.type(typeId);
    const ids = target.findFlavors(essentialName(local.name)).filter((id) => sameKind(local, target.type(id)));
    this.#candidates.set(typeId, ids);
    return ids;
  }
}

function coreValue(before: CoreAnswer, after: CoreAnswer, mayResize: boolean): CoreValue {
  const { value: local, definite, size: localSize } = before;
  return { kind: "value", local, value: after.value, definite, localSize, size: after.size, resizable: mayResize };
}

/** Zeros fill a load that became smaller, so it still gives a pointer's or an unsigned number's value. */
function resizable(local: Btf, before: CoreAnswer, target: Btf, after: CoreAnswer): boolean {
  if (before.size === after.size) return true;
  const here = local.type(before.typeId);
  const there = target.type(after.typeId);
  if (here.kind === "ptr" && there.kind === "ptr") return true;
  return here.kind === "int" && there.kind === "int" && !here.signed && !there.signed;
}

/** All types that fit must give the same: nobody could say which one was meant. */
function agree(first: Found | undefined, other: Found, type: string): void {
  if (first === undefined) return;
  if (first.path.bitOffset === other.path.bitOffset && first.answer?.value === other.answer?.value) return;
  throw new CoreError(
    EINVAL,
    `the target has ${type} more than once, and not the same: type ids ${first.id} and ${other.id}`,
  );
}
