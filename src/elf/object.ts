/** An object file, as clang writes it, to an `ObjectSpec`: maps, programs and globals as plain data. The model is libbpf. */
import { type Btf, parseBtfExt } from "../btf/index.ts";
import { InputError } from "../errors.ts";
import type { Insn } from "../insn/index.ts";
import { type ArenaData, readArenaData } from "./arena_data.ts";
import { completeBtf } from "./complete_btf.ts";
import { type DataSections, readDataSections } from "./data_sections.ts";
import { type DebugInfo, debugInfoOf, indexDebugInfo } from "./debug_info.ts";
import { kconfigGlobals, kconfigMap } from "./externs.ts";
import { fail } from "./fail.ts";
import { type ElfFunction, type FunctionTable, readFunctions } from "./functions.ts";
import { isLegacyMaps, readLegacyMaps } from "./legacy_maps.ts";
import { type LinkTargets, linkProgram, MAX_LINKED } from "./link.ts";
import { MAPS, type PlacedMap, readMapDefinitions } from "./map_definitions.ts";
import { parseElf } from "./parse.ts";
import { kindOfSection } from "./section_names.ts";
import { type Source, sectionsByName, symbolsBySection } from "./source.ts";
import type { ExternSpec, GlobalSpec, MapSpec, ObjectSpec, ProgramSpec } from "./spec.ts";
import { isStructOps, readStructOps } from "./struct_ops.ts";
import { type ElfSection, SHT_PROGBITS } from "./types.ts";

const EXCEPTION_TAG = "exception_callback:";

export interface ParseObjectOptions {
  /** The object's name, as "traffic": the prefix of its data maps. A path gives its file name up to the first dot. */
  readonly name?: string;
}

/**
 * Parses an object file. Throws InputError on a file that is malformed. A program that needs what nothing can resolve says
 * so in its `unsupported`.
 */
export function parseObject(bytes: Uint8Array, options: ParseObjectOptions = {}): ObjectSpec {
  const elf = parseElf(bytes);
  const sections = sectionsByName(elf);
  const symbols = symbolsBySection(elf);
  const rawBtf = sections.get(".BTF");
  const complete = rawBtf === undefined ? undefined : completeBtf(rawBtf.data, { sections, symbols });
  const source: Source = { elf, sections, symbols, btf: complete?.btf, objectName: objectNameOf(options.name ?? "") };

  const placedMaps = readMaps(source);
  const data = readDataSections(source);
  const arena = readArenaData(
    source,
    placedMaps.map((map) => map.spec),
  );
  const { externs = [] } = complete ?? {};
  const kconfig = complete === undefined ? undefined : kconfigMap(complete.btf, externs, source.objectName);
  const maps = [
    ...placedMaps.map((map) => map.spec),
    ...data.maps.values(),
    ...(kconfig === undefined ? [] : [kconfig]),
  ];
  refuseTwins("map", maps);
  const targets = linkTargets(source, placedMaps, data, arena, externs, kconfig);
  const programs = readPrograms(source, targets, debugInfo(sections, complete?.btf));
  const version = versionOf(sections);
  return {
    name: source.objectName,
    license: textOf(sections.get("license")),
    ...(version === undefined ? {} : { version }),
    ...(complete === undefined ? {} : { btf: complete.btf, btfBytes: complete.bytes }),
    maps,
    programs,
    globals: [
      ...data.globals,
      ...(arena?.globals ?? []),
      ...(kconfig === undefined ? [] : kconfigGlobals(externs, kconfig)),
    ],
    externs: [...externs],
  };
}

/** Throws an InputError that names what a program needs and this library cannot do yet. */
export function requireSupported(program: ProgramSpec): void {
  const { name, unsupported } = program;
  if (unsupported.length === 0) return;
  const shown = unsupported.slice(0, 3).join(", ");
  const more = unsupported.length > 3 ? ` and ${unsupported.length - 3} more` : "";
  throw new InputError(`ELF: program ${name}: found ${shown}${more}, which nothing can resolve`);
}

/** The program's instructions with the fds of its maps filled in: what BPF_PROG_LOAD takes. */
export function insnsWithFds(program: ProgramSpec, fdOf: (map: string) => number): Insn[] {
  const insns = [...program.insns];
  for (const { insn, map } of program.mapRefs) insns[insn] = { ...insns[insn]!, imm: fdOf(map) };
  return insns;
}

/** The bytes of a variable in its map's first value, to read or to write before the map is created. */
export function globalBytes(object: ObjectSpec, global: GlobalSpec): Uint8Array {
  const map = object.maps.find((each) => each.name === global.map);
  if (map === undefined) return fail(`variable ${global.name}`, `no map ${global.map}`, "the map that holds it");
  map.initialData ??= new Uint8Array(map.valueSize);
  return map.initialData.subarray(global.offset, global.offset + global.size);
}

