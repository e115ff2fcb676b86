/** BTF-defined maps: structs in ".maps" whose members say things by their types, as libbpf's __uint, __type and __array. */
import type { Btf, BtfMember, BtfType, BtfTypeOf } from "../btf/index.ts";
import { BPF_MAP_TYPE_ARRAY_OF_MAPS, BPF_MAP_TYPE_HASH_OF_MAPS, BPF_MAP_TYPE_PROG_ARRAY } from "../uapi/index.ts";
import { fail } from "./fail.ts";
import type { Source } from "./source.ts";
import type { MapSlot, MapSpec } from "./spec.ts";
import { type ElfSymbol, R_BPF_64_64, R_BPF_64_ABS64, STT_FUNC } from "./types.ts";

/** A map and the place of its variable. */
export interface PlacedMap {
  readonly spec: MapSpec;
  /** Index of the section. */
  readonly section: number;
  readonly offset: number;
  /** Where the member `values` starts in the variable; undefined for maps without. */
  readonly valuesOffset?: number | undefined;
}

export const MAPS = ".maps";
/** Bytes of one element of `values`, a pointer. */
const SLOT_SIZE = 8;
/** Bytes of the key of one, its index. */
const SLOT_KEY_SIZE = 4;

/** The maps of ".maps", ascending by offset. */
export function readMapDefinitions(source: Source): PlacedMap[] {
  const section = source.sections.get(MAPS);
  if (section === undefined || section.size === 0) return [];
  const { btf } = source;
  if (btf === undefined) return fail(MAPS, "no .BTF section", "the types of the maps: compile with -g");
  const datasec = btf.findType(MAPS, "datasec");
  if (datasec === undefined) return fail(MAPS, "no such section in .BTF", "the types of the maps");
  const maps = datasec.vars.map((variable): PlacedMap => {
    const declared = btf.type(variable.typeId);
    if (declared.kind !== "var") return fail(`${MAPS} in .BTF`, `a ${declared.kind}`, "variables");
    const where = `map ${declared.name}`;
    const type = btf.type(btf.resolve(declared.typeId));
    if (type.kind !== "struct") return fail(where, describe(type), "a struct");
    return {
      spec: readDefinition(btf, type, declared.name, false),
      section: section.index,
      offset: variable.offset,
      valuesOffset: type.members.find((member) => member.name === "values")?.bitOffset,
    };
  });
  fillSlots(source, section.index, maps);
  return maps;
}

function readDefinition(btf: Btf, struct: BtfTypeOf<"struct">, name: string, inner: boolean): MapSpec {
  const where = `map ${name}`;
  const spec: MapSpec = {
    name,
    section: MAPS,
    type: 0,
    keySize: 0,
    valueSize: 0,
    maxEntries: 0,
    flags: 0,
    mapExtra: 0n,
    pinning: "none",
  };
  const seen = new Set<string>();
  for (const member of struct.members) {
    const field = `${where}, ${member.name}`;
    if (seen.has(member.name)) fail(field, "a second one", "one");
    seen.add(member.name);
    switch (member.name) {
      case "type":
        spec.type = uintOf(btf, member, field);
        break;
      case "max_entries":
        spec.maxEntries = uintOf(btf, member, field);
        break;
      case "map_flags":
        spec.flags = uintOf(btf, member, field);
        break;
      case "numa_node":
        spec.numaNode = uintOf(btf, member, field);
        break;
      case "map_extra":
        spec.mapExtra = numberOf(btf, member, field);
        break;
      case "key_size":
        spec.keySize = agreed(spec.keySize, uintOf(btf, member, field), field);
        break;
      case "value_size":
        spec.valueSize = agreed(spec.valueSize, uintOf(btf, member, field), field);
        break;
      case "key":
        spec.keyTypeId = targetOf(btf, member, field);
        spec.keySize = agreed(spec.keySize, btf.sizeOf(spec.keyTypeId), field);
        break;
      case "value":
        spec.valueTypeId = targetOf(btf, member, field);
        spec.valueSize = agreed(spec.valueSize, btf.sizeOf(spec.valueTypeId), field);
        break;
      case "pinning":
        spec.pinning = pinningOf(uintOf(btf, member, field), inner, field);
        break;
      case "values":
        if (inner) fail(field, "values in an inner map", "one level of maps in maps");
        readValues(btf, struct, member, spec, field);
        break;
      default:
        fail(field, "an unknown member", "type, max_entries, key, value, key_size, value_size, map_flags, …");
    }
  }
  if (spec.type === 0) fail(where, "no type", "__uint(type, BPF_MAP_TYPE_…)");
  return spec;
}

