/**
 * struct_ops: variables in ".struct_ops" and ".struct_ops.link" are tables of functions for the kernel. Each becomes a map
 * of one element; its members that are programs are told by name.
 */
import type { Btf, BtfTypeOf } from "../btf/index.ts";
import { BPF_F_LINK, BPF_MAP_TYPE_STRUCT_OPS } from "../uapi/index.ts";
import { fail } from "./fail.ts";
import { mapAround, type PlacedMap } from "./map_definitions.ts";
import type { Source } from "./source.ts";
import type { MapSpec, StructOpsSpec } from "./spec.ts";
import { type ElfSection, R_BPF_64_64, R_BPF_64_ABS64, STT_FUNC } from "./types.ts";

const LINK = ".struct_ops.link";

/** The name without a leading "?", which says that the map is not made by itself. */
const bare = (name: string): string => (name.startsWith("?") ? name.slice(1) : name);

export function isStructOps(name: string): boolean {
  return bare(name) === ".struct_ops" || bare(name) === LINK;
}

/** The maps of one such section, ascending by offset. */
export function readStructOps(source: Source, section: ElfSection): PlacedMap[] {
  const { btf } = source;
  const where = `section ${section.name}`;
  if (btf === undefined) return fail(where, "no .BTF section", "the types of the maps: compile with -g");
  const datasec = btf.findType(section.name, "datasec");
  if (datasec === undefined) return fail(where, "no such section in .BTF", "the types of the maps");
  const maps = datasec.vars.map(({ typeId, offset, size }): PlacedMap => {
    const declared = btf.type(typeId);
    if (declared.kind !== "var") return fail(`${where} in .BTF`, `a ${declared.kind}`, "variables");
    const structId = btf.resolve(declared.typeId);
    const type = btf.type(structId);
    if (type.kind !== "struct" || type.name === "")
      return fail(`map ${declared.name}`, type.kind, "a struct with a name");
    if (type.size !== size)
      return fail(`map ${declared.name}`, `${size} bytes`, `${type.size}, the size of its struct`);
    const initialData = section.data.slice(offset, offset + size);
    if (initialData.length !== size)
      fail(`map ${declared.name}`, `bytes ${offset}+${size}`, `0..${section.data.length}`);
    const structOps: StructOpsSpec = { typeId: structId, programs: [] };
    return { spec: mapOf(declared.name, section, initialData, structOps), section: section.index, offset };
  });
  readPrograms(source, section, btf, maps);
  return maps;
}

function mapOf(name: string, section: ElfSection, initialData: Uint8Array, structOps: StructOpsSpec): MapSpec {
  return {
    name,
    section: section.name,
    type: BPF_MAP_TYPE_STRUCT_OPS,
    keySize: 4,
    valueSize: initialData.length,
    maxEntries: 1,
    flags: bare(section.name) === LINK ? BPF_F_LINK : 0,
    mapExtra: 0n,
    pinning: "none",
    initialData,
    structOps,
    ...(section.name.startsWith("?") ? { autocreate: false } : {}),
  };
}

/** A relocation at a member says which function goes there. */
function readPrograms(source: Source, section: ElfSection, btf: Btf, maps: readonly PlacedMap[]): void {
  const members = new Map<number, ReadonlyMap<number, string>>();
  const membersOf = (typeId: number): ReadonlyMap<number, string> => {
    const known = members.get(typeId);
    if (known !== undefined) return known;
    const struct = btf.type(typeId) as BtfTypeOf<"struct">;
    const byOffset = new Map(struct.members.map(({ name, bitOffset }) => [bitOffset, name]));
    members.set(typeId, byOffset);
    return byOffset;
  };
  for (const { offset, type, symbol } of source.elf.relocations.get(section.index) ?? []) {
    const where = `section ${section.name}, byte ${offset}`;
    if (type !== R_BPF_64_64 && type !== R_BPF_64_ABS64) fail(where, `relocation type ${type}`, `${R_BPF_64_ABS64}`);
    const map = mapAround(maps, offset) ?? fail(where, "a relocation before the first map", "one in a map");
    const { typeId, programs } = map.spec.structOps!;
    const member = membersOf(typeId).get((offset - map.offset) * 8);
    if (symbol.type !== STT_FUNC) fail(where, `${symbol.name} as a member`, "a function");
    programs.push({ member: member ?? fail(where, "a relocation", "one at a member"), program: symbol.name });
  }
}
