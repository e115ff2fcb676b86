/**
 * Finding a program's types in another BTF: by name without flavor, by fields that have the same meaning, by types that
 * are alike. Kernel counterpart: tools/lib/bpf/relo_core.c.
 */
import { E2BIG, EINVAL } from "../uapi/index.ts";
import type { Btf } from "./btf.ts";
import {
  advance,
  CoreError,
  type CorePath,
  type CoreStep,
  isComposite,
  isEnum,
  isFlexible,
  MAX_STEPS,
} from "./core_path.ts";
import { essentialName } from "./essential_name.ts";
import type { BtfEnum, BtfEnum64, BtfFuncProto, BtfMember, BtfType } from "./types.ts";

/** Longest chain of pointers and arrays that types are compared through. */
const MAX_CHAIN = 32;
/** Comparisons of one relocator: no real object comes near, and a hostile BTF cannot make it endless. */
const MAX_WORK = 10_000_000;

/** Types of these kinds may stand for each other; an enum of 32 bits for one of 64. */
export function sameKind(a: BtfType, b: BtfType): boolean {
  return a.kind === b.kind || (isEnum(a) && isEnum(b));
}

/** `struct task_struct`, `u32`, `ptr`: what to call a type in a message. */
export function typeText(type: BtfType, typeName: string = type.name): string {
  const name = typeName === "" ? "(anonymous)" : typeName;
  switch (type.kind) {
    case "struct":
    case "union":
    case "enum":
      return `${type.kind} ${name}`;
    case "enum64":
      return `enum ${name}`;
    case "fwd":
      return `${type.of} ${name} (declared only)`;
    case "ptr":
      return "a pointer";
    case "array":
      return `an array of ${type.length}`;
    case "func_proto":
      return "a function";
    default:
      return name;
  }
}

export class CoreMatcher {
  readonly #local: Btf;
  readonly #target: Btf;
  /** How deep structs and functions are compared inside each other. */
  readonly #levels: number;
  #work = 0;
  /** What the target lacked when something last did not match. */
  missing = "";

  constructor(local: Btf, target: Btf, levels: number) {
    this.#local = local;
    this.#target = target;
    this.#levels = levels;
  }

  /** The same path in a type of the target; undefined: it is not there, and `missing` says what. */
  path(wanted: CorePath, root: number): CorePath | undefined {
    const path: CorePath = { root, steps: [], depth: 0, bitOffset: 0 };
    let id = root;
    for (const [i, step] of wanted.steps.entries()) {
      const next = step.name === undefined ? this.#element(path, id, step, i) : this.#named(path, id, step);
      if (next === undefined) return undefined;
      id = next;
    }
    return path;
  }

  /** The value of this name in an enum of the target. */
  enumValue(wanted: CorePath, root: number): CorePath | undefined {
    const id = this.#target.resolve(root);
    const type = this.#target.type(id);
    const name = essentialName(wanted.steps[0]?.name ?? "");
    if (!isEnum(type)) {
      this.missing = `${typeText(type)} is no enum`;
      return undefined;
    }
    this.#spend(type.values.length);
    const index = type.values.findIndex((value) => essentialName(value.name) === name);
    if (index < 0) {
      this.missing = `${typeText(type)} has no value ${name}`;
      return undefined;
    }
    return { root, steps: [{ typeId: id, index, name: type.values[index]!.name }], depth: 1, bitOffset: 0 };
  }