/** `values` is an array without length of pointers: to a struct for maps in maps, to a function for program arrays. */
function readValues(btf: Btf, struct: BtfTypeOf<"struct">, member: BtfMember, spec: MapSpec, field: string): void {
  if (struct.members.at(-1) !== member) fail(field, "a member in the middle", "the last one");
  const array = btf.type(btf.resolve(member.typeId));
  if (array.kind !== "array" || array.length !== 0) fail(field, describe(array), "an array without length");
  const pointer = btf.type(btf.resolve(array.elemTypeId));
  if (pointer.kind !== "ptr") fail(field, `elements: ${describe(pointer)}`, "pointers");
  const target = btf.type(btf.resolve(pointer.typeId));
  spec.valueSize = agreed(spec.valueSize, 4, field);
  if (
    target.kind === "struct" &&
    (spec.type === BPF_MAP_TYPE_ARRAY_OF_MAPS || spec.type === BPF_MAP_TYPE_HASH_OF_MAPS)
  ) {
    spec.innerSpec = readDefinition(btf, target, `${spec.name}.inner`, true);
  } else if (target.kind !== "func_proto" || spec.type !== BPF_MAP_TYPE_PROG_ARRAY) {
    fail(
      field,
      `pointers to ${describe(target)} in a map of type ${spec.type}`,
      "maps in a map or functions in a program array",
    );
  }
}

/** A number as a type: a pointer to an array of that length, or an enum with that value. */
function numberOf(btf: Btf, member: BtfMember, field: string): bigint {
  const type = btf.type(btf.resolve(member.typeId));
  if (type.kind === "ptr") {
    const array = btf.type(btf.resolve(type.typeId));
    if (array.kind === "array") return BigInt(array.length);
    return fail(field, `a pointer to ${describe(array)}`, "a pointer to an array: __uint(…)");
  }
  const only = type.kind === "enum" || type.kind === "enum64" ? type.values[0] : undefined;
  if (only === undefined) return fail(field, describe(type), "__uint(…) or __ulong(…)");
  return BigInt.asUintN(64, BigInt(only.value));
}

function uintOf(btf: Btf, member: BtfMember, field: string): number {
  const value = numberOf(btf, member, field);
  return value <= 0xffff_ffffn ? Number(value) : fail(field, `${value}`, "a 32-bit number");
}

/** The type that the member points to. */
function targetOf(btf: Btf, member: BtfMember, field: string): number {
  const type = btf.type(btf.resolve(member.typeId));
  return type.kind === "ptr" ? type.typeId : fail(field, describe(type), "a pointer: __type(…)");
}

function agreed(known: number, size: number, field: string): number {
  return known === 0 || known === size ? size : fail(field, `${size} bytes`, `${known}, as another member says`);
}

function pinningOf(value: number, inner: boolean, field: string): "none" | "byName" {
  if (value === 0) return "none";
  if (inner) fail(field, "pinning of an inner map", "none");
  return value === 1 ? "byName" : fail(field, `${value}`, "0 (none) or 1 (by name)");
}

const describe = (type: BtfType): string => `${type.kind} ${type.name}`.trimEnd();

/** Initializers of `values` are relocations: at each slot the map or function that goes there. */
function fillSlots(source: Source, section: number, maps: readonly PlacedMap[]): void {
  const byOffset = new Map(maps.map((map) => [map.offset, map.spec]));
  for (const { offset, type, symbol } of source.elf.relocations.get(section) ?? []) {
    const where = `${MAPS}, byte ${offset}`;
    if (type !== R_BPF_64_64 && type !== R_BPF_64_ABS64) fail(where, `relocation type ${type}`, `${R_BPF_64_ABS64}`);
    const map = mapAround(maps, offset);
    if (map?.valuesOffset === undefined) fail(where, "an initialized member", "only values may be");
    const distance = offset - map.offset - map.valuesOffset / 8;
    if (distance < 0 || distance % SLOT_SIZE !== 0) fail(where, "an initialized member", "only values may be");
    if (map.spec.type === BPF_MAP_TYPE_HASH_OF_MAPS && map.spec.keySize !== SLOT_KEY_SIZE) {
      fail(
        `map ${map.spec.name}, values`,
        `keys of ${map.spec.keySize} bytes`,
        `${SLOT_KEY_SIZE}: elements go by index`,
      );
    }
    map.spec.slots ??= [];
    map.spec.slots.push(slotOf(distance / SLOT_SIZE, symbol, section, byOffset, where));
  }
}

function slotOf(
  index: number,
  symbol: ElfSymbol,
  section: number,
  maps: ReadonlyMap<number, MapSpec>,
  where: string,
): MapSlot {
  if (symbol.type === STT_FUNC) return { index, kind: "program", name: symbol.name };
  const inner = symbol.section === section ? maps.get(symbol.value) : undefined;
  if (inner === undefined) return fail(where, `${symbol.name} as an element`, "a map or a function");
  return { index, kind: "map", name: inner.name };
}

/** The last map that starts at or before the offset; `values` has no length, so that its elements end anywhere. */
export function mapAround(maps: readonly PlacedMap[], offset: number): PlacedMap | undefined {
  let low = 0;
  let high = maps.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (maps[middle]!.offset <= offset) low = middle + 1;
    else high = middle;
  }
  return maps[low - 1];
}
