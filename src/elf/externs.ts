/**
 * What an object names and the host has: `extern` declarations with __kconfig (values of the kernel's configuration) and
 * with __ksym (its functions, variables and symbols). Their data sections in the BTF are empty; the places here are
 * libbpf's.
 */
import type { Btf, BtfTypeOf } from "../btf/index.ts";
import { BPF_F_MMAPABLE, BPF_F_RDONLY_PROG, BPF_MAP_TYPE_ARRAY } from "../uapi/index.ts";
import { dataMapName } from "./data_sections.ts";
import { fail } from "./fail.ts";
import type { ExternSpec, GlobalSpec, MapSpec } from "./spec.ts";
import { type ElfSymbol, SHN_UNDEF, STB_WEAK } from "./types.ts";

export const KCONFIG = ".kconfig";
export const KSYMS = ".ksyms";
/** More room than the values of all options of a kernel take. */
const KCONFIG_MAX = 1024 * 1024;

type Symbols = ReadonlyMap<number, ReadonlyMap<string, ElfSymbol>>;

/** The externs of a BTF in which no section was completed yet, kconfig values with their places. */
export function readExterns(btf: Btf, symbols: Symbols): ExternSpec[] {
  const isWeak = (name: string): boolean => symbols.get(SHN_UNDEF)?.get(name)?.bind === STB_WEAK;
  const externs = [...kconfigOf(btf, isWeak), ...ksymsOf(btf, isWeak)];
  const seen = new Set<string>();
  for (const { name } of externs) {
    if (seen.has(name)) fail(`extern ${name}`, "a second one of that name", "one");
    seen.add(name);
  }
  return externs;
}

/** Ordered by alignment and size, largest first, then by name, so that there are few holes. */
function kconfigOf(btf: Btf, isWeak: (name: string) => boolean): ExternSpec[] {
  const found = varsOf(btf, KCONFIG).map((declared) => {
    if (declared.kind !== "var") return fail(`${KCONFIG}, ${declared.name}`, `a ${declared.kind}`, "a variable");
    const { name, typeId } = declared;
    return { name, typeId, align: btf.alignOf(typeId), size: btf.sizeOf(typeId) };
  });
  found.sort((a, b) => b.align - a.align || b.size - a.size || (a.name < b.name ? -1 : 1));
  let end = 0;
  return found.map(({ name, typeId, align, size }): ExternSpec => {
    const offset = Math.ceil(end / align) * align;
    end = offset + size;
    // An option's value is a number, a character or a line of text.
    if (end > KCONFIG_MAX)
      fail(`extern ${name}`, `${size} bytes`, `at most ${KCONFIG_MAX} in ${KCONFIG} with all others`);
    return { name, kind: "kconfig", weak: isWeak(name), typeId, offset, size };
  });
}

function ksymsOf(btf: Btf, isWeak: (name: string) => boolean): ExternSpec[] {
  return varsOf(btf, KSYMS).map(({ id, ...declared }): ExternSpec => {
    const { name } = declared;
    if (declared.kind === "func") return { name, kind: "function", weak: isWeak(name), typeId: id };
    const { typeId } = declared;
    const untyped = btf.type(btf.resolve(typeId)).kind === "void";
    return { name, kind: untyped ? "symbol" : "variable", weak: isWeak(name), typeId };
  });
}

function varsOf(btf: Btf, section: string): ((BtfTypeOf<"var"> | BtfTypeOf<"func">) & { readonly id: number })[] {
  return (btf.findType(section, "datasec")?.vars ?? []).map(({ typeId: id }) => {
    const declared = btf.type(id);
    if (declared.kind === "var" || declared.kind === "func") return { ...declared, id };
    return fail(`${section} in .BTF`, `a ${declared.kind}`, "variables and functions");
  });
}

/** The map that the program reads configuration values from; its bytes are known when the object is loaded. */
export function kconfigMap(btf: Btf, externs: readonly ExternSpec[], objectName: string): MapSpec | undefined {
  const size = kconfigSize(externs);
  const valueTypeId = btf.find(KCONFIG, "datasec");
  if (size === 0 || valueTypeId === undefined) return undefined;
  return {
    name: dataMapName(objectName, KCONFIG),
    section: KCONFIG,
    type: BPF_MAP_TYPE_ARRAY,
    keySize: 4,
    valueSize: size,
    maxEntries: 1,
    flags: BPF_F_RDONLY_PROG | BPF_F_MMAPABLE,
    mapExtra: 0n,
    pinning: "none",
    valueTypeId,
    initialData: new Uint8Array(size),
    frozen: true,
  };
}

export function kconfigSize(externs: readonly ExternSpec[]): number {
  return externs.reduce((end, { offset, size }) => Math.max(end, (offset ?? 0) + (size ?? 0)), 0);
}

/** Configuration values can be read like other variables once the object is loaded. */
export function kconfigGlobals(externs: readonly ExternSpec[], map: MapSpec): GlobalSpec[] {
  return externs.flatMap(({ name, kind, offset, size, typeId }) =>
    kind !== "kconfig" ? [] : [{ name, map: map.name, section: KCONFIG, offset: offset!, size: size!, typeId }],
  );
}