/** A path's file name up to its first dot, as libbpf takes it. */
function objectNameOf(name: string): string {
  const file = name.slice(name.lastIndexOf("/") + 1);
  const dot = file.indexOf(".");
  return dot < 0 ? file : file.slice(0, dot);
}

/** Every map that is no data section, section by section. */
function readMaps(source: Source): PlacedMap[] {
  const maps: PlacedMap[] = [];
  for (const section of source.elf.sections) {
    if (section.size === 0 || section.type !== SHT_PROGBITS || source.sections.get(section.name) !== section) continue;
    if (section.name === MAPS) maps.push(...readMapDefinitions(source));
    else if (isLegacyMaps(section.name)) maps.push(...readLegacyMaps(source, section));
    else if (isStructOps(section.name)) maps.push(...readStructOps(source, section));
  }
  return maps;
}

function linkTargets(
  source: Source,
  placedMaps: readonly PlacedMap[],
  data: DataSections,
  arena: ArenaData | undefined,
  externs: readonly ExternSpec[],
  kconfig: MapSpec | undefined,
): LinkTargets {
  const places = new Map<number, Map<number, MapSpec>>();
  for (const { section, offset, spec } of placedMaps) {
    const known = places.get(section);
    if (known === undefined) places.set(section, new Map([[offset, spec]]));
    else known.set(offset, spec);
  }
  const byName = new Map(externs.map((extern) => [extern.name, extern]));
  return {
    mapAt: (section, offset) => places.get(section)?.get(offset),
    dataMap: (section) => (section === arena?.section ? arena.map : data.maps.get(section)),
    extern: (name) => byName.get(name),
    kconfig,
    exceptionCallbacks: exceptionCallbacks(source),
  };
}

/** Functions with the declaration tag "exception_callback:NAME", each with that name. */
function exceptionCallbacks({ btf }: Source): ReadonlyMap<string, string> {
  const callbacks = new Map<string, string>();
  for (const tag of btf?.types ?? []) {
    if (tag.kind !== "decl_tag" || !tag.name.startsWith(EXCEPTION_TAG) || tag.componentIndex >= 0) continue;
    callbacks.set(btf!.type(tag.typeId).name, tag.name.slice(EXCEPTION_TAG.length));
  }
  return callbacks;
}

function refuseTwins(what: string, specs: readonly { readonly name: string }[]): void {
  const seen = new Set<string>();
  for (const { name } of specs) {
    if (seen.has(name)) fail(`${what} ${name}`, "a second one of that name", "one");
    seen.add(name);
  }
}

function debugInfo(sections: ReadonlyMap<string, ElfSection>, btf: Btf | undefined): DebugInfo {
  const ext = sections.get(".BTF.ext");
  return ext === undefined || btf === undefined ? new Map() : indexDebugInfo(parseBtfExt(ext.data, btf));
}

function readPrograms(source: Source, targets: LinkTargets, info: DebugInfo): ProgramSpec[] {
  const table = readFunctions(source);
  const programs: ProgramSpec[] = [];
  let budget = MAX_LINKED;
  let lineBudget = MAX_LINKED;
  for (const fn of table.functions) {
    if (!isProgram(fn, table)) continue;
    const linked = linkProgram(table, fn, targets, budget);
    const debug = debugInfoOf(info, linked.placed, lineBudget);
    budget -= linked.insns.length;
    lineBudget -= debug.lines.length + debug.coreRelos.length;
    const { insns, mapRefs, externRefs, unsupported } = linked;
    const kind = kindOfSection(fn.section.name);
    programs.push({
      name: fn.name,
      section: fn.section.name,
      flags: 0,
      ...kind,
      insns,
      mapRefs,
      externRefs,
      autoload: !fn.section.name.startsWith("?"),
      ...debug,
      unsupported,
    });
  }
  refuseTwins("program", programs);
  return programs;
}

/** Functions in .text and .text.* are callees, unless there is nothing else; static functions are everywhere. */
function isProgram({ section: { name }, global }: ElfFunction, table: FunctionTable): boolean {
  return name === ".text" || name.startsWith(".text.") ? table.functions.length === 1 : global;
}

function textOf(section: ElfSection | undefined): string {
  if (section === undefined) return "";
  const end = section.data.indexOf(0);
  return new TextDecoder().decode(end < 0 ? section.data : section.data.subarray(0, end));
}

function versionOf(sections: ReadonlyMap<string, ElfSection>): number | undefined {
  const data = sections.get("version")?.data;
  if (data === undefined) return undefined;
  if (data.length !== 4) fail("section version", `${data.length} bytes`, "4");
  return new DataView(data.buffer, data.byteOffset, 4).getUint32(0, true);
}
