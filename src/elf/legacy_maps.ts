/**
 * Maps of the form before BTF: variables of struct bpf_map_def in "maps". libbpf 1.0 and later refuse them; they are taken
 * here as older libbpf and cilium/ebpf took them, since objects of that age still run.
 */
import type { Btf } from "../btf/index.ts";
import { fail } from "./fail.ts";
import type { PlacedMap } from "./map_definitions.ts";
import type { Source } from "./source.ts";
import type { MapSpec } from "./spec.ts";
import { type ElfSection, type ElfSymbol, STT_FUNC } from "./types.ts";

/** type, key_size, value_size, max_entries, map_flags. */
const DEFINITION_SIZE = 20;

export function isLegacyMaps(name: string): boolean {
  return name === "maps" || name.startsWith("maps/");
}

/** The maps of one such section, ascending by offset. All its definitions have the same size. */
export function readLegacyMaps(source: Source, section: ElfSection): PlacedMap[] {
  const where = `section ${section.name}`;
  const symbols = [...(source.symbols.get(section.index)?.values() ?? [])].filter((symbol) => symbol.type !== STT_FUNC);
  if (symbols.length === 0) return fail(where, "no symbols", "a symbol for each map");
  const size = section.data.length / symbols.length;
  if (!Number.isInteger(size) || size < DEFINITION_SIZE) {
    const found = `${section.data.length} bytes for ${symbols.length} maps`;
    return fail(where, found, `as many for each, at least ${DEFINITION_SIZE} (struct bpf_map_def)`);
  }
  symbols.sort((a, b) => a.value - b.value);
  return symbols.map((symbol, i): PlacedMap => {
    if (symbol.value !== i * size) fail(where, `${symbol.name} at byte ${symbol.value}`, `${i * size}`);
    return { spec: readDefinition(source, section, symbol, size), section: section.index, offset: symbol.value };
  });
}

function readDefinition(
  { btf }: Source,
  { name: section, data }: ElfSection,
  symbol: ElfSymbol,
  size: number,
): MapSpec {
  const bytes = data.subarray(symbol.value, symbol.value + size);
  const view = new DataView(bytes.buffer, bytes.byteOffset, size);
  const word = (index: number): number => view.getUint32(index * 4, true);
  const rest = bytes.slice(DEFINITION_SIZE);
  return {
    name: symbol.name,
    section,
    type: word(0),
    keySize: word(1),
    valueSize: word(2),
    maxEntries: word(3),
    flags: word(4),
    mapExtra: 0n,
    pinning: "none",
    ...(btf === undefined ? {} : annotation(btf, symbol.name, word(1), word(2))),
    ...(rest.some((byte) => byte !== 0) ? { unknownBytes: rest } : {}),
  };
}

/** BPF_ANNOTATE_KV_PAIR of that time: struct ____btf_map_<name> with a member for the key and one for the value. */
function annotation(btf: Btf, name: string, keySize: number, valueSize: number): Partial<MapSpec> {
  const [key, value, ...more] = btf.findType(`____btf_map_${name}`, "struct")?.members ?? [];
  if (key === undefined || value === undefined || more.length > 0) return {};
  if (btf.sizeOf(key.typeId) !== keySize || btf.sizeOf(value.typeId) !== valueSize) return {};
  return { keyTypeId: key.typeId, valueTypeId: value.typeId };
}