  #element(path: CorePath, from: number, { index }: CoreStep, i: number): number | undefined {
    const btf = this.#target;
    let id = btf.resolve(from);
    if (i > 0) {
      const type = btf.type(id);
      if (type.kind !== "array") {
        this.missing = `${typeText(type)} is no array`;
        return undefined;
      }
      if (index >= type.length && !isFlexible(btf, path, type)) {
        this.missing = `an array has ${type.length} elements, none with index ${index}`;
        return undefined;
      }
      id = btf.resolve(type.elemTypeId);
    }
    this.#deeper(path);
    path.steps.push({ typeId: id, index, name: undefined });
    advance(path, index * btf.sizeOf(id) * 8);
    return id;
  }

  #named(path: CorePath, from: number, step: CoreStep): number | undefined {
    const owner = this.#target.type(this.#target.resolve(from));
    this.missing = isComposite(owner)
      ? `${typeText(owner)} has no member ${step.name}`
      : `${typeText(owner)} has no members`;
    return this.#member(path, from, step, new Set());
  }

  /** Looks through anonymous members too. `seen`: where the member is not. */
  #member(path: CorePath, from: number, step: CoreStep, seen: Set<number>): number | undefined {
    const id = this.#target.resolve(from);
    const type = this.#target.type(id);
    if (!isComposite(type) || seen.has(id)) return undefined;
    seen.add(id);
    this.#spend(type.members.length);
    for (const [index, { name, typeId, bitOffset }] of type.members.entries()) {
      if (name === step.name) return this.#sameMember(path, id, index, step);
      if (name !== "") continue;
      this.#deeper(path);
      advance(path, bitOffset);
      const found = this.#member(path, typeId, step, seen);
      if (found !== undefined) return found;
      path.depth--;
      path.bitOffset -= bitOffset;
    }
    return undefined;
  }

  #sameMember(path: CorePath, owner: number, index: number, step: CoreStep): number | undefined {
    const { name, typeId, bitOffset } = this.#memberOf(this.#target, owner, index);
    const local = this.#memberOf(this.#local, step.typeId, step.index);
    if (!this.fields(local.typeId, typeId)) {
      const here = typeText(this.#local.type(this.#local.resolve(local.typeId)));
      const there = typeText(this.#target.type(this.#target.resolve(typeId)));
      this.missing = `member ${name} of ${typeText(this.#target.type(owner))} is ${there} and not ${here}`;
      return undefined;
    }
    this.#deeper(path);
    advance(path, bitOffset);
    path.steps.push({ typeId: owner, index, name });
    return typeId;
  }

  #memberOf(btf: Btf, id: number, index: number): BtfMember {
    const type = btf.type(id);
    const member = isComposite(type) ? type.members[index] : undefined;
    if (member === undefined) throw new CoreError(EINVAL, `no member ${index} in ${typeText(type)}`);
    return member;
  }

  #deeper(path: CorePath): void {
    if (path.depth === MAX_STEPS) throw new CoreError(E2BIG, `a field more than ${MAX_STEPS} steps deep in the target`);
    path.depth++;
  }

  #spend(steps: number = 1): void {
    this.#work += steps + 1;
    if (this.#work > MAX_WORK) throw new CoreError(E2BIG, "types that take too long to compare");
  }

  /** Whether fields of these types mean the same: numbers of any size, pointers to anything, any two structs. */
  fields(localId: number, targetId: number): boolean {
    let [l, t] = [localId, targetId];
    for (let length = 0; length <= MAX_CHAIN; length++) {
      const local = this.#local.type(this.#local.resolve(l));
      const target = this.#target.type(this.#target.resolve(t));
      if (isComposite(local) && isComposite(target)) return true;
      if (!sameKind(local, target)) return false;
      if (local.kind === "int" && target.kind === "int") return local.bitOffset === 0 && target.bitOffset === 0;
      if (local.kind === "ptr" || local.kind === "float") return true;
      if (local.kind === "fwd" || isEnum(local)) {
        const names = [essentialName(local.name), essentialName(target.name)];
        return names.includes("") || names[0] === names[1];
      }
      if (local.kind !== "array" || target.kind !== "array") return false;
      l = local.elemTypeId;
      t = target.elemTypeId;
    }
    throw new CoreError(EINVAL, `arrays nested more than ${MAX_CHAIN} deep`);
  }

  /** Whether types whose names are the same already are the same thing; what is inside structs does not matter. */
  alike(localId: number, targetId: number): boolean {
    if (!sameKind(this.#local.type(localId), this.#target.type(targetId))) return this.#differ(localId, targetId);
    return this.#alike(localId, targetId, this.#levels) || this.#differ(localId, targetId);
  }

  #differ(localId: number, targetId: number): false {
    const local = typeText(this.#local.type(this.#local.resolve(localId)));
    this.missing = `${typeText(this.#target.type(this.#target.resolve(targetId)))} is not what ${local} is`;
    return false;
  }

  #alike(localId: number, targetId: number, level: number): boolean {
    let [l, t] = [localId, targetId];
    for (let length = 0; length < MAX_CHAIN; length++) {
      this.#spend();
      const local = this.#local.type(this.#local.resolve(l));
      const target = this.#target.type(this.#target.resolve(t));
      if (!sameKind(local, target)) return false;
      if (local.kind === "int" && target.kind === "int") return local.bitOffset === 0 && target.bitOffset === 0;
      if (local.kind === "ptr" && target.kind === "ptr") {
        l = local.typeId;
        t = target.typeId;
      } else if (local.kind === "array" && target.kind === "array") {
        l = local.elemTypeId;
        t = target.elemTypeId;
      } else if (local.kind === "func_proto" && target.kind === "func_proto") {
        if (!this.#parameters(local, target, level, (a, b) => this.#alike(a, b, level - 1))) return false;
        l = local.returnTypeId;
        t = target.returnTypeId;
      } else {
        return local.kind === "void" || local.kind === "fwd" || isComposite(local) || isEnum(local);
      }
    }
    throw new CoreError(EINVAL, `a type of more than ${MAX_CHAIN} pointers and arrays`);
  }

  #parameters(
    local: BtfFuncProto,
    target: BtfFuncProto,
    level: number,
    same: (localId: number, targetId: number) => boolean,
  ): boolean {
    if (local.params.length !== target.params.length) return false;
    return local.params.every((param, i) => {
      if (level <= 0) throw new CoreError(EINVAL, "functions nested too deep to compare");
      return same(param.typeId, target.params[i]!.typeId);
    });
  }

  /** Whether a type of the program and all that is inside it is in the target too (which may have more). */
  matches(localId: number, targetId: number): boolean {
    return this.#matches(localId, targetId, false, this.#levels) || this.#differ(localId, targetId);
  }

  #matches(localId: number, targetId: number, pointed: boolean, level: number): boolean {
    if (level <= 0) throw new CoreError(EINVAL, "types nested too deep to compare");
    let behind = pointed;
    let [l, t] = [localId, targetId];
    for (let length = 0; length < MAX_CHAIN; length++) {
      this.#spend();
      const local = this.#local.type(this.#local.resolve(l));
      const target = this.#target.type(this.#target.resolve(t));
      if (essentialName(local.name) !== essentialName(target.name)) return false;
      if (local.kind === "ptr" && target.kind === "ptr") {
        behind = true;
        l = local.typeId;
        t = target.typeId;
      } else if (local.kind === "array" && target.kind === "array") {
        if (local.length !== target.length) return false;
        l = local.elemTypeId;
        t = target.elemTypeId;
      } else if (local.kind === "func_proto" && target.kind === "func_proto") {
        const inside = behind;
        if (!this.#parameters(local, target, level, (a, b) => this.#matches(a, b, inside, level - 1))) return false;
        l = local.returnTypeId;
        t = target.returnTypeId;
      } else {
        return this.#plainMatch(local, target, behind, level);
      }
    }
    throw new CoreError(EINVAL, `a type of more than ${MAX_CHAIN} pointers and arrays`);
  }

  /** Types that lead no further, except structs into their members. */
  #plainMatch(local: BtfType, target: BtfType, behind: boolean, level: number): boolean {
    if (isEnum(local)) return isEnum(target) && this.#enums(local, target);
    if (local.kind === "int") {
      return target.kind === "int" && local.size === target.size && local.signed === target.signed;
    }
    if (local.kind === "fwd") {
      return target.kind === "fwd" ? local.of === target.of : behind && target.kind === local.of;
    }
    if (isComposite(local)) {
      if (behind) return target.kind === local.kind || (target.kind === "fwd" && target.of === local.kind);
      return isComposite(target) && target.kind === local.kind && this.#members(local.members, target.members, level);
    }
    return local.kind === "void" && target.kind === "void";
  }

  #enums(local: BtfEnum | BtfEnum64, target: BtfEnum | BtfEnum64): boolean {
    if (local.size !== target.size || local.values.length > target.values.length) return false;
    this.#spend(target.values.length);
    const names = new Set(target.values.map((value) => essentialName(value.name)));
    return local.values.every((value) => names.has(essentialName(value.name)));
  }

  #members(local: readonly BtfMember[], target: readonly BtfMember[], level: number): boolean {
    if (local.length > target.length) return false;
    return local.every((member) => {
      this.#spend(target.length);
      const name = essentialName(member.name);
      return target.some(
        (other) => essentialName(other.name) === name && this.#matches(member.typeId, other.typeId, false, level - 1),
      );
    });
  }
}
