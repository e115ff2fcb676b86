/** Global variables: each .data, .rodata and .bss section is one array map with one element. Names and flags are libbpf's. */
import { BPF_F_MMAPABLE, BPF_F_RDONLY_PROG, BPF_MAP_TYPE_ARRAY, BPF_OBJ_NAME_LEN } from "../uapi/index.ts";
import { fail } from "./fail.ts";
import type { Source } from "./source.ts";
import type { GlobalSpec, MapSpec } from "./spec.ts";
import { type ElfSection, SHT_NOBITS, SHT_PROGBITS, STT_OBJECT } from "./types.ts";

export interface DataSections {
  /** Section index → its map. */
  readonly maps: ReadonlyMap<number, MapSpec>;
  readonly globals: GlobalSpec[];
}

export function readDataSections(source: Source): DataSections {
  const maps = new Map<number, MapSpec>();
  const globals: GlobalSpec[] = [];
  for (const section of source.elf.sections) {
    if (section.size === 0 || !isData(section)) continue;
    const where = `section ${section.name}`;
    if (section.size > 0xffff_ffff) fail(where, `${section.size} bytes`, "less than 4 GiB");
    if (source.sections.get(section.name) !== section) fail(where, "a second one of that name", "one");
    const map = mapOf(source, section);
    maps.set(section.index, map);
    globals.push(...globalsOf(source, section, map.name));
  }
  return { maps, globals };
}

const isNamed = (name: string, base: string): boolean => name === base || name.startsWith(`${base}.`);

function isData({ name, type }: ElfSection): boolean {
  if (type === SHT_PROGBITS) return isNamed(name, ".data") || isNamed(name, ".rodata");
  return type === SHT_NOBITS && isNamed(name, ".bss");
}

function mapOf(source: Source, section: ElfSection): MapSpec {
  const readOnly = isNamed(section.name, ".rodata");
  const typeId = source.btf?.find(section.name, "datasec");
  return {
    name: dataMapName(source.objectName, section.name),
    section: section.name,
    type: BPF_MAP_TYPE_ARRAY,
    keySize: 4,
    valueSize: section.size,
    maxEntries: 1,
    flags: (readOnly ? BPF_F_RDONLY_PROG : 0) | (isVisible(source, typeId) ? BPF_F_MMAPABLE : 0),
    mapExtra: 0n,
    pinning: "none",
    ...(typeId === undefined ? {} : { valueTypeId: typeId }),
    ...(section.type === SHT_NOBITS ? {} : { initialData: new Uint8Array(section.data) }),
    ...(readOnly ? { frozen: true } : {}),
  };
}

/** A section with nothing but static variables is the program's own: libbpf does not let user space map it. */
function isVisible({ btf }: Source, typeId: number | undefined): boolean {
  if (btf === undefined || typeId === undefined) return false;
  const section = btf.type(typeId);
  if (section.kind !== "datasec") return false;
  return section.vars.some((variable) => {
    const declared = btf.type(variable.typeId);
    return declared.kind === "var" && declared.linkage !== "static";
  });
}

/**
 * "traffic" and ".rodata" give "traffic.rodata": as much of the object's name as leaves room for the section's, for
 * which at least 7 characters are kept. A section with a name of its own (".data.tuned") is the name.
 */
export function dataMapName(objectName: string, section: string): string {
  if (section.indexOf(".", 1) >= 0) return section;
  const room = BPF_OBJ_NAME_LEN - 1 - Math.max(section.length, ".rodata".length);
  return `${objectName.slice(0, room)}${section}`.replace(/[^A-Za-z0-9_.]/g, "_");
}

/** The variables of a section, which lie in the map of this name. */
export function globalsOf(source: Source, section: ElfSection, map: string): GlobalSpec[] {
  const { btf } = source;
  const place = { map, section: section.name };
  const typeId = btf?.find(section.name, "datasec");
  if (btf !== undefined && typeId !== undefined) {
    const datasec = btf.type(typeId);
    if (datasec.kind !== "datasec") return [];
    return datasec.vars.map((variable): GlobalSpec => {
      const declared = btf.type(variable.typeId);
      const typeId = declared.kind === "var" ? declared.typeId : variable.typeId;
      return { name: declared.name, ...place, offset: variable.offset, size: variable.size, typeId };
    });
  }
  const globals: GlobalSpec[] = [];
  for (const symbol of source.symbols.get(section.index)?.values() ?? []) {
    if (symbol.type !== STT_OBJECT) continue;
    if (symbol.value + symbol.size > section.size) {
      const found = `bytes ${symbol.value}+${symbol.size}`;
      fail(`section ${section.name}, ${symbol.name}`, found, `an end at or before ${section.size}`);
    }
    globals.push({ name: symbol.name, ...place, offset: symbol.value, size: symbol.size });
  }
  return globals.sort((a, b) => a.offset - b.offset);
}
